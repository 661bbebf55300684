"""MosaicML's MDS folders and litData's optimised folders as sources, without their packages.

Both have an `index.json` that lists shards and columns. A shard (all numbers u32, little-endian) consists of the number
of samples n, n + 1 offsets from the file's start, and the samples. A sample consists of the sizes of its columns, then
their bytes; MDS omits the sizes of columns of constant size.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..beton.fields import LABEL_ONLY, FieldType
from ..errors import BadDataset
from ..storage.files import open_regular
from .python import encoded
from .source import Indexed, Options, Sample, file_facts
from .table_columns import import_pyarrow

if TYPE_CHECKING:
    import pyarrow as pa

_ARROW = b"LDARW01\0"
_IMAGES, _LABELS = ("image", "img", "jpg", "jpeg", "png"), ("label", "labels", "class", "cls", "target", "y")
_NUMBERS = {"int": "<i8", "float": "<f8", "bool": "?"} | {
    f"{kind}{bits}": f"<{kind[0]}{bits // 8}" for kind in ("uint", "int", "float") for bits in (8, 16, 32, 64)
}
_TEXTS: dict[str, Callable[[str], Any]] = {"str_int": int, "str_float": float, "json": json.loads, "str": str}


class Column(NamedTuple):
    """One column: name, encoding, and bytes per value; None: each sample states the size."""

    name: str
    encoding: str
    size: int | None = None

    @property
    def holds_image(self) -> bool:
        """Whether its encoding is an image encoding."""
        return self.encoding.partition(":")[0] in ("jpeg", "png", "pil", "image")

    @property
    def field(self) -> FieldType | None:
        """The type of field that can store its values; None: there is none, or the values are pickled."""
        kind = self.encoding.partition(":")[0]
        if kind in ("str", "bytes"):
            return FieldType("bytes")
        if kind == "json":
            return FieldType("json")
        if kind in _NUMBERS or kind in _TEXTS:
            return FieldType("float" if "float" in kind else "int")
        if (parts := self.encoding.split(":"))[0] == "ndarray" and len(parts) == 3:
            return FieldType("array", np.dtype(parts[1]).newbyteorder("<"), tuple(map(int, parts[2].split(","))))
        return None

    def decode(self, data: bytes) -> Any:
        """A value. Raises ValueError if the bytes do not fit the encoding."""
        kind = self.encoding.partition(":")[0]
        if kind in _NUMBERS:
            return np.frombuffer(data, _NUMBERS[kind])[0].item()
        if kind in _TEXTS:
            return _TEXTS[kind](data.decode())
        field = self.field
        return data if field is None or field.dtype is None else np.frombuffer(data, field.dtype).reshape(field.shape)


class IndexedShards(Indexed):
    """Samples of the shards that an `index.json` lists, in its order. They can be read in any order.

    The image is the column of an image encoding, or one named `image`, `img`, `jpg`, `jpeg` or `png`; the label the
    column `label`, `labels`, `class`, `cls`, `target` or `y`. Pickled values are never loaded.
    """

    choices = ("split", "image_column", "label_column")

    format: ClassVar[str]
    listed: ClassVar[str]
    """The index's name for its list of shards."""

    def __init__(self, path: str, options: Options) -> None:
        """Reads the index, but no shard.

        Raises:
            FileNotFoundError: a shard is missing, or no such split.
            ValueError: no image column.
            BadDataset: the index is damaged, or the shards are compressed or encrypted.
        """
        self.path = os.path.dirname(path) if path.endswith("index.json") else path
        if options.split is not None:
            self.path = os.path.join(self.path, options.split)
        name = os.path.join(self.path, "index.json")
        try:
            with open(name, encoding="utf-8") as file:
                index = json.load(file)
            self._columns, shards = self._parse(index)
        except FileNotFoundError:
            raise FileNotFoundError(f"{name}: no such index; name the folder that holds it") from None
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            raise BadDataset(
                f"{name}: no index of {self.format} shards ({type(error).__name__}: {error}); copy it again"
            ) from None
        self._shards = [os.path.join(self.path, shard) for shard, _ in shards]
        self._counts = [count for _, count in shards]
        self._ends = np.cumsum(self._counts, dtype=np.int64)
        missing = next((shard for shard in self._shards if not os.path.isfile(shard)), None)
        if missing is not None:
            raise FileNotFoundError(f"{missing}: no such shard; copy it, and decompress shards that are compressed")
        self._files, self._offsets = [name, *self._shards], lru_cache(maxsize=256)(_offsets)
        self._arrow = lru_cache(maxsize=256)(_arrow_rows)
        self._choose(options)
        self.classes = list(options.classes or ())

    def _parse(self, index: Any) -> tuple[list[Column], list[tuple[str, int]]]:
        """Columns, and (file, samples) of each shard.

        Raises:
            ValueError, KeyError, TypeError, IndexError: not of this format.
        """
        raise NotImplementedError

    def _choose(self, options: Options) -> None:
        columns = {column.name: column for column in self._columns}
        images = [column.name for column in self._columns if column.holds_image]
        found = [options.image_column] if options.image_column else [*images, *_IMAGES]
        image = next((name for name in found if name in columns), None)
        if image is None:
            raise ValueError(f"{self.path}: needs an image column, has {', '.join(columns)}; name it by image_column")
        labels = [options.label_column] if options.label_column else _LABELS
        self._image, self._label = columns[image], next((name for name in labels if name in columns), None)
        if options.label_column and self._label is None:
            raise ValueError(f"{self.path}: has no column {options.label_column!r}, has {', '.join(columns)}")
        guessed = dict(LABEL_ONLY) if self._label is not None else {}
        for column in self._columns:
            other = (
                column.name not in (image, self._label, "label") and column.name.isascii() and len(column.name) <= 16
            )
            if other and (kind := column.field) is not None:
                guessed[column.name] = kind
        self.columns, self.fields = list(columns), options.fields or guessed

    @classmethod
    def recognises(cls, path: str) -> bool:
        """Recognises a folder with such an index, and the index itself."""
        name = path if path.endswith("index.json") else os.path.join(path, "index.json")
        try:
            with open_regular(name) as file:
                return f'"{cls.listed}"'.encode() in file.read(4096)
        except OSError:
            return False

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> Sample:
        """A sample by its number."""
        shard = int(np.searchsorted(self._ends, index, side="right"))
        inside = index - int(self._ends[shard]) + self._counts[shard]
        path = self._shards[shard]
        name = f"{os.path.relpath(path, self.path)} sample {inside}"
        try:
            return self._read(name, path, self._counts[shard], inside)
        except (ValueError, TypeError, IndexError, OSError, RecursionError) as error:
            return Sample(name, b"", {}, f"cannot be read: {error}")

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        return f"{file_facts(self._files)} {self._image.name} {self._label}"

    def _read(self, name: str, path: str, count: int, inside: int) -> Sample:
        """Sample number `inside` of a shard's `count` samples. Raises ValueError, TypeError, IndexError or OSError."""
        offsets = self._offsets(path, count)
        with open_regular(path) as file:
            file.seek(int(offsets[inside]))
            return self._sample(name, file.read(int(offsets[inside + 1] - offsets[inside])))

    def _sample(self, name: str, data: bytes) -> Sample:
        free = [column for column in self._columns if column.size is None]
        sizes = iter(np.frombuffer(data, "<u4", len(free)).tolist())
        position, values, image = 4 * len(free), {}, b""
        for column in self._columns:
            size = next(sizes) if column.size is None else column.size
            value, position = data[position : position + size], position + size
            if column is self._image:
                image = value
            elif column.name == self._label or column.name in self.fields:
                values["label" if column.name == self._label else column.name] = column.decode(value)
        if position != len(data):
            raise ValueError(f"its columns have {position} bytes, the sample {len(data)}")
        return Sample(name, self._pixels(image) if self._image.encoding == "pil" else image, values)

    def _pixels(self, data: bytes) -> bytes:
        """A raw image: width, height, length of the name of Pillow's mode, the name, pixels."""
        from PIL import Image

        width, height, length = np.frombuffer(data, "<u4", 3).tolist()
        mode = data[12 : 12 + length].decode()
        return encoded(Image.frombytes(mode, (width, height), data[12 + length :]))


