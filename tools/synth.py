"""Makes a labelled JPEG data set that behaves like photographs, for the demo, the tests and timings.

Every image has a background with a photograph's power spectrum (falling steeper than 1/f squared; colour weaker than
luminance), plain grey shapes on it for edges and occlusion, and three to five objects of its class. Classes come in
pairs: hue and outline identify the pair and survive at low spatial frequencies; fine stripes on the objects distinguish
the two classes and need resolution. Sizes, aspect ratios, JPEG quality and chroma sub-sampling vary as they do in
the wild.

An image is a pure function of (seed, split, class, number): the same bytes for any number of processes and of
images, as long as NumPy, Pillow and the kind of CPU are the same.
"""

from __future__ import annotations

import argparse
import colorsys
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

SPLITS = ("train", "val")
SAMPLINGS = ("4:2:0",) * 7 + ("4:2:2",) + ("4:4:4",) * 2  # one is drawn; about the shares seen in photo collections


class Job(NamedTuple):
    """One image to make: its key (seed, split, label, number), the number of classes, long sides, and its file."""

    path: str
    seed: int
    split: int
    label: int
    number: int
    classes: int
    size: tuple[int, int]


@lru_cache(maxsize=4)
def amplitudes(side: int) -> np.ndarray:
    """Amplitudes of a real field of side x side: 1/f^1.25, none at f = 0; float32 [side, side // 2 + 1]."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    frequency[0, 0] = np.inf
    return (frequency**-1.25).astype(np.float32)


def fields(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    """Random fields with a photograph's power spectrum, mean 0 and deviation 1; float32 [count, side, side]."""
    phase = rng.random((count, side, side // 2 + 1), dtype=np.float32) * np.float32(2 * np.pi)
    spectrum = np.empty(phase.shape, dtype=np.complex64)
    spectrum.real, spectrum.imag = np.cos(phase), np.sin(phase)
    made = np.fft.irfft2(spectrum * amplitudes(side), s=(side, side)).astype(np.float32)
    return made / made.std(axis=(1, 2), keepdims=True)


def background(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A field in luminance and two weaker, coarser ones in colour; float32 [3, height, width], about 0 to 1."""
    side = -(-max(width, height) // 64) * 64
    contrast = rng.uniform(0.14, 0.22)
    light = fields(rng, 1, side)[0, :height, :width] * np.float32(contrast) + np.float32(rng.uniform(0.35, 0.6))
    colour = (fields(rng, 2, side // 2) * np.float32(0.2 * contrast)).repeat(2, axis=1).repeat(2, axis=2)
    warm, green = colour[:, :height, :width]
    return np.stack([light + warm, light + green, light - warm - green])


def paint(
    canvas: np.ndarray, rng: np.random.Generator, colour: tuple[float, float, float], lobes: int, striped: bool
) -> None:
    """Paint one blob of this colour and number of lobes, plain or finely striped, onto `canvas` [3, height, width]."""
    _, height, width = canvas.shape
    radius = min(width, height) * rng.uniform(0.1, 0.2)
    middle_y, middle_x = rng.uniform(0.1, 0.9) * height, rng.uniform(0.1, 0.9) * width
    reach = 1.3 * radius
    rows = slice(max(0, int(middle_y - reach)), min(height, int(middle_y + reach) + 2))
    columns = slice(max(0, int(middle_x - reach)), min(width, int(middle_x + reach) + 2))
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(middle_y)
    x = np.arange(columns.start, columns.stop, dtype=np.float32) - np.float32(middle_x)
    angle = np.arctan2(y, x) * np.float32(lobes) + np.float32(rng.uniform(0, 2 * np.pi))
    inside = np.clip(radius * (1 + 0.28 * np.cos(angle)) - np.hypot(y, x) + 0.5, 0, 1)

    turn, period, shade = rng.uniform(0, np.pi), rng.uniform(9, 13), np.full_like(inside, 0.75)
    if striped:
        wave = np.sin((x * np.cos(turn) + y * np.sin(turn)) * (2 * np.pi / period))
        shade += np.clip(3 * wave, -1, 1) * 0.22
    patch = canvas[:, rows, columns]
    patch += inside * (np.array(colour, dtype=np.float32)[:, None, None] * shade - patch)


def picture(job: Job) -> tuple[np.ndarray, int, str]:
    """The pixels of one image (uint8 [height, width, 3]), with the JPEG quality and sub-sampling to store it at."""
    key = [job.seed, job.split << 60 | job.label << 32 | job.number]
    rng = np.random.Generator(np.random.Philox(key=np.array(key, dtype=np.uint64)))
    long = int(rng.integers(job.size[0], job.size[1] + 1))
    short = max(16, round(long / rng.choice([1.0, 1.25, 4 / 3, 4 / 3, 1.5])))
    width, height = (long, short) if rng.random() < 0.75 else (short, long)

    canvas = background(rng, width, height)
    for _ in range(rng.integers(2, 5)):
        grey = float(rng.uniform(0.15, 0.95))
        paint(canvas, rng, (grey, grey, grey), int(rng.integers(0, 6)), striped=False)
    pair, pairs = job.label // 2, (job.classes + 1) // 2
    for _ in range(rng.integers(3, 6)):
        colour = colorsys.hsv_to_rgb((pair + rng.uniform(-0.3, 0.3)) / pairs % 1, rng.uniform(0.55, 0.8), 0.95)
        paint(canvas, rng, colour, 2 + pair % 4, striped=job.label % 2 == 1)
    pixels = (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
    return pixels, int(rng.integers(88, 97)), str(rng.choice(SAMPLINGS))


def make(job: Job) -> None:
    """Make one image and write its file."""
    pixels, quality, sampling = picture(job)
    Image.fromarray(pixels).save(job.path, "JPEG", quality=quality, subsampling=sampling)


def write(
    out: str | os.PathLike[str],
    *,
    classes: int = 10,
    per_class: int = 60,
    val_per_class: int = 10,
    size: tuple[int, int] = (400, 500),
    seed: int = 0,
    workers: int | None = None,
    progress: bool = False,
) -> Path:
    """Write the data set as OUT/train/CLASS/NUMBER.jpg and OUT/val/CLASS/NUMBER.jpg.

    Args:
        out: folder to make; it appears under this name only once complete.
        classes: number of classes, 1 or more (even, so that each has its twin).
        per_class, val_per_class: images of each class in train and in val.
        size: least and greatest length of the longer side, pixels, 32 or more.
        workers: processes; None means one per core, 1 means this one.

    Raises:
        FileExistsError: `out` exists already.
        ValueError: a number is out of range.
    """
    out = Path(out)
    if out.exists():
        raise FileExistsError(f"the data set must be a new folder, got {out}, which exists; remove it or name another")
    if classes < 1 or per_class < 1 or val_per_class < 0 or seed < 0:
        raise ValueError(
            "`classes` and `per_class` must be 1 or more, `val_per_class` and `seed` 0 or more, "
            f"got {classes}, {per_class}, {val_per_class}, {seed}"
        )
    if not 32 <= size[0] <= size[1]:
        raise ValueError(f"`size` must be two lengths of 32 pixels or more, the lesser first, got {size[0]} {size[1]}")
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    jobs: list[Job] = []
    for split, count in enumerate((per_class, val_per_class)):
        for label in range(classes):
            folder = partial / SPLITS[split] / f"class{label:03d}"
            if count:
                folder.mkdir(parents=True)
            jobs += [
                Job(str(folder / f"{number:06d}.jpg"), seed, split, label, number, classes, size)
                for number in range(count)
            ]
    workers = workers or os.cpu_count() or 1
    for _ in tqdm(make_all(jobs, workers), total=len(jobs), unit="image", desc="synth", disable=not progress):
        pass
    partial.rename(out)
    return out


def make_all(jobs: list[Job], workers: int) -> Iterator[None]:
    """Make all images in this process or in several new ones (not forked: the caller may have threads)."""
    if workers == 1:
        yield from map(make, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(make, jobs, chunksize=8)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m tools synth`."""
    parser.add_argument("out", type=Path, help="folder to make, with train/ and val/ in it")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--per-class", type=int, default=60, help="training images of each class")
    parser.add_argument("--val-per-class", type=int, default=10, help="validation images of each class")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(400, 500),
        metavar=("LEAST", "GREATEST"),
        help="range of the longer side, pixels",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")


def run(args: argparse.Namespace) -> int:
    """Run `python -m tools synth`."""
    out = write(
        args.out,
        classes=args.classes,
        per_class=args.per_class,
        val_per_class=args.val_per_class,
        size=(args.size[0], args.size[1]),
        seed=args.seed,
        workers=args.workers,
        progress=True,
    )
    files = [path.stat().st_size for path in out.rglob("*.jpg")]
    print(f"{out}: {len(files)} images of {args.classes} classes, {sum(files) / len(files) / 1024:.0f} KiB on average")
    return 0
