"""The training objective: classes, several labels, or numbers, with its loss and its scores.

The kind follows from the type of the target field (`kind_of`). An objective turns the loader's values into targets,
computes the loss, and adds up the scores of an evaluation. A new kind is one class here and one line in `KINDS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from efficienttrain._loaders import Mixup
from efficienttrain.recipe import Recipe
from efficienttrain.training import metrics
from efficienttrain.training.config import Config
from efficienttrain.training.distributed import Ranks


class Scores(NamedTuple):
    """The scores of one network on all images of an evaluation."""

    images: int
    total: dict[str, float]
    """Scores by name; `loss` is the mean."""
    each: list[dict[str, float]]
    """For each class, label or number: `images` and its own scores."""


class Tally(ABC):
    """Accumulates the scores of one evaluation, batch by batch."""

    @abstractmethod
    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Adds a batch: the network's outputs, float32 [n, outputs], and its targets."""

    @abstractmethod
    def scores(self, ranks: Ranks) -> Scores:
        """The scores of all batches of all ranks."""


@dataclass(frozen=True, eq=False)
class Objective(ABC):
    """The target field, the network's outputs, the loss and the scores."""

    kind: ClassVar[str]
    metric: ClassVar[str]
    """The score that chooses `best.pt`; higher is better."""
    field: str
    """Name of the target field."""
    names: tuple[str, ...]
    """A name for each class, label or number of the data."""
    outputs: int
    """Number of outputs of the network; some may be unused for classes."""
    weights: tuple[float, ...] | None = None
    """Factors of the loss, one for each output, see the subclasses; None: none."""

    @abstractmethod
    def targets(self, values: Any) -> Tensor:
        """The loader's values of the target field as a tensor, on their device."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of a batch. Targets may be mixed."""

    @abstractmethod
    def tally(self, device: torch.device) -> Tally:
        """Begins an evaluation."""

    def fitted(self, recipe: Recipe, config: Config) -> Recipe:  # noqa: ARG002
        """The recipe without settings that do not apply to these targets.

        Raises:
            ValueError: `config` has such a setting.
        """
        return recipe

    def mixing(self, recipe: Recipe) -> Mixup:
        """Mixup and CutMix of a batch and its targets."""
        return Mixup(
            recipe.mixup,
            recipe.cutmix,
            recipe.mixup_prob,
            recipe.mixup_switch_prob,
            recipe.smoothing if self.kind == "classes" else 0.0,
            mode=recipe.mixup_mode,
            num_classes=self.outputs,
        )

    def check_outputs(self, outputs: Tensor) -> None:
        """Raises ValueError if the network's outputs are too few."""
        if outputs.ndim != 2 or outputs.shape[1] < len(self.names):
            raise ValueError(
                f"the network must have an output for each of the {len(self.names)} {self.kind}, "
                f"got {outputs.shape[1] if outputs.ndim == 2 else list(outputs.shape)}."
            )

    def __str__(self) -> str:
        return f"{len(self.names)} {self.kind}"

    def state(self) -> dict[str, Any]:
        """Parameters that a user of the weights needs, as plain values; a checkpoint holds them as `target`."""
        return {"kind": self.kind, "field": self.field, "names": list(self.names)}


