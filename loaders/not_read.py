"""What to do with data of a kind that is not read, by the ending of their name."""

from __future__ import annotations

_ARCHIVES = (".rar", ".7z", ".gz", ".bz2", ".xz", ".zst")
_READ = (".zip", ".tar", ".tgz")
_FORMATS = {
    "HDF5": (".h5", ".hdf5"),
    "LMDB": (".lmdb", ".mdb"),
    "NumPy": (".npz", ".npy"),
    "RecordIO": (".rec",),
    "MATLAB": (".mat",),
    "pickle": (".pkl", ".pickle", ".pt", ".pth"),
}
_OTHERS = {
    (
        ".001",
        ".z01",
    ): "join the parts of the archive (cat x.zip.* > x.zip; zip -s 0 x.zip --out whole.zip), and name the whole",
    (".json",): "a table of JSON is a .jsonl file with one object a line; docs/sources.md shows how to read COCO's "
    "annotations",
    (".txt", ".lst", ".xls", ".xlsx"): "a table is a .csv with a line of column names, such as path,label; "
    "docs/sources.md shows how to read other lists",
    (".jpg", ".jpeg", ".png", ".webp"): "name the folder of the images",
}


def remedy(path: str, otherwise: str) -> str:
    """The remedy for an error that says that `path` is not read; otherwise: the one for an unknown ending."""
    name = path.rstrip("/").lower()
    if name.endswith(_READ):
        return "`efficienttrain convert` reads a single archive of images itself"
    if name.endswith(_ARCHIVES):
        return "unpack the archive, and name what was in it"
    for format, endings in _FORMATS.items():
        if name.endswith(endings):
            return (
                f"{format} files are not read: in Python, give `convert` a list, data set or function of samples "
                "(image, label), see docs/sources.md"
            )
    return next((text for endings, text in _OTHERS.items() if name.endswith(endings)), otherwise)
