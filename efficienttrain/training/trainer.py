"""The training loop over stages and steps; it evaluates and saves at fixed shares of the compute, and resumes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from efficienttrain._loaders import Loader
from efficienttrain.recipe import Recipe
from efficienttrain.step_schedule import Schedule
from efficienttrain.training import auto_replay, checkpoint, micro_batch, prepare, resolve
from efficienttrain.training.batch_layout import Layout
from efficienttrain.training.callback import Callback, check_trackers, trackers
from efficienttrain.training.checkpoint import Checkpoint
from efficienttrain.training.config import Config, Result, write_config
from efficienttrain.training.distributed import Ranks
from efficienttrain.training.evaluate import evaluate
from efficienttrain.training.logbook import Logbook, Progress
from efficienttrain.training.meter import Meter
from efficienttrain.training.objective import Objective
from efficienttrain.training.run_report import shown, write_report
from efficienttrain.training.step_batches import Cursor, Feed
from efficienttrain.training.train_state import DTYPES, TrainState


class Trainer:
    """One training, on one rank. `run` performs the whole training; the other methods are its parts."""

    def __init__(self, config: Config, ranks: Ranks, callbacks: Sequence[Callback] = ()) -> None:
        """Opens the data, builds the network and restores a checkpoint; makes no step. Raises as `train` does."""
        self.config, self.ranks, self.out = config, ranks, Path(config.out)
        if self.out.exists() and not self.out.is_dir():
            raise NotADirectoryError(f"{self.out}: `out` must be the folder of the run, is a file; name another one")
        check_trackers(config)
        self.recipe = self.settle()
        precision = prepare.precision(config, self.recipe, ranks)
        prepare.allow_tf32(precision, ranks)
        prepare.check_layouts(config, self.recipe, ranks)
        self.loader, self.val, self.objective = self.open_data(DTYPES[precision])
        self.recipe = self.objective.fitted(self.recipe, config)
        self.feed = Feed(self.loader, ranks.rank, config.seed, self.objective.targets)
        self.schedule = self.lay_steps()
        self.identity = self.identify()
        state = self.find()
        self.step, self.stage, self.best = (state.step, state.stage, state.best) if state else (0, 0, None)
        self.train_state = self.make_train_state(self.recipe.stages[self.stage].resolution, precision)
        self.callbacks = [*callbacks, *(trackers(config) if ranks.main else ())]
        listeners = [callback.log for callback in self.callbacks]
        self.log = Logbook(self.out, state.log if state else None, listeners) if ranks.main else None
        self.progress = Progress(config.progress and ranks.main, self.schedule.progress(self.step))
        self.meter = Meter(ranks, config.hash_batches)
        prepare.greet(config, self.recipe, self.schedule, self.train_state, ranks, self.step)
        if state is None:
            self.record()
            self.write("begin", identity=self.identity, metric=self.objective.metric)
            self.begin()
        else:
            self.resume(state)

    def record(self) -> None:
        """Writes the configuration to the run's folder."""
        if self.ranks.main:
            write_config(self.out, self.config, self.recipe)

    def settle(self) -> Recipe:
        """The training's recipe. Another kind of training overrides this method and the next five."""
        return resolve.settle(self.config, prepare.multiple(self.config))

    def open_data(self, dtype: torch.dtype | None) -> tuple[Loader, Loader | None, Objective]:
        """The loaders of training and evaluation, and the objective; dtype: of autocast."""
        return prepare.open_data(self.config, self.recipe, self.ranks, dtype)

    def lay_steps(self) -> Schedule:
        """The steps of the recipe's stages."""
        return resolve.lay_steps(self.recipe, self.config.size, self.feed.samples)

    def identify(self) -> dict[str, Any]:
        """All settings that determine the result, see `resolve.identity`."""
        return resolve.identity(self.config, self.recipe, self.objective.outputs, self.feed.samples)

    def find(self) -> Checkpoint | None:
        """The checkpoint to resume from."""
        return checkpoint.find(self.out, self.identity, self.ranks)

    def make_train_state(self, resolution: int, precision: str) -> TrainState:
        """The `TrainState` of the network with its initial weights, for inputs of `resolution`."""
        return TrainState(
            prepare.make_model(self.config, self.recipe, self.objective.outputs, resolution, self.ranks),
            self.recipe,
            self.ranks,
            objective=self.objective,
            seed=self.config.seed,
            precision=precision,
            channels_last=self.config.channels_last,
        )

    def run(self) -> Result:
        """Trains to the end, evaluates, saves and reports."""
        self.notify(lambda callback: callback.begin(self))
        self.meter.clock.start()
        while self.step < self.schedule.total_steps:
            if self.schedule.stage_of(self.step) != self.stage:
                self.enter()
            before = self.schedule.progress(self.step)
            self.advance()
            self.notify(lambda callback: callback.step(self))
            after = self.schedule.progress(self.step)
            self.progress.at(after)
            judges = self.val is not None and crosses(before, after, self.config.evaluate_every)
            ends = after == 1 or self.schedule.stage_of(self.step) != self.stage
            saves = judges or ends or crosses(before, after, self.config.save_every)
            if saves or self.step % self.config.log_every == 0:
                self.note()
            if saves:
                self.save(best=judges and self.judge())
                self.meter.clock.start()
            if self.config.replay == "auto":
                self.tune_replay()
        return self.finish()

    def enter(self) -> None:
        """Enters the stage of the next step."""
        self.stage = self.schedule.stage_of(self.step)
        self.train_state.resize(self.recipe.stages[self.stage].resolution)
        self.begin()
        self.notify(lambda callback: callback.enter(self))

    def notify(self, event: Callable[[Callback], None]) -> None:
        """Calls `event` with each callback."""
        for callback in self.callbacks:
            event(callback)

    def begin(self, factor: int | None = None, buffer: int | None = None, micro: int | None = None) -> None:
        """Sets the loader to the present stage.

        factor, buffer: of the replay, if they are not the stage's own; micro: the micro-batch; None: the largest that
            fits.
        """
        buffer = self.recipe.stages[self.stage].replay_buffer if buffer is None else buffer
        layout = prepare.layout_of(self.config, self.recipe, self.stage, self.ranks, factor, micro)
        if micro is None:
            layout = self.fit(layout, buffer)
        self.supply(layout, buffer)
        if self.config.compile:
            self.train_state.compile()

    def fit(self, layout: Layout, buffer: int) -> Layout:
        """The layout with a micro-batch that fits into the memory of all ranks; the user's own is kept."""
        memory = micro_batch.memory_of(self.ranks.device)
        if self.config.micro_batch or memory is None:
            return layout
        stage = self.recipe.stages[self.stage]
        kept = prepare.ring_on_device(buffer * layout.accumulation, layout, stage.resolution, self.ranks)
        fits = micro_batch.fitting(
            layout.micro,
            kept,
            memory=memory,
            feed=self.feed,
            train_state=self.train_state,
            stage=stage,
            step=self.step,
            ranks=self.ranks,
        )
        if fits < layout.micro:
            layout = prepare.layout_of(self.config, self.recipe, self.stage, self.ranks, layout.factor, fits)
            self.ranks.say(f"Micro-batches of {layout.micro} at {stage.resolution} px, by the free GPU memory.")
        return layout

    def supply(self, layout: Layout, buffer: int) -> None:
        """Sets the layout of the following steps; the replay buffer holds the loader's batches of `buffer` steps."""
        stage = self.recipe.stages[self.stage]
        self.layout, self.buffer = layout, buffer
        batches = buffer * layout.accumulation
        place = prepare.ring_device(batches, layout, stage.resolution, self.ranks)
        self.feed.begin(stage, layout, batches, place)
        self.write("layout", resolution=stage.resolution, magnitude=stage.magnitude, **asdict(layout))

    def advance(self) -> None:
        """Makes one optimizer step, and repeats it with smaller micro-batches if memory does not suffice."""
        cursor = self.feed.cursor
        while (loss := self.attempt()) is None:
            self.shrink(cursor)
        stage = self.recipe.stages[self.stage]
        rate = self.schedule.lr(self.schedule.progress(self.step), self.recipe)
        self.rate = rate * resolve.rate_factor(self.config, stage)
        if self.recipe.weight_decay_end is not None:
            self.train_state.decay(self.schedule.weight_decay(self.step, self.recipe))
        self.train_state.update(self.rate)
        self.train_state.wrap()
        self.meter.add(loss)
        self.step += 1

    def attempt(self) -> Tensor | None:
        """Forward and backward of one step: the loss, or None if some rank has run out of memory."""
        # Note [first step unwrapped]: memory runs out in a stage's first step or never. If a rank leaves a backward
        # pass that averages gradients, the other ranks wait for it. So this step does not average in the backward
        # pass, and the ranks agree on its result.
        batches, count = self.meter.watch(self.feed.step(self.step)), self.layout.accumulation
        if self.train_state.wrapped:
            return self.train_state.accumulate(batches, count, self.step)
        try:
            loss = self.train_state.accumulate(batches, count, self.step)
        except torch.cuda.OutOfMemoryError:
            loss = None
        return None if self.ranks.largest(loss is None) else loss

    def shrink(self, cursor: Cursor) -> None:
        """Halves the micro-batch, doubles the accumulation, and returns to the start of the step."""
        torch.cuda.empty_cache()
        layout = self.layout.halved()
        self.ranks.say(f"Out of GPU memory with micro-batches of {self.layout.micro}; now {layout.micro}.")
        self.feed.rewind(cursor)
        self.supply(layout, self.buffer)

    def tune_replay(self) -> None:
        """Sets a replay factor that is large enough, if the first steps of a stage waited for the loader."""
        done = self.step - sum(self.schedule.steps[: self.stage])
        if self.layout.factor > 1 or done not in (auto_replay.SETTLING, auto_replay.SETTLING + auto_replay.MEASURED):
            return
        self.note()
        factor = auto_replay.hiding_factor(self.stall, self.layout.micro)
        if done > auto_replay.SETTLING and factor > 1:
            layout, resolution = replace(self.layout, factor=factor), self.recipe.stages[self.stage].resolution
            held = auto_replay.ring_size(layout, resolution, self.feed.samples, self.ranks)
            self.ranks.say(f"Waited {self.stall:.0%} for the loader: every image {factor} times from here on.")
            self.supply(layout, self.config.replay_buffer or held)

    def note(self) -> None:
        """Logs and shows the steps since the last note.

        Raises:
            ValueError: see `check_finite`.
        """
        steps = self.meter.steps
        if not steps:
            return
        found = {**self.meter.read(), **self.train_state.noise.read(self.layout.micro, self.layout.batch)}
        self.check_finite(found)
        self.stall, images = found["stall"], steps * self.layout.batch
        loaded, rate = steps * self.layout.fresh_step, images / found["seconds"]
        self.write("train", images=images, loaded=loaded, rate=rate, lr=self.rate, **found)
        stage = self.recipe.stages[self.stage]
        self.progress.show(
            stage=f"{self.stage + 1}/{len(self.recipe.stages)}",
            B=str(stage.resolution),
            M="-" if stage.magnitude is None else f"{stage.magnitude:g}",
            img_s=f"{rate:,.0f}",
            stall=f"{self.stall:.0%}",
            loss=f"{found['loss']:.3f}",
        )

    def judge(self) -> bool:
        """Evaluates; returns whether this is the best network so far.

        Raises:
            ValueError: see `check_finite`.
        """
        assert self.val is not None
        train_state, stage = self.train_state, self.recipe.stages[self.stage]
        self.val.set_stage(batch_size=min(256, self.layout.micro))
        sizes, metric = (stage.resolution, self.config.size), self.objective.metric
        found = evaluate(train_state.modules, self.val, self.objective, *sizes, self.ranks, train_state.dtype)
        self.check_finite(found)
        self.write("evaluate", **found)
        reached = max(found[metric], found.get(f"ema_{metric}", found[metric]))
        self.progress.show(**{metric: shown(metric, reached)})
        improved = self.best is None or reached > self.best
        self.best = reached if improved else self.best
        return improved

    def check_finite(self, found: dict[str, float]) -> None:
        """Stops a training that has diverged, before its weights are saved.

        Raises:
            ValueError: a loss or score is not a finite number.
        """
        for name, value in found.items():
            if not math.isfinite(value):
                raise ValueError(
                    f"the {name} must be finite, got {value} before step {self.step}; start again with a smaller --lr"
                    f"{' or --amp bf16' if self.train_state.dtype == torch.float16 else ''}."
                )

    def finish(self) -> Result:
        """Closes the display and makes the report."""
        self.progress.close()
        made = write_report(self.out, show=self.config.progress) if self.ranks.main else {}
        self.ranks.barrier()
        last = made.get("last", {})
        scores = last.get("top1"), last.get("ema_top1"), self.best
        result = Result(self.out, *scores, made.get("seconds", 0.0), made)
        self.notify(lambda callback: callback.end(self, result))
        return result

    def save(self, best: bool = False) -> None:
        """Writes a checkpoint, from rank 0."""
        self.ranks.average_buffers(*self.train_state.modules)
        if self.log is None:
            return
        state = Checkpoint(
            identity=self.identity,
            step=self.step,
            stage=self.stage,
            best=self.best,
            target=self.objective.state(),
            factor=self.layout.factor,
            buffer=self.buffer,
            micro=self.layout.micro,
            log=self.log.size,
            feed=self.feed.state_dict(),
            learner=self.train_state.state_dict(),
        )
        checkpoint.save(self.out, state, best)

    def resume(self, state: Checkpoint) -> None:
        """Resumes exactly from a checkpoint."""
        self.train_state.load_state_dict(state.learner)
        self.begin(state.factor, state.buffer, state.micro)
        feed = state.feed
        if self.schedule.stage_of(self.step) != self.stage:
            feed = {**feed, "held": []}  # the stage has ended, and with it its replay buffer
        if not self.feed.load_state_dict(feed):
            self.ranks.say("The replay buffer begins empty, for ranks or micro-batch have changed.")

    def write(self, kind: str, **facts: Any) -> None:
        """Writes a line of the log."""
        if self.log is not None:
            self.log.write(kind, self.step, progress=self.schedule.progress(self.step), stage=self.stage, **facts)

    def close(self) -> None:
        """Stops loading, closes files."""
        self.notify(lambda callback: callback.close())
        self.progress.close()
        self.feed.close()
        for thing in (self.loader, self.val, self.log):
            if thing is not None:
                thing.close()

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def crosses(before: float, after: float, every: float) -> bool:
    """Whether a multiple of `every`, or the end, lies between `before` and `after`; all are shares."""
    return after == 1 or math.floor(after / every + 1e-9) > math.floor(before / every + 1e-9)
