"""The evaluation views of `efficienttrain benchmark fidelity`: every crop mode and interpolation, against Pillow."""

from __future__ import annotations

import io
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from loaders.errors import BadSample
from loaders.native import KernelOptions, Pool
from loaders.plan import CropGeometry, plan_batch
from loaders.plan.crop import eval_boxes
from loaders.plan.filters import interpolation
from loaders.plan.geometry import CropMode
from loaders.sources import Dataset

from . import reference
from .harness.measure import summary

PILLOW = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}
PATHS = {"ours": None, "ours-full": 0}
"""Path -> coarsest level that it may read."""


def measure(dataset: Dataset, pool: Pool, indices: NDArray[np.int64], resolutions: list[int]) -> list[dict[str, Any]]:
    """PSNR of each evaluation view, one result for each resolution, crop mode, interpolation and path.

    The reference of Pillow's filters is Pillow: the whole image resized, then cropped. That of "fourier" is the exact
    path from the same crop, for ours and for the official path.
    """
    images = [_decoded(dataset, index) for index in indices.tolist()]
    results = []
    for resolution in resolutions:
        for mode in get_args(CropMode):
            for name, resample in PILLOW.items():
                geometry = CropGeometry(crop_mode=mode, interpolation=name)  # type: ignore[arg-type]
                wanted = [resized(image, resolution, geometry, resample) for image in images]
                for path in PATHS:
                    made = _render(dataset, pool, indices, resolution, geometry, path)
                    results.append(_result(resolution, mode, name, path, made, wanted))
        geometry = CropGeometry(interpolation="fourier")
        bases = [_base(image, resolution, geometry) for image in images]
        exact = [reference.exact(base, resolution) for base in bases]
        for path in PATHS:
            made = _render(dataset, pool, indices, resolution, geometry, path)
            results.append(_result(resolution, "center", "fourier", path, made, exact))
        official = [reference.official(base, resolution) for base in bases]
        results.append(_result(resolution, "center", "fourier", "official", official, exact))
    return results


def resized(
    image: Image.Image, resolution: int, geometry: CropGeometry, resample: Image.Resampling
) -> NDArray[np.uint8]:
    """Pillow's evaluation view, [B, B, 3]: resize, then crop the centre or pad it, rounding as torchvision and timm."""
    side = geometry.resized(resolution)
    if geometry.crop_mode == "squash":
        width = height = side
    elif geometry.crop_mode == "border":
        ratio = max(image.size) / side
        width, height = (max(1, round(size / ratio)) for size in image.size)
    else:
        width, height = (side * size // min(image.size) for size in image.size)
    small = image.resize((width, height), resample)
    canvas = Image.new("RGB", (resolution, resolution), tuple(geometry.fill))
    canvas.paste(small, (-_start(width, resolution), -_start(height, resolution)))
    return np.asarray(canvas)


def _start(size: int, crop: int) -> int:
    """Start of a centred crop; negative if it is larger than the image."""
    return round((size - crop) / 2) if size >= crop else -((crop - size) // 2)


def _base(image: Image.Image, resolution: int, geometry: CropGeometry) -> Image.Image:
    """The evaluation crop at the size that both low-frequency paths start from; taps use pixels beyond it."""
    box = eval_boxes(np.array([image.width]), np.array([image.height]), resolution, geometry)[0]
    side = max(reference.BASE, resolution)
    x0, y0, x1, y1 = map(float, box)
    return image.resize((side, side), Image.Resampling.BICUBIC, box=(x0, y0, x1, y1))


def _render(
    dataset: Dataset, pool: Pool, indices: NDArray[np.int64], resolution: int, geometry: CropGeometry, path: str
) -> NDArray[np.uint8]:
    """The kernel's pixels of each sample, [n, B, B, 3]."""
    assert geometry.interpolation is not None
    filter_ = interpolation(resolution, geometry.interpolation)
    samples = plan_batch(
        dataset.entries(indices),
        indices,
        seed=0,
        epoch=0,
        resolution=resolution,
        train=False,
        max_level=PATHS[path],
        geometry=geometry,
        filter=filter_,
    )
    out = np.empty((len(indices), 3, resolution, resolution), np.uint8)
    ticket = pool.submit(samples, KernelOptions(resolution, filter_, dataset.fd), out)
    ticket.wait()
    for row in np.flatnonzero(ticket.status).tolist():
        raise BadSample(int(indices[row]), dataset.name(int(indices[row])), ticket.message(row))
    return out.transpose(0, 2, 3, 1)


def _decoded(dataset: Dataset, index: int) -> Image.Image:
    with Image.open(io.BytesIO(dataset.read(index))) as stored:
        return stored.convert("RGB")


def _result(resolution: int, mode: str, name: str, path: str, made: Any, wanted: Any) -> dict[str, Any]:
    values = [reference.psnr(ours, theirs) for ours, theirs in zip(made, wanted, strict=True)]
    facts = {"resolution": resolution, "crop_mode": mode, "interpolation": name, "path": path}
    return {**facts, "psnr": summary(values), "worst": min(values)}
