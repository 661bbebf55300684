"""A beton in an object store: its index is fetched once, its records when a batch is planned.

Fetched records are stored in one of two places until they are decoded. With a cache, the records of the coarsest
levels, as many as the cache holds, go to a mirror on the local disk that all processes of the machine share. The other
records go to memory, which is freed with their batch. The kernel reads both as files. Stored values go to the mirror;
without a cache that is memory, too, from which those that no batch uses are dropped, see `storage.held_chunks`.
"""

from __future__ import annotations

import warnings
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..beton import layout
from ..beton.tables import Head, read_head
from ..errors import BadDataset
from ..plan.records import table_bytes
from ..storage.files import join
from ..storage.held_chunks import HeldChunks, Hold
from ..storage.mirror import CHUNK, CacheError, Mirror, make_room
from ..storage.store import expand, is_url, open_store
from ..storage.transfer import Transfer, coalesce
from .beton_file import BetonFile
from .dataset import Dataset
from .fetched import Fetched
from .ffcv_beton import FFCVBeton
from .parts import Parts, opened
from .parts_manifest import PartEntry, by_manifest
from .pyramid import Pyramid
from .window import Lease, Window
from .wrapper import Wrapper

_AT_ONCE = 16  # parts that are opened at a time; each takes three sequential requests
_FEW_VALUES = 64 << 20  # bytes of a data set's stored values that are fetched at once, in few large requests, and stay
_HEAD = 128 << 10  # bytes that hold the head of a beton of up to 100 fields


