"""The package `loaders` that was installed with this one, even if another package has the name `loaders`.

A training project may have its own module or package named `loaders`, which shadows ours if the project's folder comes
first on `sys.path`. Ours is then imported as `efficienttrain_loaders`; this works because its own imports are relative.
Otherwise it keeps its usual name, so that `from loaders import Loader` and `from efficienttrain import Loader` are the
same class.

`efficienttrain` imports all names of `loaders` from here. Names are looked up on first use, because some of these
modules import torch.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loaders import BadDataset as BadDataset
    from loaders import BadSample as BadSample
    from loaders import Loader as Loader
    from loaders import LoaderError as LoaderError
    from loaders import convert as convert
    from loaders import eval_like as eval_like
    from loaders import open_dataset as open_dataset
    from loaders.conversion import ShardedConversion as ShardedConversion
    from loaders.conversion import Summary as Summary
    from loaders.conversion import append_parts as append_parts
    from loaders.conversion import check_parts as check_parts
    from loaders.conversion import compact_parts as compact_parts
    from loaders.conversion import contents as contents
    from loaders.conversion import convert_on_ray as convert_on_ray
    from loaders.conversion import draw as draw
    from loaders.conversion import extract as extract
    from loaders.conversion import join_cluster as join_cluster
    from loaders.conversion import remove_samples as remove_samples
    from loaders.conversion import sampled as sampled
    from loaders.conversion import split_parts as split_parts
    from loaders.conversion import stations as stations
    from loaders.conversion import usual_parts as usual_parts
    from loaders.conversion import verify as verify
    from loaders.conversion import write_manifest as write_manifest
    from loaders.overview import page as page
    from loaders.overview import survey as survey
    from loaders.plan.rng import Purpose as Purpose
    from loaders.plan.rng import words as words
    from loaders.processors import CPUS_VARIABLE as CPUS_VARIABLE
    from loaders.processors import available_processors as available_processors
    from loaders.progress import progress_bar as progress_bar
    from loaders.replay import Replay as Replay
    from loaders.replay import check_memory as check_memory
    from loaders.replay import free_bytes as free_bytes
    from loaders.replay import ring_bytes as ring_bytes
    from loaders.requirements import LIBRARIES as LIBRARIES
    from loaders.requirements import Check as Check
    from loaders.requirements import absent as absent
    from loaders.requirements import checks as checks
    from loaders.transforms import ColorJitter as ColorJitter
    from loaders.transforms import LowFrequencyCrop as LowFrequencyCrop
    from loaders.transforms import Mixup as Mixup
    from loaders.transforms import Normalize as Normalize
    from loaders.transforms import RandAugment as RandAugment
    from loaders.transforms import RandomErasing as RandomErasing
    from loaders.transforms import ThreeAugment as ThreeAugment
    from loaders.transforms import TrivialAugmentWide as TrivialAugmentWide
    from loaders.values import absolute as absolute
    from loaders.values import number as number
    from loaders.values import whole as whole

OURS = Path(__file__).resolve().parent.parent / "loaders" / "__init__.py"
SECOND_NAME = "efficienttrain_loaders"
DOORS = (
    "",
    ".values",
    ".conversion",
    ".plan.rng",
    ".processors",
    ".progress",
    ".requirements",
    ".overview",
    ".replay",
    ".transforms",
)
"""All modules of `loaders` that `efficienttrain` may use. Names are looked up in this order; modules that import torch
come last."""


def package() -> ModuleType:
    """Our `loaders`, imported under its own name if that name refers to it, else as `efficienttrain_loaders`."""
    if _own_name_finds_it():
        return importlib.import_module("loaders")
    if SECOND_NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(SECOND_NAME, OURS, submodule_search_locations=[str(OURS.parent)])
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[SECOND_NAME] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[SECOND_NAME]
            raise
    return sys.modules[SECOND_NAME]


def _own_name_finds_it() -> bool:
    try:
        spec = importlib.util.find_spec("loaders")
    except ValueError:  # a module without a spec holds the name
        return False
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() == OURS


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        base = package().__name__
        for door in DOORS:
            module = importlib.import_module(base + door)
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
