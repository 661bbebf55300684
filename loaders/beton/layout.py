"""The bytes of a beton: FFCV's file format, version 2, and the private section that makes it a pyramid.

FFCV's part was determined from files that FFCV 1.0.2 wrote (all numbers little-endian):

    0          HEADER, then one FIELD per field, then one metadata row per sample
    ...        pages: level 0, every record a JPEG; no record straddles a multiple of the page size
    table      ALLOCATION rows up to the end of the file, in any order

A pyramid has the field `image` (type 2), usually `label` (type 1), and any further fields (see fields.py). FFCV does
not read the space between the last page and the allocation table. This space holds the private section:

    level 1, level 2, ...     records of the reduced sizes, each level in one piece
    index                     one row (`index_dtype`) per sample
    names                     source paths, one after the other, without separators
    checks                    version 3 only: CRC-32 of each stored value, u32 [samples, fields with pointers]
    meta                      JSON: classes, ratios, quality, conversion settings, and CRCs of the tables (sections.py)

Version 2 has the fields `image` and `label`. Version 3 has others, and two more sections: `rows` is FFCV's own metadata
table, and `values` are the bytes to which the fields' pointers point. They begin at a page's start directly after
level 0, and none of them straddles a page.

FFCV also ignores the image field's 1,024 `arguments` bytes. They start with PRIVATE, which gives the places of these
sections. A *record* is a JPEG preceded by its row table: a check of the offsets and the JPEG's headers, a check of each
MCU row's bytes, then for each MCU row the offset from SOI to its first entropy-coded byte, all u32.
`plan.records.table_bytes` gives the size of the table; row_check.h of the kernel defines a check. FFCV's pointers point
to the JPEG; FFCV does not read the table before it.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np

from ..errors import BadDataset

VERSION = 2
INT_FIELD, IMAGE_FIELD = 1, 2
MAX_LEVELS = 8
MIN_PAGE, MAX_PAGE = 2 << 20, 2 << 30

HEADER = np.dtype([("version", "<u2"), ("fields", "<u2"), ("page_size", "<u4"), ("samples", "<u8"), ("table", "<u8")])
FIELD = np.dtype([("type", "u1"), ("name", "S16"), ("arguments", "V1024")])
IMAGE = np.dtype([("mode", "u1"), ("width", "<u2"), ("height", "<u2"), ("ptr", "<u8")])
"""Metadata of an image field; mode 0 is JPEG, anything else raw pixels."""
BLOB = np.dtype([("ptr", "<u8"), ("size", "<u8")])
"""Metadata of a bytes or JSON field."""
ALLOCATION = np.dtype([("sample", "<u8"), ("ptr", "<u8"), ("size", "<u8")])

FIELD_ROWS: dict[int, tuple[np.dtype[Any], int]] = {
    0: (np.dtype("<f8"), 8),
    INT_FIELD: (np.dtype("<i8"), 8),
    IMAGE_FIELD: (IMAGE, 1),
    3: (BLOB, 1),
    4: (np.dtype("<u8"), 8),
    5: (BLOB, 1),
    6: (np.dtype("<u8"), 8),
}
"""Type and alignment of each field type's metadata (float, int, image, bytes, array, JSON, tensor)."""

SECTION = np.dtype([("offset", "<u8"), ("size", "<u8"), ("crc", "<u4"), ("pad", "<u4")])
_PRIVATE: list[Any] = [
    ("magic", "S8"),
    ("version", "<u4"),
    ("crc", "<u4"),  # CRC-32 of this struct with 0 here
    ("file_size", "<u8"),
    ("samples", "<u8"),
    ("levels", "<u4"),
    ("row_size", "<u4"),  # bytes of an index row
    ("start", "<u8", MAX_LEVELS),  # origin of each level's pointers; 0 for level 0
    ("end", "<u8", MAX_LEVELS),  # one past each level's last byte
    ("index", SECTION),
    ("names", SECTION),
    ("meta", SECTION),
]
PRIVATE = np.dtype(_PRIVATE)
"""The private section's header if `label` is the only field other than the image (version 2)."""
PRIVATE_FIELDS = np.dtype([*_PRIVATE, ("rows", SECTION), ("values", SECTION), ("checks", SECTION)])
"""The private section's header for any other fields (version 3)."""
MAGIC = b"ladder\r\n"  # the line end detects transfers that convert line ends
PRIVATE_VERSION, PRIVATE_FIELDS_VERSION = 2, 3

