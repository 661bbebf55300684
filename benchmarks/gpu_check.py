"""One part of `benchmark gpu` in a process of its own: `python -m benchmarks.gpu_check PART PYRAMID [options]`.

Prints one finding a line as JSON, as soon as it is made, so that a part that is stopped leaves its findings.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from loaders import Loader
from loaders.transforms import LowFrequencyCrop, Mixup, Normalize, RandAugment, RandomErasing

MODELS = ("resnet50", "deit_small_patch16_224", "convnext_tiny", "swin_tiny_patch4_window7_224")
RESOLUTIONS = (96, 160, 224)
MAGNITUDE = 8
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Finding = tuple[str, Any]


@dataclass(frozen=True)
class Check:
    """The inputs of a part."""

    pyramid: str
    threads: int
    device: torch.device
    batch: int = 256
    seconds: float = 3.0
    """Least length of each measurement."""
    folder: str | None = None
    """The images as files, for torchvision's DataLoader."""
    models: tuple[str, ...] = MODELS
    resolutions: tuple[int, ...] = RESOLUTIONS

    def loader(self, resolution: int, **options: Any) -> Loader:
        """A loader as a training has it."""
        settings: dict[str, Any] = {"dtype": "bfloat16", "magnitude": MAGNITUDE, "device": self.device, **options}
        return Loader(
            self.pyramid, self.batch, resolution=resolution, num_workers=self.threads, drop_last=False, **settings
        )

    def settle(self) -> None:
        """Waits for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def parity(check: Check) -> Iterator[Finding]:
    """Levels (or values) by which each transform on the device differs from the CPU's: mean, and at most."""
    rng = np.random.Generator(np.random.Philox(0))
    coarse = torch.from_numpy(rng.integers(0, 256, (min(64, check.batch), 3, 12, 12), np.uint8))
    images = torch.nn.functional.interpolate(coarse.float(), (96, 96), mode="bicubic").clamp(0, 255).byte()
    floats, keys = images.float() / 127.5 - 1, np.arange(len(images))
    normalize, mix = Normalize(MEAN, STD, torch.bfloat16), Mixup(num_classes=1000)
    labels = torch.arange(len(images))
    cases: dict[str, tuple[Tensor, Callable[[Tensor], Tensor]]] = {
        "randaugment": (images, lambda x: RandAugment(MAGNITUDE)(x, keys, seed=0, epoch=0)),
        "randaugment + normalize": (
            images,
            lambda x: RandAugment(MAGNITUDE, then=normalize)(x, keys, seed=0, epoch=0),
        ),
        "normalize": (images, normalize),
        "erasing": (floats, lambda x: RandomErasing(0.9)(x.clone(), keys, seed=0, epoch=0)),
        "fourier 64": (floats, LowFrequencyCrop(64)),
        "lanczos 64": (images, LowFrequencyCrop(64, "lanczos")),
        "mixed images": (floats, lambda x: mix(x, labels.to(x.device), 0, seed=0, epoch=0)[0]),
        "mixed targets": (floats, lambda x: mix(x, labels.to(x.device), 0, seed=0, epoch=0)[1]),
    }
    for name, (given, work) in cases.items():
        gap = (work(given.to(check.device)).cpu().double() - work(given).double()).abs()
        yield name, {"mean": float(gap.mean()), "most": float(gap.max()), "differing": float((gap > 0).double().mean())}


def pixels(check: Check, backend: str = "torch") -> Iterator[Finding]:
    """dB between a backend's uint8 batches on the device and the torch backend's on the CPU: median and least."""
    plain: dict[str, Any] = {"dtype": "uint8", "magnitude": None}
    for resolution in check.resolutions:
        found = []
        with (
            check.loader(resolution, **plain, backend=backend) as ours,
            check.loader(resolution, **{**plain, "device": "cpu"}) as cpu,
        ):
            for (images, labels), (wanted, same) in islice(zip(ours, cpu, strict=True), 4):
                if not torch.equal(labels.cpu(), same):
                    raise AssertionError(f"{backend} delivers other samples than the torch backend does")
                error = (images.cpu().double() - wanted.double()).square().flatten(1).mean(dim=1)
                found.append(10 * torch.log10(255**2 / error.clamp(min=1e-5)))
        decibels = torch.cat(found)
        yield f"psnr {backend} {resolution}", {"median": float(decibels.median()), "least": float(decibels.min())}


def loading(check: Check, backend: str = "torch") -> Iterator[Finding]:
    """Images a second on the device, with RandAugment and without; then the waits of the training's thread."""
    for resolution in check.resolutions:
        for magnitude in (MAGNITUDE, None):
            with check.loader(resolution, magnitude=magnitude, backend=backend) as loader:
                rate = _rate(check, (len(images) for images, _ in _endless(loader)))
                limit = loader.stats()["limited_by"]
            name = f"{backend} {resolution} {'RandAugment' if magnitude else 'plain'}"
            yield name, {"images_per_second": rate, "limited_by": limit}
    if check.device.type == "cuda":
        yield f"waits {backend}", waits(check, backend)


