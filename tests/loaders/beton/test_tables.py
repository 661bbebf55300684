from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from loaders.beton import layout
from loaders.beton.fields import LABEL_ONLY
from loaders.beton.tables import Head, Pages, read_exactly, read_head, write_head, write_rows
from loaders.errors import BadDataset


def head_of(path: Path) -> Head:
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_head(fd, str(path))
    finally:
        os.close(fd)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A beton of three samples with 10 bytes each, written by hand."""
    pages = Pages(3, layout.MIN_PAGE)
    levels = np.zeros(3, layout.LEVEL)
    levels["ptr"] = [pages.place(10) for _ in range(3)]
    levels["size"], levels["width"], levels["height"] = 10, [1, 2, 3], [4, 5, 6]

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield levels[:2], np.array([7, 8])
        yield levels[2:], np.array([9])

    with open(tmp_path / "small.beton", "w+b") as file:
        file.seek(pages.position)
        written = write_rows(file, blocks())
        write_head(file, layout.MIN_PAGE, written.samples, written.table, b"private", LABEL_ONLY)
    return tmp_path / "small.beton"


def test_written_tables_are_read(small: Path) -> None:
    head = head_of(small)
    assert (head.samples, head.page_size, head.types, head.names) == (3, 2 << 20, [2, 1], ["image", "label"])
    assert head.arguments[0][:8] == b"private\0" and not any(head.arguments[1])
    assert head.table + 3 * 24 == head.file_size == small.stat().st_size
    rows = np.frombuffer(small.read_bytes(), head.row, 3, head.rows)
    assert rows["f1"].tolist() == [7, 8, 9]
    assert rows["f0"]["width"].tolist() == [1, 2, 3]
    table = np.frombuffer(small.read_bytes(), layout.ALLOCATION, 3, head.table)
    assert table["sample"].tolist() == [0, 1, 2]
    assert table["ptr"].tolist() == rows["f0"]["ptr"].tolist()


def test_no_record_straddles_a_page() -> None:
    pages = Pages(1000, layout.MIN_PAGE)
    rng = np.random.Generator(np.random.Philox(key=[1, 1]))
    sizes = [*rng.integers(1, layout.MIN_PAGE + 1, 200).tolist(), layout.MIN_PAGE]
    end = pages.first
    for size in sizes:
        offset = pages.place(size)
        assert offset >= end
        assert offset // layout.MIN_PAGE == (offset + size - 1) // layout.MIN_PAGE
        end = offset + size
    assert pages.page_size == layout.MIN_PAGE


def test_pages_grow_and_earlier_places_stay_valid() -> None:
    pages, places = Pages(10, layout.MIN_PAGE), []
    rng = np.random.Generator(np.random.Philox(key=[1, 2]))
    for size in rng.integers(1, 3 * layout.MIN_PAGE, 100).tolist():
        places.append((pages.place(size), size))
    assert pages.page_size == 4 * layout.MIN_PAGE
    assert all(at // pages.page_size == (at + size - 1) // pages.page_size for at, size in places)
    with pytest.raises(ValueError, match=f"a page of {layout.MAX_PAGE} bytes"):
        pages.place(layout.MAX_PAGE + 1)


def test_the_first_page_is_clear_of_the_metadata() -> None:
    for samples in (1, 87_000, 88_000):
        first = Pages(samples, layout.MIN_PAGE).first
        assert first >= 24 + 2 * 1041 + 24 * samples


@pytest.mark.parametrize("keep", [0, 1, 23, 24, 1000, 2105, 2200, -73, -72, -71, -1])
def test_a_beton_cut_short_is_told(small: Path, keep: int) -> None:
    data = small.read_bytes()
    small.write_bytes(data[:keep])
    if keep == -72:  # only the table is gone, in whole rows: the pyramid's own file size tells that
        assert head_of(small).samples == 3
        return
    with pytest.raises(BadDataset, match=r"cut short|not a beton file"):
        head_of(small)


def test_other_files_are_told(tmp_path: Path, small: Path) -> None:
    (tmp_path / "text").write_text("this is a text file\n" * 500)
    with pytest.raises(BadDataset, match="not a beton file"):
        head_of(tmp_path / "text")
    unfinished = bytearray(small.read_bytes())
    unfinished[16:24] = bytes(8)
    small.write_bytes(unfinished)
    with pytest.raises(BadDataset, match="never finished"):
        head_of(small)


def test_read_exactly_tells_the_end(small: Path) -> None:
    with open(small, "rb") as file:
        assert len(read_exactly(file.fileno(), 5, 0, "x")) == 5
        with pytest.raises(BadDataset, match="cut short"):
            read_exactly(file.fileno(), 100, small.stat().st_size - 5, "x")
