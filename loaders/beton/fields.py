"""Fields other than the image: their types, and their bytes as FFCV 1.0.2 writes them.

A field of a small fixed size (int, float) is stored in the sample's metadata row. For every other field the row holds a
pointer: for an array a pointer to its elements, for bytes and JSON a pointer and a length. FFCV's JSON ends with a NUL
byte.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import BadDataset
from . import layout

KINDS = {0: "float", layout.INT_FIELD: "int", 3: "bytes", 4: "array", 5: "json", 6: "array"}
"""FFCV's numbers of the field types known here; 6 is its TorchTensorField."""
ORIGINAL = "original"
"""Kind, and name, of the field that keeps image files that level 0 cannot hold without loss; b"" for other images."""
_CODES = {"float": 0, "int": layout.INT_FIELD, "array": 4, "json": 5}
_CODES |= dict.fromkeys(("bytes", "mask", "boxes", "points", ORIGINAL), 3)
COLUMNS = {"boxes": 4, "points": 2}
"""Float32 numbers per row of these kinds."""
META = {"mask": "masks", "boxes": "boxes", "points": "points", ORIGINAL: "originals"}
"""Kinds that FFCV sees as bytes, and the key of their fields' names in a pyramid's meta data."""
_ARRAY = np.dtype([("shape", "<u8", 32), ("length", "<u8")])  # arguments of an array field, then its dtype as JSON
_NAME_BYTES = layout.FIELD["name"].itemsize


@dataclass(frozen=True)
class FieldType:
    """Type of one stored field.

    Attributes:
        kind: "int" (int64), "float" (float64), "array" (fixed shape), "bytes", "json"; "mask" (an encoded image of one
            channel, as large as the sample's image), "boxes" (any number of x0, y0, x1, y1) or "points" (any number of
            x, y), in pixels of the sample's image, float32; "original" (see `ORIGINAL`). FFCV sees the last four as
            bytes.
        dtype: element type of an array, little-endian; None for the other kinds.
        shape: shape of an array, each side at least 1; () for the other kinds.
    """

    kind: str
    dtype: np.dtype[Any] | None = None
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in _CODES:
            raise ValueError(
                f"a field's type must be one of {', '.join(sorted(_CODES.keys() - {ORIGINAL}))}, got {self.kind!r}"
            )
        if self.kind != "array":
            if self.dtype is not None or self.shape:
                raise ValueError(f"only array fields have a dtype and a shape, got {self.dtype}, {self.shape}")
        elif self.dtype is None or self.dtype.kind not in "biuf" or self.dtype.byteorder == ">":
            raise ValueError(f"an array field needs a little-endian number type, got {self.dtype}")
        elif not 1 <= len(self.shape) <= 32 or min(self.shape) < 1:
            raise ValueError(f"an array field needs 1 to 32 sides of at least 1, got {self.shape}")

    @property
    def inline(self) -> bool:
        """Whether the value is stored in the metadata row itself."""
        return self.kind in ("int", "float")

    @property
    def code(self) -> int:
        """FFCV's number of the type."""
        return _CODES[self.kind]

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}" if self.kind == "array" else self.kind


LABEL_ONLY = {"label": FieldType("int")}
"""The fields of a pyramid made from an image folder."""

FieldSpec = FieldType | str | tuple[Any, Any]
"""A type as callers give it: its kind, such as "int" or "boxes"; for an array (dtype, side) or (dtype, shape)."""


def parse_fields(specs: Mapping[str, FieldSpec]) -> dict[str, FieldType]:
    """Field types by name.

    Raises:
        ValueError: an unknown type, or a name that FFCV's 16 bytes of ASCII cannot hold, or "image".
    """
    types: dict[str, FieldType] = {}
    for name, spec in specs.items():
        if not name.isascii() or not name.isprintable() or not 1 <= len(name) <= _NAME_BYTES or name == "image":
            raise ValueError(f"a field's name must be 1 to {_NAME_BYTES} ASCII characters, not `image`; got {name!r}")
        try:
            types[name] = _parsed(spec)
        except (TypeError, ValueError) as error:
            raise ValueError(f"field `{name}`: {error}") from None
    return types


