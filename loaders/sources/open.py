"""Opens any kind of data set or source."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

from ..beton import layout
from ..beton.tables import read_head
from ..not_read import remedy
from ..plugins import SOURCES
from ..storage import files
from ..storage.store import check_credentials, is_url
from .beton_file import BetonFile
from .dataset import Dataset
from .ffcv_beton import FFCVBeton
from .folder import Folder
from .parts import names_parts, open_parts
from .pyramid import Pyramid
from .source import Options, Source, check_choices, check_fields, extras


def open_dataset(
    data: Any,
    *,
    label_field: str | Literal[False] | None = None,
    classes: Sequence[str] | None = None,
    allow_empty: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
    cache_gb: float = 50,
) -> Dataset:
    """Opens a pyramid, an FFCV beton, an image folder, or a source whose samples can be read in any order.

    Args:
        data: the path of a beton or folder; several betons as a glob, a list, or a manifest (see `parts`); the URL of
            one beton, or several URLs in the same forms; the path of a source that can be read in any order (a table,
            a zip file, ILSVRC2012's tars); or a Python object, see `open_source`. An open `Dataset` is returned
            unchanged.
        classes: names of the classes, in label order. For a validation set, give those of the training set; the
            validation set may lack some of them. Labels are mapped by name.
        allow_empty: for image folders, see `scan.scan`.
        label_field: int field of an FFCV beton that holds the class labels; None: the one named `label`, else the only
            int field; False: labels are not needed. Of a table or of rows (a `datasets.Dataset`, a list of
            dictionaries): the column or key that becomes `label`.
        cache_dir, cache_gb: for URLs: a folder on the local disk that keeps records, coarsest levels first, and its
            largest size in units of 10**9 bytes. All processes of the machine share it. None: no cache.

    Raises:
        FileNotFoundError: no such file or folder, or a folder without images.
        ValueError: a folder of splits, a wrong `label_field`, or a `cache_dir` for local data.
        BadDataset: a file of another kind, or a damaged file.
    """
    if isinstance(data, Dataset):
        _check_open(data, label_field, classes)
        return data
    check_credentials(*(data if isinstance(data, list | tuple) else [data]))
    if is_url(data) or (isinstance(data, list | tuple) and any(map(is_url, data))):
        from .remote import Cache, open_remote

        folder = None if cache_dir is None else os.path.abspath(os.path.expanduser(os.fspath(cache_dir)))
        return open_remote(data, label_field, classes, Cache(folder, int(cache_gb * 1e9)))
    if cache_dir is not None:
        raise ValueError(
            f"`cache_dir` is for data at a URL and has no effect on local data, got {os.fspath(cache_dir)!r}; "
            "leave it out; for a folder on a slow disk, `Loader(cache=FILE)` makes a local beton"
        )
    if names_parts(data):
        return open_parts(data, lambda path: _open_beton(path, label_field, classes))
    if not isinstance(data, str | os.PathLike):
        return _open_source(data, classes, label_column=label_field)
    name = os.path.expanduser(os.fspath(data))
    kind = kind_of(name)
    if kind == "folder":
        dataset: Dataset = Folder(name, classes=classes, allow_empty=allow_empty)
    elif kind not in ("beton", None):
        return _open_source(name, classes, label_column=label_field or None, allow_empty=allow_empty)
    elif os.path.exists(name):
        dataset = _open_beton(name, label_field, classes)
    else:
        hint = "; `efficienttrain convert` makes a beton" if name.endswith(".beton") else ""
        raise FileNotFoundError(f"{name}: no such file or folder{hint}")
    if label_field not in (None, False, dataset.label_field):
        dataset.close()
        own = "" if dataset.label_field is None else f"{dataset.label_field!r} or "
        raise ValueError(
            f"{name}: `label_field` must be {own}None, got {label_field!r}; another column becomes the label by "
            "`efficienttrain convert --label-column`."
        )
    return dataset


def open_source(src: Any, *, format: str | None = None, **options: Any) -> Source:
    """The source at a path, or made from a Python object.

    Args:
        src: a path, a URL, or a glob of either, braces allowed; an object with the `Source` protocol; or any other
            Python object, see `known_objects.open_object`.
        format: name of the kind of source, a key of `plugins.SOURCES`; None: derived from the path.
        options: fields of `Options`.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: no kind of source recognises the path, or a wrong option.
    """
    check_credentials(src, options.get("image_root"))
    try:
        chosen = Options(**options)
    except TypeError:
        known = ", ".join(Options.__dataclass_fields__)
        wrong = ", ".join(sorted(options.keys() - Options.__dataclass_fields__.keys()))
        raise ValueError(f"sources have the options {known}, got {wrong}") from None
    if not isinstance(src, str | os.PathLike):
        from .known_objects import open_object

        source = open_object(src, chosen)
        check_fields(source, chosen)
        return source
    path = files.at_home(src)
    if format is not None and format not in SOURCES:
        raise ValueError(f"`format` must be one of {', '.join(SOURCES)}, got {format!r}")
    kind = format or kind_of(path)
    if kind is not None:
        found = SOURCES.find(kind)
        check_choices(found, path, chosen)
        source = found(path, chosen)
        check_fields(source, chosen)
        return source
    if not files.exists(path):
        raise FileNotFoundError(f"{path}: no such file or folder")
    what = remedy(path, f"name one by `format`: {', '.join(SOURCES)}")
    raise ValueError(f"{path}: no kind of source recognises it; {what}")


def kind_of(path: str) -> str | None:
    """The name of the last kind of source that recognises a path; None: none does."""
    SOURCES.discover()
    return next((name for name in reversed(list(SOURCES)) if SOURCES.find(name).recognises(path)), None)


def _check_open(data: Dataset, label_field: str | Literal[False] | None, classes: Sequence[str] | None) -> None:
    """Raises ValueError for options that cannot be applied to an open data set."""
    if classes is not None and list(classes) != data.classes:
        raise ValueError(f"{data.path}: is open already, with other `classes`; pass them to `open_dataset`.")
    if label_field not in (None, False, data.label_field):
        raise ValueError(
            f"{data.path}: is open already, `label_field` must be {data.label_field!r} or None, got {label_field!r}; "
            "pass it to `open_dataset`."
        )


def _open_source(data: Any, classes: Sequence[str] | None, **options: Any) -> Dataset:
    from .source_dataset import SourceDataset

    source = open_source(data, classes=None if classes is None else tuple(classes), **options)
    direct = extras(source).open_direct
    found = direct() if direct is not None and (classes is None or list(classes) == source.classes) else None
    return SourceDataset(source, classes) if found is None else found


def _open_beton(name: str, label_field: str | Literal[False] | None, classes: Sequence[str] | None = None) -> Dataset:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # opening a pipe must not wait for its other end
    try:
        head = read_head(fd, name)
        image = head.field(layout.IMAGE_FIELD)
        private = None if image is None else layout.unpack_private(head.arguments[image], name)
        dataset: BetonFile = FFCVBeton(fd, head, label_field) if private is None else Pyramid(fd, head, private)
        if classes is not None:
            dataset.use_classes(classes)
    except BaseException:
        os.close(fd)
        raise
    dataset.close_at_collection()
    return dataset
