"""Several labels and numbers: read from tables, trained, evaluated, and learned better than by chance."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from efficienttrain.evaluation import evaluate
from efficienttrain.recipe import recipe
from efficienttrain.training import metrics, train
from efficienttrain.training.choose_objective import choose, target_options
from efficienttrain.training.distributed import Ranks
from efficienttrain.training.evaluate import score
from efficienttrain.training.logbook import read
from efficienttrain.training.objective import Classes, Labels, Numbers, Objective
from loaders import Loader, convert
from tests.efficienttrain.training.runs import config, curve

NAMES = ["red", "green", "blue"]
FIELDS: dict[str, Any] = {
    "label": ("uint8", 3), "tags": "json", "bright": "float", "pair": ("float32", 2), "flags": ("float32", 3),
    "age": "int", "note": "bytes",
}  # fmt: skip
ALONE = Ranks(0, 1, torch.device("cpu"))


def rows(folder: Path, count: int) -> list[dict[str, Any]]:
    """Images of one colour: a label says whether a channel is high, a number how bright it is (from 1000 on)."""
    rng = np.random.Generator(np.random.Philox(key=[7, count]))
    made = []
    for k in range(count):
        high = rng.integers(0, 2, 3)
        levels = np.where(high, 200, 40) + rng.integers(-20, 20, 3)
        noise = rng.integers(-10, 10, (64, 64, 1))
        place = folder / f"{k:03}.jpg"
        Image.fromarray(np.clip(levels + noise, 0, 255).astype(np.uint8)).save(place, quality=90)
        bright = 1000 + 10 * float(levels.mean())
        row: dict[str, Any] = {"path": place.name, "label": high.tolist(), "flags": high.astype(float).tolist()}
        row |= {"tags": [NAMES[i] for i in np.flatnonzero(high)], "age": int(high.sum()), "note": f"image {k}"}
        made.append(row | {"bright": bright, "pair": [bright, -float(levels[0])]})
    return made


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.beton from a CSV, val.beton from JSON lines."""
    root = tmp_path_factory.mktemp("targets")
    for split, count in (("train", 48), ("val", 24)):
        (root / split).mkdir()
        made = rows(root / split, count)
        table = root / split / ("table.csv" if split == "train" else "table.jsonl")
        with open(table, "w", newline="") as file:
            if split == "train":
                writer = csv.DictWriter(file, list(made[0]))
                writer.writeheader()
                writer.writerows(
                    {key: json.dumps(value) if isinstance(value, list) else value for key, value in row.items()}
                    for row in made
                )
            else:
                file.writelines(json.dumps(row) + "\n" for row in made)
        convert(table, root / f"{split}.beton", fields=FIELDS, classes=NAMES, workers=1, ratios=(1.0,))
    return root


def trained(sets: Path, out: Path, **options: Any) -> Any:
    given = {"epochs": 20.0, "batch": 16, "lr": 3e-2, "evaluate_every": 0.5, "optimizer": "adamw", "ema": 0.0}
    asked = config(sets, out, **{**given, **options})
    object.__setattr__(asked, "data", str(sets / "train.beton"))
    object.__setattr__(asked, "val", str(sets / "val.beton"))
    return asked, train(asked)


