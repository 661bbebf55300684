"""`efficienttrain benchmark remote`: a pyramid in a store with latency, against the same file on the local disk.

Every epoch of one is followed by the same epoch of the other. The store is an HTTP server in a process of its own on
this machine, so it takes processor time from the loader; images/s are a lower limit. With `peers`, other loaders read
the same images from the same store, by its S3 interface, each in its own format.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from loaders import Loader, convert, open_dataset

from .harness import machine
from .harness.contestant import Job
from .harness.data import Data, gather
from .harness.measure import Child, Failed, Missing, summary
from .harness.range_server import counts, s3_environment, serving
from .harness.report import columns, workplace
from .peers import PEERS, REMOTE, interpreters

ORDERS: dict[str, Any] = {"quasi": "quasi", "random": True}
FAIRNESS = (
    "Epochs, local and remote in turn. Before each comes another of the same loader, which is not counted, since an "
    "epoch's last batches are delivered while the next epoch's first are fetched. The local file is in the page cache.",
    "The store answers every request after the latency that is named; nothing is cached (no `cache_dir`).",
    "bytes: sent by the store, as a share of all full-size records; requests: answered by it. Both without the index.",
    "The store runs on the same processors as the loader.",
    "cpu: the loader's processor time for an image, local / remote. Where processors are the limit and the store has "
    "its own, the ratio of speeds tends to it.",
)
FAIRNESS_PEERS = (
    "Peers: one epoch in a process of its own that has kept nothing on the disk, start of its workers included; "
    "decoding as in `throughput`. requests and bytes: all from the start of the process, the index included.",
    "WebDataset's shards and streaming's and litData's pieces hold 64 MB. Those two keep pieces on the disk, so that "
    "later epochs need fewer bytes as long as the disk has room for all of them; ours does so with `cache_dir`.",
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the epochs."""

    threads: int
    """Decoding threads."""
    batch_size: int
    resolutions: list[int]
    rounds: int
    """Epochs of each kind."""
    latency: float
    """Seconds before each answer of the store."""
    seed: int


class Pyramid(NamedTuple):
    """The file that is read.

    Attributes:
        path: the file.
        images: number of its images.
        full_bytes: bytes of all full-size records.
    """

    path: Path
    images: int
    full_bytes: int


def run(
    data: str,
    *,
    threads: int,
    rounds: int = 3,
    batch_size: int = 256,
    resolutions: list[int] | None = None,
    latency: float = 0.03,
    seed: int = 0,
    work: str | None = None,
    repeat_to: int = 0,
    limit: int | None = None,
    peers: Sequence[str] = (),
    python_for: Sequence[str] = (),
) -> dict[str, Any]:
    """Measures and returns the report that `--json` writes.

    Args:
        data: a pyramid, or an image folder, which is converted.
        latency: seconds before each answer of the store.
        work: folder for what is made from `data`.
        repeat_to, limit: of an image folder, see `data.gather`.
        peers: contestants of `peers.REMOTE` that read an epoch, too; they need an image folder.
        python_for: see `throughput.run`.

    Raises:
        ValueError: a wrong contestant, or one that cannot run here.
        FileNotFoundError: no such data.
    """
    if wrong := [name for name in peers if name not in REMOTE]:
        raise ValueError(f"`--peers` of `remote` takes {', '.join(REMOTE)}; got {wrong[0]}.")
    if peers and Path(data).is_file():
        raise ValueError(f"with `--peers`, `--data` must be an image folder, got {data}.")
    card = machine.card()
    settings = Settings(
        threads=threads,
        batch_size=batch_size,
        resolutions=resolutions or [96, 160, 224],
        rounds=rounds,
        latency=latency,
        seed=seed,
    )
    contestants = Contestants(peers, interpreters(python_for), settings)
    with workplace(work) as place:
        records = None if Path(data).is_file() else gather(data, place, repeat_to, limit)
        path = Path(data) if records is None else records.pyramid
        if records is not None:
            if not path.exists():
                convert(records.folder, path, workers=threads)
            contestants.prepare(records)
        with open_dataset(path) as dataset:
            pyramid = Pyramid(path, len(dataset), _full_bytes(dataset))
        folder = path.parent if records is None else place
        with serving(folder, latency) as server:
            results = _ours(pyramid, f"{server}/{path.relative_to(folder)}", server, settings)
            found = [] if records is None else contestants.measure(records, server, place)
    facts = {"images": pyramid.images, "mean_record_bytes": pyramid.full_bytes / pyramid.images}
    return {
        "benchmark": "remote",
        "version": 1,
        "machine": card,
        "settings": {**asdict(settings), **facts},
        "fairness": [*FAIRNESS, *(FAIRNESS_PEERS if peers else ())],
        "results": results,
        **({"peers": found} if peers else {}),
    }


