"""`Loader(folder, cache=)`: the change from folder to pyramid, interruption, several processes, damage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import loaders.cache as cache_module
from loaders import BadDataset, Loader, convert
from loaders.cache import CachedFolder
from loaders.conversion import verify
from loaders.conversion.transcode import Converted, Job, convert_job
from tests.contract import make

FIELDS = ("image", "label", "index", "name", "crop", "flip")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "POLL", 0.05)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """The conversion's jobs wait until this event is set."""
    released = threading.Event()

    def job(work: Job) -> Converted:
        assert released.wait(60)
        return convert_job(work)

    monkeypatch.setattr("loaders.conversion.jobs.convert_job", job)
    return released


def cached(folder: Path, cache: Path, **options: Any) -> Loader:
    return make(folder, cache=cache, **options)


def wait(loader: Loader) -> bool:
    assert isinstance(loader.source, CachedFolder)
    return loader.source.wait(60)


def converted(loader: Loader) -> bool:
    assert isinstance(loader.source, CachedFolder)
    return loader.source.converted


def facts(loader: Loader) -> list[list[Any]]:
    """All of an epoch but its pixels."""
    return [[np.asarray(value).tolist() for value in batch[1:]] for batch in loader]


def test_the_change_comes_with_an_epoch_and_keeps_all_but_pixels(
    jpeg_folder: Path, tmp_path: Path, held: threading.Event
) -> None:
    folder, cache = jpeg_folder / "train", tmp_path / "train.beton"
    with make(folder, fields=FIELDS) as plain, cached(folder, cache, fields=FIELDS) as loader:
        batches = iter(loader)
        first = [next(batches)]
        assert not cache.exists()
        held.set()
        assert wait(loader) and not converted(loader)
        first += list(batches)
        for got, wanted in zip(first, plain, strict=True):
            assert (got[0] == wanted[0]).all()  # the first epoch is the folder's to its end
            assert [np.asarray(x).tolist() for x in got[1:]] == [np.asarray(x).tolist() for x in wanted[1:]]
        state = loader.state_dict()
        assert state == plain.state_dict()
        assert facts(loader) == facts(plain) and converted(loader)
        assert loader.classes == plain.classes and len(loader) == len(plain)
    with make(cache, fields=FIELDS) as pyramid, cached(folder, cache, fields=FIELDS) as again:
        assert converted(again)  # at once
        again.load_state_dict(state)
        pyramid.load_state_dict(state)
        for got, wanted in zip(again, pyramid, strict=True):
            assert (got[0] == wanted[0]).all()
    assert verify(cache) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.beton"]


def test_quasi_random_order_does_not_change_with_the_change_over(
    many: Path, tmp_path: Path, held: threading.Event
) -> None:
    options: dict[str, Any] = {"shuffle": "quasi", "fields": ("index",), "resolution": 16}
    with cached(many, tmp_path / "x.beton", **options) as loader:
        before = [batch[0].tolist() for batch in loader]
        assert not converted(loader)
        held.set()
        assert wait(loader)
        loader.set_epoch(0)
        assert [batch[0].tolist() for batch in loader] == before and converted(loader)


