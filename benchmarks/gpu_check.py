"""One backend on a GPU: `python -m benchmarks.gpu_check PYRAMID BACKEND THREADS`; its last line is JSON.

How near its pixels are to the CPU's, whether anything in the steady loop waits for the GPU, how many images a second it
delivers, and how much of a ResNet-50 training step its work on the GPU takes.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import torch

from loaders import Loader

RESOLUTION, BATCH, STEP = 96, 256, 1024
MAGNITUDE = 8


def main(pyramid: str, backend: str, threads: int) -> None:
    """Prints the findings."""
    findings = {
        "psnr_to_cpu": fidelity(pyramid, backend, threads),
        "waits_in_steady_loop": waits(pyramid, backend, threads),
        "images_per_second": rate(pyramid, backend, threads),
        "resnet50_step": step_share(),
    }
    print(json.dumps(findings))


def make(pyramid: str, backend: str, threads: int, **options: Any) -> Loader:
    """A loader on the GPU, as a training has it."""
    settings = {"device": "cuda", "dtype": "float16", "magnitude": MAGNITUDE, **options}
    return Loader(
        pyramid, BATCH, backend=backend, resolution=RESOLUTION, num_workers=threads, drop_last=False, **settings
    )


def fidelity(pyramid: str, backend: str, threads: int) -> dict[str, float]:
    """dB between this backend's uint8 batches and the torch backend's on the CPU: median and least."""
    plain: dict[str, Any] = {"dtype": "uint8", "magnitude": None}
    found = []
    with (
        make(pyramid, backend, threads, **plain) as ours,
        make(pyramid, "torch", threads, **plain, device="cpu") as cpu,
    ):
        for (images, labels), (wanted, same) in islice(zip(ours, cpu, strict=True), 8):
            if not torch.equal(labels.cpu(), same):
                raise AssertionError(f"{backend} delivers other samples than the torch backend does")
            error = (images.cpu().double() - wanted.double()).square().flatten(1).mean(dim=1)
            found.append(10 * torch.log10(255**2 / error.clamp(min=1e-5)))
    decibels = torch.cat(found)
    return {"median": float(decibels.median()), "least": float(decibels.min())}


def waits(pyramid: str, backend: str, threads: int, batches: int = 20) -> dict[str, int]:
    """CUDA calls by which the training's thread waited for the GPU in so many batches of a steady run, by name."""
    from torch.profiler import ProfilerActivity, profile, record_function

    with make(pyramid, backend, threads) as loader:
        endless = (images for _ in range(1000) for images, _ in loader)
        for images in islice(endless, 10):
            images.sum()
        activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
        with profile(activities=activities) as profiler, record_function("steady"):
            for images in islice(endless, batches):
                images.sum()
    events = list(profiler.events() or ())
    steady = next(event for event in events if event.name == "steady")
    inside = (
        event.name
        for event in events
        if "Synchronize" in event.name
        and event.thread == steady.thread
        and steady.time_range.start <= event.time_range.start <= steady.time_range.end
    )
    return dict(Counter(inside))


def rate(pyramid: str, backend: str, threads: int, seconds: float = 10.0) -> float:
    """Images a second on the device, normalised and RandAugmented."""
    with make(pyramid, backend, threads) as loader:
        endless = (images for _ in range(1000) for images, _ in loader)
        for _ in islice(endless, 20):
            pass
        torch.cuda.synchronize()
        images, began = 0, time.perf_counter()
        for batch in endless:
            images += len(batch)
            if time.perf_counter() - began > seconds:
                break
        torch.cuda.synchronize()
        return images / (time.perf_counter() - began)


def step_share(repeat: int = 20) -> dict[str, float]:
    """Milliseconds of a ResNet-50 training step (1024 x 96 x 96, mixed precision, channels last), and of our ops."""
    from torchvision.models import resnet50

    from loaders.batch import BatchPlan
    from loaders.plan import SAMPLE
    from loaders.stage import Stage
    from loaders.transforms.pipeline import TransformPipeline

    device = torch.device("cuda")
    model = resnet50().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    pixels = torch.full((STEP, 3, RESOLUTION, RESOLUTION), 128, dtype=torch.uint8, device=device)
    pipeline = TransformPipeline(dtype="float16", mean=(0.5,) * 3, std=(0.5,) * 3, device=device, seed=0)
    format = pipeline.format(Stage(resolution=RESOLUTION, magnitude=MAGNITUDE, batch_size=STEP))
    labels = torch.zeros(STEP, dtype=torch.int64, device=device)
    images = pixels.half().contiguous(memory_format=torch.channels_last)

    def train() -> None:
        with torch.autocast("cuda", torch.float16):
            loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    plan = BatchPlan(format, 0, np.arange(STEP), np.zeros(STEP, np.int64), np.zeros(STEP, SAMPLE))

    def transform() -> None:
        pipeline(plan.decoded(pixels, labels, 0), format)

    step, ops = _milliseconds(train, repeat), _milliseconds(transform, repeat)
    return {"step_ms": step, "ops_ms": ops, "share": ops / step}


def _milliseconds(work: Callable[[], object], repeat: int) -> float:
    for _ in range(3):
        work()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeat):
        work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / repeat


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
