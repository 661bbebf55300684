"""Tables for people, JSON for programs, and the folder that contestants' files are kept in."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import machine

EQUAL = 100.0
"""PSNR of equal images, dB."""


@contextmanager
def workplace(work: str | None) -> Iterator[Path]:
    """The folder `work`, kept and reused, or a temporary one."""
    if work is None:
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as place:
            yield Path(place)
    else:
        Path(work).mkdir(parents=True, exist_ok=True)
        yield Path(work).resolve()


def write_json(path: str, report: dict[str, Any]) -> None:
    """Writes a report whole or not at all."""
    part = Path(f"{path}.part")
    part.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    os.replace(part, path)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Aligned text: the first column to the left, the others to the right; the first row is underlined."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def head(report: dict[str, Any]) -> str:
    """A benchmark's results, with machine, settings and rules."""
    rules = "\n".join(f"  - {rule}" for rule in report["fairness"])
    notes = "".join(f"\nNote: {note}" for note in report["notes"])
    settings = ", ".join(f"{key.replace('_', ' ')} {_number(value)}" for key, value in report["settings"].items())
    return f"{report['benchmark']} on {machine.describe(report['machine'])}\n{settings}\n{rules}{notes}"


def throughput_text(report: dict[str, Any]) -> str:
    """The report of `throughput` as text."""
    blocks = [head(report)]
    over = {(r["resolution"], r["of"], *r["over"]): r for r in report["ratios"]}
    resolutions = report["settings"]["resolutions"]
    for resolution in resolutions:
        cold = report["settings"].get("cold", False)
        further = ["asked kB", "from disk kB", "cached before"] if cold else ["anonymous MB"]
        rows = [[f"B = {resolution}", "images/s", "quartiles", "ours / it", *further, "output"]]
        for result in (r for r in report["results"] if r["resolution"] == resolution):
            rate, memory = result["rate"], result["memory_mb"]
            ours = over.get((resolution, "ours", result["contestant"]))
            rows.append(
                [
                    result["label"],
                    f"{rate['median']:,.0f}",
                    f"{rate['q1']:,.0f}-{rate['q3']:,.0f}",
                    f"{ours['median']:.2f}" if ours else "",
                    *(_cold(result) if cold else [f"{memory['anonymous'] - memory['imports']:,.0f}"]),
                    result["output"],
                ]
            )
        blocks.append(columns(rows))
    blocks.append(
        columns(
            [
                ["inside each round, median (quartiles)", *(f"B = {b}" for b in resolutions)],
                *_merits(report, over),
            ]
        )
    )
    times = [f"{r['contestant']} {r['median']:.2f}" for r in report["time_ratios"]]
    if times:
        high, low = report["time_ratios"][0]["resolutions"]
        blocks.append(f"time per image at {high} / at {low}: {', '.join(times)}")
    return "\n\n".join(blocks)


def _cold(result: dict[str, Any]) -> list[str]:
    """kB per image requested by read and pread, kB per image from the disk, and the share cached before a window."""
    read = result["bytes_an_image"]
    if "disk" not in read:
        return ["", "", "warm"]
    return [f"{read['asked'] / 1e3:,.1f}", f"{read['disk'] / 1e3:,.1f}", f"{read['cached_before']:.1%}"]


def fidelity_text(report: dict[str, Any]) -> str:
    """The report of `fidelity` as text."""
    resolutions, by = (
        report["settings"]["resolutions"],
        {(r["resolution"], r["path"]): r for r in report["results"]},
    )
    rows = [["PSNR to the exact path, dB: median (quartiles), minus official", *(f"B = {b}" for b in resolutions)]]
    for path in dict.fromkeys(r["path"] for r in report["results"]):
        rows.append(
            [by[resolutions[0], path]["label"], *(_decibels(by[resolution, path]) for resolution in resolutions)]
        )
    views: dict[tuple[str, str, str], list[str]] = {}
    for result in report["evaluation"]:
        psnr = result["psnr"]
        text = "equal" if psnr["median"] == EQUAL else f"{psnr['median']:.1f} (worst {result['worst']:.1f})"
        views.setdefault((result["crop_mode"], result["interpolation"], result["path"]), []).append(text)
    heading = ["evaluation: mode, interpolation, path; PSNR, dB: median", *(f"B = {b}" for b in resolutions)]
    table = [heading, *([", ".join(view), *texts] for view, texts in views.items())]
    return f"{head(report)}\n\n{columns(rows)}\n\n{columns(table)}"


