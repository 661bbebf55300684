"""A Loader in the real Lightning Trainer: every epoch new, and both kinds of checkpoint resume exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tests.frameworks.recorded import Network, epochs, make, text

L = pytest.importorskip("lightning")


def module() -> Any:
    class Module(L.LightningModule):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.network, self.seen = Network(), []

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            images, labels, indices = batch
            self.seen.append(text(images, indices))
            return F.cross_entropy(self.network(images), labels)

        def validation_step(self, batch: Any, _: int) -> None:
            self.validated = getattr(self, "validated", 0) + len(batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.1)

    return Module()


def trainer(folder: Path, **options: Any) -> Any:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return L.Trainer(default_root_dir=folder, **{**quiet, "max_epochs": 3, **options})


def test_every_epoch_is_new_and_evaluation_sees_every_image(beton: Path, tmp_path: Path) -> None:
    made = module()
    run = trainer(tmp_path, enable_checkpointing=False, num_sanity_val_steps=0)
    run.fit(made, make(beton), make(beton, train=False))
    assert made.seen == epochs(beton, 0, 1, 2)
    assert made.validated == 3 * 24


def test_seeded_workers(beton: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_SEED_WORKERS", "1")  # as `seed_everything(workers=True)`: it sets `worker_init_fn`
    made = module()
    trainer(tmp_path, enable_checkpointing=False, max_epochs=1).fit(made, make(beton), make(beton, train=False))
    assert made.seen == epochs(beton, 0)


@pytest.mark.parametrize("real", [False, True])
def test_overfitting_a_few_batches_in_order(beton: Path, tmp_path: Path, real: bool) -> None:
    def fit(**options: Any) -> list[str]:
        made, loader = module(), make(beton, **options)
        run = trainer(tmp_path, enable_checkpointing=False, overfit_batches=2, max_epochs=2)
        run.fit(made, loader.as_dataloader() if real else loader, make(beton, train=False))
        return [seen.split("]")[0] for seen in made.seen]

    assert fit(shuffle=False) == ["[0, 1, 2, 3, 4", "[5, 6, 7, 8, 9"] * 2
    if real:  # as docs/loader.md says
        assert len(set(fit())) == 4
    else:
        with pytest.raises(ValueError, match="needs to subclass"):
            fit()


@pytest.mark.parametrize("steps", [4, 6, 8])
def test_checkpoints_resume_to_the_batches_an_uninterrupted_run_sees(beton: Path, tmp_path: Path, steps: int) -> None:
    from lightning.pytorch.callbacks import ModelCheckpoint

    saving = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=2, save_top_k=-1)
    trainer(tmp_path, callbacks=[saving]).fit(module(), make(beton))
    resumed = module()
    trainer(tmp_path, enable_checkpointing=False).fit(
        resumed, make(beton), ckpt_path=str(tmp_path / f"step={steps}.ckpt"), weights_only=False
    )
    assert resumed.seen == epochs(beton, 0, 1, 2)[steps:]


def test_fabric_trains_without_setup_dataloaders(beton: Path) -> None:
    from lightning.fabric import Fabric

    fabric, network, seen = Fabric(accelerator="cpu", devices=1), Network(), []
    network, optimizer = fabric.setup(network, torch.optim.SGD(network.parameters(), 0.1))
    loader = make(beton, device=str(fabric.device))
    for _ in range(2):
        for images, labels, indices in loader:
            fabric.backward(F.cross_entropy(network(images), labels))
            optimizer.step()
            seen.append(text(images, indices))
    assert seen == epochs(beton, 0, 1)
    with pytest.raises(TypeError, match="Only PyTorch DataLoader"):  # as docs/loader.md says
        fabric.setup_dataloaders(loader)


def test_fabric_takes_the_real_dataloader(beton: Path) -> None:
    fabric = L.Fabric(accelerator="cpu", devices=1)
    with make(beton) as loader, make(beton) as other:
        prepared = fabric.setup_dataloaders(loader.as_dataloader())
        for _ in range(2):  # epochs 0 and 1
            shown = [text(images, indices) for images, _, indices in prepared]
            assert shown == [text(images, indices) for images, _, indices in other]