class MDS(IndexedShards):
    """MosaicML streaming's Mosaic Data Shards."""

    format, listed = "mds", "shards"

    def _parse(self, index: Any) -> tuple[list[Column], list[tuple[str, int]]]:
        shards = index["shards"]
        first = shards[0]
        layout = [first[f"column_{what}"] for what in ("names", "encodings", "sizes")]
        for shard in shards:
            if (
                shard["format"] != "mds"
                or [shard[f"column_{what}"] for what in ("names", "encodings", "sizes")] != layout
            ):
                raise ValueError("its shards must all be MDS, with the same columns")
        return list(map(Column, *layout)), [(shard["raw_data"]["basename"], int(shard["samples"])) for shard in shards]


class LitData(IndexedShards):
    """The folders that litData's `optimize` writes, of samples that are dictionaries, tuples or lists."""

    format, listed = "litdata", "chunks"

    def _parse(self, index: Any) -> tuple[list[Column], list[tuple[str, int]]]:
        config = index["config"]
        if config.get("compression") or config.get("encryption"):
            raise ValueError("compressed or encrypted chunks cannot be read; optimize without")
        spec = json.loads(config["data_spec"])[1]
        if any(child["children_spec"] for child in spec["children_spec"]):
            raise ValueError("samples must be flat dictionaries, tuples or lists")
        encodings = config["data_format"]
        if spec["type"] == "builtins.dict":
            names = json.loads(spec["context"])
        else:  # the first image and the first number of a tuple
            names = [f"item{k}" for k in range(len(encodings))]
            names[next((k for k, kind in enumerate(encodings) if kind == "int"), 0)] = "label"
        columns = [Column(name, encoding) for name, encoding in zip(names, encodings, strict=True)]
        return columns, [(chunk["filename"], int(chunk["chunk_size"])) for chunk in index["chunks"]]

    def _read(self, name: str, path: str, count: int, inside: int) -> Sample:
        rows = self._arrow(path)
        if rows is None:
            return super()._read(name, path, count, inside)
        (row,) = rows.slice(inside, 1).to_pylist()
        image = row[self._image.name]
        values = {key: row[key] for key in self.fields.keys() & row.keys()}
        if self._label is not None:
            values["label"] = row[self._label]
        return Sample(name, image, values, "" if isinstance(image, bytes) else "has no image")


