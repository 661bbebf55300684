"""Functions that list, measure and read files by path or URL, so that sources need not distinguish the two."""

from __future__ import annotations

import errno
import glob
import io
import os
import stat
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from ..errors import LoaderError, TooManyOpenFiles
from . import store as stores
from .store import Facts, Missing, Store, first_line, is_url
from .transfer import LARGEST, Transfer

K = TypeVar("K")
T = TypeVar("T")

_PATIENCE = 1.0  # seconds in which other threads of ours, which open files only for a read, close some
_FIRST = 16 << 10  # bytes of a request after a jump
_AHEAD = 4  # requests in flight while a file is read from beginning to end


class _Shared:
    """Connections shared by all remote files of the process while a conversion runs."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0
        self._transfer: Transfer | None = None
        self._stores: dict[str, tuple[Store, str]] = {}

    def transfer(self) -> Transfer:
        with self._lock:
            if self._transfer is None:
                self._transfer = Transfer()
            return self._transfer

    def store(self, url: str) -> tuple[Store, str]:
        """The store of a URL, and the object's path in it."""
        scheme, rest = url.split("://", 1)
        host = rest.partition("/")[0]
        with self._lock:
            found = self._stores.get(f"{scheme}://{host}")
        if found is None:
            store, path = stores.open_store(url)
            start = url[: len(url) - len(path)]
            found = store, start if start.endswith("/") else f"{start}/"  # a URL may name only the store
            with self._lock:
                self._stores[f"{scheme}://{host}"] = found
        return found[0], url[len(found[1]) :]

    @contextmanager
    def used(self) -> Iterator[None]:
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users and self._transfer is not None:
                    self._transfer.close()
                    self._transfer = None
                    self._stores.clear()


_shared = _Shared()


@contextmanager
def connections() -> Iterator[None]:
    """A context manager. The exit of the last one in the process cancels pending requests and closes connections."""
    with _shared.used():
        yield


def join(folder: str, name: str) -> str:
    """The path or URL of a file that is named relative to a folder. An absolute path or a URL is unchanged."""
    if is_url(name):
        return name
    return f"{folder.rstrip('/')}/{name}" if is_url(folder) else os.path.join(folder, name)


def at_home(path: str | os.PathLike[str]) -> str:
    """The path with the home folder in place of a leading `~`. A URL is unchanged."""
    return os.fspath(path) if is_url(path) else os.path.expanduser(path)


def folder_of(path: str) -> str:
    """The folder of a file."""
    return path.rpartition("/")[0] if is_url(path) else os.path.dirname(os.path.abspath(path))


def exists(path: str) -> bool:
    """Whether the file exists.

    Raises:
        LoaderError: its store does not answer.
    """
    if not is_url(path):
        return os.path.exists(path)
    try:
        facts(path)
    except Missing:
        return False
    return True


def is_folder(path: str) -> bool:
    """Whether this is a folder. A remote folder exists if files' names begin with it. Raises as `children` does."""
    return os.path.isdir(path) if not is_url(path) else any(children(path))


def children(folder: str) -> tuple[list[str], list[str]]:
    """Names of the folders, and of the files, directly in a folder, sorted; none if there is no such folder.

    HTTP servers cannot list, so they have no folders.

    Raises:
        LoaderError: its store refuses or keeps failing.
    """
    if folder.startswith(("http://", "https://")):
        return [], []
    if is_url(folder):
        store, path = _shared.store(folder)
        try:
            return _shared.transfer().tried(folder, lambda: store.children(path.rstrip("/")))
        except Missing:
            return [], []
    if not os.path.isdir(folder):
        return [], []
    with os.scandir(folder) as entries:
        found = sorted((entry.name, entry.is_dir()) for entry in entries)
    return [name for name, is_folder in found if is_folder], [name for name, is_folder in found if not is_folder]


def below(url: str) -> dict[str, Facts]:
    """All objects below a remote folder, by their paths relative to it.

    Raises:
        LoaderError: its store cannot list, refuses, or keeps failing.
    """
    store, path = _shared.store(url)
    start = path.rstrip("/")
    found = _shared.transfer().tried(url, lambda: store.below(start))
    skip = len(start) + 1 if start else 0
    return {name[skip:]: facts for name, facts in found.items()}


def expand(pattern: str) -> list[str]:
    """The files that match a pattern with `*`, `?` or `[`, sorted; a path without them unchanged, even if missing."""
    if not glob.has_magic(pattern):
        return [pattern]
    if not is_url(pattern):
        return sorted(glob.glob(pattern))
    try:
        return stores.expand(pattern, _shared.transfer().tried)
    except FileNotFoundError:
        return []


def facts(url: str) -> Facts:
    """Size and version of an object.

    Raises:
        Missing: there is no such object.
        LoaderError: its store refuses or keeps failing.
    """
    store, path = _shared.store(url)
    return _shared.transfer().facts(store, path, url)


def size(path: str) -> int:
    """Bytes of a file. Raises OSError, or as `facts` does."""
    return facts(path).size if is_url(path) else os.stat(path).st_size


def stamp(path: str) -> str:
    """A short text that changes when the file changes: size, and modification time or the store's version."""
    if is_url(path):
        found = facts(path)
        return f"{found.size} {found.version or found.stamp}"
    found_here = os.stat(path)
    return f"{found_here.st_size} {found_here.st_mtime_ns}"


