"""The last step of a conversion: interrupted anywhere it continues, and it needs no room for a second copy."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders.conversion import convert
from loaders.conversion import jobs as converter_threads
from loaders.conversion import move as move_module
from loaders.conversion.move import move
from loaders.errors import BadDataset

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(move_module, "STEP", 10_000)
    monkeypatch.setattr(move_module, "PIECE", 3_000)


class Killed(BaseException):
    """Stands for a SIGKILL: no code of the package catches it."""


def killed_at(monkeypatch: pytest.MonkeyPatch, name: str, call: int) -> None:
    """Makes the given call of a function of `os` the last thing that the converter does."""
    real, calls = getattr(os, name), iter(range(1_000_000))

    def dying(*args: Any) -> Any:
        if (name != "replace" or str(args[-1]).endswith(".beton")) and next(calls) == call:
            raise Killed
        return real(*args)

    monkeypatch.setattr(move_module.os, name, dying)


def boxed(many: Path) -> list[Any]:
    """The images of `many` with a field whose values have pointers."""
    rng = np.random.default_rng(1)
    return [
        {"image": path.read_bytes(), "label": 0, "text": rng.bytes(int(rng.integers(1, 900)))}
        for path in sorted(many.rglob("*.jpg"))
    ]


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize(
    ("name", "call", "fields"),
    [("ftruncate", 0, False), ("ftruncate", 3, True), ("copy_file_range", 9, False), ("replace", 0, True)],
)
def test_killed_in_the_last_step_it_continues(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: int, fields: bool
) -> None:
    source: Any = boxed(many) if fields else many
    convert(source, tmp_path / "whole.beton", workers=1)
    out = tmp_path / "x.beton"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, name, call)
        convert(source, out, workers=1)
    assert not out.exists()
    with monkeypatch.context() as patch:  # no image is converted again
        patch.setattr(converter_threads, "convert_job", lambda _: pytest.fail("converted an image again"))
        convert(source, out, workers=1)
    assert out.read_bytes() == (tmp_path / "whole.beton").read_bytes()
    assert not out.with_name("x.beton.partial").exists()


@pytest.mark.usefixtures("small_steps")
def test_it_needs_no_room_for_a_second_copy(many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, most, real = tmp_path / "x.beton", [0], os.ftruncate

    def watching(fd: int, size: int) -> None:
        most.append(sum(path.stat().st_blocks * 512 for path in (tmp_path / "x.beton.partial").iterdir()))
        real(fd, size)

    monkeypatch.setattr(move_module.os, "ftruncate", watching)
    convert(many, out, workers=1)
    steps = (len(most) - 2) * move_module.STEP
    assert len(most) > 8
    assert max(most) - most[1] < 0.5 * steps  # without the cuts, it would grow by all that is moved


def test_a_file_that_is_gone_is_named(many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "x.beton"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, "replace", 0)
        convert(many, out, workers=1)
    os.truncate(tmp_path / "x.beton.partial" / "index", 100)
    with pytest.raises(BadDataset, match=r"index: has 100 bytes of \d+; begin anew with --restart"):
        convert(many, out, workers=1)
    assert convert(many, out, workers=1, restart=True).images == 312


def test_a_bar_shows_the_last_step(
    many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loaders.progress.EVERY", 0.0)
    convert(many, tmp_path / "x.beton", workers=1, progress=True)
    assert "finish: 100%" in capsys.readouterr().err


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("reason", [None, errno.EXDEV, errno.EOPNOTSUPP])
def test_moved_bytes_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int | None) -> None:
    if reason is not None:

        def refusing(*_: int) -> int:
            raise OSError(reason, "not here")

        monkeypatch.setattr(move_module.os, "copy_file_range", refusing)
    data = np.random.default_rng(0).bytes(35_001)
    (tmp_path / "from").write_bytes(data)
    (tmp_path / "to").write_bytes(b"head")
    told: list[int] = []
    with open(tmp_path / "from", "r+b") as source, open(tmp_path / "to", "r+b") as target:
        move(source.fileno(), target.fileno(), 100, told.append)
    assert (tmp_path / "to").read_bytes() == b"head" + bytes(96) + data
    assert (tmp_path / "from").stat().st_size == 0
    assert sum(told) == len(data) and max(told) <= 3_000


FULL = """
import resource, sys
from loaders.conversion import move
move.STEP, move.PIECE = 10_000, 3_000
limit = int(sys.argv[3])
from loaders.conversion import convert
real = move.move
def limited(*args):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    real(*args)
from loaders.conversion import assemble
assemble.move = limited
try:
    convert(sys.argv[1], sys.argv[2], workers=1)
except OSError as error:
    print(error.strerror)
"""


def test_a_disk_that_is_full_in_the_last_step(many: Path, tmp_path: Path) -> None:
    convert(many, tmp_path / "whole.beton", workers=1)
    size, out = (tmp_path / "whole.beton").stat().st_size, tmp_path / "x.beton"
    command = [sys.executable, "-c", FULL, str(many), str(out), str(int(size * 0.8))]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "no room to write" in told and not out.exists()
    convert(many, out, workers=1)
    assert out.read_bytes() == (tmp_path / "whole.beton").read_bytes()
