"""The records that the plan passes to the kernel: a stored level, a sample of a batch, the operations on its pixels.

The C++ kernel reads them as plain structs (little-endian, no hidden padding), so a change here changes its ABI.
"""

from __future__ import annotations

from typing import Any

import numpy as np

ENTRY = np.dtype(
    [
        ("path", "<i8"),  # address of a file name, NUL at its end; 0: the data set's own file; negative: ~descriptor
        ("offset", "<i8"),  # file offset of the image's first byte (of a JPEG its SOI)
        ("size", "<u4"),  # bytes of the image; 0: to the end of the file
        ("rows", "<u4"),  # MCU rows in the table of offsets directly before the JPEG; 0: no table
        ("head", "<u4"),  # bytes from SOI to the first entropy-coded byte; 0: unknown
        ("crc", "<u4"),  # CRC-32 of row table and JPEG
        ("width", "<u2"),  # pixels; 0: unknown, or this level is not stored
        ("height", "<u2"),  # pixels; 0: unknown, or this level is not stored
        ("kind", "<u4"),  # 0: JPEG; RAW or OTHER
    ]
)
"""One stored level of one sample, 40 bytes. A data set answers with an array of these, [samples, levels]."""

RAW = 1
"""`kind` of an entry whose bytes are pixels: height x width x 3, RGB, as FFCV stores them in mode "raw"."""
OTHER = 2
"""`kind` of an entry whose bytes are a file that the kernel cannot decode. Pillow's threads decode it."""

SAMPLE = np.dtype(
    [
        ("entry", ENTRY),  # the level to read
        ("box", "<f4", 4),  # crop x0, y0, x1, y1 in pixels of that level (before DCT scaling); may reach outside it
        ("full", "<f4", 2),  # width and height of the same crop in full-size pixels
        ("scale", "u1"),  # DCT denominator 1, 2, 4 or 8
        ("flip", "u1"),  # 1: mirrored left to right
        ("margin", "<u2"),  # pixels of that level beyond the box that the filter's taps may use; 0: none
        ("fill", "u1", 3),  # R, G, B of output pixels whose centre is outside the image
        ("pad", "u1"),
    ]
)
"""The kernel's instructions for one sample of a batch, 72 bytes."""


OPERATION = np.dtype(
    [
        ("kind", "<i4"),  # an `Op` of loaders/transforms/randaugment_ops.py; -1: none
        ("argument", "<f4"),  # in the operation's own unit, see `augment` there
        ("map", "<i4", 6),  # the origins of moved pixels, see `motion` there
    ]
)
"""One operation of RandAugment on one sample, 32 bytes."""

ERASURE = np.dtype(
    [
        ("top", "<i4"),  # of the box, pixels
        ("left", "<i4"),
        ("height", "<i4"),  # 0: no erasing
        ("width", "<i4"),
        ("key", "<i8"),  # of the noise
    ]
)
"""One rectangle that random erasing fills, 24 bytes."""


def table_bytes(rows: Any) -> Any:
    """Bytes of the table before a JPEG with this number of MCU rows (integer or array).

    The format is in loaders/native/jpeg/row_check.h: a check of the headers and one of each row, then each
    row's offset, 4 bytes each; 0 bytes if there are no rows.
    """
    return (rows > 0) * 4 * (2 * rows + 1)
