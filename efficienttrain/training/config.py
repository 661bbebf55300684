"""The options of a training, and their YAML file, which `--config` reads and every run writes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from efficienttrain.atomic_file import atomic_write
from efficienttrain.recipe import Recipe
from efficienttrain.yaml_values import converted, kinds_of


@dataclass(frozen=True, kw_only=True)
class Config:
    """One training. Options that are None are taken from the model's recipe.

    Raises:
        ValueError: a value out of range; the message gives the rule.
    """

    data: str
    """Training images: a `.beton`, or a folder with one sub-folder per class."""
    out: str
    """Folder of the run: checkpoints, log, report. An existing run is resumed."""
    model: str
    """A timm name, one of ours (`cswin_tiny`), or your own `package.module:factory` or `file.py:factory`."""
    init: str | None = None
    """File of initial weights, see `efficienttrain.models.initial.begin_with`; None: random weights."""
    pretrained: bool = False
    """Begin with timm's weights for `model`, which are downloaded."""
    pool: str | None = None
    """Pooling of a ViT: "avg" (mean of the patches), "token" (class token); None: the model's own."""
    head_scale: float = 1.0
    """Factor of a new head's initial weights, when the other weights are loaded."""
    val: str | None = None
    """Images for evaluation; None: no evaluation."""
    epochs: float = 200.0
    """Budget: cost of the training, in passes over the data at full size."""
    curriculum: str = "auto"
    """"auto": the model's; "none": the baseline at constant size; other names, and files: see `recipe.recipe`."""
    size: int = 224
    """Full size, pixels. Other resolutions are scaled by size / 224, and rounded to sizes that the model accepts."""
    classes: int | None = None
    """Outputs of the head; None: determined by the data."""
    target: str = "label"
    """Field of the data to predict. Its type determines loss and scores, see `choose_objective.choose`."""
    loss: str | None = None
    """"cross-entropy", "bce", "mse" or "smooth-l1"; None: by the type of the target."""
    class_weights: str | None = None
    """"balanced": rare classes, or rare positive labels, count more in the loss; None: all count equally."""
    sample_weights: str | None = None
    """"balanced": samples are drawn with replacement, all classes equally often; None: each sample once per epoch."""
    seed: int = 0
    """0 to 2**64 - 1: determines weights, order, crops, augmentation, mixing and drop path."""

    batch: int | None = None
    """Samples per optimizer step on all ranks together."""
    micro_batch: int | None = None
    """Samples per micro-batch of a rank; gradients are accumulated over the batch."""
    optimizer: str | None = None
    lr: float | None = None
    """Peak learning rate; it is not scaled by `batch`."""
    layer_decay: float | None = None
    """Factor of the learning rate from each layer to the layer below it; 1: the same rate for all."""
    weight_decay: float | None = None
    warmup: float | None = None
    """Share of the compute over which the learning rate rises."""
    drop_path: float | None = None
    clip_grad: float | None = None
    """Largest norm of the gradient; 0: no clipping."""
    ema: float | None = None
    """Decay of the average of the weights; 0: none."""
    mixup: float | None = None
    cutmix: float | None = None
    smoothing: float | None = None
    reprob: float | None = None
    """Probability that a part of an image is erased."""

    # If None, these also come from the recipe; `Recipe` documents each.
    lr_schedule: str | None = None
    warmup_epochs: float | None = None
    min_lr: float | None = None
    weight_decay_end: float | None = None
    betas: tuple[float, ...] | None = None
    momentum: float | None = None
    eps: float | None = None
    head_dropout: float | None = None
    zero_init_last: bool | None = None
    mixup_prob: float | None = None
    mixup_switch_prob: float | None = None
    mixup_mode: str | None = None
    auto_augment: str | None = None
    color_jitter: float | None = None
    remode: str | None = None
    recount: int | None = None
    data_path: str | None = None
    low_frequency: str | None = None
    interpolation: str | None = None
    scale: tuple[float, ...] | None = None
    ratio: tuple[float, ...] | None = None
    hflip: float | None = None
    crop_pct: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    early_batch_scale: float = 1.0
    """Factor of the batch in stages below full size, for many GPUs. See docs/training.md."""
    early_batch_rule: str = "linear"
    """Learning rate of these stages: "linear" (times the factor) or "sqrt" (times its square root)."""
    replay: str = "recipe"
    """Replay buffer: "recipe" (the curriculum's), "off", "auto" (smallest with which the network does not wait)."""
    replay_buffer: int | None = None
    """Number of steps whose loader batches the buffer holds, in every stage that replays."""

    device: str = "auto"
    """"cuda", "cpu", or "auto": a GPU if there is one."""
    amp: str = "auto"
    """"bf16", "fp16", "off", or "auto": if the recipe has mixed precision, on a GPU bf16, or fp16 on older GPUs."""
    channels_last: bool = True
    compile: bool = False
    workers: int | None = None
    """Decoding threads; None: this rank's share of the processors."""
    backend: str = "torch"
    """Backend of the loader."""

    evaluate_every: float = 0.05
    """Share of the compute between two evaluations; the last evaluation is at the end."""
    save_every: float = 0.02
    """Share of the compute between two checkpoints; every stage also ends with a checkpoint."""
    log_every: int = 50
    """Optimizer steps between two lines of the log."""
    hash_batches: bool = False
    """Log a hash of every step's batches, to verify that a resumed run gets the same batches."""
    track: str = "tensorboard"
    """Trackers that draw the log, separated by commas: "tensorboard", "wandb", "trackio"; "none"."""
    progress: bool = True
    """On rank 0, print the stages and the result, and show a progress bar."""

    def __post_init__(self) -> None:
        _positive("epochs", self.epochs)
        _positive("early_batch_scale", self.early_batch_scale)
        _positive("head_scale", self.head_scale)
        if self.init is not None and self.pretrained:
            raise ValueError(f"`init` and `pretrained` exclude each other, got init={self.init!r}; leave one out.")
        for name in ("evaluate_every", "save_every"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise ValueError(f"`{name}` must be a share of the compute, more than 0 and at most 1, got {value}.")
        for name in ("batch", "micro_batch", "log_every", "classes", "replay_buffer"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}.")
        for name, legal in CHOICES.items():
            if (value := getattr(self, name)) is not None and value not in legal:
                raise ValueError(f"`{name}` must be one of {', '.join(legal)}, got {value!r}.")


CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": ("adamw", "lamb", "sgd"),
    "pool": ("avg", "token"),
    "loss": ("cross-entropy", "bce", "mse", "smooth-l1"),
    "class_weights": ("balanced",),
    "sample_weights": ("balanced",),
    "early_batch_rule": ("linear", "sqrt"),
    "replay": ("recipe", "off", "auto"),
    "device": ("auto", "cpu", "cuda"),
    "amp": ("auto", "off", "bf16", "fp16"),
}
OF_RECIPE = (
    "optimizer", "lr", "layer_decay", "weight_decay", "warmup", "drop_path", "clip_grad", "ema",
    "mixup", "cutmix", "smoothing", "reprob", "batch",
    "lr_schedule", "warmup_epochs", "min_lr", "weight_decay_end", "betas", "momentum", "eps", "head_dropout",
    "zero_init_last", "mixup_prob", "mixup_switch_prob", "mixup_mode", "remode", "recount", "data_path",
    "low_frequency", "interpolation", "scale", "ratio", "hflip", "crop_pct", "mean", "std",
    "auto_augment", "color_jitter",
)  # fmt: skip
"""Fields that replace the recipe's fields of the same name, if they are given."""


