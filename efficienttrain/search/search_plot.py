"""The plot of a search, from its log alone: the tree of probes, and their cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from efficienttrain.atomic_file import naming
from efficienttrain.search.probe_log import Line

INK, FAINT, TEAL, GOLD = "#1b1f24", "#59636e", "#0f7b6c", "#e0b04a"
SHADES = ("#eef4f3", "#8fc7bd", "#0f7b6c")  # low score to high


def draw(path: Path, lines: Sequence[Line]) -> None:
    """Writes the plot of the log's lines; `path` ends in .png, .svg or .pdf. The search may be unfinished."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    begun, probes = lines[0], [line for line in lines if line["kind"] == "probe"]
    found = next((line["choices"] for line in lines if line["kind"] == "found"), None)
    style = {"font.size": 9.5, "text.color": INK, "axes.edgecolor": FAINT, "axes.titlelocation": "left"}
    with pyplot.rc_context(style):
        figure, (tree, cost) = pyplot.subplots(1, 2, figsize=(13, 5.6), width_ratios=(2.2, 1), layout="constrained")
        spent = sum(probe["compute"] for probe in probes)
        title = f"{begun['algorithm']} search: {len(probes)} probes, the compute of {spent:.3g} whole trainings"
        figure.suptitle(title if found else f"{title} (unfinished)", x=0.01, ha="left", fontweight="bold")
        _tree(tree, begun, probes, found)
        greedy = begun["algorithm"] == "greedy"
        _cost(cost, probes, [probe for probe in probes if found and _taken(probe, found, greedy)])
        for panel in (tree, cost):
            panel.spines[["top", "right"]].set_visible(False)
        with naming(path):
            figure.savefig(path, dpi=110)
        pyplot.close(figure)


def _tree(panel: Any, begun: Line, probes: Sequence[Line], found: Any) -> None:
    """A node for every probe, at the stage that it decides; its edge comes from the stage decided before."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    greedy, stages = begun["algorithm"] == "greedy", begun["space"]["stages"]
    before = 1 if greedy else -1  # the greedy search decides the last stage first
    root = stages if greedy else -1
    labels = _labels(begun, probes, found)
    places = {label: height for height, label in enumerate(labels)}
    pyramid = not begun["space"]["magnitudes"]

    def at(choices: Any, stage: int) -> tuple[int, float]:
        if not 0 <= stage < len(choices):
            return root, places[_label(choices[-1], pyramid)] if greedy else (len(labels) - 1) / 2
        return stage, places[_label(choices[stage], pyramid)]

    scores = [probe["score"] for probe in probes] or [0.0]
    shade, norm = LinearSegmentedColormap.from_list("score", SHADES), Normalize(min(scores), max(scores))
    for probe in probes:
        stage = root if probe["stage"] is None else probe["stage"]
        x, y = at(probe["choices"], stage)
        if probe["stage"] is not None:
            parent = at(probe["choices"], stage + before) if 0 <= stage + before < stages else _root(root, probes, at)
            panel.plot([parent[0], x], [parent[1], y], color=FAINT, linewidth=0.6, alpha=0.6, zorder=1)
        panel.scatter([x], [y], s=90, c=[shade(norm(probe["score"]))], edgecolors=INK, linewidths=0.7, zorder=3)
        cost = f"\nx{probe['compute']:.2f}" if greedy else ""
        panel.annotate(f"{probe['score']:.4g}{cost}", (x, y), (7, 5), textcoords="offset points", fontsize=7.5)
    if found:
        path = [at(found, stage) for stage in range(stages)]
        panel.plot(*zip(*path, strict=True), color=GOLD, linewidth=5, alpha=0.7, zorder=2, solid_capstyle="round")
    names = [f"stage {number + 1}" for number in range(stages)] + ["baseline"] * greedy
    panel.set_xticks(range(len(names)), names)
    panel.set_yticks(range(len(labels)), labels)
    panel.set_ylabel("resolution B, px" if pyramid else "resolution B, px, and magnitude M", color=FAINT)
    panel.set_title("score of each probe" + (" and its cost" if greedy else "") + "; the result in gold")
    panel.margins(0.12)


def _root(root: int, probes: Sequence[Line], at: Any) -> tuple[int, float]:
    """Start of the tree: the baseline, or an empty point."""
    baseline = next((probe for probe in probes if probe["stage"] is None), probes[0])
    place: tuple[int, float] = at(baseline["choices"], root)
    return place


def _taken(probe: Line, found: Any, greedy: bool) -> bool:
    """Whether the result has the probe's values in the stage that it decided and in all stages decided before."""
    stage = probe["stage"] or 0
    decided = slice(stage, None) if greedy else slice(stage + 1)
    return bool(probe["choices"][decided] == found[decided])


def _cost(panel: Any, probes: Sequence[Line], taken: Sequence[Line]) -> None:
    """Score against the compute that the search had spent."""
    spent = list(accumulate(probe["compute"] for probe in probes))
    panel.plot(spent, [probe["score"] for probe in probes], color=FAINT, linewidth=0.6)
    for probe, compute in zip(probes, spent, strict=True):
        panel.scatter([compute], [probe["score"]], s=36, color=GOLD if probe in taken else TEAL, zorder=3)
    panel.set_xlabel("compute spent, in whole trainings", color=FAINT)
    panel.set_ylabel("score", color=FAINT)
    panel.set_xlim(0, None)
    panel.set_title("probe by probe")


def _labels(begun: Line, probes: Sequence[Line], found: Any) -> list[str]:
    """The choices that occur, smallest first."""
    pyramid = not begun["space"]["magnitudes"]
    occurring = [choice for probe in probes for choice in probe["choices"]] + list(found or [])
    wanted = {_label(choice, pyramid): tuple(choice) for choice in sorted(occurring)}
    return sorted(wanted, key=lambda label: wanted[label])


def _label(choice: Any, pyramid: bool) -> str:
    resolution, magnitude = choice
    return f"{resolution}" if pyramid else f"{resolution}, {magnitude:g}"
