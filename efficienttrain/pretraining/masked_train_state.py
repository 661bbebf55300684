"""One optimizer step of masked pre-training; all but the loss is as in training with labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from efficienttrain.pretraining import masks
from efficienttrain.pretraining.mae import MaskedAutoencoder, pick
from efficienttrain.pretraining.masking import BETAS, Masking
from efficienttrain.pretraining.targets import Target
from efficienttrain.recipe import Recipe
from efficienttrain.training.distributed import Ranks
from efficienttrain.training.objective import Classes
from efficienttrain.training.train_state import Learner


class MaskedLearner(Learner):
    """A masked autoencoder with all that changes it. `model` is one, possibly inside DistributedDataParallel."""

    model: MaskedAutoencoder

    def __init__(
        self,
        model: MaskedAutoencoder,
        recipe: Recipe,
        ranks: Ranks,
        *,
        masking: Masking,
        target: Target,
        seed: int,
        precision: str,
        channels_last: bool,
    ) -> None:
        options: dict[str, Any] = {"seed": seed, "precision": precision, "channels_last": channels_last}
        super().__init__(model, recipe, ranks, objective=Classes("", (), 1), **options)
        for group in self.optimizer.param_groups:
            group["betas"] = recipe.betas or BETAS
        self._masking, self.target = masking, target

    def mask(self, images: Tensor, step: int, group: int) -> masks.Mask:
        """The mask of micro-batch `group` of a step."""
        patches, count = self.model.patches, len(images)
        visible = self._masking.visible(patches)
        return masks.draw(self._seed, step, group * count, count, patches, visible, images.device)

    def tell(self, images: Tensor, mask: masks.Mask) -> Tensor:
        """The network's predictions for the hidden patches, float32 [n, hidden, width]."""
        net = self._net if torch.is_grad_enabled() else self.model  # a picture is one rank's affair
        with torch.autocast(self._ranks.device.type, self.dtype, enabled=self.dtype is not None):
            told: Tensor = net(images.contiguous(memory_format=self._format), *mask)
        return told.float()

    def _loss(self, images: Tensor, labels: Tensor, step: int, group: int) -> Tensor:  # noqa: ARG002
        mask = self.mask(images, step, group)
        return F.mse_loss(self.tell(images, mask), pick(self.target(images), mask.hidden))
