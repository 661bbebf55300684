"""A beton as a source: `convert` makes a pyramid from a beton that FFCV wrote, with all its fields."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..storage import files
from ..storage.store import is_url
from .open import open_dataset
from .parts_manifest import is_beton, is_manifest
from .source import Options, Sample, file_facts

_BLOCK = 64  # samples whose fields are read together


class Beton:
    """The samples of a beton, or of all that a pattern or a manifest names: images in full size, and stored fields.

    Raw pixels are passed on unchanged; the converter stores them as JPEG of quality 95.

    Attributes:
        files: path or URL of each beton, none of which may be the target of a conversion.
    """

    choices = ("label_column",)

    def __init__(self, path: str, options: Options) -> None:
        """Opens the beton.

        Raises:
            BadDataset, ValueError: see `open_dataset`; option `label_column` chooses the label's field.
        """
        self.path = path
        self._dataset = open_dataset(path, label_field=options.label_column)
        self.files = [part.path for part in self._dataset.parts]
        self.classes = self._dataset.classes
        if options.classes is not None and self.classes == [str(k) for k in range(len(self.classes))]:
            self.classes = list(options.classes)  # the beton has only numbers, so the caller may name the classes
        stored, label = dict(self._dataset.fields), self._dataset.label_field
        stored.pop(self._dataset.originals or "", None)
        self.fields = {"label" if name == label else name: kind for name, kind in stored.items()}
        self.columns = list(self.fields)
        self._names = {"label" if name == label else name: name for name in stored}

    @staticmethod
    def recognises(path: str) -> bool:
        """Recognises the file endings .beton and .ffcv, and manifests of betons by their content."""
        return (is_beton(path) and not os.path.isdir(path)) or is_manifest(path)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        return next(self._read(np.array([index])))

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """See `Source.samples`."""
        for first in range(start, len(self), _BLOCK):
            block = np.arange(first, min(first + _BLOCK, len(self)))
            yield from self._read(block)

    def _read(self, block: NDArray[np.int64]) -> Iterator[Sample]:
        columns = {name: self._dataset.read_field(stored, block) for name, stored in self._names.items()}
        images = files.each(self._dataset.read_original, block.tolist(), is_url(self.path))
        for k, index in enumerate(block.tolist()):
            values = {name: column[k] for name, column in columns.items()}
            yield Sample(self._dataset.name(index), images[k], values)

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        paths = [self.path, *self.files] if self.path.endswith(".json") else self.files
        return f"{file_facts(paths)} {self._dataset.label_field}"
