"""Changes a data set of several betons, and rewrites no more of it than the change touches.

A manifest lists the parts of the data set (see `sources.parts_manifest`). It is replaced at once, so a reader finds the
data set before a change or after it. Edits of a local manifest wait for one another. A store has no locks: edit a
remote manifest from one place at a time.
"""

from __future__ import annotations

import fcntl
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..beton.fields import ORIGINAL
from ..errors import BadDataset, LoaderError
from ..sources.open import open_dataset
from ..sources.parts import Parts
from ..sources.parts_manifest import Manifest, PartEntry
from ..storage import files
from ..storage.store import check_credentials, is_url
from .part_file import copy_part, make_part
from .stored_samples import StoredSamples, cut, order_of, settings_of
from .verify import verify

_BLOCK = 1 << 12  # samples compared at a time
ENDING = ".beton"


class Checked(NamedTuple):
    """The result of one part's check.

    Attributes:
        path: the part.
        samples: how many of its samples belong to the data set; 0 if it cannot be opened.
        fault: why it cannot be used, or "".
        damaged: samples with a damaged record, if records were read.
    """

    path: str
    samples: int
    fault: str
    damaged: int


def split_parts(
    data: Any, out: str, parts: int, *, workers: int | None = None, progress: bool = False, work_dir: str | None = None
) -> list[str]:
    """Cuts a pyramid, or a data set of several, into parts of nearly equal numbers of samples, and writes a manifest.

    Records are copied as they are, in the order in which they are stored: parts of a shuffled pyramid are fair samples
    of it. Together they have its sample indices. A call that was interrupted resumes: parts that are complete stay.

    Args:
        out: the manifest, a new `.json` file; the parts become OUT-00000-of-00008.beton, ... beside it.
        parts: how many, at most the number of samples.
        workers, progress, work_dir: see `convert`.

    Returns:
        Paths of the parts.

    Raises:
        ValueError: a wrong number of parts, or `out` is no `.json` file.
        FileExistsError: `out` exists.
        BadDataset: `data` are not pyramids.
        BadSample: a record is damaged.
    """
    out = _checked_name(out)
    if files.exists(out):
        raise FileExistsError(f"{out}: exists already; name a new manifest")
    with open_dataset(data) as dataset:
        if not 1 <= parts <= len(dataset):
            raise ValueError(f"{dataset.path}: must be cut into 1 to {len(dataset)} parts, got {parts}.")
        ends = [k * len(dataset) // parts for k in range(parts + 1)]
        paths = [f"{out[: -len('.json')]}-{k:05d}-of-{parts:05d}{ENDING}" for k in range(parts)]
        # Parts that are each stored shuffled, without an order of the whole, are cut by index and shuffled again.
        order = "source" if dataset.storage is None or order_of(dataset) is not None else None
        for path, samples in zip(paths, cut(dataset, ends[1:]), strict=True):
            copy_part(samples, path, workers=workers, progress=progress, work_dir=work_dir, order=order)
    files.replace(out, Manifest([_entry(path, out) for path in paths]).text())
    return paths


def append_parts(
    manifest: str,
    new: Iterable[Any],
    *,
    workers: int | None = None,
    progress: bool = False,
    work_dir: str | None = None,
    **options: Any,
) -> int:
    """Adds samples at the end of a data set. No part that is there is touched; sample indices stay.

    Args:
        manifest: of the data set, with a `.json` name.
        new: betons, which are not copied, and any other sources: each is converted to a part beside the manifest,
            with the levels, quality, fields and classes of the data set.
        workers, progress, work_dir: see `convert`.
        options: of the sources, see `convert`.

    Returns:
        Samples of the whole.

    Raises:
        BadDataset: a new part does not belong to the others.
        BadSample, OSError, ...: see `convert`.
    """
    manifest = _checked_name(manifest)
    with _edited(manifest) as content:
        with _opened(manifest) as dataset:
            fields = {name: kind for name, kind in dataset.fields.items() if kind.kind != ORIGINAL}
            like: dict[str, Any] = {"classes": dataset.classes, "fields": fields}
            like["keep_codec"], meta = len(fields) < len(dataset.fields), dataset.meta
        for source in chain.from_iterable(map(_betons, new)):
            check_credentials(source)
            path = files.at_home(source) if isinstance(source, str | os.PathLike) else ""
            if path.lower().endswith((ENDING, ".ffcv")):
                if is_url(path) != is_url(manifest):
                    raise ValueError(f"{path}: the parts of {manifest} must be in its folder; copy this one there")
                path = path if is_url(path) else os.path.abspath(path)
            else:
                if meta is None:
                    raise BadDataset(f"{manifest}: its parts are not pyramids; convert {path} first, and append that")
                path = _free_name(manifest, content)
                place = work_dir if is_url(path) else None
                how = {**settings_of(meta), **like, **options}
                make_part(source, path, workers=workers, progress=progress, work_dir=place, **how)
            if any(_place(part.path, manifest) == path for part in content.parts):
                raise ValueError(f"{path}: belongs to {manifest} already; append other parts")
            content.parts.append(_entry(path, manifest))
        places = [_place(part.path, manifest) for part in content.parts]
        with open_dataset(places):  # whether they belong together
            pass
    with _opened(manifest) as dataset:
        return len(dataset)


def remove_samples(manifest: str, names: Iterable[str] = (), indices: Iterable[int] = ()) -> int:
    """Takes samples out of a data set by listing them in its manifest. Their bytes stay until `compact_parts`.

    The indices of later samples become smaller. Loaders that are open do not see the change.

    Args:
        names: of samples, see `Dataset.name`; each must occur, and goes wherever it does.
        indices: of samples, as they count before the call.

    Returns:
        How many samples were removed.

    Raises:
        ValueError: a name that no sample has, or every sample is named. No sample is removed then.
        IndexError: no such index.
    """
    wanted, gone, manifest = set(names), 0, _checked_name(manifest)
    with _edited(manifest) as content, closing(_opened(manifest)) as dataset:
        chosen = set(indices)
        if chosen and not 0 <= min(chosen) <= max(chosen) < len(dataset):
            raise IndexError(f"{manifest}: sample indices go from 0 to {len(dataset) - 1}, got {sorted(chosen)}")
        if wanted:
            found = [(k, name) for k, name in enumerate(_names(dataset)) if name in wanted]
            if missing := sorted(wanted - {name for _, name in found}):
                raise ValueError(f"{manifest}: no sample is called {missing[0]!r} ({len(missing)} such names)")
            chosen |= {k for k, _ in found}
        chosen = set(dataset.places(sorted(chosen)).tolist())
        start, kept = 0, []
        for part, entry in zip(dataset.parts, content.parts, strict=True):
            inside = np.delete(np.arange(entry.samples), entry.removed)
            mine = [int(inside[k - start]) for k in range(start, start + len(part)) if k in chosen]
            start, gone = start + len(part), gone + len(mine)
            if len(mine) == len(part):  # none is left
                content.obsolete.append(entry.path)
                continue
            kept.append(replace(entry, removed=tuple(sorted([*entry.removed, *mine]))))
        if not kept:
            raise ValueError(f"{manifest}: a data set must keep a sample, got all {gone}; delete its files instead")
        content.parts = kept
    return gone


def _names(dataset: Parts) -> Iterator[str]:
    for start in range(0, len(dataset), _BLOCK):
        yield from dataset.names(np.arange(start, min(start + _BLOCK, len(dataset))))


def compact_parts(
    manifest: str, *, workers: int | None = None, progress: bool = False, work_dir: str | None = None
) -> list[str]:
    """Rewrites the parts that hold removed samples, without them, and deletes the old files.

    May be interrupted and repeated. Loaders that have an old part open keep reading it.

    Args:
        workers, progress, work_dir: see `convert`.

    Returns:
        Paths of the files that were deleted. Replaced files outside the manifest's folder are left, with a warning.

    Raises:
        BadDataset: a part with removed samples is no pyramid.
        BadSample: a record that is to be kept is damaged.
    """
    manifest = _checked_name(manifest)
    with _edited(manifest) as content:
        for number, entry in enumerate(content.parts):
            if not entry.removed:
                continue
            old = _place(entry.path, manifest)
            new = _next_name(old, _taken(manifest, content))
            with open_dataset(old) as part:
                kept = np.delete(np.arange(len(part)), entry.removed)
                span = None if part.span is None else part.span.without(entry.removed)
                samples = StoredSamples(part, kept.tolist(), span)
                copy_part(samples, new, workers=workers, progress=progress, work_dir=work_dir)
            content.parts[number] = _entry(new, manifest)
            content.obsolete.append(entry.path)
    deleted = []
    with _edited(manifest) as content:
        obsolete, content.obsolete = content.obsolete, []
        used = _taken(manifest, content)
        for place in dict.fromkeys(_place(path, manifest) for path in obsolete):
            if place in used:
                continue
            if not _beside(place, manifest):  # a file that was appended from elsewhere, or a manifest from strangers
                warnings.warn(
                    f"{place}: was replaced, but is outside the folder of {manifest} and therefore not deleted; "
                    "delete it if nothing else uses it",
                    stacklevel=2,
                )
                continue
            with suppress(FileNotFoundError):
                files.delete(place)
                deleted.append(place)
    return deleted


def check_parts(data: str, *, records: bool = False, workers: int | None = None) -> list[Checked]:
    """Checks each part of a data set on its own, so that every wrong one is named.

    Args:
        data: a manifest or a glob.
        records: read and decode every record, too.

    Raises:
        FileNotFoundError: no such manifest, or no file of that pattern.
        BadDataset: no manifest.
    """
    data = files.at_home(data)
    if data.endswith(".json"):
        entries = Manifest.parse(files.read_all(data), data).parts
        parts: list[tuple[str, PartEntry | None]] = [(_place(entry.path, data), entry) for entry in entries]
    else:
        parts = [(path, None) for path in files.expand(data)]
    if not parts:
        raise FileNotFoundError(f"{data}: no file of that pattern")
    found: list[Checked] = []
    first = ""
    for path, expected in parts:
        fault, samples, damaged = "", 0, 0
        try:
            with open_dataset(path) as part:
                part.check_tables()
                samples = len(part) - (0 if expected is None else len(expected.removed))
                if expected is not None and (difference := expected.difference(part)):
                    fault = f"another file than {data} names, {difference}"
            if not fault and first:
                open_dataset([first, path]).close()
            first = first or path
            if records and not fault:
                damaged = len(verify(path, workers=workers))
        except FileNotFoundError:
            fault = "no such file"
        except LoaderError as error:
            fault = str(error).removeprefix(f"{path}: ")
        found.append(Checked(path, 0 if fault else samples, fault, damaged))
    return found


@contextmanager
def _edited(manifest: str) -> Iterator[Manifest]:
    """The content of a manifest. Changes that the caller makes are written at the end, unless it raises."""
    with _locked(manifest):
        text = files.read_all(manifest)
        content = Manifest.parse(text, manifest)
        yield content
        if content != Manifest.parse(text, manifest):
            files.replace(manifest, content.text())


@contextmanager
def _locked(manifest: str) -> Iterator[None]:
    """Keeps other edits of this machine waiting. The lock is on the folder: the manifest itself is replaced."""
    if is_url(manifest):
        yield
        return
    folder = os.open(files.folder_of(manifest), os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _opened(manifest: str) -> Parts:
    dataset = open_dataset(manifest)
    assert isinstance(dataset, Parts)
    return dataset


def _entry(path: str, manifest: str) -> PartEntry:
    """A manifest's entry for a part."""
    with open_dataset(path) as part:
        folder = files.folder_of(manifest)
        return PartEntry.of(part, path.removeprefix(f"{folder}/") if is_url(path) else os.path.relpath(path, folder))


def _place(path: str, manifest: str) -> str:
    """Path or URL of a file that a manifest names."""
    place = files.join(files.folder_of(manifest), path)
    return place if is_url(place) else os.path.normpath(place)


def _beside(place: str, manifest: str) -> bool:
    """Whether a file lies in the manifest's folder or below."""
    if is_url(place) != is_url(manifest):
        return False
    if is_url(place):
        return place.startswith(f"{files.folder_of(manifest)}/") and ".." not in place.split("/")
    return Path(place).resolve().is_relative_to(Path(files.folder_of(manifest)).resolve())


def _checked_name(manifest: str) -> str:
    """The path or URL of a manifest that changes."""
    check_credentials(manifest)
    if not manifest.endswith(".json"):
        raise ValueError(
            f"a data set that changes needs a manifest, a .json file, got {manifest!r}; "
            "`efficienttrain parts merge OUT.json PART.beton ...` makes one"
        )
    return files.at_home(manifest)


def _betons(source: Any) -> list[Any]:
    """The betons that a pattern names; any other source as it is."""
    path = files.at_home(source) if isinstance(source, str | os.PathLike) else ""
    if not path.lower().endswith((ENDING, ".ffcv")):
        return [source]
    if not (found := files.expand(path)):
        raise FileNotFoundError(f"{path}: no file of that pattern")
    return list(found)


def _taken(manifest: str, content: Manifest) -> set[str]:
    """Places of the files that a manifest names."""
    return {_place(path, manifest) for path in (*(part.path for part in content.parts), *content.obsolete)}


def _free_name(manifest: str, content: Manifest) -> str:
    """A name for one more part, beside the manifest. A part that an interrupted append left is written anew."""
    taken = _taken(manifest, content)
    stem = manifest if is_url(manifest) else os.path.abspath(manifest)
    names = (f"{stem[: -len('.json')]}-added-{k:05d}{ENDING}" for k in range(len(taken) + 1))
    return next(name for name in names if name not in taken)


def _next_name(path: str, taken: set[str]) -> str:
    """The name of a part's next edition: train-00003.beton, train-00003.r1.beton, train-00003.r2.beton, ..."""
    stem = path[: -len(ENDING)] if path.lower().endswith(ENDING) else path
    base, mark, number = stem.rpartition(".r")
    base, last = (base, int(number)) if mark and number.isdecimal() else (stem, 0)
    return next(name for k in count(last + 1) if (name := f"{base}.r{k}{ENDING}") not in taken)