class Classes(Objective):
    """One of several classes: cross-entropy; top-1 and top-5.

    `weights`: a factor of each class in the loss; the mean over the samples is 1.
    """

    kind = "classes"
    metric = "top1"

    def targets(self, values: Any) -> Tensor:
        """int64 [n]."""
        return torch.as_tensor(values)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy in nats."""
        weight = None if self.weights is None else _row(self.weights, torch.float32, outputs.device)
        return F.cross_entropy(outputs, targets, weight=weight)

    def tally(self, device: torch.device) -> Tally:
        """See `Objective.tally`."""
        return _ClassTally(self, device)


class _ClassTally(Tally):
    def __init__(self, objective: Classes, device: torch.device) -> None:
        self._objective = objective
        self._sums = torch.zeros(len(objective.names), 4, dtype=torch.float64, device=device)

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        self._objective.check_outputs(outputs)
        ranked = outputs.topk(max(1, min(5, outputs.shape[1] - 1)), dim=1).indices == targets[:, None]
        loss = F.cross_entropy(outputs, targets, reduction="none")
        facts = torch.stack([torch.ones_like(loss), ranked[:, 0].float(), ranked.any(1).float(), loss], dim=1)
        self._sums.index_add_(0, targets, facts.double())

    def scores(self, ranks: Ranks) -> Scores:
        sums = ranks.total(self._sums).cpu()
        count, top1, top5, loss = sums.sum(0).tolist()
        each = [
            {"images": int(n), "top1": first / max(1, n), "top5": fifth / max(1, n)}
            for n, first, fifth, _ in sums.tolist()
        ]
        return Scores(int(count), {"top1": top1 / count, "top5": top5 / count, "loss": loss / count}, each)


@dataclass(frozen=True, eq=False)
class Labels(Objective):
    """Any subset of several labels: binary cross-entropy of each; mean average precision, F1 at a probability of 0.5.

    `weights`: factors of the positive terms in each label's loss.
    """

    kind = "labels"
    metric = "map"
    smoothing: float = 0.0
    """s: a target y becomes y (1 - s) + s / 2."""

    def fitted(self, recipe: Recipe, config: Config) -> Recipe:  # noqa: ARG002
        """The recipe with the smoothing of these labels instead of its own, which is for classes."""
        return replace(recipe, smoothing=self.smoothing)

    def targets(self, values: Any) -> Tensor:
        """float32 [n, labels] of 0 and 1: vectors unchanged, lists of label numbers or names converted to vectors."""
        if isinstance(values, Tensor):
            return values.float().flatten(1)
        return torch.from_numpy(multi_hot(values, self.names, self.field))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy in nats, mean over samples and labels."""
        targets = targets.to(outputs.device)
        if self.smoothing:
            targets = targets * (1 - self.smoothing) + self.smoothing / 2
        weight = None if self.weights is None else _row(self.weights, torch.float32, outputs.device)
        return F.binary_cross_entropy_with_logits(outputs, targets, pos_weight=weight)

    def tally(self, device: torch.device) -> Tally:
        """See `Objective.tally`. Keeps all outputs, 8 bytes for each label of each image."""
        return _LabelTally(self, device)


class _LabelTally(Tally):
    def __init__(self, objective: Labels, device: torch.device) -> None:
        self._objective = objective
        self._outputs = [torch.zeros(0, len(objective.names), device=device)]
        self._targets = [torch.zeros(0, len(objective.names), device=device)]

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        self._objective.check_outputs(outputs)
        self._outputs.append(outputs)
        self._targets.append(targets.to(outputs.device))

    def scores(self, ranks: Ranks) -> Scores:
        outputs, targets = (ranks.rows(torch.cat(parts)) for parts in (self._outputs, self._targets))
        loss = F.binary_cross_entropy_with_logits(outputs, targets).item()
        made, truth = outputs.cpu().numpy(), targets.cpu().numpy() >= 0.5
        positive = made > 0
        hits, predicted, actual = (part.sum(0).astype(np.float64) for part in (positive & truth, positive, truth))
        precisions = [metrics.average_precision(made[:, k], truth[:, k]) for k in range(truth.shape[1])]
        single = metrics.f1(hits, predicted, actual)
        micro = metrics.f1(*(count.sum(keepdims=True) for count in (hits, predicted, actual)))
        known = [value for value in precisions if not np.isnan(value)]
        each = [
            {"images": int(n), "ap": 0.0 if np.isnan(ap) else ap, "f1": float(score)}
            for n, ap, score in zip(actual, precisions, single, strict=True)
        ]
        total = {
            "map": float(np.mean(known)) if known else 0.0,
            "f1_micro": float(micro[0]),
            "f1_macro": float(single.mean()),
            "loss": loss,
        }
        return Scores(len(truth), total, each)


