from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loaders.beton import layout
from loaders.errors import BadDataset
from loaders.plan.records import table_bytes
from loaders.sources import open_dataset
from loaders.sources.open import read_head
from loaders.sources.pyramid import Pyramid


def opened(path: Path) -> Pyramid:
    dataset = open_dataset(path)
    assert isinstance(dataset, Pyramid)
    return dataset


def private_of(path: Path) -> np.ndarray:
    with open(path, "rb") as file:
        private = layout.unpack_private(read_head(file.fileno(), "x").arguments[0], "x")
    assert private is not None
    return private


def test_every_level_is_where_its_entry_says(pyramid: Path, jpeg_folder: Path) -> None:
    with opened(pyramid) as dataset:
        assert (len(dataset), dataset.ratios) == (24, (1.0, 0.5, 0.25))
        assert dataset.classes == ["class000", "class001", "class002"]
        data = pyramid.read_bytes()
        indices = np.array([23, 0, 7, 7])
        entries = dataset.entries(indices)
        assert entries.shape == (4, 3) and not entries["path"].any()
        for index, levels in zip(indices, entries, strict=True):
            with Image.open(jpeg_folder / "train" / dataset.name(int(index))) as source:
                size = source.size
                pixels = np.asarray(source)
            for level, entry in enumerate(levels):
                at, rows = int(entry["offset"]), int(entry["rows"])
                jpeg = data[at : at + int(entry["size"])]
                assert dataset.read(int(index), level) == jpeg
                with Image.open(io.BytesIO(jpeg)) as image:
                    assert image.size == (entry["width"], entry["height"])
                    assert abs(image.width - size[0] * dataset.ratios[level]) <= 8  # MCU rows are made to divide well
                    if level == 0:
                        np.testing.assert_array_equal(np.asarray(image), pixels)
                table = np.frombuffer(data[at - 4 * rows : at], "<u4")
                assert table[0] == entry["head"]
        assert dataset.labels(indices).tolist() == [2, 0, 0, 0]


