"""The cache folder's old objects are deleted, by any number of processes at once, but never those in use."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from loaders.storage.mirror import _use, make_room

SIZE = 1 << 16


def an_object(cache: Path, name: str, age: int) -> Path:
    folder = cache / name
    os.close(_use(folder))
    (folder / "data").write_bytes(bytes(range(256)) * (SIZE // 256))
    os.utime(folder / "lock", (1_000_000 - age, 1_000_000 - age))
    return folder


def together(work: Callable[[int], None], threads: int = 4) -> list[BaseException]:
    """Runs `work(k)` in several threads; their errors."""
    start, errors = threading.Barrier(threads), []

    def run(k: int) -> None:
        start.wait()
        try:
            work(k)
        except BaseException as error:
            errors.append(error)

    running = [threading.Thread(target=run, args=(k,)) for k in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return errors


def test_the_oldest_go_first_and_objects_in_use_stay(tmp_path: Path) -> None:
    old, used, new = (an_object(tmp_path, name, age) for name, age in (("b", 30), ("a", 40), ("c", 10)))
    (tmp_path / "a file of somebody").write_bytes(b"x")
    (tmp_path / "c-1-2.deleted").mkdir()  # a process was killed while it deleted
    lock = _use(used)
    os.utime(used / "lock", (1, 1))
    make_room(str(tmp_path), 3 * SIZE)
    assert old.exists() and not (tmp_path / "c-1-2.deleted").exists()
    make_room(str(tmp_path), 2 * SIZE)
    assert not old.exists() and used.exists() and new.exists()
    make_room(str(tmp_path), 0)
    assert not new.exists() and (used / "data").exists()
    os.close(lock)
    make_room(str(tmp_path), 0)
    assert [path.name for path in tmp_path.iterdir()] == ["a file of somebody"]


@pytest.mark.parametrize("users", [0, 2])
def test_processes_may_make_room_at_once(tmp_path: Path, users: int) -> None:
    """Also while others begin to use the objects: what they hold a lock of exists."""
    for attempt in range(60):
        folders = [an_object(tmp_path, f"{attempt}-{k}", k) for k in range(4)]

        def work(k: int, folders: list[Path] = folders) -> None:
            if k >= users:
                return make_room(str(tmp_path), 0)
            lock = _use(folders[k])
            try:
                assert os.stat(folders[k] / "lock").st_ino == os.fstat(lock).st_ino
            finally:
                os.close(lock)

        assert together(work) == []
