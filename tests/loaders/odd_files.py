"""Image files as cameras, editors, browsers and accidents make them: the kinds of the table in docs/formats.md.

All hold about the same picture, 90 x 70 pixels unless the kind is about size: too small for DCT scaling at a resolution
of 32.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from tests.images import jpeg, picture
from tests.loaders.native.kinds import frame, make, scans
from tests.plainjpeg import plain_jpeg

WIDTH, HEIGHT = 90, 70
PIXELS = picture(WIDTH, HEIGHT, 3)
PLAIN = jpeg(PIXELS, "4:2:0")
PROGRESSIVE = jpeg(PIXELS, "4:2:0", progressive=True)
MARKED = jpeg(PIXELS, "4:2:0", restart=4)


def saved(form: str, mode: str = "RGB", **options: object) -> bytes:
    """The picture in another format or mode."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(file, form, **options)
    return file.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def before_end(inserted: bytes, data: bytes = PLAIN) -> bytes:
    """Between the last MCU and EOI."""
    return data[:-2] + inserted + data[-2:]


def after_start(inserted: bytes, data: bytes = PLAIN) -> bytes:
    """Between SOI and the first segment."""
    return data[:2] + inserted + data[2:]


def without(marker: int, data: bytes) -> bytes:
    """Leaves out the segments of a marker that stand before the first scan."""
    out, at = data[:2], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        out += b"" if data[at + 1] == marker else data[at:end]
        at = end
    return out + data[at:]


def patched(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def component_ids(ids: bytes, data: bytes) -> bytes:
    """Other component identifiers, in frame and scan header."""
    at, scan = frame(data) + 10, data.index(b"\xff\xda") + 5
    for i, each in enumerate(ids):
        data = patched(patched(data, at + 3 * i, bytes([each])), scan + 2 * i, bytes([each]))
    return data


def wide_tables(data: bytes) -> bytes:
    """Quantisation tables of 16 bits a step."""
    at = data.index(b"\xff\xdb")
    out = data[:at]
    while data[at + 1] == 0xDB:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + size]
        for start in range(0, len(body), 65):
            steps = body[start + 1 : start + 65]
            out += segment(0xDB, bytes([0x10 | body[start]]) + b"".join(bytes([0, step]) for step in steps))
        at += 2 + size
    return out + data[at:]


def first_scans(count: int) -> bytes:
    """The first scans of a progressive file, then EOI."""
    starts = [i for i in range(len(PROGRESSIVE) - 1) if PROGRESSIVE[i : i + 2] == b"\xff\xda"]
    return PROGRESSIVE[: starts[count]] + b"\xff\xd9"


def mpo() -> bytes:
    """Two pictures in one file, as stereo cameras and phones write them."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(
        file, "MPO", save_all=True, append_images=[Image.fromarray(PIXELS[::-1].copy())], quality=92
    )
    return file.getvalue()


def deep(scale: float, kind: type, form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray((PIXELS[:, :, 0].astype(float) * scale).astype(kind)).save(file, form)
    return file.getvalue()


def exif(size: int) -> bytes:
    """APP1 segments of so many bytes in all, the first of which asks for a rotation."""
    turned = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    pieces = [segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + bytes(60000)) for _ in range(size // 60000)]
    return after_start(segment(0xE1, turned) + b"".join(pieces))


def thumbnail() -> bytes:
    """An EXIF segment that holds a whole JPEG."""
    return after_start(segment(0xE1, b"Exif\0\0" + jpeg(picture(16, 12), "4:2:0")))


def motion(sampling: str, avi: bool = False) -> bytes:
    """A frame of motion JPEG: no Huffman tables; in AVI files an APP0 of its own instead of JFIF's."""
    data = without(0xC4, jpeg(PIXELS, sampling))
    return after_start(segment(0xE0, b"AVI1" + bytes(12)), without(0xE0, data)) if avi else data


ADOBE = b"Adobe\0\x64\0\0\0\0"
STRAY = bytes(range(1, 200)) * 6

