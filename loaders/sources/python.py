"""Any indexable or iterable Python object as a source: torchvision data sets, lists, generators' functions."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from typing import Any

import numpy as np

from ..beton.fields import LABEL_ONLY, FieldType
from ..errors import BadDataset, LoaderError, TooManyOpenFiles
from ..pillow import rgb
from ..storage.files import too_many_open
from .source import FileRange, Options, Sample, guess_type

_TRIED = 16  # samples that may be broken before the form of the others is known
_COMPARED = 5  # samples whose labels are compared with those that a data set lists


class PythonSource:
    """Samples of a Python object, each an image with its targets.

    The object has `__getitem__` and `__len__`, or can be iterated more than once, or is a function without arguments
    that returns a new iterator. A sample is a tuple `(image, label)` or `(image, *targets)`, or a mapping with the key
    `image`. An image is encoded bytes, a path, a PIL image, or an array or tensor of uint8 (height x width x 3).

    PIL images and arrays are no files any more: their pixels are stored as RGB. Give paths or bytes if the JPEGs
    themselves shall be kept.
    """

    choices = ("image_column", "label_column")  # keys of samples that are mappings

    def __init__(self, data: Any, options: Options, path: str) -> None:
        """
        Args:
            data: see above.
            options: see `Options`.
            path: names `data` in errors.

        Raises:
            ValueError: `data` is neither indexable nor iterable again, or its samples are of an unknown form.
        """
        self._data, self.path = data, path
        self._names = list(options.fields) if options.fields is not None else None
        self._image, self._label = options.image_column or "image", options.label_column or "label"
        self._count = self._counted()
        self.classes = class_names(data) or list(options.classes or ())
        first = self._example()
        self._targets = len(first) - 1 if isinstance(first, tuple | list) else None  # of a sample
        self.fields = options.fields or ({} if first is None else self._guessed(first))
        self._first = b"" if first is None else repr(_facts(first)).encode()

    def _example(self) -> Any:
        """The first sample that can be had, whose form is that of all; None: there is no sample.

        Raises:
            BadDataset: none of the first ones can be had.
        """
        if not self.indexable:
            return next(iter(self._raw(0)), None)
        why: Exception | None = None
        for index in range(min(self._count, _TRIED)):
            try:
                return self._data[index]
            except Exception as error:  # the user's code
                why = why or error
        if why is not None:
            raise BadDataset(f"{self.path}[0] raised {type(why).__name__}: {why}; so did all that were tried") from why
        return None

    def _counted(self) -> int:
        try:
            return len(self._data)
        except TypeError:
            pass
        if isinstance(self._data, Iterator):
            raise ValueError(
                "an iterator can be read only once; give a list, an object with __len__, or a function that returns a "
                f"new iterator each time, got {self.path}"
            )
        if not isinstance(self._data, Iterable | Callable):
            raise ValueError(f"a source must be indexable or iterable, got {self.path}")
        return sum(1 for _ in self._raw(0))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Sample:
        """A sample by its number.

        Raises:
            TypeError: the object can only be iterated.
            TooManyOpenFiles: it cannot open the sample's file now.
        """
        try:
            raw = self._data[index]
        except Exception as error:  # the user's code: whatever else it raises is about this sample
            if too_many_open(error):
                raise TooManyOpenFiles.opening(f"{self.path}[{index}]") from error
            return Sample(f"sample {index}", b"", {}, f"{self.path}[{index}] raised {type(error).__name__}: {error}")
        return self._sample(index, raw)

    @property
    def indexable(self) -> bool:
        """Whether samples can be read in any order."""
        return hasattr(self._data, "__getitem__") and hasattr(self._data, "__len__")

    @property
    def labels(self) -> list[Any] | None:
        """The labels of all samples, if the object lists them (`targets`, as torchvision's data sets do)."""
        listed = plain(getattr(self._data, "targets", None))
        if not isinstance(listed, list | tuple | np.ndarray) or len(listed) != len(self) or not self.indexable:
            return None
        if getattr(self._data, "target_transform", None) is not None:
            return None
        # A subclass may deliver others than its parent lists: some are compared.
        for k in {k * (len(self) - 1) // (_COMPARED - 1) for k in range(_COMPARED)}:
            values = self[k].values
            if "label" not in values or not np.array_equal(values["label"], listed[k]):
                return None
        return list(listed)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """See `Source.samples`."""
        if self.indexable:
            yield from (self[index] for index in range(start, len(self)))
            return
        for index, raw in enumerate(self._raw(start), start):
            yield self._sample(index, raw)

    def fingerprint(self) -> str:
        """Of the object's type, its length and first sample: more cannot be known without reading everything."""
        text = f"{self.path} {len(self)} {self.classes} {self.fields}".encode()
        return hashlib.sha256(text + self._first).hexdigest()

    def _raw(self, start: int) -> Iterator[Any]:
        """The samples of an object that can only be iterated, from number `start` on."""
        rows = iter(self._data() if callable(self._data) else self._data)
        for index in count():
            try:
                raw = next(rows)
            except StopIteration:
                return
            except Exception as error:  # the user's code
                raise BadDataset(
                    f"{self.path}: must yield all samples, raised {type(error).__name__}: {error} after "
                    f"{index}; fix it, or catch that error in it"
                ) from error
            if index >= start:
                yield raw

    def _guessed(self, raw: Any) -> dict[str, FieldType]:
        """Types of the targets, from the first sample."""
        values = self._split(raw)[1]
        types: dict[str, FieldType] = {}
        for name, value in values.items():
            names_a_class = name == "label" and (value is None or isinstance(value, str))
            types[name] = LABEL_ONLY["label"] if names_a_class else guess_type(value)
        return types

    def _split(self, raw: Any) -> tuple[Any, dict[str, Any]]:
        """Image and targets."""
        if isinstance(raw, Sample):
            return raw.image, dict(raw.values)
        if isinstance(raw, Mapping):
            return self._split_mapping(raw)
        if not isinstance(raw, tuple | list) or not raw:
            raise ValueError(
                f"{self.path}: a sample must be a tuple (image, label) or a mapping, got {type(raw).__name__}; without "
                "labels, give tuples of one, (image,)"
            )
        if (self._image, self._label) != ("image", "label"):
            raise ValueError(
                f"{self.path}: `image_column` and `label_column` (of Loader: `label_field`) name keys of samples that "
                f"are mappings, got a {type(raw).__name__}"
            )
        image, *targets = raw
        if self._names is None and self._targets not in (None, len(targets)):
            raise ValueError(
                f"{self.path}: a sample must have as many targets as the first, {self._targets}, got {len(targets)}; "
                "name those to store by `fields`"
            )
        if self._names is None and len(targets) > 1:
            names = ["label", *(f"target{k}" for k in range(1, len(targets)))]
        else:
            names = self._names or ["label"][: len(targets)]
        if len(targets) < len(names):
            raise ValueError(f"{self.path}: a sample has {len(targets)} targets, {', '.join(names)} are wanted")
        return image, dict(zip(names, map(plain, targets), strict=False))

    def _split_mapping(self, raw: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        chosen = {self._image: "image_column"} | ({} if self._label == "label" else {self._label: "label_column"})
        for key, option in chosen.items():
            if key not in raw:
                raise ValueError(
                    f"{self.path}: a sample that is a mapping needs the key `{key}`, has {', '.join(map(str, raw))}; "
                    f"convert's `{option}` names another"
                )
        names = {key: key for key in raw if key not in (self._image, "image", "name", "label")}
        if self._label in raw:
            names = {key: "label" if key == self._label else key for key in raw if key in names or key == self._label}
        return raw[self._image], {name: plain(raw[key]) for key, name in names.items()}

    def _sample(self, index: int, raw: Any) -> Sample:
        if isinstance(raw, Sample):
            return raw
        name = str(raw["name"]) if isinstance(raw, Mapping) and "name" in raw else f"sample {index}"
        try:
            image, values = self._split(raw)
            if isinstance(image, str | os.PathLike):
                name = name if not name.startswith("sample ") else os.fspath(image)
                return Sample(name, FileRange.whole(os.fspath(image)), values)
            return Sample(name, encoded(image), values)
        except (ValueError, TypeError, OSError, LoaderError) as error:
            return Sample(name, b"", {}, str(error))


def class_names(data: Any) -> list[str]:
    """The class names that an object lists as `classes`, as torchvision's data sets do; empty: none.

    Where a class has several names (torchvision's `ImageNet`), which another may share, the WordNet ids are taken.
    """
    listed = getattr(data, "classes", None)
    if isinstance(listed, list | tuple | np.ndarray) and any(isinstance(name, list | tuple) for name in listed):
        listed = getattr(data, "wnids", [", ".join(map(str, names)) for names in listed])
    return [str(name) for name in listed] if isinstance(listed, list | tuple | np.ndarray) else []


def plain(value: Any) -> Any:
    """A tensor as an array, and an array or tensor of one element as a number."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return value.item() if isinstance(value, np.ndarray) and value.shape == () else value


def encoded(image: Any) -> bytes:
    """Encoded bytes of an image: as they are, or for pixels a PPM.

    Raises:
        ValueError: no kind of image that is known.
        LoaderError: a PIL image of more than 8 bits.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if hasattr(image, "convert") and hasattr(image, "mode"):  # a PIL image
        image = rgb(image)
    image = plain(image)
    if not isinstance(image, np.ndarray):
        raise ValueError(f"an image must be bytes, a path, a PIL image or an array, got {type(image).__name__}")
    if image.ndim == 3 and image.shape[0] in (1, 3) and image.shape[2] not in (1, 3):
        image = image.transpose(1, 2, 0)
    if image.dtype == np.uint8 and image.ndim == 1:
        return image.tobytes()
    if image.ndim == 2:
        image = image[:, :, None]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        floats = "; leave out the transform that makes them so (ToTensor, Normalize)" * (image.dtype.kind == "f")
        raise ValueError(
            f"an image's pixels must be uint8, height x width x 3, got {image.dtype} {list(image.shape)}{floats}"
        )
    return ppm(np.broadcast_to(image, (*image.shape[:2], 3)))


def ppm(pixels: np.ndarray) -> bytes:
    """Pixels [height, width, 3] uint8 as a PPM file, which every image library reads."""
    return b"P6 %d %d 255\n" % (pixels.shape[1], pixels.shape[0]) + np.ascontiguousarray(pixels).tobytes()


def _facts(raw: Any) -> Any:
    """A sample in a form whose text depends on its content alone."""
    if isinstance(raw, Mapping):
        return [(key, _facts(value)) for key, value in raw.items()]
    if isinstance(raw, tuple | list):
        return [_facts(value) for value in raw]
    try:
        return hashlib.sha256(encoded(raw)).hexdigest()
    except (ValueError, LoaderError):
        return json.dumps(plain(raw), default=lambda value: type(value).__name__)
