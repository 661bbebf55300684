from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efficienttrain.__main__ import main
from loaders.conversion import convert
from loaders.sources import open_dataset


def test_damage_is_named_and_told_by_the_exit_status(
    jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.beton"
    convert(jpeg_folder / "val", out, workers=1)
    assert main(["verify", str(out), "--quiet"]) == 0
    assert capsys.readouterr().out == f"{out}: sound\n"
    with open_dataset(out) as dataset:
        entry, name = dataset.entries([2])[0, 1], dataset.name(2)
    data = bytearray(out.read_bytes())
    data[int(entry["offset"]) + 700] ^= 1
    out.write_bytes(data)
    assert main(["verify", str(out), "--quiet"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"damaged: sample 2 ({name}), level 1: its CRC does not match",
        f"{out}: 1 damaged",
    ]


def test_what_is_no_beton_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").write_text("text " * 99)
    assert main(["verify", str(tmp_path / "x")]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1 and "not a beton file" in told.err


def test_a_share_of_the_records(jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.beton"
    convert(jpeg_folder / "train", out, workers=1)
    assert main(["verify", str(out), "--quiet", "--sample", "34%"]) == 0
    sound = "checked 16 of 24 samples, all sound"
    rest = "if damage is scattered, at most 19 % of all samples are damaged (95 % confidence)"
    assert capsys.readouterr().out == f"{out}: {sound}; {rest}\n"
    with open_dataset(out) as dataset:
        entry = dataset.entries(dataset.stored_at(np.array([9])))[0, 0]  # turns go by places in the file
    with open(out, "r+b") as file:
        file.seek(int(entry["offset"]) + 9)
        file.write(b"\xff\xff\xff")
    assert main(["verify", str(out), "--quiet", "--sample", "0.34", "--turn", "1"]) == 1
    assert capsys.readouterr().out.endswith("1 damaged among 8 of 24 samples; check all without --sample\n")
    with pytest.raises(SystemExit):
        main(["verify", str(out), "--sample", "few"])
    assert "must be a share, as 1% or 0.01, got 'few'" in capsys.readouterr().err
