"""Short trainings for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from efficienttrain.training import Config
from efficienttrain.training.logbook import read

NETWORKS = Path(__file__).with_name("networks.py")
CURRICULUM = """
stages:  # 32, 48 and 64 pixels at a full size of 64
  - {resolution: 112, magnitude: null, compute: 0.3}
  - {resolution: 168, magnitude: 2, compute: 0.3%s}
  - {resolution: 224, magnitude: 5, compute: 0.4}
"""


def config(data: Path, out: Path, *, stage_replay: str = "", **options: Any) -> Config:
    """A few steps in three stages; `data` has train/ and val/."""
    stages = out.with_suffix(".yaml")
    stages.parent.mkdir(parents=True, exist_ok=True)
    stages.write_text(CURRICULUM % stage_replay)
    defaults: dict[str, Any] = {
        "data": str(data / "train"), "val": str(data / "val"), "model": f"{NETWORKS}:tiny", "out": str(out),
        "curriculum": str(stages), "size": 64, "epochs": 3.0, "batch": 8, "lr": 1e-2, "device": "cpu", "workers": 1,
        "log_every": 1, "evaluate_every": 0.5, "save_every": 0.15, "hash_batches": True, "progress": False,
        "mixup": 0.0, "cutmix": 0.0, "reprob": 0.0,
    }  # fmt: skip
    return Config(**{**defaults, **options})


def curve(out: Path) -> list[tuple[int, float, int]]:
    """Step, loss and batch hash of every step of a run."""
    return [(line["step"], line["loss"], line["hash"]) for line in read(out) if line["kind"] == "train"]


def dump(config: Config) -> str:
    """The configuration as text that `json.loads` and `Config(**...)` take."""
    return json.dumps(vars(config))
