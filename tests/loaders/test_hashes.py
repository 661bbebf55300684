"""Pixels pinned: a refactoring, a compiler or a machine that changes a batch is seen here."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from loaders import native
from loaders.plan import plan_batch
from loaders.plan.filters import build
from tests.plainjpeg import plain_jpeg

# No libjpeg has a part in these: sources are written by tests/plainjpeg.py, and each level is a source of its own.
PINNED = {
    (16, 0): "f980c8b32a90a04f",
    (64, 0): "2db76c7134f52d05",
    (96, 1): "53d25a37fbb86d67",
    (160, 2): "0b7f2fb711f1a9e1",
    (224, 3): "b2cb2c37d0cd7085",
    (256, 4): "49bc68d225781a2e",
}
# Reduced levels are encoded by libjpeg. The key is what it makes of `picture`, which tells versions apart that differ.
LEVELS = {"629de64e5402d75a": "e7e24d32fbd435f0"}
SIDES = [(400, 300), (200, 152), (104, 80)]  # of three levels


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def batch(records: list[native.Record], place: Path, resolution: int, epoch: int) -> bytes:
    """32 crops out of one sample's levels, as the kernel delivers them."""
    entries, blob = np.zeros((32, len(records)), native.ENTRY), b""
    for level, record in enumerate(records):
        blob += bytes(-len(blob) % 4) + record.table
        entry = entries[:, level]
        entry["offset"], entry["size"], entry["rows"] = len(blob), len(record.jpeg), record.rows
        entry["head"], entry["width"], entry["height"] = record.head, record.width, record.height
        blob += record.jpeg
    (place / "records").write_bytes(blob)
    plan = plan_batch(entries, np.arange(32), seed=7, epoch=epoch, resolution=resolution, train=True)
    out = np.zeros(32 * 3 * resolution**2, np.uint8)
    with open(place / "records", "rb") as file:
        pool = native.Pool(2)
        pending = pool.submit(plan, native.KernelOptions(resolution, build(resolution), file.fileno()), out)
        assert pending.wait(30) and not pending.status.any()
    return out.tobytes()


@pytest.fixture(scope="module")
def records() -> list[native.Record]:
    return [native.transcode(plain_jpeg(*sides, key), (1.0,), 90)[0] for key, sides in enumerate(SIDES)]


@pytest.mark.parametrize(("resolution", "epoch"), PINNED)
def test_batches_are_what_they_were(
    isa: str,  # noqa: ARG001
    records: list[native.Record],
    tmp_path: Path,
    resolution: int,
    epoch: int,
) -> None:
    assert digest(batch(records, tmp_path, resolution, epoch)) == PINNED[resolution, epoch]


def picture() -> bytes:
    """A 400 x 300 picture out of integers alone, as a JPEG of libjpeg's."""
    y, x = np.mgrid[:300, :400]
    planes = [(x * x + y * y) >> 9, (x * 3 + y * 2) ^ (y >> 3), ((x - 200) ** 2 - (y - 150) ** 2) >> 8]
    return native.encode(np.stack([plane & 255 for plane in planes], axis=2).astype(np.uint8), 90)


def test_levels_are_what_they_were(tmp_path: Path) -> None:
    source = picture()
    if digest(source) not in LEVELS:
        pytest.skip("nothing is pinned for this libjpeg")
    made = native.transcode(source, (1.0, 0.5, 0.25), 90)
    assert digest(batch(made, tmp_path, 96, 1)) == LEVELS[digest(source)]