def _parsed(spec: FieldSpec) -> FieldType:
    if isinstance(spec, FieldType):
        return spec
    if spec == ORIGINAL:
        raise ValueError("`keep_codec` makes this field; leave it out of `fields`")
    if isinstance(spec, str):
        return FieldType(spec)
    dtype, shape = spec
    sides = tuple(map(int, shape)) if isinstance(shape, Sequence) else (int(shape),)
    return FieldType("array", np.dtype(dtype), sides)


def pack_arguments(kind: FieldType) -> bytes:
    """The 1,024 `arguments` bytes of a field descriptor."""
    packed = b""
    if kind.dtype is not None:
        text = json.dumps(kind.dtype.descr).encode("ascii")
        head = np.zeros((), _ARRAY)
        head["shape"][: len(kind.shape)] = kind.shape
        head["length"] = len(text)
        packed = head.tobytes() + text
    return packed.ljust(layout.FIELD["arguments"].itemsize, b"\0")


def unpack_type(code: int, arguments: bytes, where: str) -> FieldType:
    """The type that a field descriptor states.

    Raises:
        BadDataset: an array's arguments are damaged.
    """
    kind = KINDS[code]
    if kind != "array":
        return FieldType(kind)
    head = np.frombuffer(arguments, _ARRAY, 1)[0]
    text = arguments[_ARRAY.itemsize :][: int(min(head["length"], 256))]
    try:
        (entry,) = json.loads(text)
        shape = [int(side) for side in head["shape"]]
        return FieldType("array", np.dtype(entry[1]), tuple(shape[: shape.index(0)] if 0 in shape else shape))
    except (ValueError, TypeError, IndexError, RecursionError) as error:
        raise BadDataset(f"{where}: damaged, its array type cannot be read ({error}); write it again") from None


class Encoded(NamedTuple):
    """One sample's fields, ready to be stored.

    Attributes:
        row: one metadata record of the fields, pointers counted from the start of `blobs`.
        blobs: the bytes of each field that has a pointer, in field order.
    """

    row: NDArray[np.void]
    blobs: list[bytes]


def row_dtype(types: Mapping[str, FieldType]) -> np.dtype[Any]:
    """Metadata of only these fields, by name, packed; `layout.metadata_dtype` aligns whole rows."""
    formats: list[Any] = []
    for kind in types.values():
        inline = "<i8" if kind.kind == "int" else "<f8"
        formats.append(inline if kind.inline else "<u8" if kind.kind == "array" else layout.BLOB)
    return np.dtype({"names": list(types), "formats": formats})


def with_pointers(types: Mapping[str, FieldType]) -> list[str]:
    """Names of the fields whose rows hold a pointer, in order."""
    return [name for name, kind in types.items() if not kind.inline]


