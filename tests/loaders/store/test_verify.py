from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from loaders.errors import BadDataset
from loaders.store import open_store, verify
from loaders.store.ladder import Ladder


def test_a_sound_ladder_has_no_damage(ladder: Path) -> None:
    assert verify(ladder) == verify(ladder, workers=1) == []


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("where", ["table", "head", "middle", "end"])
def test_every_flipped_bit_is_found(ladder: Path, tmp_path: Path, level: int, where: str) -> None:
    with open_store(ladder) as store:
        entry, name = store.entries([17])[0, level], store.name(17)
    at = {"table": -1, "head": 5, "middle": int(entry["size"]) // 2, "end": int(entry["size"]) - 1}[where]
    data = bytearray(ladder.read_bytes())
    data[int(entry["offset"]) + at] ^= 1
    (tmp_path / "x.beton").write_bytes(data)
    assert verify(tmp_path / "x.beton") == [(17, name, level, "its CRC does not match")]


def test_ffcvs_tables_are_compared(ladder: Path, tmp_path: Path) -> None:
    with open_store(ladder) as store:
        assert isinstance(store, Ladder)
        head, name = store.head, store.name(3)
    row, allocation = head.rows + 3 * 24, head.table + 3 * 24
    for at in (row, row + 1, row + 3, row + 5, row + 16, allocation, allocation + 8, allocation + 16):
        data = bytearray(ladder.read_bytes())
        data[at] ^= 1
        (tmp_path / "x.beton").write_bytes(data)
        assert verify(tmp_path / "x.beton") == [(3, name, -1, "FFCV's tables disagree with the index")], at


def test_betons_without_crcs_are_decoded(ladder: Path, tmp_path: Path) -> None:
    from loaders.store import extract

    extract(ladder, tmp_path / "x.beton", 1)
    with open_store(tmp_path / "x.beton") as store:
        entry = store.entries([4])[0, 0]
    data = np.frombuffer((tmp_path / "x.beton").read_bytes(), np.uint8).copy()
    middle = int(entry["offset"]) + int(entry["size"]) // 2
    data[middle : middle + 40] = 0xFF
    (tmp_path / "x.beton").write_bytes(data.tobytes())
    damages = verify(tmp_path / "x.beton")
    assert [(damage.sample, damage.level) for damage in damages] == [(4, 0)] and damages[0].why


def test_what_cannot_be_verified(jpeg_folder: Path, ladder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="this is a folder"):
        verify(jpeg_folder / "train")
    (tmp_path / "x.beton").write_bytes(ladder.read_bytes()[:-1])
    with pytest.raises(BadDataset, match="cut short"):
        verify(tmp_path / "x.beton")
