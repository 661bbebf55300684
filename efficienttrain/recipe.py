"""All that a training is told: the curriculum's stages, and the optimizer's and regulariser's settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from efficienttrain.curriculum import BASE, BASELINE, ICCV, LINEAR, STEP, Stage, check_stages, epochs_of, tenths
from efficienttrain.presets import Preset, preset, replayed, runs
from efficienttrain.step_schedule import Schedule

OPTIMIZERS = ("adamw", "lamb", "sgd")
PACES = ("compute", "passes")
CURRICULA = ("auto", "replay", "iccv", "linear", "step", "none")
"""Curricula by name; a path that ends in .yaml, .yml or .py is the user's own."""
WARMUP_EPOCHS = 20
LONGEST_WARMUP = 0.2  # DeiT's; a small budget would else be warm-up all through
DEEPEST_DROP = 0.9  # a large budget would else drop everything


@dataclass(frozen=True)
class Recipe:
    """One training.

    Raises:
        ValueError: a value out of its range.
    """

    model: str
    """A name, "package.module:factory" or "file.py:factory"."""
    epochs: float
    """What the training costs, in passes over the data at 224 pixels."""
    stages: tuple[Stage, ...]
    drop_path: float = 0.0
    """Stochastic depth of the last block, 0 to below 1."""
    optimizer: str = "adamw"
    lr: float = 4e-3
    """Peak learning rate, for `batch` samples a step."""
    min_lr: float = 1e-6
    """Learning rate at the end."""
    warmup: float = 0.05
    """Where the learning rate peaks, as a share of the compute (of the passes, if that is the pace), 0 to below 1."""
    pace: str = "compute"
    """What the learning rate's cosine runs over: "compute", or "passes" as EfficientTrain of 2023."""
    weight_decay: float = 0.05
    eps: float = 1e-8
    """The optimizer's, of AdamW and LAMB."""
    amp: bool = True
    """Mixed precision."""
    clip_grad: float | None = None
    """Largest norm of the gradient; None: not clipped. LAMB clips to 1 by itself."""
    ema: float | None = None
    """Decay of the weights' moving average a step; None: no average."""
    batch: int = 4096
    """Samples an optimizer step sees on all ranks together, where a stage does not say."""
    micro_batch: tuple[int, ...] = ()
    """Per stage, the samples a GPU took at once in the released scripts (24 GB): advice, the result is the same."""
    mixup: float = 0.8
    """Alpha of mixup; 0: none. One of mixup and cutmix is applied to every batch, by an even draw."""
    cutmix: float = 1.0
    """Alpha of cutmix; 0: none."""
    smoothing: float = 0.1
    """Label smoothing, 0 to below 1."""
    reprob: float = 0.25
    """Probability that a random box of an image is erased."""

    def __post_init__(self) -> None:
        check_stages(self.stages)
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"`optimizer` must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}.")
        if self.pace not in PACES:
            raise ValueError(f"`pace` must be one of {', '.join(PACES)}, got {self.pace!r}.")
        for name in ("epochs", "lr", "eps", "batch"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` must be more than 0, got {getattr(self, name)!r}.")
        for name in ("min_lr", "weight_decay", "mixup", "cutmix"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"`{name}` must be at least 0, got {getattr(self, name)!r}.")
        for name in ("drop_path", "warmup", "smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be from 0 to below 1, got {getattr(self, name)!r}.")
        if not 0 <= self.reprob <= 1:
            raise ValueError(f"`reprob` must be a probability, 0 to 1, got {self.reprob!r}.")
        if self.clip_grad is not None and not self.clip_grad > 0:
            raise ValueError(f"`clip_grad` must be more than 0, or None, got {self.clip_grad!r}.")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"`ema` must be between 0 and 1, or None, got {self.ema!r}.")
        if self.micro_batch and len(self.micro_batch) != len(self.stages):
            raise ValueError(
                f"`micro_batch` must have a number for each of the {len(self.stages)} stages, got {self.micro_batch}."
            )

    def schedule(self, samples: int) -> Schedule:
        """The steps of this training on a data set of so many images."""
        return Schedule(self.stages, self.epochs, samples, self.batch)


def recipe(model: str, epochs: float, curriculum: str = "auto") -> Recipe:
    """What to train `model` with.

    Args:
        model: any name; one without a preset of its own gets the general one.
        epochs: the budget, in passes over the data at 224 pixels. For "iccv", as in its paper, passes over the data at
            whatever resolution: 300 of them cost 196 at 224.
        curriculum: "auto" (EfficientTrain++), "replay" (with the released replay buffer), "iccv" (EfficientTrain),
            "linear", "step", "none" (224 pixels, magnitude 9), or the path of a .yaml or .py file (see custom.py).

    Raises:
        ValueError: an unknown curriculum, a file that is none, a budget of nothing.
        FileNotFoundError: no such file.
    """
    if not epochs > 0:
        raise ValueError(f"`epochs` must be more than 0, got {epochs}.")
    settings = preset(model)
    own = tenths(runs(settings.resolutions))
    if Path(curriculum).suffix in (".yaml", ".yml", ".py"):
        from efficienttrain.custom import customised

        return customised(Path(curriculum), lambda stages: _plus_plus(settings, model, epochs, stages or own))
    if curriculum == "iccv":
        return _iccv(settings, model, epochs)
    if curriculum == "none":
        return _plain(settings, _plus_plus(settings, model, epochs, BASELINE), epochs)
    named = {"auto": own, "linear": LINEAR, "step": STEP}
    if curriculum == "replay":
        named["replay"] = replayed(model)
    if curriculum not in named:
        raise ValueError(
            f"`curriculum` must be one of {', '.join(CURRICULA)}, or a .yaml or .py file, got {curriculum!r}."
        )
    return _plus_plus(settings, model, epochs, named[curriculum])


def _plus_plus(settings: Preset, model: str, epochs: float, stages: tuple[Stage, ...]) -> Recipe:
    """With the settings of EfficientTrain++, whatever the stages."""
    first = epochs * (BASE / stages[0].resolution) ** 2  # epochs of a run that never left the first resolution
    return Recipe(
        model=model,
        epochs=epochs,
        stages=stages,
        drop_path=min(DEEPEST_DROP, settings.drop_path * epochs / 200),
        optimizer=settings.optimizer,
        lr=settings.lr,
        warmup=min(LONGEST_WARMUP, settings.warmup or WARMUP_EPOCHS / first),
        weight_decay=settings.weight_decay,
        eps=settings.eps,
        amp=settings.amp,
        clip_grad=settings.clip_grad,
        ema=settings.ema,
        micro_batch=tuple(_micro_batch(settings, stage.resolution) for stage in stages),
    )


def _plain(settings: Preset, usual: Recipe, passes: float) -> Recipe:
    """Without what neither the baseline nor EfficientTrain of 2023 scales: drop path, and a warm-up of 20 passes."""
    return replace(usual, drop_path=settings.drop_path, warmup=min(LONGEST_WARMUP, WARMUP_EPOCHS / passes))


def _iccv(settings: Preset, model: str, passes: float) -> Recipe:
    """EfficientTrain of 2023: counted in passes over the data, one optimizer for all models."""
    cost = passes / sum(epochs_of(stage, 1.0) for stage in ICCV)
    ema = None if settings.ema is None else 0.9999
    alike = replace(settings, optimizer="adamw", lr=4e-3, weight_decay=0.05, eps=1e-8, ema=ema)
    return replace(_plain(settings, _plus_plus(alike, model, cost, ICCV), passes), pace="passes")


def _micro_batch(settings: Preset, resolution: int) -> int:
    """The released one, of the smallest published resolution that is no smaller (the largest one's beyond)."""
    known = dict(zip(runs(settings.resolutions), runs(settings.micro_batch), strict=True))
    return known[min((b for b in known if b >= resolution), default=max(known))]
