"""Requirements: the compiled kernel, the optional backends and other optional libraries; how to install them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib import metadata
from typing import NamedTuple

FFCV = "apt install libopencv-dev libturbojpeg0-dev pkg-config g++, then pip install 'efficienttrain[ffcv]'"
"""How to install FFCV, which pip builds from source."""
OLDEST = (1, 50)
"""DALI's oldest supported release; earlier ones have another executor, which may overwrite outputs still in use."""


class Library(NamedTuple):
    """An optional library: its module, its use, and the extra that installs it."""

    module: str
    purpose: str
    extra: str

    @property
    def remedy(self) -> str:
        """The command that installs it."""
        return f"pip install 'efficienttrain[{self.extra}]'"


LIBRARIES = (
    Library("timm", "training and models by name", "train"),
    Library("torchvision", "published baselines", "train"),
    Library("yaml", "curricula and settings in YAML files", "train"),
    Library("matplotlib", "plots (--png)", "train"),
    Library("tensorboard", "TensorBoard logs", "tensorboard"),
    Library("pyarrow", "Parquet and Arrow files", "sources"),
    Library("obstore", "data in object stores", "remote"),
    Library("ray", "conversion and search on a cluster", "ray"),
    Library("psutil", "benchmarks", "bench"),
)


def absent(error: ModuleNotFoundError, user: str) -> str | None:
    """One line with the remedy if an optional library is not installed; None: another module is missing.

    user: the part of this project that needs it, as named in the message.
    """
    name = (error.name or "").partition(".")[0]
    for library in LIBRARIES:
        if library.module == name:
            return f"{user} needs {name}, which is not installed; {library.remedy}."
    return None


def dali_missing(user: str = '`backend="dali"`', instead: str = ', or take backend="torch"') -> str | None:
    """None if DALI can be used; else one line with the reason why `user` cannot, and the remedy."""
    try:
        version = importlib.import_module("nvidia.dali").__version__
    except Exception as error:  # a broken installation raises nearly anything
        gone = isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("nvidia")
        why = "is not installed" if gone else f"does not import ({type(error).__name__}: {error})".replace("\n", " ")
    else:
        if tuple(map(int, version.split(".")[:2])) >= OLDEST:
            return None
        why = f"is version {version}, {'.'.join(map(str, OLDEST))} or later is needed"
    return f"{user} needs NVIDIA DALI, which {why}; `pip install -U {dali_wheel()}`{instead}."


def dali_wheel() -> str:
    """The name of DALI's wheel for the CUDA that torch was built for; without one, the latest (it has a CPU part)."""
    import torch

    return "nvidia-dali-cuda120" if (torch.version.cuda or "").startswith("12") else "nvidia-dali-cuda130"


class Check(NamedTuple):
    """The state of one requirement, and how to install it.

    Attributes:
        part: its name.
        found: its version or state, or why it cannot be used.
        remedy: how to get it; empty if it works.
        needed: whether the loader cannot work without it.
    """

    part: str
    found: str
    remedy: str = ""
    needed: bool = False


def checks() -> Iterator[Check]:
    """The kernel, which decodes a small image, and the three backends."""
    yield _kernel()
    yield Check("backend torch", "the default")
    try:
        importlib.import_module("ffcv")
        yield Check("backend ffcv", f"ffcv {metadata.version('ffcv')}")
    except Exception as error:  # a broken installation raises nearly anything
        yield Check("backend ffcv", " ".join(f"ffcv does not import: {error}".split()), FFCV)
    reason = dali_missing("the dali backend", "")
    remedy = f"pip install {dali_wheel()}" if reason else ""
    yield Check("backend dali", reason or f"DALI {importlib.import_module('nvidia.dali').__version__}", remedy)


def _kernel() -> Check:
    from .errors import LoaderError

    try:
        import numpy as np

        from . import native
        from .native.kernel import builds

        grey = np.full((8, 8, 3), 128, np.uint8)
        if not np.array_equal(native.decode(native.encode(grey, 90)), grey):
            return Check("kernel", "decodes wrong pixels", "report this, with `efficienttrain --version`", needed=True)
        first, *others = builds()
        return Check("kernel", f"{first} instructions" + (f" (also built: {', '.join(others)})" if others else ""))
    except (LoaderError, OSError) as error:
        return Check("kernel", f"does not load: {error}", "pip install efficienttrain (a wheel)", needed=True)
