"""`python -m benchmarks fidelity`: how close our pixels, and the official ones, come to those of the exact path."""

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

from benchmarks import machine, reference
from benchmarks.data import gather
from benchmarks.measure import summary
from benchmarks.report import workplace
from loaders.errors import BadSample
from loaders.native import Pool
from loaders.plan import plan_batch
from loaders.plan.crop import flips, train_boxes
from loaders.plan.filters import build
from loaders.store import Store, convert, open_store

FAIRNESS = (
    "Exact path: decode all (Pillow), crop, bicubic to 224, keep the BxB lowest frequencies (real part; no clipping).",
    "Evaluated at centre-aligned points, where Pillow's Lanczos and ours have theirs (the ICCV code's grid is "
    "corner-aligned: the same low-passed picture, read (1-B/224)/2 output pixels away).",
    "Same random crops and flips for all; PSNR over the pixels of each crop; medians and quartiles over crops.",
    "From B = 224 on the exact path is Pillow's bicubic crop itself, and so is the official one.",
    "Use photos that played no part in choosing filters or levels.",
)
PATHS = {
    "ours": "ours, ladder",
    "ours-full": "ours, full size only",
    "official": "official: bicubic 224, Lanczos",
}


def run(
    data: str,
    bandwidths: Sequence[int],
    *,
    threads: int,
    crops: int = 400,
    work: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures and returns the report that `--json` writes: at least `crops` random crops, as many of each photo."""
    found: dict[tuple[int, str], list[float]] = {(bandwidth, path): [] for bandwidth in bandwidths for path in PATHS}
    with (
        workplace(work) as place,
        open_store(_ladder(data, place, crops, threads)) as store,
        closing(Pool(threads)) as pool,
    ):
        indices = np.linspace(0, len(store) - 1, min(len(store), crops)).astype(np.int64)
        epochs = -(-crops // len(indices))
        ours = {
            (bandwidth, path): render(store, pool, indices, epochs, bandwidth, seed, None if path == "ours" else 0)
            for bandwidth in bandwidths
            for path in ("ours", "ours-full")
        }
        for row, index in enumerate(tqdm(indices.tolist(), "comparing", leave=False)):
            mine = {key: pixels[:, row] for key, pixels in ours.items()}
            compare(store, index, seed, bandwidths, mine, found)
    results = [
        {
            "bandwidth": bandwidth,
            "path": path,
            "label": PATHS[path],
            "psnr": summary(values),
            "minus_official": summary(values)["median"] - summary(found[bandwidth, "official"])["median"],
        }
        for (bandwidth, path), values in found.items()
    ]
    settings = {
        "data": Path(data).resolve().name,
        "images": len(indices),
        "crops": epochs * len(indices),
        "seed": seed,
        "bandwidths": list(bandwidths),
    }
    return {
        "benchmark": "fidelity",
        "version": 1,
        "machine": machine.card(),
        "settings": settings,
        "fairness": list(FAIRNESS),
        "notes": [],
        "results": results,
    }


def _ladder(data: str, place: Path, crops: int, threads: int) -> Path:
    """The beton to read: `data` itself, or one made of the folder that it is (of `crops` images at most)."""
    if Path(data).is_file():
        return Path(data)
    records = gather(data, place, 0, crops)
    if not records.ladder.exists():
        convert(records.folder, records.ladder, workers=threads)
    return records.ladder


def render(
    store: Store,
    pool: Pool,
    indices: NDArray[np.int64],
    epochs: int,
    bandwidth: int,
    seed: int,
    max_level: int | None,
) -> NDArray[np.uint8]:
    """What the kernel makes of each sample in each epoch: [epochs, n, 3, B, B]."""
    entries, filter_ = store.entries(indices), build(bandwidth)
    out = np.empty((epochs, len(indices), 3, bandwidth, bandwidth), np.uint8)
    for epoch in range(epochs):
        samples = plan_batch(
            entries, indices, seed=seed, epoch=epoch, bandwidth=bandwidth, train=True, max_level=max_level
        )
        ticket = pool.submit(samples, side=bandwidth, filter=filter_, out=out[epoch], fd=store.fd)
        ticket.wait()
        for row in np.flatnonzero(ticket.status).tolist():
            raise BadSample(int(indices[row]), store.name(int(indices[row])), ticket.message(row))
    return out


def compare(
    store: Store,
    index: int,
    seed: int,
    bandwidths: Sequence[int],
    ours: dict[tuple[int, str], NDArray[np.uint8]],
    found: dict[tuple[int, str], list[float]],
) -> None:
    """Adds one sample's PSNR in every epoch to `found`; `ours`: its pixels, [epochs, 3, B, B]."""
    with Image.open(io.BytesIO(store.read(index))) as stored:
        image = stored.convert("RGB")
    which, width, height = np.array([index]), np.array([image.width]), np.array([image.height])
    for epoch in range(len(next(iter(ours.values())))):
        x0, y0, x1, y1 = (int(edge) for edge in train_boxes(width, height, seed, epoch, which)[0])
        flip = bool(flips(seed, epoch, which)[0])
        for bandwidth in bandwidths:
            base = reference.base_crop(image, (x0, y0, x1, y1), flip, bandwidth)
            exact = reference.exact(base, bandwidth)
            for path in ("ours", "ours-full"):
                pixels = ours[bandwidth, path][epoch].transpose(1, 2, 0)
                found[bandwidth, path].append(reference.psnr(pixels, exact))
            found[bandwidth, "official"].append(reference.psnr(reference.official(base, bandwidth), exact))
