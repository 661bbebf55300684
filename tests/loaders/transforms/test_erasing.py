from __future__ import annotations

import numpy as np
import pytest
import torch

from loaders.transforms import RandomErasing
from loaders.transforms import erasing as erase

SIDE = 48


def blank(count: int, channels: int = 3) -> torch.Tensor:
    return torch.full((count, channels, SIDE, SIDE), 9.0)  # noise never gets there


def test_noise_fills_the_boxes_and_nothing_else() -> None:
    indices, module = np.arange(64), RandomErasing()
    images = blank(64)
    assert module(images, indices, seed=0, epoch=0) is images
    row, box, key = module.draw(indices, SIDE, SIDE, seed=0, epoch=0)
    wanted = torch.zeros(64, SIDE, SIDE, dtype=torch.bool)
    for image, (top, left, high, wide) in zip(row, box, strict=True):
        wanted[image, top : top + high, left : left + wide] = True
    assert 5 < len(row) == len(set(key.tolist())) < 30
    assert torch.equal((images != 9).all(1), wanted) and torch.equal((images != 9).any(1), wanted)
    noise = images.permute(1, 0, 2, 3)[:, wanted]
    assert abs(noise.mean()) < 0.05 and abs(noise.std() - 1) < 0.05
    assert abs(np.corrcoef(noise.numpy())[0, 1]) < 0.05


@pytest.mark.parametrize("count", [1, 3])
def test_boxes_have_timms_distribution(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm.data.random_erasing")
    high, wide, n = 60, 40, 8000
    ours_all = RandomErasing(count=count)
    drawn = [ours_all.draw(np.arange(n), high, wide, seed=0, epoch=0, number=number) for number in range(count)]
    row, box = np.concatenate([d[0] for d in drawn]), np.concatenate([d[1] for d in drawn])
    theirs = []

    class Image:
        """Takes note of where timm writes."""

        def __setitem__(self, where: tuple[slice, ...], _: object) -> None:
            theirs.append((where[1].start, where[2].start, where[1].stop, where[2].stop))

    monkeypatch.setattr(timm, "_get_pixels", lambda *_, **__: None)
    timm.random.seed(0)
    module = timm.RandomErasing(0.25, mode="pixel", max_count=count, device="cpu")
    for _ in range(n):
        module._erase(Image(), 3, high, wide, torch.float32)
    rest = np.array(theirs)
    rest[:, 2:] -= rest[:, :2]
    assert abs(len(row) - len(rest)) < 200 * count
    assert (box[:, :2] + box[:, 2:] <= [high, wide]).all() and (box[:, 2:] < [high, wide]).all()
    parts = np.linspace(0.05, 0.95, 19)
    for what in (lambda b: b[:, 2], lambda b: b[:, 3], lambda b: b[:, 2] * b[:, 3] / 12, lambda b: b[:, 0]):
        np.testing.assert_allclose(np.quantile(what(box), parts), np.quantile(what(rest), parts), rtol=0.12, atol=2)
    ours, timms = (np.quantile(boxes[:, 0] / (high - boxes[:, 2]), parts) for boxes in (box, rest))
    np.testing.assert_allclose(ours, timms, atol=0.06)


def test_the_aspects_limits_are_timms() -> None:
    _, box, _ = RandomErasing(1.0, area=(0.1, 0.1)).draw(np.arange(3000), 2000, 2000, seed=0, epoch=0)
    aspects = box[:, 2] / box[:, 3]
    assert aspects.max() == pytest.approx(1 / 0.3, rel=5e-3) and aspects.min() == pytest.approx(0.3, rel=5e-3)


@pytest.mark.parametrize(("mode", "values"), [("const", 1), ("rand", 1), ("pixel", 100)])
def test_what_boxes_are_filled_with(mode: str, values: int) -> None:
    images, module = blank(32), RandomErasing(1.0, mode=mode)
    module(images, np.arange(32), seed=0, epoch=0)
    row, box, _ = module.draw(np.arange(32), SIDE, SIDE, seed=0, epoch=0)
    colours = set()
    for image, (top, left, high, wide) in zip(row, box, strict=True):
        for channel in images[image, :, top : top + high, left : left + wide]:
            assert len(channel.unique()) >= min(values, channel.numel()) and (values > 1 or len(channel.unique()) == 1)
            colours.add(float(channel[0, 0]))
    assert colours == {0.0} if mode == "const" else len(colours) == 3 * len(row)


def test_several_boxes_are_erased_and_the_first_is_as_alone() -> None:
    indices, several = np.arange(200), RandomErasing(1.0, count=3)
    drawn = [several.draw(indices, SIDE, SIDE, seed=0, epoch=0, number=number) for number in range(3)]
    counts = [len(row) for row, _, _ in drawn]
    assert 180 < counts[0] <= 200 and 110 < counts[1] < 160 and 40 < counts[2] < 95
    images = several(blank(200), indices, seed=0, epoch=0)
    wanted = torch.zeros(200, SIDE, SIDE, dtype=torch.bool)
    for row, box, _ in drawn:
        for image, (top, left, high, wide) in zip(row, box, strict=True):
            wanted[image, top : top + high, left : left + wide] = True
    assert torch.equal((images != 9).all(1), wanted)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"mode": "noise"}, "`mode` must be one of pixel, rand, const"), ({"count": 0}, "`count` must be from 1 to 100")],
)
def test_modes_and_counts_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomErasing(**options)


