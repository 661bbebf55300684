"""Hugging Face layouts as a source: Parquet files, Arrow files, and folders that `save_to_disk` wrote.

Only pyarrow is needed. Column types, class names and their order come from the metadata that the `datasets` library
stores in the files.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import BadDataset
from ..storage import files
from ..storage.store import is_url
from .source import Options, Sample, file_facts, folder_of_images
from .table_columns import Columns, Remedy, import_pyarrow, is_text

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".parquet", ".arrow")
_ROWS = 64  # rows read at a time; images make them large
_REMEDY = Remedy(
    image="choose one by `image_column` (--image-column)", label="choose one by `label_column` (--label-column)"
)
_SPLITS = re.compile(r"(?:^|[-_./])(train|test|validation|valid|val)(?:[-_./]|$)")


class Parquet:
    """Rows of Parquet or Arrow files. A row's image is bytes, a path, or a struct of `bytes` and `path`.

    The image column is the one of type `Image`, or named `image` or `img`; the label column is the one of type
    `ClassLabel`, or named `label` or `labels`.
    """

    choices = ("split", "image_column", "image_root", "label_column")

    def __init__(self, path: str, options: Options) -> None:
        """Reads the files' metadata, but no image.

        Raises:
            LoaderError: pyarrow is not installed.
            FileNotFoundError: no such files, or no such split.
            ValueError: several splits and none chosen, no image column, or `image_root` is no folder.
            BadDataset: a file is damaged.
        """
        own = path if files.is_folder(path) else files.folder_of(path)
        self._folder, self._root = folder_of_images(own, options.image_root), options.image_root
        self.path, self._files = path, _files(path, options.split)
        self._rows = files.each(_rows, self._files, is_url(path))
        schema, described = _schema(self._files[0])
        self._columns = Columns(schema, described, options, path, _REMEDY)
        self.classes = self._columns.classes
        if self._columns.text:
            self.classes = list(options.classes or ()) or self._distinct()
        self.columns, self.fields = schema.names, options.fields or self._columns.fields()

    @staticmethod
    def recognises(path: str) -> bool:
        """Recognises files by ending: single, in a glob, in a folder or its `data`; and folders of `save_to_disk`."""
        if path.endswith(ENDINGS):
            return True
        folders, names = files.children(path)
        if "dataset_dict.json" in names or "state.json" in names:
            return True
        data = files.children(files.join(path, "data"))[1] if "data" in folders else []
        return any(name.endswith(ENDINGS) for name in [*names, *data])

    def __len__(self) -> int:
        return sum(self._rows)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """See `Source.samples`. Whole files before `start` are skipped unread."""
        number = start
        for name, rows in zip(self._files, self._rows, strict=True):
            if start >= rows:
                start -= rows
                continue
            for batch in _batches(name, self._columns.needed(self.fields)):
                for row in batch.slice(min(start, len(batch))).to_pylist():
                    yield self._columns.sample(number, row, self._folder)
                    number += 1
                start = max(0, start - len(batch))

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        root = "" if self._root is None else f" {self._folder}"
        return f"{file_facts(self._files)} {self._columns.image} {self._columns.label}{root}"

    def _distinct(self) -> list[str]:
        """The texts of the label column, sorted."""
        found: set[str] = set()
        label = self._columns.label
        assert label is not None
        for name in self._files:
            for batch in _batches(name, [label]):
                kind = batch.schema.field(0).type
                if not is_text(kind):
                    raise BadDataset(f"{name}: column {label!r} must be text as in {self._files[0]}, is {kind}")
                found.update(text.strip() for text in batch.column(0).to_pylist() if text is not None)
        return sorted(found - {""})


def _files(path: str, split: str | None) -> list[str]:
    """The data files, in order.

    Raises:
        FileNotFoundError, ValueError: see `Parquet`.
    """
    is_folder = not path.endswith(ENDINGS) and files.is_folder(path)
    found = _below(path) if is_folder else files.expand(path)
    if not found or not files.exists(found[0]):
        raise FileNotFoundError(f"{path}: no such Parquet or Arrow files")
    splits: dict[str, list[str]] = {}
    for name in found:
        match = _SPLITS.search(name[len(path) :].lstrip("/") if is_folder else os.path.basename(name))
        splits.setdefault(match[1] if match else "", []).append(name)
    if split is not None:
        if split not in splits:
            raise FileNotFoundError(f"{path}: has the splits {', '.join(splits) or 'none'}, got {split!r}")
        return splits[split]
    if len(splits) > 1:
        raise ValueError(f"{path}: has the splits {', '.join(sorted(splits))}; choose one by `split`")
    return found


def _below(path: str) -> list[str]:
    """Data files of a folder: the files in `state.json`, in its order, or all files below the folder, sorted."""
    folders, names = files.children(path)
    listed = [name for name in names if name.endswith(ENDINGS) and not name.startswith((".", "cache-"))]
    if listed and "state.json" in names:
        place = files.join(path, "state.json")
        try:
            state = json.loads(files.read_all(place))
            listed = [entry["filename"] for entry in state.get("_data_files", [])] or listed
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _damaged(place, error) from None
    found = [files.join(path, name) for name in listed]
    for folder in folders:
        place = files.join(path, folder)
        if not folder.startswith(".") and not os.path.islink(place):
            found += _below(place)
    return found


def _opened(name: str) -> Any:
    """Opens a Parquet file, or a reader of an Arrow file or stream.

    Raises:
        BadDataset: it is neither.
    """
    pa = import_pyarrow()
    try:
        if name.endswith(".parquet"):
            file = files.open_file(name) if is_url(name) else name
            return pa.parquet.ParquetFile(file, page_checksum_verification=True)  # where the writer made any
        source = pa.PythonFile(files.open_file(name), "r") if is_url(name) else pa.memory_map(name)
        try:
            return pa.ipc.open_stream(source)
        except pa.ArrowInvalid:
            source.seek(0)
            return pa.ipc.open_file(source)
    except (pa.ArrowException, OSError) as error:
        raise BadDataset(f"{name}: not a valid Parquet or Arrow file ({error}); copy it again") from None


def _rows(name: str) -> int:
    opened = _opened(name)
    if name.endswith(".parquet"):
        return int(opened.metadata.num_rows)
    return sum(len(batch) for batch in _ipc(opened, name))


def _ipc(opened: Any, name: str) -> Iterator[pa.RecordBatch]:
    """The batches of an Arrow file or stream.

    Raises:
        BadDataset: the file is damaged.
    """
    pa = import_pyarrow()
    try:
        if hasattr(opened, "num_record_batches"):
            yield from (opened.get_batch(k) for k in range(opened.num_record_batches))
        else:
            yield from opened
    except (pa.ArrowException, OSError) as error:
        raise _damaged(name, error) from None


def _damaged(name: str, error: Exception) -> BadDataset:
    return BadDataset(f"{name}: damaged ({error}); copy it again")


def _batches(name: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a file, some at a time.

    Raises:
        BadDataset: the file is damaged.
    """
    opened, pa = _opened(name), import_pyarrow()
    try:
        if name.endswith(".parquet"):
            # Threads of pyarrow must not share a Python file.
            yield from opened.iter_batches(batch_size=_ROWS, columns=columns, use_threads=not is_url(name))
            return
        for batch in _ipc(opened, name):
            chosen = batch.select(columns)
            chosen.validate(full=True)  # pyarrow would follow offsets out of the file
            for start in range(0, len(chosen), _ROWS):
                yield chosen.slice(start, _ROWS)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(name, error) from None


def _schema(name: str) -> tuple[pa.Schema, dict[str, dict[str, Any]]]:
    """A file's columns, and their types in the `datasets` library."""
    opened = _opened(name)
    schema = opened.schema_arrow if name.endswith(".parquet") else opened.schema
    described: dict[str, dict[str, Any]] = {}
    try:
        described = dict(json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"])
    except (ValueError, KeyError, TypeError):
        info = files.join(name.rpartition("/")[0], "dataset_info.json")
        if files.exists(info):
            try:
                described = dict(json.loads(files.read_all(info)).get("features") or {})
            except (ValueError, TypeError, AttributeError, RecursionError) as error:
                raise _damaged(info, error) from None
    return schema, {key: value for key, value in described.items() if isinstance(value, dict)}
