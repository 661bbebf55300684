"""A training's configuration as a YAML file: read for `--config`, written back in full by every run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from efficienttrain.atomic_file import whole
from efficienttrain.recipe import Recipe
from efficienttrain.training.config import OF_RECIPE, Config

CONFIG = "config.yaml"


def read_config(path: Path) -> dict[str, Any]:
    """Fields of `Config` by name.

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
    known = [field.name for field in fields(Config)]
    made = {
        str(name).replace("-", "_"): tuple(value) if isinstance(value, list) else value for name, value in found.items()
    }
    for name in made:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise ValueError(f"{path}: there is no option {name!r}{f'; nearest is {near[0]}' if near else ''}.")
    return made


def write_config(folder: Path, config: Config, recipe: Recipe) -> Path:
    """Writes `config.yaml` into a run's folder, with the recipe's values for options that are None.

    `--config` with this file repeats the training.
    """
    import yaml

    values = asdict(config)
    values |= {name: getattr(recipe, name) for name in OF_RECIPE}
    for name in ("clip_grad", "ema"):
        values[name] = values[name] or 0.0  # None would ask for the recipe's
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    folder.mkdir(parents=True, exist_ok=True)
    with whole(folder / CONFIG) as file:
        file.write(yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode())
    return folder / CONFIG
