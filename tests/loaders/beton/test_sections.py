"""Long tables are checked block by block, when they are used."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders import BadDataset, Loader, convert, open_dataset
from loaders.beton import layout, sections, tables
from loaders.beton.sections import BlockSums
from loaders.beton.tables import OpenFile
from loaders.conversion import check_parts, verify
from loaders.sources.pyramid import Pyramid

FIELDS: dict[str, Any] = {"label": "int", "caption": "bytes"}
BLOCK = 128


@pytest.fixture(autouse=True)
def long_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files have tables of several blocks, none of which is short."""
    monkeypatch.setattr(sections, "BLOCK", BLOCK)
    monkeypatch.setattr(sections, "WHOLE", BLOCK)


@pytest.fixture
def beton(jpeg_folder: Path, tmp_path: Path) -> Path:
    """80 samples with a caption; all four tables have several blocks."""
    data = sorted((jpeg_folder / "train").rglob("*.jpg"))[0].read_bytes()
    samples = [{"image": data, "label": k % 2, "caption": b"%d" % k, "name": f"image {k}"} for k in range(80)]
    convert(samples, tmp_path / "people.beton", fields=FIELDS, classes=["a", "b"], order="source", workers=1)
    return tmp_path / "people.beton"


def opened(path: Path) -> Pyramid:
    dataset = open_dataset(path)
    assert isinstance(dataset, Pyramid)
    return dataset


def use(dataset: Pyramid, name: str, index: int) -> object:
    """Reads the table of that name for one sample."""
    if name == "names":
        return dataset.name(index)
    return dataset.entries([index]) if name == "index" else dataset.read_field("caption", [index])


def flipped(path: Path, at: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK])
def test_sums_do_not_depend_on_the_pieces(size: int) -> None:
    data = np.random.default_rng(0).bytes(size)
    wanted = np.array([zlib.crc32(data[k : k + BLOCK]) for k in range(0, size, BLOCK)], "<u4")
    for piece in (1, 100, BLOCK, 10 * BLOCK):
        sums = BlockSums()
        for start in range(0, size, piece):
            sums.update(data[start : start + piece])
        assert (sums.crc, sums.size) == (zlib.crc32(data), size)
        assert sections.base64.b64decode(sums.packed()) == wanted.tobytes()
        assert len(BlockSums.blank(size)) == len(sums.packed())


