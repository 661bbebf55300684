"""The converter's working folder: files that only grow, and a journal of the finished part of each.

    manifest    the work: its source and settings, which must be the same to resume
    journal     one line per finished job: a CRC, then JSON with the size of every file after it
    beton       the later beton: room for its tables, then the pages of level 0
    level1 ...  records of the reduced levels
    index       index rows, in the order of storing like all these files
    names       source names
    places      the number in the source of each index row's sample, i64
    rows, values, checks      only if there are fields besides `label`: their metadata, their bytes, a CRC of each value
    report      the tally of each job, a JSON line: samples read, page sizes, changed and refused samples
    result      once the target is complete: the work, a stamp of the target, the summary, see Note [complete]
    listing     of an image folder: its files, so that they need not be listed again, see `sources.kept_listing`

Note [surviving work]: a job counts as finished once its journal line is there. After `kill -9` everything
written is still in the page cache, so every line holds that was written since this machine was started: it names
the start. After a power failure it need not be: lines up to the last one marked `synced` hold, because the files
were flushed to the disk before it; later work is compared with its CRCs, and the first job that fails the
comparison and all after it are done again.

Note [sealed]: when all jobs are done, a last line seals the journal. The files of the reduced levels, and `values`, are
then moved to the end of `beton`: each from its own end to its start, and bytes that have been moved and flushed are cut
off. So the move needs no room for a second copy, and such a file holds exactly the bytes that are left to move.

Note [complete]: a converter that is killed after the target got its name, and before the folder is gone, leaves
`result`, which is deleted after all files but the journal. A local target is noted before it is renamed, with its size
and time: it is complete once a file of these has the name. An object is noted after its upload.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..beton import layout
from ..beton.tables import read_exactly
from ..errors import BadDataset
from ..plan.records import table_bytes

LISTING, RESULT = "listing", "result"
_LAST = RESULT, "journal"
"""The files that are deleted last, in this order."""
Piece = bytes | memoryview
SYNC_EVERY = 1 << 30  # bytes between two flushes to the disk


def _boot() -> str:
    """A text that changes with each start of the machine; "" if there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


class OtherWork(BadDataset):
    """The folder holds the unfinished work of another conversion."""


class Busy(BadDataset):
    """Another converter is at work in the folder."""


