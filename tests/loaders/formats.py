"""What becomes of each kind of image file: the table of docs/formats.md, measured.

`python -m tests.loaders.formats` writes the table anew.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from loaders import Loader, native
from loaders.conversion.transcode import Refused, records_of
from tests.loaders.odd_files import KINDS

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"
BEGIN, END = "<!-- table: python -m tests.loaders.formats -->\n", "<!-- end of the table -->\n"
SIDE = 32
EPOCHS = 5
NEAR = 38.0
"""PSNR in dB of a view to Pillow's pixels, resampled by the kernel. The kernel does not round up-sampled chroma."""


def reference(data: bytes) -> NDArray[np.uint8] | None:
    """RGB pixels by Pillow, else by libjpeg, which reads a few files more; None where neither gives any."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except Exception:
        try:
            return native.decode(data)
        except native.JpegError:
            return None


def converted(data: bytes) -> tuple[str, NDArray[np.uint8] | None]:
    """What `convert` makes of a file, in words, and the pixels of level 0."""
    try:
        records, changed = records_of(data, (1.0, 0.5), 90)
    except Refused as error:
        return ("refused (`--depth`)" if "--depth" in str(error) else "refused"), None
    pixels = reference(records[0].jpeg)
    if changed:
        return "RGB, quality 95", pixels
    return "lossless" + (", noted" if records[0].note else ""), pixels


def write_folder(root: Path, files: list[bytes]) -> None:
    """An image folder of one class; file names sort as the list does."""
    (root / "a").mkdir(parents=True)
    for i, data in enumerate(files):
        (root / "a" / f"{i:03d}.jpg").write_bytes(data)


def views(root: Path, backend: str) -> tuple[list[NDArray[np.float64]], set[int]]:
    """Each file of a folder in several training views and in evaluation, float [views, 3, B, B]; and which are bad."""
    options: dict[str, Any] = {
        "backend": backend,
        "batch_size": 16,
        "resolution": SIDE,
        "dtype": "uint8",
        "num_workers": 2,
    }
    options |= {"shuffle": False, "drop_last": False, "on_error": "replace"}
    shown: list[list[NDArray[np.float64]]] = []
    bad: set[int] = set()
    for train in (True, False):
        with Loader(root, train=train, **options) as loader:
            for _ in range(EPOCHS if train else 1):
                images = [image.numpy().astype(float) for batch, _ in loader for image in batch]
                shown = shown or [[] for _ in images]
                for each, image in zip(shown, images, strict=True):
                    each.append(image)
            bad |= {sample.index for sample in loader.stats()["bad"]}
    return [np.stack(each) for each in shown], bad


def measured(backends: tuple[str, ...]) -> dict[str, list[str]]:
    """Kind of file -> outcomes in `convert` and in a folder with each backend.

    Raises:
        AssertionError: pixels are not those of the reference; the message says which.
    """
    files = {kind: make() for kind, make in KINDS.items()}
    truth = {kind: reference(data) for kind, data in files.items()}
    table: dict[str, list[str]] = {}
    for kind, data in files.items():
        outcome, pixels = converted(data)
        table[kind] = [outcome]
        if outcome.startswith("lossless"):
            np.testing.assert_array_equal(pixels, truth[kind], err_msg=kind)
        elif pixels is not None:
            assert psnr(pixels, truth[kind]) > 34, kind
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_folder(root / "files", list(files.values()))
        write_folder(root / "truth", [png(pixels) for pixels in truth.values()])
        wanted, _ = views(root / "truth", "torch")
        for backend in backends:
            shown, bad = views(root / "files", backend)
            for i, kind in enumerate(files):
                table[kind].append("refused" if i in bad else "read")
                for view in () if i in bad else range(EPOCHS + 1):
                    near = psnr(shown[i][view], wanted[i][view])
                    assert near > NEAR, f"{kind}, {backend}, view {view}: {near:.1f} dB"
    return table


def psnr(a: Any, b: Any) -> float:
    return float(10 * np.log10(255**2 / max(float(np.mean((np.asarray(a, float) - b) ** 2)), 1e-9)))


def png(pixels: NDArray[np.uint8] | None) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8) if pixels is None else pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def page(table: dict[str, list[str]]) -> str:
    """The page with this table in it."""
    lines = ["| file | `convert` | folder, `torch` | folder, `dali` |", "|---|---|---|---|"]
    lines += [f"| {kind} | {' | '.join(outcomes)} |" for kind, outcomes in table.items()]
    text = PAGE.read_text(encoding="utf-8")
    return text[: text.index(BEGIN) + len(BEGIN)] + "\n".join(lines) + "\n" + text[text.index(END) :]


if __name__ == "__main__":
    PAGE.write_text(page(measured(("torch", "dali"))), encoding="utf-8")
