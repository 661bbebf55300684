from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from efficienttrain.pretraining import pretrain
from tests.efficienttrain.pretraining.test_pretrainer import config
from tests.efficienttrain.training.runs import curve

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import json, sys, torch
from efficienttrain.pretraining import pretrain
from efficienttrain.training import Config
torch.set_num_threads(1)
pretrain(Config(**json.loads(sys.argv[1])))
"""


@pytest.mark.slow
def test_world_size_changes_nothing(jpeg_folder: Path, tmp_path: Path) -> None:
    alone = config(jpeg_folder, tmp_path / "alone", epochs=1.0, micro_batch=4)
    pretrain(alone)
    both = replace(alone, out=str(tmp_path / "both"), micro_batch=2)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, json.dumps(vars(both))],
            cwd=ROOT,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    ends = [(child.communicate(timeout=120)[1], child.returncode) for child in children]
    assert {code for _, code in ends} == {0}, ends
    losses = [[loss for _, loss, _ in curve(tmp_path / name)] for name in ("alone", "both")]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert (tmp_path / "both" / "stage_3_64px.png").exists()
