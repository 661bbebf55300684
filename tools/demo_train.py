"""The demo's training: a small network walks the curriculum's resolutions in the trainer of `efficienttrain train`."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from efficienttrain import Stage
from efficienttrain.training import Config, train

NETWORK = Path(__file__).resolve().parent.parent / "benchmarks" / "evidence" / "networks.py"
SETTINGS: dict[str, Any] = {
    "model": f"{NETWORK}:small_convnet", "lr": 4e-3, "warmup": 0.05, "drop_path": 0.0, "clip_grad": 0.0, "ema": 0.0,
    "mixup": 0.0, "cutmix": 0.0, "reprob": 0.0, "device": "cpu",
    "evaluate_every": 0.1, "save_every": 0.2, "log_every": 5,
}  # fmt: skip
"""Of a run of a minute: no mixing and no erasing, which pay only in long ones."""


@dataclass
class Point:
    """The state of the training after a share of its compute."""

    compute: float
    loss: float
    """Mean training loss of the last steps."""
    accuracy: float
    """Share of validation images classed rightly, at this stage's resolution."""


@dataclass
class Leg:
    """One stage as it went."""

    resolution: int
    images: int
    seconds: float
    """Time of all steps; evaluation is left out."""
    waited: float
    """Part of it spent waiting for the loader."""
    points: list[Point] = field(default_factory=list)


def walk(
    train_data: Path, val_data: Path, stages: tuple[Stage, ...], epochs: float, out: Path, batch: int
) -> list[Leg]:
    """Train from scratch through `stages`; returns how each went.

    Args:
        train_data, val_data: betons, or image folders.
        epochs: budget of the training, in passes over the training data at 224 pixels.
        out: folder of the run; an earlier run in it is removed.
        batch: samples of a step.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    curriculum = out / "curriculum.yaml"
    curriculum.write_text(json.dumps({"stages": [asdict(stage) for stage in stages]}))  # JSON is YAML
    places = {"data": str(train_data), "val": str(val_data), "out": str(out), "curriculum": str(curriculum)}
    return legs_of(train(Config(**SETTINGS | places, epochs=epochs, batch=batch)).report)


def legs_of(report: dict[str, Any]) -> list[Leg]:
    """The stages of a training's report."""
    legs = [Leg(row["resolution"], row["images"], row["seconds"], row["waited"]) for row in report["stages"]]
    at = {point["step"]: point for point in report["curve"]}
    for found in report["evaluations"]:
        point = at[found["step"]]
        legs[point["stage"]].points.append(Point(found["progress"], point["loss"], found["top1_stage"]))
    return legs