def _arrow_rows(path: str) -> pa.Table | None:
    """The samples of a chunk that ends with an Arrow IPC file, its length (u32) and a marker; None: it does not.

    litData 0.2.70 and later write dictionaries of numbers, text and bytes in this form, and no other data in the chunk.
    """
    with open_regular(path) as file:
        end = file.seek(0, os.SEEK_END) - len(_ARROW) - 4
        if end < 0 or file.seek(end) != end or (tail := file.read())[4:] != _ARROW:
            return None
    pa = import_pyarrow()
    length = int.from_bytes(tail[:4], "little")
    if length > end:
        raise ValueError(f"{path}: damaged; copy it again")
    with pa.memory_map(path) as mapped:  # mapped, not read: only one row of a 64 MB chunk may be needed
        rows = pa.ipc.open_file(mapped.read_buffer(end)[end - length :]).read_all()
        rows.validate(full=True)  # pyarrow would follow offsets out of the file
        return rows


def _offsets(path: str, count: int) -> NDArray[np.uint32]:
    """The start of each sample of a shard, and the end of the last one, [count + 1].

    Raises:
        ValueError: the shard does not match the index.
    """
    with open_regular(path) as file:
        head = np.frombuffer(file.read(4 * (count + 2)), "<u4")
        size = os.fstat(file.fileno()).st_size
    if len(head) != count + 2 or head[0] != count or (np.diff(head[1:].astype(np.int64)) < 0).any() or head[-1] > size:
        raise ValueError(f"{path}: damaged, or not the shard of {count} samples that the index lists; copy it again")
    return head[1:]