class Journal:
    """An open working folder, locked against other converters.

    Attributes:
        folder: its path.
        files: the open files, by name.
        jobs: number of finished jobs.
        sizes: bytes of each file of `names` that they fill.
        sealed: all jobs are done, see Note [sealed].
        moved: names of the files that are moved then.
        result: what `note` noted, if the target is complete: nothing is left to do but `remove`. None: it is not.
    """

    def __init__(
        self,
        folder: Path,
        work: dict[str, Any],
        *,
        levels: int,
        start: int,
        restart: bool = False,
        further: Sequence[str] = (),
        complete: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Opens or makes the folder and cuts off unfinished work of a killed converter.

        Args:
            folder: OUT.beton.partial
            work: source and settings, which must equal those of the work already there.
            levels: how many levels the pyramid has.
            start: size of the file `beton` before any job: the offset of its first page.
            restart: throw away work already there.
            further: names of further files, between `places` and `report`.
            complete: whether the target has a stamp that was noted.

        Raises:
            Busy: another converter is at work in the folder.
            BadDataset: the folder holds other work.
            OSError: it cannot be made or written.
        """
        self.folder, self.levels, self._work = folder, levels, work
        self.names = ["beton", *[f"level{k}" for k in range(1, levels)], "index", "names", "places", *further, "report"]
        self.moved = [name for name in self.names[1:] if name.startswith("level") or name == "values"]
        self.sealed = False
        self.first = [start] + [0] * (len(self.names) - 1)
        self.jobs, self.sizes, self._unsynced = 0, list(self.first), 0
        self._boot = _boot()
        self.files: dict[str, IO[bytes]] = {}
        self.result: dict[str, Any] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._log = open(folder / "journal", "a+b")  # noqa: SIM115
        except FileNotFoundError:  # the folder was just finished and removed by its owner
            raise self._busy() from None
        try:
            self._lock()
            self._check_work(work, restart, complete)
            if self.result is None:
                self._recover()
        except BaseException:
            self.close()
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            same = os.path.samestat(os.fstat(self._log.fileno()), os.stat(self.folder / "journal"))
        except (BlockingIOError, FileNotFoundError):
            same = False
        if not same:  # locked, or just finished and removed by its owner
            raise self._busy()

    def _busy(self) -> Busy:
        return Busy(f"{self.folder}: another converter is at work here; wait or name another target")

    def _check_work(self, work: dict[str, Any], restart: bool, complete: Callable[[str], bool]) -> None:
        path, noted = self.folder / "manifest", self._noted()
        if not restart and noted is not None and complete(noted["target"]):
            if noted["work"] == work:
                self.result = noted["result"]
                return
            restart = True  # what lies here is not unfinished
        if restart or not path.exists() or not (self.folder / "beton").exists():
            self._log.truncate(0)
            for name in (*self.names, RESULT):
                (self.folder / name).unlink(missing_ok=True)
            path.write_text(json.dumps(work, sort_keys=True, indent=1), encoding="ascii")
            return
        try:
            theirs = json.loads(path.read_text(encoding="ascii"))
        except ValueError:
            theirs = {}
        differing = sorted(key for key in work.keys() | theirs if work.get(key) != theirs.get(key))
        if differing:
            raise OtherWork(
                f"{self.folder}: the unfinished conversion there differs in {', '.join(differing)}; "
                "run with the settings it had, or with --restart to begin anew"
            )

    def _recover(self) -> None:
        """Finds the jobs that hold (see Note [surviving work]) and cuts every file to their sizes."""
        for name in self.names:
            mode = "r+b" if (self.folder / name).exists() else "w+b"
            self.files[name] = open(self.folder / name, mode)  # noqa: SIM115
        lines, good = self._lines()
        if lines and lines[-1].get("sealed"):
            self._resume_sealed(lines)
            return
        synced = max((k + 1 for k, line in enumerate(lines) if line["synced"]), default=0)
        sizes = [os.fstat(file.fileno()).st_size for file in self.files.values()]
        end = 0
        for number, line in enumerate(lines):
            fits = all(have >= need for have, need in zip(sizes, line["sizes"], strict=True))
            kept = number < synced or (self._boot and line.get("boot") == self._boot)
            if not fits or not (kept or self._holds(line)):
                break
            self.jobs, self.sizes, end = number + 1, line["sizes"], good[number]
        self._log.truncate(end)
        for file, size in zip(self.files.values(), self.sizes, strict=True):
            file.truncate(size)
            file.seek(size)

    def _resume_sealed(self, lines: list[dict[str, Any]]) -> None:
        """Takes up a sealed journal. Files that are moved may be shorter by now, and `beton` longer.

        Raises:
            BadDataset: another file is not as long as it was.
        """
        self.sealed, self.jobs, self.sizes = True, len(lines) - 1, lines[-1]["sizes"]
        for (name, file), size in zip(self.files.items(), self.sizes, strict=True):
            have = os.fstat(file.fileno()).st_size
            if have < size if name == "beton" else have != size and name not in self.moved:
                raise BadDataset(f"{self.folder / name}: has {have} bytes of {size}; begin anew with --restart")
        self._log.seek(0, os.SEEK_END)

    def _lines(self) -> tuple[list[dict[str, Any]], list[int]]:
        """The journal's sound lines and their end offsets."""
        self._log.seek(0)
        lines, ends, end = [], [], 0
        for raw in self._log:
            crc, _, text = raw.rstrip(b"\n").partition(b" ")
            if not raw.endswith(b"\n") or crc != b"%08x" % zlib.crc32(text):
                break
            end += len(raw)
            lines.append(json.loads(text))
            ends.append(end)
        return lines, ends

    def _holds(self, line: dict[str, Any]) -> bool:
        """Whether the bytes of a job are those that were written."""
        paths = [os.fspath(self.folder / name) for name in self.names]
        fds = [file.fileno() for file in self.files.values()]
        for k in range(self.levels, len(self.names)):
            text = read_exactly(fds[k], line["sizes"][k] - line["from"][k], line["from"][k], paths[k])
            if zlib.crc32(text) != line["crcs"][k - self.levels]:
                return False
        size = line["sizes"][self.levels] - line["from"][self.levels]
        rows = np.frombuffer(
            read_exactly(fds[self.levels], size, line["from"][self.levels], paths[self.levels]),
            layout.index_dtype(self.levels),
        )
        for k in range(self.levels):
            for record in rows["level"][:, k]:
                table = table_bytes(int(record["rows"]))
                raw = read_exactly(fds[k], table + int(record["size"]), int(record["ptr"]) - table, paths[k])
                if zlib.crc32(raw) != record["crc"]:
                    return False
        return True

    def size(self, name: str) -> int:
        """Bytes of a file that finished jobs fill."""
        return self.sizes[self.names.index(name)]

    def append(self, parts: Sequence[Sequence[Piece]]) -> None:
        """Writes one job's bytes, as pieces, for each file of `names`, then its journal line.

        Raises:
            OSError: the disk is full, or gone; the job does not count then.
        """
        before = self.sizes
        for file, part in zip(self.files.values(), parts, strict=True):
            file.writelines(part)
            file.flush()
        lengths = [sum(map(len, part)) for part in parts]
        self.sizes = [size + length for size, length in zip(before, lengths, strict=True)]
        self._unsynced += sum(lengths)
        synced = self._unsynced >= SYNC_EVERY
        if synced:
            self._sync()
        crcs = [zlib.crc32(b"".join(part)) for part in parts[self.levels :]]
        self._write_line({"from": before, "sizes": self.sizes, "crcs": crcs, "synced": synced, "boot": self._boot})
        self.jobs += 1

    def seal(self) -> None:
        """Marks that all jobs are done, see Note [sealed]; survives a power failure."""
        if self.sealed:
            return
        self._sync()
        crcs = [0] * (len(self.names) - self.levels)  # for earlier versions, which know no seal
        self._write_line({"from": self.sizes, "sizes": self.sizes, "crcs": crcs, "synced": True, "sealed": True})
        os.fsync(self._log.fileno())
        self.sealed = True

    def _sync(self) -> None:
        for file in self.files.values():
            os.fsync(file.fileno())
        self._unsynced = 0

    def _write_line(self, line: dict[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":")).encode("ascii")
        self._log.write(b"%08x %s\n" % (zlib.crc32(text), text))
        self._log.flush()

    def close(self) -> None:
        """Closes the files and unlocks the folder, which stays: another run can resume."""
        for file in self.files.values():
            with suppress(OSError):  # a full disk may refuse the last buffer; that job has no journal line
                file.close()
        if not self._log.closed:
            fcntl.flock(self._log, fcntl.LOCK_UN)  # closing is not enough if a forked process has inherited the file
            with suppress(OSError):
                self._log.close()

    def note(self, target: str, result: Mapping[str, Any]) -> None:
        """Notes a complete target, see Note [complete]. On a full disk it does not: that must not hold up the target.

        Args:
            target: its stamp.
            result: what `result` is to be when the folder is opened again; JSON.
        """
        text = json.dumps({"work": self._work, "target": target, "result": result})
        with suppress(OSError), open(self.folder / RESULT, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def _noted(self) -> dict[str, Any] | None:
        try:
            noted: dict[str, Any] = json.loads((self.folder / RESULT).read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):  # none, or cut short
            return None
        return noted

    def remove(self) -> None:
        """Removes the folder; the lock is held until it is gone."""
        _delete(self.folder)
        self.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def remove_finished(folder: Path) -> None:
    """Removes the folder that a killed converter left when its target was complete, unless one is at work there."""
    with suppress(OSError), open(folder / "journal", "ab") as log:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _delete(folder)
        fcntl.flock(log, fcntl.LOCK_UN)


def _delete(folder: Path) -> None:
    """Deletes a working folder, whose lock is held. Another converter may begin there once the journal is gone."""
    names = os.listdir(folder)
    for name in [*(name for name in names if name not in _LAST), *_LAST]:
        with suppress(OSError):
            os.unlink(folder / name)
    with suppress(OSError):
        os.rmdir(folder)
