from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools import synth


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.jpg"))
    }


def job(label: int = 0, number: int = 0, seed: int = 0, split: int = 0) -> synth.Job:
    return synth.Job("", seed, split, label, number, 10, (200, 240))


def test_layout_is_an_image_folder(jpeg_folder: Path) -> None:
    assert sorted(path.name for path in (jpeg_folder / "train").iterdir()) == ["class000", "class001", "class002"]
    assert len(list(jpeg_folder.glob("train/*/*.jpg"))) == 24
    assert len(list(jpeg_folder.glob("val/*/*.jpg"))) == 6
    for path in jpeg_folder.rglob("*.jpg"):
        with Image.open(path) as image:
            assert image.format == "JPEG" and image.mode == "RGB"
            assert 96 <= max(image.size) <= 160
            image.load()


def test_same_seed_same_bytes_for_any_workers_and_count(jpeg_folder: Path, tmp_path: Path) -> None:
    more = synth.write(tmp_path / "more", classes=3, per_class=9, val_per_class=2, size=(96, 160), workers=2)
    ours, theirs = digests(jpeg_folder), digests(more)
    assert set(theirs) - set(ours) == {f"train/class{label:03d}/000008.jpg" for label in range(3)}
    assert {name: theirs[name] for name in ours} == ours


def test_every_key_word_makes_another_picture() -> None:
    pictures = [job(), job(number=1), job(label=1), job(seed=1), job(split=1)]
    assert len({synth.picture(one)[0].tobytes() for one in pictures}) == len(pictures)


def test_power_falls_as_in_photographs() -> None:
    # Photographs' power falls about as f^-2 (an exponent of 1.5 to 3.5 is seen); white noise has exponent 0.
    rng = np.random.Generator(np.random.Philox(key=[0, 0]))
    light = np.mean([synth.background(rng, 256, 256).mean(axis=0) for _ in range(4)], axis=0)
    power = np.abs(np.fft.fft2(light)) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)) * 256
    bands = [power[(frequency >= low) & (frequency < 2 * low)].mean() for low in (4, 8, 16, 32)]
    exponents = np.diff(np.log2(bands))
    assert np.all(exponents < -1.5) and np.all(exponents > -3.5)


def test_the_long_side_and_the_encoding_vary() -> None:
    made = [synth.picture(job(number=number)) for number in range(40)]
    assert {max(pixels.shape) for pixels, _, _ in made} <= set(range(200, 241))
    assert len({pixels.shape for pixels, _, _ in made}) > 20
    assert {sampling for _, _, sampling in made} == {"4:2:0", "4:2:2", "4:4:4"}
    assert 90 < np.mean([quality for _, quality, _ in made]) < 94


def test_pairs_share_a_hue_and_neighbours_do_not() -> None:
    def hue(label: int) -> float:
        angles = []
        for number in range(6):
            image = Image.fromarray(synth.picture(job(label, number))[0]).convert("HSV")
            shade, depth, _ = np.moveaxis(np.asarray(image, dtype=float), 2, 0)
            angles.append(np.exp(2j * np.pi * shade[depth > 150] / 255))
        return float(np.angle(np.concatenate(angles).mean()))

    def apart(one: int, two: int) -> float:
        return float(abs(np.angle(np.exp(1j * (hue(one) - hue(two))))))

    assert apart(2, 3) < 0.4 < apart(2, 4)


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="new folder"):
        synth.write(tmp_path, workers=1)


@pytest.mark.parametrize(
    "wrong", [{"classes": 0}, {"per_class": 0}, {"val_per_class": -1}, {"size": (100, 90)}, {"seed": -1}]
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        synth.write(tmp_path / "new", workers=1, **wrong)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