KINDS: dict[str, Callable[[], bytes]] = {
    "JPEG 4:4:4": lambda: jpeg(PIXELS, "4:4:4"),
    "JPEG 4:2:2": lambda: jpeg(PIXELS, "4:2:2"),
    "JPEG 4:2:0": lambda: PLAIN,
    "JPEG 4:4:0": lambda: make("4:4:0", WIDTH, HEIGHT),
    "JPEG 4:1:1": lambda: make("4:1:1", WIDTH, HEIGHT),
    "JPEG, luma 3x1": lambda: plain_jpeg(WIDTH, HEIGHT, 1, (3, 1)),
    "JPEG, luma 1x3": lambda: plain_jpeg(WIDTH, HEIGHT, 1, (1, 3)),
    "JPEG, luma 4x2": lambda: plain_jpeg(WIDTH, HEIGHT, 1, (4, 2)),
    "JPEG, luma 2x4": lambda: plain_jpeg(WIDTH, HEIGHT, 1, (2, 4)),
    "JPEG, grey": lambda: jpeg(PIXELS, "grey"),
    "JPEG, grey, sampling declared 2x2": lambda: (lambda d: patched(d, frame(d) + 11, b"\x22"))(jpeg(PIXELS, "grey")),
    "JPEG, RGB by Adobe transform 0": lambda: jpeg(PIXELS, "4:4:4", keep_rgb=True),
    "JPEG, Adobe transform 1, no JFIF": lambda: after_start(segment(0xEE, ADOBE + b"\x01"), without(0xE0, PLAIN)),
    "JPEG, Adobe transform 0, no JFIF": lambda: after_start(segment(0xEE, ADOBE + b"\x00"), without(0xE0, PLAIN)),
    "JPEG, Adobe transform unknown": lambda: after_start(segment(0xEE, ADOBE + b"\x07"), without(0xE0, PLAIN)),
    "JPEG, Adobe and JFIF": lambda: after_start(segment(0xEE, ADOBE + b"\x00")),
    "JPEG, component ids R G B": lambda: component_ids(b"RGB", without(0xE0, jpeg(PIXELS, "4:4:4"))),
    "JPEG, component ids R G B and JFIF": lambda: component_ids(b"RGB", jpeg(PIXELS, "4:4:4")),
    "JPEG, component ids 0 1 2": lambda: component_ids(b"\0\1\2", without(0xE0, PLAIN)),
    "JPEG, JFIF marker too short": lambda: component_ids(
        b"RGB", after_start(segment(0xE0, b"JFIF\0"), without(0xE0, jpeg(PIXELS, "4:4:4")))
    ),
    "JPEG, restart markers": lambda: MARKED,
    "JPEG, a restart marker for each MCU": lambda: jpeg(PIXELS, "4:2:0", restart=1),
    "JPEG, restart interval longer than the image": lambda: jpeg(PIXELS, "4:2:0", restart=1000),
    "JPEG, restart interval 0": lambda: after_start(segment(0xDD, b"\0\0")),
    "JPEG, restart interval given twice": lambda: after_start(segment(0xDD, b"\0\x63"), MARKED),
    "JPEG, 1 x 1": lambda: jpeg(PIXELS[:1, :1], "4:2:0"),
    "JPEG, 1 pixel wide": lambda: jpeg(PIXELS[:, :1], "4:2:0"),
    "JPEG, 1 pixel high": lambda: jpeg(PIXELS[:1], "4:2:0"),
    "JPEG, 65,500 x 1": lambda: jpeg(np.tile(PIXELS[:1], (1, 728, 1))[:, :65500], "4:2:0"),
    "JPEG, 1 x 65,500": lambda: jpeg(np.tile(PIXELS[:, :1], (936, 1, 1))[:65500], "4:2:0"),
    "JPEG, quantisation tables of 16 bits": lambda: wide_tables(PLAIN),
    "JPEG, optimised Huffman tables": lambda: jpeg(PIXELS, "4:2:0", optimize=True),
    "JPEG, EXIF orientation": lambda: exif(0),
    "JPEG, 180 KB of metadata": lambda: exif(180000),
    "JPEG, thumbnail in EXIF": thumbnail,
    "JPEG, fill bytes before markers": lambda: PLAIN.replace(b"\xff\xdb", b"\xff\xff\xff\xff\xdb"),
    "JPEG, stray bytes between headers": lambda: PLAIN.replace(b"\xff\xc0", b"\0\r\n\xff\xc0"),
    "JPEG, restart marker before EOI": lambda: before_end(b"\xff\xd2"),
    "JPEG, comment before EOI": lambda: before_end(segment(0xFE, b"hello\xff\xd9")),
    "JPEG, APP segment before EOI": lambda: before_end(segment(0xE5, bytes(300))),
    "JPEG, DNL before EOI": lambda: before_end(segment(0xDC, HEIGHT.to_bytes(2, "big"))),
    "JPEG, fill bytes before EOI": lambda: before_end(b"\xff" * 9),
    "JPEG, one zero before EOI": lambda: before_end(b"\0"),
    "JPEG, line break before EOI": lambda: before_end(b"\r\n"),
    "JPEG, 1,194 stray bytes before EOI": lambda: before_end(STRAY),
    "JPEG, all of these before EOI": lambda: before_end(
        b"\0" + segment(0xFE, b"x") + b"\xff\xd0\xff\xd1" + STRAY + b"\xff"
    ),
    "JPEG, restart markers, stray bytes before EOI": lambda: before_end(STRAY, MARKED),
    "JPEG, restart markers, one too many": lambda: before_end(b"\xff\xd7", MARKED),
    "JPEG, EOI missing": lambda: PLAIN[:-2],
    "JPEG, zeros behind EOI": lambda: PLAIN + bytes(5000),
    "JPEG, another JPEG behind EOI": lambda: PLAIN + jpeg(PIXELS[::-1].copy(), "4:4:4"),
    "MPO": mpo,
    "JPEG, motion JPEG without Huffman tables": lambda: motion("4:2:0"),
    "JPEG, motion JPEG of an AVI file, 4:2:2": lambda: motion("4:2:2", avi=True),
    "JPEG, one scan a component": lambda: scans(jpeg(PIXELS, "grey"), 3),
    "JPEG, a component's scan missing": lambda: scans(jpeg(PIXELS, "grey"), 2),
    "JPEG, progressive": lambda: PROGRESSIVE,
    "JPEG, progressive, grey": lambda: jpeg(PIXELS, "grey", progressive=True),
    "JPEG, progressive, stray bytes before EOI": lambda: before_end(STRAY, PROGRESSIVE),
    "JPEG, progressive, restart marker before EOI": lambda: before_end(b"\0\xff\xd3", PROGRESSIVE),
    "JPEG, progressive, EOI missing": lambda: PROGRESSIVE[:-2],
    "JPEG, progressive, DC alone": lambda: first_scans(1),
    "JPEG, progressive, half of the scans": lambda: first_scans(5),
    "JPEG, CMYK": lambda: saved("JPEG", "CMYK"),
    "JPEG, 12 bits": lambda: patched(PLAIN, frame(PLAIN) + 4, b"\x0c"),
    "JPEG, lossless": lambda: patched(PLAIN, frame(PLAIN) + 1, b"\xc3"),
    "JPEG, height 0 (DNL)": lambda: before_end(
        segment(0xDC, HEIGHT.to_bytes(2, "big")), patched(PLAIN, frame(PLAIN) + 5, b"\0\0")
    ),
    "JPEG, cut short": lambda: PLAIN[: len(PLAIN) * 2 // 3],
    "JPEG, progressive, cut short": lambda: PROGRESSIVE[: len(PROGRESSIVE) * 2 // 3],
    "JPEG, restart markers, zeros in the scan": lambda: patched(MARKED, len(MARKED) * 2 // 3, bytes(300)),
    "PNG": lambda: saved("PNG"),
    "PNG, alpha": lambda: saved("PNG", "RGBA"),
    "PNG, palette": lambda: saved("PNG", "P"),
    "PNG, grey": lambda: saved("PNG", "L"),
    "PNG, grey of 16 bits": lambda: deep(257, np.uint16, "PNG"),
    "PNG, grey of 12 bits in 16": lambda: deep(16, np.uint16, "PNG"),
    "PNG, cut short": lambda: saved("PNG")[: len(saved("PNG")) * 2 // 3],
    "WebP": lambda: saved("WEBP", quality=95),
    "GIF": lambda: saved("GIF"),
    "BMP": lambda: saved("BMP"),
    "TIFF": lambda: saved("TIFF"),
    "TIFF, floating point": lambda: deep(1 / 255, np.float32, "TIFF"),
    "text": lambda: b"no image at all\n" * 9,
    "empty file": lambda: b"",
}
"""What is odd about a file -> its bytes."""