LEVEL = np.dtype(
    [
        ("ptr", "<u8"),  # of the JPEG's SOI, from the level's start
        ("size", "<u4"),  # bytes of the JPEG
        ("crc", "<u4"),  # CRC-32 of the record: row table, then JPEG
        ("head", "<u4"),  # bytes from SOI to the first entropy-coded byte
        ("rows", "<u4"),  # MCU rows of the table before the JPEG, see plan/records.py
        ("width", "<u2"),
        ("height", "<u2"),
    ]
)


def index_dtype(levels: int) -> np.dtype[Any]:
    """One index row: label, position of the name in the names, and every level's record."""
    return np.dtype([("label", "<i4"), ("name_size", "<u4"), ("name", "<u8"), ("level", LEVEL, (levels,))])


def metadata_dtype(types: list[int]) -> np.dtype[Any]:
    """One metadata row of fields f0, f1, ...: in the layout of a C compiler, with packed structs aligned to 1.

    Raises:
        BadDataset: a type that FFCV does not define (or 255: defined by a user's own code).
    """
    offset, widest, offsets, formats = 0, 1, [], []
    for kind in types:
        if kind not in FIELD_ROWS:
            raise BadDataset(f"field types 0 to 6 are known, got {kind} (a custom field): leave it out")
        form, alignment = FIELD_ROWS[kind]
        offset = round_up(offset, alignment)
        offsets.append(offset)
        formats.append(form)
        offset += form.itemsize
        widest = max(widest, alignment)
    names = [f"f{k}" for k in range(len(types))]
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": round_up(offset, widest)})


def round_up(value: int, step: int) -> int:
    return -(-value // step) * step


def page_size_for(total: int, largest: int) -> int:
    """Page size in bytes: a power of two that holds the largest record.

    Args:
        total: bytes of all sources; from 1 GiB on, pages are FFCV's default of 8 MiB, below it 2 MiB.
        largest: bytes that the largest record may need.

    Raises:
        ValueError: no page can hold it.
    """
    if largest > MAX_PAGE:
        raise ValueError(f"a record must fit a page of {MAX_PAGE} bytes, got {largest}; shrink that image")
    page = MIN_PAGE if total < 1 << 30 else 8 << 20
    while page < largest:
        page *= 2
    return page


def pack_private(private: np.ndarray) -> bytes:
    """The image field's arguments bytes: PRIVATE or PRIVATE_FIELDS with its CRC, zeros up to 1,024."""
    private["version"] = PRIVATE_VERSION if private.dtype == PRIVATE else PRIVATE_FIELDS_VERSION
    private["magic"], private["crc"] = MAGIC, 0
    private["crc"] = zlib.crc32(private.tobytes())
    return private.tobytes().ljust(FIELD["arguments"].itemsize, b"\0")


def unpack_private(arguments: bytes, path: str) -> np.ndarray | None:
    """Reads PRIVATE or PRIVATE_FIELDS from an image field's arguments bytes; None if FFCV left them empty.

    Raises:
        BadDataset: damaged, or of a version this code does not know.
    """
    if not any(arguments):
        return None
    version = int(np.frombuffer(arguments, PRIVATE, 1)["version"][0])
    dtype = PRIVATE_FIELDS if version == PRIVATE_FIELDS_VERSION else PRIVATE
    private = np.frombuffer(arguments, dtype, 1).copy().reshape(())
    crc = int(private["crc"])
    private["crc"] = 0
    if private["magic"] != MAGIC or crc != zlib.crc32(private.tobytes()):
        raise BadDataset(f"{path}: its private section's header is damaged; convert it again")
    if version not in (PRIVATE_VERSION, PRIVATE_FIELDS_VERSION):
        known = f"{PRIVATE_VERSION} and {PRIVATE_FIELDS_VERSION}"
        remedy = "convert it again" if version < PRIVATE_VERSION else "update this package"
        raise BadDataset(f"{path}: pyramid versions {known} can be read, got {version}; {remedy}")
    return private


def pack_meta(meta: dict[str, Any]) -> bytes:
    """JSON with sorted keys, so that equal contents give equal bytes."""
    return json.dumps(meta, sort_keys=True, separators=(",", ":")).encode("ascii")
