"""An image folder's saved listing, so that a conversion resumes without examining every image again.

A folder's modification time changes when a file in it is added, removed or renamed. So the names in a saved listing are
valid as long as no folder's time has changed. The times and sizes of files may be out of date; they are compared when
each file is read.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .file_stats import many
from .scan import Scan, folder_stamp

SETTLED = 2_000_000_000
"""A listing is saved only if no folder was modified within this many nanoseconds before it. A later change could
otherwise have the same time, because clocks of file systems advance in steps, of two seconds at most."""


class Listing(NamedTuple):
    """An image folder's files.

    Attributes:
        scan: names and labels.
        sizes: bytes of each file, [n].
        modified: modification time of each file in nanoseconds, [n].
        fingerprint: see `Source.fingerprint`.
    """

    scan: Scan
    sizes: NDArray[np.int64]
    modified: NDArray[np.int64]
    fingerprint: str


def save(path: str, asked: str, listing: Listing, began: int) -> None:
    """Saves a listing in a file, unless a folder has just been modified.

    Args:
        asked: the folder and the options of the listing.
        began: start time of the listing, `time.time_ns()`.

    Raises:
        OSError: the file cannot be written.
    """
    scan = listing.scan
    if any(modified > began - SETTLED for modified, _ in scan.folders.values()):
        return
    head = {
        "asked": asked,
        "root": scan.root,
        "classes": scan.classes,
        "folders": list(scan.folders),
        "fingerprint": listing.fingerprint,
    }
    with open(f"{path}.new", "wb") as file:
        np.savez(
            file,
            head=np.frombuffer(json.dumps(head).encode("ascii"), np.uint8),
            names=np.frombuffer(os.fsencode("\0".join(scan.names)), np.uint8),
            labels=np.array(scan.labels, np.int32),
            folders=np.array(list(scan.folders.values()), np.int64).reshape(-1, 2),
            sizes=listing.sizes,
            modified=listing.modified,
        )
    os.replace(f"{path}.new", path)


def load(path: str, asked: str) -> Listing | None:
    """The listing saved in a file; None: it is missing, damaged or of another folder, or a folder has changed."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as kept:
            head = json.loads(kept["head"].tobytes())
            stamps = [(int(modified), int(inode)) for modified, inode in kept["folders"]]
            folders = dict(zip(head["folders"], stamps, strict=True))
            if head["asked"] != asked or many(folder_stamp, list(folders)) != stamps:
                return None
            names = os.fsdecode(kept["names"].tobytes()).split("\0")
            labels, sizes, modified = kept["labels"].tolist(), kept["sizes"], kept["modified"]
            if not len(names) == len(labels) == len(sizes) == len(modified):  # no CRC covers the rest of a cut array
                return None
            scan = Scan(head["root"], head["classes"], names, labels, folders)
            return Listing(scan, sizes, modified, head["fingerprint"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
