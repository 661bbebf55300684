"""The interface of a source: anything that yields named images with their targets, in a fixed order."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeGuard, cast, runtime_checkable

import numpy as np

from ..beton.fields import FieldType
from ..beton.stored_order import Span
from ..errors import BadDataset
from ..storage import files
from ..storage.store import Changed, is_url

if TYPE_CHECKING:
    from .dataset import Dataset


class FileRange(NamedTuple):
    """One encoded image in a file, which converter threads read.

    Attributes:
        path: the file, or its URL.
        size: bytes of the image.
        offset: its first byte in the file; None: the image is the whole file.
        modified: modification time of a local file when it was listed, nanoseconds; None: it is not compared.
        version: of an object when it was listed, see `storage.Facts`; None: it is not compared.
    """

    path: str
    size: int
    offset: int | None = None
    modified: int | None = None
    version: str | None = None

    @classmethod
    def whole(cls, path: str) -> FileRange:
        """A file, or an object, that is one image. Raises OSError, or LoaderError as `files.facts` does."""
        if is_url(path):
            facts = files.facts(path)
            return cls(path, facts.size, version=facts.version)
        found = os.stat(path)
        return cls(path, found.st_size, modified=found.st_mtime_ns)

    def read(self) -> bytes:
        """The image. Its length differs from `size` if the file has changed.

        Raises:
            OSError: the file cannot be opened or read, or is not a regular file.
            BadDataset: it was modified since it was listed.
            LoaderError: its store refuses or keeps failing.
        """
        modified = f"{self.path}: was modified after it was listed; run again with --restart"
        if is_url(self.path):
            try:
                return files.read(self.path, self.offset or 0, self.size, self.version)
            except Changed:
                raise BadDataset(modified) from None
        with files.open_regular(self.path) as file:
            if self.modified not in (None, os.fstat(file.fileno()).st_mtime_ns):
                raise BadDataset(modified)
            file.seek(self.offset or 0)
            return file.read(self.size + (self.offset is None))


class Placed(Protocol):
    """An image that is read when it is needed.

    Attributes:
        path: the file's name in messages.
        size: bytes of the image.
    """

    @property
    def path(self) -> str: ...

    @property
    def size(self) -> int: ...

    def read(self) -> bytes:
        """The image. Its length differs from `size` if its file has changed. Raises OSError or LoaderError."""
        ...


class Coming:
    """A remote image that is being fetched.

    Attributes:
        path, size: see `FileRange`.
    """

    def __init__(self, image: Placed) -> None:
        """Requests the bytes."""
        self.path, self.size, self._future = image.path, image.size, files.begin(image.read)

    def read(self) -> bytes:
        """The image, when it has arrived. Raises as `FileRange.read` does."""
        return self._future.result()


class Sample(NamedTuple):
    """One sample of a source.

    Attributes:
        name: a relative path, a key, or a number; unique if possible. It appears in errors and reports.
        image: an encoded image (JPEG, PNG, WebP, ...), or its location, as a `FileRange`.
        values: targets by field name. `label` may be a class name instead of a number.
        problem: the reason why the sample cannot be used, or "". Such a sample is refused; the others are converted.
    """

    name: str
    image: bytes | Placed
    values: Mapping[str, Any]
    problem: str = ""


@runtime_checkable
class Source(Protocol):
    """Yields samples in a fixed order, which is the same in each call.

    A source whose samples can be read in any order also has `__getitem__(index) -> Sample`; it can be passed to
    `open_dataset` and `Loader` directly, without conversion. `Extras` are further attributes that it may have.

    Attributes:
        path: its name in error messages.
        classes: class names; a numeric `label` is a position in it. Empty if the source does not know them.
        fields: type of each target, by name, in the order in which they are stored.
    """

    path: str
    classes: list[str]
    fields: dict[str, FieldType]

    def __len__(self) -> int:
        """Number of samples that `samples()` yields."""
        ...

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """All samples from number `start` on."""
        ...

    def fingerprint(self) -> str:
        """A short text that changes when the samples change, so that a conversion resumes only on the same data."""
        ...


class AnyOrder(Source, Protocol):
    """A source whose samples can be read in any order."""

    def __getitem__(self, index: int) -> Sample: ...


class Extras:
    """Attributes that a source may have, with the values that count for one without them. `extras` asks for them."""

    columns: Sequence[str] | None = None
    """Names of all fields that its samples can have; None: unknown."""
    files: Sequence[str] = ()
    """Paths or URLs of files that it reads, none of which may be the target of a conversion."""
    hints: Sequence[str] = ()
    """Remarks for the summary of a conversion."""
    indexable: bool | None = None
    """Whether its samples can be read in any order; None: if it has `__getitem__`."""
    labels: Sequence[Any] | None = None
    """The labels of all samples; None: not known without reading them."""
    largest: int = 0
    """Upper estimate of the bytes of the largest stored image; 0: unknown."""
    listing: Callable[[], str] | None = None
    """A digest of names and labels, which takes less time than `fingerprint`."""
    nbytes: int = 0
    """Bytes of all images; 0: unknown."""
    open_direct: Callable[[], Dataset | None] | None = None
    """Opens it as a data set that the kernel reads by itself; None: threads read each sample, see `SourceDataset`."""
    part: Callable[[Sequence[int]], AnyOrder] | None = None
    """Makes a separate source of the samples with these numbers."""
    partial: bool = False
    """Whether it is a part of a source: what its labels have in common may not be true of the whole."""
    span: Span | None = None
    """The section of a larger set's shuffled order that it holds."""


def extras(source: Source) -> Extras:
    """A view of a source in which it has all of `Extras`."""
    return cast(Extras, _View(source))


