"""Hugging Face layouts as a source: Parquet files, Arrow files, and folders that `save_to_disk` wrote.

Only pyarrow is needed. Column types, class names and their order come from the metadata that the `datasets` library
stores beside them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..beton.fields import LABEL_ONLY, FieldType
from ..errors import BadDataset, LoaderError
from ..storage import files
from ..storage.store import is_url
from .source import FileRange, Options, Sample, file_facts, folder_of_images, no_such_file

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".parquet", ".arrow")
_ROWS = 64  # rows read at a time; images make them large
_SPLITS = re.compile(r"(?:^|[-_./])(train|test|validation|valid|val)(?:[-_./]|$)")


class Parquet:
    """Rows of Parquet or Arrow files. A row's image is bytes, a path, or a struct of `bytes` and `path`.

    The image column is the one of type `Image`, or named `image` or `img`; the label column is the one of type
    `ClassLabel`, or named `label` or `labels`.
    """

    choices = ("split", "image_column", "image_root", "label_column")

    def __init__(self, path: str, options: Options) -> None:
        """Reads the files' metadata, and no image.

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
        image = _column(options.image_column, described, "Image", schema, ("image", "img"), path)
        if image is None:
            raise ValueError(f"{path}: needs an image column, has {', '.join(schema.names)}; name it by image_column")
        self._image = image
        self._label = _column(options.label_column, described, "ClassLabel", schema, ("label", "labels"), path)
        names = described.get(self._label, {}).get("names") if self._label else None
        self.classes = list(names or ())
        text = self._label is not None and _is_text(schema.field(self._label).type)
        if text and not self.classes:
            self.classes = list(options.classes or ()) or self._distinct()
        self.fields = options.fields or self._guessed(schema)
        self._columns = [self._image, *sorted(set(schema.names) & {self._label, *self.fields})]

    @staticmethod
    def recognises(path: str) -> bool:
        """Files by their ending, alone, in a glob, in a folder or its sub-folder `data`; folders of `save_to_disk`."""
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
            for batch in _batches(name, self._columns):
                for row in batch.slice(min(start, len(batch))).to_pylist():
                    yield self._sample(number, row)
                    number += 1
                start = max(0, start - len(batch))

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        root = "" if self._root is None else f" {self._folder}"
        return f"{file_facts(self._files)} {self._image} {self._label}{root}"

    def _sample(self, number: int, row: dict[str, Any]) -> Sample:
        image, name = row.pop(self._image), f"row {number}"
        path = image.get("path") if isinstance(image, dict) else image if isinstance(image, str) else None
        if path:
            name = f"row {number} ({os.path.basename(path)})"
        if self._label is not None and self._label in row:
            row["label"] = row[self._label]
        data = image.get("bytes") if isinstance(image, dict) else image
        if isinstance(data, bytes):
            return Sample(name, data, row)
        if path:
            place = files.join(self._folder, path)
            if "\0" in path:
                return Sample(name, b"", row, f"its path must be a file's, got {path!r}")
            try:
                return Sample(name, FileRange(place, files.size(place)), row)
            except FileNotFoundError:
                return Sample(name, b"", row, f"has no image bytes, and {no_such_file(place, self._folder)}")
        return Sample(name, b"", row, "has no image")

    def _guessed(self, schema: pa.Schema) -> dict[str, FieldType]:
        """Types of all columns beside the image; a column that is the label is called `label`."""
        fields = dict(LABEL_ONLY) if self._label is not None else {}
        for column in schema:
            if column.name not in (self._image, self._label) and column.name.isascii() and len(column.name) <= 16:
                fields[column.name] = _field_type(column.type)
        return fields

    def _distinct(self) -> list[str]:
        """The texts of the label column, sorted."""
        found: set[str] = set()
        assert self._label is not None
        for name in self._files:
            for batch in _batches(name, [self._label]):
                kind = batch.schema.field(0).type
                if not _is_text(kind):
                    raise BadDataset(f"{name}: column {self._label!r} must be text as in {self._files[0]}, is {kind}")
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
    """Data files of a folder: those that `state.json` names in its order, or all below it, sorted."""
    folders, names = files.children(path)
    listed = [name for name in names if name.endswith(ENDINGS) and not name.startswith((".", "cache-"))]
    if listed and "state.json" in names:
        state = json.loads(files.read_all(files.join(path, "state.json")))
        listed = [entry["filename"] for entry in state.get("_data_files", [])] or listed
    found = [files.join(path, name) for name in listed]
    for folder in folders:
        place = files.join(path, folder)
        if not folder.startswith(".") and not os.path.islink(place):
            found += _below(place)
    return found


