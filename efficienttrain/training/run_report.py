"""The final report: the log as numbers, a table and a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from efficienttrain.atomic_file import atomic_write
from efficienttrain.training.logbook import read

Line = dict[str, Any]
NAMES = {"top1": "top-1", "map": "mAP", "r2": "R2"}
"""Display names of the metrics."""


def write_report(folder: Path, show: bool = True) -> dict[str, Any]:
    """Writes `report.json`, and `report.png` if matplotlib is installed; prints the table; returns the numbers."""
    made = summarise(read(folder))
    with atomic_write(folder / "report.json") as file:
        file.write(json.dumps(made, indent=1).encode() + b"\n")
    drawn = _draw(made, folder / "report.png")
    if show:
        print(table(made))
        print("report:", folder / "report.json", folder / "report.png" if drawn else "(no plot without matplotlib)")
    return made


def summarise(lines: Sequence[Line]) -> dict[str, Any]:
    """The report of a log.

    Returns:
        `identity`: the settings; `seconds`: wall time of the steps, including loading, without evaluation and
        checkpoints; `images`: number processed by the network; `loaded`: number supplied by the loader (fewer with a
        replay buffer); `stall`: share of the time spent waiting; `last`: the last evaluation; `stages`: these values
        for each stage, with its resolution, magnitude and images/s; `curve`: loss and learning rate, `evaluations`:
        scores, both with `progress` (share of the compute) and `seconds`; `metric`: the score that selects the best
        network ("top1", "map", "r2"), and `best_` followed by its name: its best value.
    """
    layouts = {line["stage"]: line for line in lines if line["kind"] == "layout"}
    seconds, curve, evaluations = 0.0, [], []
    zeros = {"waited": 0.0, "seconds": 0.0, "images": 0, "loaded": 0, "steps": 0}
    stages: dict[int, dict[str, Any]] = {number: dict(zeros) for number in sorted(layouts)}
    done = 0
    begun = next((line for line in lines if line["kind"] == "begin"), {})
    metric = begun.get("metric", "top1")
    for line in lines:
        if line["kind"] == "train":
            seconds += line["seconds"]
            stage = stages[line["stage"]]
            for key in ("seconds", "images", "loaded"):
                stage[key] += line[key]
            stage["waited"] += line["stall"] * line["seconds"]
            stage["steps"] += line["step"] - done
            stage["loss"] = line["loss"]
            done = line["step"]
            curve.append({key: line[key] for key in ("step", "stage", "progress", "loss", "lr")} | {"seconds": seconds})
        elif line["kind"] == "evaluate":
            found = {key: value for key, value in line.items() if key not in ("kind", "stage")}
            evaluations.append(found | {"seconds": seconds})
            stages[line["stage"]] |= {key: line[key] for key in (metric, f"{metric}_stage")}
    rows = [_row(number, layouts[number], stage) for number, stage in stages.items()]
    return {
        "identity": begun.get("identity", {}),
        "metric": metric,
        "seconds": seconds,
        "images": sum(row["images"] for row in rows),
        "loaded": sum(row["loaded"] for row in rows),
        "stall": sum(stage["waited"] for stage in stages.values()) / seconds if seconds else 0.0,
        "last": evaluations[-1] if evaluations else {},
        f"best_{metric}": max((max(e[metric], e.get(f"ema_{metric}", e[metric])) for e in evaluations), default=None),
        "stages": rows,
        "curve": curve,
        "evaluations": evaluations,
    }


def table(made: dict[str, Any]) -> str:
    """One line per stage, and the sums."""
    metric = made["metric"]
    name = NAMES[metric]
    lines = [
        f"{'stage':>5}{'B':>5}{'M':>5}{'batch':>7}{'micro':>6}{'replay':>7}{'steps':>8}{'images':>13}"
        f"{'seconds':>9}{'images/s':>10}{'stall':>7}{'loss':>7}{name + ' at B':>11}{'full size':>10}"
    ]
    for row in made["stages"]:
        magnitude = "-" if row["magnitude"] is None else f"{row['magnitude']:g}"
        lines.append(
            f"{row['stage'] + 1:5}{row['resolution']:5}{magnitude:>5}{row['batch']:7}{row['micro']:6}{row['factor']:7}"
            f"{row['steps']:8,}{row['images']:13,}{row['seconds']:9.1f}{row['rate']:10,.0f}{row['stall']:7.1%}"
            f"{_number(row.get('loss'), '7.3f')}{_score(metric, row.get(f'{metric}_stage')):>11}"
            f"{_score(metric, row.get(metric)):>10}"
        )
    last = made["last"]
    average = f", average of the weights {shown(metric, last[f'ema_{metric}'])}" if f"ema_{metric}" in last else ""
    others = [f"{key} {last[key]:.4g}" for key in ("f1_micro", "f1_macro", "mae", "rmse") if key in last]
    lines.append(
        f"in all {made['images']:,} images ({made['loaded']:,} loaded) in {made['seconds']:.1f} s, "
        f"waiting {made['stall']:.1%}"
        + (
            f"; {name} {shown(metric, last[metric])}{average}, best {shown(metric, made[f'best_{metric}'])}"
            if last
            else ""
        )
        + "".join(f", {text}" for text in others)
    )
    return "\n".join(lines)


def shown(metric: str, value: float) -> str:
    """A score as text; shares of samples are in percent."""
    return f"{value:.3f}" if metric == "r2" else f"{value:.2%}"


def _score(metric: str, value: float | None) -> str:
    return "" if value is None else shown(metric, value)


def _draw(made: dict[str, Any], path: Path) -> bool:
    try:
        from efficienttrain.training.curves_plot import draw
    except ImportError:
        return False
    draw(made, path)
    return True


def _row(number: int, layout: Line, stage: dict[str, Any]) -> dict[str, Any]:
    seconds = stage["seconds"]
    return {
        "stage": number,
        **{key: layout[key] for key in ("resolution", "magnitude", "micro", "accumulation", "ranks", "factor")},
        "batch": layout["ranks"] * layout["accumulation"] * layout["micro"],
        **stage,
        "rate": stage["images"] / seconds if seconds else 0.0,
        "stall": stage["waited"] / seconds if seconds else 0.0,
    }


def _number(value: float | None, form: str) -> str:
    return " " * int(form.split(".")[0]) if value is None else format(value, form)
