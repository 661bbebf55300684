from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip("lightning")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lightning.pytorch import LightningModule, Trainer

from efficienttrain.callbacks import Curriculum, LightningCurriculum
from tests.efficienttrain.callbacks.setting import opened, positioned, short

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning:lightning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)


class Module(LightningModule):
    """As a user of Lightning writes it; notes the shapes and rates that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.network = positioned()
        self.seen: list[tuple[int, int, float]] = []
        self.losses: list[float] = []
        self.judged: list[int] = []

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:  # noqa: ARG002
        images, labels = batch
        loss = F.cross_entropy(self.network(images), labels)
        self.seen.append((int(labels.sum()), images.shape[-1], self.trainer.optimizers[0].param_groups[0]["lr"]))
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], number: int) -> None:  # noqa: ARG002
        self.network(batch[0])
        self.judged.append(batch[0].shape[-1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.network.parameters(), 1e-2)


def run(photos: Path, folder: Path, checkpoint: Path | None = None, **options: Any) -> tuple[Module, Trainer]:
    module, val = Module(), opened(photos, part="val", batch_size=3)
    accumulation = options.get("accumulate_grad_batches", 1)
    curriculum = Curriculum(short(), opened(photos), module.network, val=val, size=64, accumulation=accumulation)
    trainer = Trainer(
        max_epochs=curriculum.epochs, callbacks=[LightningCurriculum(curriculum)], accelerator="cpu", logger=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder, num_sanity_val_steps=0,
        **{"enable_checkpointing": False, **options},
    )  # fmt: skip
    trainer.fit(module, curriculum, val, ckpt_path=checkpoint, weights_only=False)
    return module, trainer


def test_the_whole_curriculum(jpeg_folder: Path, tmp_path: Path) -> None:
    module, trainer = run(jpeg_folder, tmp_path)
    sides = [side for _, side, _ in module.seen]
    assert sides == [32] * 14 + [48] * 10 + [64] * 9
    rates = [rate for *_, rate in module.seen]
    assert rates[0] == 0 and max(rates) == pytest.approx(1e-2) and rates[-1] < 2e-4
    assert module.judged == [32] * 2 + [48] * 2 + [64] * 2  # after each of three epochs, at the stage's size
    assert trainer.global_step == 33


@pytest.mark.parametrize("every", [11, 4])
def test_resuming_at_and_within_an_epoch(jpeg_folder: Path, tmp_path: Path, every: int) -> None:
    from lightning.pytorch.callbacks import ModelCheckpoint

    whole, _ = run(jpeg_folder, tmp_path / "whole")
    module, val = Module(), None
    saver = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=every, save_top_k=-1, filename="{step}")
    curriculum = Curriculum(short(), opened(jpeg_folder), module.network, size=64)
    options: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    callbacks = [LightningCurriculum(curriculum), saver]
    Trainer(max_steps=16, callbacks=callbacks, accelerator="cpu", default_root_dir=tmp_path, **options).fit(
        module, curriculum, val
    )
    step = 16 // every * every
    again, _ = run(jpeg_folder, tmp_path / "again", tmp_path / f"step={step}.ckpt")
    assert again.seen == whole.seen[step:]
    assert again.losses == whole.losses[step:]


def test_accumulation_must_agree(jpeg_folder: Path, tmp_path: Path) -> None:
    module = Module()
    curriculum = Curriculum(short(), opened(jpeg_folder), module.network, size=64)
    with pytest.raises(ValueError, match="must be the framework's accumulate_grad_batches, 2, got 1"):
        Trainer(
            accumulate_grad_batches=2, callbacks=[LightningCurriculum(curriculum)], accelerator="cpu", logger=False,
            enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
            default_root_dir=tmp_path,
        ).fit(module, curriculum)  # fmt: skip
