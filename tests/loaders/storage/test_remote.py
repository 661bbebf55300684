"""Betons in object stores: the same batches as on disk, whatever the store does, or an error that names it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from loaders import Loader, LoaderError, convert, open_dataset
from loaders.conversion import (
    ShardedConversion,
    append_parts,
    extract,
    remove_samples,
    verify,
    write_manifest,
)
from loaders.plan.records import SAMPLE, table_bytes
from loaders.sources.dataset import Fetch
from loaders.sources.remote import Remote
from loaders.storage import transfer
from loaders.storage.transfer import coalesce
from tests.loaders.storage.server import Served, serving

pytest.importorskip("obstore")


def digest(data: object, **options: object) -> str:
    """SHA-256 of an epoch's pixels and labels."""
    chosen: dict[str, object] = {"batch_size": 8, "resolution": 48, "num_workers": 1, **options}
    found = hashlib.sha256()
    with Loader(data, **chosen) as loader:  # type: ignore[arg-type]
        for images, labels in loader:
            found.update(images.numpy().tobytes() + labels.numpy().tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("shuffle", [True, "quasi", False])
def test_batches_are_those_of_the_file(served: Served, beton: Path, shuffle: object) -> None:
    assert digest(f"{served.url}/train.beton", shuffle=shuffle) == digest(beton, shuffle=shuffle)


def test_a_program_that_ends_does_not_wait_for_a_store_that_is_gone() -> None:
    script = (
        "from loaders.storage.transfer import Transfer\n"
        "def fail(): raise OSError('no route to host')\n"
        "transfer = Transfer()\n"
        "for _ in range(200): transfer.submit(transfer.tried, 'x', fail)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)  # two minutes for each


@pytest.mark.parametrize("drop", [False, True])
def test_failures_that_pass_are_tried_again(served: Served, beton: Path, drop: bool) -> None:
    with Loader(f"{served.url}/train.beton", batch_size=8, resolution=48, num_workers=1) as loader:
        served.failing, served.drop = 3, drop
        found = hashlib.sha256()
        for images, labels in loader:
            found.update(images.numpy().tobytes() + labels.numpy().tobytes())
        assert not served.failing
    assert found.hexdigest() == digest(beton)


def test_wrong_bytes_are_fetched_again(served: Served, beton: Path, tmp_path: Path) -> None:
    for cache in (None, tmp_path / "cache"):
        with Loader(f"{served.url}/train.beton", batch_size=8, resolution=48, num_workers=1, cache_dir=cache) as loader:
            served.wrong = 1
            found = hashlib.sha256()
            for images, labels in loader:
                found.update(images.numpy().tobytes() + labels.numpy().tobytes())
            assert not served.wrong
        assert found.hexdigest() == digest(beton)


def test_a_store_that_is_gone_is_named(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "DEADLINE", 0.3)
    with Loader(f"{served.url}/train.beton", batch_size=8, resolution=48, num_workers=1) as loader:
        served.failing = 1 << 30
        with pytest.raises(LoaderError, match=r"train\.beton \(bytes .*: failed \d+ times in"):
            list(loader)
        served.failing = 0  # it comes back
        assert len(list(loader)) == 3


@pytest.mark.parametrize("status", [401, 403])
def test_credentials_that_expire_are_named_at_once(served: Served, status: int) -> None:
    with Loader(f"{served.url}/train.beton", batch_size=8, resolution=48, num_workers=1) as loader:
        served.failing, served.status = 1 << 30, status
        with pytest.raises(LoaderError, match=r"train\.beton \(bytes .*: (Unauthenticated|PermissionDenied)Error"):
            list(loader)
        served.failing = 0  # they were renewed
        assert len(list(loader)) == 3


def test_a_server_that_sends_no_parts_of_files_is_named_at_once(served: Served) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=os.fspath(served.root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(LoaderError, match=r"train\.beton \(bytes .*: NotSupportedError: .*Range request"):
            Loader(f"http://127.0.0.1:{server.server_port}/train.beton")
        server.shutdown()


class Held:
    """A fetch whose bytes are kept back until `gate` is set."""

    def __init__(self, fetch: Fetch, gate: threading.Event) -> None:
        self._fetch, self._gate, self.bytes = fetch, gate, fetch.bytes

    def done(self) -> bool:
        return self._gate.is_set() and self._fetch.done()

    def wait(self) -> None:
        assert self._gate.wait(60)
        self._fetch.wait()


def test_the_first_batch_does_not_wait_for_later_ones(
    served: Served, beton: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, begun, fetch = threading.Event(), [], Remote.fetch

    def held(self: Remote, indices: NDArray[np.int64], samples: NDArray[np.void]) -> Fetch:
        begun.append(len(indices))
        made = fetch(self, indices, samples)
        return made if len(begun) == 1 else Held(made, gate)

    monkeypatch.setattr(Remote, "fetch", held)
    with Loader(f"{served.url}/train.beton", batch_size=8, resolution=48, num_workers=1) as loader:
        found = hashlib.sha256()
        for images, labels in loader:
            assert begun[:2] == [8, 16]  # all are asked for by now, and the second batch is held
            gate.set()
            found.update(images.numpy().tobytes() + labels.numpy().tobytes())
    assert found.hexdigest() == digest(beton)


def test_rows_that_were_replaced_stay_when_a_fetch_is_awaited_again(served: Served) -> None:
    with serving(served.root) as other, open_dataset([f"{one.url}/train.beton" for one in (served, other)]) as parts:
        samples = np.zeros(2, SAMPLE)
        samples["entry"] = parts.decode_entries([3, 30])[:, 0]
        fetch = parts.fetch(np.array([3, 30]), samples)
        assert fetch is not None
        fetch.wait()
        placed = samples.copy()
        assert fetch.done() and (placed["entry"]["path"] < 0).all()
        samples[0] = samples[1]
        fetch.wait()
        assert samples[0] == samples[1] == placed[1]


def test_an_outage_in_the_middle_of_an_epoch_passes(served: Served, beton: Path) -> None:
    with Loader(f"{served.url}/train.beton", batch_size=4, resolution=48, num_workers=1, prefetch_factor=1) as loader:
        found = hashlib.sha256()
        for number, (images, labels) in enumerate(loader):
            found.update(images.numpy().tobytes() + labels.numpy().tobytes())
            served.failing = 2 if number == 1 else served.failing
    assert found.hexdigest() == digest(beton, batch_size=4)


def test_a_conversion_survives_failures(served: Served, jpeg_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(jpeg_folder / "val", served.root / "val")
    paths = sorted((served.root / "val").rglob("*.*"))
    for name, start in (("here.csv", f"{served.root}/"), ("there.csv", f"{served.url}/")):
        rows = [f"{start}{path.relative_to(served.root)},{k % 2}" for k, path in enumerate(paths)]
        (tmp_path / name).write_text("\n".join(["path,label", *rows, ""]))
    convert(tmp_path / "here.csv", tmp_path / "here.beton", workers=1)
    for drop in (False, True):
        served.failing, served.drop = 4, drop
        convert(tmp_path / "there.csv", tmp_path / "there.beton", workers=1)
        assert not served.failing
        assert digest(tmp_path / "there.beton", batch_size=6) == digest(tmp_path / "here.beton", batch_size=6)


def test_a_changed_object_is_refused(served: Served) -> None:
    with Loader(f"{served.url}/train.beton", batch_size=8, resolution=48, num_workers=1) as loader:
        served.tag = '"2"'
        with pytest.raises(LoaderError, match="Precondition"):
            list(loader)


def test_no_object(served: Served) -> None:
    with pytest.raises(LoaderError, match=r"other\.beton: FileNotFoundError"):
        Loader(f"{served.url}/other.beton")
    with pytest.raises(ValueError, match="with credentials"):
        Loader("https://user:secret@host/train.beton")


def test_a_cache_is_filled_once_and_shared(served: Served, beton: Path, tmp_path: Path) -> None:
    url, cache = f"{served.url}/train.beton", tmp_path / "cache"
    script = (
        "import sys\nfrom tests.loaders.storage.test_remote import digest as d\n"
        "print(d(sys.argv[1], cache_dir=sys.argv[2]))"
    )
    ranks = [
        subprocess.Popen([sys.executable, "-c", script, url, str(cache)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert {rank.communicate(timeout=100)[0].strip() for rank in ranks} == {digest(beton)}
    taken = [place for _, start, end in served.ranges for place in range(start, end, 1 << 16)]
    assert len(taken) == len(set(taken))  # no byte twice
    served.ranges.clear()
    assert digest(url, cache_dir=cache) == digest(beton)
    assert not served.ranges


def test_a_small_cache_keeps_the_coarsest_level(served: Served, beton: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert digest(f"{served.url}/train.beton", cache_dir=tmp_path / "c", cache_gb=2e-5) == digest(beton)
    assert served.ranges


def test_a_manifest_of_remote_parts(served: Served, beton: Path) -> None:
    parts = [shutil.copy(beton, served.root / f"{k}.beton") for k in range(2)]
    write_manifest(parts, served.root / "all.json")
    assert digest(f"{served.url}/all.json") == digest(served.root / "all.json")


def test_s3(beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    for name, value in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    running = server.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    try:
        host, port = running.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1")
        client.create_bucket(Bucket="photos")
        for k in range(2):
            client.upload_file(str(beton), "photos", f"set/train-{k}.beton")
        assert digest("s3://photos/set/train-1.beton") == digest(beton)
        assert digest("s3://photos/set/train-*.beton") == digest([beton, beton])
        urls = [f"s3://photos/set/train-{k}.beton" for k in range(2)]
        assert digest(urls) == digest([beton, beton])
        with pytest.raises(ValueError, match="must all be URLs or all be paths"):
            Loader([urls[0], str(beton)])
        with pytest.raises(FileNotFoundError, match="no object of that pattern"):
            Loader("s3://photos/set/val-*.beton")
    finally:
        running.stop()


def test_neighbours_become_one_range() -> None:
    assert coalesce([(50, 60), (0, 10), (12, 20), (5, 8)], gap=2) == [(0, 20), (50, 60)]
    assert coalesce([(0, 10), (10, 20), (20, 30)], gap=0, largest=20) == [(0, 20), (20, 30)]


def test_a_store_without_a_method_is_named_at_once() -> None:
    class Empty:
        """A store of another package that lacks a method."""

    asked = transfer.Transfer()
    begun = time.monotonic()
    with pytest.raises(LoaderError, match="x://y: 'Empty' object has no attribute 'below'"):
        asked.tried("x://y", lambda: Empty().below(""))  # type: ignore[attr-defined]
    asked.close()
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("kind", ["pyramid", "fields", "ffcv"])
def test_remote_betons_are_verified(kind: str, served: Served, jpeg_folder: Path, tmp_path: Path) -> None:
    path = served.root / "train.beton"
    if kind == "fields":
        files = sorted((jpeg_folder / "val").rglob("*.jpg"))
        rows = [json.dumps({"label": k, "path": str(file), "note": {"of": k}}) for k, file in enumerate(files)]
        (tmp_path / "t.jsonl").write_text("\n".join(rows))
        convert(tmp_path / "t.jsonl", path, workers=1, fields={"label": "int", "note": "json"})
    elif kind == "ffcv":
        extract(path, tmp_path / "level.beton", 1)
        shutil.copy(tmp_path / "level.beton", path)
    assert verify(f"{served.url}/train.beton") == []
    with open_dataset(path) as data:
        place = int(data.entries([3])["offset"][0, 0]) + 300
        name = data.name(3)
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\xff\xd8\xff\xd9")
    assert [(found.sample, found.name) for found in verify(f"{served.url}/train.beton")] == [(3, name)]
    assert verify(path) == verify(f"{served.url}/train.beton")


SECRET = "wJalrXUtnFEMI"


@pytest.mark.parametrize(
    "attempt",
    [
        lambda url, _: Loader(f"{url}/x.beton"),
        lambda url, folder: Loader([f"{url}/x.beton", str(folder / "x.beton")]),
        lambda url, _: Loader(f"{url}/x.json"),
        lambda url, _: Loader(f"{url.replace(f'user:{SECRET}@', '')}/x.beton?X-Amz-Signature={SECRET}"),
        lambda url, folder: convert(f"{url}/x.csv", folder / "x.beton"),
        lambda url, folder: convert(f"{url}/x.tar", folder / "x.beton"),
        lambda url, folder: convert(folder, f"{url}/x.beton"),
        lambda url, folder: ShardedConversion(folder, f"{url}/x.beton", 2),
        lambda url, folder: write_manifest([f"{url}/x.beton"], folder / "x.json"),
        lambda url, folder: write_manifest([folder / "x.beton"], f"{url}/x.json"),
        lambda url, _: append_parts(f"{url}/x.json", []),
        lambda url, _: remove_samples(f"{url}/x.json", [], [0]),
    ],
)
def test_a_url_with_credentials_is_refused_and_not_shown(
    attempt: Callable[[str, Path], object], tmp_path: Path, jpeg_folder: Path
) -> None:
    (tmp_path / "a").symlink_to(jpeg_folder / "val")
    with pytest.raises(ValueError, match="URLs with credentials or a query are refused") as told:
        attempt(f"https://user:{SECRET}@127.0.0.1:9", tmp_path)
    error: BaseException | None = told.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("url", ["s3://bucket/x.beton", "s3://bucket/x-*.beton", "s3://bucket/x.csv"])
def test_keys_of_the_environment_are_in_no_message(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setattr(transfer, "DEADLINE", 0.2)
    caplog.set_level("DEBUG")
    with pytest.raises(LoaderError, match=r"s3://bucket/x.*failed") as told:
        convert(url, tmp_path / "x.beton") if url.endswith("csv") else Loader(url)
    assert SECRET not in str(told.value) + caplog.text


def test_memory_of_an_epoch_that_is_left_goes_back(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if bytes still arrive after the plan that wanted them is gone."""
    begun, arrive = threading.Event(), threading.Event()
    with open_dataset(f"{served.url}/train.beton") as remote:
        assert isinstance(remote, Remote)
        read = remote._mirror.read

        def late(start: int, end: int) -> memoryview:
            begun.set()
            assert arrive.wait(60)
            return read(start, end)

        monkeypatch.setattr(remote._mirror, "read", late)
        indices = np.arange(len(remote))
        samples = np.zeros(len(indices), SAMPLE)
        samples["entry"] = remote.entries(indices)[:, 0]
        fetched = remote.fetch(indices, samples)
        assert begun.wait(60)
        del fetched
        arrive.set()
        remote._transfer._threads.shutdown(wait=True)
        assert remote._transfer.bytes > 0 and os.fstat(remote._window.fd).st_blocks == 0


def test_a_wrong_row_table_is_fetched_again_too(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_dataset(f"{served.url}/train.beton") as remote:
        assert isinstance(remote, Remote)
        forgotten: list[tuple[int, int]] = []
        monkeypatch.setattr(remote._mirror, "forget", lambda start, end: forgotten.append((start, end)))
        assert remote.forget(5)
        entry = remote.entries([5])[0, 0]
        assert int(entry["rows"]) > 0
        assert forgotten[0] == (
            int(entry["offset"]) - table_bytes(int(entry["rows"])),
            int(entry["offset"]) + int(entry["size"]),
        )
