"""A picture of reconstructions: original, visible patches, prediction; a row for each image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor

from efficienttrain.pretraining.masked_train_state import MaskedTrainState
from efficienttrain.pretraining.targets import cut, paste

SHOWN = 8
GAP = 4


@torch.no_grad()
def draw(train_state: MaskedTrainState, images: Tensor, path: Path) -> None:
    """Writes a PNG; images: [n, 3, B, B] as the loader delivers them, at the network's present size.

    Columns: the image; its visible patches; with HOG as target, its HOG; the target of the visible patches together
    with the network's prediction of the hidden patches.
    """
    train_state.model.eval()
    mask = train_state.mask(images, 0, 0)
    predicted = train_state.predict(images, mask)
    target, truth = train_state.target, train_state.target(images)
    places = mask.hidden[..., None]
    mixed = truth.scatter(1, places.expand_as(predicted), predicted)
    patches = cut(images.float(), train_state.model.size_multiple)
    shown = paste(patches.scatter(1, places.expand(-1, -1, patches.shape[2]), 0.0), train_state.model.size_multiple)
    columns = [images.float(), shown]
    if not target.shows_image:
        columns.append(target.picture(images, truth))
    columns.append(target.picture(images, mixed))
    save(torch.stack(columns, dim=1), path)


def save(grid: Tensor, path: Path) -> None:
    """Writes images [rows, columns, 3, B, B], normalised by ImageNet's mean and deviation, side by side."""
    mean, deviation = grid.new_tensor(IMAGENET_DEFAULT_MEAN), grid.new_tensor(IMAGENET_DEFAULT_STD)
    pixels = grid.movedim(2, -1) * deviation + mean
    rows, columns, side, _, _ = pixels.shape
    step = side + GAP
    sheet = np.full((rows * step - GAP, columns * step - GAP, 3), 255, np.uint8)
    filled = (pixels.clamp(0, 1) * 255).round().byte().cpu().numpy()
    for row, column in np.ndindex(rows, columns):
        sheet[row * step :, column * step :][:side, :side] = filled[row, column]
    Image.fromarray(sheet).save(path)