def waits(check: Check, backend: str, batches: int = 20) -> dict[str, int]:
    """CUDA calls by which the training's thread waited in so many batches of a steady run, by name."""
    from torch.profiler import ProfilerActivity, profile, record_function

    with check.loader(check.resolutions[0], backend=backend) as loader:
        endless = (images for images, _ in _endless(loader))
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


def training(check: Check) -> Iterator[Finding]:
    """Training images/s with the loader ÷ with one resident batch: the figure that counts. Memory beside it."""
    for resolution in check.resolutions:
        for model in check.models:
            step = _step(check, model, resolution)
            with check.loader(resolution) as loader:
                batches = ((step(images, labels), len(images))[1] for images, labels in _endless(loader))
                images, labels = next(_endless(loader))
                resident = _rate(check, ((step(images, labels), len(images))[1] for _ in iter(int, 1)))
                if check.device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats(check.device)
                fed = _rate(check, batches)
            finding = {"resident": resident, "loader": fed, "ratio": fed / resident}
            if check.device.type == "cuda":
                finding["peak_gib"] = torch.cuda.max_memory_allocated(check.device) / 2**30
            yield f"{model} {resolution}", finding
        if check.folder is not None:
            yield f"torchvision {resolution}", {"loader": _torchvision(check, resolution)}


def peers(check: Check, backend: str) -> Iterator[Finding]:
    """Another backend's pixels and speed."""
    yield from pixels(check, backend)
    yield from loading(check, backend)


def nvjpeg(check: Check) -> Iterator[Finding]:
    """Whether DALI's `mixed` decoder, nvJPEG, takes our sub-JPEGs (restart markers, small sizes) or refuses batches."""
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name, finding in peers(check, "dali"):
            refused = [str(warning.message)[:160] for warning in caught if "DALI refused" in str(warning.message)]
            yield name, {**finding, "refused_batches": len(refused), "why": refused[:1]}
            caught.clear()


PARTS: dict[str, Callable[[Check], Iterator[Finding]]] = {
    "parity": parity,
    "pixels": pixels,
    "loading": loading,
    "training": training,
    "dali": nvjpeg,
    "ffcv": lambda check: peers(check, "ffcv"),
}


def _step(check: Check, name: str, resolution: int) -> Callable[[Tensor, Tensor], None]:
    """One training step in bfloat16, with SGD."""
    from efficienttrain.models import build

    convolutional = not name.startswith(("deit", "swin"))
    layout = torch.channels_last if convolutional else torch.contiguous_format
    model = build(name, num_classes=1000, drop_path=0.0, resolution=resolution)
    model.to(memory_format=layout).to(check.device)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)

    def step(images: Tensor, labels: Tensor) -> None:
        with torch.autocast(check.device.type, torch.bfloat16):
            logits = model(images.contiguous(memory_format=layout))
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def _torchvision(check: Check, resolution: int) -> float:
    """Training images/s of the first model, fed by torchvision's DataLoader with the same augmentation."""
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    steps = [
        transforms.RandomResizedCrop(resolution),
        transforms.RandomHorizontalFlip(),
        transforms.RandAugment(2, MAGNITUDE),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    data = ImageFolder(str(check.folder), transforms.Compose(steps))
    loader = DataLoader(
        data, check.batch, shuffle=True, num_workers=check.threads, pin_memory=check.device.type == "cuda"
    )
    step = _step(check, check.models[0], resolution)

    def batches() -> Iterator[int]:
        while True:
            for images, labels in loader:
                step(
                    images.to(check.device, torch.bfloat16, non_blocking=True),
                    labels.to(check.device, non_blocking=True),
                )
                yield len(images)

    return _rate(check, batches(), warm_up=2)


def _endless(loader: Loader) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


def _rate(check: Check, batches: Iterator[int], warm_up: int = 5) -> float:
    """Images a second: `batches` yields the images of each."""
    for _ in islice(batches, warm_up):
        pass
    check.settle()
    images, began = 0, time.perf_counter()
    for count in batches:
        images += count
        if time.perf_counter() - began > check.seconds:
            break
    check.settle()
    return images / (time.perf_counter() - began)


def main(arguments: list[str] | None = None) -> None:
    """Prints the findings of one part."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu_check")
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("pyramid")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--folder")
    options = parser.parse_args(arguments)
    check = Check(
        options.pyramid, options.threads, torch.device("cuda"), seconds=options.seconds, folder=options.folder
    )
    for name, finding in PARTS[options.part](check):
        print(json.dumps({name: finding}), flush=True)


if __name__ == "__main__":
    main()