class Remote(Wrapper):
    """An open pyramid or FFCV beton in an object store.

    The kernel can read the bytes of `entries` only after `fetch` and its `wait`.
    """

    inner: BetonFile
    fd = -1
    together = 2048

    def __init__(
        self,
        inner: BetonFile,
        mirror: Mirror,
        *,
        transfer: Transfer,
        window: Window,
        chunks: HeldChunks | None,
        parts: int,
        keep: int,
    ) -> None:
        """
        Args:
            inner: reads the index from `mirror`.
            mirror: the local copy, which is owned from now on.
            transfer, window, chunks: shared by all parts of the data set; chunks: None with a cache.
            parts: of the data set.
            keep: bytes of records to keep on disk.
        """
        super().__init__(inner)
        self._mirror, self._transfer, self._window = mirror, transfer, window
        self._kept, self._chunks, self._few = _kept_extents(inner, keep), chunks, _FEW_VALUES // parts
        stored = isinstance(inner, Pyramid) and inner.private.dtype == layout.PRIVATE_FIELDS
        self._values = _extent(inner.private["values"]) if isinstance(inner, Pyramid) and stored else (0, 0)
        self._announced: list[str] = []  # stored fields whose values are not in the index

    def _read_field(self, name: str, indices: NDArray[np.int64]) -> NDArray[Any] | list[Any]:
        if self.fields[name].inline:
            return self.inner._read_field(name, indices)
        ranges = self._value_ranges(name, indices)
        with self._hold(ranges):
            _arrive(self._mirror, ranges)
            try:
                return self.inner._read_field(name, indices)
            except BadDataset:  # perhaps a transfer error: fetched once more
                for start, end in ranges:
                    self._mirror.forget(start, end)
                _arrive(self._mirror, ranges)
                return self.inner._read_field(name, indices)

    def _hold(self, ranges: Iterable[tuple[int, int]]) -> Hold | nullcontext[None]:
        """Keeps the chunks of stored values in memory. Those that hold other bytes, too, always stay there."""
        first, last = self._values
        if self._chunks is None or last - first <= self._few:
            return nullcontext()
        droppable = range(-(-first // CHUNK), last // CHUNK)
        wanted = {k for start, end in ranges for k in range(start // CHUNK, -(-end // CHUNK)) if k in droppable}
        return self._chunks.hold(self._mirror, wanted)

    def announce(self, fields: Sequence[str]) -> None:
        apart = [name for name in fields if name in self.fields and not self.fields[name].inline]
        self._announced = list(dict.fromkeys([*self._announced, *apart]))

    def _value_ranges(self, name: str, indices: NDArray[np.int64]) -> list[tuple[int, int]]:
        if not isinstance(self.inner, Pyramid):
            raise ValueError(
                f"{self.path}: field `{name}` of a remote beton that FFCV wrote cannot be read; convert or copy it"
            )
        if self._values[1] - self._values[0] <= self._few:
            return [self._values]
        starts, sizes = self.inner.value_extents(name, indices)
        return list(zip(starts.tolist(), (starts + sizes).tolist(), strict=True))

    def read(self, index: int, level: int = 0) -> bytes:
        entry = self.entries([index])[0, level]
        start = int(entry["offset"])
        return bytes(self._mirror.read(start, start + int(entry["size"])))

    def read_record(self, index: int, level: int) -> bytes:
        entry = self.entries([index])[0, level]
        start = int(entry["offset"])
        return bytes(self._mirror.read(start - int(table_bytes(int(entry["rows"]))), start + int(entry["size"])))

    def fetch(self, indices: NDArray[np.int64], samples: NDArray[np.void]) -> Fetched:
        """See `Dataset.fetch`."""
        return self._fetched(indices, samples, self._kept)

    def _fetched(self, indices: NDArray[np.int64], samples: NDArray[np.void], keep: list[tuple[int, int]]) -> Fetched:
        """As `fetch`; keep: the parts of the file whose records go to the mirror."""
        entry = samples["entry"]
        starts = entry["offset"] - table_bytes(entry["rows"].astype(np.int64))
        ends = entry["offset"] + entry["size"].astype(np.int64)
        kept = np.zeros(len(samples), np.bool_)
        for first, last in keep:
            kept |= (starts >= first) & (ends <= last)
        futures: list[Future[Any]] = list(
            self._mirror.ensure(zip(starts[kept].tolist(), ends[kept].tolist(), strict=True))
        )
        values = list(chain.from_iterable(self._value_ranges(name, indices) for name in self._announced))
        held = self._hold(values)
        futures += self._mirror.ensure(values)
        ranges = np.array(coalesce(zip(starts[~kept].tolist(), ends[~kept].tolist(), strict=True)), np.int64).reshape(
            -1, 2
        )
        sizes = ranges[:, 1] - ranges[:, 0]
        lease = self._window.take(int(sizes.sum()))
        places = lease.start + np.cumsum(sizes) - sizes
        mine = [
            self._transfer.submit(self._into_window, lease, start, end, place)
            for (start, end), place in zip(ranges.tolist(), places.tolist(), strict=True)
        ]

        def place() -> object:
            samples["entry"]["path"][kept] = ~self._mirror.fd
            at = np.searchsorted(ranges[:, 0], starts[~kept], side="right") - 1
            samples["entry"]["path"][~kept] = ~self._window.fd
            samples["entry"]["offset"][~kept] += places[at] - ranges[at, 0]
            return lease

        instead = partial(self._without_cache, indices, samples) if kept.any() else None
        fetched = Fetched(futures + mine, place, int(sizes.sum()), instead, held)
        weakref.finalize(fetched, _cancel, mine).atexit = False  # an abandoned epoch needs no further records
        return fetched

    def _without_cache(self, indices: NDArray[np.int64], samples: NDArray[np.void], error: CacheError) -> Fetched:
        if self._kept:
            warnings.warn(
                f"{error}; from now on no record is kept in it; free some space and open it again", stacklevel=2
            )
            self._kept = []
        return self._fetched(indices, samples, [])

    def _into_window(self, _lease: Lease, start: int, end: int, place: int) -> None:
        """Holds the lease, so that the memory is not freed before it is written."""
        self._window.write(self._mirror.read(start, end), place)

    def with_tables(self) -> Dataset:
        _arrive(self._mirror, [_rows(self.inner.head), (self.inner.head.table, self._mirror.size)])
        return self.inner

    @contextmanager
    def with_values(self, indices: NDArray[np.int64]) -> Iterator[None]:
        apart = [name for name, kind in self.fields.items() if not kind.inline]
        ranges = list(chain.from_iterable(self._value_ranges(name, indices) for name in apart))
        with self._hold(ranges):
            _arrive(self._mirror, ranges)
            yield

    def reader(self, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Callable[[int, int], bytes]:
        ranges = coalesce(zip(starts.tolist(), ends.tolist(), strict=True))
        firsts = [start for start, _ in ranges]
        pieces = [self._mirror.read(start, end) for start, end in ranges]

        def read(start: int, end: int) -> bytes:
            at = bisect_right(firsts, start) - 1
            return bytes(pieces[at][start - firsts[at] : end - firsts[at]])

        return read

    def head_fd(self) -> int:
        return self._mirror.fd

    def forget(self, index: int) -> bool:
        """See `Dataset.forget`."""
        for entry in [*self.entries([index])[0], self.decode_entries([index])[0, 0]]:
            start = int(entry["offset"]) - int(table_bytes(int(entry["rows"])))
            self._mirror.forget(start, int(entry["offset"]) + int(entry["size"]))
        return True

    def close(self) -> None:
        self._transfer.close()
        self._mirror.close()
        self._window.close()


class RemoteParts(Parts):
    """Remote betons as one data set."""

    together = Remote.together


class Cache(NamedTuple):
    """The cache of records: its folder (None: no cache), and its largest size in bytes."""

    folder: str | None
    limit: int


def open_remote(data: str | Sequence[str], label_field: Any, classes: Sequence[str] | None, cache: Cache) -> Dataset:
    """Opens the beton, manifest or pattern at a URL, or the betons at several URLs.

    Raises:
        ValueError: a list that mixes URLs and local paths.
        FileNotFoundError: no such object.
        LoaderError: the store refuses or keeps failing, or a package is missing.
        BadDataset: not a beton, or damaged.
    """
    if cache.folder is not None:
        make_room(cache.folder, cache.limit)
    transfer, window = Transfer(), Window()
    chunks = HeldChunks() if cache.folder is None else None

    def one(parts: int, url: str) -> Dataset:
        share = cache.limit // parts if cache.folder is not None else 0

        def made(inner: BetonFile, mirror: Mirror) -> Remote:
            return Remote(inner, mirror, transfer=transfer, window=window, chunks=chunks, parts=parts, keep=share)

        return _open(url, label_field, classes, transfer, cache.folder, made)

    def together(urls: Sequence[str], expected: list[PartEntry] | None = None) -> Dataset:
        return opened(urls, expected, url, partial(one, len(urls)), RemoteParts, _AT_ONCE)

    def read_manifest() -> bytes:
        store, path = open_store(url)
        return bytes(transfer.read(store, path, url, 0, transfer.facts(store, path, url).size, None))

    def named(expected: list[PartEntry]) -> Dataset:
        return together([join(url.rpartition("/")[0], part.path) for part in expected], expected)

    try:
        url = data if isinstance(data, str) else data[0]
        if not isinstance(data, str):
            if strangers := [path for path in data if not is_url(path)]:
                raise ValueError(f"a data set's parts must all be URLs or all be paths, got {url} and {strangers[0]}.")
            urls, url = list(data), f"{url} and {len(data) - 1} more"
        elif url.endswith(".json"):
            return by_manifest(url, read_manifest, named)
        else:
            urls = expand(url, transfer.tried)
        return one(len(urls), urls[0]) if len(urls) == 1 else together(urls)
    except BaseException:
        transfer.close()
        window.close()
        raise


def _open(
    url: str,
    label_field: Any,
    classes: Sequence[str] | None,
    transfer: Transfer,
    folder: str | None,
    made: Callable[[BetonFile, Mirror], Remote],
) -> Remote:
    store, path = open_store(url)
    mirror = Mirror(url, store, path, transfer, folder)
    try:
        try:
            inner = _open_index(mirror, url, label_field)
        except BadDataset:  # perhaps a transfer error: fetched once more before the file counts as damaged
            mirror.forget(0, mirror.size)
            inner = _open_index(mirror, url, label_field)
        if classes is not None:
            inner.use_classes(classes)
    except BaseException:
        mirror.close()
        raise
    inner.immutable = True
    return made(inner, mirror)


def _open_index(mirror: Mirror, url: str, label_field: Any) -> BetonFile:
    _arrive(mirror, [(0, min(_HEAD, mirror.size))])
    head = read_head(mirror.fd, url)
    image = head.field(layout.IMAGE_FIELD)
    private = None if image is None else layout.unpack_private(head.arguments[image], url)
    if private is None:
        _arrive(mirror, [_rows(head), (head.table, mirror.size)])
        return FFCVBeton(mirror.fd, head, label_field)
    names = ["index", "names", "meta"] + (["rows", "checks"] if private.dtype == layout.PRIVATE_FIELDS else [])
    _arrive(mirror, [_extent(private[name]) for name in names])
    pyramid = Pyramid(mirror.fd, head, private)
    pyramid.check_tables()  # all tables were just transferred
    return pyramid


def _rows(head: Head) -> tuple[int, int]:
    return head.rows, head.rows + head.samples * head.row.itemsize


def _extent(section: Any) -> tuple[int, int]:
    return int(section["offset"]), int(section["offset"]) + int(section["size"])


def _cancel(futures: list[Future[Any]]) -> None:
    for future in futures:
        future.cancel()


def _arrive(mirror: Mirror, ranges: list[tuple[int, int]]) -> None:
    """Waits until these ranges, clipped to the file, are in the mirror."""
    futures = mirror.ensure((min(start, mirror.size), min(end, mirror.size)) for start, end in ranges)
    wait(futures)
    for future in futures:
        future.result()


def _kept_extents(inner: BetonFile, limit: int) -> list[tuple[int, int]]:
    """The parts of the file that hold records to keep: whole levels from the coarsest on, then a part of the next.

    The result is the same in every process, so that all processes that share a cache agree.
    """
    if isinstance(inner, Pyramid):
        levels = len(inner.ratios)
        starts, ends = (inner.private[name][:levels].astype(np.int64).tolist() for name in ("start", "end"))
        extents = list(zip(starts, ends, strict=True))[::-1]
        if inner.originals is not None:
            extents.append(_extent(inner.private["values"]))  # full-size files, like level 0
    else:
        extents = [(0, inner.head.table)]
    kept = []
    for start, end in extents:
        end = min(end, start + limit)
        if end > start:
            kept.append((start, end))
            limit -= end - start
    return kept
