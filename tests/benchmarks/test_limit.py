"""The limit decodes the right pixels, all of them, with any number of threads."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.peers import limit

try:
    limit.turbojpeg()
except ImportError as e:
    pytest.skip(str(e), allow_module_level=True)

SIDE = 32


@pytest.fixture(scope="module")
def jpegs(jpeg_folder: Path) -> list[bytes]:
    return limit.make_jpegs(str(jpeg_folder / "train"), SIDE, 5, seed=0)


def test_jpegs_are_what_the_limit_is_defined_by(jpegs: list[bytes]) -> None:
    assert len(set(jpegs)) == 5
    for jpeg in jpegs:
        with Image.open(io.BytesIO(jpeg)) as image:
            assert (image.size, image.mode) == ((SIDE, SIDE), "RGB")
            assert [layer[1:3] for layer in image.layer] == [(2, 2), (1, 1), (1, 1)]  # 4:2:0
            assert sum(image.quantization[0]) < 500  # quality 95


@pytest.mark.parametrize("threads", [1, 2])
def test_pixels_are_those_of_pillow(jpegs: list[bytes], threads: int) -> None:
    decoder = limit.Decoder(jpegs, SIDE, threads, batch_size=5)
    images, seconds = decoder.round(0.0)
    assert images == 5 * threads == decoder.delivered
    assert seconds > 0
    for thread, batch in enumerate(decoder.batches):
        first = thread * 5 // threads
        for slot, decoded in enumerate(batch):
            with Image.open(io.BytesIO(jpegs[(first + slot) % 5])) as image:
                expected = np.asarray(image.convert("RGB")).astype(int)
            assert np.abs(decoded - expected).max() <= 1  # another release of libjpeg-turbo may round otherwise


def test_a_damaged_jpeg_is_not_counted(jpegs: list[bytes]) -> None:
    decoder = limit.Decoder([jpegs[0][:100]], SIDE, 1, batch_size=1)
    with pytest.raises(RuntimeError, match="refuses a JPEG"):
        decoder.round(0.0)
