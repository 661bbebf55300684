"""Tables of parts by name: backends, sources, stores and fields. Other packages add their own parts here.

    from loaders.plugins import BACKENDS

    BACKENDS["mine"] = MyBackend  # or "my_package.backend:MyBackend", imported when it is first used

An installed package does not need this import if it declares entry points in the groups `efficienttrain.backends`,
`.sources`, `.stores` and `.fields`. They are found automatically, also by the installed commands and in spawned
processes.
CONTRIBUTING.md has an example of each kind.
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .errors import LoaderError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .backends.base import Backend, BackendOptions
    from .batch import Batch
    from .sources.dataset import Dataset
    from .sources.source import Kind
    from .storage.store import Store
    from .transforms.pipeline import TransformPipeline

T = TypeVar("T")


class Registry(dict[str, Any], Generic[T]):
    """Parts of one kind by name. A value is the part itself, or the text "module:attribute" that imports it."""

    def __init__(self, kind: str, parts: dict[str, T | str]) -> None:
        """kind: one word for error messages; with an s added, the last part of the entry points' group name."""
        super().__init__(parts)
        self._kind, self._searched = kind, False

    def __contains__(self, name: object) -> bool:
        """Whether there is a part of that name, in this process or by an entry point."""
        if super().__contains__(name):
            return True
        self.discover()
        return super().__contains__(name)

    def discover(self) -> None:
        """Adds the parts of installed packages, once per process; existing names are not replaced."""
        if not self._searched:
            self._searched = True
            for point in entry_points(group=f"efficienttrain.{self._kind}s"):
                self.setdefault(point.name, point.value)

    def check(self, name: object) -> None:
        """Raises ValueError if there is no part of that name; the message lists the existing names."""
        if not isinstance(name, str) or name not in self:
            raise ValueError(f"`{self._kind}` must be one of {', '.join(map(repr, self))}, got {name!r}.")

    def find(self, name: str) -> T:
        """The part of that name.

        Raises:
            ValueError: there is none.
            LoaderError: its module cannot be imported, or does not have it.
        """
        self.check(name)
        part = self[name]
        if isinstance(part, str):
            module, _, attribute = part.partition(":")
            try:
                part = getattr(importlib.import_module(module, __package__), attribute)
            except (ImportError, AttributeError) as error:
                raise LoaderError(f"{self._kind} {name!r} cannot be imported from {self[name]!r}: {error}") from error
            self[name] = part
        found: T = part
        return found


BACKENDS: Registry[Callable[[Dataset, TransformPipeline, BackendOptions], Backend]] = Registry(
    "backend",
    {
        "torch": ".backends.torch:TorchBackend",
        "ffcv": ".backends.ffcv:FFCVBackend",
        "dali": ".backends.dali:DALIBackend",
        "auto": ".backends.auto:AutoBackend",
    },
)
"""`Loader(backend=)`: name -> class, see `backends.Backend`."""

SOURCES: Registry[Kind] = Registry(
    "source",
    {
        "folder": ".sources.image_folder:ImageFolder",
        "parquet": ".sources.parquet:Parquet",
        "mds": ".sources.indexed_shards:MDS",
        "litdata": ".sources.indexed_shards:LitData",
        "tfrecord": ".sources.tfrecord:TFRecord",
        "webdataset": ".sources.webdataset:WebDataset",
        "archive": ".sources.archive:Archive",
        "imagenet": ".sources.imagenet:ImageNet",
        "table": ".sources.path_table:Table",
        "beton": ".sources.beton_source:Beton",
    },
)
"""`convert(format=)`: name -> class, see `sources.Kind`. The last one that recognises a path opens it, so that the more
specific ones come later, and those of other packages come before ours."""

STORES: Registry[Callable[[str], Store]] = Registry(
    "store",
    dict.fromkeys(
        ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "http", "https"), ".storage.store:ObjectStore"
    ),
)
"""Scheme of a URL -> class, made with "scheme://host", see `storage.Store`. fsspec reads all other schemes."""

FIELDS: Registry[Callable[[Batch, Dataset], Any]] = Registry(
    "field",
    {
        "image": ".batch:image_field",
        "label": ".batch:label_field",
        "index": ".batch:index_field",
        "name": ".batch:name_field",
        "crop": ".batch:crop_field",
        "flip": ".batch:flip_field",
        "mask": ".batch:mask_field",
    },
)
"""`Loader(fields=)`, besides a data set's stored fields: name -> function (batch, data set) that returns the value."""
