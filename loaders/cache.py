"""An image folder that becomes a pyramid while it is read: `Loader(folder, cache=FILE)`.

The first epochs read the folder. Meanwhile a background thread converts it, with the ordinary converter and its
journal, so that an interrupted conversion resumes. The first epoch that begins after the conversion reads the pyramid.
If several processes use the same cache, one of them converts; the others read the folder until the file is complete.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .beton.stored_order import Shuffled
from .conversion.convert import convert
from .conversion.journal import Busy, remove_finished
from .conversion.levels import ratios_for
from .conversion.target import Target
from .errors import BadDataset, LoaderError
from .plan.order import StorageOrder
from .sources import Dataset, open_dataset
from .sources.dataset import empty_entries
from .sources.folder import Folder
from .sources.image_folder import ImageFolder
from .sources.pyramid import Pyramid
from .sources.source import Options, Sample
from .sources.wrapper import Wrapper

# Together: while the decoding threads use all processors, converting takes about a seventh of the time.
SHARE = 2  # decoding threads for each converting thread
NICENESS = 5  # of the converting threads; only Linux has a niceness for each thread
POLL = 2.0  # seconds between two checks whether another process has finished
PATIENCE = 5.0  # seconds that `close` waits for jobs in progress


class _Stopped(Exception):
    """The loader was closed while it converted."""


class _Source(ImageFolder):
    """An image folder whose conversion can be stopped between two samples."""

    def __init__(self, path: str, classes: Sequence[str] | None) -> None:
        super().__init__(path, Options(classes=None if classes is None else tuple(classes)))
        self.stop = threading.Event()

    def __getitem__(self, index: int) -> Sample:
        if self.stop.is_set():
            raise _Stopped
        return super().__getitem__(index)


class CachedFolder(Wrapper):
    """An image folder, and later the pyramid made of it. Both have the same samples, labels and names.

    A sample that the converter refused is always read from the folder, with the same result as without a cache.
    """

    kind = "image folder with a cache"
    meta = None  # for all but its bytes it remains a folder

    def __init__(
        self, folder: Any, cache: str | os.PathLike[str], num_workers: int, classes: Sequence[str] | None = None
    ) -> None:
        """Opens the pyramid if it is complete; else lists the folder and starts or resumes the conversion.

        Args:
            folder: path of an image folder.
            cache: the pyramid beton to make, or made before by `Loader(cache=)` or `convert(as_cache=True)`.
            num_workers: decoding threads of the loader; the converting threads must leave processor time for them.
            classes: class names in the order of their labels; None: the sub-folders, sorted.

        Raises:
            ValueError: the data are not an image folder.
            FileNotFoundError: the image folder does not exist.
            BadDataset: the file or its unfinished conversion belongs to another folder or an older state of the folder,
                is damaged, or was not made as a cache.
        """
        if not isinstance(folder, str | os.PathLike) or not os.path.isdir(folder):
            raise ValueError(f"`cache` is for image folders, got {folder!r}; leave `cache` out")
        target = Path(cache).expanduser()
        if target.is_dir():
            raise IsADirectoryError(f"{target}: `cache` must name a file, is a folder; name one inside it")
        source = _Source(os.fspath(folder), classes)
        self.path, self.fields, self._warned = source.path, source.fields, False
        # The pyramid's, from the first epoch on, so that the order of samples stays the same when the pyramid is ready.
        self.image_bytes = source.nbytes
        self.storage: StorageOrder | None = Shuffled(len(source))
        self._background: _Background | None = None
        if target.exists():
            super().__init__(_opened(target, source))
            remove_finished(Target(target).working)
            if self.inner.storage is None:
                self.storage = None
        else:
            _check_unfinished(target, source)
            super().__init__(Folder(source.path, classes=classes))
            self._background = _Background(source, target, max(1, num_workers // SHARE))
            weakref.finalize(self, self._background.stop)  # at the program's end, too

    @property
    def converted(self) -> bool:
        """Whether the present epoch reads the pyramid."""
        return self._background is None

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the pyramid is complete or cannot be made; returns whether the next epoch will read it."""
        if self._background is None:
            return True
        self._background.ended.wait(timeout)
        return self._background.pyramid is not None

    def begin_epoch(self) -> None:
        """Switches to the pyramid if it is complete. Warns once if it cannot be made."""
        background = self._background
        if background is None or not background.ended.is_set():
            return
        if background.pyramid is not None:
            # Earlier batches keep the folder alive by their lease. Its entries are file names and need no descriptor.
            self.inner, self._background = background.pyramid, None
        elif background.problem is not None and not self._warned:
            self._warned = True
            warnings.warn(
                f"the cache cannot be made, so the folder is still read: {background.problem}",
                RuntimeWarning,
                stacklevel=2,
            )

    def lease(self, _indices: ArrayLike) -> object:
        return self.inner

    def close(self) -> None:
        """Stops the conversion, which the next loader resumes, and closes the files."""
        if self._background is not None:
            self._background.stop()
            if self._background.pyramid is not None:
                self._background.pyramid.close()
        super().close()


