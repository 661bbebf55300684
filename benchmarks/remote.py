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
from pathlib import Path
from typing import Any

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
    pythons, sides, card = interpreters(python_for), resolutions or [96, 160, 224], machine.card()
    with workplace(work) as place:
        records = None if Path(data).is_file() else gather(data, place, repeat_to, limit)
        pyramid = Path(data) if records is None else records.pyramid
        if records is not None:
            if not pyramid.exists():
                convert(records.folder, pyramid, workers=threads)
            _prepare(records, peers, pythons, threads, batch_size, sides)
        with open_dataset(pyramid) as dataset:
            images, full = len(dataset), _full_bytes(dataset)
        folder = pyramid.parent if records is None else place
        with serving(folder, latency) as server:
            url = f"{server}/{pyramid.relative_to(folder)}"
            options: dict[str, Any] = {"seed": seed, "num_workers": threads, "dtype": "uint8"}
            results = _ours(str(pyramid), url, server, batch_size, sides, rounds, images, full, latency, options)
            found = []
            if records is not None:
                found = _peers(records, peers, pythons, server, place, (threads, batch_size, seed), sides, rounds)
    settings = {"threads": threads, "rounds": rounds, "batch_size": batch_size, "latency": latency, "images": images}
    return {
        "benchmark": "remote",
        "version": 1,
        "machine": card,
        "settings": {**settings, "resolutions": sides, "seed": seed, "mean_record_bytes": full / images},
        "fairness": [*FAIRNESS, *(FAIRNESS_PEERS if peers else ())],
        "results": results,
        **({"peers": found} if peers else {}),
    }


def _ours(
    data: str,
    url: str,
    server: str,
    batch_size: int,
    sides: list[int],
    rounds: int,
    images: int,
    full: int,
    latency: float,
    options: dict[str, Any],
) -> list[dict[str, Any]]:
    """Local and remote epochs in turn, in each order and at each resolution."""
    results = []
    with tqdm(total=len(ORDERS) * len(sides) * rounds, desc="epochs", leave=False, file=sys.stderr) as bar:
        for order, shuffle in ORDERS.items():
            chosen = {**options, "shuffle": shuffle, "drop_last": False}
            with (
                Loader(data, batch_size, resolution=sides[0], **chosen) as local,
                Loader(url, batch_size, resolution=sides[0], **chosen) as remote,
            ):
                for side in sides:
                    local.set_stage(resolution=side)
                    remote.set_stage(resolution=side)
                    answered = _answered(remote, server, latency)
                    epochs = []
                    for _ in range(rounds):
                        epochs.append(_epochs(local, remote, images))
                        bar.update()
                    results.append(_result(order, side, epochs, answered, images, full))
    return results


def _prepare(
    records: Data, peers: Sequence[str], pythons: dict[str, str], threads: int, batch_size: int, sides: list[int]
) -> None:
    """Each contestant's own files."""
    for name in peers:
        if name != "ours-quasi":
            job = _job(records, name, sides[0], (threads, batch_size, 0), {})
            _child(records, "prepare", job, pythons, {}).close()


def _job(records: Data, name: str, side: int, how: tuple[int, int, int], options: dict[str, Any]) -> Job:
    threads, batch_size, seed = how
    folder, pyramid, work = map(str, (records.folder, records.pyramid, records.work))
    return Job(name, side, threads, batch_size, folder, pyramid, work, seed, {**PEERS[name].options, **options})


def _child(records: Data, function: str, job: Job, pythons: dict[str, str], environment: dict[str, str]) -> Child:
    """The running contestant.

    Raises:
        ValueError: it cannot run here.
    """
    peer, log = PEERS[job.name], records.work / f"{job.name}-{job.resolution}-{function}.log"
    try:
        return Child(
            peer.target(function), job, python=pythons.get(peer.name, sys.executable), environment=environment, log=log
        )
    except (Missing, Failed) as error:
        raise ValueError(f"{peer.name} was asked for, but {error}; needed: {peer.install}.") from error


def _peers(
    records: Data,
    peers: Sequence[str],
    pythons: dict[str, str],
    server: str,
    place: Path,
    how: tuple[int, int, int],
    sides: list[int],
    rounds: int,
) -> list[dict[str, Any]]:
    """Epochs of the contestants in turn. how: threads, batch size, seed."""
    bucket = records.work.relative_to(place)
    where = {"store": f"s3://{bucket}", "http": f"{server}/{bucket}"}
    found: dict[tuple[str, int], list[tuple[float, int, int]]] = {(name, side): [] for side in sides for name in peers}
    plays = [(name, side) for _ in range(rounds) for side in sides for name in peers]
    for name, side in tqdm(plays, desc="peers", leave=False, file=sys.stderr):
        with tempfile.TemporaryDirectory(dir=place) as local:
            before = counts(server)
            job = _job(records, name, side, how, {**where, "local": local})
            child = _child(records, "remote", job, pythons, {**s3_environment(server), "TMPDIR": local})
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


def _result(
    order: str, side: int, epochs: list[dict[str, float]], answered: tuple[int, int], images: int, full: int
) -> dict[str, Any]:
    return {
        "order": order,
        "resolution": side,
        "requests_per_image": answered[0] / images,
        "share_of_bytes": answered[1] / full,
        **{what: summary([epoch[what] for epoch in epochs]) for what in ("local", "remote", "ratio", "cpu")},
    }


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
