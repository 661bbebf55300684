"""A batch, as it is planned and as it is delivered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .plan.rng import sample_indices
from .plugins import FIELDS
from .spatial_targets import cut_masks, move_boxes, move_points

if TYPE_CHECKING:
    import torch

    from .native import Augment
    from .sources import Dataset
    from .sources.dataset import Fetch
    from .transforms.pipeline import OutputFormat


@runtime_checkable
class Moving(Protocol):
    """A transform that moves pixels. Boxes, points and masks follow it."""

    def moves(self, batch: Batch, side: int) -> NDArray[np.float64]:
        """The origin of each point of a result, as fractions of the side: [n, steps, 2, 3].

        Args:
            batch: whose images are transformed.
            side: of its images, pixels.

        Returns:
            A point (x, y) of the result, 0 to 1, was at `m[:, :2] @ (x, y) + m[:, 2]` before each of the steps.
        """


@dataclass(eq=False)
class BatchPlan:
    """The complete plan of a batch, independent of the backend that decodes it."""

    format: OutputFormat
    """The kernel's output, see `TransformPipeline.format`."""
    epoch: int
    keys: NDArray[np.int64]
    """Draw keys [n], see `plan.rng.draw_keys`."""
    labels: NDArray[np.int64]
    """[n]"""
    samples: NDArray[np.void]
    """SAMPLE records [n]: the kernel's input."""
    augment: Augment | None = None
    """The kernel's operations after resampling, besides the look-up."""
    lease: object = None
    """Keeps in memory the bytes that `samples` refer to, see `Dataset.lease`."""
    fetch: Fetch | None = None
    """The bytes of `samples` that are being fetched; `samples` are valid after its `wait`. None: they are valid."""
    pillow: bool = True
    """Whether Pillow may have to decode some of the samples."""

    def rows(self, rows: slice | NDArray[np.int64]) -> BatchPlan:
        """The plan of some of its samples."""
        return replace(
            self,
            keys=self.keys[rows],
            labels=self.labels[rows],
            samples=self.samples[rows],
            augment=None if self.augment is None else self.augment.rows(rows),
        )

    def decoded(self, images: torch.Tensor, labels: torch.Tensor, seed: int) -> Batch:
        """The decoded batch, before its transforms."""
        stage, augment = self.format.stage, self.format.randaugment
        return Batch(
            images=images,
            labels=labels,
            keys=self.keys,
            seed=seed,
            epoch=self.epoch,
            resolution=stage.resolution,
            magnitude=stage.magnitude,
            samples=self.samples,
            moved=[] if augment is None else [(augment, self.format.resolution)],
        )


@dataclass(eq=False)
class Batch:
    """A batch as a backend delivers it; also the second argument of a batch transform, `transform(images, batch)`.

    Most values stay on the host, so that a transform can read them without waiting for the device.
    """

    images: torch.Tensor
    """[n, 3, B, B] on the loader's device."""
    labels: torch.Tensor
    """int64 [n] on the loader's device."""
    keys: NDArray[np.int64]
    """Draw keys [n] on the host: the keys of each sample's random numbers, see `plan.rng.draw_keys`."""
    seed: int
    """The loader's."""
    epoch: int
    resolution: int
    """B, pixels."""
    magnitude: float | None
    """RandAugment strength of the stage; None: no RandAugment."""
    samples: NDArray[np.void]
    """SAMPLE records [n] on the host: crop and flip of each sample."""
    targets: Any = None
    """Targets returned by a transform, for example mixed labels; None: none."""
    mask: NDArray[np.bool_] | None = None
    """[n] on the host: False for a repeated sample that only fills up a rank's share; None: all count."""
    moved: list[tuple[Moving, int]] = field(default_factory=list)
    """Transforms that moved the pixels after crop and flip, in order, each with the side of its images."""
    views: int = 1
    """Crops of each sample: with 2 or more, the arrays above hold all samples' first view, then their second, ..."""

    @property
    def count(self) -> int:
        """Number of samples; several views of a sample count once."""
        return len(self.keys) // self.views

    @cached_property
    def indices(self) -> NDArray[np.int64]:
        """Sample indices [n] in the data set, on the host."""
        return sample_indices(self.keys)

    @property
    def crops(self) -> NDArray[np.float32]:
        """Crop x0, y0, x1, y1 of each sample in full-size pixels, float32 [n, 4], on the host.

        In steps of 1/256 pixel, so that whole pixels are whole numbers.
        """
        box, full = self.samples["box"], self.samples["full"]
        side = box[:, 2:] - box[:, :2]
        return np.rint(box * np.tile(full / side, 2) * 256) / 256

    @property
    def flips(self) -> NDArray[np.bool_]:
        """[n]: True if a sample is mirrored left to right, on the host."""
        return self.samples["flip"] != 0

    def moves(self) -> NDArray[np.float64]:
        """All steps of the transforms in `moved`, float64 [n, steps, 2, 3], see `Moving.moves`."""
        steps = [transform.moves(self, side) for transform, side in self.moved]
        return np.concatenate([np.empty((len(self.keys), 0, 2, 3)), *steps], axis=1)


