from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from efficienttrain.models import build
from efficienttrain.training.choose_objective import choose
from efficienttrain.training.distributed import Ranks
from efficienttrain.training.evaluate import evaluate, resized, score
from loaders import Loader
from tests.efficienttrain.training.networks import positioned

ALONE = Ranks(0, 1, torch.device("cpu"))


class Always(nn.Module):
    """Votes for class 0, then 1, then 2; knows the size it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor([2.0, 1.0, 0.0]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.bias.expand(len(images), 3)


@pytest.mark.parametrize("batch_size", [1, 4, 6])
def test_every_image_counts_once(jpeg_folder: Path, batch_size: int) -> None:
    with Loader(jpeg_folder / "val", train=False, drop_last=False, num_workers=1, batch_size=batch_size) as loader:
        found = score(Always(), loader, choose(loader), 32, ALONE)
        again = score(Always(), loader, choose(loader), 48, ALONE)
    assert found == again
    assert (found.images, found.total["top1"], found.total["top5"]) == (6, pytest.approx(1 / 3), pytest.approx(2 / 3))
    wanted = nn.functional.cross_entropy(torch.tensor([[2.0, 1.0, 0.0]] * 3), torch.arange(3))
    assert found.total["loss"] == pytest.approx(wanted.item())


def test_both_sizes_and_the_average(jpeg_folder: Path) -> None:
    torch.manual_seed(0)
    model, average = positioned(3, 32), positioned(3, 32)
    with Loader(jpeg_folder / "val", train=False, drop_last=False, num_workers=1) as loader:
        found = evaluate([model, average], loader, choose(loader), 32, 64, ALONE)
        assert found["top1_stage"] == score(model, loader, choose(loader), 32, ALONE).total["top1"]
        assert found["loss"] == score(resized(model, 64), loader, choose(loader), 64, ALONE).total["loss"]
        assert found["ema_top1"] == score(resized(average, 64), loader, choose(loader), 64, ALONE).total["top1"]
    assert model.pos_embed.shape[1] == 16  # the network itself keeps its size


def test_a_compiled_network_is_evaluated_uncompiled() -> None:
    model = build("vit_tiny_patch16_224", num_classes=3, resolution=32)
    model.compile()
    assert resized(model, 64)._compiled_call_impl is None
