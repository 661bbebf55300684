"""The trainings that `photographs` compares: curriculum, share of the baseline's compute, and other differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from efficienttrain.curriculum import merged
from efficienttrain.custom import write_curriculum
from efficienttrain.recipe import recipe

LESS = 2 / 3
"""Share of the baseline's compute that saves a third: the paper's factor of 1.5."""


@dataclass(frozen=True)
class Arm:
    """One kind of training."""

    name: str
    compute: float
    """Budget, as a share of the baseline's."""
    against: str
    """Name of the arm that it is compared with."""
    curriculum: str = "auto"
    """As `Config.curriculum`; FLAT: the model's own with one magnitude throughout."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further fields of `Config`."""


FLAT, MAGNITUDE = "flat", 9.0
BASELINE = Arm("baseline", 1.0, "baseline", "none")
CURRICULUM = Arm("EfficientTrain++, 2/3", LESS, BASELINE.name)
MAIN = (BASELINE, CURRICULUM, Arm("EfficientTrain++, equal", 1.0, BASELINE.name))
ABLATIONS = (
    Arm("baseline, 3/2", 1 / LESS, BASELINE.name, "none"),
    Arm("without the magnitude ramp", LESS, CURRICULUM.name, FLAT),
    Arm("Lanczos", LESS, CURRICULUM.name, options={"interpolation": "lanczos"}),
    Arm("augmented at 224", LESS, "Lanczos", options={"data_path": "published", "interpolation": "lanczos"}),
)
"""Each differs in one respect from the arm it is compared with."""


def arms(ablations: bool, curricula: Sequence[str]) -> list[Arm]:
    """The arms in the order in which they are trained; curricula: files, each an arm of its own at `LESS` compute.

    Raises:
        ValueError: two files of one name.
        FileNotFoundError: no such file.
    """
    found = [*MAIN, *(ABLATIONS if ablations else ())]
    for path in map(Path, curricula):
        if not path.is_file():
            raise FileNotFoundError(f"`--curricula` takes files that `train --curriculum` reads, got {path}.")
        found.append(Arm(path.stem, LESS, CURRICULUM.name, str(path.resolve())))
    names = [arm.name for arm in found]
    if len(set(names)) < len(names):
        raise ValueError(f"`--curricula` must be files of different names, got {', '.join(map(str, curricula))}.")
    return found


def curriculum_of(arm: Arm, model: str, epochs: float, folder: Path) -> str:
    """The arm's `Config.curriculum` for this model; a file of it is written to `folder` if it has no name."""
    if arm.curriculum != FLAT:
        return arm.curriculum
    path = folder / f"flat-{Path(model).name.replace(':', '-')}.yaml"
    write_curriculum(path, merged(recipe(model, epochs).stages, MAGNITUDE), {})
    return str(path)
