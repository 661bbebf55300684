"""Image folders with what does not belong there: loops, pipes, devices, names of any bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loaders import Loader, convert
from loaders.errors import BadDataset
from loaders.sources import open_dataset
from loaders.sources.scan import scan
from tests.robustness import corpus
from tests.robustness.watchdog import watch


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label in "ab":
        (tmp_path / "photos" / label).mkdir(parents=True)
        for k in range(4):
            (tmp_path / "photos" / label / f"{k}.jpg").write_bytes(corpus.make("4:2:0", 48, 48, k))
    return tmp_path / "photos"


@pytest.mark.parametrize("target", [".", "..", "../../photos"])
def test_links_that_lead_back_are_not_followed(photos: Path, target: str) -> None:
    plain = scan(photos)
    (photos / "a" / "loop").symlink_to(target)
    (photos / "a" / "again").symlink_to(target)
    assert scan(photos)._replace(folders={}) == plain._replace(folders={})


def test_other_links_are_followed(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (photos / "b" / "3.jpg").rename(tmp_path / "elsewhere" / "3.jpg")
    (photos / "b" / "more").symlink_to(tmp_path / "elsewhere")
    assert scan(photos).names[-1] == "b/more/3.jpg"


def read(photos: str) -> Iterator[dict[str, Any]]:
    """Both ways through a folder: loaded, and converted."""
    with Loader(photos, batch_size=2, resolution=32, on_error="replace", drop_last=False, num_workers=1) as loader:
        count = sum(len(images) for images, _ in loader)
        yield {"count": count, "bad": sorted((bad.name, bad.why) for bad in loader.stats()["bad"])}
    yield {"refused": convert(photos, f"{photos}.beton", on_error="skip", workers=2).refused}


def test_pipes_and_devices_are_refused_and_not_waited_for(photos: Path) -> None:
    os.mkfifo(photos / "a" / "pipe.jpg")
    (photos / "b" / "zero.jpg").symlink_to("/dev/zero")
    loaded, converted = watch("tests.robustness.test_folders:read", photos=str(photos))
    assert loaded["count"] == 10
    assert [name for name, _ in loaded["bad"]] == ["a/pipe.jpg", "b/zero.jpg"]
    assert [name for name, _ in converted["refused"]] == ["a/pipe.jpg", "b/zero.jpg"]


def test_a_pipe_is_no_beton(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.beton")
    with pytest.raises(BadDataset, match="not a beton file"):
        open_dataset(tmp_path / "x.beton")


def test_names_of_any_bytes(photos: Path, tmp_path: Path) -> None:
    strange = os.path.join(os.fsencode(photos), b"a", b"caf\xe9\n\x1b[31m.jpg")
    os.rename(photos / "a" / "0.jpg", strange)
    out = tmp_path / "x.beton"
    convert(photos, out, workers=1)
    with open_dataset(out) as dataset:
        assert [os.fsencode(dataset.name(k)) for k in range(8)].count(b"a/caf\xe9\n\x1b[31m.jpg") == 1
