"""A remote beton's bytes on their way and in the cache: objects that change or go, wrong bytes of stored fields."""

from __future__ import annotations

import errno
import importlib
import io
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from loaders import Loader, LoaderError, convert, open_dataset
from loaders.conversion import split_parts, verify
from loaders.plan.records import SAMPLE
from loaders.sources import remote
from loaders.storage import held_chunks
from tests.loaders.storage.server import Served
from tests.loaders.storage.test_remote import digest

pytest.importorskip("obstore")


def test_a_cache_follows_an_object_whose_version_cannot_be_asked_for(
    served: Served, beton: Path, jpeg_folder: Path, tmp_path: Path
) -> None:
    url, cache = f"{served.url}/train.beton", tmp_path / "cache"
    served.tag = 'W/"1"'
    assert digest(url, cache_dir=cache) == digest(beton)
    other = tmp_path / "other.beton"
    convert(jpeg_folder / "train", other, classes=["class002", "class001", "class000"], workers=1)
    assert other.stat().st_size == beton.stat().st_size and digest(other) != digest(beton)
    shutil.copy(other, served.root / "train.beton")
    served.tag = 'W/"2"'
    assert digest(url, cache_dir=cache) == digest(other)


def test_an_object_that_is_gone_is_no_fault_of_the_cache(served: Served, tmp_path: Path) -> None:
    with Loader(
        f"{served.url}/train.beton", batch_size=8, resolution=48, num_workers=1, cache_dir=tmp_path / "c"
    ) as loader:
        (served.root / "train.beton").unlink()
        with pytest.raises(LoaderError) as caught:
            list(loader)
    assert "cache cannot be written" not in str(caught.value) and "train.beton" in str(caught.value)


def test_a_full_disk_does_not_end_the_epoch(served: Served, beton: Path, tmp_path: Path) -> None:
    url, options = f"{served.url}/train.beton", {"batch_size": 8, "resolution": 48, "num_workers": 1, "seed": 3}
    with Loader(beton, **options) as local:
        expected = [images for images, _ in local]
    with Loader(url, cache_dir=tmp_path / "cache", **options) as loader:

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        loader.source._mirror._file.write = full  # type: ignore[attr-defined]
        with pytest.warns(UserWarning, match="cache cannot be written: No space left on device; from now on") as caught:
            delivered = [images for images, _ in loader]
        assert len(caught) == 1 and len(delivered) == 3
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(delivered, expected, strict=True))


@pytest.mark.parametrize("name", ["boot", "have", "flushed", "lock"])
def test_damaged_files_of_the_cache_are_made_anew(served: Served, beton: Path, tmp_path: Path, name: str) -> None:
    url, cache = f"{served.url}/train.beton", tmp_path / "cache"
    assert digest(url, cache_dir=cache) == digest(beton)
    (damaged,) = cache.glob(f"*/{name}")
    damaged.write_bytes(b"\xad\xff" * 50)
    assert digest(url, cache_dir=cache) == digest(beton)