def _ours(pyramid: Pyramid, url: str, server: str, settings: Settings) -> list[dict[str, Any]]:
    """Local and remote epochs in turn, in each order and at each resolution. url: of the pyramid on the server."""
    results = []
    sides, rounds, batch_size = settings.resolutions, settings.rounds, settings.batch_size
    with tqdm(total=len(ORDERS) * len(sides) * rounds, desc="epochs", leave=False, file=sys.stderr) as bar:
        for order, shuffle in ORDERS.items():
            options: dict[str, Any] = {"seed": settings.seed, "num_workers": settings.threads, "dtype": "uint8"}
            options |= {"shuffle": shuffle, "drop_last": False, "resolution": sides[0]}
            with (
                Loader(pyramid.path, batch_size, **options) as local,
                Loader(url, batch_size, **options) as remote,
            ):
                for side in sides:
                    local.set_stage(resolution=side)
                    remote.set_stage(resolution=side)
                    requests, answered = _answered(remote, server, settings.latency)
                    epochs = []
                    for _ in range(rounds):
                        epochs.append(_epochs(local, remote, pyramid.images))
                        bar.update()
                    results.append(
                        {
                            "order": order,
                            "resolution": side,
                            "requests_per_image": requests / pyramid.images,
                            "share_of_bytes": answered / pyramid.full_bytes,
                            **{name: summary([epoch[name] for epoch in epochs]) for name in epochs[0]},
                        }
                    )
    return results


@dataclass(frozen=True)
class Contestants:
    """The other loaders, each in a process of its own."""

    names: Sequence[str]
    pythons: dict[str, str]
    """Interpreters of those that do not run in ours."""
    settings: Settings

    def prepare(self, records: Data) -> None:
        """Makes each contestant's own files.

        Raises:
            ValueError: a contestant cannot run here.
        """
        for name in self.names:
            if name != "ours-quasi":
                self._start("prepare", self._job(records, name, self.settings.resolutions[0], {}), {}).close()

    def measure(self, records: Data, server: str, place: Path) -> list[dict[str, Any]]:
        """Epochs of the contestants in turn. Raises as `prepare` does."""
        sides = self.settings.resolutions
        bucket = records.work.relative_to(place)
        where = {"store": f"s3://{bucket}", "http": f"{server}/{bucket}"}
        found: dict[tuple[str, int], list[tuple[float, int, int]]]
        found = {(name, side): [] for side in sides for name in self.names}
        plays = [(name, side) for _ in range(self.settings.rounds) for side in sides for name in self.names]
        for name, side in tqdm(plays, desc="peers", leave=False, file=sys.stderr):
            with tempfile.TemporaryDirectory(dir=place) as local:
                before = counts(server)
                job = self._job(records, name, side, {**where, "local": local})
                child = self._start("remote", job, {**s3_environment(server), "TMPDIR": local})
                try:
                    answer = child.round(0)
                finally:
                    child.close()
                after = counts(server)
            if answer["images"] != records.records:
                raise Failed(f"{name}: an epoch has {answer['images']} images of {records.records}")
            found[name, side].append((answer["images"] / answer["seconds"], after[0] - before[0], after[1] - before[1]))
        return [
            {
                "contestant": name,
                "label": PEERS[name].label,
                "resolution": side,
                "rate": summary([rate for rate, _, _ in each]),
                "requests_per_image": sum(requests for _, requests, _ in each) / len(each) / records.records,
                "bytes_per_image": sum(size for _, _, size in each) / len(each) / records.records,
            }
            for (name, side), each in found.items()
        ]

    def _job(self, records: Data, name: str, side: int, options: dict[str, Any]) -> Job:
        return Job(
            name=name,
            resolution=side,
            threads=self.settings.threads,
            batch_size=self.settings.batch_size,
            folder=str(records.folder),
            pyramid=str(records.pyramid),
            work=str(records.work),
            seed=self.settings.seed,
            options={**PEERS[name].options, **options},
        )

    def _start(self, function: str, job: Job, environment: dict[str, str]) -> Child:
        """The running contestant."""
        peer, log = PEERS[job.name], Path(job.work) / f"{job.name}-{job.resolution}-{function}.log"
        python = self.pythons.get(peer.name, sys.executable)
        try:
            return Child(peer.target(function), job, python=python, environment=environment, log=log)
        except (Missing, Failed) as error:
            raise ValueError(f"{peer.name} was asked for, but {error}; needed: {peer.install}.") from error


