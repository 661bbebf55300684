"""One optimizer step of masked pre-training: the masks and the loss; all else is as in training with labels.

A mask depends on (seed, step, place of the sample in the step). So a resumed run hides the same patches, even with
other micro-batches or another number of ranks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from efficienttrain._loaders import Purpose, words
from efficienttrain.pretraining.mae import MaskedAutoencoder, pick
from efficienttrain.pretraining.masking import BETAS, Masking
from efficienttrain.pretraining.targets import Target
from efficienttrain.recipe import Recipe
from efficienttrain.training.distributed import Ranks
from efficienttrain.training.objective import Classes
from efficienttrain.training.train_state import TrainState


class MaskedTrainState(TrainState):
    """The `TrainState` of a masked autoencoder. `model` is one, possibly inside DistributedDataParallel."""

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

    def mask(self, images: Tensor, step: int, group: int) -> Mask:
        """The mask of micro-batch `group` of a step."""
        patches, count = self.model.patches, len(images)
        visible = self._masking.visible(patches)
        return draw_mask(self._seed, step, group * count, count, patches, visible, images.device)

    def predict(self, images: Tensor, mask: Mask) -> Tensor:
        """The network's predictions for the hidden patches, float32 [n, hidden, width]."""
        net = self._net if torch.is_grad_enabled() else self.model  # only one rank draws pictures
        with torch.autocast(self._ranks.device.type, self.dtype, enabled=self.dtype is not None):
            predictions: Tensor = net(images.contiguous(memory_format=self._format), *mask)
        return predictions.float()

    def _loss(self, images: Tensor, labels: Tensor, step: int, group: int) -> Tensor:  # noqa: ARG002
        mask = self.mask(images, step, group)
        return F.mse_loss(self.predict(images, mask), pick(self.target(images), mask.hidden))


class Mask(NamedTuple):
    """Places of patches in their grid, row by row; every patch is either visible or hidden."""

    visible: torch.Tensor
    """int64 [n, v]: shown to the encoder."""
    hidden: torch.Tensor
    """int64 [n, h]: to be predicted by the decoder."""


def draw_mask(
    seed: int, step: int, first: int, samples: int, patches: int, visible: int, device: str | torch.device = "cpu"
) -> Mask:
    """Masks of the samples at places `first` to `first + samples - 1` of a step; all choices are equally likely.

    Args:
        seed: 0 to 2**64 - 1.
        step: of the optimizer, 0 to 2**32 - 1.
        patches: number of patches in an image, up to 2**18.
        visible: number of visible patches.
    """
    drawn = words(seed, step, np.arange(first, first + samples), Purpose.MASK, patches)
    order = torch.from_numpy(np.argsort(drawn, axis=1, kind="stable"))
    if torch.device(device).type == "cuda":
        order = order.pin_memory().to(device, non_blocking=True)
    return Mask(order[:, :visible], order[:, visible:])