@dataclass(frozen=True, eq=False)
class Numbers(Objective):
    """One or several numbers: squared or smooth absolute error of standardised values; MAE, RMSE and R2.

    The network learns (value - centre) / scale, so that learning rates do not depend on the targets' unit. Scores are
    in the unit of the targets: prediction = output * scale + centre.
    """

    kind = "numbers"
    metric = "r2"
    smooth: bool = False
    """Smooth L1 (Girshick, arXiv 1504.08083) instead of the squared error."""
    centre: tuple[float, ...] = ()
    """Mean of each number over the training data."""
    scale: tuple[float, ...] = ()
    """Standard deviation of each number; 1 instead of 0."""

    def fitted(self, recipe: Recipe, config: Config) -> Recipe:
        """The recipe without smoothing and CutMix, and with mixup only if `config` sets it."""
        if config.smoothing:
            raise ValueError(f"`smoothing` must be 0 for targets that are numbers, got {config.smoothing}.")
        if config.cutmix:
            raise ValueError(
                f"`cutmix` must be 0 for targets that are numbers, got {config.cutmix}: there is no number for a part "
                "of an image. `mixup` mixes images and numbers alike."
            )
        return replace(recipe, smoothing=0.0, cutmix=0.0, mixup=config.mixup or 0.0)

    def targets(self, values: Any) -> Tensor:
        """float32 [n, numbers], standardised."""
        raw = torch.as_tensor(values).double().reshape(len(values), -1)
        centre, scale = (_row(part, torch.float64, raw.device) for part in (self.centre, self.scale))
        return ((raw - centre) / scale).float()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over samples and numbers, in units of the standard deviation."""
        return (F.smooth_l1_loss if self.smooth else F.mse_loss)(outputs, targets.to(outputs.device))

    def tally(self, device: torch.device) -> Tally:
        """See `Objective.tally`."""
        return _NumberTally(self, device)

    def state(self) -> dict[str, Any]:
        """See `Objective.state`; includes centre and scale."""
        return {**super().state(), "centre": list(self.centre), "scale": list(self.scale)}


class _NumberTally(Tally):
    def __init__(self, objective: Numbers, device: torch.device) -> None:
        self._objective = objective
        self._sums = torch.zeros(6, len(objective.names), dtype=torch.float64, device=device)

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        self._objective.check_outputs(outputs)
        truth = targets.to(outputs.device).double()
        error = outputs.double() - truth
        loss = (F.smooth_l1_loss if self._objective.smooth else F.mse_loss)(outputs.double(), truth, reduction="none")
        facts = [torch.ones_like(error), error.abs(), error.square(), truth, truth.square(), loss]
        self._sums += torch.stack([part.sum(0) for part in facts])

    def scores(self, ranks: Ranks) -> Scores:
        count, absolute, squared, first, second, loss = ranks.total(self._sums).cpu().numpy()
        scale = np.array(self._objective.scale)
        # Sums of standardised values lose no digits, as they would with a mean far from 0.
        parts = metrics.r2(squared, np.maximum(second - first**2 / count, 0))
        mae, rmse = absolute / count * scale, np.sqrt(squared / count) * scale
        each = [
            {"images": int(n), "mae": float(a), "rmse": float(b), "r2": float(c)}
            for n, a, b, c in zip(count, mae, rmse, parts, strict=True)
        ]
        total = {name: float(np.mean(value)) for name, value in (("mae", mae), ("rmse", rmse), ("r2", parts))}
        return Scores(int(count[0]), {**total, "loss": float((loss / count).mean())}, each)


@lru_cache(maxsize=16)
def _row(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor of these values, cached, so that steps on a GPU do not wait for a copy."""
    return torch.tensor(values, dtype=dtype, device=device)


def multi_hot(values: Sequence[Any], names: Sequence[str], field: str) -> NDArray[np.float32]:
    """Lists of labels, numbers or names, as vectors of 0 and 1, float32 [n, labels].

    Raises:
        ValueError: a value that is not a list, or a label that is not in `names`.
    """
    place = {name: number for number, name in enumerate(names)}
    made = np.zeros((len(values), len(names)), np.float32)
    for row, labels in zip(made, values, strict=True):
        if not isinstance(labels, list):
            raise ValueError(f"field `{field}` must hold lists of labels, got {labels!r}; use bce with 0/1 vectors.")
        for label in labels:
            number = place.get(label, -1) if isinstance(label, str) else label
            if not isinstance(number, int) or not 0 <= number < len(names):
                raise ValueError(f"field `{field}`: a label must be one of the {len(names)} known ones, got {label!r}.")
            row[number] = 1
    return made


KINDS: dict[str, type[Objective]] = {kind.kind: kind for kind in (Classes, Labels, Numbers)}
LOSSES = {"cross-entropy": "classes", "bce": "labels", "mse": "numbers", "smooth-l1": "numbers"}
"""Available losses, and the kind of objective of each."""
