"""What every test may use: skipping of tests whose hardware or packages are absent, and a small folder of JPEGs."""

from __future__ import annotations

import os
import signal
from importlib.util import find_spec
from pathlib import Path

import pytest

from tools import synth

# A shell's background jobs ignore Ctrl-C, and so would the programs that the tests start and press it at.
signal.signal(signal.SIGINT, signal.default_int_handler)

# marker: (variable that turns the skip into a failure, what is missing)
NEEDS = {
    "gpu": ("FAIL_WITHOUT_CUDA", "a CUDA device"),
    "ffcv": ("FAIL_WITHOUT_FFCV", "the ffcv package"),
    "dali": ("FAIL_WITHOUT_DALI", "the DALI package"),
}


def has(need: str) -> bool:
    """Whether this machine has what the marker `need` asks for."""
    if need == "gpu":
        if find_spec("torch") is None:  # tests of the kernel alone, in an emulated machine
            return False
        import torch

        return torch.cuda.is_available()
    if need == "dali":
        return find_spec("nvidia") is not None and find_spec("nvidia.dali") is not None
    return find_spec(need) is not None


if not has("gpu"):
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported: its kernels then run on a CPU


def pytest_runtest_setup(item: pytest.Item) -> None:
    for need, (variable, what) in NEEDS.items():
        if item.get_closest_marker(need) and not has(need):
            if os.environ.get(variable) == "1":
                pytest.fail(f"{variable}=1 promises {what}, and there is none here", pytrace=False)
            pytest.skip(f"needs {what}")


@pytest.fixture(scope="session")
def jpeg_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder of tools/synth.py: train/ with 3 classes of 8 JPEGs, val/ with 3 of 2; longer sides 96 to 160."""
    out = tmp_path_factory.mktemp("synth") / "photos"
    return synth.write(out, classes=3, per_class=8, val_per_class=2, size=(96, 160), seed=0, workers=1)
