"""Renew the tables of measured ratios in README.md and docs/results.md from the reports in benchmarks/results/.

A comment before a table names its report: <!-- from throughput_2core_2026-11.json -->. The rows of the table say which
ratios are shown: each label is one of `LABELS`. <!-- fidelity A.json B.json --> names a report for each row of a table
of decibels; a label that ends in `FULL_SIZE` is that of the path that reads no reduced level.

python -m tools results                    writes the pages
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from benchmarks.cache import EPOCHS
from benchmarks.harness.measure import ratio
from benchmarks.harness.report import EQUAL

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")
REPORTS = ROOT / "benchmarks" / "results"

RATIOS: dict[str, tuple[str, ...]] = {
    "ours ÷ the faster of FFCV and DALI (CPU)": ("ours", "ffcv", "dali"),
    "ours ÷ torchvision `DataLoader`": ("ours", "torchvision"),
    "ours ÷ torchvision `decode_jpeg` and transforms v2": ("ours", "torchvision-v2"),
    "ours ÷ timm": ("ours", "timm"),
    "ours ÷ timm at scheduled sizes": ("ours", "timm-scheduled"),
    "ours ÷ SPDL": ("ours", "spdl"),
    "ours ÷ WebDataset": ("ours", "webdataset"),
    "ours ÷ MosaicML streaming": ("ours", "streaming"),
    "ours ÷ litData": ("ours", "litdata"),
    "ours ÷ FFCV": ("ours", "ffcv"),
    "ours ÷ the faster of FFCV's two modes": ("ours", "ffcv", "ffcv-quasi"),
    "ours ÷ ours, first edition": ("ours", "ours-before"),
    "ours ÷ ours, levels 1/1, 1/2 and 1/4 only": ("ours", "ours-before"),
    "ours on the image folder ÷ ours, first edition": ("ours-folder", "ours-before-folder"),
    "ours on the image folder ÷ ours, decoding by libjpeg": ("ours-folder", "ours-before-folder"),
    "ours + RandAugment ÷ ours, first edition": ("ours-randaugment", "ours-before-randaugment"),
    "ours on the unconverted image folder ÷ FFCV": ("ours-folder", "ffcv"),
    "ours inside FFCV's loader ÷ ours": ("ours-ffcv", "ours"),
    "ours inside FFCV's loader, on a beton that FFCV wrote ÷ FFCV": ("ours-ffcv-beton", "ffcv"),
    "ours with DALI decoding ÷ DALI": ("ours-dali", "dali"),
    "ours + RandAugment ÷ ours": ("ours-randaugment", "ours"),
    "ours + RandAugment ÷ DALI + RandAugment": ("ours-randaugment", "dali-randaugment"),
    "ours + RandAugment ÷ torchvision + RandAugment": ("ours-randaugment", "torchvision-randaugment"),
    "ours + RandAugment ÷ the faster of DALI and torchvision": (
        "ours-randaugment",
        "dali-randaugment",
        "torchvision-randaugment",
    ),
    "ours + RandAugment at 224, then the Fourier crop ÷ ours + RandAugment": (
        "ours-randaugment-base",
        "ours-randaugment",
    ),
    "ours ÷ libjpeg-turbo decoding JPEGs already cropped and scaled to B×B": ("ours", "limit"),
    "ours ÷ the faster of FFCV's two modes, quasi-random order": ("ours-quasi", "ffcv", "ffcv-quasi"),
    "ours ÷ torchvision `DataLoader`, quasi-random order": ("ours-quasi", "torchvision"),
    "ours ÷ WebDataset, quasi-random order": ("ours-quasi", "webdataset"),
    "ours ÷ MosaicML streaming, quasi-random order": ("ours-quasi", "streaming"),
    "ours ÷ litData, quasi-random order": ("ours-quasi", "litdata"),
    "ours on the image folder ÷ torchvision `DataLoader`": ("ours-folder", "torchvision"),
    "quasi-random order ÷ random order": ("ours-quasi", "ours"),
    "quasi-random order ÷ the same with a warm page cache": ("ours-quasi", "ours-quasi-warm"),
    "each read 1 ms slower ÷ ours": ("ours-1ms", "ours"),
    "each read 20 ms slower ÷ ours": ("ours-20ms", "ours"),
    "`cache=`, first epoch ÷ plain folder": ("first", "folder"),
    "`cache=`, later epochs ÷ plain folder": ("later", "folder"),
}
"""Label: the contestant, and those of which the fastest is taken. README says "this loader" instead of "ours"."""

SHARES = {
    "bytes decoded ÷ bytes stored at full size": ("ours", "decoded", "stored"),
    "bytes read (whole rows of blocks) ÷ bytes stored at full size": ("ours", "read", "stored"),
    "bytes from the disk ÷ bytes asked for, random order": ("ours", "disk", "asked"),
    "bytes from the disk ÷ bytes asked for, quasi-random order": ("ours-quasi", "disk", "asked"),
}
"""Label: the contestant, and which bytes over which."""

TIMES = {
    "time per image ÷ that at the smallest resolution, ours": "ours",
    "time per image ÷ that at the smallest resolution, FFCV": "ffcv",
    "time per image ÷ that at the smallest resolution, torchvision": "torchvision",
}
LABELS = (*RATIOS, *SHARES, *TIMES)
FULL_SIZE = "full size only"
TABLE = re.compile(r"(<!-- (from|fidelity) ([^>]+) -->\n\n)((?:\|.*\n)+)")


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """There are no options."""


def run(_args: argparse.Namespace) -> int:
    """Runs `python -m tools results`."""
    for page in PAGES:
        page.write_text(renewed(page.read_text(encoding="utf-8"), REPORTS), encoding="utf-8")
        print(f"wrote {page}")
    return 0


def renewed(page: str, reports: Path) -> str:
    """The page with every table's numbers taken from its report.

    Raises:
        ValueError: a label that is not known, or whose contestants are not in the report.
    """

    def table(match: re.Match[str]) -> str:
        kind, files = match[2], match[3].split()
        _, _, *rows = match[4].splitlines()
        labels = [row.split("|")[1].strip() for row in rows]
        if kind == "from":
            files *= len(labels)
        found = [json.loads((reports / file).read_text(encoding="utf-8")) for file in files]
        resolutions = found[0]["settings"]["resolutions"]
        lines = [_line("", [f"{resolution} px" for resolution in resolutions]), "|---" * (len(resolutions) + 1) + "|"]
        for label, report, file in zip(labels, found, files, strict=True):
            cell = _ratio if kind == "from" else _decibels
            try:
                lines.append(_line(label, [cell(report, label, resolution) for resolution in resolutions]))
            except KeyError as error:
                raise ValueError(f"{file} has no figure for the row {label!r}: {error} is missing") from None
        return match[1] + "\n".join(lines) + "\n"

    return TABLE.sub(table, page)


def _ratio(report: dict[str, Any], label: str, resolution: int) -> str:
    return f"{value(report, label, resolution):.{_digits(label)}f}"


def _decibels(report: dict[str, Any], label: str, resolution: int) -> str:
    """PSNR minus that of the published path; where this one is exact, PSNR itself."""
    path = "ours-full" if label.endswith(FULL_SIZE) else "ours"
    found = {(row["path"], row["resolution"]): row for row in report["results"]}[path, resolution]
    psnr, ahead = found["psnr"]["median"], found["minus_official"]
    return f"{psnr:.0f} dB" if psnr - ahead == EQUAL else f"{round(ahead, 1) + 0:+.1f}"


def value(report: dict[str, Any], label: str, resolution: int) -> float:
    """The figure of a row at one resolution.

    Raises:
        KeyError: the label, or a contestant that it needs.
    """
    label = label.replace("this loader", "ours")
    results = {result["contestant"]: result for result in report["results"] if result["resolution"] == resolution}
    if label in SHARES:
        name, part, whole = SHARES[label]
        read = results[name]["bytes_an_image"]
        return float(read[part] / read[whole])
    if label in TIMES:
        low = min(report["settings"]["resolutions"])
        first = {r["contestant"]: r["rates"] for r in report["results"] if r["resolution"] == low}
        return ratio(first[TIMES[label]], results[TIMES[label]]["rates"])["median"]
    of, *over = RATIOS[label]
    return ratio(results[of]["rates"], *(results[name]["rates"] for name in over))["median"]


def _digits(label: str) -> int:
    """Two after the point for shares, and for ratios of our own loader to itself or to the limit; else one."""
    names = RATIOS.get(label.replace("this loader", "ours"), ())
    own = names and all(name.startswith("ours") or name in ("limit", *EPOCHS) for name in names)
    return 2 if label in SHARES or own else 1


def _line(label: str, cells: list[str]) -> str:
    return f"| {label} | {' | '.join(cells)} |" if label else f"| | {' | '.join(cells)} |"