class _Patched(Wrapper):
    """A pyramid that lacks some samples of its folder, with these read from the folder."""

    def __init__(self, pyramid: Pyramid, folder: Folder, left_out: list[int]) -> None:
        super().__init__(folder)
        self._pyramid = pyramid
        self.path, self.fd, self.ratios, self.storage = pyramid.path, pyramid.fd, pyramid.ratios, pyramid.storage
        self._rows = np.zeros(len(folder), np.int64)  # in the pyramid; -1: left out
        self._rows[left_out] = -1
        self._rows[self._rows == 0] = np.arange(len(pyramid))

    def entries(self, indices: ArrayLike) -> NDArray[np.void]:
        return self._from_both(indices, self._pyramid.entries)

    def decode_entries(self, indices: ArrayLike) -> NDArray[np.void]:
        return self._from_both(indices, self._pyramid.decode_entries)

    def _from_both(self, indices: ArrayLike, pyramid: Callable[[ArrayLike], NDArray[np.void]]) -> NDArray[np.void]:
        indices = self._checked(indices)
        rows = self._rows[indices]
        entries = empty_entries(len(indices), len(self.ratios))
        entries[rows >= 0] = pyramid(rows[rows >= 0])
        entries[rows < 0, :1] = self.inner.entries(indices[rows < 0])
        return entries

    def check_unchanged(self) -> None:
        self._pyramid.check_unchanged()

    def read(self, index: int, level: int = 0) -> bytes:
        row = int(self._rows[self._checked([index])[0]])
        return self.inner.read(index, level) if row < 0 else self._pyramid.read(row, level)

    def close(self) -> None:
        super().close()
        self._pyramid.close()


class _Background:
    """Makes the pyramid in threads of low priority, or waits for the process that makes it.

    Attributes:
        ended: set when the work is done.
        pyramid: the pyramid, open and checked, once it is complete.
        problem: why it cannot be made.
    """

    def __init__(self, source: _Source, target: Path, workers: int) -> None:
        self.ended = threading.Event()
        self.pyramid: Dataset | None = None
        self.problem: Exception | None = None
        self._source, self._target, self._workers = source, target, workers
        # A daemon: the end of the program need not wait for the last step, which may be repeated.
        self._thread = threading.Thread(target=self._run, name="cache", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Cancels the jobs that have not begun. Finished jobs are in the journal."""
        self._source.stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join(PATIENCE)

    def _run(self) -> None:
        if sys.platform == "linux":
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)  # threads started here inherit it
        try:
            if self._make():
                self.pyramid = _opened(self._target, self._source)
        except _Stopped:
            pass
        except Exception as error:
            self.problem = error
        self.ended.set()

    def _make(self) -> bool:
        """Returns True once the file is complete, False if the loader was closed meanwhile."""
        ratios = ratios_for(self._source)
        while not self._source.stop.is_set():
            if self._target.exists():
                return True
            try:
                convert(
                    self._source, self._target, ratios=ratios, as_cache=True, workers=self._workers, on_error="skip"
                )
            except Busy:
                self._source.stop.wait(POLL)
            except FileExistsError:
                return True
        return False


def _opened(target: Path, source: ImageFolder) -> Dataset:
    """The pyramid made of this source; with the folder's files for samples that it lacks.

    Raises:
        BadDataset: damaged, made of another source or of an older state of it, or not made as a cache.
    """
    remedy = "remove it, and the loader makes it again, or name another file as `cache`"
    try:
        pyramid = open_dataset(target)
    except LoaderError as error:
        raise BadDataset(f"{error}; it is a cache: {remedy}") from None
    try:
        made = pyramid.meta.get("cache") if isinstance(pyramid, Pyramid) else None
        if not isinstance(pyramid, Pyramid) or made is None:
            raise BadDataset(f"{target}: was not made as a cache; pass it as the data set, or name another `cache`")
        if made["source"] != source.fingerprint() or pyramid.classes != source.classes:
            raise BadDataset(
                f"{target}: is a cache of another folder, or {source.path} has changed since (files' names, sizes and "
                f"modification times are compared); {remedy}"
            )
        left_out = made["left_out"]
        if len(pyramid) + len(left_out) != len(source):
            raise BadDataset(f"{target}: holds {len(pyramid)} of {len(source)} samples; {remedy}")
        return _Patched(pyramid, Folder(source.path, classes=source.classes), left_out) if left_out else pyramid
    except BaseException:
        pyramid.close()
        raise


def _check_unfinished(target: Path, source: ImageFolder) -> None:
    """Raises BadDataset if an unfinished conversion of another source, or of another state of it, lies there."""
    folder = Target(target).working
    try:
        theirs = json.loads((folder / "manifest").read_text(encoding="ascii"))["sources"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # none, or one that has just begun
    if theirs != source.fingerprint():
        raise BadDataset(
            f"{folder}: is an unfinished cache of another folder, or {source.path} has changed since; "
            "remove it, or name another file as `cache`"
        )
