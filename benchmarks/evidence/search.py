"""A curriculum searched for, against constant size at the same compute: accuracy, and the search's cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from efficienttrain.curriculum import Stage, merged
from efficienttrain.custom import write_curriculum
from efficienttrain.search import Local, Plan, ProbeFailed, Space, run_search
from efficienttrain.search.executors import Executor
from efficienttrain.search.probe_log import Table, read
from efficienttrain.training import Config, train

from ..harness import machine
from ..harness.measure import Failed
from ..harness.report import columns, head
from .labelled import Bench, bench, curves, named, of, percent, plain, spread
from .training import NETWORKS

FAIRNESS = (
    "equal compute, counted as the square of the resolution for each image; same trainer, recipe, batch, augmentation "
    "(RandAugment as given), seeds, machine and threads: only the resolutions differ",
    "the search scores its probes on one half of the evaluation images; accuracies below are of the other half, at the "
    "end, at full size",
    "the search itself is told apart, in whole trainings and in seconds of its probes, which run side by side, one a "
    "thread; its seed is none of those below",
    "contestants take turns, and who begins changes with the seed",
)
CONTESTANTS = ("constant size", "found")
RULE = "efficienttrain.search.top1_rule:top1"
TUNE = 0.05
VAL_LIMIT = 4000
OPTIONS: dict[str, Any] = {
    "batch": 100, "lr": 3e-3, "warmup": 0.1, "drop_path": 0.0, "ema": 0.0, "clip_grad": 5.0, "mixup": 0.0,
    "cutmix": 0.0, "reprob": 0.0, "device": "cpu", "log_every": 10, "save_every": 0.5,
}  # fmt: skip
SEARCH_SEED = 1000


def run(
    data: str | None, seeds: int, epochs: float, *, stages: int = 3, resolutions: Sequence[int] = (112, 168, 224),
    magnitude: float = 9.0, size: int = 64, limit: int = 5000, threads: int | None = None, work: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Searches once, then trains with its result and with constant size, once for each seed.

    Args:
        seeds: runs of each, at least 1.
        epochs: budget of every training, in passes over the data at full size.
        stages: of the curriculum that is searched for.
        resolutions: candidates, of a full size of 224.
        magnitude: of RandAugment, all the time.
        size: full size, pixels.
        data, limit, threads, work: see `labelled.bench`.

    Raises:
        FileNotFoundError: the data are not there.
        Failed: a probe did.
        ValueError, LoaderError: as the trainer raises them.
    """
    space = Space(stages, tuple(resolutions), (magnitude,))
    with bench(data, size, limit, VAL_LIMIT, threads, work) as place:
        shared = {**OPTIONS, "data": place.beton("train"), "model": f"{NETWORKS}:narrow_convnet", "size": size}
        shared |= {"epochs": epochs, "workers": 1}
        judged = {"val": place.beton("val", "judged", slice(0, None, 2)), "seed": SEARCH_SEED}
        plan = Plan("sequential", space, RULE, TUNE, config={**shared, **judged})
        curriculum, cost = look(plan, place, Local(threads or 1))
        constant = place.folder / "constant.yaml"
        write_curriculum(constant, [Stage(space.resolutions[-1], magnitude, 1.0)], {})
        files = dict(zip(CONTESTANTS, (constant, place.folder / "found.yaml"), strict=True))
        write_curriculum(files["found"], curriculum, {})
        runs = []
        for seed in range(seeds):
            for name in CONTESTANTS if seed % 2 == 0 else CONTESTANTS[::-1]:
                print(f"{name}, seed {seed}", flush=True)
                config = Config(
                    **shared, val=place.beton("val", "held", slice(1, None, 2)), seed=seed, evaluate_every=0.2,
                    curriculum=str(files[name]), out=str(place.folder / f"{name.replace(' ', '-')}-{seed}"),
                )  # fmt: skip
                made = train(config).report
                kept = {key: made[key] for key in ("seconds", "images", "stages", "evaluations")}
                runs.append({"contestant": name, "seed": seed, **kept, "top1": made["last"]["top1"]})
    return {
        "benchmark": "search",
        "machine": machine.card(),
        "fairness": FAIRNESS,
        "notes": [],
        "settings": {
            "data": named(data), "stages": stages, "resolutions": list(resolutions), "magnitude": magnitude,
            "size": size, "epochs": epochs, "seeds": seeds, "threads": threads, "fine tune": TUNE, **OPTIONS,
        },
        "search": cost,
        "curriculum": [[stage.resolution, stage.compute] for stage in curriculum],
        "results": compare(runs),
        "runs": runs,
    }  # fmt: skip


