"""A local copy of a remote object: a sparse file of the same length, filled chunk by chunk when parts are needed.

In a cache folder all processes share the file, and it remains after they end. A second file has one byte per chunk,
which is set when the chunk is complete. A chunk is written before its byte is set, so a killed process leaves no wrong
byte. A crash of the machine could leave one, so after a reboot only chunks flushed to disk count, see `close`.
Processes that need the same chunk wait for the process that fetches it, by a file lock on the chunk's byte.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import shutil
import struct
import threading
import weakref
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from pathlib import Path

from ..errors import LoaderError
from .filled_file import FilledFile
from .store import Facts, Store
from .transfer import Transfer, coalesce

CHUNK = 128 << 10
_DELETED = ".deleted"
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class CacheError(LoaderError):
    """The local copy cannot be written."""


class Mirror:
    """A remote object and its local copy.

    Attributes:
        size: bytes of the object.
    """

    def __init__(self, url: str, store: Store, path: str, transfer: Transfer, cache_dir: str | None = None) -> None:
        """cache_dir: folder of the shared files; None: memory, of this process alone.

        Raises:
            LoaderError: the object does not exist or cannot be reached.
        """
        self._url, self._store, self._path, self._transfer = url, store, path, transfer
        self._facts = transfer.facts(store, path, url)
        self.size, self._lock = self._facts.size, threading.Lock()
        self._coming: dict[int, Future[None]] = {}
        self._folder: Path | None = None
        self._chunks = max(1, -(-self.size // CHUNK))
        if cache_dir is None:
            self._file = FilledFile(os.memfd_create("remote", os.MFD_CLOEXEC))
            os.ftruncate(self.fd, self.size)
            self._have: bytearray | mmap.mmap = bytearray(self._chunks)
            self._locks = -1
        else:
            self._open_folder(Path(cache_dir) / _key(url, self._facts))
        self._closing = weakref.finalize(self, _close, [] if self._folder is None else [self._locks, self._using])
        self._closing.atexit = False

    @property
    def fd(self) -> int:
        """Descriptor of the local file; -1 after `close`. Bytes that `ensure` has not fetched read as zeros."""
        return self._file.fd

    def _open_folder(self, folder: Path) -> None:
        self._folder, self._using = folder, _use(folder)
        with ExitStack() as undo:
            undo.callback(os.close, self._using)  # left open after an error, its lock would block all others
            self._file = FilledFile(os.open(folder / "data", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            undo.callback(self._file.close)
            self._locks = os.open(folder / "have", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            undo.callback(os.close, self._locks)
            boot = _BOOT.read_bytes() if _BOOT.exists() else b""
            known = folder / "boot"
            if not known.exists() or known.read_bytes() != boot:
                flushed = folder / "flushed"
                held = flushed.read_bytes() if flushed.exists() else b""
                os.ftruncate(self._locks, 0)
                os.pwrite(self._locks, held if len(held) == self._chunks else bytes(self._chunks), 0)
                known.write_bytes(boot)
            os.ftruncate(self.fd, self.size)
            os.ftruncate(self._locks, self._chunks)
            self._have = mmap.mmap(self._locks, self._chunks)
            fcntl.flock(self._using, fcntl.LOCK_SH)  # held until `close`: the folder is in use
            undo.pop_all()

    def ensure(self, ranges: Iterable[tuple[int, int]]) -> list[Future[None]]:
        """Begins to fetch the missing chunks of these ranges [start, end). Done when all futures are."""
        wanted = {k for start, end in ranges for k in range(start // CHUNK, -(-end // CHUNK))}
        with self._lock:
            missing = [k for k in wanted if not self._have[k]]
            waiting = {id(f): f for k in missing if (f := self._coming.get(k)) is not None}
            runs = coalesce(((k, k + 1) for k in missing if k not in self._coming), gap=0, largest=64)
            for first, last in runs:
                future = self._transfer.submit(self._bring, first, last)
                waiting[id(future)] = future
                self._coming.update(dict.fromkeys(range(first, last), future))
        return list(waiting.values())

    def read(self, start: int, end: int) -> memoryview:
        """Bytes [start, end) from the store; they are not stored locally."""
        return self._transfer.read(self._store, self._path, self._url, start, end, self._facts.version)

    def forget(self, start: int, end: int) -> None:
        """Marks the chunks of a range as missing, so that they are fetched again when they are needed."""
        for k in range(start // CHUNK, -(-end // CHUNK)):
            self._have[k] = 0

    def drop(self, chunk: int) -> bool:
        """Frees the memory of a chunk that nobody reads; False: it is being fetched, and stays."""
        with self._lock:
            if chunk in self._coming:
                return False
            self._have[chunk] = 0
            self._file.give_back(chunk * CHUNK, CHUNK)
        return True

    def _bring(self, first: int, last: int) -> None:
        """Fetches chunks [first, last), unless another process has fetched them."""
        try:
            self._lock_chunks(first, last, fcntl.F_WRLCK)
            try:
                runs = coalesce(((k, k + 1) for k in range(first, last) if not self._have[k]), gap=0, largest=64)
                for a, b in runs:
                    start, end = a * CHUNK, min(b * CHUNK, self.size)
                    self._file.write(self.read(start, end), start)
                    self._have[a:b] = b"\1" * (b - a)
            finally:
                self._lock_chunks(first, last, fcntl.F_UNLCK)
        except LoaderError:  # some of which are OSErrors, too
            raise
        except OSError as error:
            raise CacheError(f"{self._url}: the cache cannot be written: {error.strerror}") from None
        finally:
            with self._lock:
                for k in range(first, last):
                    self._coming.pop(k, None)

    def _lock_chunks(self, first: int, last: int, kind: int) -> None:
        # Locks of an open file description: the threads of a process share one; `_coming` separates the threads.
        locks = self._locks
        if locks >= 0:
            flock = struct.pack("hhqqi4x", kind, os.SEEK_SET, first, last - first, 0)
            fcntl.fcntl(locks, fcntl.F_OFD_SETLKW, flock)

    def close(self) -> None:
        """Closes the file. Files in a cache folder are flushed first, so that they remain valid after a reboot."""
        if self._folder is not None and self.fd >= 0:
            held = bytes(self._have)
            with suppress(OSError):
                os.fdatasync(self.fd)
                unfinished = self._folder / f"flushed.{os.getpid()}"
                unfinished.write_bytes(held)
                unfinished.replace(self._folder / "flushed")
        self._file.close()
        with self._lock:
            self._locks = -1
            self._closing()


def _close(files: list[int]) -> None:
    for fd in files:
        os.close(fd)


def _use(folder: Path) -> int:
    """Makes the folder and locks it: exclusively if no other process uses it, else shared."""
    while True:
        with suppress(FileNotFoundError, FileExistsError):  # `make_room` deletes the folder meanwhile
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                fcntl.flock(lock, fcntl.LOCK_SH)
            if _is_lock(lock, folder):
                os.utime(lock)
                return lock
            os.close(lock)


def _is_lock(lock: int, folder: Path) -> bool:
    """Whether an open lock still belongs to the folder, which may have been deleted and created again."""
    with suppress(FileNotFoundError):
        return os.stat(folder / "lock").st_ino == os.fstat(lock).st_ino
    return False


def _key(url: str, facts: Facts) -> str:
    return hashlib.sha256(f"{url}\n{facts.size}\n{facts.version or facts.stamp}".encode()).hexdigest()[:32]


def make_room(cache_dir: str, limit: int) -> None:
    """Deletes cached objects that no process uses, the oldest first, until the folder holds at most `limit` bytes.

    Several processes may call this at once.
    """
    root = Path(cache_dir)
    if not root.is_dir():
        return
    found = []
    for path in root.iterdir():
        if path.suffix == _DELETED:  # by a process that was killed meanwhile
            shutil.rmtree(path, ignore_errors=True)
            continue
        with suppress(FileNotFoundError, NotADirectoryError):
            age = (path / "lock").stat().st_mtime
            found.append((age, path, sum(file.stat().st_blocks * 512 for file in path.iterdir())))
    held = sum(size for _, _, size in found)
    for _, path, size in sorted(found):
        if held <= limit:
            break
        try:
            lock = os.open(path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            held -= size  # another process has deleted it
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_lock(lock, path):
                # In one step: a process that creates the folder again must not find some of its files.
                deleted = path.with_name(f"{path.name}-{os.getpid()}-{threading.get_ident()}{_DELETED}")
                path.rename(deleted)
                shutil.rmtree(deleted, ignore_errors=True)
            held -= size
        except BlockingIOError:
            pass  # in use
        finally:
            os.close(lock)
