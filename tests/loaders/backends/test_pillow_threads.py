"""Files that Pillow decodes: by threads, ahead of need, with a clock of their own."""

from __future__ import annotations

import resource
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loaders import BadSample, Loader, LoaderError
from loaders.backends import pillow_threads
from loaders.pillow import decode_rgb
from loaders.sources import FieldType, Sample
from tests.contract import digest
from tests.images import jpeg, picture


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 files in 2 classes, every third of them a PNG."""
    root = tmp_path_factory.mktemp("mixed")
    for i in range(24):
        path = root / f"class{i % 2}" / f"{i:02d}.jpg"
        path.parent.mkdir(exist_ok=True)
        if i % 3:
            path.write_bytes(jpeg(picture(80, 60, i), "4:2:0"))
        else:
            Image.fromarray(picture(80, 60, i)).save(path, "PNG")
    return root


def loader(root: Path, **options: Any) -> Loader:
    return Loader(root, **{"batch_size": 6, "resolution": 32, "backend": "torch", "num_workers": 2, **options})


def test_batches_do_not_depend_on_threads(mixed: Path) -> None:
    made = set()
    for workers in (1, 3):
        for output in ("uint8", "float32"):
            with loader(mixed, num_workers=workers, dtype=output) as data:
                made.add((output, digest([*data, *data])))
    assert len(made) == 2


def test_the_consumers_thread_decodes_nothing(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: set[str] = set()

    def watched(data: bytes) -> Any:
        names.add(threading.current_thread().name)
        return decode_rgb(data)

    monkeypatch.setattr(pillow_threads, "decode_rgb", watched)
    with loader(mixed) as data:
        assert len(list(data)) == 4
    assert names and all(name.startswith("pillow") for name in names)


def test_they_work_side_by_side_and_ahead(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two samples are decoded at the same time: each waits until the other has begun."""
    together = threading.Barrier(2, timeout=30)

    def meeting(data: bytes) -> Any:
        together.wait()
        return decode_rgb(data)

    monkeypatch.setattr(pillow_threads, "decode_rgb", meeting)
    with loader(mixed, batch_size=24) as data:
        assert len(list(data)) == 1
    assert not together.broken


def test_their_time_has_a_name_of_its_own(mixed: Path) -> None:
    with loader(mixed) as data:
        assert data.stats()["pillow_s"] == 0
        list(data)
        stats = data.stats()
    assert stats["pillow_s"] > 0
    assert stats["samples"] == 24
    assert stats["bytes_read"] == sum(path.stat().st_size for path in mixed.rglob("*.jpg"))


def test_a_folder_of_png_files_is_limited_by_pillow(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for i in range(8):
        Image.fromarray(picture(300, 200, i)).save(tmp_path / "a" / f"{i}.png")
    with loader(tmp_path, batch_size=2) as data:
        list(data)
        assert data.stats()["limited_by"] == "pillow"


def test_a_bad_file_is_named_or_replaced(mixed: Path, tmp_path: Path) -> None:
    for path in mixed.rglob("*.jpg"):
        target = tmp_path / path.relative_to(mixed)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    cut = tmp_path / "class0" / "12.jpg"
    cut.write_bytes(cut.read_bytes()[:3000])
    with loader(tmp_path) as data, pytest.raises(BadSample, match=r"class0/12\.jpg.*truncated"):
        list(data)
    with loader(tmp_path, on_error="replace") as data:
        assert sum(len(images) for images, _ in data) == 24
        assert [bad.name for bad in data.stats()["bad"]] == ["class0/12.jpg"]


def test_a_file_of_another_size_than_its_crop_was_planned_for_is_named(mixed: Path, tmp_path: Path) -> None:
    """The sizes of a folder's images are read once; a crop of the old size would show another part of the new image."""
    shutil.copytree(mixed, tmp_path / "mixed")
    with loader(tmp_path / "mixed", on_error="replace") as data:
        list(data)
        Image.fromarray(picture(90, 60, 3)).save(tmp_path / "mixed" / "class0" / "12.jpg", "PNG")
        list(data)
        (bad,) = data.stats()["bad"]
    assert str(bad).endswith("12.jpg) cannot be used: the image is 90 x 60 pixels, the index says 80 x 60")


def test_closing_early_leaves_no_thread(mixed: Path) -> None:
    data = loader(mixed, batch_size=2)
    next(iter(data))
    data.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pillow")]


def test_more_than_8_bits_are_refused_in_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.fromarray(np.full((40, 40), 30000, np.uint16)).save(tmp_path / "a" / "deep.png")
    with loader(tmp_path, batch_size=1) as data, pytest.raises(BadSample, match="would be clipped to white"):
        list(data)


@contextmanager
def no_more_files() -> Iterator[None]:
    """A process that can open no file."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


class PngSource:
    """A source in Python that opens its files itself."""

    path, classes, fields = "png source", ["a"], {"label": FieldType("int")}

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.files[index].name, self.files[index].read_bytes(), {"label": 0})

    def samples(self, start: int = 0) -> Iterator[Sample]:
        return (self[k] for k in range(start, len(self)))

    def fingerprint(self) -> str:
        return "png"


class PngList:
    """A data set without the interface of a source, which opens its files itself."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[bytes, int]:
        return self.files[index].read_bytes(), 0


@pytest.mark.parametrize("warm", [True, False], ids=["sizes known", "sizes unknown"])
@pytest.mark.parametrize("kind", ["folder", "source", "object"])
def test_a_good_file_is_not_bad_because_too_many_files_are_open(tmp_path: Path, kind: str, warm: bool) -> None:
    (tmp_path / "a").mkdir()
    for i in range(8):
        Image.fromarray(picture(64, 48, i)).save(tmp_path / "a" / f"{i}.png")
    files = sorted(tmp_path.rglob("*.png"))
    data: Any = {"folder": tmp_path, "source": PngSource(files), "object": PngList(files)}[kind]
    with loader(data, batch_size=8, on_error="replace") as loading:
        if warm:
            list(loading)
        loading.set_epoch(5)  # the samples of the next epoch may have been read already
        with no_more_files(), pytest.raises(LoaderError, match=r"too many open files; allow more \(ulimit -n\)"):
            list(loading)
        loading.set_epoch(5)
        got = digest(loading)
        assert loading.stats()["bad"] == []
    with loader(data, batch_size=8) as loading:
        loading.set_epoch(5)
        assert digest(loading) == got
