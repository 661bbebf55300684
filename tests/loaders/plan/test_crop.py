from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, RandomResizedCrop, Resize

from loaders.plan.crop import ATTEMPTS, eval_boxes, flips, train_boxes
from loaders.plan.rng import Purpose, words

# Usual photos, a square, and shapes for which all ten tries often fail.
SIZES = [(500, 375), (375, 500), (333, 333), (1600, 1200), (900, 300), (40, 2400), (17, 9), (2, 1), (1, 1)]


def boxes_of(width: int, height: int, count: int, seed: int = 0, epoch: int = 0) -> np.ndarray:
    return train_boxes(np.full(count, width), np.full(count, height), seed, epoch, np.arange(count))


def torchvision_boxes(width: int, height: int, count: int) -> np.ndarray:
    """[count, 4], x0, y0, x1, y1 as torchvision draws them."""
    image = Image.new("L", (width, height))
    crop = RandomResizedCrop(224)  # for its default scale and ratio
    params = [crop.get_params(image, list(crop.scale), list(crop.ratio)) for _ in range(count)]
    top, left, h, w = np.array(params).T
    return np.stack((left, top, left + w, top + h), axis=1)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_torchvision_fed_our_words_takes_our_boxes(width: int, height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 150
    tries = words(5, 6, np.arange(count), Purpose.CROP, 4 * ATTEMPTS).reshape(count, ATTEMPTS, 4).astype(float)

    def shapes(sample: int) -> Iterator[float]:
        for area, aspect, _, _ in tries[sample]:
            state["attempt"] += 1
            yield area
            yield aspect

    def uniform_(_: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return torch.tensor([float(low) + (float(high) - float(low)) * next(state["shapes"]) / 2**32])

    def randint(low: int, high: int, size: tuple[int]) -> torch.Tensor:
        state["offsets"] += 1  # torchvision draws the row first; our words are area, aspect, x, y
        word = tries[state["sample"], state["attempt"], 4 - state["offsets"]]
        return torch.full(size, low + word * (high - low) // 2**32)

    state: dict = {}
    monkeypatch.setattr(torch.Tensor, "uniform_", uniform_)
    monkeypatch.setattr(torch, "randint", randint)
    torch.set_default_dtype(torch.float64)
    try:
        expected = np.empty((count, 4))
        for sample in range(count):
            state.update(sample=sample, attempt=-1, offsets=0, shapes=shapes(sample))
            expected[sample] = torchvision_boxes(width, height, 1)[0]
    finally:
        torch.set_default_dtype(torch.float32)
    ours = train_boxes(np.full(count, width), np.full(count, height), 5, 6, np.arange(count))
    np.testing.assert_array_equal(ours, expected)


STATISTICS = ("area", "log ratio", "x", "y", "place of x in its range")


def statistics(boxes: np.ndarray, width: int) -> tuple[np.ndarray, ...]:
    x, y, w, h = *boxes[:, :2].T, *(boxes[:, 2:] - boxes[:, :2]).T
    return w * h, np.log(w / h), x, y, (x + 0.5) / (width - w + 1)


@pytest.mark.parametrize(("width", "height"), [(500, 375), (333, 500), (900, 300), (64, 64)])
def test_boxes_are_distributed_as_torchvisions(width: int, height: int) -> None:
    count = 3000
    ours = boxes_of(width, height, count)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = torchvision_boxes(width, height, count)
    for name, a, b in zip(STATISTICS, statistics(ours, width), statistics(theirs, width), strict=True):
        values = np.concatenate((a, b))
        gap = np.searchsorted(np.sort(a), values, "right") - np.searchsorted(np.sort(b), values, "right")
        # Two-sample Kolmogorov-Smirnov at 0.1 %; the seeds are fixed, so the verdict is too.
        assert np.abs(gap).max() / count < 1.95 * np.sqrt(2 / count), name


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_boxes_are_whole_pixels_inside_the_image(width: int, height: int) -> None:
    box = boxes_of(width, height, 500)
    assert box.dtype == np.float64
    assert (box == np.rint(box)).all()
    assert (box[:, :2] >= 0).all()
    assert (box[:, 2:] > box[:, :2]).all()
    assert (box[:, 2:] <= (width, height)).all()


def test_a_long_strip_falls_back_to_its_centre() -> None:
    assert (boxes_of(2400, 40, 50) == (1173, 0, 1226, 40)).all(axis=1).any()
    assert (boxes_of(40, 2400, 50) == (0, 1173, 40, 1226)).all(axis=1).any()


def test_a_box_depends_on_its_own_sample_only() -> None:
    rng = np.random.default_rng(0)
    widths, heights, indices = rng.integers(1, 600, (3, 200))
    together = train_boxes(widths, heights, 3, 4, indices)
    for row in range(0, 200, 20):
        one = slice(row, row + 1)
        assert (train_boxes(widths[one], heights[one], 3, 4, indices[one]) == together[one]).all()
    shuffled = rng.permutation(200)
    again = train_boxes(widths[shuffled], heights[shuffled], 3, 4, indices[shuffled])
    assert (again == together[shuffled]).all()
    assert train_boxes(widths[:0], heights[:0], 3, 4, indices[:0]).shape == (0, 4)


def test_seeds_and_epochs_give_other_boxes_and_flips() -> None:
    for other in ((1, 0), (0, 1)):
        same = (boxes_of(500, 375, 200) == boxes_of(500, 375, 200, *other)).all(axis=1)
        assert same.mean() < 0.05
        agree = flips(0, 0, np.arange(2000)) == flips(*other, np.arange(2000))
        assert 0.45 < agree.mean() < 0.55


def test_half_the_samples_are_flipped_whatever_their_box() -> None:
    flipped = flips(0, 0, np.arange(4000))
    assert flipped.dtype == np.uint8
    assert set(flipped) == {0, 1}
    assert abs(flipped.mean() - 0.5) < 3.3 * 0.5 / np.sqrt(4000)
    left = boxes_of(500, 375, 4000)[:, 0]
    assert abs(np.corrcoef(flipped, left)[0, 1]) < 3.3 / np.sqrt(4000)


@pytest.mark.parametrize("resolution", [96, 128, 160, 192, 224])
@pytest.mark.parametrize(("width", "height"), [(500, 375), (375, 500), (333, 500), (1000, 997), (2400, 40)])
def test_the_evaluation_box_is_torchvisions_resize_and_centre_crop(width: int, height: int, resolution: int) -> None:
    """On an image of pixel coordinates, whatever torchvision leaves says where it was taken from."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    resize = Resize(int(resolution / 0.875), InterpolationMode.BILINEAR, antialias=True)
    left = CenterCrop(resolution)(resize(torch.stack((x, y)))).numpy()

    x0, y0, x1, y1 = eval_boxes(np.array([width]), np.array([height]), resolution)[0]
    grid = (np.arange(resolution) + 0.5) / resolution
    for axis, (start, stop) in enumerate(((x0, x1), (y0, y1))):
        sampled = left[axis].mean(axis=axis)
        assert np.abs(start + grid * (stop - start) - sampled).max() < 0.08 * max(1, (stop - start) / resolution)


def test_the_evaluation_box_of_any_size_lies_inside() -> None:
    width, height = np.random.default_rng(0).integers(1, 300, (2, 3000))
    for resolution in (16, 96, 97, 224, 1024):
        box = eval_boxes(width, height, resolution)
        assert (box[:, :2] >= 0).all()
        assert (box[:, 2:] <= np.stack((width, height), axis=1)).all()
        assert (box[:, 2:] > box[:, :2]).all()


def test_the_evaluation_box_of_a_tiny_image_is_a_fraction_of_a_pixel() -> None:
    assert eval_boxes(np.array([1]), np.array([1]), 224).tolist() == [[16 / 256, 16 / 256, 240 / 256, 240 / 256]]
