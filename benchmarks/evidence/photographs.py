"""The curriculum on photographs: accuracy at equal and at less compute, wall time with two loaders, ablations.

Accuracy comes from whole trainings, one after the other. Wall time comes from short interleaved windows of training
steps (train_window.py), because a machine that others use changes its speed in the course of the trainings: a run's
wall time is its images at each resolution, divided by the speed measured there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from efficienttrain.curriculum import BASE
from efficienttrain.recipe import recipe
from efficienttrain.training import Config, prepare, resolve, train

from ..harness import machine
from ..harness.contestant import Job
from ..harness.measure import summary
from ..harness.report import columns, head
from .arms import BASELINE, CURRICULUM, MAIN, Arm, arms, curriculum_of
from .labelled import Bench, bench, named, of, percent, spread
from .shared_report import SharedReport, claim
from .train_window import LOADERS, measure
from .training import NETWORKS

FAIRNESS = (
    "same trainer, loader, data, recipe, batch, seeds (first weights, order, crops); an arm differs from the one it is "
    "compared with in what its name says, and in nothing else",
    "the baseline shows full size and full augmentation (RandAugment 9) all the time; the learning rate and the number "
    "of epochs were chosen for it, on the validation images",
    "accuracy: of the last weights, at full size, on test images that no setting was chosen by; no run is left out",
    "differences are taken seed by seed",
    "wall time: of training steps with their loading, from short windows; loaders and resolutions are interleaved, and "
    "ratios are taken inside a round; both loaders have `threads` workers and the network one thread less (at least "
    "one), all on the same `threads` CPUs",
)
OURS = {"small_convnet": 4e-3, "small_vit": 2e-3}
"""Networks of networks.py, and their learning rates."""
TESTS, VALIDATIONS = ("test",), ("validation", "val")
SMALL: dict[str, Any] = {
    "models": [*OURS], "size": 112, "epochs": 40.0,
    "options": {
        "batch": 64, "warmup": 0.1, "drop_path": 0.0, "ema": 0.0, "device": "cpu",
        "evaluate_every": 0.1, "save_every": 0.1, "log_every": 100,
    },
}  # fmt: skip
"""For a CPU: small networks at half of the published resolutions, 48, 80 and 112 pixels. Augmentation and
regularisation are the published ones but for drop path, which the recipes scale with the compute."""
LARGE: dict[str, Any] = {
    "models": ["resnet50", "deit_small_patch16_224"], "size": BASE, "epochs": 200.0,
    "options": {
        "batch": 256, "lr": 1e-3, "ema": 0.0, "amp": "bf16", "device": "cuda",
        "evaluate_every": 0.1, "save_every": 0.1, "log_every": 20,
    },
}  # fmt: skip
"""For a GPU: published networks, recipes and resolutions, but for batch and learning rate."""
ROUNDS, SECONDS = 5, 2.0


def run(
    data: str, models: Sequence[str] | None = None, seeds: int = 3, epochs: float | None = None, *,
    gpu: bool = False, size: int | None = None, ablations: bool = False, curricula: Sequence[str] = (),
    judge: str = "test", minutes: float | None = None, remeasure: bool = False, threads: int = 1,
    work: str | None = None, json_path: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Runs the trainings that the report at `json_path` lacks, and writes it after every training.

    Several processes may run this at once with the same arguments, `work` included: they share the trainings out.

    Args:
        data: folder with train/, test/ and, for `judge`, validation/ or val/; a folder a class in each.
        models: names of networks.py, or of the trainer's.
        seeds: runs of each arm, at least 1.
        epochs: of the baseline.
        gpu: LARGE rather than SMALL; options given replace those.
        size: full size, pixels.
        ablations: train the ablations, too, after everything else.
        curricula: files of further curricula, see `arms`.
        judge: "test", or "validation" while settings are being chosen.
        minutes: begin no training after so many; None: no limit.
        remeasure: measure wall time again, though the report has it.
        threads: see FAIRNESS; the trainings have one loading thread (on a GPU `threads`).
        work: folder for derived files and checkpoints, by which an interrupted training resumes.
        json_path: the report; one that exists is continued.

    Raises:
        FileNotFoundError: the data are not there.
        ValueError: the report at `json_path` was made with other settings; or as the trainer raises it.
        LoaderError, Failed: as the trainer and the windows raise them.
    """
    preset, began = LARGE if gpu else SMALL, time.monotonic()
    models, epochs, size = models or preset["models"], epochs or preset["epochs"], size or preset["size"]
    every = arms(ablations, curricula)
    judges = _split(Path(data), TESTS if judge == "test" else VALIDATIONS)
    settings = {"data": named(data), "judged on": judge, "size": size, "epochs": epochs, **preset["options"]}
    settings |= {} if gpu else {"lr": OURS}
    fresh: dict[str, Any] = {
        "benchmark": "photographs", "version": 1, "machine": machine.card(), "fairness": list(FAIRNESS), "notes": [],
        "settings": settings, "results": [], "windows": [], "runs": [],
    }  # fmt: skip
    report = SharedReport(fresh, json_path, finished)
    with bench(data, 0, 0, 0, threads, work) as place:
        sets = {"data": place.beton("train"), "val": place.beton(judges)}
        shared = {**sets, **preset["options"], "size": size, "workers": threads if gpu else 1}
        lock, elsewhere = place.folder / "report.lock", False
        for model, arm, seed in order(models, every, seeds):
            config = config_of(model, arm, seed, place, shared, epochs)
            with claim(Path(f"{config.out}.lock")) as mine:
                if of(report.read()["runs"], model=model, arm=arm.name, seed=seed):
                    continue
                if minutes is not None and time.monotonic() - began > 60 * minutes:
                    break
                if not mine:
                    elsewhere = True
                    continue
                print(f"{model}, {arm.name}, seed {seed}", flush=True)
                report.add("runs", train_arm(model, arm, seed, config), ("model", "arm", "seed"), lock)
        for model in () if elsewhere else models:  # the process that ends last measures, undisturbed
            now = report.read()
            wanted = {stage["resolution"] for run in of(now["runs"], model=model) for stage in run["stages"]}
            if remeasure or not wanted <= covered(of_model(now["windows"], model)):
                report.add("windows", windows(model, place, shared, epochs, threads, wanted), ("model",), lock)
    return finished(report.read())


