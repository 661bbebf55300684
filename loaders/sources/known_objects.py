"""Python objects as sources: those of well-known libraries, told apart without an import, and any other."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from .arrow_dataset import ArrowDataset
from .composed import Joined, Selected
from .python import PythonSource, class_names
from .source import Options, Source, check_choices

_FILE_LISTS = ("samples", "imgs", "_samples")  # attributes of torchvision and timm with (path, label) of each sample


def open_object(data: Any, options: Options) -> Source:
    """The source that a Python object is, or that is made of it.

    A class of the user's that has a `__getitem__` of its own is read by it, whatever it inherits from.

    Raises:
        ValueError: not one data set of samples; see also `PythonSource`, `ArrowDataset`, `Selected` and `Joined`.
    """
    kind = type(data).__name__
    if isinstance(data, Source):
        check_choices(_NoChoices, kind, options)
        return data
    _refuse(data, kind)
    match _delivering(data):
        case "torch.utils.data.dataset", "Subset":
            return Selected(open_object(data.dataset, options), [int(k) for k in data.indices])
        case "torch.utils.data.dataset", "ConcatDataset":
            parts = [open_object(part, options) for part in data.datasets]
            return Joined(parts, labelled=options.label_column is not False)
        case "datasets.arrow_dataset", "Dataset":
            check_choices(ArrowDataset, kind, options)
            if data.format["type"] == "custom":
                _warn_of_transform(kind, "the images that it stores")
            return ArrowDataset(data, options)
    check_choices(PythonSource, kind, options)
    listed = _listed_files(data)
    return PythonSource(data if listed is None else listed, options, kind)


class _NoChoices:
    choices = ()


class ListedFiles(list[tuple[str, Any]]):
    """The path and label of each sample of a data set.

    Attributes:
        classes: its class names.
        targets: all labels.
    """

    def __init__(self, files: Sequence[tuple[str, Any]], classes: list[str]) -> None:
        super().__init__(files)
        self.classes, self.targets = classes, [label for _, label in files]


def _refuse(data: Any, kind: str) -> None:
    """Raises ValueError for what is often given in place of a data set."""
    if isinstance(data, Mapping) and 0 not in data:
        names = [str(name) for name in data]
        raise ValueError(
            f"{kind}: a source must be one data set, got a mapping with {', '.join(names[:8]) or 'nothing'}"
            f"{', ...' * (len(names) > 8)}; give one of its values{f', dataset[{names[0]!r}]' if names else ''}"
        )
    kinds = {(base.__module__, base.__name__) for base in type(data).__mro__}
    if ("datasets.iterable_dataset", "IterableDataset") in kinds:
        raise ValueError(
            f"{kind}: a source must have rows that can be read in any order, got a stream; load the data set without "
            "`streaming=True`"
        )
    if ("pandas.core.frame", "DataFrame") in kinds or ("pandas", "DataFrame") in kinds:
        raise ValueError(f'{kind}: a source must give samples, got columns; give the rows, `frame.to_dict("records")`')
    package = __name__.partition(".")[0]
    if kinds & {(f"{package}.loader", "Loader"), (f"{package}.dataloader_view", "LoadedDataset")}:
        raise ValueError(
            f"{kind}: a source must give images as they are stored, got those of a Loader, which are cropped; give "
            "what that Loader was made from, and `indices=` for a part of it"
        )
    if ("torch.utils.data.dataloader", "DataLoader") in kinds:
        raise ValueError(f"{kind}: a source must give samples, got batches; give the data set, `loader.dataset`")


def _delivering(data: Any) -> tuple[str, str]:
    """Module and name of the class whose `__getitem__` delivers an object's samples."""
    found = next((base for base in type(data).__mro__ if "__getitem__" in vars(base)), type(None))
    return found.__module__, found.__name__


def _listed_files(data: Any) -> ListedFiles | None:
    """The files of a data set of torchvision or timm that delivers each as it is; None: this does not."""
    lister, by = data, _delivering(data)
    if by == ("timm.data.dataset", "ImageDataset") and data.additional_features is None:
        lister = data.reader
    elif by[0].split(".")[0] != "torchvision":
        return None
    if getattr(data, "target_transform", None) is not None:
        return None
    loader = getattr(data, "loader", None)
    if loader is not None and getattr(loader, "__module__", "").split(".")[0] != "torchvision":
        return None
    files = next((found for name in _FILE_LISTS if isinstance(found := getattr(lister, name, None), list)), None)
    if files is None and hasattr(data, "_image_files") and hasattr(data, "_labels"):
        files = list(zip(data._image_files, data._labels, strict=True))
    if files is None or len(files) != len(data) or not all(map(_names_file, files)):
        return None
    if getattr(data, "transform", None) is not None:
        _warn_of_transform(type(data).__name__, "its files")
    classes = class_names(data) or _named_by(getattr(lister, "class_to_idx", None))
    return ListedFiles([(os.fspath(path), label) for path, label in files], classes)


def _named_by(labels: Any) -> list[str]:
    """Class names in the order of their labels, from a mapping; empty: it is none."""
    if not isinstance(labels, Mapping) or sorted(labels.values()) != list(range(len(labels))):
        return []
    return sorted(map(str, labels), key=labels.__getitem__)


def _names_file(entry: Any) -> bool:
    return isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str | os.PathLike)


def _warn_of_transform(kind: str, read: str) -> None:
    warnings.warn(
        f"the `transform` of this {kind} is unused, {read} are read: crops and augmentation are set by the Loader's "
        "arguments and `transforms`",
        stacklevel=5,
    )