def _beside_labels(array: NDArray[Any], batch: Batch) -> torch.Tensor:
    """A host array as a tensor on the labels' device. The host does not wait for a GPU."""
    from .transforms.device import put

    return put(np.ascontiguousarray(array), batch.labels.device)


def _views(values: Any, batch: Batch) -> Any:
    """Values of each view: with several views, a tuple."""
    return values if batch.views == 1 else tuple(values.chunk(batch.views))


def image_field(batch: Batch, _: Dataset) -> Any:
    return _views(batch.images, batch)


def label_field(batch: Batch, _: Dataset) -> Any:
    if batch.targets is not None:
        return batch.targets
    return batch.labels if batch.views == 1 else batch.labels[: batch.count]


def index_field(batch: Batch, _: Dataset) -> torch.Tensor:
    return _beside_labels(batch.indices[: batch.count], batch)


def name_field(batch: Batch, dataset: Dataset) -> list[str]:
    return dataset.names(batch.indices[: batch.count])


def crop_field(batch: Batch, _: Dataset) -> Any:
    return _views(_beside_labels(batch.crops, batch), batch)


def flip_field(batch: Batch, _: Dataset) -> Any:
    return _views(_beside_labels(batch.flips, batch), batch)


def mask_field(batch: Batch, _: Dataset) -> torch.Tensor:
    return _beside_labels(np.ones(batch.count, np.bool_) if batch.mask is None else batch.mask, batch)


DICT_KEYS = {"image": "pixel_values", "label": "labels"}
"""Names of fields in `collate="dict"`, as Hugging Face's models take them; others keep their names."""


def deliver(batch: Batch, dataset: Dataset, fields: tuple[str, ...], collate: str) -> Any:
    """A batch as a tuple in the order of `fields`, or as a dictionary."""
    values = [_value(name, batch, dataset) for name in fields]
    if collate == "dict":
        return {DICT_KEYS.get(name, name): value for name, value in zip(fields, values, strict=True)}
    return tuple(values)


def _value(name: str, batch: Batch, dataset: Dataset) -> Any:
    stored = name in dataset.fields and name != dataset.label_field
    if name in FIELDS and (not stored or (name == "label" and batch.targets is not None)):
        return FIELDS.find(name)(batch, dataset)
    if (follow := FOLLOWING.get(dataset.fields[name].kind)) is not None:
        return follow(dataset.read_field(name, batch.indices), batch)
    values = dataset.read_field(name, batch.indices[: batch.count])
    return _beside_labels(values, batch) if isinstance(values, np.ndarray) else values


def _masks(files: Any, batch: Batch) -> Any:
    """int64 [n, B, B]; for several views a tuple."""
    masks = cut_masks(files, batch.crops, batch.flips, batch.resolution, batch.moves())
    return _views(_beside_labels(masks, batch), batch)


def _boxes(values: Any, batch: Batch) -> Any:
    return _listed(move_boxes(values, batch.crops, batch.flips, batch.resolution, batch.moves()), batch)


def _points(values: Any, batch: Batch) -> Any:
    return _listed(move_points(values, batch.crops, batch.flips, batch.resolution, batch.moves()), batch)


def _listed(arrays: list[NDArray[np.float32]], batch: Batch) -> Any:
    """A list with one tensor per sample; for several views a tuple of such lists. One copy transfers all of them."""
    joined, n = _beside_labels(np.concatenate(arrays), batch), batch.count
    tensors = list(joined.split([len(array) for array in arrays]))
    return tensors if batch.views == 1 else tuple(tensors[k * n : (k + 1) * n] for k in range(batch.views))


FOLLOWING: dict[str, Callable[[Any, Batch], Any]] = {"mask": _masks, "boxes": _boxes, "points": _points}
"""Kinds of stored fields that follow crop, flip and `moved` transforms: kind -> value(stored values, batch)."""


def check_fields(fields: object, dataset: Dataset, uneven: str) -> tuple[str, ...]:
    """The names in `fields`.

    Raises:
        ValueError: one of them is neither in `FIELDS` nor stored in the data set, or is named twice; or it is `label`,
            and the data set has none; or a stored field hides the `mask` of padded samples.
    """
    names = (fields,) if isinstance(fields, str) else tuple(fields)  # type: ignore[arg-type]
    stored = dataset.fields
    withheld = ("label",) if dataset.label_field is None else ()
    unknown = [name for name in names if name not in stored and (name not in FIELDS or name in withheld)]
    if unknown or not names or len(set(names)) < len(names):
        known = [name for name in dict.fromkeys([*FIELDS, *stored]) if name in stored or name not in withheld]
        got = repr(unknown[0]) if unknown else repr(names)
        remedy = "; it has no label: `label_field` names one, or `fields` chooses others" if "label" in unknown else ""
        raise ValueError(
            f"{dataset.path}: `fields` must be different names out of {', '.join(map(repr, known))}, got {got}{remedy}."
        )
    if uneven == "pad" and "mask" in names and "mask" in stored:
        raise ValueError(
            f"{dataset.path}: `uneven` must not be 'pad' with a stored field `mask`, which hides the mask of repeated "
            "samples; use 'keep' or 'drop', or store that field under another name."
        )
    return names
