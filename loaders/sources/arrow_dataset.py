"""A `datasets.Dataset` of Hugging Face as a source: its rows, with the images as they are stored.

The library is not imported: an object of its type can only come from a program that did.
"""

from __future__ import annotations

from typing import Any

from ..beton.fields import FieldType
from .source import Indexed, Options, Sample
from .table_columns import Columns, Remedy

_REMEDY = Remedy(
    image='call it `image`: `dataset.rename_column(NAME, "image")`',
    label="choose one by `label_field` of Loader or `label_column` of convert",
)


class ArrowDataset(Indexed):
    """The rows of a `datasets.Dataset`, in the order of its `select`, `shuffle` and the like.

    Images are the bytes, or the files, that it stores; its format (`with_format`, `with_transform`) does not matter.
    The image column is the one of type `Image`, or named `image` or `img`; the label column is the one of type
    `ClassLabel`, or named `label` or `labels`.
    """

    choices = ("image_column", "label_column")

    def __init__(self, data: Any, options: Options) -> None:
        """
        Raises:
            ValueError: no image column, or several, or several for the label; or a chosen one does not exist.
        """
        self.path = type(data).__name__
        self._columns = Columns(data.data.schema, data.features.to_dict(), options, self.path, _REMEDY)
        self.columns, self.fields = data.column_names, options.fields or self._columns.fields()
        self._rows = data.select_columns(self._columns.needed(self.fields)).with_format("arrow")
        if options.fields is None and any(isinstance(label, float) and label % 1 > 0 for label in self.labels or ()):
            self.fields["label"] = FieldType("float")  # measured, not counted
        self.classes = self._columns.classes
        if self._columns.text:
            texts = {text.strip() for text in self.labels or () if text is not None}
            self.classes = list(options.classes or ()) or sorted(texts - {""})

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        row = self._rows[index]
        row.flatten().validate(full=True)  # pyarrow would follow damaged offsets out of the file
        return self._columns.sample(index, row.to_pylist()[0], "")

    @property
    def labels(self) -> list[Any] | None:
        """The labels of all rows; None: there are none."""
        if self._columns.label is None:
            return None
        column = self._rows.select_columns(self._columns.label)[:].column(0)
        column.validate(full=True)
        cells: list[Any] = column.to_pylist()
        return cells

    def fingerprint(self) -> str:
        """See `Source.fingerprint`. The library's own; after steps that it cannot hash it differs at each run."""
        return f"{self._rows._fingerprint} {self._columns.image} {self._columns.label}"
