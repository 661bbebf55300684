from __future__ import annotations

import numpy as np
import pytest

from loaders.beton import layout
from loaders.errors import BadDataset


@pytest.mark.parametrize(
    ("types", "offsets", "size"),
    [
        ([2, 1], [0, 16], 24),
        ([2], [0], 13),
        ([2, 3], [0, 13], 29),
        ([2, 1, 3, 4, 0], [0, 16, 24, 40, 48], 56),
    ],
)
def test_metadata_rows_lie_as_ffcv_lays_them(types: list[int], offsets: list[int], size: int) -> None:
    row = layout.metadata_dtype(types)
    assert [row.fields[name][1] for name in row.names] == offsets
    assert row.itemsize == size


def test_custom_fields_are_refused() -> None:
    with pytest.raises(BadDataset, match="got 255"):
        layout.metadata_dtype([2, 255])


def test_structs_have_the_sizes_of_the_format() -> None:
    assert (layout.HEADER.itemsize, layout.FIELD.itemsize, layout.IMAGE.itemsize) == (24, 1041, 13)
    assert layout.ALLOCATION.itemsize == 24
    assert layout.PRIVATE.itemsize <= layout.FIELD["arguments"].itemsize


@pytest.mark.parametrize(
    ("total", "largest", "page"),
    [(0, 100, 2 << 20), (1 << 30, 100, 8 << 20), (100, (2 << 20) + 1, 4 << 20), (1 << 30, 33 << 20, 64 << 20)],
)
def test_page_size(total: int, largest: int, page: int) -> None:
    assert layout.page_size_for(total, largest) == page


def test_no_page_is_large_enough() -> None:
    with pytest.raises(ValueError, match="fit a page"):
        layout.page_size_for(0, (2 << 30) + 1)


def test_private_header_survives_the_way_and_no_flipped_bit() -> None:
    private = np.zeros((), layout.PRIVATE)
    private["samples"] = 7
    packed = layout.pack_private(private)
    assert len(packed) == 1024
    read = layout.unpack_private(packed, "x")
    assert read is not None and read["samples"] == 7
    for at in range(layout.PRIVATE.itemsize):
        broken = bytearray(packed)
        broken[at] ^= 4
        with pytest.raises(BadDataset, match="private section"):
            layout.unpack_private(bytes(broken), "x")


def test_empty_arguments_are_no_pyramid() -> None:
    assert layout.unpack_private(bytes(1024), "x") is None


def test_a_later_version_is_named() -> None:
    private = np.zeros((), layout.PRIVATE)
    layout.pack_private(private)
    private["version"], private["crc"] = 9, 0
    import zlib

    private["crc"] = zlib.crc32(private.tobytes())
    with pytest.raises(BadDataset, match="versions 2 and 3 can be read, got 9"):
        layout.unpack_private(private.tobytes(), "x")
