"""Curriculum: sets the loader, the network's input size and the learning rate from the share of compute spent."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from efficienttrain._loaders import Loader
from efficienttrain.callbacks.several_ranks import changing, equalise, hide
from efficienttrain.curriculum import Stage
from efficienttrain.models.size import check_resolution, fit_to_checkpoint, multiple_of, network_in, resize
from efficienttrain.recipe import Recipe
from efficienttrain.step_schedule import Schedule
from efficienttrain.training.resolve import scaled


class Curriculum:
    """A loader's batches for a whole training, with all changes from stage to stage.

        curriculum = Curriculum(recipe("resnet50", epochs=100), loader, model, optimizer)
        for epoch in range(curriculum.epochs):
            for images, labels in curriculum:
                ...  # your own step

    Each iteration is one epoch of *your* loop. All epochs have the same number of batches, `len(curriculum)`, as
    frameworks expect; their cost differs, because early batches have fewer pixels. A stage begins at its
    share of the compute, even in the middle of an epoch. The order of samples continues over epochs and stages.

    Before a batch is delivered, the network is resized to its resolution (with the optimizer's moments and the
    average, see `efficienttrain.models.resize`) and the learning rate is set: the recipe's curve over the compute,
    scaled so that its peak is the optimizer's initial rate.
    """

    def __init__(
        self,
        recipe: Recipe,
        loader: Loader,
        model: nn.Module | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        *,
        ema: nn.Module | None = None,
        val: Loader | None = None,
        size: int = 224,
        accumulation: int = 1,
        set_lr: bool = True,
        wrap: Callable[[nn.Module], nn.Module] | None = None,
    ) -> None:
        """Takes no batch from the loader yet.

        Args:
            recipe: stages, budget and learning-rate curve: `efficienttrain.recipe(name, epochs, curriculum)`. Its
                optimizer, regularisation and replay buffer are not used.
            loader: of the training images; its batches are delivered unchanged. Its batch size applies to every stage
                that does not set its own.
            model: resized if a parameter's shape depends on the input; None: no resizing (a ConvNet). Also
                makes its `load_state_dict`, and that of `ema`, accept a checkpoint of another stage. The network may be
                inside another module. One without `set_input_size` is not changed.
            optimizer: of the model's parameters; needed to resize its moments, and for the learning rate.
            ema: a moving average of the model: a module of the same class, or a wrapper of one, as torch's
                `AveragedModel`.
            val: loader of the evaluation images; it follows the stage's resolution, and so ends at full size.
            size: full size, pixels; the recipe's resolutions are scaled by size / 224.
            accumulation: batches that you accumulate in each optimizer step. Stages change only between steps.
            set_lr: False leaves the learning rate to your own scheduler, which can use `lr_factor`.
            wrap: function that wraps the network, for example in DistributedDataParallel; then train
                `curriculum.model`, which is wrapped again if shapes change.

        Raises:
            ValueError: a value out of range, a resolution that the model does not accept, or fewer images than a step
                needs.
        """
        if accumulation < 1:
            raise ValueError(f"`accumulation` must be at least 1, got {accumulation}.")
        if isinstance(model, DistributedDataParallel):
            raise ValueError(
                "`model` must be the bare network, got DistributedDataParallel; give model.module, with "
                "wrap=DistributedDataParallel, and train `curriculum.model`."
            )
        self.recipe, self.loader, self.accumulation = recipe, loader, accumulation
        self.optimizer: torch.optim.Optimizer | None = None
        self._net, self._val, self._wrap = model, val, wrap
        self._sized, self._ema = (None if net is None else network_in(net) for net in (model, ema))
        multiple = 2 if model is None else math.lcm(2, multiple_of(model if self._sized is None else self._sized))
        self.stages: tuple[Stage, ...] = scaled(recipe.stages, size, multiple)
        if self._sized is not None:
            for resolution in sorted({stage.resolution for stage in self.stages}):
                check_resolution(self._sized, resolution)
            for net in (self._sized, *([] if self._ema is None else [self._ema])):
                fit_to_checkpoint(net, [stage.resolution for stage in self.stages])
        self._batch_size, self._samples = loader.stage.batch_size, int(loader.state_dict()["samples"])
        self._size = size
        self._lay_out(size)
        self.model: nn.Module | None = None
        self._set_lr, self._fetches_ahead = set_lr, False
        self._delivered = self._current = self._done = self._resolution = 0
        self._entered = -1
        self._batches: Iterator[Any] | None = None
        self._hidden: list[nn.Parameter] | None = None
        if optimizer is not None:
            self.use_optimizer(optimizer)
        self.before_step()

    def _lay_out(self, size: int) -> None:
        """Computes the first batch of each stage."""
        self._per_rank = self.loader.ranks[1] * self.accumulation
        batch = self._batch_size * self._per_rank
        largest = max(stage.batch or batch for stage in self.stages)
        if largest > self._samples:
            raise ValueError(
                f"an optimizer step must take at most the number of training images, got {largest:,} for "
                f"{self._samples:,} images; make the loader with a smaller `batch_size`."
            )
        budget = self.recipe.epochs * (size / 224) ** 2
        self.schedule = Schedule(self.stages, budget, self._samples, batch)
        self.epochs = math.ceil(self.recipe.epochs)
        exact = self.schedule.total_steps
        self._length = max(1, round(exact / self.epochs)) * self.accumulation
        self.total = self._length * self.epochs
        steps = self.total // self.accumulation
        starts = (round(start * steps / exact) for start in (0, *accumulate(self.schedule.steps)))
        self._starts = [start * self.accumulation for start in starts]

    def __len__(self) -> int:
        """Batches in each epoch of your loop, on each rank."""
        return self._length

    @property
    def dataset(self) -> Any:
        """The loader's, for frameworks that read it, as `batch_size`. There is no `sampler`: frameworks would set its
        epoch, and the order of samples would not continue.
        """
        return self.loader.dataset

    @property
    def batch_size(self) -> int:
        """Samples of a batch on this rank, at the loader's present stage."""
        return self.loader.batch_size

    def __iter__(self) -> Iterator[Any]:
        """The batches of one epoch. After the last epoch it is empty."""
        end = min(self.total, (self._delivered // self._length + 1) * self._length)
        while self._delivered < end:
            batch = self._next()
            self._delivered += 1
            if not self._fetches_ahead:
                self.before_step()
                self.after_step()
            yield batch

    def use_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Uses an optimizer that was made later; its present learning rates are the peak."""
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])

    def hand_over(self) -> None:
        """For a framework that fetches batches ahead: its callback must now call `before_step` and `after_step`."""
        self._fetches_ahead = True

    def before_wrapping(self, module: nn.Module) -> None:
        """For a framework that wraps `module` in DistributedDataParallel itself, before it does so.

        The process group exists at this point; if it was created after the curriculum, the steps are computed again.

        Raises:
            ValueError: the curriculum's network is not part of `module`, or an optimizer step of all ranks needs more
                images than there are.
        """
        if self._per_rank != self.loader.ranks[1] * self.accumulation:
            self._lay_out(self._size)
        if self._sized is not None and self._hidden is None:
            names = changing(self._sized, [stage.resolution for stage in self.stages])
            self._hidden = hide(module, self._sized, names)

    def check_framework(self, accumulation: int, ranks: int, option: str) -> None:
        """Checks that a framework's settings agree with the curriculum; option: the framework's name of accumulation.

        On several ranks the resized parameters begin with rank 0's values, like all others.

        Raises:
            ValueError: another accumulation, or several ranks for a network whose parameters change their shape,
                without a call of `before_wrapping`.
        """
        if accumulation != self.accumulation:
            raise ValueError(
                f"`accumulation` must be the framework's {option}, {accumulation}, got {self.accumulation}."
            )
        if ranks > 1 and self._sized is not None:
            if self._hidden is None:
                raise ValueError(
                    f"a network that is resized on {ranks} ranks needs its callback before the framework wraps it; "
                    "give the callback to the Trainer when that is made."
                )
            equalise(self._hidden)

    def before_step(self) -> None:
        """Prepares network, evaluation and learning rate for the next batch. A plain loop need not call this."""
        self._current = self._done
        stage = self.stages[self.stage]
        if self._sized is not None and self._resolution != stage.resolution:
            self.model = None  # the wrapper must be deleted before the network changes
            self._resolution = stage.resolution
            resize(self._sized, stage.resolution, optimizer=self.optimizer, ema=self._ema)
        if self.model is None and self._net is not None:
            self.model = self._net if self._wrap is None else self._wrap(self._net)
        if self._val is not None and self._val.stage.resolution != stage.resolution:
            self._val.set_stage(resolution=stage.resolution)
        if self._set_lr and self.optimizer is not None:
            factor = self.lr_factor()
            for group in self.optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor * group.get("lr_scale", 1.0)

    def after_step(self, batches: int = 1) -> None:
        """Counts batches as trained on. A plain loop need not call this."""
        self._done = self._current + batches

    @property
    def stage(self) -> int:
        """Number of the stage that is being trained."""
        return self._stage_of(self._current)

    @property
    def resolution(self) -> int:
        """Side of the input that is being trained on, pixels."""
        return self.stages[self.stage].resolution

    @property
    def progress(self) -> float:
        """Share of the compute spent before the batch that is being trained on, 0 to 1."""
        return self._progress(self._current)

    def lr_factor(self, step: int = 0) -> float:  # noqa: ARG002
        """The learning rate of the next optimizer step as a share of its peak.

        For a scheduler of torch: `LambdaLR(optimizer, curriculum.lr_factor)`, stepped after each optimizer step. The
        argument is ignored: progress is the compute spent, not the number of steps.
        """
        return self.schedule.lr(self._progress(self._done), self.recipe) / self.recipe.lr

    def _progress(self, batch: int) -> float:
        if batch >= self.total:
            return 1.0
        number = self._stage_of(batch)
        begin, end = self._starts[number : number + 2]
        low, high = self.schedule.bounds[number : number + 2]
        return low + (high - low) * ((batch - begin) // self.accumulation * self.accumulation) / (end - begin)

    def seek(self, batch: int) -> None:
        """Continues with batch number `batch` of the whole training, exactly, from any state.

        Raises:
            ValueError: beyond the end.
        """
        if not 0 <= batch <= self.total:
            raise ValueError(f"`batch` must be from 0 to {self.total}, got {batch}.")
        self.close()
        epoch = position = 0
        for number, (begin, end) in enumerate(zip(self._starts, self._starts[1:], strict=False)):
            take, left = self._share(number), min(batch, end) - begin
            while left > 0:
                if self._samples - position < take:
                    epoch, position = epoch + 1, 0
                some = min(left, (self._samples - position) // take)
                left, position = left - some, position + some * take
                if self.loader.drop_last and self._samples - position < take:  # the loader leaves these samples out
                    epoch, position = epoch + 1, 0
        self.loader.load_state_dict({**self.loader.state_dict(), "epoch": epoch, "position": position})
        self._entered, self._delivered, self._done, self._resolution = -1, batch, batch, 0
        self.before_step()

    def state_dict(self) -> dict[str, int]:
        """The position in the training: two numbers. Save model and optimizer yourself."""
        return {"batch": self._done, "total": self.total}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continues from a `state_dict`.

        Raises:
            ValueError: the state belongs to a training of another length.
        """
        if state["total"] != self.total:
            raise ValueError(
                f"the state is of a training of {state['total']} batches, this one has {self.total}; give the same "
                "data, recipe, batch size, accumulation and number of ranks."
            )
        self.seek(state["batch"])

    def close(self) -> None:
        """Stops loading ahead. The loader stays open."""
        if self._batches is not None:
            self._batches.close()  # type: ignore[attr-defined]
            self._batches = None

    def _stage_of(self, batch: int) -> int:
        return min(bisect_right(self._starts, batch), len(self.stages)) - 1

    def _share(self, number: int) -> int:
        """Samples of all ranks together in one batch of this stage."""
        return self._size_of(number) * (self._per_rank // self.accumulation)

    def _size_of(self, number: int) -> int:
        """Samples per batch on this rank."""
        batch = self.stages[number].batch
        return self._batch_size if batch is None else max(1, batch // self._per_rank)

    def _next(self) -> Any:
        """The next batch, in its stage."""
        number = self._stage_of(self._delivered)
        if number != self._entered:
            stage, state = self.stages[number], self.loader.state_dict()
            self.close()
            size = self._size_of(number)
            self.loader.set_stage(resolution=stage.resolution, magnitude=stage.magnitude, batch_size=size)
            self.loader.load_state_dict(state)
            self._entered = number
        state = self.loader.state_dict()
        if self._samples - state["position"] < self._share(number):  # too few for a batch: the next epoch
            self.close()
            self.loader.load_state_dict({**state, "epoch": state["epoch"] + 1, "position": 0})
        if self._batches is None:
            self._batches = iter(self.loader)
        batch = next(self._batches, None)
        if batch is None:  # the epoch's last batch was delivered
            self._batches = iter(self.loader)
            batch = next(self._batches)
        return batch
