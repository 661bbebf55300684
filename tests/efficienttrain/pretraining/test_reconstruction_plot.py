from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from efficienttrain.curriculum import BASELINE
from efficienttrain.pretraining.mae import MaskedAutoencoder
from efficienttrain.pretraining.masked_train_state import MaskedTrainState
from efficienttrain.pretraining.masking import BETAS, Masking
from efficienttrain.pretraining.reconstruction_plot import GAP, draw
from efficienttrain.pretraining.targets import make_target
from efficienttrain.recipe import Recipe
from efficienttrain.training.distributed import Ranks
from tests.efficienttrain.pretraining.networks import vit

SIDE, PATCH = 32, 8
GREY = [124, 116, 104]  # ImageNet's mean


def train_state(target: str) -> MaskedTrainState:
    made = make_target(target, PATCH)
    return MaskedTrainState(
        MaskedAutoencoder(vit(num_classes=1, resolution=SIDE), made.width, SIDE),
        Recipe(model="vit", epochs=1.0, stages=BASELINE),
        Ranks(0, 1, torch.device("cpu")),
        masking=Masking(target),
        target=made,
        seed=0,
        precision="off",
        channels_last=False,
    )


def panels(path: Path) -> list[np.ndarray]:
    """The panels of the first row, without their gaps."""
    sheet = np.asarray(Image.open(path)).astype(int)
    return [sheet[:SIDE, left : left + SIDE] for left in range(0, sheet.shape[1], SIDE + GAP)]


@pytest.mark.parametrize(("target", "columns"), [("pixels", 3), ("hog", 4)])
def test_columns(tmp_path: Path, target: str, columns: int) -> None:
    ours, images = train_state(target), torch.zeros(2, 3, SIDE, SIDE) + torch.linspace(-1, 1, SIDE)
    draw(ours, images, tmp_path / "p.png")
    found = panels(tmp_path / "p.png")
    assert len(found) == columns
    original, shown, told = found[0], found[1], found[-1]
    mask = ours.mask(images, 0, 0)
    for kind, places in (("visible", mask.visible[0]), ("hidden", mask.hidden[0])):
        for place in places.tolist():
            rows, across = (slice(k * PATCH, (k + 1) * PATCH) for k in divmod(place, SIDE // PATCH))
            if kind == "hidden":
                assert (shown[rows, across] == GREY).all()
                assert (told[rows, across] != found[-2][rows, across]).any()
            else:
                assert (shown[rows, across] == original[rows, across]).all()
                assert abs(told[rows, across] - found[-2 if target == "hog" else 0][rows, across]).max() <= 1


def test_the_authors_betas() -> None:
    assert {group["betas"] for group in train_state("pixels").optimizer.param_groups} == {BETAS}
