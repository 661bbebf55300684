from __future__ import annotations

import math
from types import ModuleType

import numpy as np
import pytest
import torch

from loaders.transforms import Mixup
from loaders.transforms.mix import beta, rectangle


@pytest.fixture(scope="module")
def timm() -> ModuleType:
    return pytest.importorskip("timm.data.mixup")


def batch(count: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.standard_normal((count, 3, 24, 32), np.float32))
    return images, torch.from_numpy(rng.integers(0, 10, count))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("cuts", [False, True])
def test_the_same_draw_gives_timms_batch(
    timm: ModuleType, cuts: bool, smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Mixup(switch_prob=float(cuts), label_smoothing=smoothing, num_classes=10)
    images, labels = batch()
    kept = images.clone()
    for number in range(4):
        share, box = ours.draw(number, 24, 32, seed=0, epoch=0)
        made, targets = ours(images, labels, number, seed=0, epoch=0)
        theirs = timm.Mixup(0.8, 1.0, switch_prob=float(cuts), label_smoothing=smoothing, num_classes=10)
        monkeypatch.setattr(theirs, "_params_per_batch", lambda share=share: (share, cuts))
        if box is not None:
            sides = [side for part in box for side in (part.start, part.stop)]
            monkeypatch.setattr(timm, "rand_bbox", lambda *_, sides=sides, **__: sides)
        wanted, soft = theirs(images.clone(), labels)
        assert (box is not None) == cuts
        torch.testing.assert_close(made, wanted)
        torch.testing.assert_close(targets, soft)
        torch.testing.assert_close(targets.sum(1), torch.ones(6))
    assert torch.equal(images, kept)


@pytest.mark.parametrize(("share", "centre"), [(0.75, (12, 16)), (0.75, (0, 31)), (0.0, (5, 5)), (1.0, (12, 16))])
def test_boxes_are_timms(
    timm: ModuleType, share: float, centre: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    coming = iter(centre)
    monkeypatch.setattr(timm.np.random, "randint", lambda *_, **__: next(coming))
    top, bottom, left, right = timm.rand_bbox((3, 24, 32), share)  # of even sides
    assert rectangle(24, 32, share, *centre) == (slice(top, bottom), slice(left, right))


def test_odd_boxes_are_one_pixel_shorter_as_in_the_released_code() -> None:
    assert rectangle(24, 24, 0.5, 12, 12) == (slice(4, 20), slice(4, 20))
    rows, columns = rectangle(30, 30, 0.75, 15, 1)  # 15 pixels a side
    assert (rows.stop - rows.start, columns) == (14, slice(0, 8))


@pytest.mark.parametrize("mode", ["elem", "pair"])
@pytest.mark.parametrize("count", [6, 8])
def test_the_same_draws_give_timms_batch_image_by_image(
    timm: ModuleType, mode: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Mixup(prob=0.8, mode=mode, num_classes=10)
    theirs = timm.Mixup(0.8, 1.0, label_smoothing=0.1, mode=mode, num_classes=10)
    images, labels = batch(count)
    seen = set()
    for number in range(6):
        drawn = ours.draw_each(number, count, 24, 32, seed=0, epoch=0)
        made, targets = ours(images, labels, number, seed=0, epoch=0)
        shares = np.array([share for share, _ in drawn], np.float32)
        boxes = iter([[side for part in box for side in (part.start, part.stop)] for _, box in drawn if box])
        cuts = np.array([box is not None for _, box in drawn])
        params = (shares[: count // 2], cuts[: count // 2]) if mode == "pair" else (shares, cuts)
        monkeypatch.setattr(theirs, "_params_per_elem", lambda _, params=params: (params[0].copy(), params[1]))
        monkeypatch.setattr(timm, "rand_bbox", lambda *_, boxes=boxes, **__: next(boxes))
        wanted, soft = theirs(images.clone(), labels)
        torch.testing.assert_close(made, wanted)
        torch.testing.assert_close(targets, soft)
        seen |= {bool(cut) for cut in cuts} | {share == 1.0 for share in shares.tolist()}
    assert seen == {True, False}


def test_the_odd_one_in_the_middle_stays_as_it_is() -> None:
    images, labels = batch(5)
    made, targets = Mixup(mode="pair", label_smoothing=0.0, num_classes=10)(images, labels, 0, seed=0, epoch=0)
    assert torch.equal(made[2], images[2]) and targets[2, labels[2]] == 1
    with pytest.raises(ValueError, match="`mode` must be one of batch, pair, elem, got 'half'"):
        Mixup(mode="half", num_classes=10)


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.8, 1.0, 2.0, 30.0, 100.0])
def test_beta_is_the_distributions_quantile(alpha: float) -> None:
    levels = (np.arange(4000) + 0.5) / 4000
    ours = np.array([beta(level, alpha) for level in levels])
    assert (np.diff(ours) >= 0).all() and ours[0] >= 0 and ours[-1] <= 1
    np.testing.assert_allclose(ours + ours[::-1], 1, atol=1e-12)
    theirs = np.sort(np.random.default_rng(0).beta(alpha, alpha, 400_000))
    low = slice(2000)  # the rest mirrors it, and may round to 1
    assert np.abs(np.searchsorted(theirs, ours[low]) / len(theirs) - levels[low]).max() < 0.005
    np.testing.assert_allclose(ours.var(), 1 / (4 * (2 * alpha + 1)), rtol=2e-3)


def test_beta_where_it_is_known() -> None:
    for level in (0.0, 1e-6, 0.3, 0.5, 0.999):
        assert beta(level, 1.0) == pytest.approx(level, abs=1e-9)  # uniform
        assert beta(level, 0.5) == pytest.approx(np.sin(np.pi * level / 2) ** 2, abs=1e-6)  # the arcsine law


def test_draws_have_timms_distribution() -> None:
    module = Mixup(prob=0.8, num_classes=10)
    drawn = [module.draw(number, 24, 24, seed=0, epoch=0) for number in range(4000)]
    cut = [share for share, box in drawn if box is not None]
    mixed = [share for share, box in drawn if box is None and share < 1]
    assert abs(len(cut) / 4000 - 0.4) < 0.03 and abs(len(mixed) / 4000 - 0.4) < 0.03
    assert abs(np.mean(mixed) - 0.5) < 0.03 and abs(np.std(mixed) - np.sqrt(1 / 10.4)) < 0.02
    rows = np.array([[part.start + part.stop for part in box] for _, box in drawn if box is not None])
    assert np.abs(rows.mean(0) / 2 - 12).max() < 0.5


def test_either_may_be_off_and_smoothing_stays() -> None:
    images, labels = batch(5)
    for options in ({"prob": 0.0}, {"mixup_alpha": 0.0, "cutmix_alpha": 0.0}):
        made, targets = Mixup(**options, num_classes=10)(images, labels, 0, seed=0, epoch=0)
        assert made is images
        torch.testing.assert_close(targets, torch.nn.functional.one_hot(labels, 10) * 0.9 + 0.01)
    only_cut, only_mix = Mixup(0.0, 1.0, num_classes=10), Mixup(0.8, 0.0, num_classes=10)
    for number in range(20):
        assert only_cut.draw(number, 24, 24, seed=0, epoch=0)[1] is not None
        assert only_mix.draw(number, 24, 24, seed=0, epoch=0)[1] is None


def test_seed_epoch_and_batch_each_matter_and_torchs_randomness_does_not() -> None:
    images, labels = batch()
    module = Mixup(num_classes=10)
    state = torch.get_rng_state()
    first = module(images, labels, 3, seed=1, epoch=2)[0]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(module(images, labels, 3, seed=1, epoch=2)[0], first)
    for number, seed, epoch in ((4, 1, 2), (3, 2, 2), (3, 1, 3)):
        assert not torch.equal(module(images, labels, number, seed=seed, epoch=epoch)[0], first)


def test_half_precision_and_channels_last_are_kept() -> None:
    images, labels = batch()
    images = images.bfloat16().contiguous(memory_format=torch.channels_last)
    for cuts in (0.0, 1.0):
        made, targets = Mixup(switch_prob=cuts, num_classes=10)(images, labels, 0, seed=0, epoch=0)
        assert made.dtype == torch.bfloat16 and made.is_contiguous(memory_format=torch.channels_last)
        assert targets.dtype == torch.float32


@pytest.mark.parametrize("mode", ["batch", "elem"])
@pytest.mark.parametrize("cuts", [0.0, 1.0])
def test_gradients_reach_both_partners(mode: str, cuts: float) -> None:
    images, labels = batch()
    images.requires_grad_()
    made, _ = Mixup(switch_prob=cuts, mode=mode, num_classes=10)(images, labels, 0, seed=0, epoch=0)
    made.sum().backward()
    assert images.grad is not None and images.grad.sum().item() == pytest.approx(images.numel(), rel=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mixup_alpha": -1}, "`mixup_alpha` must be from 0 (off) to 100, got -1."),
        ({"switch_prob": 1.5}, "`switch_prob` must be from 0 to 1, got 1.5."),
        ({"num_classes": 0}, "`num_classes` must be 1 or more, got 0."),
        (
            {"images": torch.zeros(2, 3, 8, 8, dtype=torch.uint8)},
            "`images` must be floating-point [N, C, H, W], got torch.uint8 [2, 3, 8, 8]; mix last.",
        ),
        (
            {"labels": torch.zeros(3).long()},
            "`labels` must be int64 [2] or floating-point [2, ...], one per image, got torch.int64 [3].",
        ),
        (
            {"labels": torch.zeros(3)},
            "`labels` must be int64 [2] or floating-point [2, ...], one per image, got torch.float32 [3].",
        ),
    ],
)
def test_errors_say_rule_value_and_remedy(change: dict[str, object], message: str) -> None:
    given = {"images": torch.zeros(2, 3, 8, 8), "labels": torch.zeros(2).long()}
    given.update((name, change.pop(name)) for name in list(change) if name in given)
    with pytest.raises(ValueError) as raised:
        Mixup(**{"num_classes": 10, **change})(**given, batch=0, seed=0, epoch=0)
    assert str(raised.value) == message


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
@pytest.mark.parametrize("sides", [(), (1,), (10,)])
def test_targets_are_mixed_as_the_images_are(mode: str, sides: tuple[int, ...]) -> None:
    module, (images, labels) = Mixup(cutmix_alpha=0, label_smoothing=0, mode=mode, num_classes=10), batch()
    numbers = torch.arange(6.0 * math.prod(sides)).view(6, *sides)
    for number in range(4):
        mixed, made = module(images, numbers, number, seed=0, epoch=0)
        _, soft = module(images, labels, number, seed=0, epoch=0)
        wanted = torch.tensor([float(row[label]) for row, label in zip(soft, labels, strict=True)])
        away = labels != labels.flip(0)  # there, the share of an image is that of its class
        share = wanted.view(-1, *[1] * len(sides))
        torch.testing.assert_close(made[away], (numbers * share + numbers.flip(0) * (1 - share))[away])
        assert not torch.equal(mixed, images)
    assert away.any()


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_an_empty_batch(mode: str) -> None:
    mixed, targets = Mixup(num_classes=3, mode=mode)(
        torch.zeros(0, 3, 8, 8), torch.zeros(0, dtype=torch.int64), 0, seed=1, epoch=0
    )
    assert mixed.shape == (0, 3, 8, 8) and targets.shape == (0, 3)


def test_targets_are_not_smoothed() -> None:
    with pytest.raises(ValueError, match="`label_smoothing` is for classes, must be 0 for floating-point targets"):
        Mixup(num_classes=10)(batch()[0], torch.zeros(6), 0, seed=0, epoch=0)


@pytest.mark.gpu
def test_cuda_gives_the_cpus_values_without_waiting() -> None:
    images, labels = batch()
    module, there = Mixup(num_classes=10), (images.cuda(), labels.cuda())
    torch.cuda.set_sync_debug_mode("error")
    try:
        made = [module(*there, number, seed=0, epoch=0) for number in range(6)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for number, (mixed, targets) in enumerate(made):
        wanted, soft = module(images, labels, number, seed=0, epoch=0)
        torch.testing.assert_close(mixed.cpu(), wanted)
        torch.testing.assert_close(targets.cpu(), soft)
