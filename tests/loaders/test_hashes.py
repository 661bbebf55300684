"""Pixels pinned: a refactoring, a compiler or a machine that changes a batch is seen here."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from loaders import native
from loaders.plan import plan_batch
from loaders.plan.filters import build

# What the system's libjpeg makes of the picture below; another may make other bytes, and then nothing is pinned.
SOURCE = "629de64e5402d75a"
PINNED = {
    (16, 0): "53cd50133612f430",
    (64, 0): "dabf2c63a8cea1eb",
    (96, 1): "de0367022e244357",
    (160, 2): "b6a15f902a0549bd",
    (224, 3): "efc9c2ed83af26ff",
    (256, 4): "1bc218361150bd7e",
}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def source() -> bytes:
    """A 400 x 300 picture out of integers alone, as a JPEG."""
    y, x = np.mgrid[:300, :400]
    planes = [(x * x + y * y) >> 9, (x * 3 + y * 2) ^ (y >> 3), ((x - 200) ** 2 - (y - 150) ** 2) >> 8]
    return native.encode(np.stack([plane & 255 for plane in planes], axis=2).astype(np.uint8), 90)


@pytest.mark.parametrize(("bandwidth", "epoch"), PINNED)
def test_batches_are_what_they_were(isa: str, tmp_path: Path, bandwidth: int, epoch: int) -> None:  # noqa: ARG001
    data = source()
    if digest(data) != SOURCE:
        pytest.skip("another libjpeg made other bytes")
    entries, blob = np.zeros((32, 3), native.ENTRY), b""
    for level, record in enumerate(native.transcode(data, (1.0, 0.5, 0.25), 90)):
        blob += record.rows.astype("<u4").tobytes()
        entry = entries[:, level]
        entry["offset"], entry["size"], entry["rows"] = len(blob), len(record.jpeg), len(record.rows)
        entry["head"], entry["width"], entry["height"] = record.head, record.width, record.height
        blob += record.jpeg
    (tmp_path / "records").write_bytes(blob)
    plan = plan_batch(entries, np.arange(32), seed=7, epoch=epoch, bandwidth=bandwidth, train=True)
    out = np.zeros(32 * 3 * bandwidth**2, np.uint8)
    with open(tmp_path / "records", "rb") as file:
        pool = native.Pool(2)
        ticket = pool.submit(plan, side=bandwidth, filter=build(bandwidth), out=out, fd=file.fileno())
        assert ticket.wait(30) and not ticket.status.any()
    assert digest(out.tobytes()) == PINNED[bandwidth, epoch]
