from __future__ import annotations

import torch

from efficienttrain.pretraining.masked_train_state import draw_mask
from efficienttrain.pretraining.masking import Masking


def test_every_patch_is_shown_or_hidden() -> None:
    mask = draw_mask(seed=1, step=5, first=0, samples=64, patches=36, visible=Masking().visible(36))
    assert (mask.visible.shape, mask.hidden.shape) == ((64, 9), (64, 27))
    both = torch.cat(mask, dim=1).sort(dim=1).values
    assert torch.equal(both, torch.arange(36).expand(64, -1))
    assert len({tuple(row.tolist()) for row in mask.visible}) == 64  # a mask for each sample


def test_micro_batches_change_no_mask() -> None:
    whole = draw_mask(3, 7, 0, 12, 16, 4)
    parts = [draw_mask(3, 7, first, 4, 16, 4) for first in (0, 4, 8)]
    assert torch.equal(torch.cat([part.visible for part in parts]), whole.visible)


def test_every_step_and_seed_hides_others() -> None:
    first, later, other = (draw_mask(seed, step, 0, 8, 64, 16).visible for seed, step in ((0, 0), (0, 1), (1, 0)))
    assert not torch.equal(first, later)
    assert not torch.equal(first, other)


def test_patches_are_hidden_alike() -> None:
    seen = draw_mask(0, 0, 0, 4000, 16, 4).visible.flatten().bincount(minlength=16)
    assert seen.min() > 880  # 1000 expected, deviation 27
    assert seen.max() < 1120
