from __future__ import annotations

import argparse
import collections
import pathlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from efficienttrain.models.weight_file import read_weights


def weights(value: float = 1.0) -> dict[str, Tensor]:
    return {"stem.weight": torch.full((2, 3), value), "head.bias": torch.full((2,), value)}


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in weights().items()}


SHAPES: dict[str, Any] = {
    "bare": weights(),
    "model": {"model": weights(), "epoch": 3, "args": argparse.Namespace(lr=1e-3, out=pathlib.PosixPath("a"))},
    "state_dict": {"state_dict": collections.OrderedDict(prefixed("module.")), "best": np.float64(81.2), "arch": "r50"},
    "model_ema": {"model_ema": weights(), "scaler": {"scale": 2.0}},
    "compiled": prefixed("_orig_mod."),
    "both": prefixed("module._orig_mod."),
    "nested": {"model": {"state_dict": weights()}},
    "average": {**prefixed("module."), "n_averaged": torch.tensor(7)},
    "scores": {"model": weights(), "scores": np.array([1.0, 2.0]), "one": np.int64(3), "small": np.float32(1)},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_public_checkpoints(tmp_path: Path, shape: str) -> None:
    torch.save(SHAPES[shape], tmp_path / "file.pth")
    found = read_weights(tmp_path / "file.pth")
    assert set(found) == set(weights())
    assert all(torch.equal(found[name], value) for name, value in weights().items())


def test_the_average_on_request(tmp_path: Path) -> None:
    torch.save({"model": weights(1), "model_ema": weights(2)}, tmp_path / "file.pth")
    assert read_weights(tmp_path / "file.pth")["head.bias"][0] == 1
    assert read_weights(tmp_path / "file.pth", average=True)["head.bias"][0] == 2
    torch.save({"identity": {}, "learner": {"model": weights(3), "ema": weights(4)}}, tmp_path / "ours.pt")
    assert read_weights(tmp_path / "ours.pt")["head.bias"][0] == 3
    assert read_weights(tmp_path / "ours.pt", average=True)["head.bias"][0] == 4
    torch.save({"identity": {}, "learner": {"model": weights(3), "ema": None}}, tmp_path / "ours.pt")
    assert read_weights(tmp_path / "ours.pt", average=True)["head.bias"][0] == 3


def test_truncated_and_changed_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    torch.save({"stem.weight": torch.full((50_000,), 1.5)}, path)
    whole = path.read_bytes()
    for damaged in (whole[:20_000], whole[:100_000] + b"?" + whole[100_001:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"file\.pth holds no weights \((it is truncated|the checksum of)"):
            read_weights(path)


def test_safetensors(tmp_path: Path) -> None:
    torch_file = pytest.importorskip("safetensors.torch")
    torch_file.save_file(weights(), tmp_path / "model.safetensors")
    assert torch.equal(read_weights(tmp_path / "model.safetensors")["stem.weight"], torch.ones(2, 3))
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"bad\.safetensors holds no weights"):
        read_weights(tmp_path / "bad.safetensors")


class Runs:
    """What reading must not do."""

    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('ran')",)


@pytest.mark.parametrize("thing", [Runs(), nn.Linear(1, 1)])
def test_objects_that_could_run_code_are_refused_by_name(tmp_path: Path, thing: Any) -> None:
    torch.save({"model": weights(), "thing": thing}, tmp_path / "file.pth")
    with pytest.raises(ValueError, match=r"holds an object of \S+, which is not read because it could run code"):
        read_weights(tmp_path / "file.pth")


@pytest.mark.parametrize("content", [{}, {"model": {}}, {"best": 1.0}, {"model": {"a": "text"}}, [torch.ones(1)]])
def test_files_without_weights(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(ValueError, match=r"file\.pth holds no weights; give a checkpoint"):
        read_weights(tmp_path / "file.pth")


@pytest.mark.parametrize("core", ["core", "_core"])
def test_scores_that_an_older_or_newer_numpy_wrote(tmp_path: Path, core: str) -> None:
    torch.save(
        {"model": weights(), "best": np.float64(81.2)}, tmp_path / "own.pth", _use_new_zipfile_serialization=False
    )
    content, names = re.subn(
        rb"numpy\._?core\.multiarray", f"numpy.{core}.multiarray".encode(), (tmp_path / "own.pth").read_bytes()
    )
    assert names
    (tmp_path / "other.pth").write_bytes(content)
    assert set(read_weights(tmp_path / "other.pth")) == set(weights())
