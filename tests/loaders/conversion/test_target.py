"""Where a conversion writes to: links, the home folder, names that need care."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loaders import Loader, convert, open_dataset
from loaders.conversion import (
    append_parts,
    check_parts,
    compact_parts,
    extract,
    remove_samples,
    split_parts,
    write_manifest,
)


@pytest.mark.parametrize("there", [False, True])
def test_a_link_stays_and_the_file_that_it_names_is_written(jpeg_folder: Path, tmp_path: Path, there: bool) -> None:
    """With the working folder beside the file: the link's own disk may be too small."""
    disk, link = tmp_path / "disk", tmp_path / "train.beton"
    disk.mkdir()
    link.symlink_to("disk/real.beton")
    if there:
        convert(jpeg_folder / "val", disk / "real.beton", workers=1, quality=70)
    (tmp_path / "train.beton.partial").write_text("no folder can be made here")
    assert convert(jpeg_folder / "val", link, workers=1).out == str(link)
    assert os.readlink(link) == "disk/real.beton" and os.listdir(disk) == ["real.beton"]
    with open_dataset(link) as dataset:
        assert dataset.meta is not None and dataset.meta["quality"] == 90


def test_a_cache_may_be_a_link(jpeg_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "disk" / "real.beton.partial").mkdir(parents=True)
    link = tmp_path / "train.beton"
    link.symlink_to("disk/real.beton")
    convert(jpeg_folder / "val", link, workers=1, as_cache=True)
    (tmp_path / "disk" / "real.beton.partial").mkdir()  # of a killed conversion
    with Loader(jpeg_folder / "val", cache=link, batch_size=2, resolution=32, num_workers=1) as loader:
        assert len(list(loader)) == 3
    assert link.is_symlink() and os.listdir(tmp_path / "disk") == ["real.beton"]


def test_the_home_folder(jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    assert convert(jpeg_folder / "val", "~/a.beton", workers=1).out == str(tmp_path / "home" / "a.beton")
    assert extract("~/a.beton", "~/level.beton", 1, workers=1) > 0
    assert write_manifest(["~/a.beton"], "~/one.json") == 6
    assert split_parts("~/a.beton", "~/all.json", 2, workers=1) == [
        str(tmp_path / "home" / f"all-0000{k}-of-00002.beton") for k in range(2)
    ]
    assert append_parts("~/all.json", ["~/a.beton"]) == 12
    assert remove_samples("~/all.json", indices=[0]) == 1
    assert len(compact_parts("~/all.json", workers=1)) == 1
    assert [part.samples for part in check_parts("~/all.json")] == [2, 3, 6]
    assert len(check_parts("~/all-*.beton")) == 2
    with Loader(jpeg_folder / "val", cache="~/cache.beton", batch_size=2, resolution=32, num_workers=1) as loader:
        list(loader)
    assert os.listdir(tmp_path) == ["home"]
