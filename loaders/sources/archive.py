"""A zip or tar file of class folders as a source, without unpacking it: what the unpacked image folder would give."""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Collection, Iterable, Iterator
from itertools import islice

import numpy as np

from ..beton.fields import LABEL_ONLY
from ..errors import BadDataset
from ..storage.store import is_url
from .file_stats import largest_stored
from .scan import Scan, hidden, is_image, remarks, scan
from .source import FileRange, Indexed, Options, Placed, Sample, file_facts
from .stored_members import StoredMembers
from .tar_files import BZIP2, GZIP, XZ, begins, each_member, one_file
from .zip_files import LARGEST, Member, ZipImage, zip_members

_TARS = (".tar", ".tar.gz", ".tgz")
_OTHER_TARS = (".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz")  # which are not read as WebDataset
_LOOKED_AT, _REMOTE = 100, 300  # members of a tar that tell of which kind it is; of a remote one at most
_ROW = np.dtype([(name, "<i8") for name in ("size", "offset", "header", "packed", "method", "crc")])


class Archive(Indexed):
    """The images of a zip or tar file, as those of the unpacked folder: classes, labels, names and their order.

    Folders above the classes are passed over: as long as all images are below one folder, and none is directly in it,
    that folder is taken for the root. The option `split` names a folder of the root, or of one of those above it.

    The samples of a compressed tar can only be read one after the other, so they are in the order of the tar.

    Attributes:
        whole: the file, as it was when it was listed.
        names: of the samples.
    """

    choices = ("split",)
    columns = ("label",)

    def __init__(self, path: str, options: Options) -> None:
        """Lists the members: from the list in a zip file, from the headers of a tar; a compressed tar is read whole.

        Raises:
            FileNotFoundError: no such file, no images, or see `scan.scan`.
            ValueError: see `scan.scan`.
            BadDataset: damaged, truncated, in parts, of another format, or with two members of one name.
        """
        self.path, self.fields = path, dict(LABEL_ONLY)
        self.whole = FileRange.whole(path)
        self._zip = path.lower().endswith(".zip") or begins(path, b"PK\3\4")
        self._packed = not self._zip and begins(path, GZIP, BZIP2, XZ)
        self.indexable = not self._packed
        members = _normalised(path, zip_members(path) if self._zip else each_member(path, self._packed, _listed))
        self._root = root = _root(path, members, options.split)
        below = {name[len(root) :]: member for name, member in members.items() if name.startswith(root)}
        self._scan = found = _scanned(path, root, below, options)
        self.classes, self.names, self._labels = found.classes, found.names, found.labels
        if self._packed:
            number = {name: k for k, name in enumerate(below)}
            order = sorted(range(len(found.names)), key=lambda k: number[found.names[k]])
            self.names, self._labels = [found.names[k] for k in order], [found.labels[k] for k in order]
        self._problems = {name: below[name].problem for name in self.names if below[name].problem}
        self._rows = np.array([_row(below[name]) for name in self.names], _ROW)
        self._taken_as = not self._zip or (self._root and options.split is None)

    @staticmethod
    def recognises(path: str) -> bool:
        """A .zip by its name; a single tar by its members: images in several folders, and none with companions."""
        name = path.lower()
        if name.endswith(".zip"):
            return one_file(path)
        if not name.endswith((*_TARS, *_OTHER_TARS)) or not one_file(path):
            return False
        try:
            folders = _image_folders(path)
        except (BadDataset, OSError):
            return name.endswith(_OTHER_TARS)
        return folders > (0 if name.endswith(_OTHER_TARS) else 1)

    @property
    def hints(self) -> list[str]:
        """Remarks on the archive, for the summary of a conversion."""
        found = remarks(self._scan)
        if self._taken_as:
            where = f" in {self._root.rstrip('/')!r}" if self._root else ""
            other = "" if self._zip else '; format="webdataset" (--format webdataset) reads it as a shard of WebDataset'
            found.append(f"read as an archive of an image folder: the classes are its folders{where}{other}")
        return found

    @property
    def labels(self) -> list[int]:
        """The labels of all samples."""
        return self._labels

    @property
    def nbytes(self) -> int:
        """Bytes of all images."""
        return int(self._rows["size"].sum())

    @property
    def largest(self) -> int:
        """See `Extras.largest`."""
        return largest_stored(self.names, self._rows["size"])

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        name = self.names[index]
        if name in self._problems:
            return self._refused(name, index)
        size, offset, header, packed, method, crc = map(int, self._rows[index])
        place = self.whole._replace(size=header + packed, offset=offset)
        image: Placed = place
        if header:
            image = ZipImage(
                self.path, size, place, Member(self._root + name, size, offset, header, packed, method, crc)
            )
        return Sample(name, image, {"label": self._labels[index]})

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """See `Source.samples`."""
        return self._unpacked(start) if self._packed else super().samples(start)

    def open_direct(self) -> StoredMembers | None:
        """See `Extras.open_direct`: of an archive on this machine whose images are all stored as they are."""
        if self._packed or is_url(self.path) or self._problems or (self._rows["method"] != 0).any():
            return None
        return StoredMembers(self)

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        return f"{file_facts([self.path])} {self._root}"

    def _unpacked(self, start: int) -> Iterator[Sample]:
        """The samples of a compressed tar from number `start` on."""
        numbers = {self._root + name: k for k, name in enumerate(self.names)}

        def sample(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Sample | None:
            number = numbers.get(_plain(info.name), -1)
            if number < start:
                return None
            name = self.names[number]
            file = None if name in self._problems else tar.extractfile(info)
            if file is None:
                return self._refused(name, number)
            return Sample(name, file.read(), {"label": self._labels[number]})

        return each_member(self.path, True, sample)

    def _refused(self, name: str, number: int) -> Sample:
        problem = f"{self.path}: its member {self._root + name!r} {self._problems[name]}"
        return Sample(name, b"", {"label": self._labels[number]}, problem)


def _row(member: Member) -> tuple[int, ...]:
    if member.problem:
        return (0,) * 6  # a wrong size would decide on the size of pages
    return member.size, member.offset, member.header, member.packed, member.method, member.crc


def _listed(_tar: tarfile.TarFile, info: tarfile.TarInfo) -> Member | None:
    """A member of a tar; None: no file or folder."""
    if info.isdir():
        return Member(f"{info.name}/")
    if info.issym() or info.islnk():
        return Member(info.name, link=info.linkname if info.issym() else f"/{info.linkname}")
    if not info.isreg():
        return None
    problem = "is stored with holes; write the tar without --sparse" if info.issparse() else ""
    if info.size > LARGEST:
        problem = f"has {info.size} bytes, an image {LARGEST} at most"
    return Member(info.name, info.size, info.offset_data, packed=info.size, problem=problem)


def _plain(name: str) -> str:
    """A member's name without `.`, `..` and a `/` at the beginning: no member is outside of the archive."""
    return posixpath.normpath(f"/{name}").lstrip("/")


def _is_hidden(name: str) -> bool:
    """Whether a member is hidden, or below a hidden folder."""
    return any(map(hidden, name.split("/")))


def _normalised(path: str, members: Iterable[Member]) -> dict[str, Member]:
    """The files and folders that are not hidden, by their plain names; a folder's has a `/` at its end.

    Raises:
        BadDataset: two files have one name, or a link may be a class folder.
    """
    found: dict[str, Member] = {}
    for member in members:
        name = _plain(member.name)
        if not name or _is_hidden(name):
            continue
        if member.name.endswith("/"):
            found[f"{name}/"] = member
        elif name in found:
            raise BadDataset(
                f"{path}: each member must have a name of its own, got {name!r} twice; unpack the archive, and convert "
                "the folder"
            )
        else:
            found[name] = member
    links = {name: member.link for name, member in found.items() if member.link is not None}
    if links:
        _check_links(path, found, links)
    return found


def _check_links(path: str, members: dict[str, Member], links: dict[str, str]) -> None:
    """Notes that linked images cannot be read. Raises BadDataset for a link to a folder, which would be left out."""
    folders = {name[:at] for name in members for at in range(len(name)) if name[at] == "/"}
    how = "tar --dereference --hard-dereference; zip without -y"
    remedy = f"pack the files themselves ({how}), or unpack the archive and convert the folder"
    for name, target in links.items():
        if _plain(posixpath.join(f"/{posixpath.dirname(name)}", target)) in folders:
            raise BadDataset(f"{path}: its member {name!r} is a link to the folder {target!r}; {remedy}")
        members[name] = members[name]._replace(problem=f"is a link to {target!r}; {remedy}")


def _root(path: str, members: Collection[str], split: str | None) -> str:
    """The folder whose sub-folders are the classes, with a `/` at its end, or "".

    Raises:
        FileNotFoundError: there is no such split.
    """
    root, wanted = "", f"{_plain(split or '')}/"
    images = [name for name in members if name[-1] != "/" and is_image(name.rpartition("/")[2])]
    while split is None or not any(name.startswith(root + wanted) for name in members):  # else: the split is here
        first = next(iter(images), "").partition("/")[0] + "/"
        if not images or any(not name.startswith(first) or name.find("/", len(first)) < 0 for name in images):
            break
        root, images = root + first, [name[len(first) :] for name in images]
    else:
        return root + wanted
    if split is None:
        return root
    below = (name[len(root) :] for name in members if name.startswith(root))
    folders = sorted({name.partition("/")[0] for name in below if "/" in name})
    some = ", ".join(folders[:8]) + ", ..." * (len(folders) > 8)
    raise FileNotFoundError(
        f"{path}: `split` must be a folder in the archive, got {split!r}; {root or 'it'} has {some or 'no folder'}"
    )


def _scanned(path: str, root: str, below: Iterable[str], options: Options) -> Scan:
    """The images below the root. Those of an archive without folders are a class of the archive's own name."""
    listing = list(filter(None, below))
    if not any(map(is_image, listing)):
        listing = list(map(posixpath.basename, listing))  # its folders are no classes: the error tells what it holds
    found = scan(f"{path}/{root}", classes=options.classes, allow_empty=options.allow_empty, listing=listing)
    base = posixpath.basename(path)
    return found._replace(classes=[base.partition(".")[0]]) if not root and found.classes == [base] else found


def _image_folders(path: str) -> int:
    """In how many folders the first members of a tar have images. 0: none, or it looks like a shard of WebDataset.

    All members of a tar are looked at if their images are in one folder: it may be a shard, or the first class.
    """
    folders: set[str] = set()
    before, before_is_image = "", False
    names = each_member(
        path, begins(path, GZIP, BZIP2, XZ), lambda _, info: _plain(info.name) if info.isreg() else None
    )
    for number, name in enumerate(islice(names, _REMOTE if is_url(path) else None)):
        folder, base = posixpath.split(name)
        if _is_hidden(name):
            continue
        key, ours = posixpath.join(folder, base.partition(".")[0]), is_image(base)
        companions = key == before and ours != before_is_image
        if companions or base.lower().endswith(".cls") or (ours and not folder):
            return 0
        before, before_is_image = key, ours
        if ours:
            folders.add(folder)
        if number >= _LOOKED_AT and len(folders) > 1:
            break
    return len(folders)
