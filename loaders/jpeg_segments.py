"""The segments before a JPEG's first scan, and what EXIF says of the way the camera was held."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_SCAN, _EXIF, _ORIENTATION = 0xDA, 0xE1, 0x0112
_MOST = 1000  # segments that are looked at, so that no file takes long


def segments(jpeg: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, first byte and end of the content of each segment (ITU T.81, annex B), up to the first scan or damage."""
    at = 2
    for _ in range(_MOST):
        if at + 4 > len(jpeg) or jpeg[at] != 0xFF or jpeg[at + 1] == _SCAN:
            return
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        yield jpeg[at + 1], at + 4, end
        at = end


def orientation(data: bytes) -> int:
    """EXIF's orientation of an image file, 1 to 8 (CIPA DC-008, tag 0x0112); 1, upright, if it is no JPEG with one."""
    if not data.startswith(b"\xff\xd8"):
        return 1
    for marker, start, end in segments(data):
        if marker == _EXIF and data[start : start + 6] == b"Exif\0\0":
            return _tag(data[start + 6 : end])
    return 1


def _tag(tiff: bytes) -> int:
    """The orientation in the first directory of a TIFF structure; 1 if it has none, or is damaged."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    try:
        if order is not None:
            (directory,) = struct.unpack_from(f"{order}4xI", tiff)
            (entries,) = struct.unpack_from(f"{order}H", tiff, directory)
            for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
                tag, value = struct.unpack_from(f"{order}H6xH", tiff, entry)
                if tag == _ORIENTATION:
                    return value if 1 <= value <= 8 else 1
    except struct.error:  # it ends before
        pass
    return 1
