"""A Loader in the loops of timm's `train.py` and of torchvision's classification reference."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.nn import functional as F

from loaders import Loader
from tests.frameworks.recorded import Network, epochs, make, text


@pytest.fixture(scope="module")
def timm() -> ModuleType:
    pytest.importorskip("timm.utils")
    return pytest.importorskip("timm.data")


@pytest.mark.parametrize("prefetcher", [True, False])
def test_timms_train_one_epoch_with_mixup(timm: ModuleType, beton: Path, prefetcher: bool) -> None:
    """As `train.py`: it leaves mixing to its own prefetcher, which a Loader is not; without one, the loop mixes."""
    from timm.utils import AverageMeter

    network, seen = Network(), []
    mixup = None if prefetcher else timm.Mixup(0.8, 1.0, num_classes=3)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    loader, losses = make(beton, batch_size=4), AverageMeter()
    for epoch in range(3):
        if hasattr(loader.sampler, "set_epoch"):
            loader.sampler.set_epoch(epoch)
        if epoch >= 2:  # `--mixup-off-epoch 2`
            if prefetcher and loader.mixup_enabled:
                loader.mixup_enabled = False
            elif mixup is not None:
                mixup.mixup_enabled = False
        steps = 0
        for images, labels, indices in loader:
            seen.append(text(images, indices))
            targets = labels
            if mixup is not None:
                images, targets = mixup(images, labels)
                assert targets.shape == (4, 3)
            loss = F.cross_entropy(network(images), targets)
            loss.backward()
            optimizer.step()
            losses.update(loss.item(), images.size(0))
            steps += 1
        assert steps == len(loader) == 6
    assert losses.count == 3 * 24
    assert not loader.mixup_enabled
    assert seen == epochs(beton, 0, 1, 2, batch_size=4)


def test_timms_validate(beton: Path) -> None:
    timm = pytest.importorskip("timm.utils")
    network, top1 = Network().eval(), timm.AverageMeter()
    loader = make(beton, train=False)
    with torch.inference_mode():
        for images, labels, _ in loader:
            (score,) = timm.accuracy(network(images), labels, topk=(1,))
            top1.update(score.item(), images.size(0))
    assert top1.count == 24 == len(loader.dataset)


def train_one_epoch(network: Network, optimizer: torch.optim.Optimizer, loader: Loader, epoch: int) -> list[str]:
    """The data path of torchvision's references/classification/train.py."""
    loader.sampler.set_epoch(epoch)
    seen = []
    for images, labels, indices in loader:
        loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(text(images, indices))
    return seen


def evaluate(network: Network, loader: Loader) -> int:
    """The same file's `evaluate`, which warns where the samples seen are not those of the data set."""
    processed = 0
    with torch.inference_mode():
        for images, labels, _ in loader:
            F.cross_entropy(network(images), labels)
            processed += images.shape[0]
    if hasattr(loader.dataset, "__len__") and len(loader.dataset) != processed:
        raise AssertionError(f"the data set has {len(loader.dataset)} samples, {processed} were used")
    return processed


def test_torchvisions_reference(beton: Path) -> None:
    network = Network()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    loader, test_loader = make(beton), make(beton, train=False)
    assert len(loader.dataset.classes) == 3
    for epoch in (5, 6):  # as `--start-epoch 5`
        assert train_one_epoch(network, optimizer, loader, epoch) == epochs(beton, epoch)
        assert evaluate(network, test_loader) == 24
