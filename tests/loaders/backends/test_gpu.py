"""On a GPU, each backend delivers there what the torch backend delivers on the CPU, and waits for nothing."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.contract import check_resume, make

BACKENDS = ["torch", pytest.param("dali", marks=pytest.mark.dali), pytest.param("ffcv", marks=pytest.mark.ffcv)]
pytestmark = [pytest.mark.gpu, pytest.mark.parametrize("backend", BACKENDS)]


@pytest.mark.parametrize("options", [{}, {"dtype": "float32"}, {"train": False}])
def test_batches_are_those_of_the_cpu(beton: Path, backend: str, options: dict[str, Any]) -> None:
    kind: dict[str, Any] = {"resolution": 64, "drop_last": False, **options}
    with make(beton, backend=backend, device="cuda", **kind) as ours, make(beton, **kind) as cpu:
        for _ in range(2):
            got, wanted = list(ours), list(cpu)
            for (images, labels), (others, same) in zip(got, wanted, strict=True):
                assert images.is_cuda and labels.is_cuda and torch.equal(labels.cpu(), same)
                off = (images.cpu().float() - others.float()).abs().mean()
                assert off < (2.5 if images.dtype == torch.uint8 else 0.05) * (backend == "dali") + 1e-3


def test_batches_are_the_users(beton: Path, backend: str) -> None:
    with make(beton, backend=backend, device="cuda") as loader:
        kept = [images for _ in range(3) for images, _ in loader]
        before = [images.clone() for images in kept]
        loader.set_stage(resolution=48, batch_size=4)
        for _ in range(3):
            list(loader)
        assert all(torch.equal(a, b) for a, b in zip(kept, before, strict=True))


@pytest.mark.parametrize("magnitude", [None, 7])
def test_nothing_waits_in_a_steady_loop(beton: Path, backend: str, magnitude: float | None) -> None:
    options: dict[str, Any] = {"device": "cuda", "dtype": "float16", "magnitude": magnitude}
    with make(beton, backend=backend, **options) as loader:
        list(loader)
        endless = (images for _ in range(9) for images, _ in loader)
        for images in islice(endless, 3):
            images.sum()
        torch.cuda.set_sync_debug_mode("error")  # torch's own calls; the profile of `benchmarks gpu` sees all
        try:
            for images in islice(endless, 9):
                images.sum()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_resume(beton: Path, backend: str) -> None:
    def on_gpu() -> Any:
        loader = make(beton, backend=backend, device="cuda")
        plain = loader._backend.run

        def run(*arguments: Any) -> Any:
            for images, labels in plain(*arguments):
                yield images.cpu(), labels.cpu()

        loader._backend.run = run  # type: ignore[method-assign]
        return loader

    check_resume(on_gpu, 2)
