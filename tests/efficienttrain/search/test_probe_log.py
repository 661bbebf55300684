from __future__ import annotations

from pathlib import Path

import pytest

from efficienttrain.search.probe_log import JOURNAL, Journal, read


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    with Journal(tmp_path, {"algorithm": "greedy"}) as journal:
        journal.probe("96m1", score=0.5)
        journal.probe("128m1", score=0.6)
    whole = (tmp_path / JOURNAL).read_bytes()
    (tmp_path / JOURNAL).write_bytes(whole[:-9])
    assert [line["kind"] for line in read(tmp_path)] == ["begin", "probe"]
    with Journal(tmp_path, {"algorithm": "greedy"}) as journal:
        assert journal.scores == {"96m1": 0.5}
        journal.probe("128m1", score=0.6)
    assert (tmp_path / JOURNAL).read_bytes() == whole


def test_torn_in_its_first_line_it_begins_anew(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_bytes(b'{"kind": "beg')
    with Journal(tmp_path, {"algorithm": "greedy"}):
        pass
    assert read(tmp_path) == [{"kind": "begin", "algorithm": "greedy"}]


def test_of_another_search_it_is_refused(tmp_path: Path) -> None:
    with Journal(tmp_path, {"algorithm": "greedy", "stages": (1, 2)}):
        pass
    with Journal(tmp_path, {"algorithm": "greedy", "stages": (1, 2)}):
        pass
    with pytest.raises(ValueError, match=r"a search with stages = \[1, 2\], now it is \[1\]; name another folder"):
        Journal(tmp_path, {"algorithm": "greedy", "stages": (1,)})


@pytest.mark.parametrize("content", [b"not json\n", b'{"a": 1}\n', b'{"kind": "probe"}\n', b"7\n"])
def test_what_is_no_journal_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / JOURNAL).write_bytes(content)
    with pytest.raises(ValueError, match="is not the journal of a search"):
        Journal(tmp_path, {})
    assert (tmp_path / JOURNAL).read_bytes() == content


def test_two_searches_in_one_folder_are_one_too_many(tmp_path: Path) -> None:
    with Journal(tmp_path, {}), pytest.raises(ValueError, match="is in use by a search that runs"):
        Journal(tmp_path, {})


def test_what_was_found_is_noted_once(tmp_path: Path) -> None:
    for _ in range(2):
        with Journal(tmp_path, {}) as journal:
            journal.found([[96, 1]])
    assert [line["kind"] for line in read(tmp_path)] == ["begin", "found"]
