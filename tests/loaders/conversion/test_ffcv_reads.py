"""Real FFCV reads our betons: its own decoders, both its memory managers."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loaders.conversion import convert, extract
from loaders.sources import open_dataset

pytestmark = pytest.mark.ffcv
SIDE = 384

# In a process of its own: numba compiles for seconds and warns. Interpreted, the same FFCV code runs at once.
READER = """
import sys
import numpy as np
from ffcv.pipeline.compiler import Compiler
Compiler.set_enabled(sys.argv[1] == "compiled")
from ffcv.fields.basics import IntDecoder
from ffcv.fields.rgb_image import CenterCropRGBImageDecoder, RandomResizedCropRGBImageDecoder
from ffcv.loader import Loader, OrderOption

for beton, side in zip(sys.argv[2::2], map(int, sys.argv[3::2])):
    found = {}
    for cached in (True, False):
        for name in ("random", "centre"):
            size = (side, side)
            decoder = RandomResizedCropRGBImageDecoder(size) if name == "random" else CenterCropRGBImageDecoder(size, 1)
            loader = Loader(beton, batch_size=7, num_workers=2, os_cache=cached, order=OrderOption.SEQUENTIAL,
                            pipelines={"image": [decoder], "label": [IntDecoder()]}, drop_last=False)
            batches = [(images.copy(), labels.copy()) for images, labels in loader]
            found[f"{name} {cached}"] = np.concatenate([images for images, _ in batches])
            found[f"labels {name} {cached}"] = np.concatenate([labels for _, labels in batches]).ravel()
    np.savez(beton + ".npz", **found)
"""


def read_by_ffcv(how: str, sides: dict[Path, int]) -> list[dict[str, np.ndarray]]:
    """What each decoder and memory manager yields of some betons, and the labels it came with."""
    command = [sys.executable, "-c", READER, how, *(str(word) for pair in sides.items() for word in pair)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = []
    for beton in sides:
        with np.load(f"{beton}.npz") as arrays:
            found.append(dict(arrays))
    return found


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pyramid of more than one page: 30 noisy squares of different colours, some of them grey."""
    root = tmp_path_factory.mktemp("squares")
    rng = np.random.Generator(np.random.Philox(key=[5, 0]))
    for k in range(30):
        path = root / "src" / f"{k % 3}" / f"{k:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        noisy = rng.integers(20, 220, 3) + rng.integers(-20, 21, (SIDE, SIDE, 3))
        square = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        if k % 7 == 3:
            square = square.convert("L")
        square.save(path, "JPEG", quality=98, subsampling=(0, 1, 2)[k % 3])
    convert(root / "src", root / "x.beton", workers=1)
    return root / "x.beton"


def truth(beton: Path, level: int = 0) -> np.ndarray:
    with open_dataset(beton) as dataset:
        return np.stack(
            [np.asarray(Image.open(io.BytesIO(dataset.read(k, level))).convert("RGB")) for k in range(len(dataset))]
        )


def check(found: dict[str, np.ndarray], expected: np.ndarray, labels: np.ndarray) -> None:
    for cached in (True, False):
        for name in ("random", "centre"):
            np.testing.assert_array_equal(found[f"labels {name} {cached}"], labels)
        # FFCV asks for libjpeg's fast, inexact transform: equal pixels are not to be had.
        assert np.abs(found[f"centre {cached}"].astype(int) - expected).mean() < 1.5
        # A random crop is another cut of the same picture: far closer to it in mean than to the others.
        means = found[f"random {cached}"].mean(axis=(1, 2)), expected.mean(axis=(1, 2))
        assert np.corrcoef(means[0].ravel(), means[1].ravel())[0, 1] > 0.95


def test_ffcv_reads_every_level(squares: Path, tmp_path: Path) -> None:
    with open_dataset(squares) as dataset:
        labels = dataset.labels(range(30))
        pages = dataset.entries(range(30))["offset"][:, 0] >> 21
    assert len(np.unique(pages)) > 1
    betons = [squares, tmp_path / "half.beton", tmp_path / "quarter.beton"]
    for level in (1, 2):
        extract(squares, betons[level], level)
    found = read_by_ffcv("interpreted", {beton: SIDE >> level for level, beton in enumerate(betons)})
    for level in range(3):
        check(found[level], truth(squares, level), labels)


@pytest.mark.slow
def test_ffcv_reads_it_compiled(squares: Path) -> None:
    with open_dataset(squares) as dataset:
        labels = dataset.labels(range(30))
    (found,) = read_by_ffcv("compiled", {squares: SIDE})
    check(found, truth(squares), labels)
