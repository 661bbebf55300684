"""The suite: runs the cases, and makes the table of what became of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from benchmarks.harness import machine
from benchmarks.harness.report import columns, workplace
from tests.robustness.reading import build_shim
from tests.robustness.tally import LOST, OURS, Tally
from tests.robustness.watchdog import LIMIT, PATIENCE, ROOT, Ended, watch

RULES = (
    "Each case runs in a process of its own under a watchdog: a crash or a silence is lost, and the suite goes on.",
    "Throughput, memory and the cost of checks are judged, too: survived is within the bound, lost is beyond it.",
    "survived: the run went on, and whatever it delivered is right (libjpeg's pixels, the undamaged file's pixels, the "
    "very bytes of an undisturbed conversion). named: it ended, or left a sample out, with an error that names file or "
    "sample. lost: anything else.",
    "libjpeg judges pixels where its SIMD and its C code agree with each other; beyond that it says nothing.",
    "Mutant n of a seed is the same bytes everywhere: every lost line names its seed and number.",
)
PACKAGES = {"ffcv": "ffcv", "dali": "nvidia.dali"}
FLAGS = ["-std=c++17", "-O1", "-g", "-fPIC", "-ffp-contract=off", "-fwrapv", "-pthread", "-fno-omit-frame-pointer"]
CHECKS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


class Case(NamedTuple):
    """A function of this package that yields tallies, with how many tries it gets.

    spread: it counts numbers from `first` on; the suite restarts it behind a crash. env: "sanitize" or "shim".
    backend: of the loader, where the function takes one. patience, limit: see `watch`.
    """

    name: str
    target: str
    quick: int
    full: int
    fault: str = ""
    spread: bool = False
    env: str = ""
    backend: str = ""
    patience: float = PATIENCE
    limit: float = LIMIT


def _damage(name: str, function: str, quick: int, full: int, fault: str, env: str = "sanitize") -> Case:
    return Case(name, f"tests.robustness.damage:{function}", quick, full, fault, spread=True, env=env, limit=600)


def _backends(name: str, function: str, quick: int, full: int, env: str = "") -> tuple[Case, ...]:
    """The same faults through the other backends."""
    target = f"tests.robustness.{function}"
    return tuple(
        Case(f"{name}-{backend}", target, quick, full, env=env, backend=backend, patience=120)
        for backend in ("ffcv", "dali")
    )


CASES = (
    Case("sound", "tests.robustness.damage:sound", 1, 1),
    _damage("jpeg-pool", "pool", 1000, 20000, "damaged JPEG: decoded"),
    _damage("jpeg-records", "records", 600, 10000, "damaged record: decoded"),
    _damage("jpeg-convert", "transcode", 500, 20000, "damaged JPEG: converted"),
    _damage("jpeg-loader", "loader", 200, 20000, "damaged JPEG: loaded", env=""),
    Case("flips", "tests.robustness.files:flips", 5, 150),
    *_backends("flips", "files:flips", 0, 3),
    Case("cuts", "tests.robustness.files:cuts", 20, 400),
    Case("swaps", "tests.robustness.files:swaps", 2, 40),
    *_backends("swaps", "files:swaps", 0, 5),
    Case("check-cost", "tests.robustness.cost:checks", 21, 101),
    Case("hostile", "tests.robustness.hostile:betons", 60, 3000),
    Case("names", "tests.robustness.hostile:names", 1, 1),
    Case("kill", "tests.robustness.kills:kill", 3, 50),
    Case("worker", "tests.robustness.kills:worker", 2, 20),
    Case("full-disk", "tests.robustness.kills:full_disk", 2, 15),
    Case("read-only", "tests.robustness.kills:read_only", 0, 2),
    Case("crowd", "tests.robustness.kills:crowd", 0, 15),
    Case("training", "tests.robustness.training:kill", 1, 12, patience=150),
    Case("disk", "tests.robustness.reading:disk", 4, 100, env="shim"),
    *_backends("disk", "reading:disk", 0, 20, env="shim"),
    Case("store", "tests.robustness.stores:faults", 2, 40),
    Case("small-cache", "tests.robustness.stores:small_cache", 2, 12),
    Case("memory", "tests.robustness.reading:memory", 8, 200),
    Case("forks", "tests.robustness.reading:forks", 3, 12),
    Case("cycles", "tests.robustness.reading:cycles", 40, 600),
    *_backends("cycles", "reading:cycles", 0, 40),
    Case("epochs", "tests.robustness.reading:epochs", 0, 200),
    Case("consumers", "tests.robustness.load:consumers", 50, 1000),
    *_backends("consumers", "load:consumers", 0, 200),
    *_backends("threads", "load:threads", 0, 10),
    Case("batch-sizes", "tests.robustness.load:batch_sizes", 0, 12),
    Case("processes", "tests.robustness.load:processes", 0, 2, patience=150),
    Case("many-loaders", "tests.robustness.load:many_loaders", 0, 9),
    Case("peers-ours", "tests.robustness.peers:ours", 9, 30),
    *_backends("peers-ours", "peers:ours", 0, 30),
    Case("peers-ffcv", "tests.robustness.peers:ffcv", 0, 30, patience=180),
    Case("peers-dali", "tests.robustness.peers:dali", 0, 30, patience=120),
)


def run(only: list[str] | None = None, quick: bool = False, seed: int = 0, work: str | None = None) -> dict[str, Any]:
    """Runs the cases; returns the report that `--json` writes.

    Args:
        only: names of CASES; None: all.
        quick: two minutes instead of a quarter of an hour; leaves out peers, other backends, and what takes long.
        seed: of the mutants and moments.
        work: folder for what is compiled, kept; None: a temporary one.

    Raises:
        ValueError: a name that is no case.
    """
    known = [case.name for case in CASES]
    for name in only or ():
        if name not in known:
            raise ValueError(f"`--only` takes names of cases, got {name!r}; there are {', '.join(known)}.")
    chosen = [case for case in CASES if case.name in (only or known) and (case.quick or not quick)]
    card = machine.card()
    notes: list[str] = []
    results: list[dict[str, Any]] = []
    seconds: dict[str, float] = {}
    with workplace(work) as place:
        env = _environments(place, {case.env for case in chosen}, notes)
        with tqdm(total=len(chosen), desc="faults", file=sys.stderr) as bar:
            for case in chosen:
                bar.set_postfix_str(case.name)
                tries, start = case.quick if quick else case.full, time.monotonic()
                for tally in _tallies(case, tries, seed, env.get(case.env), notes):
                    results.append(tally.as_dict() | {"case": case.name})
                seconds[case.name] = round(time.monotonic() - start, 1)
                bar.update()
    return {
        "benchmark": "faults",
        "version": 1,
        "machine": card,
        "settings": {"seed": seed, "quick": quick},
        "fairness": list(RULES),
        "notes": notes,
        "seconds": seconds,
        "results": results,
    }


def _environments(place: Path, wanted: set[str], notes: list[str]) -> dict[str, dict[str, str]]:
    env: dict[str, dict[str, str]] = {}
    if "sanitize" in wanted:
        env["sanitize"] = sanitized(place) or {}
        if not env["sanitize"]:
            notes.append(
                "Damaged JPEGs ran without sanitizers: g++ with libasan and libubsan could not build the kernel."
            )
    if "shim" in wanted:
        shim = build_shim(place)
        env["shim"] = {"LD_PRELOAD": str(shim)} if shim else {}
    return env


def sanitized(place: Path) -> dict[str, str] | None:
    """Variables that make a child run on a kernel with sanitizers, built in `place`; None where it cannot be built."""
    native = ROOT / "loaders" / "native"
    sources = sorted(native.rglob("*.cpp"))
    kernel, compiler = place / "kernel.so", os.environ.get("CXX", "g++")

    def compiled(source: Path) -> str:
        target = place / f"{source.stem}.o"
        subprocess.run(
            [compiler, *FLAGS, *CHECKS, f"-I{native}", "-c", source, "-o", target], check=True, capture_output=True
        )
        return str(target)

    try:
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            objects = list(pool.map(compiled, sources))
        link = [compiler, "-shared", "-pthread", *CHECKS, *objects, "-ljpeg", "-o", str(kernel)]
        subprocess.run(link, check=True, capture_output=True)
        runtimes = [_runtime(compiler, name) for name in ("libasan.so", "libubsan.so")]
    except (OSError, subprocess.CalledProcessError):
        return None
    return {
        "ETL_KERNEL": str(kernel),
        "LD_PRELOAD": " ".join(runtimes),  # before all others
        "ASAN_OPTIONS": "detect_leaks=0",  # Python leaks by design
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def _runtime(compiler: str, name: str) -> str:
    found = subprocess.run([compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True)
    return found.stdout.strip()


def _tallies(case: Case, tries: int, seed: int, env: dict[str, str] | None, notes: list[str]) -> Iterator[Tally]:
    if case.env == "shim" and not env:
        notes.append(f"{case.name}: skipped, a C compiler is needed to build the failing disk.")
    elif case.backend and not _installed(PACKAGES[case.backend]):
        notes.append(f"{case.name}: skipped, {PACKAGES[case.backend]} is not installed.")
    elif case.spread:
        yield _spread(case, tries, seed, env)
    else:
        yield from _whole(case, tries, seed, env, notes)


def _whole(case: Case, tries: int, seed: int, env: dict[str, str] | None, notes: list[str]) -> Iterator[Tally]:
    """A case that counts by itself."""
    arguments = {"seed": seed, "tries": tries} | ({"backend": case.backend} if case.backend else {})
    try:
        for reply in watch(case.target, case.patience, case.limit, env, **arguments):
            if "skipped" in reply:
                notes.append(f"{case.name}: skipped, {reply['skipped']}.")
            elif "fault" in reply:
                tally = Tally(reply["fault"], reply["contestant"])
                tally.merge(reply)
                yield tally
    except Ended as ended:
        lost = Tally(case.name, OURS.get(case.backend, "ours"))
        lost.add(LOST, f"{ended.how}, seed {seed}: {ended.told[-1500:]}")
        yield lost


def _spread(case: Case, tries: int, seed: int, env: dict[str, str] | None) -> Tally:
    """A case over numbers, which goes on behind those that ended it."""
    total, first, end = Tally(case.fault), 0, time.monotonic() + case.limit
    while first < tries and (left := end - time.monotonic()) > 0:
        done = 0
        try:
            for reply in watch(case.target, case.patience, left, env, seed=seed, first=first, count=tries - first):
                total.merge(reply)
                done = reply["done"]
            first = tries
        except Ended as ended:
            total.add(LOST, f"{ended.how} at numbers from {first + done} of seed {seed}: {ended.told[-1500:]}")
            first += done + 100
    return total


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # not even what it would lie in
        return False


def text(report: dict[str, Any]) -> str:
    """The report as text: a line a fault, then every way to lose that was found."""
    rows = [["fault", "contestant", "tries", "survived", "named", "lost"]]
    rows += [
        [r["fault"], r["contestant"], *(f"{r[key]:,}" for key in ("tries", "survived", "named", "lost"))]
        for r in report["results"]
    ]
    lost = [
        f"  {r['fault']} ({r['contestant']}): {' '.join(how.split())[:400]}"
        for r in report["results"]
        for how in r["reproducers"][:3]
    ]
    facts = [f"  {r['fault']} ({r['contestant']}): {r['facts']}" for r in report["results"] if r["facts"]]
    rules = "\n".join(f"  - {rule}" for rule in report["fairness"])
    blocks = [f"faults on {machine.describe(report['machine'])}\n{rules}", columns(rows)]
    for title, lines in (("lost:", lost), ("measured:", facts), ("notes:", [f"  {n}" for n in report["notes"]])):
        if lines:
            blocks.append("\n".join([title, *lines]))
    return "\n\n".join(blocks)
