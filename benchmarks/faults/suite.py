"""The suite: which cases there are, how many tries each gets, and the table of what became of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from benchmarks import machine
from benchmarks.faults.outcome import LOST, Tally
from benchmarks.faults.reading import build_shim
from benchmarks.faults.sanitize import sanitized
from benchmarks.faults.watchdog import PATIENCE, Ended, watch
from benchmarks.report import columns, workplace

RULES = (
    "Each case runs in a process of its own under a watchdog: a crash or a silence is lost, and the suite goes on.",
    "survived: the run went on, and whatever it delivered is right (libjpeg's pixels, the undamaged file's pixels, the "
    "very bytes of an undisturbed conversion). named: it ended, or left a sample out, with an error that names file or "
    "sample. lost: anything else.",
    "libjpeg judges pixels where its SIMD and its C code agree with each other; beyond that it says nothing.",
    "Mutant n of a seed is the same bytes everywhere: every lost line names its seed and number.",
)


class Case(NamedTuple):
    """A function of this package that yields tallies, with how many tries it gets.

    spread: it counts numbers from `first` on; the suite restarts it behind a crash. env: "sanitize" or "shim".
    """

    name: str
    target: str
    quick: int
    full: int
    fault: str = ""
    spread: bool = False
    env: str = ""
    patience: float = PATIENCE


def _damage(name: str, function: str, quick: int, full: int, fault: str, env: str = "sanitize") -> Case:
    return Case(name, f"benchmarks.faults.damage:{function}", quick, full, fault, spread=True, env=env)


CASES = (
    Case("sound", "benchmarks.faults.damage:sound", 1, 1),
    _damage("jpeg-pool", "pool", 1000, 20000, "damaged JPEG: decoded"),
    _damage("jpeg-records", "records", 600, 10000, "damaged record: decoded"),
    _damage("jpeg-convert", "transcode", 500, 20000, "damaged JPEG: converted"),
    _damage("jpeg-loader", "loader", 200, 5000, "damaged JPEG: loaded", env=""),
    Case("flips", "benchmarks.faults.files:flips", 5, 150),
    Case("cuts", "benchmarks.faults.files:cuts", 20, 400),
    Case("swaps", "benchmarks.faults.files:swaps", 2, 40),
    Case("kill", "benchmarks.faults.kills:kill", 3, 50),
    Case("full-disk", "benchmarks.faults.kills:full_disk", 2, 15),
    Case("read-only", "benchmarks.faults.kills:read_only", 0, 2),
    Case("crowd", "benchmarks.faults.kills:crowd", 0, 15),
    Case("disk", "benchmarks.faults.reading:disk", 4, 100, env="shim"),
    Case("memory", "benchmarks.faults.reading:memory", 8, 200),
    Case("forks", "benchmarks.faults.reading:forks", 3, 12),
    Case("cycles", "benchmarks.faults.reading:cycles", 40, 600),
    Case("epochs", "benchmarks.faults.reading:epochs", 0, 200),
    Case("consumers", "benchmarks.faults.load:consumers", 50, 1000),
    Case("batch-sizes", "benchmarks.faults.load:batch_sizes", 0, 12),
    Case("processes", "benchmarks.faults.load:processes", 0, 2, patience=150),
    Case("many-loaders", "benchmarks.faults.load:many_loaders", 0, 9),
    Case("hostile", "benchmarks.faults.hostile:betons", 60, 3000),
    Case("names", "benchmarks.faults.hostile:names", 1, 1),
    Case("peers-ours", "benchmarks.faults.peers:ours", 9, 30),
    Case("peers-ffcv", "benchmarks.faults.peers:ffcv", 0, 30, patience=180),
    Case("peers-dali", "benchmarks.faults.peers:dali", 0, 30, patience=120),
)


def run(only: list[str] | None = None, quick: bool = False, seed: int = 0, work: str | None = None) -> dict[str, Any]:
    """Runs the cases; returns the report that `--json` writes.

    Args:
        only: names of CASES; None: all.
        quick: a minute instead of a quarter of an hour; leaves the peers out.
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
    with workplace(work) as place:
        env = _environments(place, {case.env for case in chosen}, notes)
        with tqdm(total=len(chosen), desc="faults", file=sys.stderr) as bar:
            for case in chosen:
                bar.set_postfix_str(case.name)
                tries = case.quick if quick else case.full
                for tally in _tallies(case, tries, seed, env.get(case.env), notes):
                    results.append(tally.as_dict() | {"case": case.name})
                bar.update()
    return {
        "benchmark": "faults",
        "version": 1,
        "machine": card,
        "settings": {"seed": seed, "quick": quick},
        "fairness": list(RULES),
        "notes": notes,
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
        return
    total, first = Tally(case.fault), 0
    while first < tries:
        arguments = (
            {"seed": seed, "first": first, "count": tries - first} if case.spread else {"seed": seed, "tries": tries}
        )
        done = 0
        try:
            for reply in watch(case.target, case.patience, env, **arguments):
                if "skipped" in reply:
                    notes.append(f"{case.name}: skipped, {reply['skipped']}.")
                elif case.spread:
                    total.merge(reply)
                    done = reply["done"]
                elif "fault" in reply:
                    tally = Tally(reply["fault"], reply["contestant"])
                    tally.merge(reply)
                    yield tally
            first = tries
        except Ended as ended:
            lost = total if case.spread else Tally(case.name)
            lost.add(LOST, f"{ended.how} at numbers from {first + done} of seed {seed}: {ended.told[-1500:]}")
            first = first + done + 100 if case.spread else tries
            if not case.spread:
                yield lost
    if case.spread:
        yield total


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