@pytest.mark.parametrize(
    ("options", "metric", "least"),
    [
        ({"target": "label", "mixup": 0.2, "cutmix": 0.2, "class_weights": "balanced"}, "map", 0.9),
        ({"target": "tags", "smoothing": 0.1, "stage_replay": ", replay: 2, replay_buffer: 3"}, "map", 0.9),
        ({"target": "bright", "mixup": 0.2, "cutmix": None}, "r2", 0.6),
        ({"target": "pair", "cutmix": None, "loss": "smooth-l1"}, "r2", 0.6),
    ],
    ids=["vector", "list", "number", "two numbers"],
)
def test_targets_are_learned(sets: Path, tmp_path: Path, options: dict[str, Any], metric: str, least: float) -> None:
    asked, result = trained(sets, tmp_path / "run", **options)
    last = result.report["last"]
    assert result.top1 is None and result.best is not None
    assert last[metric] > least and result.best >= last[metric]
    assert result.report[f"best_{metric}"] == pytest.approx(result.best)
    found = evaluate(
        asked.model, sets / "val.beton", tmp_path / "run" / "best.pt", size=64, device="cpu", num_workers=1,
        interpolation="fourier",
    )  # fmt: skip
    assert found.metric == metric and found.scores[metric] == pytest.approx(result.best, abs=0.03)
    assert found.as_json()["classes"][0]["images"] > 0
    again = train(asked)  # finished: read from the checkpoint alone
    assert again.report == result.report
    assert len(curve(tmp_path / "run")) == again.report["curve"][-1]["step"]
    (begun,) = (line for line in read(tmp_path / "run") if line["kind"] == "begin")
    assert begun["metric"] == metric


def kind(sets: Path, field: str, **options: Any) -> Objective:
    with Loader(sets / "train.beton", 8, train=False, num_workers=1, **target_options(field)) as loader:
        return choose(loader, field, **options)


def test_the_type_decides(sets: Path) -> None:
    assert isinstance(kind(sets, "label"), Labels) and kind(sets, "label").names == tuple(NAMES)
    assert isinstance(kind(sets, "tags"), Labels)
    assert isinstance(kind(sets, "flags"), Labels)  # floats, but all of them 0 or 1
    assert isinstance(kind(sets, "flags", loss="mse"), Numbers)
    age = kind(sets, "age")
    assert isinstance(age, Classes) and age.names == ("0", "1", "2", "3") and age.outputs == 4
    years = kind(sets, "age", loss="mse")
    assert isinstance(years, Numbers) and years.outputs == 1
    number = kind(sets, "bright")
    assert isinstance(number, Numbers) and 1900 < number.centre[0] < 2500 and not number.smooth
    assert kind(sets, "pair", loss="smooth-l1").names == ("pair[0]", "pair[1]")


def test_weights_balance(sets: Path) -> None:
    ages = [row["age"] for row in map(json.loads, (sets / "val" / "table.jsonl").read_text().splitlines())]
    with Loader(sets / "val.beton", 8, train=False, num_workers=1, **target_options("age")) as loader:
        classes = choose(loader, "age", balanced=True)
    assert classes.weights is not None
    counts = np.bincount(ages, minlength=4)
    assert np.dot(counts, classes.weights) == pytest.approx(len(ages))  # the mean over samples is 1
    assert np.ptp((counts * classes.weights)[counts > 0]) == pytest.approx(0)
    labels = kind(sets, "label", balanced=True)
    assert labels.weights is not None and len(labels.weights) == 3 and min(labels.weights) > 0


