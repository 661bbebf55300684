"""`efficienttrain benchmark throughput`: images per second, contestant by contestant and resolution by resolution."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from .harness import figures, machine, slow_reads
from .harness.contestant import Job
from .harness.data import Data, gather, warm
from .harness.measure import Child, Failed, Missing, interleave, ratio, summary
from .harness.report import throughput_text, workplace
from .peers import Peer, chosen, interpreters

AUGMENTED = ("ours-randaugment", "ours-dali-randaugment")
MAGNITUDE = 8.0
"""RandAugment's strength. At 9 timm now and then asks Pillow for 0 bits, which Pillow 12 and later refuse."""
CHILD_MB = 600.0  # memory set aside for each contestant when deciding how many may exist at once

PAIRS: list[tuple[str, tuple[str, ...]]] = [
    ("ours", ("ffcv", "dali")),
    ("ours-folder", ("ffcv",)),
    ("ours-float32", ("torchvision",)),
    ("ours-dali", ("dali",)),
    ("ours-randaugment-float32", ("ours-float32",)),
    ("ours-randaugment-base", ("ours-randaugment",)),
    *((ours, (f"ours-before{ours[4:]}",)) for ours in ("ours-folder", "ours-randaugment")),
    ("ours-1ms", ("ours",)),
    ("ours-20ms", ("ours",)),
    ("ours-quasi", ("ours",)),
    ("ours-quasi", ("ours-quasi-warm",)),
    ("ours-quasi", ("ffcv", "ffcv-quasi")),
    ("ours", ("ffcv", "ffcv-quasi")),
    ("ours-ffcv", ("ours",)),
    ("ours-ffcv", ("ffcv",)),
    ("ours-ffcv-part", ("ffcv",)),
    ("ours-ffcv-beton", ("ffcv",)),
    ("ours-randaugment", ("ours",)),
    ("ours-randaugment", ("dali-randaugment", "torchvision-randaugment")),
    *((ours, (other,)) for ours in AUGMENTED for other in ("dali-randaugment", "torchvision-randaugment")),
]
"""Further ratios: of, over the fastest of."""

FAIRNESS = (
    "Same images for all: an image folder; each contestant's own file format is made from it beforehand.",
    "Same crops: RandomResizedCrop, area 0.08-1, aspect 3/4-4/3, and a horizontal flip (limit: crops cut beforehand).",
    "Same threads (or worker processes), the same CPUs, to which every process is confined, and the same batch size.",
    "Every contestant in a process of its own, stopped while another one works; rounds interleaved, start rotated.",
    "Queues filled before a window are emptied first. Rates are medians of rounds with quartiles; ratios are taken "
    "inside a round, then their median.",
    "Peers in their best documented settings; torchvision and timm run the published transforms (float32 out), "
    "FFCV and DALI stop at uint8, as ours does (`ours-float32`: as torchvision).",
    "WebDataset, streaming, litData and SPDL leave decoding to their user: it is that of torchvision-v2 (uint8 out).",
    "ours-before is an older version, in the same environment, over a pyramid that its own converter has made.",
    "On a GPU (device cuda) all deliver there, normalised (float16; torchvision and timm float32); a window ends when "
    "the GPU has finished. DALI decodes there (mixed), torchvision-gpu by decode_jpeg, FFCV on the CPU.",
)


WARM = "Warm page cache. Start-up, compiling and warm-up outside the windows. The consumer does nothing with a batch."
COLD = (
    "Cold: before each window the contestants' files leave the page cache, as far as no stopped process maps them. A "
    "window ends after a third of the images at the latest, so that few are read twice. Start-up and compiling outside."
)