def order(models: Sequence[str], every: Sequence[Arm], seeds: int) -> list[tuple[str, Arm, int]]:
    """All trainings: seed by seed the main arms of every model, then the others; whenever it stops, it is balanced."""
    others = [arm for arm in every if arm not in MAIN]
    return [(m, arm, seed) for part in (MAIN, others) for seed in range(seeds) for m in models for arm in part]


def train_arm(model: str, arm: Arm, seed: int, config: Config) -> dict[str, Any]:
    """One training, or the rest of it if its checkpoints are there; returns its entry in the report."""
    before, began = os.getloadavg()[0], time.perf_counter()
    made = train(config).report
    keys = ("resolution", "magnitude", "batch", "steps", "images", "seconds", "rate", "stall")
    points = ("step", "progress", "top1", "top1_stage", "loss", "seconds")
    return {
        "model": model, "arm": arm.name, "seed": seed, "compute": arm.compute,
        "samples": made["identity"]["samples"], "images": made["images"], "seconds": made["seconds"],
        "seconds_in_all": time.perf_counter() - began, "load": [before, os.getloadavg()[0]],
        "top1": made["last"]["top1"], "loss": made["last"]["loss"],
        "stages": [{key: stage[key] for key in keys} for stage in made["stages"]],
        "evaluations": [{key: point[key] for key in points} for point in made["evaluations"]],
    }  # fmt: skip


def config_of(model: str, arm: Arm, seed: int, place: Bench, shared: dict[str, Any], epochs: float) -> Config:
    """The arm's training."""
    network, budget = f"{NETWORKS}:{model}" if model in OURS else model, epochs * arm.compute
    rate = {"lr": OURS[model]} if model in OURS else {}
    home = place.folder / f"{Path(shared['val']).stem}-{shared['size']}px-{epochs:g}"
    name = f"{Path(model).name}-{arm.name}-{seed}".replace(" ", "-").replace("/", "of")
    return Config(
        **{**shared, **rate, **arm.options}, model=network, epochs=budget, seed=seed, out=str(home / name),
        curriculum=curriculum_of(arm, network, budget, place.folder),
    )  # fmt: skip


