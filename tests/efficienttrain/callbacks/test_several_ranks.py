"""A network whose parameters change their shape, on two real ranks under DistributedDataParallel that is made once."""

from __future__ import annotations

import os
import socket
import warnings
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from efficienttrain.callbacks import Curriculum
from efficienttrain.callbacks.several_ranks import changing, hide
from tests.efficienttrain.callbacks.setting import opened, positioned, short

SIZES = (32, 48, 64)


class Holder(nn.Module):
    """A module of the user's around the network."""

    def __init__(self) -> None:
        super().__init__()
        self.network = positioned(dist.get_rank())  # other weights on each rank, until they are made equal

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images)


def plain(photos: Path, wrapped: bool) -> dict[str, Any]:
    """Trains by DDP that is made once, or by averaging all gradients by hand."""
    holder = Holder()
    curriculum = Curriculum(short(2.0), opened(photos), holder.network, size=64, accumulation=2)
    curriculum.hand_over()
    if wrapped:
        curriculum.before_wrapping(holder)
        curriculum.check_framework(2, 2, "accumulation")
    else:
        for parameter in holder.parameters():
            dist.broadcast(parameter.data, 0)
    # The test's network has an idle norm.
    net: nn.Module = DistributedDataParallel(holder, find_unused_parameters=True) if wrapped else holder
    optimizer = torch.optim.AdamW(holder.parameters(), 1e-2)
    curriculum.use_optimizer(optimizer)
    seen: list[int] = []
    for images, labels in chain.from_iterable(curriculum for _ in range(curriculum.epochs)):
        if len(seen) % 2 == 0:
            curriculum.before_step()
            optimizer.zero_grad()
        (F.cross_entropy(net(images), labels) / 2).backward()
        seen.append(images.shape[-1])
        if len(seen) % 2 == 0:
            if not wrapped:
                for parameter in (each for each in holder.parameters() if each.grad is not None):
                    dist.all_reduce(parameter.grad)
                    parameter.grad /= 2
            optimizer.step()
            curriculum.after_step(2)
    return {"seen": seen, "weights": holder.state_dict()}


def lightning(photos: Path, folder: Path) -> dict[str, Any]:
    """The same by Lightning, which makes the process group and the wrapper."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lightning.pytorch import Trainer

        from efficienttrain.callbacks import LightningCurriculum
        from tests.efficienttrain.callbacks.test_in_lightning import Module

        module = Module()
        curriculum = Curriculum(short(2.0), opened(photos), module.network, size=64)
        alone = len(curriculum)
        options: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
        trainer = Trainer(
            max_epochs=curriculum.epochs, accelerator="cpu", devices=2, strategy="ddp_find_unused_parameters_true",
            callbacks=[LightningCurriculum(curriculum)], default_root_dir=folder, use_distributed_sampler=False,
            enable_checkpointing=False, **options,
        )  # fmt: skip
        trainer.fit(module, curriculum)
    shapes = [side for _, side, _ in module.seen]
    return {"seen": shapes, "alone": alone, "both": len(curriculum), "weights": module.network.state_dict()}


def work(rank: int, port: int, photos: Path, out: Path, with_lightning: bool) -> None:
    """One rank's process."""
    torch.set_num_threads(1)
    names = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    os.environ |= {name: str(value) for name, value in names.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "CUDA_VISIBLE_DEVICES": ""}
    os.environ["TORCHELASTIC_RUN_ID"] = "here"
    found = {"lightning": lightning(photos, out)} if with_lightning else {}
    if not dist.is_initialized():
        dist.init_process_group("gloo")
    try:
        found |= {name: plain(photos, wrapped) for name, wrapped in (("hidden", True), ("by hand", False))}
        torch.save(found, out / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
    os._exit(0)  # as in tests/frameworks/test_two_ranks.py


@pytest.fixture(scope="module")
def found(jpeg_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of the two ranks ended with."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = tmp_path_factory.mktemp("ranks")
    mp.spawn(work, (port, jpeg_folder, out, find_spec("lightning") is not None), nprocs=2)
    return [torch.load(out / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.slow
def test_gradients_are_those_averaged_by_hand(found: list[dict[str, Any]]) -> None:
    assert sorted(set(found[0]["hidden"]["seen"])) == list(SIZES)
    for rank in found:
        assert rank["hidden"]["seen"] == rank["by hand"]["seen"]
        for name, wanted in found[0]["by hand"]["weights"].items():
            torch.testing.assert_close(rank["hidden"]["weights"][name], wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_lightning_on_two_ranks(found: list[dict[str, Any]]) -> None:
    pytest.importorskip("lightning")
    first, second = (rank["lightning"] for rank in found)
    assert sorted(set(first["seen"])) == list(SIZES) and first["seen"] == second["seen"]
    assert first["alone"] > first["both"] == len(first["seen"]) // 2  # two ranks share the images of each epoch
    for name, weight in first["weights"].items():
        torch.testing.assert_close(second["weights"][name], weight, atol=1e-6, rtol=1e-5)


def test_what_changes_its_shape() -> None:
    assert changing(positioned(), SIZES) == ["pos_embed"]
    with pytest.raises(ValueError, match="must be a part of the module that is trained"):
        hide(nn.Linear(1, 1), positioned(), ["pos_embed"])