def run(
    data: str,
    resolutions: Sequence[int],
    peers: list[str] | None = None,
    *,
    device: str = "cpu",
    threads: int,
    batch_size: int = 64,
    rounds: int = 5,
    seconds: float = 2.0,
    repeat_to: int = 1500,
    limit: int | None = None,
    folder: str | None = None,
    work: str | None = None,
    python_for: Sequence[str] = (),
    against: str | None = None,
    seed: int = 0,
    magnitude: float = MAGNITUDE,
    cold: bool = False,
) -> dict[str, Any]:
    """Measures and returns the report that `--json` writes (layout: benchmarks/README.md).

    Args:
        python_for: `NAME=PATH`, the interpreter of a contestant whose libraries need an environment of their own.
        against: an older checkout of this project, which runs as `ours-before`.
        cold: empty the page cache before each window.

    Raises:
        ValueError: a requested peer is unknown or cannot run here, or there is no GPU for `device` "cuda".
        FileNotFoundError: no such data.
        Failed: one of our own contestants failed, or a peer did between two rounds.
    """
    if device == "cuda":
        machine.require_gpu()
    entrants, card = chosen(peers, device, cold, before=against is not None), machine.card()
    pythons = interpreters(python_for)
    if against is not None and not os.path.isdir(os.path.join(against, "loaders")):
        raise ValueError(f"`--against` takes an older checkout of this project, got {against}.")
    given = {"magnitude": magnitude, **({} if against is None else {"against": os.path.abspath(against)})}
    with workplace(work) as place:
        records = gather(data, place, repeat_to, limit, folder)
        explicit = {*(peers or ()), *pythons, *(() if against is None else ("ours-before",))}
        contestants = Field(
            data=records,
            threads=threads,
            batch_size=batch_size,
            seed=seed,
            pythons=pythons,
            explicit=frozenset(explicit),
            device=device,
            given=given,
            cold=cold,
        )
        entrants = contestants.prepare(entrants, resolutions)
        if not cold:
            warm(records)
        results = [
            result
            for part in contestants.parts(entrants, resolutions)
            for result in contestants.measure(part, rounds, seconds)
        ]
    order = {
        (resolution, peer.name): i for i, (resolution, peer) in enumerate((b, p) for b in resolutions for p in entrants)
    }
    results.sort(key=lambda result: order[result["resolution"], result["contestant"]])
    settings = {
        "data": records.name,
        "images": records.images,
        "records": records.records,
        "device": device,
        "threads": threads,
        "mean_file_bytes": records.mean_bytes,
        "batch_size": batch_size,
        "rounds": rounds,
        "seconds": seconds,
        "seed": seed,
        "magnitude": magnitude,
        **({} if against is None else {"against": machine.commit(against)}),
        **({"cold": True} if cold else {}),
        "resolutions": list(resolutions),
    }
    return {
        "benchmark": "throughput",
        "version": 1,
        "machine": card,
        "settings": settings,
        "fairness": [*FAIRNESS, COLD if cold else WARM],
        "notes": contestants.notes,
        "results": results,
        "ratios": ratios(results),
        "time_ratios": time_ratios(results),
    }


@dataclass
class Field:
    """The contestants of one run: prepared, started, measured, ended."""

    data: Data
    threads: int
    batch_size: int
    seed: int
    pythons: dict[str, str]  # interpreters of contestants that do not run in ours
    explicit: frozenset[str]  # contestants that must not be skipped
    device: str
    given: dict[str, Any]  # options for the contestants that take them
    cold: bool = False
    notes: list[str] = field(default_factory=list)

    def prepare(self, peers: list[Peer], resolutions: Sequence[int]) -> list[Peer]:
        """Lets each module make its files once; returns the contestants that can run here."""
        self.notes += [self.data.note] if self.data.note else []
        able: dict[str, bool] = {}
        for peer in peers:
            if peer.prepare and peer.module not in able:
                print(f"preparing {peer.label} ...", file=sys.stderr, flush=True)
                child = self._start(peer, resolutions[0], "prepare", {"resolutions": list(resolutions)})
                able[peer.module] = child is not None
                if child is not None:
                    child.close()
        return [peer for peer in peers if able.get(peer.module, True)]

    def parts(self, peers: list[Peer], resolutions: Sequence[int]) -> list[list[tuple[Peer, int]]]:
        """All pairs at once if memory allows, so that resolutions are interleaved too; else one by one."""
        pairs = [[(peer, resolution) for peer in peers] for resolution in resolutions]
        if machine.available_mb() > CHILD_MB * len(peers) * len(resolutions):
            return [[pair for part in pairs for pair in part]]
        self.notes.append("Memory is short: resolutions were measured one after the other, not interleaved.")
        return pairs

    def measure(self, pairs: list[tuple[Peer, int]], rounds: int, seconds: float) -> list[dict[str, Any]]:
        """Starts these contestants, plays all rounds, ends them."""
        with ExitStack() as stack, ThreadPoolExecutor(os.cpu_count()) as pool:

            def start(pair: tuple[Peer, int]) -> Child | None:
                child = self._start(*pair, "build", {})
                if child is not None:
                    stack.callback(child.close)
                return child

            started = list(tqdm(pool.map(start, pairs), "starting", len(pairs), leave=False))
            running = [(peer, child) for (peer, _), child in zip(pairs, started, strict=True) if child is not None]
            with tqdm(total=len(running) * (rounds + 1), desc="measuring", leave=False) as bar:

                def progress(child: Child) -> None:
                    bar.set_postfix_str(f"{child.job.name}, B={child.job.resolution}")
                    bar.update()

                answers = interleave([child for _, child in running], rounds, seconds, progress)
        return [_result(peer, child, given) for (peer, child), given in zip(running, answers, strict=True)]

    def _start(self, peer: Peer, resolution: int, function: str, extra: dict[str, Any]) -> Child | None:
        """The running contestant; None, and a note, if it cannot run and was not requested."""
        data = self.data
        job = Job(
            name=peer.name,
            resolution=resolution,
            threads=self.threads,
            batch_size=self.batch_size,
            folder=str(data.folder),
            pyramid=str(data.pyramid),
            work=str(data.work),
            seed=self.seed,
            options={**peer.options, **{name: self.given[name] for name in peer.takes if name in self.given}, **extra},
            device=self.device,
            cold_images=data.records // 3 if self.cold and not peer.warm else 0,
            reload=self.cold and peer.warm,
        )
        try:
            return Child(
                peer.target(function),
                job,
                python=self.pythons.get(peer.name, sys.executable),
                environment=slow_reads.environment(peer.read_latency, data.work) if peer.read_latency else {},
                log=data.work / f"{peer.name}-{resolution}-{function}.log",
            )
        except (Missing, Failed) as error:
            if peer.module == "ours" and not isinstance(error, Missing):
                raise
            why = f"{peer.name} is not available here ({error})" if isinstance(error, Missing) else str(error)
            if peer.name in self.explicit:
                raise ValueError(f"{peer.name} was asked for, but {why}; needed: {peer.install}.") from error
            if f"Skipped: {why}." not in self.notes:
                self.notes.append(f"Skipped: {why}.")
            return None


