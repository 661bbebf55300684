from __future__ import annotations

from pathlib import Path

import pytest

from efficienttrain.training.logbook import LOG, Logbook, read


def test_a_log_is_cut_back_to_its_checkpoint(tmp_path: Path) -> None:
    log = Logbook(tmp_path)
    log.write("train", 1, loss=2.0)
    kept = log.size
    log.write("train", 2, loss=1.0)
    log.close()
    log = Logbook(tmp_path, kept)
    log.write("train", 2, loss=1.5)
    log.close()
    assert [(line["step"], line["loss"]) for line in read(tmp_path)] == [(1, 2.0), (2, 1.5)]


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text('{"kind": "train", "step": 1}\n{"kind": "tr')
    assert read(tmp_path) == [{"kind": "train", "step": 1}]


def test_a_full_disk_is_told_with_the_files_name(tmp_path: Path) -> None:
    (tmp_path / LOG).symlink_to("/dev/full")
    log = Logbook(tmp_path)
    for act in (lambda: log.write("train", 1, loss=1.0), log.close):  # both flush
        with pytest.raises(OSError, match=r"No space left on device; free some and repeat the command.*log\.jsonl"):
            act()


def test_listeners_hear_of_each_line(tmp_path: Path) -> None:
    heard: list[object] = []
    log = Logbook(tmp_path, listeners=[lambda *line: heard.append(line)])
    log.write("train", 3, loss=2.0)
    log.close()
    assert heard == [("train", 3, {"loss": 2.0})]