@pytest.mark.parametrize("together", [True, False])
def test_batches_do_not_get_mixed_up(pyramid: Path, together: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not together:  # as in an index so large that a batch's rows lie far apart
        monkeypatch.setattr("loaders.beton.tables.A_READ", 0)
    with opened(pyramid) as dataset:
        every = dataset.entries(np.arange(24))
        for indices in ([3], [3, 4, 5], [5, 4, 3], [0, 23], [], [3]):
            np.testing.assert_array_equal(dataset.entries(indices), every[indices])
            assert dataset.labels(indices).tolist() == [k // 8 for k in indices]


def test_levels_lie_in_one_piece_each(pyramid: Path) -> None:
    with opened(pyramid) as dataset:
        entries = dataset.entries(dataset.stored_at(np.arange(len(dataset))))
        ends = entries["offset"] + entries["size"]
        first = entries["offset"] - table_bytes(entries["rows"].astype(int))
        assert ends[:, 0].max() <= first[:, 1].min() and ends[:, 1].max() <= first[:, 2].min()
        np.testing.assert_array_equal(first[1:], ends[:-1])  # no gaps; one page here


@pytest.mark.parametrize("wrong", [-1, 24, 1 << 40])
def test_indices_outside_are_told(pyramid: Path, wrong: int) -> None:
    with opened(pyramid) as dataset:
        for ask in (dataset.entries, dataset.labels):
            with pytest.raises(IndexError, match=f"from 0 to 23, got {wrong}"):
                ask([0, wrong])


def test_a_pyramid_cut_short_is_told(pyramid: Path, tmp_path: Path) -> None:
    data = pyramid.read_bytes()
    cut = tmp_path / "cut.beton"
    for keep in (0, 10, 2000, len(data) // 3, len(data) - 24 * 24, len(data) - 24, len(data) - 1):
        cut.write_bytes(data[:keep])
        with pytest.raises(BadDataset, match=r"cut short|not a beton file"):
            open_dataset(cut)
    cut.write_bytes(data + b"\0" * 24)
    with pytest.raises(BadDataset, match="grown"):
        open_dataset(cut)


@pytest.mark.parametrize("part", ["index", "names", "meta"])
def test_a_damaged_private_section_is_told(pyramid: Path, tmp_path: Path, part: str) -> None:
    section = private_of(pyramid)[part]
    damaged = tmp_path / "damaged.beton"
    for at in (0, int(section["size"]) // 2, int(section["size"]) - 1):
        data = bytearray(pyramid.read_bytes())
        data[int(section["offset"]) + at] ^= 16
        damaged.write_bytes(data)
        with pytest.raises(BadDataset, match=f"damaged, the CRC of its {part}"):
            open_dataset(damaged)


def test_sound_crcs_over_nonsense_are_told(pyramid: Path, tmp_path: Path) -> None:
    data, private = bytearray(pyramid.read_bytes()), private_of(pyramid)
    field = layout.HEADER.itemsize + layout.FIELD.fields["arguments"][1]
    for part, value in (("samples", 23), ("levels", 2), ("levels", 200), ("row_size", 99)):
        wrong = private.copy()
        wrong[part] = value
        data[field : field + 1024] = layout.pack_private(wrong)
        (tmp_path / "wrong.beton").write_bytes(data)
        with pytest.raises(BadDataset, match="damaged"):
            open_dataset(tmp_path / "wrong.beton")
    for part in ("index", "names", "meta"):
        wrong = private.copy()
        wrong[part]["offset"] = 1 << 60
        data[field : field + 1024] = layout.pack_private(wrong)
        (tmp_path / "wrong.beton").write_bytes(data)
        with pytest.raises(BadDataset, match="reaches into the allocation table"):
            open_dataset(tmp_path / "wrong.beton")


def test_an_index_that_points_outside_is_told(pyramid: Path, tmp_path: Path) -> None:
    data, private = bytearray(pyramid.read_bytes()), private_of(pyramid)
    start, size = int(private["index"]["offset"]), int(private["index"]["size"])
    rows = np.frombuffer(bytes(data[start : start + size]), layout.index_dtype(3)).copy()
    rows["level"]["ptr"][5, 1] += 10**9
    data[start : start + size] = rows.tobytes()
    import zlib

    private["index"]["crc"] = zlib.crc32(rows.tobytes())
    field = layout.HEADER.itemsize + layout.FIELD.fields["arguments"][1]
    data[field : field + 1024] = layout.pack_private(private)
    (tmp_path / "wrong.beton").write_bytes(data)
    with opened(tmp_path / "wrong.beton") as dataset:
        dataset.entries([4, 6])
        with pytest.raises(BadDataset, match="record outside its level"):
            dataset.entries([4, 5])
    with open_dataset([pyramid, tmp_path / "wrong.beton"]) as parts:
        samples = len(parts) // 2
        parts.entries([5, samples + 4])
        with pytest.raises(BadDataset, match=r"wrong\.beton: damaged, its index names a record outside its level"):
            parts.entries([5, samples + 5])


def test_equal_sources_make_equal_facts(pyramid: Path) -> None:
    with opened(pyramid) as dataset:
        names = {"classes", "format", "full_quality", "overhead", "quality", "ratios", "storage", "versions"}
        assert set(dataset.meta) == names
        assert dataset.meta["quality"] == 93


def test_closed_twice_is_harmless(pyramid: Path) -> None:
    dataset = opened(pyramid)
    dataset.close()
    dataset.close()
    assert dataset.fd == -1


def test_a_pyramid_of_a_folder_has_the_field_label(pyramid: Path) -> None:
    with opened(pyramid) as dataset:
        assert list(dataset.fields) == ["label"] and np.bincount(dataset.labels(range(24))).tolist() == [8, 8, 8]
        assert np.array_equal(dataset.read_field("label", [23, 0]), [2, 0])
