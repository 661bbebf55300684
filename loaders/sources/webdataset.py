"""WebDataset shards as a source: tar files in which all members with the same key make a sample.

The key of a member is its path up to the first dot of its base name; the rest is the field: `train/000001.jpg`,
`train/000001.cls`, `train/000001.left.json`. Members with the same key are adjacent, as the format requires.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

from ..beton.fields import LABEL_ONLY, FieldType
from ..storage import files
from ..storage.store import is_url
from .labels import whole_number
from .source import FileRange, Options, Sample, file_facts
from .tar_files import each_member

IMAGES = ("jpg", "jpeg", "png", "webp")
TARS = (".tar", ".tar.gz", ".tgz")


class Member(NamedTuple):
    """A file in a tar: its name, its location, and its content if the tar is compressed."""

    name: str
    image: FileRange | bytes

    def content(self) -> bytes:
        """Its bytes."""
        return self.image if isinstance(self.image, bytes) else self.image.read()


class WebDataset:
    """The samples of tar shards, in the order of the shards and of their members.

    The image is the member named by the option `image_column`, else `.jpg`, else the only member with an image's
    ending. `label` is the member `.cls`, or the entry `label` of the member `.json`; the option `label_column` names
    another entry, with dots for nested entries. Any other field is the member of that name, or else the entry of that
    name in `.json`. Without the option `fields`, the label, JSON and text members of the first sample are stored.
    """

    choices = ("image_column", "label_column")

    def __init__(self, path: str, options: Options) -> None:
        """Finds the shards and counts their samples by reading the tars' headers.

        Raises:
            FileNotFoundError: there is no shard.
            BadDataset: a shard is damaged or truncated.
        """
        self.path, self._label = path, options.label_column or "label"
        self._shards = expand(path)
        if not self._shards:
            raise FileNotFoundError(f"{path}: no such tar shards")
        self.classes = list(options.classes or ())
        self._masks = {name for name, kind in (options.fields or {}).items() if kind.kind == "mask"}
        self._counts = files.each(lambda shard: sum(1 for _ in _groups(shard, read=False)), self._shards, is_url(path))
        self._image = options.image_column
        first = next(self.samples(), None)
        given = {} if first is None else first.values
        if options.label_column is not None and first is not None and not first.problem and "label" not in given:
            have = ", ".join(given) or "none"
            raise ValueError(
                f"{first.name}: `label_column` must be an entry of its .json, got {self._label!r}; it has {have}"
            )
        self.fields = options.fields or self._guessed(given)
        self.hints: tuple[str, ...] = ()
        if first is not None and not self.fields and "/" in first.name.partition("/")[2].removeprefix("./"):
            self.hints = (
                f"{first.name} is in a folder of the tar: if its folders are the classes, convert each tar with "
                'format="archive" (--format archive)',
            )

    @staticmethod
    def recognises(path: str) -> bool:
        """Recognises tar files by name: single, in a glob with braces, or in a folder that has only shards."""
        if path.endswith(TARS):
            return True
        folders, names = files.children(path)
        return any(name.endswith(TARS) for name in names) and all(name.startswith(".") for name in folders)

    def _guessed(self, values: Any) -> dict[str, FieldType]:
        fields: dict[str, FieldType] = {}
        if "label" in values:
            fields |= LABEL_ONLY
        return fields | {name: FieldType(kind) for name, kind in (("json", "json"), ("txt", "bytes")) if name in values}

    def __len__(self) -> int:
        return sum(self._counts)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """See `Source.samples`. Whole shards before `start` are skipped unread."""
        for shard, count in zip(self._shards, self._counts, strict=True):
            if start >= count:
                start -= count
                continue
            for key, members, twice in _groups(shard):
                if start:
                    start -= 1
                elif twice:
                    problem = f"must have each member once, got .{twice} twice"
                    yield Sample(f"{os.path.basename(shard)}/{key}", b"", {}, problem)
                else:
                    yield self._sample(shard, key, members)

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        return f"{file_facts(self._shards)} {self._image} {self._label}"

    def _sample(self, shard: str, key: str, members: dict[str, Member]) -> Sample:
        name = f"{os.path.basename(shard)}/{key}"
        images = [f for f in members if f.lower().rsplit(".", 1)[-1] in IMAGES and f not in self._masks]
        chosen = self._image or ("jpg" if "jpg" in members else images[0] if len(images) == 1 else "")
        if chosen not in members:
            problem = f"needs one member of {self._image or ', '.join(IMAGES)}, has {', '.join(members)}"
            if len(images) > 1 and self._image is None:
                problem = f"has images {', '.join(images)}; name one by image_column, or masks by `fields`"
            return Sample(name, b"", {}, problem)
        image = members[chosen].image
        try:
            return Sample(name, image, self._values(members))
        except (ValueError, OSError, RecursionError) as error:
            return Sample(name, b"", {}, str(error))

    def _values(self, members: dict[str, Member]) -> dict[str, Any]:
        """The targets: members by field name, and the entries of the JSON member."""
        values: dict[str, Any] = {}
        if "json" in members:
            entries = _parsed("json", members["json"], json.loads)
            if isinstance(entries, dict):
                values |= entries
                if (label := _entry(entries, self._label)) is not None:
                    values["label"] = _number_or_name(label) if isinstance(label, str) else label
            values["json"] = entries
        for field, member in members.items():
            kind = field.lower().rsplit(".", 1)[-1]
            if kind == "cls":
                label = _parsed(field, member, lambda data: _number_or_name(data.decode("utf-8")))
                values[field] = values["label" if field == "cls" else field] = label
            elif kind == "json" and field != "json":
                values[field] = _parsed(field, member, json.loads)
            elif kind not in (*IMAGES, "json") or field in self._masks:
                values[field] = member.content()
        return values


def _number_or_name(text: str) -> int | str:
    """A label given as text: a number if the text is one, else a name."""
    number = whole_number(text)
    return text.strip() if number is None else number


def _parsed(field: str, member: Member, parse: Callable[[bytes], Any]) -> Any:
    """A member's content. Raises ValueError with the member's name."""
    try:
        return parse(member.content())
    except (ValueError, RecursionError) as error:
        raise ValueError(f".{field} cannot be read ({error})") from None


def _entry(entries: dict[str, Any], name: str) -> Any:
    """The entry of that name, or None; `annotation.label` is the entry `label` of the entry `annotation`."""
    found: Any = entries
    for part in [name] if name in entries else name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def expand(path: str) -> list[str]:
    """The files of a path: braces (`{000..031}`, `{a,b}`) are expanded, then wildcards; for a folder, its tars."""
    if files.is_folder(path):
        return [files.join(path, name) for name in files.children(path)[1] if name.endswith(TARS)]
    found = [name for pattern in _braces(path) for name in files.expand(pattern)]
    for name, there in zip(found, files.each(files.exists, found, is_url(path)), strict=True):
        if not there:
            raise FileNotFoundError(f"{name}: no such shard")
    return found


def _braces(pattern: str) -> list[str]:
    """The patterns that result from expanding all braces, as in a shell."""
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        return [pattern]
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", match[1])
    if numbers:
        first, last, width = int(numbers[1]), int(numbers[2]), len(numbers[1])
        choices = [f"{k:0{width}d}" for k in range(first, last + 1)]
    else:
        choices = match[1].split(",")
    return [rest for choice in choices for rest in _braces(pattern[: match.start()] + choice + pattern[match.end() :])]


def members(path: str, read: bool = True) -> Iterator[Member]:
    """The regular files of a tar, in order. read: whether to read their contents, too.

    Raises:
        BadDataset: damaged or truncated, or not a tar.
        LoaderError: its store refuses or keeps failing.
    """
    plain = path.endswith(".tar")

    def member(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Member | None:
        return Member(info.name, _place(path, tar, info, plain) if read else b"") if info.isreg() else None

    return each_member(path, not plain, member)


def _place(path: str, tar: tarfile.TarFile, info: tarfile.TarInfo, plain: bool) -> FileRange | bytes:
    if plain and not info.issparse() and not is_url(path):  # a remote tar is read from beginning to end anyway
        return FileRange(path, info.size, info.offset_data)
    file = tar.extractfile(info)
    return b"" if file is None else file.read()


def _groups(shard: str, read: bool = True) -> Iterator[tuple[str, dict[str, Member], str | None]]:
    """Each key of a shard, its members by field name, and a repeated name, if any; hidden members are left out.

    Args:
        read: see `members`.
    """

    def key(member: Member) -> str:
        folder, base = os.path.split(member.name)
        return os.path.join(folder, base.split(".", 1)[0])

    visible = (member for member in members(shard, read) if not os.path.basename(member.name).startswith("."))
    for name, group in groupby(visible, key):
        fields: dict[str, Member] = {}
        twice = None
        for member in group:
            field = _field(member.name)
            twice = field if field in fields else twice
            fields[field] = member
        yield name, fields, twice


def _field(name: str) -> str:
    """The part of a name after its key; `.JPG` and `.CLS` are `jpg` and `cls`."""
    field = os.path.basename(name).partition(".")[2]
    return field.lower() if field.lower() in (*IMAGES, "cls", "json", "txt") else field
