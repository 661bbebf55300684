"""The demo's parts on a handful of images; `make demo` is the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from efficienttrain import Stage
from loaders import convert
from tools import demo, demo_plot
from tools.demo_train import Leg, walk

STAGES = (Stage(32, None, 0.5), Stage(48, None, 0.5))
BUDGET = 0.5  # epochs at 224 pixels


@pytest.fixture(scope="module")
def beton(jpeg_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "train.beton"
    convert(jpeg_folder / "train", out, workers=1)
    return out


@pytest.fixture(scope="module")
def legs(beton: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Leg]:
    return walk(beton, beton, STAGES, BUDGET, tmp_path_factory.mktemp("walk") / "run", batch=8)


@pytest.fixture
def report() -> dict[str, Any]:
    results = [
        {"contestant": name, "label": name, "resolution": resolution, "rate": {"median": 100.0 * resolution}}
        for resolution in demo.RESOLUTIONS
        for name in ("ours", "torchvision", "limit")
    ]
    ratios = [
        {"of": "ours", "over": [name], "resolution": resolution, "median": 2.0}
        for resolution in demo.RESOLUTIONS
        for name in ("torchvision", "limit")
    ]
    card = {"cores": 2, "cpu": "a CPU", "simd": [], "virtual": False, "memory_gb": 1.0, "gpu": None,
            "system": "a system", "python": "3", "load_before": 0.0}  # fmt: skip
    settings = {"resolutions": list(demo.RESOLUTIONS)}
    return {"results": results, "ratios": ratios, "machine": card, "settings": settings}


def test_the_walk_spends_its_budget_stage_by_stage(legs: list[Leg]) -> None:
    assert [leg.resolution for leg in legs] == [32, 48]
    # 24 images are 3 batches: 0.5 * 0.5 * 49 * 3 = 36.75 steps at 32 pixels, 16.3 at 48.
    assert [leg.images for leg in legs] == [37 * 8, 16 * 8]
    compute = [point.compute for leg in legs for point in leg.points]
    assert len(compute) == 10
    assert compute == sorted(compute) and compute[4] == pytest.approx(0.5) and compute[-1] == pytest.approx(1)
    assert all(0 <= leg.waited <= leg.seconds for leg in legs)
    assert legs[0].points[0].loss > legs[-1].points[-1].loss


def test_the_summary_is_short_and_says_what_happened(
    jpeg_folder: Path, beton: Path, report: dict[str, Any], legs: list[Leg]
) -> None:
    lines = demo.summary(jpeg_folder, beton, report, STAGES, legs, BUDGET)
    assert len(lines) + 2 <= 25 and max(map(len, lines[:-1])) < 200
    assert lines[0].startswith("24 JPEGs")
    assert ["ours", "/", "torchvision", *["2.00x"] * 3] in [line.split() for line in lines]
    assert ["1", "48"] in [line.split()[:2] for line in lines]


def test_crops_and_picture(beton: Path, report: dict[str, Any], legs: list[Leg], tmp_path: Path) -> None:
    samples = demo.crops(beton)
    assert {resolution: images.shape for resolution, images in samples.items()} == {
        resolution: (demo.SHOWN, 3, resolution, resolution) for resolution in demo.RESOLUTIONS
    }
    means = [images.mean(axis=(1, 2, 3)) for images in samples.values()]
    assert all(abs(mean - means[0]).max() < 4 for mean in means)  # the same crops
    demo_plot.draw(tmp_path / "demo.png", report, samples, legs)
    with Image.open(tmp_path / "demo.png") as picture:
        assert picture.width > 1000
