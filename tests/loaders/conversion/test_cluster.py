"""Conversion on a Ray cluster of two nodes on this machine: the driver is killed, then a node; the records stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from loaders import BadSample, LoaderError, convert
from loaders.conversion import Summary, cluster, convert_on_ray
from loaders.conversion.cluster import _convert_part
from loaders.conversion.journal import Busy
from loaders.conversion.levels import USUAL
from loaders.conversion.shards import Part, ShardedConversion
from tests.loaders.conversion.held_source import Held
from tests.loaders.conversion.records import records

ROOT = Path(__file__).resolve().parents[3]
# With `ratios`, a source is read for conversion alone, not also for its sizes.
DRIVER = """
import sys
from pathlib import Path
from loaders.conversion import convert_on_ray
from tests.loaders.conversion.held_source import Held
source, out = Held(Path(sys.argv[1]), Path(sys.argv[2])), Path(sys.argv[2], "x.beton")
convert_on_ray(source, out, sys.argv[3], parts=4, ratios=(1, 0.5, 0.25))
"""


def waited(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def readings(control: Path) -> list[tuple[int, int]]:
    """Where each reading of a `Held` source began, and the process that reads."""
    lines = [line.split() for line in (control / "begun").read_text().splitlines()]
    return [(int(start), int(pid)) for _, start, pid in lines]


def ended(pid: int) -> bool:
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()  # empty: ended, and its parent has not asked for it yet
    except OSError:
        return True


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
def two_nodes() -> Iterator[Any]:
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        yield nodes
    finally:
        import ray

        ray.shutdown()
        nodes.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_killed_driver_and_a_lost_node(many: Path, tmp_path: Path, two_nodes: Any) -> None:
    second = two_nodes.add_node(num_cpus=1)
    convert(many, tmp_path / "whole.beton", workers=1)
    (tmp_path / "hold").touch()

    def begun() -> int:
        return sum(path.stat().st_size > 0 for path in tmp_path.glob("x-*.partial/journal"))

    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(many), str(tmp_path), two_nodes.address],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        waited(lambda: begun() == 2)  # each node has finished a job of 32 images, and waits in the midst of the next
    finally:
        driver.kill()
        driver.wait()
    found: list[Summary] = []
    source = Held(many, tmp_path)

    def drive() -> None:
        found.append(convert_on_ray(source, tmp_path / "x.beton", two_nodes.address, parts=4, ratios=USUAL))

    thread = Thread(target=drive)
    thread.start()
    waited(lambda: len(readings(tmp_path)) == 4)
    raylet = second.all_processes["raylet"][0].process.pid
    (lost,) = (pid for _, pid in readings(tmp_path)[2:] if parent(pid) == raylet)
    two_nodes.remove_node(second, allow_graceful=False)
    with suppress(ProcessLookupError):  # a lost machine takes its worker along, which may otherwise survive its raylet
        os.kill(lost, signal.SIGKILL)
    waited(lambda: ended(lost))
    (tmp_path / "hold").unlink()
    thread.join(120)
    assert [(summary.images, summary.out) for summary in found] == [(312, str(tmp_path / "x.json"))]
    assert records(tmp_path / "x.json") == records(tmp_path / "whole.beton")
    starts = [start for start, _ in readings(tmp_path)]
    assert starts[:2] == [0, 0] and starts.count(32) >= 2  # both parts went on from their journals
    assert starts.count(0) == 4  # no part was begun anew
    again = convert_on_ray(source, tmp_path / "x.beton", two_nodes.address, parts=4, ratios=USUAL)
    assert again == found[0] and len(readings(tmp_path)) == len(starts)


def part_of(folder: Path, out: Path, **settings: Any) -> Part:
    return ShardedConversion(folder, out, 2, **settings).part(0)


def test_a_lock_that_is_released_late_is_waited_for(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, busy = part_of(jpeg_folder / "train", tmp_path / "x.beton"), iter([Busy("locked")] * 3)
    real = convert

    def locked(*args: Any, **settings: Any) -> Summary:
        if error := next(busy, None):
            raise error
        return real(*args, **settings)

    monkeypatch.setattr("loaders.conversion.shards.convert", locked)
    monkeypatch.setattr(cluster, "POLL", 0.01)
    assert _convert_part(part, 1, False) is None and Path(part.path).exists()
    busy = iter([Busy("locked")] * 9)
    monkeypatch.setattr(cluster, "PATIENCE", 0.02)
    assert isinstance(_convert_part(part, 1, True), Busy)


class Local:
    """Ray's functions, in this process: a task runs when its result is asked for."""

    class exceptions:
        class RayError(Exception):
            pass

    def __init__(self, lost: bool = False) -> None:
        self.lost, self.cancelled = lost, 0

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 1.0}

    def remote(self, **_: Any) -> Any:
        return lambda function: SimpleNamespace(remote=lambda *arguments: partial(function, *arguments))

    def wait(self, running: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        return running[:1], running[1:]

    def get(self, task: Any) -> Any:
        if self.lost:
            raise self.exceptions.RayError("node died")
        return task()

    def cancel(self, *_: Any, **__: Any) -> None:
        self.cancelled += 1


def test_errors_of_a_task(jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "photos" / "a"
    folder.mkdir(parents=True)
    for k, path in enumerate(sorted((jpeg_folder / "val").rglob("*.jpg"))):
        (folder / f"{k}.jpg").write_bytes(path.read_bytes() if k != 2 else b"no image")
    out = tmp_path / "x.beton"
    for local, kind, told in (
        (Local(), BadSample, r"a/2.jpg"),
        (Local(lost=True), LoaderError, "x-00001-of-00003.beton: its task was lost: node died; the same call resumes"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(cluster, "join_cluster", lambda _, local=local: local)
            with pytest.raises(kind, match=told):
                convert_on_ray(folder.parent, out, parts=3)
        assert local.cancelled
    with pytest.raises(ValueError, match="`cpus` must be at least 1, got 0"):
        convert_on_ray(folder.parent, out, cpus=0)


def test_a_folder_that_is_not_shared(jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "join_cluster", lambda _: Local())
    monkeypatch.setattr(cluster, "_convert_part", lambda *_: None)  # wrote it elsewhere
    with pytest.raises(LoaderError, match=r"x-00000-of-00002.beton: .* `out` must be in a shared folder"):
        convert_on_ray(jpeg_folder / "val", tmp_path / "x.beton", parts=2)
