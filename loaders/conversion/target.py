"""The target of a conversion: a file of this machine, or an object in a store."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ..sources.scan import WORKING
from ..storage import files
from ..storage.store import check_credentials, is_url


class Target:
    """The beton to write. A symbolic link stays: the file that it names is written.

    Attributes:
        name: its path or URL.
        working: the folder in which it is made; the file system of a local target must be the same.
    """

    def __init__(self, out: str | os.PathLike[str], work_dir: str | os.PathLike[str] | None = None) -> None:
        """
        Args:
            work_dir: folder of the working folder; None: that of the target, or the current one for a URL.

        Raises:
            ValueError: a URL of a scheme that cannot be written to, or `work_dir` with a local target.
            IsADirectoryError, NotADirectoryError: it cannot be a file there. Folders that are missing are made later.
        """
        check_credentials(out)
        self.name, self._remote = files.at_home(out), is_url(out)
        if self._remote:
            if self.name.endswith("/") or self.name.startswith(("http://", "https://")):
                raise ValueError(
                    f"{self.name}: the target must be an object in a store that can be written to, as "
                    "s3://bucket/train.beton (also gs://, az://), or a local file"
                )
            parent, base = Path(work_dir or "."), self.name.rpartition("/")[2]
        else:
            if work_dir is not None:
                raise ValueError(f"`work_dir` is for targets in a store, got it with {self.name}; leave it out")
            path = self._file = Path(os.path.realpath(self.name) if os.path.islink(self.name) else self.name)
            if path.is_dir():
                raise IsADirectoryError(f"{path}: must be a file, is a folder; name one inside it")
            parent, base = path.parent, path.name
        nearest = next(folder for folder in (parent, *parent.parents) if folder.exists())
        if not nearest.is_dir():
            raise NotADirectoryError(f"{nearest}: must be a folder to write to, is a file; choose another place")
        self.working = parent / (base + WORKING)

    def settings(self) -> dict[str, str]:
        """Settings that a working folder must have been made with, besides the conversion's own."""
        return {"target": self.name} if self._remote else {}

    def check_source(self, *sources: object) -> None:
        """Raises ValueError if one of these paths is the target itself."""
        if any(map(self._is, sources)):
            raise ValueError(f"{self.name}: the target must be another file than the source; choose another name")

    def _is(self, path: object) -> bool:
        """Whether this path is the target."""
        if self._remote or is_url(path):
            return path == self.name
        if not isinstance(path, str | os.PathLike) or not (os.path.exists(path) and self.exists()):
            return False
        return os.path.samefile(path, self.name)

    def exists(self) -> bool:
        """Whether it is there already."""
        return files.exists(self.name)

    def holds(self, stamp: str) -> bool:
        """Whether it is there and has this stamp, see `files.stamp`."""
        try:
            return files.stamp(self.name) == stamp
        except FileNotFoundError:
            return False

    def publish(self, file: Path, note: Callable[[str], object]) -> None:
        """Gives a complete file, which is flushed to the disk, its final name. Readers see all of it or the old one.

        Args:
            note: is told the target's stamp: before a file is renamed, and after an object was sent.

        Raises:
            OSError: it cannot be renamed.
            LoaderError: the store refuses or keeps failing; the file stays, to be sent again.
        """
        if self._remote:
            files.upload(file, self.name)
            note(files.stamp(self.name))
            return
        note(files.stamp(os.fspath(file)))
        os.replace(file, self._file)
        folder = os.open(self._file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name itself survives a power failure
        finally:
            os.close(folder)