def test_close_stops_the_conversion_and_the_next_loader_resumes(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, cache = [], tmp_path / "train.beton"

    def slow(work: Job) -> Converted:
        done.append(work.start)
        time.sleep(0.1)
        return convert_job(work)

    monkeypatch.setattr("loaders.conversion.jobs.convert_job", slow)
    with cached(many, cache) as loader:
        while len(done) < 5:
            time.sleep(0.01)
    assert not cache.exists() and "cache" not in {thread.name for thread in threading.enumerate()}
    assert not wait(loader)
    seen = len(done)
    assert seen < 10
    with cached(many, cache) as loader:
        assert wait(loader)
    assert 0 not in done[seen:] and 288 in done[seen:]  # jobs of 32; the journal had the first ones
    convert(many, tmp_path / "straight.beton", workers=1, as_cache=True)
    assert cache.read_bytes() == (tmp_path / "straight.beton").read_bytes()


SLOW = """
import sys, time
from loaders import Loader
from loaders.conversion import jobs
job = jobs.convert_job
def slow(work):
    time.sleep(0.3)
    print("job", flush=True)
    return job(work)
jobs.convert_job = slow
loader = Loader(sys.argv[1], cache=sys.argv[2], batch_size=8, num_workers=1)
loader.source.wait()
"""


def start(folder: Path, cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SLOW, os.fspath(folder), os.fspath(cache)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_second_process_waits_and_takes_over_from_a_killed_one(many: Path, tmp_path: Path) -> None:
    cache = tmp_path / "train.beton"
    first = start(many, cache)
    assert first.stdout is not None
    for _ in range(3):
        assert first.stdout.readline() == "job\n"
    with cached(many, cache) as loader:  # another process: this one
        facts(loader)
        assert not converted(loader) and not cache.exists()
        first.send_signal(signal.SIGKILL)
        first.communicate()
        assert wait(loader)
        facts(loader)
        assert converted(loader)


def test_a_second_loader_waits_for_the_first(jpeg_folder: Path, tmp_path: Path, held: threading.Event) -> None:
    folder, cache = jpeg_folder / "train", tmp_path / "train.beton"
    with cached(folder, cache) as one, cached(folder, cache) as two:
        held.set()
        assert wait(one) and wait(two)
        assert facts(one) == facts(two)
        assert converted(one) and converted(two)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.beton"]


def test_samples_that_the_converter_refuses_come_from_the_folder(dirty: Path, tmp_path: Path) -> None:
    cache, options = tmp_path / "dirty.beton", {"fields": FIELDS, "on_error": "replace"}
    with make(dirty, **options) as plain, cached(dirty, cache, **options) as loader:
        assert facts(loader) == facts(plain)
        assert wait(loader)
        assert facts(loader) == facts(plain) and converted(loader)
        assert len(loader.sampling) == 24
        assert {bad.index for bad in loader.stats()["bad"]} == {0, 1}


def test_a_cache_of_another_state_is_refused(jpeg_folder: Path, dirty: Path, tmp_path: Path) -> None:
    cache = tmp_path / "train.beton"
    convert(jpeg_folder / "train", cache, as_cache=True)
    before = cache.read_bytes()
    with pytest.raises(BadDataset, match=r"cache of another folder, or .* has changed since .*; remove it"):
        cached(dirty, cache)
    assert cache.read_bytes() == before
    with pytest.raises(FileExistsError, match="is there already"):
        convert(dirty, cache, as_cache=True, on_error="skip")
    convert(jpeg_folder / "train", cache)
    with pytest.raises(BadDataset, match="was not made as a cache"):
        cached(jpeg_folder / "train", cache)


def test_an_unfinished_cache_of_another_folder_is_refused(
    jpeg_folder: Path, dirty: Path, tmp_path: Path, held: threading.Event
) -> None:
    cache, manifest = tmp_path / "train.beton", tmp_path / "train.beton.partial" / "manifest"
    with cached(jpeg_folder / "train", cache):
        while not (manifest.exists() and (text := manifest.read_text())):  # it exists before it is written
            time.sleep(0.01)
        held.set()
    cache.unlink(missing_ok=True)
    manifest.parent.mkdir(exist_ok=True)
    manifest.write_text(text)
    with pytest.raises(BadDataset, match="unfinished cache of another folder"):
        cached(dirty, cache)


@pytest.mark.parametrize("how", ["cut", "flipped", "text"])
def test_a_damaged_cache_names_the_remedy(jpeg_folder: Path, tmp_path: Path, how: str) -> None:
    cache = tmp_path / "train.beton"
    convert(jpeg_folder / "train", cache, as_cache=True)
    data = bytearray(cache.read_bytes())
    if how == "cut":
        del data[-100:]
    elif how == "flipped":
        data[data.rindex(b'"left_out"') + 3] ^= 1
    else:
        data[:] = b"no beton at all"
    cache.write_bytes(data)
    with pytest.raises(BadDataset, match=r"train\.beton: .*remove it, and the loader makes it again"):
        cached(jpeg_folder / "train", cache)


def test_a_conversion_that_fails_warns_once_and_the_folder_is_read(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "no room")

    monkeypatch.setattr(cache_module, "convert", full)
    with cached(jpeg_folder / "train", tmp_path / "train.beton") as loader:
        assert not wait(loader)
        with pytest.warns(RuntimeWarning, match="the cache cannot be made.*no room"):
            wanted = len(facts(loader))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(facts(loader)) == wanted


def test_what_cannot_have_a_cache(jpeg_folder: Path, beton: Path, tmp_path: Path) -> None:
    folder = jpeg_folder / "train"
    with pytest.raises(ValueError, match="`cache` is for image folders"):
        cached(beton, tmp_path / "x.beton")
    with pytest.raises(IsADirectoryError, match="must name a file"):
        cached(folder, tmp_path)
    with pytest.raises(ValueError, match="whose labels are `label`"):
        cached(folder, tmp_path / "x.beton", label_field="other")
    for name, value in (("cache_dir", tmp_path), ("cache_gb", 10)):
        with pytest.raises(ValueError, match=f"`{name}` is for data at a URL and has no effect on `cache`"):
            cached(folder, tmp_path / "x.beton", **{name: value})


def test_kept_original_files_are_decoded_as_from_the_pyramid(dirty: Path, tmp_path: Path) -> None:
    cache = tmp_path / "c.beton"
    convert(dirty, cache, as_cache=True, keep_codec=True, on_error="skip", workers=1)
    options: dict[str, Any] = {"train": False, "shuffle": False, "batch_size": 64, "crop_pct": 1.0, "dtype": "uint8"}
    options |= {"interpolation": "bicubic", "max_level": 0, "on_error": "replace"}
    with cached(dirty, cache, **options) as loader, make(dirty, **options) as folder:
        assert converted(loader)
        ((images, _),), ((wanted, _),) = loader, folder
        assert int((images[2].int() - wanted[2].int()).abs().max()) == 0  # the PNG


def test_what_a_killed_conversion_left_beside_a_complete_cache_is_deleted(jpeg_folder: Path, tmp_path: Path) -> None:
    cache, left = tmp_path / "train.beton", tmp_path / "train.beton.partial"
    convert(jpeg_folder / "train", cache, as_cache=True)
    left.mkdir()
    for name in ("index", "journal", "result"):
        (left / name).write_text("x")
    with cached(jpeg_folder / "train", cache) as loader:
        assert converted(loader) and not left.exists()
