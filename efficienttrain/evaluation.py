"""Scores of any network with any weights on images with targets, at any size."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from efficienttrain._loaders import Loader, eval_like
from efficienttrain.curriculum import BASE
from efficienttrain.models import build
from efficienttrain.models.initial import begin_with
from efficienttrain.models.weight_file import read_target, read_weights
from efficienttrain.presets import canonical
from efficienttrain.training.choose_objective import choose, target_options
from efficienttrain.training.distributed import Ranks, group
from efficienttrain.training.evaluate import score
from efficienttrain.training.objective import Objective
from efficienttrain.training.train_state import DTYPES

SQUASHED = 384
"""Sizes from which the released code squashes the whole image instead of cropping it, pixels."""


@dataclass(frozen=True)
class OutputScore:
    """The scores of one class, label or number."""

    name: str
    images: int
    """Number of images: of the class, or with the label; for numbers all images."""
    scores: dict[str, float]
    """For a class `top1`, `top5` (0 without images); for a label `ap`, `f1`; for a number `mae`, `rmse`, `r2`."""


@dataclass(frozen=True)
class Evaluation:
    """The scores of one network on one data set."""

    kind: str
    """"classes", "labels" or "numbers"."""
    metric: str
    """The main score: "top1", "map" or "r2"."""
    scores: dict[str, float]
    """For classes `top1` and `top5` (shares of the images; with fewer than six classes, top-5 counts all but one); for
    labels `map`, `f1_micro`, `f1_macro`; for numbers `mae`, `rmse` in their unit, and `r2`; always the mean `loss`."""
    images: int
    size: int
    """Side of the input, pixels."""
    classes: tuple[OutputScore, ...]
    """In the order of the labels."""

    @property
    def top1(self) -> float:
        """Share of correctly classified images, 0 to 1. Raises KeyError if the targets are not classes."""
        return self.scores["top1"]

    @property
    def top5(self) -> float:
        """Share of images whose class is among the five most likely. Raises KeyError if the targets are not classes."""
        return self.scores["top5"]

    @property
    def loss(self) -> float:
        """Mean loss: cross-entropy in nats, for labels binary; for numbers the squared error in standard deviations."""
        return self.scores["loss"]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        each = [{"name": one.name, "images": one.images, **one.scores} for one in self.classes]
        return {"kind": self.kind, **self.scores, "images": self.images, "size": self.size, "classes": each}


def evaluate(
    model: str,
    data: str | os.PathLike[str],
    init: str | os.PathLike[str] | None = None,
    *,
    size: int | None = None,
    classes: int | None = None,
    average: bool = True,
    pretrained: bool = False,
    pool: str | None = None,
    batch_size: int = 128,
    device: str = "auto",
    amp: str = "off",
    target: str | None = None,
    loss: str | None = None,
    **loader: Any,
) -> Evaluation:
    """Evaluates the network on all images. Under torchrun each rank takes its part, and every image counts once.

    Args:
        model: a name, or a factory, see `efficienttrain.models.build`.
        data: labelled images, of any kind that `loaders.Loader` opens. If `init` is a checkpoint of ours, some classes
            of its training may be missing here: labels are numbered by name, as in that training.
        init: weights, see `efficienttrain.models.initial.begin_with`; they must include the head.
        size: side of the input, pixels; None: 224, or with `pretrained` the network's own. Position embeddings and bias
            tables are resized to it.
        classes: outputs of the network; None: the number of classes of the data.
        average: use the moving average of the weights, if the file has one.
        pretrained: use timm's own weights instead of `init`.
        pool: see `build`; None: "avg" if the file has the final norm of MAE's fine-tuned networks.
        batch_size: images at once, on each rank.
        device: "cuda", "cpu", or "auto".
        amp: "off", "bf16" or "fp16".
        target: field of the data to predict; None: as in the training that wrote `init`, else "label".
        loss: "cross-entropy", "bce", "mse" or "smooth-l1"; None: as in that training, else by the target's type.
        loader: further options of `Loader`: `num_workers`, `crop_pct`, `crop_mode`, `interpolation`, ... The other
            options come from `protocol`.

    Raises:
        ValueError: an argument out of its range, weights of another network, or a head with another number of classes.
        OSError, LoaderError: the data or the weights cannot be read.
    """
    if (init is None) == (not pretrained):
        raise ValueError("give the weights: either `--init FILE`, or `--pretrained` for timm's own.")
    if amp not in DTYPES:
        raise ValueError(f"`amp` must be one of {', '.join(DTYPES)}, got {amp!r}.")
    trained = None if init is None else read_target(Path(init))
    if trained is not None and (target or trained["field"]) != trained["field"]:
        trained = None
    field = target or (trained or {}).get("field", "label")
    wishes = protocol(model, pretrained, size) | target_options(field) | loader
    side = int(wishes["resolution"])
    with group(device) as ranks, _opened(data, trained, batch_size, device=ranks.device, **wishes) as images:
        objective = choose(images, field, loss=loss, outputs=classes, stored=trained)
        network = _network(model, init, objective.outputs, side, average, pool).to(ranks.device)
        return _scored(network, images, objective, side, ranks, amp)


def _opened(data: Any, trained: dict[str, Any] | None, batch_size: int, **options: Any) -> Loader:
    """The loader of the images; labels are numbered by name as in the training, unless all classes have other names.

    Raises:
        ValueError: some of the classes are those of the training, and others are not.
    """
    images = Loader(data, batch_size, train=False, **options)
    names = trained["names"] if trained is not None and trained["kind"] == "classes" else []
    strange = [name for name in images.classes if name not in names]
    if "classes" in options or images.classes == names or len(strange) == len(images.classes):
        return images
    if strange:
        images.close()
        raise ValueError(
            f"{images.source.path}: each class must be one of the {len(names)} of the training, {strange[0]!r} is not; "
            "give it the name that it had there, or leave its images out"
        )
    if images.source is data:
        return images
    images.close()
    return Loader(data, batch_size, train=False, **options, classes=names)


def protocol(model: str, pretrained: bool, size: int | None = None) -> dict[str, Any]:
    """The preprocessing for evaluation, as options of `Loader`.

    With timm's weights: from their configuration. Otherwise as in the released `datasets_buffer.py`: bicubic; below
    384 pixels the centre crop of 87.5 % of the shorter side, from 384 on the whole image squashed to a square.
    """
    if pretrained:
        from timm.models import get_pretrained_cfg

        found = eval_like(get_pretrained_cfg(canonical(model)))
        return found | ({} if size is None else {"resolution": size})
    side = size or BASE
    crop = {"crop_pct": 1.0, "crop_mode": "squash"} if side >= SQUASHED else {"crop_pct": 0.875}
    return {"resolution": side, "interpolation": "bicubic", **crop}


def _network(
    model: str, init: str | os.PathLike[str] | None, classes: int, size: int, average: bool, pool: str | None
) -> nn.Module:
    if init is None:
        return build(model, num_classes=classes, resolution=size, pool=pool, pretrained=True)
    if pool is None and ":" not in model and _averages(Path(init), average):
        pool = "avg"
    network = build(model, num_classes=classes, resolution=size, pool=pool)
    fresh = begin_with(network, Path(init), average)
    if fresh:
        raise ValueError(
            f"{init} has no head for {classes} classes ({fresh[0]} is missing or of another shape); "
            "give the number of its outputs as `classes`, or weights that were trained on these data."
        )
    return network


def _averages(path: Path, average: bool) -> bool:
    """Whether these weights are of a ViT whose head uses the mean of the patches; it has another final norm."""
    names = read_weights(path, average)
    return "fc_norm.weight" in names and "norm.weight" not in names


def _scored(network: nn.Module, images: Loader, objective: Objective, size: int, ranks: Ranks, amp: str) -> Evaluation:
    found = score(network, images, objective, size, ranks, DTYPES[amp])
    each = [
        OutputScore(name, int(scores["images"]), {key: value for key, value in scores.items() if key != "images"})
        for name, scores in zip(objective.names, found.each, strict=True)
    ]
    return Evaluation(objective.kind, objective.metric, found.total, found.images, size, tuple(each))