def look(plan: Plan, place: Bench, executor: Executor) -> tuple[tuple[Stage, ...], dict[str, Any]]:
    """The search's result and cost; an interrupted search is resumed."""
    _, most = plan.cost()
    table = Table(most)
    try:
        found = run_search(plan, place.folder / "search", executor, show=table.add)
    except ProbeFailed as error:
        raise Failed(str(error)) from error
    finally:
        table.close()
    probes = [line for line in read(place.folder / "search") if line["kind"] == "probe"]
    cost = {
        "probes": len(probes),
        "compute": sum(probe["compute"] for probe in probes),
        "seconds": sum(probe["seconds"] for probe in probes),
        "scores": {probe["key"]: probe["score"] for probe in probes},
    }
    return merged(map(plan.space.stage, found), plan.space.magnitudes[0]), cost


def compare(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread of both contestants over the seeds, and how they compare, seed by seed."""
    mine = {name: of(runs, contestant=name) for name in CONTESTANTS}
    pairs = list(zip(*mine.values(), strict=True))
    return {
        "top1": {name: spread([r["top1"] for r in found]) for name, found in mine.items()},
        "seconds": {name: spread([r["seconds"] for r in found]) for name, found in mine.items()},
        "difference": spread([b["top1"] - a["top1"] for a, b in pairs]),
    }


def text(report: dict[str, Any]) -> str:
    """The report as a table."""
    result, cost = report["results"], report["search"]
    rows = [["contestant", "top-1 %", "seconds", "top-1, difference"]]
    for name in CONTESTANTS:
        more = "" if name == CONTESTANTS[0] else percent(result["difference"], "+")
        rows.append([name, percent(result["top1"][name]), plain(result["seconds"][name], 1), more])
    full = report["settings"]["resolutions"][-1]
    found = ", ".join(f"{b} px for {share:.0%} of the compute" for b, share in report["curriculum"])
    return (
        f"{head(report)}\nmean ± standard deviation over the seeds\n\n{columns(rows)}\n\n"
        f"found, of a full size of {full}: {found}\n"
        f"the search: {cost['probes']} probes, the compute of {cost['compute']:.2f} whole trainings, "
        f"{cost['seconds']:.0f} s"
    )


def draw(report: dict[str, Any], path: str) -> None:
    """The curriculum found, and accuracy against compute, a line for each run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    schedule, accuracy = figure.subplots(1, 2)
    bounds = [0.0]
    for resolution, share in report["curriculum"]:
        bounds.append(bounds[-1] + share)
        schedule.text((bounds[-2] + bounds[-1]) / 2, resolution / 2, f"{resolution}", ha="center", va="center")
    schedule.stairs([resolution for resolution, _ in report["curriculum"]], bounds, fill=True, color="#d1e3e0")
    schedule.set_title(f"found by {report['search']['probes']} probes", loc="left")
    schedule.set_ylabel(f"resolution, of {report['settings']['resolutions'][-1]} px")
    schedule.spines[["top", "right"]].set_visible(False)
    curves(accuracy, report["runs"], "progress", dict(zip(CONTESTANTS, ("#9aa5b1", "#0f7b6c"), strict=True)))
    accuracy.set_title("equal compute", loc="left")
    for panel in (schedule, accuracy):
        panel.set_xlabel("share of the compute")
    figure.savefig(path, dpi=120)
