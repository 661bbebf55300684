from __future__ import annotations

from pathlib import Path

import pytest

from efficienttrain.search.probe_log import LOG, ProbeLog, read


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    with ProbeLog(tmp_path, {"algorithm": "greedy"}) as log:
        log.probe("96m1", score=0.5)
        log.probe("128m1", score=0.6)
    whole = (tmp_path / LOG).read_bytes()
    (tmp_path / LOG).write_bytes(whole[:-9])
    assert [line["kind"] for line in read(tmp_path)] == ["begin", "probe"]
    with ProbeLog(tmp_path, {"algorithm": "greedy"}) as log:
        assert log.scores == {"96m1": 0.5}
        log.probe("128m1", score=0.6)
    assert (tmp_path / LOG).read_bytes() == whole


def test_torn_in_its_first_line_it_begins_anew(tmp_path: Path) -> None:
    (tmp_path / LOG).write_bytes(b'{"kind": "beg')
    with ProbeLog(tmp_path, {"algorithm": "greedy"}):
        pass
    assert read(tmp_path) == [{"kind": "begin", "algorithm": "greedy"}]


def test_of_another_search_it_is_refused(tmp_path: Path) -> None:
    with ProbeLog(tmp_path, {"algorithm": "greedy", "stages": (1, 2)}):
        pass
    with ProbeLog(tmp_path, {"algorithm": "greedy", "stages": (1, 2)}):
        pass
    with pytest.raises(ValueError, match=r"a search with stages = \[1, 2\], now it is \[1\]; name another folder"):
        ProbeLog(tmp_path, {"algorithm": "greedy", "stages": (1,)})


@pytest.mark.parametrize("content", [b"not json\n", b'{"a": 1}\n', b'{"kind": "probe"}\n', b"7\n"])
def test_what_is_no_log_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LOG).write_bytes(content)
    with pytest.raises(ValueError, match="is not the log of a search"):
        ProbeLog(tmp_path, {})
    assert (tmp_path / LOG).read_bytes() == content


def test_two_searches_in_one_folder_are_one_too_many(tmp_path: Path) -> None:
    with ProbeLog(tmp_path, {}), pytest.raises(ValueError, match="is in use by a search that runs"):
        ProbeLog(tmp_path, {})


def test_what_was_found_is_noted_once(tmp_path: Path) -> None:
    for _ in range(2):
        with ProbeLog(tmp_path, {}) as log:
            log.found([[96, 1]])
    assert [line["kind"] for line in read(tmp_path)] == ["begin", "found"]