def _full_bytes(dataset: Any) -> int:
    """Bytes of all full-size records."""
    block = 1 << 16
    starts = range(0, len(dataset), block)
    return sum(int(dataset.entries(range(k, min(k + block, len(dataset))))[:, 0]["size"].sum()) for k in starts)


def _answered(remote: Loader, server: str, latency: float) -> tuple[int, int]:
    """Requests and bytes of an epoch.

    The first groups of the next epoch are fetched at the end of each: counted once they are here, before and after.
    """
    found = []
    for _ in range(2):
        _seconds(remote)
        before, now = (-1, -1), counts(server)
        while before != now:
            time.sleep(0.2 + 2 * latency)
            before, now = now, counts(server)
        found.append(now)
    (requests, size), after = found
    return after[0] - requests, after[1] - size


def _epochs(local: Loader, remote: Loader, images: int) -> dict[str, float]:
    """An epoch of each, after another that is not counted: images/s, their ratio, and that of processor times."""
    _seconds(local)
    wall, processor = _seconds(local)
    _seconds(remote)
    wall_remote, processor_remote = _seconds(remote)
    return {
        "local": images / wall,
        "remote": images / wall_remote,
        "ratio": wall / wall_remote,
        "cpu": processor / processor_remote,
    }


def _seconds(loader: Loader) -> tuple[float, float]:
    """Seconds that an epoch takes, and this process's processor time for it."""
    wall, processor = time.perf_counter(), time.process_time()
    for _ in loader:
        pass
    return time.perf_counter() - wall, time.process_time() - processor


def text(report: dict[str, Any]) -> str:
    """The report as a table."""
    delay = 1000 * report["settings"]["latency"]
    lines = [f"remote, {delay:.0f} ms a request, on {machine.describe(report['machine'])}"]
    lines += [f"  - {rule}" for rule in report["fairness"]]
    lines += [
        "",
        f"{'order':8}{'B':>5}{'requests/image':>16}{'bytes/full':>12}{'local/s':>10}{'remote/s':>10}{'ratio':>8}{'cpu':>8}",
    ]
    for row in report["results"]:
        speeds = "".join(f"{row[what]['median']:10.0f}" for what in ("local", "remote"))
        share = f"{row['requests_per_image']:16.3f}{row['share_of_bytes']:11.0%} "
        lines.append(
            f"{row['order']:8}{row['resolution']:5d}{share}{speeds}{row['ratio']['median']:8.2f}{row['cpu']['median']:8.2f}"
        )
    return "\n".join([*lines, *_peers_text(report)])


def _peers_text(report: dict[str, Any]) -> list[str]:
    """The table of the other loaders."""
    lines = []
    for side in report["settings"]["resolutions"] if report.get("peers") else ():
        rows = [[f"B = {side}", "requests/image", "kB/image", "images/s"]]
        for row in report["peers"]:
            if row["resolution"] == side:
                size, rate = row["bytes_per_image"] / 1000, row["rate"]["median"]
                rows.append([row["label"], f"{row['requests_per_image']:.3f}", f"{size:.1f}", f"{rate:,.0f}"])
        lines += ["", columns(rows)]
    return lines
