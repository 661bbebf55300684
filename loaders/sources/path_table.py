"""A table of image paths and targets as a source: CSV, TSV or JSON lines."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..beton.fields import LABEL_ONLY, FieldType
from ..errors import BadDataset, reason
from ..plugins import FIELDS
from ..storage import files
from ..storage.store import is_url
from .labels import MOST_CLASSES, counted_from_1, whole_number
from .source import FileRange, Options, Sample, file_facts, folder_of_images, no_such_file

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_PATHS = ("path", "image", "file", "file_name", "filename", "image_path", "filepath")

_NUMBER = re.compile(r"[+-]?(\d{1,4000}\.?\d*|\.\d+)(e[+-]?\d{1,9})?|nan", re.IGNORECASE)
_TOGETHER = 64  # rows whose images' sizes are asked for at a time


class Table:
    """The rows of a CSV or TSV file with a header line, or of a file with one JSON object a line.

    Paths are relative to the option `image_root`, else to the table's folder, or they are URLs. Labels are class names,
    unless all that are given are numbers (`3.0` is 3; a fraction is refused). Class names are sorted, or in the order
    of the option `classes`. A label of another type than int (`fields`) is read as that type: numbers, or JSON for
    arrays and lists. Without `fields`, columns of numbers, and of lists of as many numbers in each row, are fields of
    that type. The option `split` chooses the rows that have this value in the column `split`.
    """

    hints: tuple[str, ...] = ()
    choices = ("split", "path_column", "image_root", "label_column")

    def __init__(self, path: str, options: Options) -> None:
        """Reads the table, and no image.

        Raises:
            FileNotFoundError: no such file.
            ValueError: no column of paths, a wrong column name, or `image_root` is no folder.
            BadDataset: the table cannot be read, or has no row.
        """
        self.path, self._root = path, options.image_root
        self._folder = folder_of_images(files.folder_of(path), self._root)
        self._table = _read(path)
        if not self._table:
            raise BadDataset(f"{path}: must have at least one row with an image's path, got none")
        self._split = options.split
        if options.split is not None:
            self._table = _of_split(path, self._table, options.split)
        columns = list(dict.fromkeys(key for row in self._table for key in row))
        wanted = (options.fields or LABEL_ONLY).get("label")
        path_column = _chosen(path, options.path_column, columns, _PATHS)
        if path_column is None:
            raise ValueError(
                f"{path}: needs a column of image paths, has {', '.join(columns) or 'none'}; name it by path_column "
                "(--path-column). The first line names columns, separated by commas in a .csv file, by tabs in a .tsv."
            )
        self._path_column = path_column
        self._label = _chosen(path, options.label_column or None, columns, ("label", "class", "target"))
        self.classes = list(options.classes or ())
        if self._label is not None and wanted == LABEL_ONLY["label"]:
            self._prepare_labels(self._label)
        elif self._label is not None and wanted is not None:
            for row in self._table:
                row["label"] = row.get(self._label)
        self.columns, self.fields = columns, options.fields or self._guessed(columns)

    @staticmethod
    def recognises(path: str) -> bool:
        """By the ending .csv, .tsv, .jsonl or .ndjson."""
        return path.lower().endswith((*_DELIMITERS, ".jsonl", ".ndjson")) and not os.path.isdir(path)

    def _guessed(self, columns: list[str]) -> dict[str, FieldType]:
        """The label, and every other column of numbers or of lists of numbers whose name a beton can hold."""
        fields = dict(LABEL_ONLY) if self._label is not None else {}
        for name in columns:
            ours = name in (self._path_column, self._label) or name in FIELDS
            if not ours and name.isascii() and 0 < len(name) <= 16:
                kind = _type_of([row.get(name) for row in self._table])
                if kind is not None:
                    fields[name] = kind
        known = {self._path_column, self._label, *fields, *(["split"] if self._split is not None else [])}
        if others := [name for name in columns if name not in known]:
            self.hints += (
                f"columns that are not stored: {', '.join(others[:8])}{' and others' * (len(others) > 8)}. Unless "
                "`fields` (--fields) names others, a column is stored if it has a number in each row, and a name of 1 "
                "to 16 ASCII characters that no built-in field has",
            )
        return fields

    def _prepare_labels(self, column: str) -> None:
        """Turns whole numbers into such; finds the class names otherwise."""
        labels = [row.get(column) for row in self._table]
        given = [label for label in labels if not _missing(label)]
        named = bool(self.classes) and {str(label).strip() for label in given} <= set(self.classes)
        if given and all(map(_number, given)) and not named:
            for row in self._table:
                label = row.get(column)
                number = whole_number(label)
                other = float(label) if isinstance(label, str) and label.strip() and number is None else label
                row["label"] = other if number is None else number
            numbers = [row["label"] for row in self._table if isinstance(row["label"], int)]
            if not self.classes and numbers and min(numbers) >= 0 and max(numbers) < MOST_CLASSES:
                self.classes = [str(k) for k in range(max(numbers) + 1)]
                if min(numbers) == 1:
                    self.hints += (counted_from_1(max(numbers), "name the classes 1, 2, ... by `classes` (--classes)"),)
            return
        for row in self._table:
            label = row.get(column)
            if isinstance(label, list | dict):  # refused, sample by sample
                row["label"] = label
            elif label is not None:
                row["label"] = str(label).strip()
        names = {str(label).strip() for label in given if not isinstance(label, list | dict)}
        self.classes = self.classes or sorted(names)

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> Sample:
        row = self._table[index]
        path = row.get(self._path_column)
        if not isinstance(path, str) or not path.strip():
            return Sample(f"row {index + 1}", b"", {}, f"column {self._path_column!r} must hold a path, got {path!r}")
        name = path
        place = files.join(self._folder, name)
        try:
            values = {key: self._value(key, value) for key, value in row.items() if key in self.fields}
            return Sample(name, FileRange.whole(place), values)
        except FileNotFoundError as error:
            return Sample(name, b"", {}, no_such_file(error.filename or place, self._folder))
        except OSError as error:
            return Sample(name, b"", {}, f"{place}: {reason(error)}")
        except ValueError as error:
            return Sample(name, b"", {}, str(error))

    def _value(self, column: str, value: Any) -> Any:
        """A cell of a text table as its field's type has it."""
        kind = self.fields[column]
        if kind.kind == "mask":
            place = files.join(self._folder, str(value))
            if is_url(place):
                return files.read_all(place)
            with files.open_regular(place) as file:
                return file.read()
        if not isinstance(value, str) or kind.kind == "bytes" or (column == "label" and kind.kind == "int"):
            return value
        kinds: dict[str, tuple[Callable[[str], Any], str]]
        kinds = {"int": (_whole, "a whole number"), "float": (float, "a number")}
        read, rule = kinds.get(kind.kind, (json.loads, 'JSON, for example [1, 0] or ["cat", "dog"]'))
        try:
            return read(value)
        except ValueError:
            named = self._label if column == "label" else column
            raise ValueError(
                f"column {named!r} must hold {rule}, got {value[:60]!r}; docs/sources.md shows how to split texts"
            ) from None

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """See `Source.samples`."""
        remote = any(is_url(files.join(self._folder, str(row.get(self._path_column)))) for row in self._table[:1])
        for first in range(start, len(self), _TOGETHER):
            yield from files.each(self.__getitem__, range(first, min(first + _TOGETHER, len(self))), remote)

    def fingerprint(self) -> str:
        """See `Source.fingerprint`. Of the table and its columns; each image's size is compared when it is read."""
        split = "" if self._split is None else f" {self._split}"
        root = "" if self._root is None else f" {self._folder}"
        return f"{file_facts([self.path])} {self._path_column} {self._label}{split}{root}"