@pytest.mark.parametrize(
    ("field", "options", "told"),
    [
        ("note", {}, r"`note` \(bytes\) can be the target of no loss, got none"),
        ("mask", {}, "`target` must be one of label, tags, .*got 'mask'"),
        ("tags", {"loss": "mse"}, r"`tags` \(json\) can be the target of bce, got mse"),
        ("pair", {"loss": "bce"}, r"must hold 0 and 1 for the loss bce, got 1.*in sample 0 \(000.jpg\)"),
        ("bright", {"balanced": True}, "`class_weights` must be none for targets that are numbers"),
        ("label", {"outputs": 5}, "`classes` must be the 3 outputs of field `label`"),
        ("age", {"outputs": 2}, "`classes` must be at least the 4 classes of the data, got 2"),
    ],
)
def test_wrong_targets_are_refused(sets: Path, field: str, options: dict[str, Any], told: str) -> None:
    with (
        Loader(sets / "train.beton", 8, num_workers=1, fields=("image",)) as loader,
        pytest.raises(ValueError, match=told),
    ):
        choose(loader, field, **options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"target": "bright", "cutmix": 1.0}, "`cutmix` must be 0 for targets that are numbers, got 1.0"),
        ({"target": "bright", "cutmix": None, "smoothing": 0.1}, "`smoothing` must be 0 for targets that are numbers"),
    ],
)
def test_what_makes_no_sense_for_numbers_is_refused(
    sets: Path, tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        trained(sets, tmp_path / "run", **options)


def test_the_recipe_for_classes_does_not_hold_for_numbers(sets: Path, tmp_path: Path) -> None:
    asked = config(sets, tmp_path / "run", target="bright", mixup=None, cutmix=None)
    fitted = kind(sets, "bright").fitted(recipe("resnet50", 10), asked)
    assert (fitted.mixup, fitted.cutmix, fitted.smoothing) == (0, 0, 0)


class Constant(nn.Module):
    """The same outputs for every image."""

    def __init__(self, *outputs: float) -> None:
        super().__init__()
        self.outputs = nn.Parameter(torch.tensor(outputs))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.outputs.expand(len(images), -1)


def test_constants_have_no_skill(sets: Path) -> None:
    options: dict[str, Any] = {"train": False, "num_workers": 1}
    with Loader(sets / "val.beton", 7, **options, **target_options("bright")) as loader:
        numbers = choose(loader, "bright")
        found = score(Constant(0.0), loader, numbers, 32, ALONE)  # the mean
        assert found.total["r2"] == pytest.approx(0, abs=1e-6) and found.images == 24
        values = np.array(loader.source.read_field("bright", range(24)))
        assert found.total["mae"] == pytest.approx(np.abs(values - values.mean()).mean(), rel=1e-5)
        assert found.total["rmse"] == pytest.approx(values.std(), rel=1e-5)
    with Loader(sets / "val.beton", 7, **options, **target_options("label")) as loader:
        found = score(Constant(1.0, -1.0, 1.0), loader, choose(loader), 32, ALONE)
        truth = np.array(loader.source.read_field("label", range(24)))
        assert found.total["map"] == pytest.approx(truth.mean(0).mean())  # equal scores: precision of all
        assert [one["f1"] for one in found.each][1] == 0
        with pytest.raises(ValueError, match="an output for each of the 3 labels, got 2"):
            score(Constant(1.0, 0.0), loader, choose(loader), 32, ALONE)


def test_scores_by_their_definitions() -> None:
    rng = np.random.Generator(np.random.Philox(key=[1, 2]))
    for levels in (1000, 5):  # few levels: ties
        scores, truth = rng.integers(0, levels, 200) / levels, rng.integers(0, 4, 200) == 0
        area, before = 0.0, 0.0
        for least in np.unique(scores)[::-1]:
            told = scores >= least
            recall, precision = (told & truth).sum() / truth.sum(), (told & truth).sum() / told.sum()
            area, before = area + (recall - before) * precision, recall
        assert metrics.average_precision(scores, truth) == pytest.approx(area)
    assert np.isnan(metrics.average_precision(np.arange(3.0), np.zeros(3, bool)))
    told, true = rng.integers(0, 2, (50, 3)) == 1, rng.integers(0, 2, (50, 3)) == 1
    right = (told & true).sum(0)
    wanted = 2 / (told.sum(0) / right + true.sum(0) / right)
    np.testing.assert_allclose(metrics.f1(*(part.astype(float) for part in (right, told.sum(0), true.sum(0)))), wanted)
    assert metrics.f1(np.zeros(1), np.zeros(1), np.zeros(1)).item() == 0
    np.testing.assert_allclose(metrics.r2(np.array([1.0, 4, 0, 1]), np.array([2.0, 4, 0, 0])), [0.5, 0, 1, 0])


def test_average_precision_by_hand() -> None:
    assert metrics.average_precision(np.array([4.0, 3, 2, 1]), np.array([True, False, True, False])) == pytest.approx(
        (1 + 2 / 3) / 2
    )
