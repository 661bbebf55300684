"""Headers of a source's images: from the first bytes of large files, and from all of those that need more."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image

from loaders.conversion.headers import LOOKED_AT, headers, some_samples
from loaders.pillow import Header
from loaders.sources.open import open_source
from loaders.sources.source import FileRange, Sample


def saved(path: Path, kind: str, size: tuple[int, int], noise: int = 0, **options: object) -> FileRange:
    image = Image.effect_noise(size, noise).convert("RGB") if noise else Image.new("RGB", size)
    file = BytesIO()
    image.save(file, kind, **options)
    path.write_bytes(b"before" + file.getvalue())
    return FileRange(str(path), len(file.getvalue()), 6)


def test_kinds_and_sizes(tmp_path: Path) -> None:
    images = [
        saved(tmp_path / "a", "JPEG", (70, 50)),
        saved(tmp_path / "b", "JPEG", (700, 500), noise=90, quality=95),
        saved(tmp_path / "c", "JPEG", (700, 500), noise=90, icc_profile=bytes(100_000)),  # headers of 100 kB
        saved(tmp_path / "d", "TIFF", (400, 300), noise=90),  # its directory is behind the pixels
        saved(tmp_path / "e", "PNG", (40, 30)),
    ]
    assert min(image.size for image in images[1:4]) > 1 << 16
    samples = [Sample(str(k), image, {}) for k, image in enumerate(images)]
    expected = [("JPEG", 70, 50), ("JPEG", 700, 500), ("JPEG", 700, 500), ("TIFF RGB", 400, 300), ("PNG RGB", 40, 30)]
    assert list(headers(samples)) == [Header(*facts) for facts in expected]


def test_only_the_first_bytes_of_a_large_file_are_read(tmp_path: Path) -> None:
    image = saved(tmp_path / "a", "JPEG", (700, 500), noise=90, quality=95)
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[: 6 + (1 << 16)])
    assert list(headers([Sample("a", image, {})])) == [Header("JPEG", 700, 500)]


def test_reasons(tmp_path: Path) -> None:
    gone, empty = FileRange(str(tmp_path / "gone.jpg"), 9), Sample("b", b"", {})
    found = list(headers([Sample("a", gone, {}), empty, Sample("c", b"", {}, "it has no image")]))
    assert found[0] == "No such file or directory" and isinstance(found[1], str) and found[2] == "it has no image"


def test_samples_are_spread_or_the_first_ones() -> None:
    listed = [(b"x", k) for k in range(10 * LOOKED_AT)]
    assert [s.values["label"] for s in some_samples(open_source(listed))] == list(range(0, 10 * LOOKED_AT, 10))
    assert [s.values["label"] for s in some_samples(open_source(lambda: iter(listed)))] == list(range(LOOKED_AT))


def test_few_samples_are_in_memory_together() -> None:
    taken: list[int] = []

    def samples() -> Iterator[Sample]:
        for k in range(LOOKED_AT):
            taken.append(k)
            yield Sample(str(k), b"", {}, f"no image {k}")

    found = headers(samples())
    assert next(found) == "no image 0" and len(taken) <= 8
    assert list(found) == [f"no image {k}" for k in range(1, LOOKED_AT)]
