"""One probe as the input of a separate process, perhaps on another machine: a folder with a file."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from efficienttrain.atomic_file import atomic_write
from efficienttrain.curriculum import Stage

TASK, RESULT, OUTPUT = "task.json", "result.json", "output.txt"


@dataclass(frozen=True)
class Task:
    """The argument of an evaluation rule, `rule(task) -> float`."""

    folder: Path
    """Folder of this probe, for the rule's files; it also has the files of a killed run of the probe."""
    stages: tuple[Stage, ...]
    """The stages of the curriculum so far; `compute` is a share of a whole training at full size."""
    begins: int
    """Number of stages that are already trained, by the probe in `parent`."""
    parent: Path | None
    """Folder of the probe to continue from; None: start from the beginning."""
    tune: float
    """Compute of the fine-tune at full size, as a share of a whole training; 0: none."""
    pace: str
    """The quantity divided equally between stages, "compute" or "passes"."""
    rule: str
    """The rule, "package.module:function"."""
    config: dict[str, Any]
    """Options of the trainer (fields of `training.Config`, without `out` and `curriculum`); may be empty for your own
    rule."""


def write(task: Task) -> None:
    """Creates the probe's folder. Files of another search are removed; files of the same search are kept."""
    plain = asdict(task) | {"folder": str(task.folder), "parent": task.parent and str(task.parent)}
    text = json.dumps(plain, indent=1) + "\n"
    path = task.folder / TASK
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    shutil.rmtree(task.folder, ignore_errors=True)
    task.folder.mkdir(parents=True)
    with atomic_write(path) as file:
        file.write(text.encode())


def read(folder: Path) -> Task:
    """The probe of a folder."""
    found = json.loads((folder / TASK).read_text(encoding="utf-8"))
    stages = tuple(Stage(**stage) for stage in found["stages"])
    parent = Path(found["parent"]) if found["parent"] else None
    return Task(**{**found, "folder": Path(found["folder"]), "stages": stages, "parent": parent})


def load_rule(name: str) -> Callable[[Task], float]:
    """The function of that name.

    Raises:
        ValueError: there is no such function.
        ModuleNotFoundError: its module imports a module that is not installed.
    """
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function) if module and function else None
    except (ImportError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ValueError(f"`rule` must be package.module:function, got {name}: {error}.") from error
    if not callable(found):
        raise ValueError(f"`rule` must be package.module:function, got {name}.")
    return cast("Callable[[Task], float]", found)
