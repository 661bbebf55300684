"""The settings of a training: the curriculum's stages, the optimizer and the regularisation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from efficienttrain.curriculum import (
    BASE,
    BASELINE,
    GENERAL,
    ICCV,
    LINEAR,
    STEP,
    Stage,
    check_stages,
    epochs_of,
    tenths,
)
from efficienttrain.official import LONGEST_WARMUP, official
from efficienttrain.presets import Preset, preset, replayed, runs
from efficienttrain.step_schedule import WHOLE_EPOCHS, Schedule

OPTIMIZERS = ("adamw", "lamb", "sgd")
PACES = ("compute", "passes")
DATA_PATHS = ("fast", "published")
LOW_FREQUENCY = ("lanczos", "fourier")
INTERPOLATIONS = (None, "fourier", "lanczos", "bicubic", "bilinear")
MIXUP_MODES = ("batch", "pair", "elem")
ERASE_MODES = ("pixel", "rand", "const")
AUTO_AUGMENTS = ("rand", "3a", "trivial", "none")
BATCH_POWER = {"adamw": 1.0, "sgd": 1.0, "lamb": 0.5}
"""The learning rate is proportional to this power of the batch size: 1 (Goyal et al., arXiv 1706.02677; for AdamW
DeiT's rule, arXiv 2012.12877), or 1/2 for LAMB (You et al., arXiv 1904.00962)."""
CURRICULA = ("auto", "replay", "iccv", "linear", "step", "none", "general")
"""Curricula by name; a path that ends in .yaml, .yml or .py is the user's own."""
LR_SCHEDULES = ("released", "continuous")
CHOICES: dict[str, tuple[str | None, ...]] = {
    "optimizer": OPTIMIZERS,
    "pace": PACES,
    "lr_schedule": LR_SCHEDULES,
    "data_path": DATA_PATHS,
    "low_frequency": LOW_FREQUENCY,
    "interpolation": INTERPOLATIONS,
    "mixup_mode": MIXUP_MODES,
    "remode": ERASE_MODES,
    "auto_augment": AUTO_AUGMENTS,
}
"""Fields of `Recipe` with a fixed list of values."""
WARMUP_EPOCHS = 20
DEEPEST_DROP = 0.9  # otherwise a large budget would drop everything


@dataclass(frozen=True)
class Recipe:
    """One training.

    Raises:
        ValueError: a value out of its range.
    """

    model: str
    """A name, "package.module:factory" or "file.py:factory"."""
    epochs: float
    """Cost of the training, in passes over the data at 224 pixels."""
    stages: tuple[Stage, ...]
    drop_path: float = 0.0
    """Stochastic depth of the last block, 0 to below 1."""
    optimizer: str = "adamw"
    lr: float = 4e-3
    """Peak learning rate, for `batch` samples a step."""
    min_lr: float = 1e-6
    """Final learning rate."""
    lr_schedule: str = "released"
    """"released": the learning rate of every step is that of the released scripts, whose warm-up lasts `warmup_epochs`
    of each stage's own unit; "continuous": one warm-up and one cosine over the whole training, without jumps."""
    warmup: float = 0.05
    """Share of the compute (of the passes, if `pace` is "passes") at which the learning rate peaks, 0 to below 1."""
    warmup_epochs: float | None = None
    """Warm-up of "released", in passes over the data at each stage's resolution; None: the share `warmup`."""
    pace: str = "compute"
    """Time axis of the learning rate's cosine: "compute", or "passes" as in EfficientTrain of 2023."""
    layer_decay: float = 1.0
    """Factor of the learning rate from each layer to the layer below it, above 0; 1: the same rate for all."""
    weight_decay: float = 0.05
    weight_decay_end: float | None = None
    """Final weight decay, reached along half a cosine; None: constant."""
    betas: tuple[float, ...] = ()
    """Betas of AdamW and LAMB: two numbers from 0 to below 1; empty: torch's defaults, 0.9 and 0.999."""
    momentum: float = 0.9
    """Momentum of SGD, 0 to below 1."""
    eps: float = 1e-8
    """Epsilon of AdamW and LAMB."""
    head_dropout: float = 0.0
    """Dropout before the classifier, 0 to below 1."""
    zero_init_last: bool | None = None
    """For a ResNet: whether the last norm of each residual branch begins at 0; None: the default of the model's code.
    """
    amp: bool = True
    """Mixed precision."""
    clip_grad: float | None = None
    """Largest norm of the gradient; None: not clipped. LAMB always clips to 1."""
    ema: float | None = None
    """Decay per step of the weights' moving average; None: no average."""
    batch: int = 4096
    """Samples per optimizer step on all ranks together, for stages without their own value."""
    micro_batch: tuple[int, ...] = ()
    """Per stage, the micro-batch of a GPU in the released scripts (24 GB): a hint that does not change the result."""
    mixup: float = 0.8
    """Alpha of mixup; 0: none."""
    cutmix: float = 1.0
    """Alpha of cutmix; 0: none."""
    mixup_prob: float = 1.0
    """Probability that a batch is mixed."""
    mixup_switch_prob: float = 0.5
    """Probability of cutmix instead of mixup, if both are on."""
    mixup_mode: str = "batch"
    """Scope of one draw: "batch", "pair" (an image and its partner) or "elem" (each image)."""
    smoothing: float = 0.1
    """Label smoothing, 0 to below 1."""
    auto_augment: str = "rand"
    """Augmentation of stages with a magnitude: "rand" (RandAugment of that magnitude); "3a" (3-Augment of DeiT III) or
    "trivial" (TrivialAugmentWide), which do not use the magnitude; or "none"."""
    color_jitter: float = 0.0
    """Largest change of brightness, contrast and saturation after `auto_augment`, as a share, 0 or more; 0: none."""
    reprob: float = 0.25
    """Probability that random boxes of an image are erased."""
    remode: str = "pixel"
    """Contents of erased boxes: "pixel" (noise per pixel), "rand" (one random colour) or "const" (0)."""
    recount: int = 1
    """Largest number of erased boxes, at least 1."""
    data_path: str = "fast"
    """Order of the operations from crops to inputs of B x B pixels: "fast" or "published", see `training.data_path`."""
    low_frequency: str = "lanczos"
    """Reduction to B in the path "published": "lanczos" (EfficientTrain++, before normalisation), or "fourier"
    (EfficientTrain of 2023, after erasing)."""
    interpolation: str | None = None
    """Resampling filter of crops: "fourier", "lanczos", "bicubic" or "bilinear"; None: the default of the data path."""
    scale: tuple[float, ...] = (0.08, 1.0)
    """Smallest and largest share of an image's area that a random crop takes."""
    ratio: tuple[float, ...] = (3 / 4, 4 / 3)
    """Smallest and largest width / height of a random crop."""
    hflip: float = 0.5
    """Probability that an image is mirrored left to right."""
    crop_pct: float = 0.875
    """Evaluation: side of the centre crop / short side of the resized image, more than 0 and at most 1."""
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Per channel, of pixels in 0..1: ImageNet's. Some published networks have 0.5, 0.5, 0.5."""
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """Per channel: ImageNet's. Some published networks have 0.5, 0.5, 0.5."""

    def __post_init__(self) -> None:
        check_stages(self.stages)
        for name, legal in CHOICES.items():
            if (value := getattr(self, name)) not in legal:
                raise ValueError(f"`{name}` must be one of {', '.join(map(str, legal))}, got {value!r}.")
        for name in ("epochs", "lr", "eps", "batch"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` must be more than 0, got {getattr(self, name)!r}.")
        for name in ("min_lr", "weight_decay", "mixup", "cutmix", "color_jitter"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"`{name}` must be at least 0, got {getattr(self, name)!r}.")
        for name in ("drop_path", "warmup", "smoothing", "head_dropout", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be from 0 to below 1, got {getattr(self, name)!r}.")
        for name in ("reprob", "mixup_prob", "mixup_switch_prob", "hflip"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` must be a probability, 0 to 1, got {getattr(self, name)!r}.")
        for name in ("warmup_epochs", "weight_decay_end"):
            if (value := getattr(self, name)) is not None and not value >= 0:
                raise ValueError(f"`{name}` must be at least 0, or None, got {value!r}.")
        if self.recount < 1:
            raise ValueError(f"`recount` must be at least 1, got {self.recount}; --reprob 0 turns erasing off.")
        if not 0 < self.crop_pct <= 1:
            raise ValueError(f"`crop_pct` must be more than 0 and at most 1, got {self.crop_pct!r}.")
        for name, count in (("scale", 2), ("ratio", 2), ("mean", 3), ("std", 3)):
            if len(value := getattr(self, name)) != count or (name != "mean" and not min(value) > 0):
                raise ValueError(f"`{name}` must be {count} numbers, more than 0 but for a mean, got {value}.")
        if self.betas and not (len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)):
            raise ValueError(f"`betas` must be two numbers from 0 to below 1, got {self.betas}.")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"`layer_decay` must be more than 0 and at most 1, got {self.layer_decay!r}.")
        if self.clip_grad is not None and not self.clip_grad > 0:
            raise ValueError(f"`clip_grad` must be more than 0, or None, got {self.clip_grad!r}.")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"`ema` must be between 0 and 1, or None, got {self.ema!r}.")
        if self.micro_batch and len(self.micro_batch) != len(self.stages):
            raise ValueError(
                f"`micro_batch` must have a number for each of the {len(self.stages)} stages, got {self.micro_batch}."
            )

    def schedule(self, samples: int, size: int = BASE) -> Schedule:
        """The steps of this training.

        Args:
            samples: images in one pass over the data.
            size: full size, pixels; the budget of epochs is counted at this size.
        """
        exact = Schedule(self.stages, self.epochs * (size / BASE) ** 2, samples, self.batch)
        nominal = round(sum(exact.passes), 6) if self.pace == "passes" else self.epochs
        if self.lr_schedule == "continuous" or nominal < WHOLE_EPOCHS:
            return exact
        epochs = nominal if self.pace == "passes" else exact.epochs
        counted = official(self.stages, epochs, self.pace, self.warmup_epochs, self.warmup)
        starts = [stage.start for stage in counted] + [1.0]
        # A user's own curriculum may have stages that are too short for whole epochs.
        if any(end <= begin for begin, end in pairwise(starts)) or not all(stage.loaded for stage in counted):
            return exact
        return replace(exact, official=counted)

    def at_batch(self, batch: int) -> Recipe:
        """This recipe for another batch, with the learning rate scaled by the optimizer's rule, see `BATCH_POWER`."""
        if batch < 1:
            raise ValueError(f"`batch` must be at least 1, got {batch}.")
        power = BATCH_POWER[self.optimizer]
        return replace(self, batch=batch, lr=self.lr * (batch / self.batch) ** power)


