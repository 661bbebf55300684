"""A file that is closed while threads write to it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from loaders import LoaderError
from loaders.storage.filled_file import FilledFile


def test_a_write_under_way_keeps_the_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = FilledFile(fd := os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT))
    begun, resume, write = threading.Event(), threading.Event(), os.pwrite

    def slow(fd: int, data: memoryview, start: int) -> int:
        if start == 0:
            begun.set()
            assert resume.wait(60)
        return write(fd, data, start)

    monkeypatch.setattr(os, "pwrite", slow)
    writer = threading.Thread(target=file.write, args=(memoryview(b"first"), 0))
    writer.start()
    assert begun.wait(60)
    file.write(memoryview(b"second"), 5)  # does not wait for the other thread
    file.close()
    os.fstat(fd)  # still open
    with pytest.raises(LoaderError, match="the loader was closed"):
        file.write(memoryview(b"third"), 11)
    resume.set()
    writer.join()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    assert (tmp_path / "x").read_bytes() == b"firstsecond"
    file.close()