def test_a_sample_does_not_depend_on_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    indices, module = np.arange(64) * 1000, RandomErasing(0.6)
    whole = module(blank(64), indices, seed=1, epoch=2)
    picked = np.array([40, 3, 3, 63, 17])
    assert torch.equal(module(blank(5), indices[picked], seed=1, epoch=2), whole[picked])
    monkeypatch.setattr(erase, "CACHED", 8 * 100)  # other portions
    assert torch.equal(module(blank(64), indices, seed=1, epoch=2), whole)


def test_seed_epoch_and_index_each_matter_and_torchs_randomness_does_not() -> None:
    indices, module = np.arange(16), RandomErasing(1.0)
    state = torch.get_rng_state()
    first = module(blank(16), indices, seed=1, epoch=2)
    assert torch.equal(torch.get_rng_state(), state)
    for seed, epoch, shift in ((2, 2, 0), (1, 3, 0), (1, 2, 16)):
        assert not torch.equal(module(blank(16), indices + shift, seed=seed, epoch=epoch), first)
    assert torch.equal(module(blank(16), indices, seed=1, epoch=2), first)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_memory_format_and_dtype_are_kept(channels: int) -> None:
    indices, module = np.arange(16), RandomErasing(1.0)
    plain = module(blank(16, channels), indices, seed=0, epoch=0)
    last = blank(16, channels).contiguous(memory_format=torch.channels_last)
    assert torch.equal(module(last, indices, seed=0, epoch=0), plain)
    half = module(blank(16, channels).bfloat16(), indices, seed=0, epoch=0)
    assert torch.equal(half, plain.bfloat16())
    part = torch.full((16, channels, SIDE + 5, SIDE + 3), 9.0)
    module(part[:, :, 2:-3, :-3], indices, seed=0, epoch=0)
    assert torch.equal(part[:, :, 2:-3, :-3], plain) and (part[:, :, :2] == 9).all()


def test_nothing_to_erase() -> None:
    module = RandomErasing(0)
    assert torch.equal(module(blank(8), np.arange(8), seed=0, epoch=0), blank(8))
    assert module(blank(0), np.arange(0), seed=0, epoch=0).shape == (0, 3, SIDE, SIDE)
    row, box, _ = RandomErasing(1.0, area=(1, 1)).draw(np.arange(50), 20, 20, seed=0, epoch=0)
    assert len(row) == len(box) == 0  # one side or the other never fits


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probability": 2}, "`probability` must be from 0 to 1, got 2; the recipes use 0.25."),
        ({"area": (0.5, 0.2)}, "`area` must be two shares of the image, from above 0 to 1 and rising, got (0.5, 0.2)."),
        ({"aspect": (0, 1)}, "`aspect` must be two ratios above 0 and rising, got (0, 1)."),
        (
            {"images": torch.zeros(2, 3, 8, 8, dtype=torch.uint8)},
            "`images` must be floating-point, got torch.uint8; erase after normalising.",
        ),
        ({"images": torch.zeros(3, 8, 8)}, "`images` must be [N, C, H, W], got [3, 8, 8]."),
        ({"batch": np.arange(3)}, "`batch` must have a draw key for each image, [2], got [3]."),
    ],
)
def test_errors_say_rule_value_and_remedy(change: dict[str, object], message: str) -> None:
    batch = {"images": torch.zeros(2, 3, 8, 8), "batch": np.arange(2)}
    batch.update((name, change.pop(name)) for name in list(change) if name in batch)
    with pytest.raises(ValueError) as raised:
        RandomErasing(**change)(**batch, seed=0, epoch=0)
    assert str(raised.value) == message


@pytest.mark.gpu
def test_cuda_gives_the_cpus_bits_without_waiting() -> None:
    indices, module = np.arange(64), RandomErasing()
    on_device = blank(64).cuda()
    module(on_device.clone(), indices, seed=0, epoch=0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        module(on_device, indices, seed=0, epoch=1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(on_device.cpu(), module(blank(64), indices, seed=0, epoch=1))
