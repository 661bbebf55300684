"""The report as a plot: accuracy and loss against compute and wall time, images/s and stall per stage."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from efficienttrain.atomic_file import naming
from efficienttrain.training.run_report import NAMES, shown

BLUE, GOLD, GREY, RED = "#1f5f99", "#c79a2b", "#8a94a0", "#b5482f"
LINES = (("{}_stage", GREY, "stage size"), ("{}", BLUE, "full size"), ("ema_{}", RED, "average"))
SHADES = ("#f2f5f8", "#e6ecf2")


def draw(made: dict[str, Any], path: Path) -> None:
    """Writes the plot of a report, see `report.summarise`."""
    figure = Figure(figsize=(11, 7), layout="constrained")
    accuracy, time, speed, stall = figure.subplots(2, 2).flat
    figure.suptitle(_title(made), x=0.01, ha="left", fontweight="bold")
    _shade(accuracy, made)
    for panel, key in ((accuracy, "progress"), (time, "seconds")):
        _curves(panel, made, key)
    accuracy.set_xlabel("share of the compute")
    accuracy.set_xlim(0, 1)
    time.set_xlabel("wall time of the steps, s")
    time.set_xlim(0, None)
    rows = made["stages"]
    magnitudes = ["-" if row["magnitude"] is None else f"{row['magnitude']:g}" for row in rows]
    names = [f"{row['resolution']}\nM {magnitude}" for row, magnitude in zip(rows, magnitudes, strict=True)]
    speed.bar(range(len(rows)), [row["rate"] for row in rows], color=BLUE)
    speed.set_ylabel("images/s")
    stall.bar(range(len(rows)), [100 * row["stall"] for row in rows], color=GOLD)
    stall.axhline(5, color=GREY, linewidth=0.8, linestyle=":")
    stall.set_ylabel("waiting for the loader, % of the time")
    stall.set_ylim(0, max(10, *(105 * row["stall"] for row in rows)))
    for panel in (speed, stall):
        panel.set_xticks(range(len(rows)), names, fontsize=8)
        panel.set_xlabel("stage: resolution, magnitude")
        panel.spines[["top", "right"]].set_visible(False)
    with naming(path):
        figure.savefig(path, dpi=120)


def _title(made: dict[str, Any]) -> str:
    identity, last, metric = made["identity"], made["last"], made["metric"]
    reached = [last[name] for name in (metric, f"ema_{metric}") if name in last]
    score = f": {NAMES[metric]} {shown(metric, max(reached))}" if reached else ""
    return f"{identity.get('model', 'training')}{score}, {made['seconds']:,.0f} s, {made['images']:,} images seen"


def _curves(panel: Axes, made: dict[str, Any], key: str) -> None:
    loss = panel.twinx()
    loss.plot([p[key] for p in made["curve"]], [p["loss"] for p in made["curve"]], color=GOLD, linewidth=1)
    loss.set_ylabel("training loss", color=GOLD)
    points = made["evaluations"]
    metric, factor = made["metric"], 1 if made["metric"] == "r2" else 100
    for form, colour, label in LINES:
        name = form.format(metric)
        found = [(p[key], factor * p[name]) for p in points if name in p]
        if found:
            panel.plot(*zip(*found, strict=True), "o-", color=colour, markersize=3, linewidth=1.2, label=label)
    if points:
        panel.legend(loc="lower right", frameon=False, fontsize=8)
    panel.set_ylabel(NAMES[metric] + ", %" * (factor == 100), color=BLUE)
    for axes in (panel, loss):
        axes.spines[["top"]].set_visible(False)


def _shade(panel: Axes, made: dict[str, Any]) -> None:
    """A band for each resolution, behind the curves."""
    begin = 0.0
    ends = {point["stage"]: point["progress"] for point in made["curve"]}
    for number, (resolution, rows) in enumerate(groupby(made["stages"], key=lambda row: row["resolution"])):
        end = max(ends.get(row["stage"], begin) for row in rows)
        panel.axvspan(begin, end, color=SHADES[number % 2], linewidth=0)
        place: dict[str, Any] = {"transform": panel.get_xaxis_transform(), "ha": "center"}
        panel.text((begin + end) / 2, 1.01, f"{resolution} px", color=GREY, fontsize=8, **place)
        begin = end