def windows(
    model: str, place: Bench, shared: dict[str, Any], epochs: float, threads: int, trained: set[int]
) -> dict[str, Any]:
    """Training images a second with each loader, round by round, at the curriculum's resolutions and `trained`."""
    config = config_of(model, BASELINE, 0, place, shared, epochs)
    stages = resolve.scaled(recipe(config.model, epochs).stages, config.size, prepare.multiple(config))
    resolutions = sorted({stage.resolution for stage in stages} | {config.size} | trained)
    folder = str(place.images / "train")
    fields = {key: value for key, value in shared.items() if key not in ("val", "workers")}
    options = {"config": {**fields, "out": "", "model": config.model, "epochs": epochs, "curriculum": "none"}}
    device, batch = "cuda" if config.device == "cuda" else "cpu", config.batch or 0
    jobs = [
        Job(
            f"{loader}-{Path(model).name}", resolution, threads, batch, folder, config.data, str(place.folder),
            options={"loader": loader, **options}, device=device,
        )
        for resolution in resolutions for loader in LOADERS
    ]  # fmt: skip
    print(f"{model}: wall time of steps at {', '.join(map(str, resolutions))} pixels", flush=True)
    before = os.getloadavg()[0]
    rates = measure(jobs, ROUNDS, SECONDS, place.folder)
    found = [
        {"loader": job.options["loader"], "resolution": job.resolution, "rates": each, **summary(each)}
        for job, each in zip(jobs, rates, strict=True)
    ]
    card = machine.card()  # the trainings may have been run on others
    return {
        "model": model, "threads": threads, "batch": batch, "machine": {key: card[key] for key in ("cpu", "simd")},
        "load": [before, os.getloadavg()[0]], "rates": found,
    }  # fmt: skip


def of_model(found: Sequence[dict[str, Any]], model: str) -> dict[str, Any] | None:
    """The windows of this model, if there are any."""
    return next((each for each in found if each["model"] == model), None)


def covered(measured: dict[str, Any] | None) -> set[int]:
    """The resolutions that were measured."""
    return {found["resolution"] for found in measured["rates"]} if measured else set()


def wall_times(run: dict[str, Any], measured: dict[str, Any], loader: str, until: int | None = None) -> list[float]:
    """Seconds that a run's steps up to `until` (all) take, loading included, by the speeds of each round.

    Raises:
        KeyError: a resolution of the run was not measured.
    """
    rates = {found["resolution"]: found["rates"] for found in measured["rates"] if found["loader"] == loader}
    left = sum(stage["steps"] for stage in run["stages"]) if until is None else until
    seconds = [0.0] * len(next(iter(rates.values())))
    for stage in run["stages"]:
        images = min(left, stage["steps"]) * stage["batch"]
        left -= min(left, stage["steps"])
        speeds = rates[stage["resolution"]]
        seconds = [done + images / speed for done, speed in zip(seconds, speeds, strict=True)]
    return seconds


