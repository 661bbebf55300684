from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from efficienttrain.training import checkpoint
from efficienttrain.training.checkpoint import Checkpoint
from efficienttrain.training.distributed import Ranks


def state(step: int, weights: torch.Tensor | None = None) -> Checkpoint:
    learner = {"weights": torch.full((3,), float(step)) if weights is None else weights}
    settings: dict[str, Any] = {"identity": {"model": "net"}, "factor": 1, "buffer": 0, "log": 0}
    return Checkpoint(step=step, stage=0, best=None, feed={"held": [(0, 8)]}, learner=learner, **settings)


def test_the_last_two_and_the_best_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 10):
        checkpoint.save(tmp_path, state(step), best=step == 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "step_00000003.pt", "step_00000010.pt"]
    assert checkpoint.load(tmp_path / "best.pt").step == 2
    latest = checkpoint.load_latest(tmp_path, pytest.fail)
    assert latest is not None
    assert (latest.step, latest.learner["weights"].tolist(), latest.feed) == (10, [10, 10, 10], {"held": [(0, 8)]})


def test_a_crash_while_writing_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, state(1))

    def crash(made: object, file: Any) -> None:  # noqa: ARG001
        file.write(b"PK half a checkpoint")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(torch, "save", crash)
        checkpoint.save(tmp_path, state(2))
    latest = checkpoint.load_latest(tmp_path, pytest.fail)
    assert latest is not None
    assert latest.step == 1


def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (1, 2):
        path = checkpoint.save(tmp_path, state(step))
    path.write_bytes(path.read_bytes()[:300])
    ranks = Ranks(0, 1, torch.device("cpu"))
    resumed = checkpoint.find(tmp_path, {"model": "net"}, ranks)
    assert resumed is not None
    assert resumed.step == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"Warning: {path} is not a whole checkpoint (")
    assert "The training resumes from the older step_00000001.pt" in printed
    (tmp_path / "step_00000001.pt").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"none of the 2 checkpoints in .* can be read; the last: .* not a whole checkpoint"
    ):
        checkpoint.load_latest(tmp_path, pytest.fail)


def test_a_truncated_checkpoint_of_any_length_falls_back(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, state(1))
    path = checkpoint.save(tmp_path, state(2, torch.ones(50_000)))
    whole = path.read_bytes()
    for length in (300, 20_000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        warnings: list[str] = []
        latest = checkpoint.load_latest(tmp_path, warnings.append)
        assert len(warnings) == 1
        assert latest is not None and latest.step == 1, length


def test_changed_weights_are_not_loaded(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, state(1, torch.full((50_000,), 1.5)))
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 1
    path.write_bytes(held)
    with pytest.raises(ValueError, match=r"not a whole checkpoint \(the checksum of .* differs\); restore a copy"):
        checkpoint.load(path)


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    for name, write in (
        ("torch", torch.save),
        ("pickle", lambda made, path: path.write_bytes(pickle.dumps(made, protocol=2))),
    ):
        path = tmp_path / f"{name}.pt"
        write({"identity": {}, "trap": Trap()}, path)
        with pytest.raises(ValueError, match="not a whole checkpoint"):
            checkpoint.load(path)
    assert not (tmp_path / "sprung").exists()


def test_somebody_elses_checkpoint_is_named_so(tmp_path: Path) -> None:
    for theirs in ({"state_dict": {}}, [1, 2], torch.ones(3)):
        torch.save(theirs, tmp_path / "theirs.pt")
        with pytest.raises(ValueError, match="not a checkpoint of this trainer"):
            checkpoint.load(tmp_path / "theirs.pt")


def test_older_checkpoints_without_a_micro_batch_are_read(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, state(1))
    older = torch.load(path, weights_only=True)
    del older["micro"], older["target"]
    torch.save(older, path)
    assert checkpoint.load(path).micro is None


def test_the_first_difference_is_named(tmp_path: Path) -> None:
    saved = {"model": "net", "epochs": 200.0}
    checkpoint.check_identity(saved, dict(saved), tmp_path)
    with pytest.raises(ValueError, match=r"holds a training with epochs = 200\.0, now it is 100\.0; .*--out"):
        checkpoint.check_identity(saved, {**saved, "epochs": 100.0}, tmp_path)


def test_no_run_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoint.load_latest(tmp_path / "nothing", pytest.fail) is None
