"""A Loader in the real Hugging Face Trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from loaders import Loader
from tests.frameworks.recorded import Network, epochs, make, text

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")


class Model(nn.Module):
    """Takes the dictionaries that `collate="dict"` gives."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.seen = Network(), []

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor, index: torch.Tensor) -> dict[str, Any]:
        if self.training:
            self.seen.append(text(pixel_values, index))
        logits = self.network(pixel_values)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def trainer(folder: Path, beton: Path, **options: Any) -> Any:
    class OurTrainer(transformers.Trainer):  # type: ignore[name-defined, misc]
        def get_train_dataloader(self) -> Loader:
            return self.accelerator.prepare(make(beton, collate="dict"))

        def get_eval_dataloader(self, _: Any = None) -> Loader:
            return self.accelerator.prepare(make(beton, collate="dict", train=False))

        get_test_dataloader = get_eval_dataloader

    quiet = {"report_to": [], "disable_tqdm": True, "logging_strategy": "no", "use_cpu": True, "save_only_model": False}
    settings = {"num_train_epochs": 3, "save_strategy": "steps", "save_steps": 2, **quiet, **options}
    arguments = transformers.TrainingArguments(output_dir=str(folder), remove_unused_columns=False, **settings)
    return OurTrainer(model=Model(), args=arguments, train_dataset=make(beton).dataset, eval_dataset=[0])


def test_every_epoch_is_new_and_evaluation_sees_every_image(beton: Path, tmp_path: Path) -> None:
    run = trainer(tmp_path, beton, save_strategy="no")
    run.train()
    assert run.model.seen == epochs(beton, 0, 1, 2)
    assert run.predict(None).predictions.shape == (24, 3)
    assert run.evaluate()["eval_loss"] > 0


@pytest.mark.parametrize("steps", [4, 6])
def test_checkpoints_resume_to_the_batches_an_uninterrupted_run_sees(beton: Path, tmp_path: Path, steps: int) -> None:
    trainer(tmp_path, beton).train()
    resumed = trainer(tmp_path / "resumed", beton, save_strategy="no")
    resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{steps}"))
    assert resumed.model.seen == epochs(beton, 0, 1, 2)[steps:]