def compare(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Each arm of each model: mean and spread over the seeds, difference and ratios of wall time."""
    every = {arm.name: arm for arm in arms(True, ())}
    results = []
    for model, name in dict.fromkeys((run["model"], run["arm"]) for run in report["runs"]):
        mine = of(report["runs"], model=model, arm=name)
        against = every[name].against if name in every else CURRICULUM.name
        theirs = {run["seed"]: run["top1"] for run in of(report["runs"], model=model, arm=against)}
        gaps = [run["top1"] - theirs[run["seed"]] for run in mine if run["seed"] in theirs]
        result: dict[str, Any] = {
            "model": model, "arm": name, "seeds": len(mine), "compute": mine[0]["compute"],
            "passes": mine[0]["images"] / mine[0]["samples"], "top1": spread([run["top1"] for run in mine]),
            "against": against, "difference": spread(gaps) if gaps and name != against else None,
        }  # fmt: skip
        baselines, measured = of(report["runs"], model=model, arm=BASELINE.name), of_model(report["windows"], model)
        resolutions = {stage["resolution"] for run in mine[:1] + baselines[:1] for stage in run["stages"]}
        if measured and baselines and resolutions <= covered(measured):  # else the windows follow
            for loader in LOADERS:
                seconds = wall_times(mine[0], measured, loader)
                usual = wall_times(baselines[0], measured, "torchvision")
                same = wall_times(baselines[0], measured, loader)
                result[loader] = {
                    "seconds": summary(seconds),
                    "faster_than_baseline": summary(b / s for b, s in zip(same, seconds, strict=True)),
                    "faster_than_baseline_on_torchvision": summary(b / s for b, s in zip(usual, seconds, strict=True)),
                }
        results.append(result)
    return results


def finished(report: dict[str, Any]) -> dict[str, Any]:
    """The report with its results."""
    return {**report, "results": compare(report)}


def text(report: dict[str, Any]) -> str:
    """The report as a table."""
    first = ["model", "arm", "compute", "passes", "seeds", "top-1 %", "difference", "against"]
    rows = [[*first, *(f"{loader}: s" for loader in LOADERS), *(f"{loader}: x" for loader in LOADERS)]]
    for result in report["results"]:
        gap = result["difference"]
        row = [
            result["model"], result["arm"], f"{result['compute']:.2f}", f"{result['passes']:.0f}", str(result["seeds"]),
            percent(result["top1"]), percent(gap, "+") if gap else "", result["against"] if gap else "",
        ]  # fmt: skip
        for key, digits in (("seconds", 0), ("faster_than_baseline_on_torchvision", 2)):
            row += [f"{result[loader][key]['median']:.{digits}f}" if loader in result else "" for loader in LOADERS]
        rows.append(row)
    legend = (
        "mean ± standard deviation over the seeds; s: wall time by the windows; x: the baseline's with torchvision's "
        "DataLoader ÷ this"
    )
    return f"{head(report)}\n{legend}\n\n{columns(rows)}"


def _split(data: Path, names: Sequence[str]) -> str:
    for name in ("train", *names):
        if name != "train" and (data / name).is_dir():
            return name
        if name == "train" and not (data / name).is_dir():
            raise FileNotFoundError(f"`--data` must be a folder with train/, got {data}.")
    raise FileNotFoundError(f"{data} must have a folder {' or '.join(f'{name}/' for name in names)}, with the classes.")


COLOURS = {BASELINE.name: "#9aa5b1", "EfficientTrain++, 2/3": "#0f7b6c", "EfficientTrain++, equal": "#c2611f"}
DASHES = {"ours": "-", "torchvision": ":"}


def draw(report: dict[str, Any], path: str) -> None:
    """Accuracy against compute, and against wall time with each loader: a row for each model, means over the seeds."""
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(run["model"] for run in report["runs"]))
    figure = Figure(figsize=(11, 4 * len(models)), layout="constrained")
    for model, (left, right) in zip(models, figure.subplots(len(models), 2, squeeze=False), strict=True):
        measured = of_model(report["windows"], model)
        for name, colour in COLOURS.items():
            runs = of(report["runs"], model=model, arm=name)
            if not runs:
                continue
            accuracy = [
                [100 * point["top1"] for point in points]
                for points in zip(*(run["evaluations"] for run in runs), strict=True)
            ]
            means = [sum(each) / len(each) for each in accuracy]
            shares = [runs[0]["compute"] * point["progress"] for point in runs[0]["evaluations"]]
            left.plot(shares, means, color=colour, label=f"{name} ({len(runs)} seeds)")
            left.fill_between(shares, [*map(min, accuracy)], [*map(max, accuracy)], color=colour, alpha=0.15, lw=0)
            if measured is None:
                continue
            steps = [point["step"] for point in runs[0]["evaluations"]]
            for loader in LOADERS:
                seconds = [summary(wall_times(runs[0], measured, loader, step))["median"] for step in steps]
                right.plot(seconds, means, DASHES[loader], color=colour, label=f"{name}, {loader}")
        left.set_title(Path(model).name, loc="left")
        left.set_xlabel("compute, in the baseline's; band: least to greatest over the seeds")
        right.set_xlabel("wall time of the steps, loading included, s")
        for panel in (left, right):
            panel.set_ylabel("top-1 at full size, %")
            if panel.lines:
                panel.legend(frameon=False, loc="lower right", fontsize="small")
            panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
