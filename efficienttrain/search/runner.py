"""Runs a search in a folder with its log, probes, curriculum and plot."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from efficienttrain.search.algorithms import Cost, Search, bounds, compute_of, drive, greedy, sequential, tune_of
from efficienttrain.search.executors import Executor
from efficienttrain.search.probe_log import Line, ProbeLog
from efficienttrain.search.space import Choice, Probe, Space
from efficienttrain.search.task import Task, write

PACE = {"greedy": "passes", "sequential": "compute"}
"""The quantity that each algorithm divides equally between stages."""


class ProbeFailed(RuntimeError):
    """A probe ended without a score; running the search again resumes it."""


@dataclass(frozen=True)
class Plan:
    """The settings that determine a search's result: the candidates, and the scoring of a probe.

    Raises:
        ValueError: an unknown algorithm, or a value out of its range.
    """

    algorithm: str
    """"greedy" or "sequential"."""
    space: Space
    rule: str
    """Evaluation rule, "package.module:function", see `Task`."""
    tune: float = 0.0
    """Fine-tune at full size after a probe of the first stages, as a share of a whole training's compute."""
    tolerance: float = 0.0
    """Greedy: acceptable loss compared with the baseline's score."""
    config: dict[str, Any] = field(default_factory=dict)
    """Options of the trainer."""

    def __post_init__(self) -> None:
        if self.algorithm not in PACE:
            raise ValueError(f"`algorithm` must be one of {', '.join(PACE)}, got {self.algorithm!r}.")
        if not 0 <= self.tune <= 1:
            raise ValueError(f"`fine_tune` must be a share of the compute, 0 to 1, got {self.tune}.")
        if self.tolerance < 0:
            raise ValueError(f"`tolerance` must be at least 0, got {self.tolerance}.")

    def search(self, width: int = 1) -> Search:
        """The search, not yet started; width: see `greedy`."""
        if self.algorithm == "greedy":
            return greedy(self.space, self.tolerance, width)
        return sequential(self.space)

    def cost(self, width: int = 1) -> tuple[Cost, Cost]:
        """Lower and upper bound of its cost."""
        return bounds(lambda: self.search(width), self.space, self.tune)

    def task(self, probe: Probe, folder: Path) -> Task:
        """A probe as the task of its process; folder: of all probes."""
        return Task(
            folder=folder / probe.key,
            stages=tuple(self.space.stage(choice) for choice in probe.choices),
            begins=probe.begins,
            parent=folder / probe.parent if probe.parent else None,
            tune=tune_of(probe, self.space, self.tune),
            pace=self.space.pace,
            rule=self.rule,
            config=self.config,
        )


def run_search(
    plan: Plan, out: Path, executor: Executor, width: int = 1, show: Callable[[Line], None] = lambda _: None
) -> tuple[Choice, ...]:
    """Searches, or resumes the search in `out`; probes whose scores are in the log are not repeated.

    Args:
        plan: the settings.
        out: folder of the search.
        executor: runs the probes.
        width: see `greedy`.
        show: called with the log's line of every finished probe, including those of earlier runs.

    Raises:
        ProbeFailed: a probe failed.
        ValueError: `out` holds another search.
    """
    with ProbeLog(out, asdict(plan)) as log:
        for line in log.lines:
            if line["kind"] == "probe":
                show(line)

        def evaluate(probes: list[Probe]) -> Iterable[float]:
            known = log.scores
            missing = {probe.key: probe for probe in probes if probe.key not in known}
            folders = []
            for probe in missing.values():
                task = plan.task(probe, out.resolve() / "probes")
                write(task)
                folders.append(task.folder)
            with closing(executor.run(folders)) as results:
                for folder, result in results:
                    if "error" in result:
                        raise ProbeFailed(f"probe {folder.name}: {result['error']}")
                    probe = missing[folder.name]
                    facts = {"choices": probe.choices, "stage": probe.stage, "begins": probe.begins}
                    log.probe(probe.key, **facts, compute=compute_of(probe, plan.space, plan.tune), **result)
                    show(log.lines[-1])
            scores = log.scores
            return [scores[probe.key] for probe in probes]

        found = drive(plan.search(width), evaluate)
        log.found(found)
        return found
