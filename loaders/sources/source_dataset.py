"""A source as a data set, without conversion: threads read its samples into memory for the kernel.

The memory is a `Window`, which the kernel reads like any other file.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import native
from ..beton.fields import LABEL_ONLY, FieldType, encode, row_dtype
from ..beton.stored_fields import decode
from ..errors import BadDataset, LoaderError, TooManyOpenFiles, reason
from ..pillow import decode_rgb
from ..plan.records import RAW
from ..processors import available_processors
from ..storage.files import too_many_open
from .dataset import Dataset, empty_entries
from .labels import Labels, Refused
from .source import Sample, Source, extras, indexable
from .window import Window

_UNREADABLE = bytes(16)  # placeholder for a sample that cannot be read; the decoder gets the reason from `read`
_EXPECTED = 4  # most batches read ahead; more are announced only if an epoch was abandoned
_KEPT = 4  # chunks that are kept for a second access
_BLOCK = 64  # samples read at a time when only targets are needed


class _Read(NamedTuple):
    """A sample in memory: its JPEG or pixels."""

    sample: Sample
    data: bytes
    kind: int
    width: int
    height: int


class _Chunk:
    """Samples in memory, as long as the chunk is referenced."""

    def __init__(self, entries: NDArray[np.void], samples: list[Sample], lease: object) -> None:
        self.entries, self.samples, self._lease = entries, samples, lease


class SourceDataset(Dataset):
    """An open source with `__getitem__`. The samples of a batch are read before it is planned.

    The reading threads decode images that are not JPEGs; the kernel crops and resamples them.
    """

    kind = "source, not converted"
    file_bytes = None  # not those of its samples
    together = 1  # a batch at a time: planning needs its samples in memory

    def __init__(self, source: Source, classes: Sequence[str] | None = None, workers: int | None = None) -> None:
        """
        Args:
            classes: class names in the order of the labels; None: the source's.
            workers: threads that read samples; None: one per processor.

        Raises:
            ValueError: the source cannot be read in any order, or has no samples; also see `Labels`.
            LoaderError: the system has no memfd (only Linux does).
        """
        if not indexable(source):
            raise ValueError(
                f"{source.path}: its samples can only be read one after the other; convert it first, by "
                "`efficienttrain convert` or `loaders.convert`"
            )
        if not len(source):
            raise ValueError(f"{source.path}: holds no samples")
        if not hasattr(os, "memfd_create"):
            raise LoaderError("reading a source without conversion needs Linux's memfd_create; convert it first")
        self._source, self.path, self.ratios = source, source.path, (1.0,)
        self.fields = source.fields
        self.label_field = "label" if self.fields.get("label") == LABEL_ONLY["label"] else None
        self._to_label = Labels(source.classes, classes)
        self._threads = ThreadPoolExecutor(workers or available_processors(), "read")
        self._lock, self._recent = threading.Lock(), deque[_Chunk](maxlen=_KEPT)
        self._ahead: OrderedDict[bytes, list[Future[_Read]]] = OrderedDict()
        self._problems: dict[int, str] = {}  # the reasons why samples could not be loaded
        self._alive: weakref.WeakValueDictionary[bytes, _Chunk] = weakref.WeakValueDictionary()
        self._labels = self._listed_labels()
        self.classes = self._to_label.classes or self._numbers()
        self._window = Window()
        self.fd = self._window.fd

    def _listed_labels(self) -> NDArray[np.int64] | None:
        listed = extras(self._source).labels
        if listed is None or self.label_field is None:
            return None
        try:
            return np.array([self._to_label(label) for label in listed], np.int64)
        except Refused:
            return None

    def _numbers(self) -> list[str]:
        """Names for labels without names, if the source lists its labels."""
        return [] if self._labels is None else [str(k) for k in range(int(self._labels.max()) + 1)]

    def __len__(self) -> int:
        return len(self._source)

    def entries(self, indices: ArrayLike) -> NDArray[np.void]:
        """See `Dataset.entries`. Valid as long as `lease(indices)` is held."""
        return self._chunk(self._checked(indices)).entries

    def lease(self, indices: ArrayLike) -> object:
        return self._chunk(self._checked(indices))

    def labels(self, indices: ArrayLike) -> NDArray[np.int64]:
        indices = self._checked(indices)
        if self.label_field is None:
            return np.full(len(indices), -1, np.int64)
        if self._labels is not None:
            return self._labels[indices]
        return np.array([self._label(index, sample) for index, sample in self._targets(indices)], np.int64)

    def _label(self, index: int, sample: Sample) -> int:
        """The label of a sample; 0 for a sample that cannot be read, which the decoder will report or replace."""
        if sample.problem:
            return 0
        try:
            return self._to_label(sample.values["label"])
        except KeyError:
            raise BadDataset(f"{self.path}: sample {index} ({sample.name}) has no label") from None
        except Refused as refused:
            raise BadDataset(f"{self.path}: sample {index} ({sample.name}): {refused}") from None

    def _read_field(self, name: str, indices: NDArray[np.int64]) -> NDArray[Any] | list[Any]:
        kind = self.fields[name]
        samples = [sample for _, sample in self._targets(indices)]
        try:
            return _column(name, kind, [sample.values for sample in samples])
        except ValueError as error:
            raise BadDataset(f"{self.path}: {error}") from None

    def _targets(self, indices: NDArray[np.int64]) -> list[tuple[int, Sample]]:
        """Reads samples when only their targets are needed."""
        chunk = self._alive.get(indices.tobytes())
        if chunk is not None:
            return list(zip(indices.tolist(), chunk.samples, strict=True))
        if len(indices) <= _BLOCK:
            return list(zip(indices.tolist(), self._threads.map(self._sample, indices.tolist()), strict=True))
        return [
            pair for start in range(0, len(indices), _BLOCK) for pair in self._targets(indices[start : start + _BLOCK])
        ]

    def name(self, index: int) -> str:
        return self._sample(int(self._checked([index])[0])).name

    def read(self, index: int, level: int = 0) -> bytes:
        """The encoded image of a sample; `level` must be 0.

        Raises:
            BadDataset: the source cannot read it now, or could not read it for its size.
        """
        if level:
            raise IndexError(f"{self.path}: a source has level 0 only, got {level}")
        if index in self._problems:
            raise BadDataset(self._problems[index])
        sample = self._sample(int(self._checked([index])[0]))
        try:
            if sample.problem:
                raise OSError(sample.problem)
            return sample.image if isinstance(sample.image, bytes) else sample.image.read()
        except OSError as error:
            raise BadDataset(reason(error)) from None

    def expect(self, indices: NDArray[np.int64]) -> None:
        """See `Dataset.expect`."""
        with self._lock:
            key = indices.tobytes()
            if key not in self._ahead and key not in self._alive:
                self._ahead[key] = self._start(indices)
            while len(self._ahead) > _EXPECTED:
                for future in self._ahead.popitem(last=False)[1]:
                    future.cancel()

    def _start(self, indices: NDArray[np.int64]) -> list[Future[_Read]]:
        return [self._threads.submit(self._load, index) for index in indices.tolist()]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._window.close()
        self.fd = -1

    def _sample(self, index: int) -> Sample:
        """A sample; if the source cannot read it, its `problem` is set.

        Raises:
            TooManyOpenFiles: the source cannot open its file now.
        """
        try:
            return self._source[index]
        except TooManyOpenFiles:
            raise
        except Exception as error:  # user code may raise any error
            if too_many_open(error):
                raise TooManyOpenFiles.opening(f"{self.path}: sample {index}") from error
            return Sample(f"sample {index}", b"", {}, f"{type(error).__name__}: {error}")

    def _chunk(self, indices: NDArray[np.int64]) -> _Chunk:
        with self._lock:
            chunk = self._alive.get(indices.tobytes())
            if chunk is None:
                chunk = self._alive[indices.tobytes()] = self._read_chunk(indices)
            self._recent.append(chunk)
            return chunk

    def _read_chunk(self, indices: NDArray[np.int64]) -> _Chunk:
        coming = self._ahead.pop(indices.tobytes(), None) or self._start(indices)
        read = [future.result() for future in coming]
        entries = empty_entries(len(read), 1)
        lease = self._window.take(sum(len(one.data) for one in read))
        position = lease.start
        for entry, one in zip(entries[:, 0], read, strict=True):
            entry["offset"], entry["size"], entry["kind"] = position, len(one.data), one.kind
            entry["width"], entry["height"] = one.width, one.height
            self._window.write(memoryview(one.data), position)
            position += len(one.data)
        return _Chunk(entries, [one.sample for one in read], lease)

    def _load(self, index: int) -> _Read:
        """Reads a sample in a thread: a JPEG as its bytes, any other image as pixels. Raises as `_sample` does."""
        sample = self._sample(index)
        try:
            if sample.problem:
                raise LoaderError(sample.problem)
            data = sample.image if isinstance(sample.image, bytes) else sample.image.read()
            read = _read(sample, data)
        except TooManyOpenFiles:
            raise
        except (LoaderError, OSError) as error:
            self._problems[index] = reason(error)
            return _Read(sample, _UNREADABLE, 0, 1, 1)
        self._problems.pop(index, None)
        return read


def _read(sample: Sample, data: bytes) -> _Read:
    """A sample and the bytes of its image, for the kernel.

    Raises:
        LoaderError: the image cannot be used.
    """
    try:
        info = native.peek(data)
        return _Read(sample, data, 0, info.width, info.height)
    except native.JpegError:
        pixels = decode_rgb(data).pixels
    if max(pixels.shape) > 0xFFFF:
        raise LoaderError(f"{pixels.shape[1]} x {pixels.shape[0]} pixels, at most 65535 a side can be read")
    return _Read(sample, pixels.tobytes(), RAW, pixels.shape[1], pixels.shape[0])


def _column(name: str, kind: FieldType, values: list[Any]) -> NDArray[Any] | list[Any]:
    """Values of a field in the form of `Dataset.read_field`.

    Raises:
        ValueError: a value does not fit the field.
    """
    types = {name: kind}
    stored = [encode(types, one, row_dtype(types)) for one in values]
    if kind.inline:
        return np.array([one.row[name] for one in stored])
    return decode(kind, [one.blobs[0] for one in stored], f"field `{name}`")