class _View:
    def __init__(self, source: Source) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name, getattr(Extras, name))  # an AttributeError if it is not declared there


class Indexed(ABC):
    """A source whose samples can be read in any order: `samples` reads them by their numbers."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """One sample."""

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """See `Source.samples`."""
        return map(self.__getitem__, range(start, len(self)))


CHOICES = ("split", "image_column", "path_column", "image_root", "label_column", "labels")
"""Options that only some kinds of sources have, see `Kind`."""


@dataclass(frozen=True)
class Options:
    """Options of all sources; each source uses those that apply to it, see `check_choices`.

    Attributes:
        split: sub-folder, split of a Hugging Face layout, or value in a table's column `split`.
        classes: class names in label order; None: the source's.
        allow_empty: accept classes without samples.
        fields: requested targets, with their types; None: all known to the source.
        image_column: name of the column (Parquet, MDS) or member (WebDataset) that holds the images.
        path_column: name of the column that holds image paths (tables).
        image_root: folder or URL that image paths in tables and Parquet files are relative to; None: these files' own.
        label_column: name of the column that holds the label; False: none does.
        labels: a file with the labels of ILSVRC2012's validation images.
        listing: a file for an image folder's saved listing, see `kept_listing`; None: the folder is always listed.
    """

    split: str | None = None
    classes: tuple[str, ...] | None = None
    allow_empty: bool = False
    fields: dict[str, FieldType] | None = None
    image_column: str | None = None
    path_column: str | None = None
    image_root: str | os.PathLike[str] | None = None
    label_column: str | Literal[False] | None = None
    labels: str | None = None
    listing: str | None = None


class Kind(Protocol):
    """A class of sources that are opened by path; `plugins.SOURCES` lists them.

    A class with an attribute `choices` has only these options of `CHOICES`: it refuses any other that is given.
    """

    @staticmethod
    def recognises(path: str) -> bool:
        """Whether a path looks like such a source; reads at most its first bytes."""
        ...

    def __call__(self, path: str, options: Options) -> Source: ...


def check_choices(kind: Any, path: str, options: Options) -> None:
    """Refuses an option that would have no effect.

    Raises:
        ValueError: an option that this kind of source does not have.
    """
    has = getattr(kind, "choices", CHOICES)
    for name in CHOICES:
        if getattr(options, name) not in (None, False) and name not in has:
            others = " and ".join(f"`{other}`" for other in has) or "none of these options"
            remedy = _REMEDIES.get(name, "leave it out, or name another kind of source by `format`")
            raise ValueError(
                f"{path}: `{name}` has no effect on a source of this kind, which has {others}; got "
                f"{getattr(options, name)!r}; {remedy}"
            )


def check_fields(source: Source, options: Options) -> None:
    """Refuses a wanted field that no sample can have, if the source knows the names in `columns`.

    Raises:
        ValueError: there is no such field.
    """
    columns = extras(source).columns
    for name in options.fields or ():
        if columns is not None and name not in ("label", *columns):
            similar = get_close_matches(name, columns, 1)
            hint = f"; did you mean {similar[0]!r}?" if similar else ""
            has = ", ".join(dict.fromkeys(("label", *columns)))
            raise ValueError(f"{source.path}: `fields` (--fields) must name some of {has}, got {name!r}{hint}")


_REMEDIES = {
    "split": "name the files of the split alone",
    "labels": "for images in one folder and their labels in a file, write a table with the columns path and label, and "
    "convert that",
}


def folder_of_images(own: str, root: str | os.PathLike[str] | None) -> str:
    """The folder that the image paths of a table are relative to. own: the table's; root: the option `image_root`.

    Raises:
        ValueError: there is no such folder.
    """
    if root is None:
        return own
    folder = os.fspath(root) if is_url(root) else os.path.abspath(os.path.expanduser(root))
    if not is_url(folder) and not files.is_folder(folder):
        raise ValueError(f"`image_root` must be the folder that a table's image paths are relative to, got {folder}")
    return folder


def no_such_file(place: str, folder: str) -> str:
    """Why a sample of a table has no image, or no mask; folder: see `folder_of_images`, or ""."""
    remedy = f"; relative paths begin at {folder}, or at `image_root` (--image-root) of the conversion"
    return f"no such file: {place}{remedy if folder else ''}"


def file_facts(paths: Iterable[str]) -> str:
    """A digest of files' names, sizes and modification times or versions, for `Source.fingerprint`."""
    digest, paths = hashlib.sha256(), list(paths)
    for path, stamp in zip(paths, files.each(files.stamp, paths, any(map(is_url, paths))), strict=True):
        name = path if is_url(path) else os.path.abspath(path)
        digest.update(b"%s\0%s\n" % (os.fsencode(name), stamp.encode()))
    return digest.hexdigest()


def indexable(source: Source) -> TypeGuard[AnyOrder]:
    """Whether the source's samples can be read in any order."""
    stated = extras(source).indexable
    return hasattr(source, "__getitem__") if stated is None else stated


def guess_type(value: Any) -> FieldType:
    """The type of field that stores a value unchanged: numbers, arrays, bytes; any other value is JSON."""
    if isinstance(value, bool | int | np.integer | np.bool_):
        return FieldType("int")
    if isinstance(value, float | np.floating):
        return FieldType("float")
    if isinstance(value, bytes):
        return FieldType("bytes")
    array = value if isinstance(value, np.ndarray) else np.asarray(value) if hasattr(value, "__array__") else None
    if array is not None and array.ndim and array.size and array.dtype.kind in "biuf":
        return FieldType("array", array.dtype.newbyteorder("<"), array.shape)
    return FieldType("json")
