"""A recipe as a table: a row for each stage, with the count of the released scripts for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from efficienttrain.curriculum import Stage
from efficienttrain.official import OfficialStage, official
from efficienttrain.recipe import Recipe
from efficienttrain.step_schedule import Schedule

BARS = "▁▂▃▄▅▆▇█"
COLUMNS = 60  # of the drawing


@dataclass(frozen=True)
class Row:
    """One stage."""

    stage: Stage
    batch: int
    """Samples per optimizer step."""
    compute: float
    """Share of the compute."""
    epochs: float
    """Passes over the data by the network."""
    steps: int
    """Optimizer steps."""
    equivalent: float
    """Its cost, in epochs at 224 pixels."""
    lr: tuple[float, float]
    """Learning rate of its first and last step."""
    official: OfficialStage


@dataclass(frozen=True)
class Timetable:
    """A recipe's stages for a data set of `schedule.samples` images."""

    recipe: Recipe
    schedule: Schedule
    rows: tuple[Row, ...]


def timetable(recipe: Recipe, samples: int, nominal: float) -> Timetable:
    """The table of a recipe.

    Args:
        recipe: of the training.
        samples: images of the data set.
        nominal: the requested epochs; for EfficientTrain of 2023 these are not the cost.
    """
    schedule = recipe.schedule(samples)
    counted = schedule.official or official(recipe.stages, nominal, recipe.pace, recipe.warmup_epochs, recipe.warmup)
    rows = []
    for number, stage in enumerate(recipe.stages):
        begin, end = schedule.bounds[number : number + 2]
        last = sum(schedule.steps[: number + 1]) - 1
        rows.append(
            Row(
                stage=stage,
                batch=stage.batch or recipe.batch,
                compute=end - begin,
                epochs=schedule.passes[number],
                steps=schedule.steps[number],
                equivalent=(end - begin) * recipe.epochs,
                lr=(schedule.lr(begin, recipe), schedule.lr(schedule.progress(last), recipe)),
                official=counted[number],
            )
        )
    return Timetable(recipe, schedule, tuple(rows))


def text(table: Timetable) -> str:
    """The table for a terminal, with a line of sums."""
    rows, replays = table.rows, any(row.stage.replay > 1 for row in table.rows)
    head = f"{'stage':>5}{'B':>6}{'M':>6}{'batch':>8}"
    head += f"{'replay':>9}" if replays else ""
    head += f"{'compute':>10}{'epochs':>9}{'official':>11}{'steps':>10}{'at 224 px':>11}   learning rate"
    lines = [head]
    for number, row in enumerate(rows):
        stage, counted = row.stage, row.official
        magnitude = "-" if stage.magnitude is None else f"{stage.magnitude:g}"
        line = f"{number:5}{stage.resolution:6}{magnitude:>6}{row.batch:8,}"
        line += f"{f'{stage.replay} x':>9}" if replays else ""
        line += f"{row.compute:10.1%}{row.epochs:9.1f}{f'{counted.begin}-{counted.end}':>11}{row.steps:10,}"
        lines.append(line + f"{row.equivalent:11.1f}   {row.lr[0]:.2e} to {row.lr[1]:.2e}")
    line = f"{'all':>5}{'':20}" + " " * 9 * replays
    line += f"{sum(row.compute for row in rows):10.1%}{sum(row.epochs for row in rows):9.1f}"
    line += f"{sum(row.official.passes for row in rows):11}{table.schedule.total_steps:10,}"
    return "\n".join([*lines, line + f"{sum(row.equivalent for row in rows):11.1f}"])


def drawing(table: Timetable) -> str:
    """Resolution, magnitude and learning rate as bars, plotted against the compute and against the passes."""
    schedule, recipe = table.schedule, table.recipe
    shares = [(column + 0.5) / COLUMNS for column in range(COLUMNS)]
    passes = sum(schedule.passes)
    lines = []
    for axis, progress in (
        (f"against the compute, 0 to {recipe.epochs:.4g} epochs at 224 px", shares),
        (f"against passes over the data, 0 to {passes:.4g}", [schedule.progress_after(s * passes) for s in shares]),
    ):
        stages = [recipe.stages[schedule.stage_at(done)] for done in progress]
        lines += [
            axis,
            _bars("B", [stage.resolution for stage in stages], max(stage.resolution for stage in recipe.stages)),
            _bars("M", [stage.magnitude or 0.0 for stage in stages], 9.0),
            _bars("lr", [schedule.lr(done, recipe) for done in progress], recipe.lr),
        ]
    return "\n".join(lines)


def _bars(name: str, values: Sequence[float], largest: float) -> str:
    bars = "".join(BARS[min(len(BARS) - 1, int(value / largest * len(BARS)))] for value in values)
    return f"{name:>5}  {bars}"