@pytest.mark.parametrize("name", ["index", "names", "rows", "checks"])
def test_a_damaged_block_is_found_when_it_is_used(beton: Path, name: str) -> None:
    with opened(beton) as dataset:
        section = dataset.private[name].copy()
        assert int(section["size"]) > 2 * BLOCK
    flipped(beton, int(section["offset"]) + int(section["size"]) - 1)  # the last sample's
    with opened(beton) as dataset:
        use(dataset, name, 0)
        for _ in range(2):
            with pytest.raises(BadDataset, match=rf"people\.beton: damaged, bytes \d+ to \d+ of it .* of its {name}"):
                use(dataset, name, 79)
        use(dataset, name, 0)
        with pytest.raises(BadDataset, match=f"the CRC of its {name}"):
            dataset.check_tables()
    with pytest.raises(BadDataset, match=f"the CRC of its {name}"):
        verify(beton, workers=1)
    assert f"the CRC of its {name}" in check_parts(str(beton))[0].fault


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Size and offset of all reads from open files, from now on."""
    done: list[tuple[int, int]] = []
    real = OpenFile.read

    def counted(file: OpenFile, size: int, offset: int) -> bytes:
        done.append((size, offset))
        return real(file, size, offset)

    monkeypatch.setattr(OpenFile, "read", counted)
    return done


def test_opening_reads_no_long_table(beton: Path, reads: list[tuple[int, int]]) -> None:
    with opened(beton) as dataset:
        start, size = int(dataset.private["index"]["offset"]), int(dataset.private["index"]["size"])
        assert not [offset for _, offset in reads if start <= offset < start + size]
        reads.clear()
        dataset.entries([0, 1])
        assert reads == [(BLOCK, start), (BLOCK, start + BLOCK), (200, start)]
        dataset.entries(np.arange(80))
        assert sum(read for read, _ in reads[:-1]) == 200 + size
        reads.clear()
        dataset.entries(np.arange(40))
        assert reads == [(4000, start)]  # each block is checked once
        dataset.check_tables()


def test_a_table_on_slow_storage_is_read_whole_and_kept(
    beton: Path, reads: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def everything(dataset: Pyramid) -> list[Any]:
        places = [3, 79, 0]
        names, captions = dataset.names(places), dataset.read_field("caption", np.array(places))
        return [dataset.entries(places).tobytes(), dataset.labels(places).tolist(), names, captions]

    with opened(beton) as dataset:
        wanted = everything(dataset)
    monkeypatch.setattr(tables, "A_READ", 0)  # rows that lie apart are read one by one
    monkeypatch.setattr(sections, "SLOW", -1)
    monkeypatch.setattr(sections, "_RATE", 1e12)
    with opened(beton) as dataset:
        assert everything(dataset) == wanted
        reads.clear()
        assert everything(dataset) == wanted
        assert dataset.entries(np.arange(80)).tobytes() and not [size for size, _ in reads if size > 2]  # captions only
        facts = beton.stat()
        flipped(beton, int(dataset.private["index"]["offset"]))
        os.utime(beton, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
        with pytest.raises(BadDataset, match="of its index"):
            dataset.entries([0])
    flipped(beton, int(dataset.private["index"]["offset"]))
    flipped(beton, int(dataset.private["index"]["offset"]) + 7900)
    with opened(beton) as dataset, pytest.raises(BadDataset, match="the CRC of its index"):
        dataset.entries([0, 40])  # which does not use the damaged row
    monkeypatch.setattr(sections, "KEPT", 100)
    with opened(beton) as dataset:
        assert dataset.entries([0, 40]).tobytes()
        reads.clear()
        dataset.entries([0, 50])
        assert len(reads) > 1


def test_a_few_slow_reads_keep_no_table(
    beton: Path, reads: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "A_READ", 0)
    with opened(beton) as dataset:
        dataset.entries(np.arange(80))  # all blocks are checked
        size = int(dataset.private["index"]["size"])
        monkeypatch.setattr(sections, "_RATE", 0.9 * size / 1e-3)  # so one read of more than 1.1 ms would keep it
        monkeypatch.setattr(sections, "SLOW", 1e-3)
        clock = [0.0]
        monkeypatch.setattr(sections.time, "perf_counter", lambda: clock[0])
        real, slow = OpenFile.read, {0, 4}

        def timed(file: OpenFile, size: int, offset: int) -> bytes:
            clock[0] += 1.05e-3 if len(reads) in slow else 1e-6
            return real(file, size, offset)

        monkeypatch.setattr(OpenFile, "read", timed)
        for wanted in (False, True):
            reads.clear()
            slow |= set(range(6)) if wanted else set()
            dataset.entries([0, 20, 40, 60])
            dataset.entries([1, 21, 41, 61])
            assert ("index" in dataset._sections._kept) == wanted


def test_batches_are_those_of_a_file_that_is_checked_whole(beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def batches() -> list[list[np.ndarray]]:
        with Loader(beton, 16, resolution=32, num_workers=1, fields=["image", "label", "caption"]) as loader:
            return [[np.asarray(batch[0]), np.asarray(batch[1])] for batch in loader]

    by_blocks = batches()
    monkeypatch.setattr(sections, "WHOLE", 1 << 20)
    for a, b in zip(by_blocks, batches(), strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])


def test_damage_that_comes_later_is_found(beton: Path) -> None:
    with opened(beton) as dataset:
        dataset.entries(np.arange(80))
        flipped(beton, int(dataset.private["index"]["offset"]))
        with pytest.raises(BadDataset, match="of its index"):
            dataset.entries([0])


def rewritten(path: Path, change: Any) -> None:
    """Writes other meta data of the same or a smaller length, with their CRC."""
    data = bytearray(path.read_bytes())
    with opened(path) as dataset:
        private = dataset.private.copy()
    start, size = int(private["meta"]["offset"]), int(private["meta"]["size"])
    meta = json.loads(bytes(data[start : start + size]))
    change(meta)
    text = layout.pack_meta(meta)
    assert len(text) <= size
    data[start : start + len(text)] = text
    private["meta"]["size"], private["meta"]["crc"] = len(text), zlib.crc32(text)
    field = layout.HEADER.itemsize + layout.FIELD.fields["arguments"][1]
    data[field : field + 1024] = layout.pack_private(private)
    path.write_bytes(data)


def test_a_file_without_checks_of_blocks_is_checked_whole(beton: Path, tmp_path: Path) -> None:
    rewritten(beton, lambda meta: meta.pop(sections.META))
    with opened(beton) as dataset:
        place = int(dataset.private["names"]["offset"])
        assert dataset.name(79) == "image 79"
    damaged = tmp_path / "damaged.beton"
    shutil.copy(beton, damaged)
    flipped(damaged, place)
    with pytest.raises(BadDataset, match="the CRC of its names"):
        open_dataset(damaged)


@pytest.mark.parametrize(
    "change",
    [
        lambda blocks: blocks.update(size=0),
        lambda blocks: blocks.update(size="1"),
        lambda blocks: blocks.update(size=2 * BLOCK),
        lambda blocks: blocks.update(index=""),
        lambda blocks: blocks.update(index="&&&&"),
        lambda blocks: blocks.update(index=7),
        lambda blocks: blocks.pop("rows"),
    ],
)
def test_wrong_checks_of_blocks_are_told(beton: Path, change: Any) -> None:
    rewritten(beton, lambda meta: change(meta[sections.META]))
    with pytest.raises(BadDataset, match=r"people\.beton: damaged, "):
        open_dataset(beton)