def _decibels(result: dict[str, Any]) -> str:
    psnr, gap = result["psnr"], result["minus_official"]
    if psnr["median"] == EQUAL:
        return "equal"
    text = f"{psnr['median']:.2f} ({psnr['q1']:.1f}-{psnr['q3']:.1f})"
    return text if result["path"] == "official" or psnr["median"] - gap == EQUAL else f"{text} {gap:+.2f}"


def convert_text(report: dict[str, Any]) -> str:
    """The report of `convert` as text."""
    rows = [["writer", "images/s", "quartiles", "file / source"]]
    for result in report["results"]:
        rate = result["rate"]
        rows.append(
            [
                result["contestant"],
                f"{rate['median']:,.0f}",
                f"{rate['q1']:,.0f}-{rate['q3']:,.0f}",
                f"{result['bytes_per_source_byte']:.2f}",
            ]
        )
    lines = []
    for name, r in report["ratios"].items():
        both = name.replace("_over_", " / ").replace("ffcv", "FFCV")
        lines.append(f"{both}, inside each round: {r['median']:.2f} ({r['q1']:.2f}-{r['q3']:.2f})")
    return "\n\n".join([head(report), columns(rows), *lines])


def _merits(report: dict[str, Any], over: dict[tuple[Any, ...], dict[str, Any]]) -> Iterator[list[str]]:
    wanted = {
        "ours / fastest of FFCV and DALI": ("ours", "ffcv", "dali"),
        "ours / FFCV": ("ours", "ffcv"),
        "ours / DALI": ("ours", "dali"),
        "ours / torchvision": ("ours", "torchvision"),
        "ours / limit": ("ours", "limit"),
        "ours from the folder / FFCV": ("ours-folder", "ffcv"),
        "ours / ours before": ("ours", "ours-before"),
        "ours from the folder / the same before": ("ours-folder", "ours-before-folder"),
        "ours + RandAugment / the same before": ("ours-randaugment", "ours-before-randaugment"),
        "ours, reads 1 ms slower / ours": ("ours-1ms", "ours"),
        "ours, reads 20 ms slower / ours": ("ours-20ms", "ours"),
        "ours, quasi-random order / the same, page cache warm": ("ours-quasi", "ours-quasi-warm"),
        "ours float32 / torchvision": ("ours-float32", "torchvision"),
        "ours on DALI / DALI": ("ours-dali", "dali"),
        "ours / DALI, both RandAugment": ("ours-randaugment", "dali-randaugment"),
        "ours on DALI / DALI, both RandAugment": ("ours-dali-randaugment", "dali-randaugment"),
        "ours / torchvision, both RandAugment": ("ours-randaugment", "torchvision-randaugment"),
        "ours on DALI / torchvision, both RandAugment": ("ours-dali-randaugment", "torchvision-randaugment"),
    }
    resolutions = report["settings"]["resolutions"]
    for label, key in wanted.items():
        found = [over.get((resolution, *key)) for resolution in resolutions]
        if any(found):
            yield [label, *(f"{r['median']:.2f} ({r['q1']:.2f}-{r['q3']:.2f})" if r else "" for r in found)]
    for name in ("ours", "ours-full"):
        rows = [r["bytes_an_image"] for r in report["results"] if r["contestant"] == name]
        for what in ("read", "decoded") if rows else ():
            yield [
                f"bytes {what} / bytes stored at full size, {name}",
                *(f"{row[what] / row['stored']:.2f}" if row.get(what) else "" for row in rows),
            ]


def _number(value: Any) -> str:
    return f"{value:,.0f}" if isinstance(value, float) and value > 100 else str(value)
