"""What DALI is fed: for each planned sample the bytes under its crop, as a JPEG that is known to be sound.

DALI loses a whole batch to one JPEG that it cannot decode, and decodes flipped bits without a word. So records are
compared with their CRC and headers with the index; what does not pass, DALI never sees.
"""

from __future__ import annotations

import ctypes
import os
import time
import zlib
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loaders import native
from loaders.backends.dali.threads import Threads
from loaders.backends.decoder import Planned
from loaders.native import JpegError
from loaders.plan.records import table_bytes

STAND_IN = native.encode(np.zeros((8, 8, 3), np.uint8), 50)
"""What DALI decodes in place of a sample that it must not see: a batch keeps its shape."""


class Piece(NamedTuple):
    """One sample, cut."""

    jpeg: bytes
    x: int  # which pixel of the stored level the JPEG's first one is
    y: int
    status: int  # an `EtStatus`
    read: int  # bytes of the record
    read_ns: int
    cut_ns: int


class Cut:
    """A batch being cut.

    Attributes, once `wait` has returned:
        jpegs: of each sample, uint8 [bytes]; of a stand-in where `status` is not OK.
        status: an `EtStatus` each, [n].
        box: the crop x0, y0, x1, y1 in pixels of these JPEGs, [n, 4]; all of a stand-in.
        sums: nanoseconds and bytes as `native.Pool.stats` counts them, and `cut_ns`.
    """

    jpegs: list[NDArray[np.uint8]]
    status: NDArray[np.int32]
    box: NDArray[np.float32]
    sums: Counter[str]

    def __init__(self, batch: Planned, threads: Threads, fd: int) -> None:
        """Starts at once. fd: the store's file."""
        self.batch = batch
        self._pieces = threads.spread(lambda i: _piece(batch.samples[i], fd), len(batch.samples))

    def wait(self) -> None:
        """Waits for all samples."""
        pieces = self._pieces.wait()
        self.jpegs = [np.frombuffer(piece.jpeg, np.uint8) for piece in pieces]
        self.status = np.array([piece.status for piece in pieces], np.int32)
        samples, good = self.batch.samples, self.status[:, None] == native.OK
        sides = np.stack((samples["entry"]["width"], samples["entry"]["height"]), axis=1)
        box = np.clip(samples["box"], 0, np.tile(sides, 2)) - [[piece.x, piece.y] * 2 for piece in pieces]
        self.box = np.where(good, box, [0, 0, 8, 8]).astype(np.float32)
        self.sums = Counter(
            samples=len(pieces),
            read_ns=sum(piece.read_ns for piece in pieces),
            cut_ns=sum(piece.cut_ns for piece in pieces),
            bytes_read=sum(piece.read for piece in pieces),
            bytes_decoded=sum(map(len, self.jpegs)),
        )

    def close(self) -> None:
        """Gives up what has not begun."""
        self._pieces.close()


def _piece(sample: Any, fd: int) -> Piece:
    began = time.perf_counter_ns()
    record, status = b"", native.OK
    try:
        record, table = _record(sample["entry"], fd)
    except OSError:
        status = native.IO_ERROR
    got = time.perf_counter_ns()
    jpeg, x, y = STAND_IN, 0, 0
    if status == native.OK:
        try:
            jpeg, x, y = _cut(record, table, sample)
        except JpegError as error:
            status = error.status
    return Piece(jpeg, x, y, status, len(record), got - began, time.perf_counter_ns() - got)


def _record(entry: Any, fd: int) -> tuple[bytes, int]:
    """A stored level with the row table before it, and that table's length."""
    if entry["path"]:
        path = ctypes.string_at(int(entry["path"]))
        if not os.path.isfile(path):
            raise OSError("no regular file")  # to open a pipe would wait for its other end
        with open(path, "rb") as file:
            return file.read(), 0
    table = table_bytes(int(entry["rows"]))
    return os.pread(fd, table + int(entry["size"]), int(entry["offset"]) - table), table


def _cut(record: bytes, table: int, sample: Any) -> tuple[bytes, int, int]:
    """The JPEG that holds the crop, all of it where it cannot be cut; and its first pixel's place (x, y)."""
    entry, jpeg = sample["entry"], record[table:]
    if entry["crc"] and zlib.crc32(record) != entry["crc"]:
        raise JpegError(native.DAMAGED, "the CRC does not match")
    info = native.peek(jpeg)
    if (info.width, info.height) != (entry["width"], entry["height"]):
        raise JpegError(native.DAMAGED, "the headers contradict the index")
    x0, y0, x1, y1 = sample["box"].tolist()
    box = (max(0, int(x0)), max(0, int(y0)), min(info.width, -int(-x1 // 1)), min(info.height, -int(-y1 // 1)))
    try:
        return native.cut(jpeg, box)
    except JpegError as error:
        if error.status != native.UNSUPPORTED:
            raise
    if jpeg.rfind(b"\xff\xd9") < 0:  # DALI refuses a JPEG without an end
        raise JpegError(native.DAMAGED, "the end is missing")
    return jpeg, 0, 0