def test_a_cache_that_cannot_be_opened_does_not_stay_locked(
    served: Served, beton: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one to open it, also in this process, would wait for ever."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    url, cache, descriptors = f"{served.url}/train.beton", tmp_path / "cache", Path("/proc/self/fd")
    with monkeypatch.context() as patched:
        patched.setattr("loaders.storage.mirror.mmap.mmap", full)
        with pytest.raises(OSError, match="No space left on device"):
            open_dataset(url, cache_dir=cache)
    assert not [place for place in descriptors.iterdir() if str(cache) in os.path.realpath(place)]
    assert digest(url, cache_dir=cache) == digest(beton)


def test_wrong_bytes_of_a_field_are_fetched_again(served: Served, tmp_path: Path) -> None:
    samples = [{"image": _jpeg(), "label": k % 2, "note": {"k": k, "long": "x" * 20000}} for k in range(40)]
    convert(
        samples, served.root / "notes.beton", fields={"label": "int", "note": "json"}, classes=["a", "b"], workers=1
    )
    for cache in (None, tmp_path / "cache"):
        with open_dataset(f"{served.url}/notes.beton", cache_dir=cache) as dataset:
            served.wrong = 1
            assert [note["k"] for note in dataset.read_field("note", range(40))] == list(range(40))
            assert not served.wrong


def test_only_the_planned_samples_values_of_a_large_field_are_fetched(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_FEW_VALUES", 1 << 20)
    samples = [{"image": _jpeg(), "label": 0, "note": {"k": k, "long": "x" * 400000}} for k in range(20)]
    convert(samples, served.root / "notes.beton", fields={"label": "int", "note": "json"}, workers=1)
    url, indices = f"{served.url}/notes.beton", np.array([3, 17])
    options: dict[str, Any] = {"batch_size": 1, "resolution": 48, "num_workers": 1, "train": False}
    with Loader(url, indices=indices, fields=("image", "note"), **options) as loader:
        assert [notes[0]["k"] for _, notes in loader] == [3, 17]
    assert sum(end - start for _, start, end in served.ranges) < 3 << 20

    with open_dataset(url) as dataset:
        dataset.announce(["image", "note"])
        planned = np.zeros(2, SAMPLE)
        planned["entry"] = dataset.entries(indices)[:, 0]
        fetch = dataset.fetch(indices, planned)
        assert fetch is not None
        fetch.wait()
        served.root.joinpath("notes.beton").unlink()
        assert [note["k"] for note in dataset.read_field("note", indices)] == [3, 17]


@pytest.fixture
def noted(served: Served, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], str]:
    """Makes betons of so many samples with 100 kB of stored values each, to be read with little memory."""
    monkeypatch.setattr(remote, "_FEW_VALUES", 1 << 20)
    monkeypatch.setattr(held_chunks, "IDLE", 1 << 20)
    monkeypatch.setattr(remote.Remote, "together", 8)

    def make(samples: int) -> str:
        rng = np.random.default_rng(0)
        rows = [{"image": _jpeg(), "label": 0, "note": rng.bytes(100_000)} for _ in range(samples)]
        convert(rows, served.root / f"{samples}.beton", fields={"label": "int", "note": "bytes"}, workers=1)
        return f"{served.url}/{samples}.beton"

    return make


def _in_memory(dataset: Any) -> int:
    return sum(os.fstat(part._mirror.fd).st_blocks * 512 for part in dataset.parts)


@pytest.mark.parametrize("shuffle", [True, False])
def test_stored_values_in_memory_grow_with_neither_samples_nor_epochs(
    noted: Callable[[int], str], served: Served, shuffle: Any
) -> None:
    options: dict[str, Any] = {"batch_size": 4, "resolution": 48, "num_workers": 1, "shuffle": shuffle}
    most = {}
    for samples in (200, 500):
        url = noted(samples)
        with open_dataset(served.root / f"{samples}.beton") as local:
            expected = local.read_field("note", range(samples))
        with Loader(url, fields=("image", "note", "index"), **options) as loader:
            most[samples] = 0
            for _ in range(3):
                for _, notes, indices in loader:
                    assert list(notes) == [expected[k] for k in indices.tolist()]
                    most[samples] = max(most[samples], _in_memory(loader.source))
    assert most[500] < 1.3 * most[200] < 1.3 * 200 * 100_000 < 500 * 100_000


def test_parts_share_the_memory_of_stored_values(noted: Callable[[int], str]) -> None:
    urls = [noted(samples) for samples in (9, 10, 11, 12, 13, 14)]
    with open_dataset(urls) as dataset:
        for _ in range(2):
            for k in range(len(dataset)):
                assert len(dataset.read_field("note", [k])[0]) == 100_000
                assert _in_memory(dataset) < 5 << 20 < len(dataset) * 100_000


def test_verify_holds_the_stored_values_of_few_samples(
    noted: Callable[[int], str], served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.import_module("loaders.conversion.verify"), "BLOCK", 8)
    url, most, real = noted(60), [0], remote.Remote.with_values

    def watched(self: remote.Remote, indices: Any) -> Any:
        most.append(_in_memory(self))
        return real(self, indices)

    monkeypatch.setattr(remote.Remote, "with_values", watched)
    assert verify(url, workers=1) == [] and len(most) > 7
    assert max(most) < 4 << 20 < 60 * 100_000
    with open(served.root / "60.beton", "r+b") as file, open_dataset(served.root / "60.beton") as local:
        file.seek(int(local.value_extents("note", np.array([17]))[0][0]) + 5)  # type: ignore[attr-defined]
        file.write(b"damage")
    assert [damage.sample for damage in verify(url, workers=1)] == [17]


def _jpeg() -> bytes:
    made = io.BytesIO()
    Image.fromarray(np.zeros((48, 48, 3), np.uint8)).save(made, "JPEG")
    return made.getvalue()


def test_an_http_url_is_encoded_once(served: Served, beton: Path) -> None:
    shutil.copy(beton, served.root / "my train.beton")
    assert digest(f"{served.url}/my%20train.beton") == digest(beton)


def test_a_missing_remote_part_is_named_and_the_others_are_closed(served: Served, beton: Path) -> None:
    paths = split_parts(beton, str(served.root / "t.json"), 12, workers=1)
    with open_dataset(f"{served.url}/t.json") as whole:
        assert [whole.name(k) for k in range(24)] == _names(beton)
    Path(paths[5]).unlink()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError, match=r"t-00005-of-00012\.beton: no such file, a part of http"):
        open_dataset(f"{served.url}/t.json")
    deadline = time.monotonic() + 30
    while len(os.listdir("/proc/self/fd")) > before and time.monotonic() < deadline:
        time.sleep(0.05)  # obstore's connections end by themselves
    assert len(os.listdir("/proc/self/fd")) <= before


def _names(beton: Path) -> list[str]:
    with open_dataset(beton) as dataset:
        return [dataset.name(k) for k in range(len(dataset))]
