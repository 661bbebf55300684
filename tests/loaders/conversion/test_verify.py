from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from loaders.conversion import sampled, verify
from loaders.errors import BadDataset
from loaders.sources import open_dataset
from loaders.sources.pyramid import Pyramid
from tests.loaders.ffcv_files import without_index


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
    without_index(tmp_path / "x.beton")
    with open_dataset(tmp_path / "x.beton") as dataset:
        entry = dataset.entries([4])[0, 0]
    data = np.frombuffer((tmp_path / "x.beton").read_bytes(), np.uint8).copy()
    middle = int(entry["offset"]) + int(entry["size"]) // 2
    data[middle : middle + 40] = 0xFF
    (tmp_path / "x.beton").write_bytes(data.tobytes())
    damages = verify(tmp_path / "x.beton")
    assert [(damage.sample, damage.level) for damage in damages] == [(4, 0)] and damages[0].why


def test_what_cannot_be_verified(jpeg_folder: Path, pyramid: Path, tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="only betons can be verified"):
        verify(jpeg_folder / "train")
    (tmp_path / "x.beton").write_bytes(pyramid.read_bytes()[:-1])
    with pytest.raises(BadDataset, match="cut short"):
        verify(tmp_path / "x.beton")


@pytest.mark.parametrize(("sample", "turns"), [(0.34, 2), (0.2, 5), (0.01, 100), (0.9, 1)])
def test_all_turns_together_check_every_sample_once(sample: float, turns: int) -> None:
    from loaders.conversion.verify import RUN, _blocks

    for count in (RUN * 1000 + 3, 5000):
        found = np.concatenate([block for turn in range(turns) for block in _blocks(count, sample, turn)])
        assert sorted(found.tolist()) == list(range(count))
    if turns > 1:
        assert abs(sampled(100_000, sample) * turns - 100_000) <= RUN * turns
    assert sampled(3, sample, 7) == 3  # a small file is never passed over


def test_a_share_finds_what_lies_in_it(pyramid: Path, tmp_path: Path) -> None:
    with open_dataset(pyramid) as dataset:
        entry, name = dataset.entries([17])[0, 1], dataset.name(17)
    data = bytearray(pyramid.read_bytes())
    data[int(entry["offset"]) + 9] ^= 1
    (tmp_path / "x.beton").write_bytes(data)
    found = [verify(tmp_path / "x.beton", sample=0.34, turn=turn) for turn in range(3)]
    damage = (17, name, 1, "its CRC does not match")  # in the third run of eight samples
    assert found == [[damage], [], [damage]]
    for wrong in (0.0, 1.01, -1.0, float("nan")):
        with pytest.raises(ValueError, match=r"`sample` must be above 0 and at most 1 \(100 %\), got"):
            verify(pyramid, sample=wrong)
    with pytest.raises(ValueError, match="`turn` must be at least 0, got -1"):
        verify(pyramid, turn=-1)


def test_all_parts_are_checked(pyramid: Path, tmp_path: Path) -> None:
    for name in ("0.beton", "1.beton"):
        (tmp_path / name).write_bytes(pyramid.read_bytes())
    with open_dataset(pyramid) as dataset:
        entry, name = dataset.entries([17])[0, 0], dataset.name(17)
    with open(tmp_path / "1.beton", "r+b") as file:
        file.seek(int(entry["offset"]) + 9)
        file.write(b"\xff\xff\xff")
    assert verify(tmp_path / "*.beton") == [(24 + 17, name, 0, "its CRC does not match")]