def read(url: str, offset: int, size: int, version: str | None = None) -> bytes:
    """A range of an object.

    Raises:
        Changed: it is of another version than this one, see `store.Facts`.
        LoaderError: as `facts` does.
    """
    if not size:
        return b""
    store, path = _shared.store(url)
    return bytes(_shared.transfer().read(store, path, url, offset, offset + size, version))


def upload(file: Path, url: str) -> None:
    """Uploads a local file as an object, several pieces at a time. The object becomes visible when it is complete.

    Raises:
        LoaderError: its store refuses or keeps failing.
    """
    store, path = _shared.store(url)
    with open(file, "rb") as opened:
        try:
            store.upload(path, opened)
        except Missing:
            raise LoaderError(f"{url}: cannot be written: no such bucket or container; make it first") from None
        except Exception as error:  # stores raise any type of error
            raise LoaderError(f"{url}: cannot be written: {first_line(error)}; repeat the command to resume") from None


def replace(path: str, data: bytes) -> None:
    """Writes or replaces a small file; readers see the old file or the new one. Raises OSError, or as `upload` does."""
    with tempfile.TemporaryDirectory(dir=None if is_url(path) else folder_of(path), prefix=".unfinished-") as folder:
        unfinished = Path(folder) / "file"
        with open(unfinished, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if is_url(path):
            upload(unfinished, path)
        else:
            os.replace(unfinished, path)


def delete(path: str) -> None:
    """Deletes a file.

    Raises:
        FileNotFoundError: the file does not exist; some stores do not report this.
        OSError, LoaderError: it cannot be deleted.
    """
    if not is_url(path):
        os.unlink(path)
        return
    store, inside = _shared.store(path)
    _shared.transfer().tried(path, lambda: store.delete(inside))


def begin(work: Callable[[], T]) -> Future[T]:
    """Runs `work`, which reads remote files, in one of the threads for remote reads."""
    return _shared.transfer().submit(work)


def open_regular(path: str) -> IO[bytes]:
    """Opens a file for reading, without blocking: opening a pipe would wait for its other end, and a device may be
    endless.

    Raises:
        OSError: it cannot be opened, or is no regular file.
        TooManyOpenFiles: it could not be opened for a second, because too many files are open.
    """
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: SIM115
            break
        except OSError as error:
            if not too_many_open(error):
                raise
            if time.monotonic() > until:
                raise TooManyOpenFiles.opening(path) from None
        time.sleep(0.001)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "no regular file")
    return file


def too_many_open(error: Exception) -> bool:
    """Whether this is an error of opening a file because this process, or the system, has too many open files."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def open_file(path: str) -> IO[bytes]:
    """Opens a file for reading. A remote file is read in small requests after a jump, and ahead in large requests while
    it is read in order.

    Raises:
        OSError, LoaderError: it cannot be opened, or a later read fails.
    """
    if not is_url(path):
        return open(path, "rb")
    return io.BufferedReader(_RemoteFile(path), _FIRST)


def read_all(path: str) -> bytes:
    """A whole file, which must be small. Raises as `open_file` does."""
    with open_file(path) as file:
        return file.read()


def each(work: Callable[[K], T], items: Iterable[K], remote: bool) -> list[T]:
    """The results of `work(item)`, in order. remote: `work` waits for a store, so it runs for many items at a time."""
    items = list(items)
    if not remote or len(items) < 2:
        return [work(item) for item in items]
    pool = ThreadPoolExecutor(min(32, len(items)), "files")
    try:
        return list(pool.map(work, items))
    finally:
        pool.shutdown(cancel_futures=True)


class _RemoteFile(io.RawIOBase):
    """A remote object as a file that supports reading and seeking."""

    def __init__(self, url: str) -> None:
        self.name, (self._store, self._path) = url, _shared.store(url)
        self._transfer = _shared.transfer()
        self._facts = self._transfer.facts(self._store, self._path, url)
        self._at = 0
        self._data, self._start = memoryview(b""), 0  # the loaded bytes, and their offset
        self._step, self._next = _FIRST, 0  # bytes of a request, and the start of the next one
        self._coming: deque[tuple[int, Future[memoryview]]] = deque()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._facts.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        room = memoryview(buffer).cast("B")
        if self._at >= self._facts.size or not len(room):
            return 0
        if not self._start <= self._at < self._start + len(self._data):
            self._load(len(room))
        place = self._at - self._start
        part = self._data[place : place + len(room)]
        room[: len(part)] = part
        self._at += len(part)
        return len(part)

    def _load(self, wanted: int) -> None:
        """Loads the bytes from the present position on."""
        if len(self._data) and self._at == self._start + len(self._data):
            self._step = min(2 * self._step, LARGEST)
        else:
            self._step, self._next = _FIRST, self._at
            self._coming.clear()
        self._step = max(self._step, min(wanted, LARGEST))
        ahead = self._at + max(wanted, _AHEAD * self._step if self._step == LARGEST else self._step)
        while self._next < min(ahead, self._facts.size):
            end = min(self._next + self._step, self._facts.size)
            self._coming.append((self._next, self._transfer.submit(self._fetch, self._next, end)))
            self._next = end
        start, future = self._coming.popleft()
        self._data = memoryview(b"")  # if the following lines raise, the next read starts again
        self._start, self._data = start, future.result()

    def _fetch(self, start: int, end: int) -> memoryview:
        return self._transfer.read(self._store, self._path, self.name, start, end, self._facts.version)
