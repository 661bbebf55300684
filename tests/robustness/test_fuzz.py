"""The fuzz target of betons, without the fuzzer; and a short run with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loaders.errors import BadDataset
from loaders.sources import open_dataset
from tests.robustness import mutate
from tests.robustness.fuzz import betons

KEPT = sorted(betons.CORPUS.iterdir())


@pytest.fixture(scope="module")
def seeds() -> list[bytes]:
    return betons.seeds()


def test_the_corpus_is_small_and_holds_both_ends() -> None:
    assert 8 <= len(KEPT) <= 40 and sum(path.stat().st_size for path in KEPT) < 200_000
    assert {betons.use(path.read_bytes()) for path in KEPT} == {True, False}


def test_mutated_betons_are_refused_or_answer(seeds: list[bytes]) -> None:
    faults = [mutate.bits, mutate.run, mutate.truncated, mutate.removed, mutate.inserted]
    opened = 0
    for number in range(600):
        rng, data = mutate.draw(5, number), bytearray(seeds[number % 2])
        faults[int(rng.integers(len(faults)))](data, rng)
        opened += betons.use(bytes(data))
    assert 50 < opened < 550


def test_a_forged_index_comes_past_the_crc(seeds: list[bytes], tmp_path: Path) -> None:
    data = bytearray(seeds[0])
    (tmp_path / "sound.beton").write_bytes(data)
    with open_dataset(tmp_path / "sound.beton") as dataset:
        at = int(dataset.private["index"]["offset"])  # type: ignore[attr-defined]
    data[at] ^= 1
    (tmp_path / "forged.beton").write_bytes(data)
    with pytest.raises(BadDataset, match="CRC of its index"):
        open_dataset(tmp_path / "forged.beton")
    assert betons.mended(bytes(seeds[0])) == seeds[0]
    assert betons.use(bytes(data))


def test_an_unforeseen_error_is_a_finding(seeds: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("unforeseen")

    monkeypatch.setattr("loaders.sources.pyramid.Pyramid.entries", broken)
    with pytest.raises(KeyError):
        betons.use(seeds[0])


def test_the_fuzzer_runs() -> None:
    pytest.importorskip("atheris", reason="needs atheris")
    command = [sys.executable, "-m", "tests.robustness.fuzz.betons", "-runs=3000", "-seed=1"]
    done = subprocess.run(command, cwd=betons.ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "DONE" in done.stderr, done.stderr[-2000:]
