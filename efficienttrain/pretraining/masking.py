"""The options of masked pre-training beyond a `Config`, and its authors' recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from efficienttrain.official import LONGEST_WARMUP
from efficienttrain.training.config import Config
from efficienttrain.yaml_values import kinds_of

TARGETS = ("pixels", "hog")
BETAS = (0.9, 0.95)
SCALE = (0.2, 1.0)
"""Share of an image that a random crop takes."""
BATCH = 4096
BASE_LR = 1.5e-4  # for 256 samples a step
WARMUP_EPOCHS = 40
SUPERVISED = (
    "val", "classes", "pool", "layer_decay", "drop_path", "ema", "mixup", "cutmix", "smoothing", "reprob",
    "head_dropout", "zero_init_last", "mixup_prob", "mixup_switch_prob", "mixup_mode", "remode", "recount", "crop_pct",
    "auto_augment", "loss", "class_weights", "sample_weights",
)  # fmt: skip
"""Fields of a `Config` that pre-training does not use."""
UNUSED = ("init", "pretrained", "head_scale", "evaluate_every")
"""Further unused fields, which keep their values."""
ABSENT: dict[str, Any] = dict.fromkeys(("drop_path", "ema", "mixup", "cutmix", "smoothing", "reprob"), 0.0)


@dataclass(frozen=True)
class Masking:
    """The patches hidden from the encoder, and the target of the decoder.

    Raises:
        ValueError: a value out of range.
    """

    target: str = "pixels"
    """"pixels": each patch's, normalised by its mean and deviation; "hog": its histograms of oriented gradients."""
    ratio: float = 0.75
    """Share of the patches that is hidden, more than 0 and less than 1."""

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise ValueError(f"`target` must be one of {', '.join(TARGETS)}, got {self.target!r}.")
        if not 0 < self.ratio < 1:
            raise ValueError(f"`ratio` must be a share, more than 0 and less than 1, got {self.ratio}.")

    def visible(self, patches: int) -> int:
        """Number of visible patches, given the number of all, at least one; rounded down, as in the authors' code."""
        return max(1, int(patches * (1 - self.ratio)))


OPTIONS = {
    **{name: kind for name, kind in kinds_of(Config).items() if name not in (*SUPERVISED, *UNUSED)},
    **kinds_of(Masking),
}
"""Options of a pre-training, see `kinds_of`. `target` and `ratio` are those of `Masking`."""


def authors(config: Config) -> Config:
    """`config` with unset options taken from the authors of MAE (arXiv 2111.06377, table 8).

    AdamW, weight decay 0.05, 1.5e-4 for each 256 samples of the batch, crops of a fifth of the image or more, no drop
    path, no mixing, no erasing. The warm-up of 40 epochs is a share of the budget here, at most a fifth.

    Raises:
        ValueError: it sets an option that only training with labels has.
    """
    for name in SUPERVISED:
        if (value := getattr(config, name)) is not None:
            raise ValueError(f"`{name}` has no effect in pre-training, got {value!r}; leave it out.")
    batch = config.batch or BATCH
    usual: dict[str, Any] = {
        "optimizer": "adamw",
        "batch": batch,
        "lr": BASE_LR * batch / 256,
        "weight_decay": 0.05,
        "betas": BETAS,
        "scale": SCALE,
        "warmup": min(LONGEST_WARMUP, WARMUP_EPOCHS / config.epochs),
        "clip_grad": 0.0,
    }
    left_open = {name: value for name, value in usual.items() if getattr(config, name) is None}
    if config.curriculum == "auto":
        left_open["curriculum"] = "general"  # the models' own curricula are for training with labels
    return replace(config, **ABSENT, **left_open)
