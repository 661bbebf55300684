"""`efficienttrain benchmark fidelity`: how close our pixels, and the official ones, come to those of the exact path."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from loaders.conversion import convert
from loaders.errors import BadSample
from loaders.native import KernelOptions, Pool
from loaders.plan import plan_batch
from loaders.plan.crop import flips, train_boxes
from loaders.plan.filters import build
from loaders.sources import Dataset, open_dataset

from . import fidelity_views, reference
from .harness import figures, machine
from .harness.data import gather
from .harness.measure import summary
from .harness.report import fidelity_text, workplace

FAIRNESS = (
    "Exact path: decode all (Pillow), crop, bicubic to 224, keep the BxB lowest frequencies (real part; no clipping).",
    "Evaluated at centre-aligned points, where Pillow's Lanczos and ours have theirs (the ICCV code's grid is "
    "corner-aligned: the same low-passed image, read (1-B/224)/2 output pixels away).",
    "Same random crops and flips for all; PSNR over the pixels of each crop; medians and quartiles over crops.",
    "From B = 224 on the exact path is Pillow's bicubic crop itself, and so is the official one.",
    "Evaluation views (crop_pct 0.875): against Pillow, which resizes the whole image and then crops; those of the "
    "fourier filter against the exact path from the same crop.",
    "Use photos that played no part in choosing filters or levels.",
)
PATHS = {
    "ours": "ours, pyramid",
    "ours-full": "ours, full size only",
    "official": "official: bicubic 224, Lanczos",
}


def run(
    data: str,
    resolutions: Sequence[int],
    *,
    threads: int,
    crops: int = 400,
    work: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures and returns the report that `--json` writes: at least `crops` random crops, as many of each photo."""
    found: dict[tuple[int, str], list[float]] = {(resolution, path): [] for resolution in resolutions for path in PATHS}
    with (
        workplace(work) as place,
        open_dataset(_pyramid(data, place, crops, threads)) as dataset,
        closing(Pool(threads)) as pool,
    ):
        indices = np.linspace(0, len(dataset) - 1, min(len(dataset), crops)).astype(np.int64)
        epochs = -(-crops // len(indices))
        ours = {
            (resolution, path): render(dataset, pool, indices, epochs, resolution, seed, None if path == "ours" else 0)
            for resolution in resolutions
            for path in ("ours", "ours-full")
        }
        for row, index in enumerate(tqdm(indices.tolist(), "comparing", leave=False)):
            mine = {key: pixels[:, row] for key, pixels in ours.items()}
            compare(dataset, index, seed, resolutions, mine, found)
        evaluation = fidelity_views.measure(dataset, pool, indices, list(resolutions))
    results = [
        {
            "resolution": resolution,
            "path": path,
            "label": PATHS[path],
            "psnr": summary(values),
            "minus_official": summary(values)["median"] - summary(found[resolution, "official"])["median"],
        }
        for (resolution, path), values in found.items()
    ]
    settings = {
        "data": Path(data).resolve().name,
        "images": len(indices),
        "crops": epochs * len(indices),
        "seed": seed,
        "resolutions": list(resolutions),
    }
    return {
        "benchmark": "fidelity",
        "version": 1,
        "machine": machine.card(),
        "settings": settings,
        "fairness": list(FAIRNESS),
        "notes": [],
        "results": results,
        "evaluation": evaluation,
    }


def _pyramid(data: str, place: Path, crops: int, threads: int) -> Path:
    """The beton to read: `data` itself, or one made of the folder that it is (of `crops` images at most)."""
    if Path(data).is_file():
        return Path(data)
    records = gather(data, place, 0, crops)
    if not records.pyramid.exists():
        convert(records.folder, records.pyramid, workers=threads)
    return records.pyramid


def render(
    dataset: Dataset,
    pool: Pool,
    indices: NDArray[np.int64],
    epochs: int,
    resolution: int,
    seed: int,
    max_level: int | None,
) -> NDArray[np.uint8]:
    """The kernel's pixels of each sample in each epoch: [epochs, n, 3, B, B]."""
    entries, filter_ = dataset.entries(indices), build(resolution)
    out = np.empty((epochs, len(indices), 3, resolution, resolution), np.uint8)
    for epoch in range(epochs):
        samples = plan_batch(
            entries, indices, seed=seed, epoch=epoch, resolution=resolution, train=True, max_level=max_level
        )
        pending = pool.submit(samples, KernelOptions(resolution, filter_, dataset.fd), out[epoch])
        pending.wait()
        for row in np.flatnonzero(pending.status).tolist():
            raise BadSample(int(indices[row]), dataset.name(int(indices[row])), pending.message(row))
    return out


def compare(
    dataset: Dataset,
    index: int,
    seed: int,
    resolutions: Sequence[int],
    ours: dict[tuple[int, str], NDArray[np.uint8]],
    found: dict[tuple[int, str], list[float]],
) -> None:
    """Adds one sample's PSNR in every epoch to `found`; `ours`: its pixels, [epochs, 3, B, B]."""
    with Image.open(io.BytesIO(dataset.read(index))) as stored:
        image = stored.convert("RGB")
    which, width, height = np.array([index]), np.array([image.width]), np.array([image.height])
    for epoch in range(len(next(iter(ours.values())))):
        x0, y0, x1, y1 = (int(edge) for edge in train_boxes(width, height, seed, epoch, which)[0])
        flip = bool(flips(seed, epoch, which)[0])
        for resolution in resolutions:
            base = reference.base_crop(image, (x0, y0, x1, y1), flip, resolution)
            exact = reference.exact(base, resolution)
            for path in ("ours", "ours-full"):
                pixels = ours[resolution, path][epoch].transpose(1, 2, 0)
                found[resolution, path].append(reference.psnr(pixels, exact))
            found[resolution, "official"].append(reference.psnr(reference.official(base, resolution), exact))


text = fidelity_text
draw = figures.fidelity
