from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
import torch

from efficienttrain.training import Config, train
from efficienttrain.training.distributed import Ranks, group
from efficienttrain.training.logbook import read
from tests.efficienttrain.training.runs import NETWORKS, config, curve

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import json, sys, torch
from efficienttrain.training import Config, train
from efficienttrain.training import trainer as loop
torch.set_num_threads(1)
stop = int(sys.argv[2])
if stop:  # dies before this step, as if killed
    advance = loop.Trainer.advance
    loop.Trainer.advance = lambda self: advance(self) if self.step < stop else sys.exit(3)
train(Config(**json.loads(sys.argv[1])))
"""


def launch(ranks: int, asked: Config, stop: int = 0) -> None:
    """Trains with `ranks` processes over gloo, as torchrun would start them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    children = []
    for rank in range(ranks):
        variables = {**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        command = [sys.executable, "-c", SCRIPT, json.dumps(vars(asked)), str(stop)]
        children.append(subprocess.Popen(command, cwd=ROOT, env=variables, stderr=subprocess.PIPE, text=True))
    ends = [(child.communicate(timeout=300)[1], child.returncode) for child in children]
    assert {code for _, code in ends} == {3 if stop else 0}, ends


def losses(out: Path) -> list[float]:
    return [loss for _, loss, _ in curve(out)]


@pytest.mark.parametrize("ranks", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_world_size_changes_nothing(jpeg_folder: Path, tmp_path: Path, ranks: int) -> None:
    # The same micro-batch: then mixing and dropout, which are drawn per micro-batch, are the same, too.
    options = {
        "micro_batch": 2,
        "mixup": 0.8,
        "cutmix": 1.0,
        "reprob": 0.25,
        "model": f"{NETWORKS}:positioned",
        "ema": 0.9,
    }
    alone = config(jpeg_folder, tmp_path / "alone", **options)
    train(alone)
    many = replace(alone, out=str(tmp_path / "many"))
    launch(ranks, many)
    assert losses(tmp_path / "many") == pytest.approx(losses(tmp_path / "alone"), abs=1e-3)
    found = [[line for line in read(tmp_path / name) if line["kind"] == "evaluate"][-1] for name in ("alone", "many")]
    assert found[0]["loss"] == pytest.approx(found[1]["loss"], abs=1e-3)  # each image once, though 6 do not divide by 4


def test_a_run_goes_on_with_another_world_size(jpeg_folder: Path, tmp_path: Path) -> None:
    alone = config(jpeg_folder, tmp_path / "alone", micro_batch=4)
    train(alone)
    elastic = replace(alone, out=str(tmp_path / "elastic"))
    launch(2, elastic, stop=9)
    train(elastic)
    assert losses(tmp_path / "elastic") == pytest.approx(losses(tmp_path / "alone"), abs=1e-3)


def test_without_torchrun_there_is_one_rank() -> None:
    with group("cpu") as ranks:
        assert (ranks.rank, ranks.world_size, ranks.main) == (0, 1, True)
        assert ranks.largest(3.5) == 3.5
        assert ranks.total(torch.ones(2)).tolist() == [1, 1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_said() -> None:
    with pytest.raises(ValueError, match=r'`device` must be "cpu" or "auto" if torch sees no GPU'), group("cuda"):
        pass


def test_ranks_that_are_not_the_first_are_silent() -> None:
    assert not Ranks(1, 2, torch.device("cpu")).main


def test_the_rows_of_all_ranks_one_behind_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [torch.arange(6.0).view(3, 2), torch.zeros(0, 2), -torch.arange(4.0).view(2, 2)]  # as of three ranks
    all_ranks, meeting = [torch.empty(0)] * 3, Barrier(3)

    def total(ranks: Ranks, values: torch.Tensor) -> torch.Tensor:
        all_ranks[ranks.rank] = values.clone()
        meeting.wait()
        summed = torch.stack(all_ranks).sum(0)
        meeting.wait()
        return summed

    monkeypatch.setattr(Ranks, "total", total)
    with ThreadPoolExecutor(3) as threads:
        made = list(threads.map(lambda rank: Ranks(rank, 3, torch.device("cpu")).rows(given[rank]), range(3)))
    for rows in made:
        assert torch.equal(rows, torch.cat(given))
