"""The trainer's loop with a masked autoencoder: another network and loss, pictures, and a file with the encoder."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import torch

from efficienttrain._loaders import Loader
from efficienttrain.atomic_file import atomic_write
from efficienttrain.curriculum import merged
from efficienttrain.models import build, check_resolution
from efficienttrain.pretraining.mae import MaskedAutoencoder
from efficienttrain.pretraining.masked_train_state import MaskedTrainState
from efficienttrain.pretraining.masking import OPTIONS, Masking
from efficienttrain.pretraining.reconstruction_plot import SHOWN, draw
from efficienttrain.pretraining.targets import make_target
from efficienttrain.recipe import Recipe
from efficienttrain.training import data_path, prepare
from efficienttrain.training.config import Config, Result, write_config
from efficienttrain.training.distributed import Ranks
from efficienttrain.training.objective import Classes
from efficienttrain.training.seeding import key_weights
from efficienttrain.training.trainer import Trainer

ENCODER = "encoder.pt"
UNLABELLED: dict[str, Any] = {"fields": ("image", "index"), "label_field": False}
"""Options of a `Loader` of images that may have no label."""


class Pretrainer(Trainer):
    """One pre-training, on one rank."""

    train_state: MaskedTrainState

    def __init__(self, config: Config, ranks: Ranks, masking: Masking) -> None:
        """config: complete, see `masking.authors`. Raises as `pretrain` does."""
        self.masking = masking
        super().__init__(config, ranks)

    def settle(self) -> Recipe:
        """The recipe with only the resolutions of the curriculum, because pre-training has no RandAugment."""
        made = super().settle()
        return replace(made, stages=merged(made.stages), micro_batch=())

    def record(self) -> None:
        """Writes the configuration, including the masking, to the run's folder."""
        if self.ranks.main:
            write_config(self.out, self.config, self.recipe, OPTIONS, asdict(self.masking))

    def open_data(self, dtype: torch.dtype | None) -> tuple[Loader, None, Classes]:
        """The loader, with random crops and flips. Labels are not needed: batches hold sample numbers instead."""
        options = {**data_path.train_options(self.recipe, self.config.size), **UNLABELLED}
        loader = Loader(self.config.data, 1, **options, **prepare.loader_options(self.config, self.ranks, dtype))
        return loader, None, Classes("", (), self.config.classes or len(loader.classes) or 1)

    def identify(self) -> dict[str, Any]:
        """The settings, including mask ratio and target."""
        return {**super().identify(), "method": "mae", **asdict(self.masking)}

    def make_train_state(self, resolution: int, precision: str) -> MaskedTrainState:
        """The autoencoder with its initial weights, the same on every rank."""
        config = self.config
        key_weights(config.seed)
        encoder = build(config.model, num_classes=1, resolution=resolution)
        for size in sorted({stage.resolution for stage in self.recipe.stages} | {config.size}):
            check_resolution(encoder, size)
        target = make_target(self.masking.target, prepare.multiple_of(encoder))
        model = MaskedAutoencoder(encoder, target.width, config.size)
        if config.channels_last:
            model.to(memory_format=torch.channels_last)
        return MaskedTrainState(
            model.to(self.ranks.device),
            self.recipe,
            self.ranks,
            masking=self.masking,
            target=target,
            seed=config.seed,
            precision=precision,
            channels_last=config.channels_last,
        )

    def save(self, best: bool = False) -> None:
        """Writes a checkpoint, and at the end of a stage a picture."""
        if self.ranks.main and self.schedule.progress(self.step) >= self.schedule.bounds[self.stage + 1]:
            resolution = self.recipe.stages[self.stage].resolution
            draw(self.train_state, self.shown(resolution), self.out / f"stage_{self.stage + 1}_{resolution}px.png")
        super().save(best)

    def shown(self, resolution: int) -> torch.Tensor:
        """Centre crops of some images, the same in every call."""
        options: dict[str, Any] = {"train": False, "shuffle": True, "drop_last": False, "num_workers": 1}
        with Loader(self.config.data, SHOWN, resolution=resolution, **options, **UNLABELLED) as loader:
            images, _ = next(iter(loader))
        return images.to(self.ranks.device)

    def finish(self) -> Result:
        """Writes the encoder as a state dict of timm's network, for `Config.init` or for timm."""
        if self.ranks.main:
            with atomic_write(self.out / ENCODER) as file:
                torch.save(
                    {name: part.cpu() for name, part in self.train_state.model.encoder.state_dict().items()}, file
                )
        return super().finish()
