"""The demo's picture: speed of loading, samples at each resolution, and the training's progress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.demo_train import Leg

INK, FAINT = "#1b1f24", "#59636e"
COLOURS = {"ours": "#0f7b6c", "torchvision": "#9aa5b1", "limit": "#e0b04a"}
SHADES = ("#eef4f3", "#e0ecea", "#d1e3e0")  # of the stages, light to dark


def draw(path: Path, report: dict[str, Any], samples: dict[int, NDArray[np.uint8]], legs: list[Leg]) -> None:
    """Write the picture.

    Args:
        report: of benchmarks/throughput.py.
        samples: the same few crops at each resolution B, uint8 [n, 3, B, B].
        legs: the training, stage by stage.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style = {"font.size": 9.5, "text.color": INK, "axes.edgecolor": FAINT, "axes.titlelocation": "left"}
    with pyplot.rc_context(style):
        figure = pyplot.figure(figsize=(12, 8.4), layout="constrained")
        top, middle, bottom = figure.subfigures(3, 1, height_ratios=(2, 1.9, 3), hspace=0.04)
        _speed(top, report)
        _samples(middle, samples)
        _training(bottom, legs)
        figure.savefig(path, dpi=110)
        pyplot.close(figure)


def _speed(figure: Any, report: dict[str, Any]) -> None:
    figure.suptitle("Loading: images a second", x=0.01, ha="left", fontweight="bold")
    resolutions = report["settings"]["resolutions"]
    for panel, resolution in zip(figure.subplots(1, len(resolutions), sharex=True), resolutions, strict=True):
        results = [result for result in report["results"] if result["resolution"] == resolution][::-1]
        for row, result in enumerate(results):
            median = result["rate"]["median"]
            panel.barh(row, median, 0.62, color=COLOURS.get(result["contestant"], "#9aa5b1"))
            panel.text(median, row, f" {median:,.0f}", va="center")
        panel.set_yticks(range(len(results)), [result["contestant"] for result in results])
        panel.set_title(f"{resolution} px")
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
        panel.margins(x=0.22)
        panel.locator_params(axis="x", nbins=5)


def _samples(figure: Any, samples: dict[int, NDArray[np.uint8]]) -> None:
    figure.suptitle("Images of each stage: the same crops, true relative sizes", x=0.01, ha="left", fontweight="bold")
    panels = figure.subplots(1, len(samples), width_ratios=list(samples), squeeze=False)[0]
    for panel, (resolution, images) in zip(panels, samples.items(), strict=True):
        panel.imshow(np.concatenate(images.transpose(0, 2, 3, 1), axis=1), interpolation="nearest")
        panel.set_title(f"{resolution} px")
        panel.axis("off")
        panel.set_anchor("NW")


def _training(figure: Any, legs: list[Leg]) -> None:
    title = f"Training: accuracy {legs[-1].points[-1].accuracy:.0%} on images never trained on"
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    left = figure.subplots()
    right = left.twinx()
    begin = 0.0
    for leg, shade in zip(legs, SHADES, strict=False):
        end = leg.points[-1].compute
        left.axvspan(begin, end, color=shade, linewidth=0)
        left.text((begin + end) / 2, 1.06, f"{leg.resolution} px", ha="center", color=FAINT)
        begin = end
    points = [point for leg in legs for point in leg.points]
    compute = [point.compute for point in points]
    left.plot(compute, [point.accuracy for point in points], "o-", color=COLOURS["ours"])
    right.plot(compute, [point.loss for point in points], "s--", color=COLOURS["limit"])
    left.set_xlabel("share of the compute spent")
    left.set_ylabel("validation accuracy", color=COLOURS["ours"])
    right.set_ylabel("training loss", color="#a87f22")
    left.set_xlim(0, 1)
    left.set_ylim(0, 1.15)
    right.set_ylim(0, None)
    for panel in (left, right):
        panel.spines[["top"]].set_visible(False)
