"""Makes the file of one part of a data set that is edited."""

from __future__ import annotations

from typing import Any

from ..errors import BadDataset, BadSample
from ..sources.open import open_dataset
from ..storage import files
from ..storage.store import is_url
from .convert import convert
from .journal import OtherWork, remove_finished
from .stored_samples import StoredSamples
from .target import Target


def make_part(source: Any, path: str, **options: Any) -> None:
    """Converts a source to a part. An edit that was interrupted is continued; what is left of another one is given up,
    since nobody can repeat that with its settings. options: see `convert`.
    """
    try:
        convert(source, path, **options)
    except OtherWork:
        convert(source, path, restart=True, **options)


def copy_part(
    source: StoredSamples,
    path: str,
    *,
    workers: int | None,
    progress: bool,
    work_dir: str | None,
    order: str | None = None,
) -> None:
    """Makes a part of these samples, unless it is there. order: see `convert`."""
    place = work_dir if is_url(path) else None
    if _holds(path, source):
        remove_finished(Target(path, place).working)
    else:
        options = {"workers": workers, "progress": progress, "work_dir": place, "order": order, **source.settings()}
        try:
            make_part(source, path, **options)
        except BadSample as error:  # by its index in the data set
            raise BadSample(source.index(error.index), error.name, error.why) from None


def _holds(path: str, source: StoredSamples) -> bool:
    """Whether a part is there, with exactly these samples' records."""
    if not files.exists(path):
        return False
    try:
        with open_dataset(path) as part:
            return len(part) == len(source) and StoredSamples(part, range(len(part))).digest() == source.digest()
    except BadDataset:
        return False
