"""torchrun restarts a training whose rank was killed, and another launch continues it with another world size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from loaders.plan.order import epoch_order

ROOT = Path(__file__).parents[2]

TRAINING = """
import json, os, signal, sys
from pathlib import Path
import torch
import torch.distributed as dist
from loaders import Loader

data, saved, steps = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
dist.init_process_group("gloo")
rank, launch = dist.get_rank(), (dist.get_world_size(), int(os.environ["TORCHELASTIC_RESTART_COUNT"]))
loader = Loader(data, batch_size=2, resolution=32, seed=5, num_workers=1, drop_last=False, fields=("index",))
place = json.loads(saved.read_text()) if saved.exists() else {"seen": [], "launches": []}
if place["seen"]:
    loader.load_state_dict(place["loader"])
place["launches"].append(launch)
for step, (indices,) in enumerate(loader):
    ranks = [torch.empty_like(indices) for _ in range(dist.get_world_size())]
    dist.all_gather(ranks, indices)
    if launch == (2, 0) and step == 2 and rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)  # neither this step nor anything later is saved
    dist.barrier()
    if rank == 0:
        place |= {"seen": place["seen"] + torch.cat(ranks).tolist(), "loader": loader.state_dict()}
        saved.with_suffix(".new").write_text(json.dumps(place))
        saved.with_suffix(".new").replace(saved)
    dist.barrier()
    if step == steps - 1:
        break
dist.destroy_process_group()
"""


def launch(ranks: int, *arguments: str) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nnodes=1"]
    command += [f"--nproc-per-node={ranks}", "--max-restarts=1", "--monitor-interval=0.1", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # gloo's second attempt met the first one's addresses
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-4000:]


def test_a_killed_rank_and_another_world_size_leave_the_order_as_it_was(beton: Path, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAINING)
    saved = tmp_path / "saved.json"
    launch(2, str(tmp_path / "train.py"), str(beton), str(saved), "3")  # killed in its third step; then three more
    place = json.loads(saved.read_text())
    assert place["launches"] == [[2, 0], [2, 1]] and len(place["seen"]) == 2 * 4 + 3 * 4
    launch(1, str(tmp_path / "train.py"), str(beton), str(saved), "9")
    place = json.loads(saved.read_text())
    assert place["launches"] == [[2, 0], [2, 1], [1, 0]]
    assert place["seen"] == epoch_order(24, 5, 0)[:].tolist()