def import_pyarrow() -> Any:
    """pyarrow. Raises LoaderError where it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise LoaderError('Parquet and Arrow files need pyarrow; `pip install "efficienttrain[sources]"`') from None
    return pyarrow


def _opened(name: str) -> Any:
    """A Parquet file, or a reader of an Arrow file or stream.

    Raises:
        BadDataset: neither.
    """
    pa = import_pyarrow()
    try:
        if name.endswith(".parquet"):
            return pa.parquet.ParquetFile(files.open_file(name) if is_url(name) else name)
        source = pa.PythonFile(files.open_file(name), "r") if is_url(name) else pa.memory_map(name)
        try:
            return pa.ipc.open_stream(source)
        except pa.ArrowInvalid:
            source.seek(0)
            return pa.ipc.open_file(source)
    except (pa.ArrowException, OSError) as error:
        raise BadDataset(f"{name}: no sound Parquet or Arrow file ({error}); copy it again") from None


def _rows(name: str) -> int:
    opened = _opened(name)
    return int(opened.metadata.num_rows) if name.endswith(".parquet") else sum(len(batch) for batch in _ipc(opened))


def _ipc(opened: Any) -> Iterator[pa.RecordBatch]:
    if hasattr(opened, "num_record_batches"):
        yield from (opened.get_batch(k) for k in range(opened.num_record_batches))
    else:
        yield from opened


def _batches(name: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a file, some at a time.

    Raises:
        BadDataset: the file is damaged.
    """
    opened, pa = _opened(name), import_pyarrow()
    try:
        if name.endswith(".parquet"):
            # Threads of pyarrow may not share a Python file.
            yield from opened.iter_batches(batch_size=_ROWS, columns=columns, use_threads=not is_url(name))
            return
        for batch in _ipc(opened):
            chosen = batch.select(columns)
            for start in range(0, len(chosen), _ROWS):
                yield chosen.slice(start, _ROWS)
    except (pa.ArrowException, OSError) as error:
        raise BadDataset(f"{name}: damaged ({error}); copy it again") from None


def _schema(name: str) -> tuple[pa.Schema, dict[str, dict[str, Any]]]:
    """A file's columns, and their types in the `datasets` library."""
    opened = _opened(name)
    schema = opened.schema_arrow if name.endswith(".parquet") else opened.schema
    described: dict[str, dict[str, Any]] = {}
    try:
        described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        info = files.join(name.rpartition("/")[0], "dataset_info.json")
        if files.exists(info):
            described = json.loads(files.read_all(info)).get("features") or {}
    return schema, {key: value for key, value in described.items() if isinstance(value, dict)}


def _column(
    chosen: str | None, described: dict[str, Any], kind: str, schema: pa.Schema, usual: tuple[str, ...], path: str
) -> str | None:
    """The column that a caller chose, or of that type, or of a usual name; None if there is none.

    Raises:
        ValueError: the chosen one does not exist, or a column has the name of another.
    """
    twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{path}: each column must have a name of its own, got {twice!r} twice")
    if chosen is not None:
        if chosen not in schema.names:
            raise ValueError(f"{path}: has the columns {', '.join(schema.names)}, got {chosen!r}")
        return chosen
    typed = [name for name, facts in described.items() if facts.get("_type") == kind and name in schema.names]
    return next(iter([name for name in usual if name in typed] + typed + [n for n in usual if n in schema.names]), None)


def _is_text(kind: pa.DataType) -> bool:
    types = import_pyarrow().types
    if types.is_dictionary(kind):  # pandas' categories
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _field_type(kind: pa.DataType) -> FieldType:
    types = import_pyarrow().types
    if types.is_integer(kind) or types.is_boolean(kind):
        return FieldType("int")
    if types.is_floating(kind) or types.is_decimal(kind):
        return FieldType("float")
    if types.is_binary(kind) or types.is_large_binary(kind) or _is_text(kind):
        return FieldType("bytes")
    if types.is_fixed_size_list(kind) and (types.is_integer(kind.value_type) or types.is_floating(kind.value_type)):
        import numpy as np

        return FieldType("array", np.dtype(kind.value_type.to_pandas_dtype()), (kind.list_size,))
    return FieldType("json")
