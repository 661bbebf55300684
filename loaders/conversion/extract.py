"""Writes one level of a pyramid as a beton of its own, a pyramid of one level, which FFCV reads at its true size."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import native
from ..beton.fields import COLUMNS, ORIGINAL
from ..errors import BadDataset
from ..sources.dataset import Dataset
from ..sources.open import open_dataset
from ..sources.source import Sample
from ..spatial_targets import decode_mask
from .convert import Summary, convert
from .stored_samples import StoredImage, StoredSamples
from .target import Target


def extract(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    level: int,
    *,
    workers: int | None = None,
    report: Callable[[Summary], object] = lambda _: None,
) -> int:
    """Writes level `level` of a pyramid as the field `image` of a new beton, with all other fields and all names.

    Records are copied. An image without that level is written at its next larger one. Boxes and points are scaled and
    masks resampled to the nearest pixel, so that they fit the smaller image. Original files
    (`convert(keep_codec=True)`) are copied with level 0 only. A call that was interrupted resumes.

    Args:
        path: a pyramid, or several as one data set.
        out: the beton to write, a path or a URL; it gets its name when it is complete.
        workers: threads; None: one per processor.
        report: see `convert`; a hint of its argument says how many images have a larger level.

    Returns:
        bytes of the new beton.

    Raises:
        ValueError: no such level, or `out` is `path`.
        BadSample: a record is damaged.
        BadDataset: `path` is damaged, or no pyramid.
        OSError: `out` cannot be written.
    """
    with open_dataset(path) as dataset:
        if dataset.meta is None:
            raise BadDataset(
                f"{dataset.path}: levels can only be extracted from a pyramid, and this is not one; convert it first"
            )
        Target(out).check_source(dataset.path, *(part.path for part in dataset.parts))
        if not 0 <= level < len(dataset.ratios):
            raise ValueError(f"`level` must be from 0 to {len(dataset.ratios) - 1} for {dataset.path}, got {level}")
        order = "source" if dataset.storage is None else "shuffled"
        settings = {"quality": dataset.meta.get("quality", 90), "ratios": (1.0,), "order": order}
        return convert(_Level(dataset, level), out, workers=workers, report=report, **settings).bytes


class _LevelImage(StoredImage):
    """One record of a sample.

    Attributes:
        scale: width and height of this level / those of the full size, [2].
    """

    def __init__(self, dataset: Dataset, index: int, level: int) -> None:
        super().__init__(dataset, index)
        self._level = int(_smallest(self._entries[None, : level + 1])[0])
        entry, full = self._entries[self._level], self._entries[0]
        self.size = int(entry["size"])
        self.sides = int(entry["width"]), int(entry["height"])
        self.scale = np.array([entry["width"] / full["width"], entry["height"] / full["height"]])

    def records(self) -> list[native.Record]:
        """Its record, as a list of one; see `StoredImage.records`."""
        return [self._record(self._level)]


class _Level(StoredSamples):
    """All samples of a pyramid at one level, as a source for `convert`."""

    def __init__(self, dataset: Dataset, level: int) -> None:
        self._level, self._larger = level, 0
        super().__init__(dataset, range(len(dataset)))
        if level:
            self.fields = {name: kind for name, kind in self.fields.items() if kind.kind != ORIGINAL}

    @property
    def hints(self) -> list[str]:
        """How many images are written at a larger level, if any."""
        what = f"have no level {self._level} and are written at their next larger one"
        return [f"{self._larger:,} of {len(self):,} images {what}"] if self._larger else []

    def _stored(self, entries: NDArray[np.void]) -> NDArray[np.void]:
        level = _smallest(entries[:, : self._level + 1])
        self._larger += int((level < self._level).sum())
        return entries[np.arange(len(entries)), level]

    def __getitem__(self, number: int) -> Sample:
        sample = super().__getitem__(number)
        image = _LevelImage(self._dataset, number, self._level)
        values = dict(sample.values)
        for name, kind in self.fields.items():
            if kind.kind in COLUMNS:
                values[name] = values[name] * np.resize(image.scale, COLUMNS[kind.kind])
            elif kind.kind == "mask" and (image.scale != 1).any():
                values[name] = _shrunk(values[name], image.sides)
        return sample._replace(image=image, values=values)

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        return f"level {self._level} of {super().fingerprint()}"


def _smallest(entries: NDArray[np.void]) -> NDArray[np.int64]:
    """For each sample's ENTRY records [n, levels] the last level that is stored, [n]."""
    stored = entries["width"] > 0
    found: NDArray[np.int64] = stored.shape[1] - 1 - stored[:, ::-1].argmax(axis=1)
    return found


def _shrunk(mask: bytes, sides: tuple[int, int]) -> bytes:
    """A mask resampled to the nearest pixel, as PNG."""
    from PIL import Image

    pixels: NDArray[Any] = decode_mask(mask)
    columns, rows = (
        ((np.arange(side) + 0.5) * full / side).astype(np.int64)
        for side, full in zip(sides, pixels.shape[::-1], strict=True)
    )
    file = io.BytesIO()
    Image.fromarray(pixels[np.ix_(rows, columns)]).save(file, "PNG")
    return file.getvalue()