def recipe(model: str, epochs: float, curriculum: str = "auto") -> Recipe:
    """The recipe to train `model` with.

    Args:
        model: any name; a model without a preset gets the general one.
        epochs: the budget, in passes over the data at 224 pixels. For "iccv", as in its paper, passes over the data at
            any resolution: 300 of them cost 196 at 224.
        curriculum: "auto" (EfficientTrain++ as released for the model), "general" (as for most models), "replay" (with
            the released replay buffer), "iccv" (EfficientTrain), "linear", "step", "none" (224 pixels, magnitude 9), or
            the path of a .yaml or .py file (see custom.py).

    Raises:
        ValueError: an unknown curriculum, an invalid curriculum file, a budget of 0.
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
    named = {"auto": own, "general": GENERAL, "linear": LINEAR, "step": STEP}
    if curriculum == "replay":
        named["replay"] = replayed(model)
    if curriculum not in named:
        raise ValueError(
            f"`curriculum` must be one of {', '.join(CURRICULA)}, or a .yaml or .py file, got {curriculum!r}."
        )
    return _plus_plus(settings, model, epochs, named[curriculum])


def _plus_plus(settings: Preset, model: str, epochs: float, stages: tuple[Stage, ...]) -> Recipe:
    """The recipe with the settings of EfficientTrain++ and the given stages."""
    first = epochs * (BASE / stages[0].resolution) ** 2  # epochs of a whole run at the first resolution
    return Recipe(
        model=model,
        epochs=epochs,
        stages=stages,
        drop_path=min(DEEPEST_DROP, settings.drop_path * epochs / 200),
        optimizer=settings.optimizer,
        lr=settings.lr,
        warmup=min(LONGEST_WARMUP, settings.warmup or WARMUP_EPOCHS / first),
        warmup_epochs=None if settings.warmup else WARMUP_EPOCHS,
        weight_decay=settings.weight_decay,
        eps=settings.eps,
        head_dropout=settings.head_dropout,
        zero_init_last=settings.zero_init_last,
        amp=settings.amp,
        clip_grad=settings.clip_grad,
        ema=settings.ema,
        micro_batch=tuple(_micro_batch(settings, stage.resolution) for stage in stages),
    )


def _plain(settings: Preset, usual: Recipe, passes: float) -> Recipe:
    """The recipe with unscaled drop path and a warm-up of 20 passes, for the baseline and EfficientTrain of 2023."""
    warmup = min(LONGEST_WARMUP, WARMUP_EPOCHS / passes)
    return replace(usual, drop_path=settings.drop_path, warmup=warmup, warmup_epochs=WARMUP_EPOCHS)


def _iccv(settings: Preset, model: str, passes: float) -> Recipe:
    """EfficientTrain of 2023: counted in passes over the data, one optimizer for all models."""
    cost = passes / sum(epochs_of(stage, 1.0) for stage in ICCV)
    ema = None if settings.ema is None else 0.9999
    alike = replace(settings, optimizer="adamw", lr=4e-3, weight_decay=0.05, eps=1e-8, ema=ema)
    made = _plain(settings, _plus_plus(alike, model, cost, ICCV), passes)
    return replace(made, pace="passes", low_frequency="fourier")


def _micro_batch(settings: Preset, resolution: int) -> int:
    """The released micro-batch of the smallest published resolution of at least this size, or of the largest one."""
    known = dict(zip(runs(settings.resolutions), runs(settings.micro_batch), strict=True))
    return known[min((b for b in known if b >= resolution), default=max(known))]