def _read(path: str) -> list[dict[str, Any]]:
    delimiter = _DELIMITERS.get(os.path.splitext(path)[1].lower())
    try:
        with io.TextIOWrapper(files.open_file(path), "utf-8-sig", newline="") as file:
            if delimiter is not None:
                reader = csv.DictReader(_text(file, path), delimiter=delimiter, strict=True)
                names = reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
                twice = next((name for name in names if names.count(name) > 1), None)
                if twice is not None:
                    raise BadDataset(f"{path}: each column must have a name of its own, got {twice!r} twice")
                rows: list[dict[str, Any]] = list(reader)
            else:
                rows = [json.loads(line) for line in _text(file, path) if line.strip()]
    except UnicodeError as error:
        raise BadDataset(f"{path}: is not UTF-8 ({error}); save it in that encoding") from None
    except (ValueError, csv.Error, RecursionError) as error:
        raise BadDataset(f"{path}: cannot be read as a table ({error})") from None
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or None in row or (delimiter and None in row.values()):
            raise BadDataset(f"{path}: row {number} has other columns than the header, or is not a JSON object")
    return rows


def _text(lines: Iterable[str], path: str) -> Iterator[str]:
    """The lines of a table.

    Raises:
        BadDataset: one has a NUL character: a reader would join what is left of the rows before and after it.
    """
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            what = "as files have after a crash, or in another encoding than UTF-8; copy or save it again"
            raise BadDataset(f"{path}: line {number} has a NUL character, {what}")
        yield line