def _result(peer: Peer, child: Child, answers: list[dict[str, Any]]) -> dict[str, Any]:
    rates = [answer["images"] / answer["seconds"] for answer in answers]
    ready = child.ready
    return {
        "resolution": child.job.resolution,
        "contestant": peer.name,
        "label": peer.label,
        "output": ready["output"],
        "rates": rates,
        "rate": summary(rates),
        "bytes_an_image": {
            "stored": answers[-1]["facts"].get("stored_bytes"),
            "read": answers[-1]["bytes_per_image"] if peer.module == "ours" else None,
            "decoded": answers[-1]["facts"].get("decoded_bytes"),
            **_cold(child, answers),
        },
        "memory_mb": {
            "imports": ready["imports_mb"],
            "anonymous": max(answer["anonymous_mb"] for answer in answers),
            "shared": max(answer["shared_mb"] for answer in answers),
        },
        "versions": ready["versions"],
    }


def _cold(child: Child, answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Bytes per image requested, bytes per image read from the disk, and the share cached before a window."""
    if not child.job.cold_images:
        return {}
    disk = summary([answer["disk_bytes_per_image"] for answer in answers])["median"]
    cached = max(answer["cached"] for answer in answers)
    return {"asked": answers[-1]["bytes_per_image"], "disk": disk, "cached_before": cached}


def ratios(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The ratios behind the figures of merit, by resolution: ours over each other contestant, over the best of two."""
    found = []
    for resolution in dict.fromkeys(result["resolution"] for result in results):
        rates = {result["contestant"]: result["rates"] for result in results if result["resolution"] == resolution}
        pairs = [*(("ours", (name,)) for name in rates if name != "ours"), *PAIRS]
        for one, others in pairs:
            if one in rates and all(name in rates for name in others):
                found.append(
                    {
                        "resolution": resolution,
                        "of": one,
                        "over": list(others),
                        **ratio(rates[one], *(rates[name] for name in others)),
                    }
                )
    return found


def time_ratios(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Seconds per image at the largest resolution over those at the smallest, inside each round, by contestant."""
    low, high = (pick(result["resolution"] for result in results) for pick in (min, max))
    rates = {(result["contestant"], result["resolution"]): result["rates"] for result in results}
    names = [name for name, resolution in rates if resolution == low and (name, high) in rates and low < high]
    return [
        {"contestant": name, "resolutions": [high, low], **ratio(rates[name, low], rates[name, high])} for name in names
    ]


text = throughput_text
draw = figures.throughput
