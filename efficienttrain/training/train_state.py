"""One optimizer step: mixing, forward, backward, clipping, update, average of the weights."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from efficienttrain.models import resize
from efficienttrain.recipe import Recipe
from efficienttrain.training.distributed import Ranks
from efficienttrain.training.gradient_noise import GradientNoise
from efficienttrain.training.objective import Objective
from efficienttrain.training.optim import make_optimizer
from efficienttrain.training.seeding import key_step

DTYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class TrainState:
    """A network with its optimizer, mixing, loss scaling and moving average."""

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        ranks: Ranks,
        *,
        objective: Objective,
        seed: int,
        precision: str = "off",
        channels_last: bool = False,
    ) -> None:
        """precision: a key of DTYPES; fp16 uses loss scaling."""
        from timm.utils import ModelEmaV3

        self.model, self._recipe, self._ranks, self._seed = model, recipe, ranks, seed
        self.optimizer = make_optimizer(model, recipe)
        self.ema = ModelEmaV3(model, decay=recipe.ema) if recipe.ema else None
        self.dtype = DTYPES[precision]
        self.scaler = torch.amp.GradScaler(ranks.device.type, enabled=precision == "fp16")
        self.objective, self._mix = objective, objective.mixing(recipe)
        self.noise = GradientNoise(ranks)
        self._net: nn.Module = model
        self._format = torch.channels_last if channels_last else torch.contiguous_format

    def wrap(self) -> None:
        """Wraps the network, so that every following backward pass averages the ranks' gradients while it runs."""
        if self._ranks.world_size > 1 and not self.wrapped:
            idle = any(parameter.grad is None for parameter in self.model.parameters() if parameter.requires_grad)
            self._net = DistributedDataParallel(self.model, broadcast_buffers=False, find_unused_parameters=idle)

    def unwrap(self) -> None:
        """Unwraps the network, before a change of it or a step that may run out of memory (see `accumulate`)."""
        self._net = self.model

    @property
    def wrapped(self) -> bool:
        """Whether the backward pass averages gradients."""
        return self._net is not self.model

    @property
    def modules(self) -> list[nn.Module]:
        """The network, and its average if there is one."""
        return [self.model] if self.ema is None else [self.model, self.ema.module]

    def resize(self, resolution: int) -> None:
        """Changes the input size of the network, its moments and its average."""
        self.unwrap()
        resize(self.model, resolution, optimizer=self.optimizer, ema=self.ema and self.ema.module)

    def compile(self) -> None:
        """Compiles the network with torch.compile for the present size."""
        torch.compiler.reset()
        self.model.compile(dynamic=False)

    def accumulate(self, batches: Iterable[tuple[int, Tensor, Tensor]], count: int, step: int) -> Tensor:
        """Forward and backward of `count` micro-batches; returns this rank's mean loss.

        Raises:
            torch.cuda.OutOfMemoryError: the micro-batches are too large. If the network is wrapped, the other ranks
                then wait for this one for ever.
        """
        self.model.train()
        self.optimizer.zero_grad()
        total = torch.zeros((), device=self._ranks.device)
        for turn, (group, images, labels) in enumerate(batches, start=1):
            key_step(self._seed, step, group)
            last = turn == count
            with nullcontext() if last or not self.wrapped else self._net.no_sync():  # type: ignore[operator]
                loss = self._loss(images, labels, step, group) / count
                self.scaler.scale(loss).backward()
            if turn == 1 < count:
                self.noise.first(self.model.parameters(), count / self.scaler.get_scale())
            total += loss.detach()
        return total

    def decay(self, weight_decay: float) -> None:
        """Sets the weight decay of the parameters with weight decay."""
        for group in self.optimizer.param_groups:
            if group["weight_decay"] > 0:
                group["weight_decay"] = weight_decay

    def update(self, rate: float) -> None:
        """Makes the optimizer's step with the gradients of `accumulate`."""
        if not self.wrapped:
            self._ranks.average_gradients(self.model)
        self.scaler.unscale_(self.optimizer)
        self.noise.whole(self.model.parameters())
        if self._recipe.clip_grad:
            nn.utils.clip_grad_norm_(self.model.parameters(), self._recipe.clip_grad)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.ema is not None:
            self.ema.update(self.model)

    def state_dict(self) -> dict[str, Any]:
        """Weights, moments, average, loss scale."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`; the network must already have the size of the saved one."""
        self.model.load_state_dict(state["model"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])

    def _loss(self, images: Tensor, labels: Tensor, step: int, group: int) -> Tensor:
        images, targets = self._mix(images, labels, group, seed=self._seed, epoch=step)
        with torch.autocast(self._ranks.device.type, self.dtype, enabled=self.dtype is not None):
            logits = self._net(images.contiguous(memory_format=self._format))
        return self.objective.loss(logits.float(), targets)
