from __future__ import annotations

from dataclasses import replace

import pytest

from efficienttrain import recipe
from efficienttrain.timetable import COLUMNS, drawing, text, timetable

IMAGENET = 1_281_167


def test_a_line_of_the_table() -> None:
    lines = text(timetable(recipe("deit_small", 200), IMAGENET, 200)).splitlines()
    assert len(lines) == 12
    assert lines[3].split() == [
        "2", "160", "2", "4,096", "9.9%", "39.0", "78-117", "12,168", "19.9", "4.00e-03", "to", "3.85e-03"
    ]  # fmt: skip
    assert lines[-1].split() == ["all", "100.0%", "469.0", "469", "146,328", "200.0"]


def test_columns_stand_below_their_heads_with_and_without_replay() -> None:
    for curriculum in ("auto", "replay"):
        head, *lines, total = text(timetable(recipe("resnet50", 200, curriculum), IMAGENET, 200)).splitlines()
        for column in ("compute", "epochs", "official", "steps", "at 224 px"):
            end = head.index(column) + len(column)
            for line in (*lines, total):
                assert line[end - 1] != " " and line[end : end + 1] in ("", " "), (column, line)


def test_no_randaugment_and_a_batch_of_its_own_are_shown() -> None:
    made = recipe("resnet50", 10, "none")
    made = replace(made, stages=(replace(made.stages[0], magnitude=None, batch=64),))
    assert text(timetable(made, 1000, 10)).splitlines()[1].split()[:4] == ["0", "224", "-", "64"]


def test_the_drawing_gives_each_stage_its_width() -> None:
    lines = drawing(timetable(recipe("convnext_tiny", 200), IMAGENET, 200)).splitlines()
    bars = [line.split()[-1] for line in lines if line.lstrip().startswith(("B", "M", "lr"))]
    assert [len(bar) for bar in bars] == [COLUMNS] * 6
    by_compute, by_passes = (bars[number].count("█") / COLUMNS for number in (0, 3))
    assert by_compute == pytest.approx(0.4)
    assert by_passes == pytest.approx(80 / 315, abs=1 / COLUMNS)