@dataclass(frozen=True)
class Result:
    """The result of a training."""

    out: Path
    """Folder of the run: `report.json`, `report.png`, `best.pt`, `log.jsonl`."""
    top1: float | None
    """Share of correctly classified evaluation images at full size, at the end; None without evaluation or classes."""
    ema_top1: float | None
    """`top1` of the averaged weights."""
    best: float | None
    """The best `top1` or `ema_top1` of all evaluations; for targets other than classes, the best `map` or `r2`."""
    seconds: float
    """Wall time of training, including loading, without evaluation and checkpoints."""
    report: dict[str, Any]
    """The contents of `report.json`; `last` holds all scores of the last evaluation."""


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"`{name}` must be more than 0, got {value}.")


CONFIG = "config.yaml"


def read_config(path: Path, kinds: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Options of a training by name; kinds: the possible ones, see `kinds_of`; None: the fields of `Config`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not YAML, not a mapping, an unknown name, or a value of another type.
    """
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, Mapping):
        raise ValueError(f"{path} must hold a mapping of options, such as `model: resnet50`, got {found!r}.")
    kinds, made = kinds or kinds_of(Config), {}
    for key, value in found.items():
        name = str(key).replace("-", "_")
        if name not in kinds:
            near = get_close_matches(name, kinds, n=1)
            raise ValueError(f"{path}: there is no option {name!r}{f'; nearest is {near[0]}' if near else ''}.")
        try:
            made[name] = converted(name, value, kinds)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return made


def write_config(
    folder: Path, config: Config, recipe: Recipe, known: Collection[str] = (), more: Mapping[str, Any] | None = None
) -> Path:
    """Writes `config.yaml` into a run's folder, with the recipe's values for options that are None.

    `--config` with this file repeats the training.

    Args:
        folder: of the run.
        config, recipe: of the training.
        known: names to write; empty: all.
        more: options that are not fields of `Config`, or that replace one.
    """
    import yaml

    values = asdict(config)
    values |= {name: getattr(recipe, name) for name in OF_RECIPE}
    for name in ("clip_grad", "ema"):
        values[name] = values[name] or 0.0  # None would mean the recipe's value
    values = {name: value for name, value in {**values, **(more or {})}.items() if not known or name in known}
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / CONFIG) as file:
        file.write(yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode())
    return folder / CONFIG
