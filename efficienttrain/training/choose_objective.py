"""Chooses an objective by the type of the target field, and reads its parameters from the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from efficienttrain._loaders import Loader
from efficienttrain.training.objective import LOSSES, Classes, Labels, Numbers, Objective, multi_hot

SAMPLED = 4096
"""Evenly spaced samples from which the range, mean and deviation of targets are computed."""
BLOCK = 65536


def target_options(target: str) -> dict[str, Any]:
    """Options of a `Loader` that delivers images and this field."""
    return {"fields": ("image", target), "label_field": None if target == "label" else False}


def choose(
    loader: Loader,
    field: str = "label",
    *,
    loss: str | None = None,
    outputs: int | None = None,
    smoothing: float = 0.0,
    balanced: bool = False,
    stored: Mapping[str, Any] | None = None,
) -> Objective:
    """The objective for a field of the loader's data set.

    | type of the field | objective | loss |
    |---|---|---|
    | int | classes | cross-entropy |
    | array of integers or booleans; array of floats that are all 0 or 1; json (lists of labels) | labels | bce |
    | float; other arrays of floats | numbers | mse |

    Args:
        loader: of the training data, or of the evaluation data.
        field: the target.
        loss: a key of LOSSES, instead of the table's.
        outputs: of the network; None: determined by the data.
        smoothing: of labels, see `Labels`.
        balanced: weights by frequency.
        stored: `Objective.state` of a training, whose kind, names, centre and scale are used.

    Raises:
        ValueError: a field that is missing or does not allow this loss; values out of range; too few outputs;
            `balanced` numbers.
    """
    source = loader.source
    if field == "label" and field not in source.fields and source.label_field is not None:
        field = source.label_field  # in an FFCV beton it may have another name
    if field not in source.fields:
        raise ValueError(
            f"{source.path}: `target` must be one of {', '.join(source.fields) or '(none)'}, got {field!r}."
        )
    kind = LOSSES[loss] if loss else str(stored["kind"]) if stored else _kind(loader, field)
    if kind not in _possible(loader, field):
        raise ValueError(
            f"{source.path}: field `{field}` ({source.fields[field]}) can be the target of "
            f"{', '.join(name for name, of in LOSSES.items() if of in _possible(loader, field)) or 'no loss'}, "
            f"got {loss or kind}."
        )
    if kind == "classes":
        return _classes(loader, field, outputs, balanced)
    if kind == "labels":
        return _labels(loader, field, outputs, smoothing, balanced, stored)
    if balanced:
        raise ValueError("`class_weights` must be none for targets that are numbers, got 'balanced'.")
    return _numbers(loader, field, outputs, loss == "smooth-l1", stored)


def check_alike(val: Loader, train: Loader, objective: Objective) -> None:
    """Raises ValueError unless the target has the same type, and the same names of classes or labels, in both sets."""
    field, ours, theirs = objective.field, val.source.fields, train.source.fields
    if str(ours[field]) != str(theirs[field]) or val.classes != train.classes:
        raise ValueError(
            f"{val.source.path}: field `{field}` must be as in the training data, {theirs[field]} with "
            f"{len(train.classes)} names, got {ours[field]} with {len(val.classes)} names, or names in another order."
        )


def _possible(loader: Loader, field: str) -> tuple[str, ...]:
    kind = loader.source.fields[field]
    if field == loader.source.label_field or kind.kind == "int":
        return ("classes", "labels", "numbers")
    return {"float": ("labels", "numbers"), "array": ("labels", "numbers"), "json": ("labels",)}.get(kind.kind, ())


def _kind(loader: Loader, field: str) -> str:
    possible, kind = _possible(loader, field), loader.source.fields[field]
    if kind.kind == "array" and kind.dtype is not None and kind.dtype.kind == "f":
        values = np.asarray(_sampled(loader, field)[1])
        return "labels" if ((values == 0) | (values == 1)).all() else "numbers"
    if kind.kind == "float":
        return "numbers"
    return possible[0] if possible else "none"


def _sampled(loader: Loader, field: str) -> tuple[NDArray[np.int64], Any]:
    """Indices of some evenly spaced samples, and their values of the field."""
    count = len(loader.source)
    indices = np.unique(np.linspace(0, count - 1, min(count, SAMPLED)).astype(np.int64))
    return indices, loader.source.read_field(field, indices)


def _blocks(loader: Loader, field: str) -> Iterator[Any]:
    """All values of the field."""
    for start in range(0, len(loader.source), BLOCK):
        yield loader.source.read_field(field, np.arange(start, min(start + BLOCK, len(loader.source))))


def _classes(loader: Loader, field: str, outputs: int | None, balanced: bool) -> Classes:
    source = loader.source
    counts = np.zeros(0, np.int64)
    if field != source.label_field or balanced:
        for block in _blocks(loader, field):
            if block.min() < 0:
                raise ValueError(f"{source.path}: field `{field}` must hold classes from 0 on, got {block.min()}.")
            grown = np.bincount(block, minlength=len(counts))
            counts = grown + np.pad(counts, (0, len(grown) - len(counts)))
    named = field == source.label_field
    names = tuple(loader.classes) if named else tuple(str(k) for k in range(len(counts)))
    if outputs is not None and outputs < len(names):
        raise ValueError(f"`classes` must be at least the {len(names)} classes of the data, got {outputs}.")
    weights = None
    if balanced:
        factors = counts.sum() / (np.maximum(counts, 1) * (counts > 0).sum())
        weights = (*factors.tolist(), *[1.0] * ((outputs or len(names)) - len(factors)))
    return Classes(field, names, outputs or len(names), weights)


def _labels(
    loader: Loader,
    field: str,
    outputs: int | None,
    smoothing: float,
    balanced: bool,
    stored: Mapping[str, Any] | None,
) -> Labels:
    source, kind = loader.source, loader.source.fields[field]
    if stored is not None:
        names = tuple(stored["names"])
    elif kind.kind == "json":
        names = tuple(loader.classes) or tuple(str(k) for k in range(outputs or 0))
        if not names:
            raise ValueError(
                f"{source.path}: field `{field}` holds lists of labels, whose number is not known; "
                "pass `classes`, or convert again with class names."
            )
    else:
        size = int(np.prod(kind.shape))
        names = tuple(loader.classes) if len(loader.classes) == size else tuple(str(k) for k in range(size))
    _check_outputs(field, names, outputs)
    indices, values = _sampled(loader, field)
    vectors = _vectors(values, names, field)
    wrong = np.argwhere(~((vectors >= 0) & (vectors <= 1)))
    if len(wrong):
        index, value = int(indices[wrong[0, 0]]), vectors[tuple(wrong[0])]
        raise ValueError(
            f"{source.path}: field `{field}` must hold 0 and 1 for the loss bce, got {value:g} in sample {index} "
            f"({source.name(index)}); choose another `loss`, or correct the data."
        )
    weights = None
    if balanced:
        positive = sum(_vectors(block, names, field).sum(0, dtype=np.float64) for block in _blocks(loader, field))
        factors = (len(source) - positive) / np.maximum(positive, 1)
        weights = tuple(np.where(positive > 0, factors, 1.0).tolist())
    return Labels(field, names, len(names), weights, smoothing=smoothing)


def _vectors(values: Any, names: tuple[str, ...], field: str) -> NDArray[Any]:
    return values.reshape(len(values), -1) if isinstance(values, np.ndarray) else multi_hot(values, names, field)


def _numbers(
    loader: Loader, field: str, outputs: int | None, smooth: bool, stored: Mapping[str, Any] | None
) -> Numbers:
    source, kind = loader.source, loader.source.fields[field]
    size = int(np.prod(kind.shape))
    names = (field,) if size == 1 else tuple(f"{field}[{k}]" for k in range(size))
    _check_outputs(field, names, outputs)
    if stored is not None:
        centre, scale = tuple(stored["centre"]), tuple(stored["scale"])
    else:
        indices, values = _sampled(loader, field)
        rows = np.asarray(values, np.float64).reshape(len(indices), -1)
        finite = np.isfinite(rows).all(1)
        if not finite.all():
            index = int(indices[int(finite.argmin())])
            raise ValueError(
                f"{source.path}: field `{field}` must be finite, is not in sample {index} ({source.name(index)}); "
                "leave such samples out."
            )
        deviation = rows.std(0)
        centre, scale = tuple(rows.mean(0).tolist()), tuple(np.where(deviation > 0, deviation, 1).tolist())
    if len(centre) != len(names):
        raise ValueError(f"field `{field}` must hold the {len(centre)} numbers of the training, got {len(names)}.")
    return Numbers(field, names, len(names), smooth=smooth, centre=centre, scale=scale)


def _check_outputs(field: str, names: tuple[str, ...], outputs: int | None) -> None:
    if outputs is not None and outputs != len(names):
        raise ValueError(f"`classes` must be the {len(names)} outputs of field `{field}`, or none, got {outputs}.")