def _of_split(path: str, table: list[dict[str, Any]], split: str) -> list[dict[str, Any]]:
    """The rows of a split."""
    values = [None if row.get("split") is None else str(row["split"]).strip() for row in table]
    if split not in values:
        have = ", ".join(sorted({value for value in values if value})) or "no column `split`"
        raise ValueError(f"{path}: `split` must be a value in the column `split`, got {split!r}; it has {have}")
    return [row for row, value in zip(table, values, strict=True) if value == split]


def _chosen(path: str, name: str | None, columns: list[str], usual: tuple[str, ...]) -> str | None:
    if name is not None and name not in columns:
        raise ValueError(f"{path}: has the columns {', '.join(columns) or '(none)'}, got {name!r}")
    return name if name is not None else next((column for column in usual if column in columns), None)


def _type_of(cells: list[Any]) -> FieldType | None:
    """The type that holds all of a column's cells exactly; None: they are not all numbers, or lists of as many."""
    if all(map(_integer, cells)):
        return FieldType("int") if all(-(2**63) <= int(cell) < 2**63 for cell in cells) else None
    kinds, length = set(), None
    for cell in cells:
        try:
            value = json.loads(cell) if isinstance(cell, str) else cell
        except ValueError:
            return None
        numbers = value if isinstance(value, list) else [value]
        size = len(numbers) if numbers is value else 0
        if length not in (None, size) or not numbers or not all(type(x) in (bool, int, float) for x in numbers):
            return None
        length = size
        kinds |= {type(x) for x in numbers}
    if not length:
        return FieldType("float") if bool not in kinds else None
    dtype = np.dtype("bool") if kinds == {bool} else np.dtype("<f8") if float in kinds else np.dtype("<i8")
    return FieldType("array", dtype, (length,)) if bool not in kinds or kinds == {bool} else None


def _whole(cell: str) -> int:
    """A whole number as pandas and NumPy write it, too: "3.0". Raises ValueError."""
    number = whole_number(cell)
    if number is None:
        raise ValueError
    return number


def _integer(cell: Any) -> bool:
    """Whether a cell is an integer as JSON writes it."""
    if isinstance(cell, str):
        return re.fullmatch(r"\s*[+-]?\d{1,4000}\s*", cell) is not None
    return isinstance(cell, int) and not isinstance(cell, bool)


def _missing(label: Any) -> bool:
    return label is None or (isinstance(label, str) and not label.strip()) or label != label


def _number(label: Any) -> bool:
    """Whether a label is a number, whole or not."""
    if isinstance(label, str):
        return _NUMBER.fullmatch(label.strip()) is not None
    return isinstance(label, int | float) and not isinstance(label, bool)
