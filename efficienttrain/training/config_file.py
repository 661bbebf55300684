"""A training's configuration as a YAML file: read for `--config`, written back in full by every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from efficienttrain.atomic_file import whole
from efficienttrain.recipe import Recipe
from efficienttrain.training.config import OF_RECIPE, Config

CONFIG = "config.yaml"


def read_config(path: Path, known: Sequence[str] = ()) -> dict[str, Any]:
    """Options of a training by name; known: the possible names, if they are not the fields of `Config`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not YAML, not a mapping, or an unknown name.
    """
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, Mapping):
        raise ValueError(f"{path} must hold a mapping of options, such as `model: resnet50`, got {found!r}.")
    known = known or [field.name for field in fields(Config)]
    made = {
        str(name).replace("-", "_"): tuple(value) if isinstance(value, list) else value for name, value in found.items()
    }
    for name in made:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise ValueError(f"{path}: there is no option {name!r}{f'; nearest is {near[0]}' if near else ''}.")
    return made


def write_config(
    folder: Path, config: Config, recipe: Recipe, known: Sequence[str] = (), more: Mapping[str, Any] | None = None
) -> Path:
    """Writes `config.yaml` into a run's folder, with the recipe's values for options that are None.

    `--config` with this file repeats the training.

    Args:
        folder: of the run.
        config, recipe: of the training.
        known: names that are written; none: all.
        more: options that are no fields of `Config`, or take the place of one.
    """
    import yaml

    values = asdict(config)
    values |= {name: getattr(recipe, name) for name in OF_RECIPE}
    for name in ("clip_grad", "ema"):
        values[name] = values[name] or 0.0  # None would ask for the recipe's
    values = {name: value for name, value in {**values, **(more or {})}.items() if not known or name in known}
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    folder.mkdir(parents=True, exist_ok=True)
    with whole(folder / CONFIG) as file:
        file.write(yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode())
    return folder / CONFIG
