"""The columns of a Hugging Face table: which one holds the images, which the labels, and the types of the others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..beton.fields import LABEL_ONLY, FieldType
from ..errors import LoaderError
from ..storage import files
from .source import FileRange, Options, Sample, no_such_file

if TYPE_CHECKING:
    import pyarrow as pa

IMAGES, LABELS = ("image", "img"), ("label", "labels")


class Remedy(NamedTuple):
    """How a caller chooses one of several columns, for errors."""

    image: str
    label: str


class Columns:
    """A table's columns, by their types in the `datasets` library and by their names.

    Attributes:
        image: the one that was chosen, or of type `Image`, or of a usual name. A cell is bytes, a path, or a struct of
            `bytes` and `path`.
        label: the one that was chosen, or of type `ClassLabel`, or of a usual name; None: there is none, or no label is
            wanted.
        classes: the names of its `ClassLabel`; empty: it has none.
        text: its cells are names, and `classes` is empty.
    """

    def __init__(
        self, schema: pa.Schema, described: Mapping[str, Mapping[str, Any]], options: Options, path: str, remedy: Remedy
    ) -> None:
        """
        Args:
            schema: of the table.
            described: the columns' types, as `Features.to_dict` gives them; empty: unknown.
            options: `image_column` and `label_column` choose.
            path: names the table in errors.
            remedy: how a caller chooses one of several columns.

        Raises:
            ValueError: no image column, or several, or several for the label; or a chosen one does not exist.
        """
        twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{path}: each column must have a name of its own, got {twice!r} twice")
        self._schema, self._path = schema, path
        self._types = {name: facts.get("_type") for name, facts in described.items() if name in schema.names}
        image = self._chosen(options.image_column) or self._found("Image", IMAGES, remedy.image)
        if image is None:
            raise ValueError(f"{path}: needs an image column, has {', '.join(schema.names)}; {remedy.image}")
        self.image, self.label = image, None
        self._check_image(schema.field(image).type)
        if options.label_column:
            self.label = self._chosen(options.label_column)
        elif options.label_column is None and (options.fields is None or "label" in options.fields):
            self.label = self._found("ClassLabel", LABELS, remedy.label)
        names = described.get(self.label, {}).get("names") if self.label else None
        self.classes = list(names or ())
        self.text = self.label is not None and is_text(schema.field(self.label).type) and not self.classes

    def _check_image(self, kind: pa.DataType) -> None:
        types = import_pyarrow().types
        binary = types.is_binary(kind) or types.is_large_binary(kind)
        if not (binary or is_text(kind) or types.is_struct(kind) or types.is_null(kind)):
            raise ValueError(
                f"{self._path}: an image column must hold bytes, paths or the type `Image` of the datasets library, "
                f"{self.image!r} holds {kind}; `dataset.cast_column({self.image!r}, datasets.Image())` makes images of "
                "lists of pixels"
            )

    def _chosen(self, column: str | None) -> str | None:
        if column is not None and column not in self._schema.names:
            raise ValueError(f"{self._path}: has the columns {', '.join(self._schema.names)}, got {column!r}")
        return column

    def _found(self, kind: str, usual: tuple[str, ...], remedy: str) -> str | None:
        """The only column of a type, or the one of a usual name; None if there is neither."""
        names = self._schema.names
        typed = [name for name in names if self._types.get(name) == kind]
        fit = [name for name in usual if name in names and (kind == "Image" or not self._is_list(name))]
        named = [name for name in fit if name in typed or not typed]
        rivals = typed + fit if kind == "ClassLabel" else typed
        if not named and len(rivals) > 1:
            raise ValueError(f"{self._path}: any of the columns {', '.join(rivals)} may be the {usual[0]}; {remedy}")
        return next(iter(named or typed), None)

    def _is_list(self, name: str) -> bool:
        """Whether a column holds several values a row, so that it is no class."""
        kind = self._schema.field(name).type
        return bool(import_pyarrow().types.is_nested(getattr(kind, "storage_type", kind)))

    def fields(self) -> dict[str, FieldType]:
        """Types of all columns that fields can hold, beside images; the label column is called `label`."""
        fields = dict(LABEL_ONLY) if self.label is not None else {}
        taken = {"image", self.image, self.label, *fields}
        for column in self._schema:
            other = column.name not in taken and self._types.get(column.name) != "Image"
            if other and column.name.isascii() and len(column.name) <= 16 and not _nests_bytes(column.type):
                fields[column.name] = _field_type(column.type)
        return fields

    def needed(self, fields: Mapping[str, FieldType]) -> list[str]:
        """Names of the columns to read for these fields."""
        return [self.image, *sorted(set(self._schema.names) & {self.label, *fields} - {self.image})]

    def sample(self, number: int, row: dict[str, Any], folder: str) -> Sample:
        """A row as a sample. number: its position; folder: what relative paths begin at."""
        cell, name = row.pop(self.image), f"row {number}"
        path = _path(cell)
        if path:
            name = f"row {number} ({os.path.basename(path)})"
        if self.label is not None and self.label in row:
            row["label"] = row[self.label]
        try:
            image = _stored(cell, folder)
            for column in row:
                if self._types.get(column) == "Image" and row[column] is not None:
                    found = _stored(row[column], folder)
                    row[column] = found if isinstance(found, bytes) else found.read()
            return Sample(name, image, row)
        except (ValueError, OSError) as error:
            return Sample(name, b"", row, str(error))


def _path(cell: Any) -> str | None:
    """The path in a cell of images."""
    path = cell.get("path") if isinstance(cell, dict) else cell
    return path if isinstance(path, str) else None


def _stored(cell: Any, folder: str) -> bytes | FileRange:
    """The image of a cell. folder: what relative paths begin at.

    Raises:
        ValueError: there is none.
        OSError: its file cannot be reached.
    """
    data, path = cell.get("bytes") if isinstance(cell, dict) else cell, _path(cell)
    if isinstance(data, bytes):
        return data
    if not path:
        raise ValueError("has no image")
    if "\0" in path:
        raise ValueError(f"its path must be a file's, got {path!r}")
    place = files.join(folder, path) if folder else path
    try:
        return FileRange.whole(place)
    except FileNotFoundError:
        raise ValueError(f"has no image bytes, and {no_such_file(place, folder)}") from None


def import_pyarrow() -> Any:
    """pyarrow. Raises LoaderError where it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise LoaderError('Parquet and Arrow files need pyarrow; `pip install "efficienttrain[sources]"`') from None
    return pyarrow


def is_text(kind: pa.DataType) -> bool:
    """Whether cells of this type are text."""
    types = import_pyarrow().types
    if types.is_dictionary(kind):  # pandas' categories
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _nests_bytes(kind: pa.DataType) -> bool:
    """Whether a type is of lists or structs with bytes in them, as of several images, which no field can hold."""
    inside = [kind.field(k).type for k in range(kind.num_fields)]
    types = import_pyarrow().types
    return any(types.is_binary(part) or types.is_large_binary(part) or _nests_bytes(part) for part in inside)


def _field_type(kind: pa.DataType) -> FieldType:
    types = import_pyarrow().types
    if types.is_integer(kind) or types.is_boolean(kind):
        return FieldType("int")
    if types.is_floating(kind) or types.is_decimal(kind):
        return FieldType("float")
    if types.is_binary(kind) or types.is_large_binary(kind) or is_text(kind):
        return FieldType("bytes")
    if types.is_fixed_size_list(kind) and (types.is_integer(kind.value_type) or types.is_floating(kind.value_type)):
        import numpy as np

        return FieldType("array", np.dtype(kind.value_type.to_pandas_dtype()), (kind.list_size,))
    return FieldType("json")
