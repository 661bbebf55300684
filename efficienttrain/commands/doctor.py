"""Report which backends, instruction sets, devices and libraries work here; how to install the rest.

examples:
  efficienttrain doctor
The exit status is 1 if the loader itself cannot work here; missing optional parts do not count.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
from collections.abc import Iterator
from importlib import metadata

from efficienttrain._loaders import LIBRARIES, Check, available_processors, checks

PACKAGES = (
    "efficienttrain", "torch", "torchvision", "numpy", "pillow", "pillow-simd", "timm", "numba", "ffcv",
    "nvidia-dali-cuda120", "nvidia-dali-cuda130", "triton", "lightning", "accelerate", "transformers",
)  # fmt: skip
"""Distributions that a bug report needs the versions of."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`efficienttrain doctor` has no options."""


def run(args: argparse.Namespace) -> int:  # noqa: ARG001
    """Runs `efficienttrain doctor`."""
    print(versions())
    found = [*checks(), *devices(), *libraries()]
    width = max(len(check.part) for check in found)
    print()
    for check in found:
        state = "ok" if not check.remedy else "MISSING" if check.needed else "-"
        print(f"{state:8}{check.part:{width}}  {check.found}")
    remedies = [check for check in found if check.remedy]
    if remedies:
        print("\nto add what is missing:")
        for check in remedies:
            print(f"  {check.part:{width}}  {check.remedy}")
    return 1 if any(check.needed for check in remedies) else 0


def versions() -> str:
    """Versions of Python, the system and the packages in PACKAGES that are installed, one a line."""
    rows = {"python": platform.python_version(), "system": f"{platform.platform()}, {' '.join(platform.libc_ver())}"}
    for name in PACKAGES:
        try:
            rows[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    mine = rows.pop("efficienttrain", "(not installed: run from a checkout)")
    return "\n".join([f"efficienttrain {mine}", *(f"  {name:20}{version}" for name, version in rows.items())])


def devices() -> Iterator[Check]:
    """Processors that this process may use, and the GPUs that torch sees."""
    yield Check("processors", f"{available_processors()} of {os.cpu_count()}, {platform.machine()}")
    try:
        import torch
    except Exception as error:
        yield Check("torch", f"does not import: {error}", "pip install torch", needed=True)
        return
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count()))
        yield Check("CUDA", f"{torch.version.cuda}: {names}")
    else:
        built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is built without CUDA"
        yield Check("CUDA", f"no GPU; {built}")


def libraries() -> Iterator[Check]:
    """Optional libraries, imported to see that they work."""
    for library in LIBRARIES:
        try:
            importlib.import_module(library.module)
        except ModuleNotFoundError:
            found = f"is not installed ({library.purpose})"
        except Exception as error:  # a broken installation raises nearly anything
            found = " ".join(f"does not import: {error}".split())
        else:
            yield Check(library.module, library.purpose)
            continue
        yield Check(library.module, found, library.remedy)
