from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from loaders import open_dataset
from loaders.errors import BadDataset
from loaders.sources.python import encoded

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_pictures_of_more_than_8_bits_are_not_clipped(mode: str) -> None:
    deep = Image.fromarray(PIXELS[:, :, 0].astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]))
    with open_dataset([(deep, 0)]) as dataset, pytest.raises(BadDataset, match=f"8 bits a sample, got mode {mode}, wh"):
        dataset.read(0)


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "1", "CMYK"])
def test_pictures_of_other_modes_are_pillows_rgb(mode: str) -> None:
    picture = Image.fromarray(PIXELS).convert(mode)
    if mode == "P":
        picture.info["transparency"] = bytes(range(256))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert encoded(picture) == encoded(picture.convert("RGBA").convert("RGB"))


def test_a_transform_to_floats_is_named() -> None:
    with pytest.raises(ValueError, match=r"must be uint8, .* got float32 \[4, 6, 3\]; leave out the transform .*ToTen"):
        encoded(torch.zeros(3, 4, 6))