def extents(kind: FieldType, column: NDArray[Any]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Pointer and size of each value, from a field's column of metadata rows."""
    if kind.dtype is None:
        return column["ptr"].astype(np.uint64), column["size"].astype(np.uint64)
    size = kind.dtype.itemsize * int(np.prod(kind.shape))
    return column.astype(np.uint64), np.full(len(column), size, np.uint64)


def move_pointers(types: Mapping[str, FieldType], rows: NDArray[np.void], distance: Any) -> None:
    """Adds a distance (a number, or one for each row) to every pointer in metadata rows, in place."""
    for name in with_pointers(types):
        column = rows[name] if types[name].dtype is not None else rows[name]["ptr"]
        column += np.asarray(distance, np.uint64)


def encode(types: Mapping[str, FieldType], values: Mapping[str, Any], row: np.dtype[Any]) -> Encoded:
    """Converts one sample's values to their stored form.

    Raises:
        ValueError: a value is missing, or does not fit its field's type; the message names the field.
    """
    record, blobs, position = np.zeros((), row), [], 0
    for name, kind in types.items():
        if name not in values:
            raise ValueError(f"field `{name}` ({kind}) is missing; the sample has {', '.join(values) or 'none'}")
        if values[name] is None and kind.kind != "json":
            raise ValueError(f"field `{name}` must be {kind}, got no value (None or null)")
        try:
            stored = _stored(kind, values[name])
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"field `{name}` must be {kind}, got {_short(values[name])}: {error}") from None
        if not isinstance(stored, bytes):
            record[name] = stored
            continue
        if kind.kind == "array":
            record[name] = position
        else:
            record[name]["ptr"], record[name]["size"] = position, len(stored)
        blobs.append(stored)
        position += room(len(stored))
    return Encoded(record, blobs)


def room(size: int) -> int:
    """Bytes that a value of `size` takes in the file: an empty value takes one byte, so that its pointer is unique."""
    return max(1, size)


def _stored(kind: FieldType, value: Any) -> int | float | bytes:
    if kind.kind == "int":
        return _integer(value)
    if kind.kind == "float":
        return float(value)
    if kind.kind == "json":
        text = json.dumps(value, default=_plain, allow_nan=False).encode("utf-8")
        return text + b"\0"
    if kind.kind == "mask":
        return _mask(value)
    if kind.kind in COLUMNS:
        return _rows(value, COLUMNS[kind.kind])
    if kind.kind in ("bytes", ORIGINAL):
        return value.encode("utf-8") if isinstance(value, str) else bytes(memoryview(value))
    assert kind.dtype is not None
    given = np.asarray(value)
    if given.shape != kind.shape:
        raise ValueError(f"its shape is {list(given.shape)}")
    if given.dtype.kind not in "biuf":
        raise ValueError(f"its type is {given.dtype}")
    with np.errstate(over="ignore"):
        array = given.astype(kind.dtype)
    if kind.dtype.kind == "f" and not np.array_equal(np.isfinite(array), np.isfinite(given)):
        raise ValueError("a value is too large for that type")
    if kind.dtype.kind in "biu" and not np.array_equal(array, given):
        raise ValueError("its values change in that type")
    return array.tobytes()


def _rows(value: Any, columns: int) -> bytes:
    """Boxes or points as float32, row by row; bytes that already consist of such rows are unchanged."""
    if isinstance(value, bytes):
        value = np.frombuffer(value, "<f4").reshape(-1, columns)
    rows = np.asarray(value, "<f4")
    if not rows.size:
        return b""
    if rows.ndim != 2 or rows.shape[1] != columns:
        raise ValueError(f"its shape is {list(rows.shape)}, must be [any number, {columns}]")
    if not np.isfinite(rows).all():
        raise ValueError("a coordinate is not finite")
    if columns == 4 and not (rows[:, :2] <= rows[:, 2:]).all():
        raise ValueError("a box must be x0, y0, x1, y1 with x0 <= x1 and y0 <= y1 (not x, y, width, height)")
    return rows.tobytes()


def _mask(value: Any) -> bytes:
    """A mask as an image file: bytes are unchanged, pixels become a PNG."""
    if isinstance(value, bytes):
        return value
    from PIL import Image

    image = value if isinstance(value, Image.Image) else Image.fromarray(np.asarray(value))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _integer(value: Any) -> int:
    number = int(value)
    if isinstance(value, float | np.floating) and number != value:
        raise ValueError("it is not a whole number")
    if not -(2**63) <= number < 2**63:
        raise ValueError("it does not fit 64 bits")
    return number


def _plain(value: Any) -> Any:
    """NumPy's scalars and arrays, and decimal numbers, as JSON values; dates and times in the format of ISO 8601."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"JSON cannot hold {type(value).__name__}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
