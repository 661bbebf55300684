"""The watchdog and the table: a suite that cannot fail would prove nothing."""

from __future__ import annotations

import ctypes
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.robustness import suite
from tests.robustness.__main__ import main
from tests.robustness.tally import LOST, Tally
from tests.robustness.watchdog import Ended, watch

HERE = "tests.robustness.test_suite"


def good(number: int) -> Iterator[dict[str, Any]]:
    print("what libraries print is no answer")
    yield {"alive": 1}
    yield {"number": number}


def bad(how: str) -> Iterator[dict[str, Any]]:
    yield {"alive": 1}
    if how == "hang":
        time.sleep(60)
    elif how == "crash":
        ctypes.string_at(0)
    raise ZeroDivisionError("on purpose")


def lively() -> Iterator[dict[str, Any]]:
    """Never silent, never done."""
    while True:
        yield {"alive": 1}
        time.sleep(0.1)


def faulty(seed: int, first: int, count: int) -> Iterator[dict[str, Any]]:
    """Crashes at number 150, else survives."""
    for start in range(first, first + count, 50):
        if start == 150:
            ctypes.string_at(0)
        tally = Tally("", survived=50)
        yield tally.as_dict() | {"done": start + 50 - first, "seed": seed}


def test_a_case_that_ends_well() -> None:
    assert list(watch(f"{HERE}:good", number=7)) == [{"alive": 1}, {"number": 7}]


@pytest.mark.parametrize(("how", "told"), [("hang", "silent for 8 s"), ("crash", "crash: "), ("error", "on purpose")])
def test_a_case_that_does_not(how: str, told: str) -> None:
    replies = watch(f"{HERE}:bad", patience=8 if how == "hang" else 30, how=how)
    assert next(replies) == {"alive": 1}
    with pytest.raises(Ended, match=told) as caught:
        next(replies)
    assert caught.value.how == how


def test_a_case_that_never_ends_is_ended() -> None:
    with pytest.raises(Ended, match="its time is over") as caught:
        list(watch(f"{HERE}:lively", limit=6))
    assert caught.value.how == "hang"


def test_a_backend_that_is_not_installed_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "CASES", (suite.Case("c", f"{HERE}:good", 1, 1, backend="ffcv"),))
    monkeypatch.setitem(suite.PACKAGES, "ffcv", "no.such.package")
    report = suite.run()
    assert report["results"] == [] and report["notes"] == ["c: skipped, no.such.package is not installed."]


def test_the_suite_goes_on_behind_a_crash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(suite, "CASES", (suite.Case("c", f"{HERE}:faulty", 300, 300, "a fault", spread=True),))
    report = suite.run()
    (result,) = report["results"]
    assert (result["survived"], result["lost"]) == (200, 1)
    assert "crash at numbers from 150 of seed 0" in result["reproducers"][0]
    assert "a fault" in suite.text(report) and json.dumps(report) and report["seconds"]["c"] > 0
    assert "faults" in capsys.readouterr().err


def test_every_case_can_be_found() -> None:
    import importlib

    for case in suite.CASES:
        module, _, function = case.target.partition(":")
        assert callable(getattr(importlib.import_module(module), function)), case.name


def test_wrong_names_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--only", "nonsense", "--work", str(tmp_path)]) == 2
    assert "got 'nonsense'" in capsys.readouterr().err


def test_a_tally_keeps_few_reproducers() -> None:
    tally = Tally("x")
    for k in range(99):
        tally.add(LOST, str(k))
    assert (tally.tries, len(tally.reproducers)) == (99, 20)
