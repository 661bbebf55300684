"""Whether DALI can be had here, and which wheel to install where it cannot."""

from __future__ import annotations

import importlib

OLDEST = (1, 50)
"""Of DALI's releases: before it, the executor that leaves outputs to their holder is another one."""


def missing(user: str = '`backend="dali"`', instead: str = ', or take backend="torch"') -> str | None:
    """None where DALI can be used; else, in one line, why `user` cannot, and what to do."""
    try:
        version = importlib.import_module("nvidia.dali").__version__
    except Exception as error:  # a broken installation raises nearly anything
        absent = isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("nvidia")
        why = "is not installed" if absent else f"does not import ({type(error).__name__}: {error})".replace("\n", " ")
    else:
        if tuple(map(int, version.split(".")[:2])) >= OLDEST:
            return None
        why = f"is version {version}, {'.'.join(map(str, OLDEST))} or later is needed"
    return f"{user} needs NVIDIA DALI, which {why}; `pip install -U {wheel()}`{instead}."


def wheel() -> str:
    """The name of DALI's wheel for the CUDA that torch was built for; without one, the latest (it has a CPU part)."""
    import torch

    return "nvidia-dali-cuda120" if (torch.version.cuda or "").startswith("12") else "nvidia-dali-cuda130"
