"""The benchmark of remote reading counts what the store delivered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import remote
from benchmarks.__main__ import main
from loaders import convert


def test_the_report(jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("obstore")
    convert(jpeg_folder / "train", tmp_path / "x.beton", workers=1)
    options = [
        "--batch-size",
        "8",
        "--rounds",
        "1",
        "--resolutions",
        "32",
        "96",
        "--latency",
        "0.001",
        "--threads",
        "1",
    ]
    data = ["--data", str(tmp_path / "x.beton"), "--json", str(tmp_path / "r.json"), "--threads", "1"]
    assert main(["remote", *data, *options]) == 0
    assert "requests/image" in capsys.readouterr().out
    rows = json.loads((tmp_path / "r.json").read_text())["results"]
    assert [(row["order"], row["resolution"]) for row in rows] == [
        (order, side) for order in ("quasi", "random") for side in (32, 96)
    ]
    # An epoch is fetched as two groups, a batch of 8 and the other 16. Each lies close together, so it is one request.
    assert all(row["requests_per_image"] == 2 / 24 and 0 < row["share_of_bytes"] < 3 for row in rows)


def test_peers_read_the_same_images_from_the_same_store(jpeg_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("obstore")
    report = remote.run(
        str(jpeg_folder / "train"), threads=1, rounds=1, resolutions=[32], latency=0.001, batch_size=8,
        work=str(tmp_path), peers=["ours-quasi"],
    )  # fmt: skip
    (row,) = report["peers"]
    assert (row["contestant"], row["resolution"]) == ("ours-quasi", 32)
    assert row["bytes_per_image"] > 0 and row["requests_per_image"] > 0 and row["rate"]["median"] > 0
    assert "ours, quasi-random order" in remote.text(report).splitlines()[-1]


def test_wrong_data(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no such image"):
        remote.run(str(tmp_path), threads=1)
    (tmp_path / "x.beton").touch()
    with pytest.raises(ValueError, match=r"`--data` must be an image folder, got .*x\.beton"):
        remote.run(str(tmp_path / "x.beton"), threads=1, peers=["webdataset"])
    with pytest.raises(ValueError, match="takes ours-quasi, webdataset, streaming, litdata; got ffcv"):
        remote.run(str(tmp_path), threads=1, peers=["ffcv"])
