"""A user's own curriculum: a YAML file, or a Python file that defines `RECIPE`, both a mapping such as

    drop_path: 0.2                      # optional: any field of Recipe except the model and the budget
    stages:                             # optional
      - {resolution: 96, magnitude: 2, compute: 0.3}
      - {resolution: 160, magnitude: null, compute: 0.3, batch: 8192}
      - {resolution: 224, magnitude: 9, compute: 0.4}

Settings left out are those of "auto". A Python file may build its stages as `Stage(...)`; it is executed.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from efficienttrain.curriculum import Stage
from efficienttrain.recipe import Recipe
from efficienttrain.yaml_values import converted, kinds_of

KINDS = {name: kind for name, kind in kinds_of(Recipe).items() if name not in ("model", "epochs", "stages")}
"""Fields of Recipe that a file may set, and their annotations."""


def customised(path: Path, usual: Callable[[tuple[Stage, ...] | None], Recipe]) -> Recipe:
    """The recipe that a file describes.

    Args:
        path: of the file.
        usual: function that returns the recipe for given stages, or for the model's own stages (None); the file changes
            this recipe.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not YAML or Python, an unknown name, an invalid value; the message names the file and the stage.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no curriculum at {path}; give a .yaml or .py file, or one of the names.")
    try:
        found = dict(_mapping(path))
        if "warmup" in found:
            found.setdefault("warmup_epochs", None)  # the share replaces the recipe's 20 epochs
        stages = _stages(found.pop("stages")) if "stages" in found else None
        return replace(usual(stages), **{name: _value(name, value, KINDS) for name, value in found.items()})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _mapping(path: Path) -> Mapping[str, Any]:
    if path.suffix == ".py":
        try:
            found = runpy.run_path(str(path)).get("RECIPE")
        except Exception as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
        rule = "must define `RECIPE`, a mapping"
    else:
        import yaml

        try:
            found = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(f"not YAML: {' '.join(str(error).split())}") from None
        rule = "must hold a mapping"
    if not isinstance(found, Mapping) or not found:
        raise ValueError(f"{rule} with `stages` or other fields of a recipe, got {found!r}.")
    return found


def _stages(found: Any) -> tuple[Stage, ...]:
    if not isinstance(found, list | tuple) or not found:
        raise ValueError(f"`stages` must be a list of stages, got {found!r}.")
    kinds = kinds_of(Stage)
    made = []
    for number, stage in enumerate(found):
        try:
            if not isinstance(stage, Stage):
                stage = _stage(stage, kinds)
        except ValueError as error:
            raise ValueError(f"stage {number}: {error}") from None
        made.append(stage)
    return tuple(made)


def _stage(found: Any, kinds: dict[str, str]) -> Stage:
    if not isinstance(found, Mapping):
        raise ValueError(f"must be a mapping with `resolution`, `magnitude` and `compute`, got {found!r}.")
    for name in ("resolution", "magnitude", "compute"):
        if name not in found:
            raise ValueError(f"`{name}` is missing; it has {', '.join(map(str, found))}.")
    return Stage(**{name: _value(name, value, kinds) for name, value in found.items()})


def _value(name: str, value: Any, kinds: Mapping[str, str]) -> Any:
    """The value converted to the type in the field's annotation. Raises ValueError: see `customised`."""
    if name not in kinds:
        near = get_close_matches(str(name), kinds, n=1)
        remedy = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(kinds)}."
        raise ValueError(f"`{name}` is not known here; {remedy}")
    return converted(name, value, kinds)


def write_curriculum(path: Path, stages: Sequence[Stage], settings: Mapping[str, Any], remark: str = "") -> None:
    """Writes the file.

    Args:
        path: of the .yaml file.
        stages: their shares of compute need not add up to 1.
        settings: other fields of `Recipe`.
        remark: a comment in the first line.
    """
    total = sum(stage.compute for stage in stages)
    lines = [f"# {remark}"] if remark else []
    lines += [f"{name}: {_plain(value)}" for name, value in settings.items()]
    lines += ["stages:"]
    for stage in stages:
        magnitude, share = _plain(stage.magnitude), stage.compute / total
        lines.append(f"  - {{resolution: {stage.resolution}, magnitude: {magnitude}, compute: {share!r}}}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _plain(value: object) -> str:
    """The value as YAML text."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(map(_plain, value))}]"
    return str(value)
