"""EfficientTrain++ against the baseline, in the same trainer: accuracy and wall time, loading included."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from efficienttrain.training import Config, train

from ..harness import machine
from ..harness.report import columns, head
from .labelled import bench, curves, named, of, percent, plain, spread

FAIRNESS = (
    "same trainer, loader, data, recipe, batch, seeds (first weights, order, crops), machine and threads (on a CPU "
    "one of them loads, the others train)",
    "the baseline shows full size and full augmentation (RandAugment 9) all the time, for so many epochs; "
    "EfficientTrain++ gets two thirds of that compute",
    "accuracy: at the end, at full size, on images never trained on; the weights themselves, not an average",
    "wall time: of the steps, loading included; evaluation and checkpoints are left out",
    "contestants take turns, and who begins changes with the seed",
)
NETWORKS = Path(__file__).with_name("networks.py")
OURS = ("convnet", "vit")
RUN: dict[str, Any] = {"evaluate_every": 0.5, "save_every": 0.5, "log_every": 10}
CONTESTANTS = {"baseline": ("none", 1.0), "EfficientTrain++": ("auto", 2 / 3)}
"""Curriculum, and share of the epochs' compute."""
SMALL: dict[str, Any] = {
    "models": list(OURS), "size": 64, "epochs": 2.0, "limit": 4500, "val_limit": 1500,
    "options": {
        "batch": 100, "lr": 1e-3, "warmup": 0.1, "drop_path": 0.0, "ema": 0.0, "clip_grad": 5.0,
        "mixup": 0.0, "cutmix": 0.0, "reprob": 0.0, "device": "cpu",
    },
}  # fmt: skip
"""For a CPU, which has time for a hundred steps or two in a run: mixing and erasing would only slow both down. Networks
take so long for an image that RandAugment, on a CPU in the training's own thread, has a small share of the time."""
LARGE: dict[str, Any] = {
    "models": ["resnet50", "deit_small_patch16_224"], "size": 224, "epochs": 18.0, "limit": 60000, "val_limit": 10000,
    "options": {"batch": 512, "lr": 1e-3, "ema": 0.0, "amp": "bf16", "device": "cuda", "replay": "auto"},
}  # fmt: skip
"""For a GPU: published recipes, but for batch and learning rate, since the data set is a twentieth of ImageNet."""


def run(
    data: str | None, models: Sequence[str] | None, seeds: int, epochs: float | None, *,
    gpu: bool = False, size: int | None = None, limit: int | None = None, threads: int | None = None,
    work: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Trains every model by both contestants, once for each seed; options given replace those of SMALL or LARGE.

    Args:
        models: "convnet", "vit", or any name of the trainer's.
        seeds: runs of each, at least 1.
        epochs: E, of the baseline.
        gpu: LARGE rather than SMALL.
        size: full size, pixels.
        data, limit, threads, work: see `labelled.bench`.

    Raises:
        FileNotFoundError: the data are not there.
        ValueError, LoaderError: as the trainer raises them.
    """
    preset = LARGE if gpu else SMALL
    models, epochs, size = models or preset["models"], epochs or preset["epochs"], size or preset["size"]
    with bench(data, size, limit or preset["limit"], preset["val_limit"], threads, work) as place:
        sets, runs = place.betons(), []
        for model in models:
            for seed in range(seeds):
                turns = list(CONTESTANTS.items())
                for name, (curriculum, share) in turns if seed % 2 == 0 else turns[::-1]:
                    print(f"{model}, {name}, seed {seed}", flush=True)
                    config = Config(
                        **sets,
                        **{**RUN, **preset["options"]},
                        model=f"{NETWORKS}:{model}" if model in OURS else model,
                        out=str(place.folder / f"{Path(model).name}-{name}-{seed}"),
                        curriculum=curriculum,
                        epochs=epochs * share,
                        size=size,
                        seed=seed,
                        workers=threads if gpu else 1,
                    )
                    runs.append({"model": model, "contestant": name, "seed": seed, **_facts(train(config).report)})
    return {
        "benchmark": "training",
        "machine": machine.card(),
        "fairness": FAIRNESS,
        "notes": [],
        "settings": {
            "data": named(data), "images": runs[0]["samples"], "size": size, "epochs": epochs,
            "seeds": seeds, "threads": threads, **preset["options"],
        },
        "results": [compare(runs, model) for model in models],
        "runs": runs,
    }  # fmt: skip


def compare(runs: Sequence[dict[str, Any]], model: str) -> dict[str, Any]:
    """One model: mean and spread of both contestants over the seeds, and how they compare, seed by seed."""
    mine = {name: of(runs, model=model, contestant=name) for name in CONTESTANTS}
    base, ours = mine.values()
    differences = [b["top1"] - a["top1"] for a, b in zip(base, ours, strict=True)]
    ratios = [a["seconds"] / b["seconds"] for a, b in zip(base, ours, strict=True)]
    compute = CONTESTANTS["baseline"][1] / CONTESTANTS["EfficientTrain++"][1]
    return {
        "model": model,
        "top1": {name: spread([r["top1"] for r in found]) for name, found in mine.items()},
        "seconds": {name: spread([r["seconds"] for r in found]) for name, found in mine.items()},
        "stall": {
            name: max(max(stage["stall"] for stage in r["stages"]) for r in found) for name, found in mine.items()
        },
        "difference": spread(differences),
        "compute_ratio": compute,
        "wall_ratio": spread(ratios),
        "hidden": mean(ratios) / compute,
    }


def text(report: dict[str, Any]) -> str:
    """The report as a table."""
    rows = [
        [
            "model",
            "contestant",
            "top-1 %",
            "seconds",
            "worst stall",
            "top-1, difference",
            "wall time ratio",
            "/ compute",
        ]
    ]
    for result in report["results"]:
        for name in CONTESTANTS:
            row = [result["model"], name, percent(result["top1"][name]), plain(result["seconds"][name], 1)]
            row.append(f"{result['stall'][name]:.1%}")
            if name != "baseline":
                row += [percent(result["difference"], "+"), plain(result["wall_ratio"], 2), f"{result['hidden']:.2f}"]
            rows.append(row + [""] * (8 - len(row)))
    return f"{head(report)}\nmean ± standard deviation over the seeds\n\n{columns(rows)}"


def draw(report: dict[str, Any], path: str) -> None:
    """Accuracy against wall time, a panel for each model, a line for each run."""
    from matplotlib.figure import Figure

    models = [result["model"] for result in report["results"]]
    figure = Figure(figsize=(5.5 * len(models), 4), layout="constrained")
    colours = dict(zip(CONTESTANTS, ("#9aa5b1", "#0f7b6c"), strict=True))
    for panel, model in zip(figure.subplots(1, len(models), squeeze=False)[0], models, strict=True):
        curves(panel, of(report["runs"], model=model), "seconds", colours)
        panel.set_title(Path(model).name, loc="left")
        panel.set_xlabel("wall time of the steps, loading included, s")
    figure.savefig(path, dpi=120)


def _facts(made: dict[str, Any]) -> dict[str, Any]:
    kept = {key: made[key] for key in ("seconds", "images", "loaded", "stall", "stages", "evaluations")}
    return {**kept, "top1": made["last"]["top1"], "samples": made["identity"]["samples"]}
