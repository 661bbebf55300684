"""The value of pre-training without labels: fine-tuning on few labels after it, and training on them from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from efficienttrain.pretraining import Masking, pretrain
from efficienttrain.training import Config, train

from ..harness import machine
from ..harness.report import columns, head
from .labelled import bench, named, of, percent, plain, spread
from .training import NETWORKS

FAIRNESS = (
    "equal fine-tuning: same trainer, labelled images, passes, recipe, seed, size; only the first weights differ",
    "pre-training sees all training images, without labels; what it costs comes on top, and is told",
    "the curriculum of 2023 spends 1 / 1.53 of the compute of constant size, in as many passes over the data, or in "
    "fewer where resolutions have to be rounded up",
    "accuracy: at the end, at full size, on images never trained on",
    "wall time: of the steps, loading included; checkpoints, pictures and evaluation are left out",
)
BEGINNINGS = {"from scratch": None, "MAE, constant size": "none", "MAE, curriculum": "iccv"}
"""The initial weights of fine-tuning, by the curriculum of their pre-training."""
PRETRAINING: dict[str, Any] = {"batch": 100, "lr": 2e-3, "warmup": 0.1, "save_every": 0.5}
TUNING: dict[str, Any] = {
    "batch": 50, "lr": 1e-3, "warmup": 0.1, "drop_path": 0.0, "ema": 0.0, "mixup": 0.0, "cutmix": 0.0, "reprob": 0.0,
    "evaluate_every": 1.0, "save_every": 1.0,
}  # fmt: skip
PLAIN = "stages: [{resolution: 224, magnitude: null, compute: 1.0}]\n"
"""Fine-tuning at constant size without RandAugment: on a CPU it has time for little."""
VAL_LIMIT = 2000


def run(
    data: str | None, seeds: int, pretrain_epochs: float, epochs: float, labels: int, *, target: str = "pixels",
    size: int = 64, limit: int = 5000, threads: int | None = None, work: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Pre-trains the small ViT of `training` twice, and fine-tunes it from each beginning, once for each seed.

    Args:
        seeds: runs of each, at least 1.
        pretrain_epochs: passes over the unlabelled images.
        epochs: passes over the labelled ones.
        labels: images of each class that have one.
        target: of pre-training, "pixels" or "hog".
        size: full size, pixels.
        data, limit, threads, work: see `labelled.bench`.

    Raises:
        FileNotFoundError: the data are not there.
        ValueError, LoaderError: as the trainer raises them.
    """
    with bench(data, size, limit, VAL_LIMIT, threads, work) as place:
        sets, few = place.betons(), place.beton("train", f"{labels}-labels", slice(labels))
        constant = place.folder / "plain.yaml"
        constant.write_text(PLAIN)
        shared: dict[str, Any] = {"model": f"{NETWORKS}:narrow_vit", "size": size, "workers": 1, "device": "cpu"}
        runs = []
        for seed in range(seeds):
            for name, curriculum in BEGINNINGS.items():
                print(f"{name}, seed {seed}", flush=True)
                out = place.folder / f"{name.replace(' ', '-')}-{target}-{seed}"
                facts: dict[str, Any] = {"pretrain_seconds": 0.0, "pretrain_stages": []}
                init = None
                if curriculum is not None:
                    asked = Config(
                        **shared, **PRETRAINING, data=sets["data"], out=f"{out}-pretrained", seed=seed,
                        epochs=pretrain_epochs, curriculum=curriculum,
                    )  # fmt: skip
                    before = pretrain(asked, Masking(target))
                    init = str(before.out / "encoder.pt")
                    facts |= {"pretrain_seconds": before.seconds, "pretrain_stages": before.report["stages"]}
                tuned = train(
                    Config(
                        **shared, **TUNING, data=few, val=sets["val"], out=f"{out}-tuned", seed=seed, epochs=epochs,
                        curriculum=str(constant), init=init,
                    )
                )  # fmt: skip
                runs.append({"beginning": name, "seed": seed, **facts, "top1": tuned.top1, "seconds": tuned.seconds})
    return {
        "benchmark": "pretraining",
        "machine": machine.card(),
        "fairness": FAIRNESS,
        "notes": [],
        "settings": {
            "data": named(data), "labels a class": labels, "size": size, "seeds": seeds, "target": target,
            "pre-training epochs": pretrain_epochs, "epochs": epochs, "threads": threads,
        },
        "results": [compare(runs, name) for name in BEGINNINGS],
        "runs": runs,
    }  # fmt: skip


def compare(runs: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """One beginning: mean and spread over the seeds, and its differences from the first, seed by seed."""
    mine, scratch, constant = (of(runs, beginning=which) for which in (name, *list(BEGINNINGS)[:2]))
    facts: dict[str, Any] = {
        "beginning": name,
        "top1": spread([r["top1"] for r in mine]),
        "difference": spread([a["top1"] - b["top1"] for a, b in zip(mine, scratch, strict=True)]),
        "pretrain_seconds": spread([r["pretrain_seconds"] for r in mine]),
    }
    if mine[0]["pretrain_stages"]:
        pairs = list(zip(mine, constant, strict=True))
        facts["wall_ratio"] = spread([b["pretrain_seconds"] / a["pretrain_seconds"] for a, b in pairs])
        facts["compute_ratio"] = cost(constant[0]["pretrain_stages"]) / cost(mine[0]["pretrain_stages"])
    return facts


def cost(stages: Sequence[dict[str, Any]]) -> float:
    """Compute of a pre-training, in images of one pixel: resolution squared for each image."""
    return float(sum(stage["images"] * stage["resolution"] ** 2 for stage in stages))


def text(report: dict[str, Any]) -> str:
    """The report as a table."""
    rows = [["fine-tuning begins", "top-1 %", "more than scratch", "pre-training s", "wall ratio", "compute ratio"]]
    for result in report["results"]:
        row = [result["beginning"], percent(result["top1"])]
        if "wall_ratio" in result:
            row += [percent(result["difference"], "+"), plain(result["pretrain_seconds"], 1)]
            row += [plain(result["wall_ratio"], 2), f"{result['compute_ratio']:.2f}"]
        rows.append(row + [""] * (6 - len(row)))
    return f"{head(report)}\nmean ± standard deviation over the seeds\n\n{columns(rows)}"
