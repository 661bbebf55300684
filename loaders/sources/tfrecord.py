"""TFRecord files of `tf.train.Example` as a source, without TensorFlow.

A file is a sequence of records: u64 length, u32 masked CRC-32C of the length, the data, u32 masked CRC-32C of the data.
An Example is a protocol buffer: a map from feature names to lists of bytes, floats or integers.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from typing import Any

from ..beton.fields import LABEL_ONLY
from ..errors import BadDataset
from ..native import crc32c
from ..storage import files
from ..storage.store import is_url
from .source import Options, Sample, file_facts

_NAME = re.compile(r"\.tfrecords?$|\.tfrecords?-\d+-of-\d+$|-\d+-of-\d+$")
_IMAGE, _LABEL, _FILE = "image/encoded", "image/class/label", "image/filename"


class TFRecord:
    """The examples of TFRecord files, in order. Image: feature `image/encoded`; label: feature `image/class/label`.

    A field is the feature of that name, or else the feature whose last part has that name: `text` is
    `image/class/text`. A list of one value counts as the value. A record whose data do not have their CRC is refused.
    """

    choices = ("image_column", "label_column")

    def __init__(self, path: str, options: Options) -> None:
        """Finds the files and counts their records.

        Raises:
            FileNotFoundError: no such files.
            BadDataset: a file is damaged or truncated.
        """
        self.path, self._files = path, files.expand(path)
        if not self._files:
            raise FileNotFoundError(f"{path}: no such TFRecord files")
        self._image, self._label = options.image_column or _IMAGE, options.label_column or _LABEL
        self.classes = list(options.classes or ())
        self.fields = options.fields or dict(LABEL_ONLY)
        self._counts = files.each(lambda name: sum(1 for _ in _records(name, read=False)), self._files, is_url(path))

    @staticmethod
    def recognises(path: str) -> bool:
        """Recognises names such as x.tfrecord, train.tfrecord-00000-of-00128, train-00000-of-01024, and their globs."""
        names = files.expand(path)
        return bool(names) and all(_NAME.search(os.path.basename(name)) for name in names)

    def __len__(self) -> int:
        return sum(self._counts)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """See `Source.samples`. Whole files before `start` are skipped unread."""
        for name, count in zip(self._files, self._counts, strict=True):
            if start >= count:
                start -= count
                continue
            for number, (data, check) in enumerate(_records(name)):
                if number < start:
                    continue
                title = f"{os.path.basename(name)} record {number}"
                if _masked_crc(data) == check:
                    yield self._sample(title, data)
                else:
                    yield Sample(title, b"", {}, "is damaged, its data do not have their CRC; copy the file again")
            start = 0

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        return f"{file_facts(self._files)} {self._image} {self._label}"

    def _sample(self, name: str, data: bytes) -> Sample:
        try:
            features = parse_example(data)
        except (ValueError, IndexError, struct.error) as error:
            return Sample(name, b"", {}, f"is no tf.train.Example ({error})")
        image = features.get(self._image)
        if not isinstance(image, bytes):
            return Sample(name, b"", {}, f"has no bytes {self._image!r}; its features are {', '.join(features)}")
        values: dict[str, Any] = {key.rsplit("/", 1)[-1]: value for key, value in features.items()} | features
        values.pop("label", None)
        if self._label in features:
            values["label"] = features[self._label]
        file = features.get(_FILE)
        return Sample(f"{name} ({file.decode('utf-8', 'replace')})" if isinstance(file, bytes) else name, image, values)


def _records(path: str, read: bool = True) -> Iterator[tuple[bytes, int]]:
    """The data of each record, and the CRC that they should have; empty bytes and 0 if not `read`.

    Raises:
        BadDataset: truncated, or a length does not match its CRC.
    """
    offset = 0
    with files.open_file(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        while offset < size:
            head = file.read(12)
            if len(head) < 12 or _masked_crc(head[:8]) != int.from_bytes(head[8:], "little"):
                raise BadDataset(f"{path}: not a valid TFRecord file at byte {offset}; copy it again")
            length = int.from_bytes(head[:8], "little")
            offset += 16 + length
            if offset > size:
                raise BadDataset(
                    f"{path}: cut short, has {size} bytes, its last record ends at {offset}; copy it again"
                )
            yield (file.read(length), int.from_bytes(file.read(4), "little")) if read else (b"", 0)
            file.seek(offset)


def _masked_crc(data: bytes) -> int:
    """CRC-32C, rotated and offset as in TFRecord."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def parse_example(data: bytes) -> dict[str, Any]:
    """The features of a serialised `tf.train.Example`: a value, or a list of several.

    Raises:
        ValueError, IndexError, struct.error: it is not a `tf.train.Example`.
    """
    features: dict[str, Any] = {}
    for _, message in _fields(data, 1):
        for _, entry in _fields(message, 1):
            parts = dict(_fields(entry))
            if 1 in parts:
                values = _values(parts.get(2, b""))
                features[parts[1].decode("utf-8")] = values[0] if len(values) == 1 else values
    return features


def _values(feature: bytes) -> list[Any]:
    """The list in a Feature: bytes (1), floats (2) or integers (3)."""
    out: list[Any] = []
    for kind, message in _fields(feature):
        for _, value in _fields(message, 1):
            if kind == 1:
                out.append(value)
            elif kind == 2:
                out += struct.unpack(f"<{len(value) // 4}f", value)
            elif isinstance(value, int):
                out.append(_signed(value))
            else:
                position = 0
                while position < len(value):
                    number, position = _varint(value, position)
                    out.append(_signed(number))
    return out


def _fields(message: bytes, only: int | None = None) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a message: bytes, or an int for a varint."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        wire = tag & 7
        value: Any = None
        if wire == 0:
            value, position = _varint(message, position)
        elif wire in (1, 2, 5):
            length = {1: 8, 5: 4}.get(wire)
            if length is None:
                length, position = _varint(message, position)
            value, position = message[position : position + length], position + length
        if value is None or position > len(message):
            raise ValueError(f"broken field at byte {position}")
        if only in (None, tag >> 3):
            yield tag >> 3, value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
        if shift > 63:
            raise ValueError(f"a number at byte {position} is too long")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
