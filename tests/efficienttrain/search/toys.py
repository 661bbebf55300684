"""Objectives whose best curriculum is known without searching, and rules that have it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from efficienttrain.search import Probe, Space, Task

FULL = (96, 128, 160, 192, 224)
NEEDED = (160, 160, 160, 192, 224)  # as the 2023 paper's search found
BEST = (96, 160, 160, 224, 224)  # as the released EfficientTrain++


def enough(resolutions: Sequence[int], needed: Sequence[int] = NEEDED) -> float:
    """1 where every stage has what it needs, less otherwise: the cheapest good enough curriculum is `needed`."""
    return 1.0 + min(0, *(have - need for have, need in zip(resolutions, needed, strict=True))) / 224


def near(resolutions: Sequence[int], best: Sequence[int] = BEST) -> float:
    """1 where every stage has its best resolution; a stage's part does not depend on the others."""
    return 1.0 - sum((have - b) ** 2 for have, b in zip(resolutions, best, strict=False)) / 224**2


def sizes(probe: Probe) -> list[int]:
    """The resolutions of a probe."""
    return [choice.resolution for choice in probe.choices]


def small(pace: str = "compute") -> Space:
    """Three stages of three sizes."""
    return Space(3, (96, 160, 224), pace=pace)


def rule(task: Task) -> float:
    """`near`, with a note of having been asked. While the folder holds "wait", it is slow."""
    with open(task.folder.parent / "asked.txt", "a") as file:
        file.write(f"{task.folder.name}\n")
    while (task.folder.parent.parent / "wait").exists() and task.begins == 1:
        time.sleep(0.02)
    assert task.parent is None or (task.parent / "result.json").exists()
    return near([stage.resolution for stage in task.stages], (96, 160, 224))


def device(task: Task) -> float:
    """Which GPU the process sees."""
    return float(os.environ["CUDA_VISIBLE_DEVICES"]) + task.begins


def broken(task: Task) -> float:
    """Fails as a training does."""
    raise ValueError(f"the loss must be finite, got nan in {task.stages[0].resolution} px")


def endless(task: Task) -> float:
    """No number."""
    return float("nan") * task.tune


def near_small(task: Task) -> float:
    """Best at 96 and 224 px; greedily, that is good enough."""
    have = [stage.resolution for stage in task.stages]
    return enough(have, (96, 224)) if task.pace == "passes" else near(have, (96, 224))
