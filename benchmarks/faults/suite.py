"""The suite: runs the cases, and makes the table of what became of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks import machine
from benchmarks.faults.cases import CASES, Case
from benchmarks.faults.outcome import LOST, OURS, Tally
from benchmarks.faults.reading import build_shim
from benchmarks.faults.sanitize import sanitized
from benchmarks.faults.watchdog import Ended, watch
from benchmarks.report import columns, workplace

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
