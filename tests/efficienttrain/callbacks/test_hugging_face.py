from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip("accelerate")
pytest.importorskip("transformers")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from transformers import ConvNextConfig, ConvNextForImageClassification, Trainer, TrainingArguments

from efficienttrain.callbacks import Curriculum, HuggingFaceCurriculum
from tests.efficienttrain.callbacks.setting import opened, positioned, short
from tests.efficienttrain.training.networks import Positioned

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


class Wrapped(torch.nn.Module):
    """A timm-like network with the signature that the Trainer calls."""

    def __init__(self) -> None:
        super().__init__()
        self.network: Positioned = positioned()

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.network(pixel_values)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


class Training(Trainer):
    """A user's Trainer; notes what it is given."""

    curriculum: Curriculum

    def get_train_dataloader(self) -> Any:
        return self.curriculum

    def training_step(self, model: Any, inputs: Any, *rest: Any) -> Tensor:
        self.seen.append((int(inputs["labels"].sum()), inputs["pixel_values"].shape[-1], self.rate()))
        loss = super().training_step(model, inputs, *rest)
        self.losses.append(loss.item())
        return loss

    def rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])


def run(photos: Path, folder: Path, network: Any = None, resume: bool = False, **options: Any) -> Training:
    model = Wrapped()
    accumulation = options.get("gradient_accumulation_steps", 1)
    inner = model.network if network is None else None
    curriculum = Curriculum(short(), opened(photos, collate="dict"), inner, size=64, accumulation=accumulation)
    arguments: dict[str, Any] = {
        "output_dir": str(folder), "num_train_epochs": curriculum.epochs, "learning_rate": 1e-2, "use_cpu": True,
        "ignore_data_skip": True, "report_to": "none", "disable_tqdm": True, "save_strategy": "steps", "save_steps": 8,
        "logging_strategy": "no", "max_grad_norm": 0.0, "weight_decay": 0.01,
    }  # fmt: skip
    training = Training(
        network or model,
        TrainingArguments(**{**arguments, **options}),
        callbacks=[HuggingFaceCurriculum(curriculum)],
    )
    training.curriculum, training.seen, training.losses = curriculum, [], []
    training.train(resume_from_checkpoint=resume)
    return training


def test_a_network_whose_positions_are_resized(jpeg_folder: Path, tmp_path: Path) -> None:
    whole = run(jpeg_folder, tmp_path / "whole", save_strategy="no")
    assert [side for _, side, _ in whole.seen] == [32] * 14 + [48] * 10 + [64] * 9
    rates = [rate for *_, rate in whole.seen]
    assert rates[0] == 0 and max(rates) == pytest.approx(1e-2) and rates[-1] < 2e-4

    run(jpeg_folder, tmp_path / "part", max_steps=20)  # a checkpoint after 16 steps, at 48 pixels
    with pytest.raises(ValueError, match="`ignore_data_skip` must be True to resume"):
        run(jpeg_folder, tmp_path / "part", resume=True, ignore_data_skip=False)
    resumed = run(jpeg_folder, tmp_path / "part", resume=True)
    first = len(whole.seen) - len(resumed.seen)
    assert first in (16, 20) and resumed.seen == whole.seen[first:]
    assert resumed.losses == whole.losses[first:]


def test_a_network_of_transformers(jpeg_folder: Path, tmp_path: Path) -> None:
    config = ConvNextConfig(hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], num_labels=3)
    training = run(
        jpeg_folder, tmp_path, ConvNextForImageClassification(config), save_strategy="no", gradient_accumulation_steps=2
    )
    sides = [side for _, side, _ in training.seen]
    assert sorted(sides) == sides and set(sides) == {32, 48, 64}
    assert len(sides) == training.curriculum.total == 2 * training.state.global_step


def test_accumulation_must_agree(jpeg_folder: Path, tmp_path: Path) -> None:
    curriculum = Curriculum(short(), opened(jpeg_folder), size=64)
    arguments = TrainingArguments(str(tmp_path), gradient_accumulation_steps=2, use_cpu=True, report_to="none")
    training = Training(Wrapped(), arguments, callbacks=[HuggingFaceCurriculum(curriculum)])
    training.curriculum = curriculum
    with pytest.raises(ValueError, match="must be the framework's gradient_accumulation_steps, 2, got 1"):
        training.train()
