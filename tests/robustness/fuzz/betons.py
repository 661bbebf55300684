"""Coverage-guided fuzzing of what Python reads of a beton: header, fields, private section, index, names, meta data.

    python -m tests.robustness.fuzz.betons -max_total_time=60        needs atheris; options are libFuzzer's

An input is a beton. Its CRCs are corrected first, as an attacker would, so that the checks behind them are reached.
When opened and read, it must answer or be refused by a LoaderError. Any other exception, or more time or memory than
the limits below, is a finding; the input is saved in build/fuzz/betons. corpus/ keeps one input for each kind of
refusal.
"""

from __future__ import annotations

import os
import sys
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
CORPUS = Path(__file__).with_name("corpus")
ASKED = 64  # samples that a beton is asked for at most


def use(data: bytes) -> bool:
    """Opens a beton and asks it everything; whether it could be opened."""
    from loaders.errors import LoaderError
    from loaders.sources import open_dataset

    handle = os.memfd_create("beton")
    try:
        os.write(handle, mended(data))
        with open_dataset(f"/proc/self/fd/{handle}") as dataset:
            indices = np.arange(min(len(dataset), ASKED))
            for question in (dataset.entries, dataset.labels):
                with suppress(LoaderError):
                    question(indices)
            for index in indices[:4].tolist():
                for ask in (dataset.name, dataset.read):
                    with suppress(LoaderError):
                        ask(index)
        return True
    except LoaderError:
        return False
    finally:
        os.close(handle)


def mended(data: bytes) -> bytes:
    """The same with the CRCs of a pyramid's private header and of its sections made good."""
    from loaders.beton import layout

    at, size = layout.HEADER.itemsize + 17, layout.PRIVATE.itemsize
    head = data[at : at + size].ljust(size, b"\0")
    private = np.frombuffer(head, layout.PRIVATE, 1).copy().reshape(())
    if private["magic"] != layout.MAGIC or private["version"] != layout.PRIVATE_VERSION:
        return data
    for name in ("index", "names", "meta"):
        start = int(private[name]["offset"])
        private[name]["crc"] = zlib.crc32(data[start : start + int(private[name]["size"])])
    return data[:at] + layout.pack_private(private)[:size] + data[at + size :]


def seeds() -> list[bytes]:
    """The smallest pyramid, and the FFCV beton that can be extracted from it."""
    from loaders import convert, native
    from loaders.conversion import extract
    from tests.loaders.ffcv_files import without_index

    with tempfile.TemporaryDirectory() as place:
        folder, pyramid, ffcv_beton = (
            Path(place, "photos"),
            Path(place, "pyramid.beton"),
            Path(place, "ffcv_beton.beton"),
        )
        for label in "ab":
            (folder / label).mkdir(parents=True)
            (folder / label / "x.jpg").write_bytes(native.encode(np.full((8, 8, 3), 99, np.uint8), 50))
        convert(folder, pyramid, workers=1)
        extract(pyramid, ffcv_beton, 0)
        without_index(ffcv_beton)
        return [pyramid.read_bytes(), ffcv_beton.read_bytes()]


def _use(data: bytes) -> None:
    use(data)  # libFuzzer takes no answer


def main() -> None:
    """Fuzzes, with whatever libFuzzer's options on the command line say."""
    import atheris

    with atheris.instrument_imports(include=["loaders.sources", "loaders.plan.records", "json"]):
        import loaders.sources  # noqa: F401
    out = ROOT / "build" / "fuzz" / "betons"
    out.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds()):
        (out / f"seed{number}").write_bytes(data)
    limits = ["-max_len=8192", "-timeout=10", "-rss_limit_mb=2048", f"-artifact_prefix={out}/"]
    atheris.Setup([sys.argv[0], str(out), str(CORPUS), *limits, *sys.argv[1:]], _use)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
