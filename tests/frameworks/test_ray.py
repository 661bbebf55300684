"""A Loader through Ray Train's real `prepare_data_loader`, on rank 1 of 2; Ray's session alone is a stand-in."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.frameworks.recorded import epochs, make, text

utils = pytest.importorskip("ray.train.torch.train_loop_utils")
PLACE = {"rank": 1, "world_size": 2, "batch_size": 4}


@pytest.mark.slow  # importing Ray Train takes its time
def test_prepare_data_loader_keeps_the_batches_and_the_rank(beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "local")  # not another program's cluster, which may have ended
    monkeypatch.setattr(utils, "session", SimpleNamespace(get_world_size=lambda: 2, get_world_rank=lambda: 1))
    accelerator = utils._TorchAccelerator()
    for owner in (utils, accelerator):
        monkeypatch.setattr(owner, "get_device", lambda *_: torch.device("cpu"), raising=False)
    given = make(beton, **PLACE)
    assert accelerator.prepare_data_loader(given, move_to_device=False) is given  # not rebuilt
    wrapped = accelerator.prepare_data_loader(given)  # moves batches to the device
    wrapped.sampler.set_epoch(3)
    seen = [text(images, indices) for images, _, indices in wrapped]
    seen += [text(images, indices) for images, _, indices in wrapped]
    assert len(wrapped) == 3 and seen == epochs(beton, 3, 4, **PLACE)
