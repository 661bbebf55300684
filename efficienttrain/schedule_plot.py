"""The plot of a schedule: resolution, magnitude and learning rate against the compute and against the epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from efficienttrain.atomic_file import naming
from efficienttrain.timetable import Timetable

INK, FAINT = "#1b1f24", "#59636e"
TEAL, GOLD, GREY = "#0f7b6c", "#e0b04a", "#9aa5b1"
SHADES = ("#eef4f3", "#d1e3e0")  # small resolution to large
POINTS = 1000  # of the learning rate's curve


def draw(path: Path, table: Timetable) -> None:
    """Writes the plot; `path` ends in .png, .svg or .pdf."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.colors import LinearSegmentedColormap

    schedule, recipe = table.schedule, table.recipe
    progress = [point / POINTS for point in range(POINTS + 1)]
    passes = sum(schedule.passes)
    axes = (
        (f"share of the compute (of {recipe.epochs:.4g} epochs at 224 px)", list(schedule.bounds), progress),
        (f"passes over the data (of {passes:.4g})", [schedule.seen(bound) for bound in schedule.bounds], [
            schedule.seen(done) for done in progress
        ]),
    )  # fmt: skip
    shade = LinearSegmentedColormap.from_list("resolution", SHADES)
    style = {"font.size": 9.5, "text.color": INK, "axes.edgecolor": FAINT, "axes.titlelocation": "left"}
    with pyplot.rc_context(style):
        figure, panels = pyplot.subplots(
            3, 2, figsize=(12, 6.4), height_ratios=(2, 1.2, 1.6), sharex="col", sharey="row", layout="constrained"
        )
        figure.suptitle(f"{recipe.model}: {schedule.total_steps:,} steps", x=0.01, ha="left", fontweight="bold")
        rates = [schedule.lr(done, recipe) for done in progress]
        for (resolution, magnitude, rate), (label, bounds, places) in zip(panels.T, axes, strict=True):
            _resolutions(resolution, table, bounds, shade)
            heights = [stage.magnitude or 0 for stage in recipe.stages]
            magnitude.stairs(heights, bounds, fill=True, color=GOLD)
            rate.plot(places, rates, color=INK, linewidth=1.4)
            for bound in bounds[1:-1]:
                rate.axvline(bound, color=GREY, linewidth=0.5, alpha=0.6)
            rate.set_xlabel(label)
            rate.set_xlim(0, bounds[-1])
            for panel in (resolution, magnitude, rate):
                panel.set_ylim(0, None)
                panel.spines[["top", "right"]].set_visible(False)
        for panel, name in zip(panels[:, 0], ("resolution B, px", "magnitude M", "learning rate"), strict=True):
            panel.set_ylabel(name, color=FAINT)
        with naming(path):
            figure.savefig(path, dpi=110)
        pyplot.close(figure)


def _resolutions(panel: Any, table: Timetable, bounds: list[float], shade: Any) -> None:
    """A block for each group of consecutive stages with the same resolution, labelled with the resolution."""
    stages = table.recipe.stages
    largest = max(stage.resolution for stage in stages)
    begin = 0
    for number, stage in enumerate(stages):
        if number + 1 < len(stages) and stages[number + 1].resolution == stage.resolution:
            continue
        left, right = bounds[begin], bounds[number + 1]
        panel.bar(left, stage.resolution, right - left, align="edge", color=shade(stage.resolution / largest))
        panel.plot([left, right], [stage.resolution] * 2, color=TEAL, linewidth=2, solid_capstyle="butt")
        panel.text(
            (left + right) / 2, stage.resolution / 2, f"{stage.resolution}", ha="center", va="center", color=TEAL
        )
        begin = number + 1
