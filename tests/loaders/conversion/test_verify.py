from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from loaders.conversion import verify
from loaders.errors import BadDataset
from loaders.sources import open_dataset
from loaders.sources.pyramid import Pyramid


def test_a_sound_pyramid_has_no_damage(pyramid: Path) -> None:
    assert verify(pyramid) == verify(pyramid, workers=1) == []


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("where", ["table", "head", "middle", "end"])
def test_every_flipped_bit_is_found(pyramid: Path, tmp_path: Path, level: int, where: str) -> None:
    with open_dataset(pyramid) as dataset:
        entry, name = dataset.entries([17])[0, level], dataset.name(17)
    at = {"table": -1, "head": 5, "middle": int(entry["size"]) // 2, "end": int(entry["size"]) - 1}[where]
    data = bytearray(pyramid.read_bytes())
    data[int(entry["offset"]) + at] ^= 1
    (tmp_path / "x.beton").write_bytes(data)
    assert verify(tmp_path / "x.beton") == [(17, name, level, "its CRC does not match")]


def test_ffcvs_tables_are_compared(pyramid: Path, tmp_path: Path) -> None:
    with open_dataset(pyramid) as dataset:
        assert isinstance(dataset, Pyramid)
        head, name = dataset.head, dataset.name(3)
    row, allocation = head.rows + 3 * 24, head.table + 3 * 24
    for at in (row, row + 1, row + 3, row + 5, row + 16, allocation, allocation + 8, allocation + 16):
        data = bytearray(pyramid.read_bytes())
        data[at] ^= 1
        (tmp_path / "x.beton").write_bytes(data)
        assert verify(tmp_path / "x.beton") == [(3, name, -1, "FFCV's tables disagree with the index")], at


def test_betons_without_crcs_are_decoded(pyramid: Path, tmp_path: Path) -> None:
    from loaders.conversion import extract

    extract(pyramid, tmp_path / "x.beton", 1)
    with open_dataset(tmp_path / "x.beton") as dataset:
        entry = dataset.entries([4])[0, 0]
    data = np.frombuffer((tmp_path / "x.beton").read_bytes(), np.uint8).copy()
    middle = int(entry["offset"]) + int(entry["size"]) // 2
    data[middle : middle + 40] = 0xFF
    (tmp_path / "x.beton").write_bytes(data.tobytes())
    damages = verify(tmp_path / "x.beton")
    assert [(damage.sample, damage.level) for damage in damages] == [(4, 0)] and damages[0].why


def test_what_cannot_be_verified(jpeg_folder: Path, pyramid: Path, tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="this is a folder"):
        verify(jpeg_folder / "train")
    (tmp_path / "x.beton").write_bytes(pyramid.read_bytes()[:-1])
    with pytest.raises(BadDataset, match="cut short"):
        verify(tmp_path / "x.beton")
