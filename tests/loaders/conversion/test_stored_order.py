"""Samples are stored shuffled and numbered as their source, by all commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from loaders import Loader
from loaders.beton.stored_order import permutation
from loaders.conversion import assemble, convert, extract, verify
from loaders.conversion.inspect import facts
from loaders.conversion.jobs import StoredSource
from loaders.sources import open_dataset
from loaders.sources.source import FileRange, Sample
from tests.loaders.conversion.test_jobs import Sized


def places(path: Path) -> np.ndarray:
    """Sample indices in the order of their full-size records in the file."""
    with open_dataset(path) as dataset:
        return np.argsort(dataset.entries(np.arange(len(dataset)))["offset"][:, 0])


def walked(path: Path) -> list[int]:
    """Sample indices in the order in which the data set says that they lie."""
    with open_dataset(path) as dataset:
        return dataset.stored_at(np.arange(len(dataset))).tolist()


def test_a_pyramid_is_stored_shuffled_and_numbered_as_its_source(many: Path, tmp_path: Path) -> None:
    shuffled, source = tmp_path / "shuffled.beton", tmp_path / "source.beton"
    convert(many, shuffled, workers=2)
    convert(many, source, workers=2, order="source")
    with open_dataset(shuffled) as one, open_dataset(source) as other:
        assert [one.name(k) for k in range(312)] == [other.name(k) for k in range(312)]
        assert one.labels(range(312)).tolist() == other.labels(range(312)).tolist()
        assert all(one.read(k, level) == other.read(k, level) for k in range(0, 312, 5) for level in range(3))
        for level in (1, 2):  # the reduced levels lie in the same order
            offsets = one.entries(np.arange(312))["offset"][:, level]
            assert (np.diff(offsets[places(shuffled)]) >= 0).all()  # equal, if an image has no such level
        assert "storage  shuffled" in facts(one) and "storage  in the order of the indices" in facts(other)
    assert places(source).tolist() == walked(source) == list(range(312))
    assert places(shuffled).tolist() == walked(shuffled) == permutation(312)(np.arange(312)).tolist()


def test_samples_left_out_leave_no_hole_in_the_order(dirty: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.beton"
    summary = convert(dirty, out, workers=1, on_error="skip")
    assert len(summary.refused) == 2 and summary.refused == sorted(summary.refused)
    assert places(out).tolist() == walked(out) != list(range(22))
    assert verify(out) == []


def test_an_index_that_is_sorted_in_several_passes_is_the_same(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(many, tmp_path / "one.beton", workers=2)
    monkeypatch.setattr(assemble, "LEAST_SORTED", 100)
    monkeypatch.setattr(assemble, "BLOCK", 33)
    convert(many, tmp_path / "four.beton", workers=2)
    assert (tmp_path / "four.beton").read_bytes() == (tmp_path / "one.beton").read_bytes()


def test_fields_follow_their_samples(jpeg_folder: Path, tmp_path: Path) -> None:
    files = sorted((jpeg_folder / "train").rglob("*.jpg"))
    samples = [
        {"image": str(path), "label": k % 3, "number": k, "text": f"{k}" * k, "grid": np.full(5, k, np.float32)}
        for k, path in enumerate(files)
    ]
    convert(samples, tmp_path / "x.beton", workers=1)
    assert walked(tmp_path / "x.beton") != list(range(24)) and verify(tmp_path / "x.beton") == []
    with open_dataset(tmp_path / "x.beton") as dataset:
        assert list(dataset.read_field("number", range(24))) == list(range(24))
        assert list(dataset.read_field("text", range(24))) == [f"{k}" * k for k in range(24)]
        assert np.asarray(dataset.read_field("grid", range(24)))[:, 0].tolist() == list(range(24))


def test_a_beton_can_be_converted_in_any_order(pyramid: Path, tmp_path: Path) -> None:
    convert(pyramid, tmp_path / "x.beton", workers=1)
    with open_dataset(pyramid) as one, open_dataset(tmp_path / "x.beton") as other:
        assert other.labels(range(24)).tolist() == one.labels(range(24)).tolist()
        assert [other.name(k) for k in range(24)] == [one.name(k) for k in range(24)]
    assert places(tmp_path / "x.beton").tolist() == places(pyramid).tolist()


def test_damage_is_named_by_index(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.beton"
    convert(many, out, workers=2)
    with open_dataset(out) as dataset:
        hurt = [int(dataset.entries([k])[0, 0]["offset"]) + 300 for k in (200, 3)]
        names = [dataset.name(k) for k in (3, 200)]
    data = bytearray(out.read_bytes())
    for place in hurt:
        data[place] ^= 1
    out.write_bytes(data)
    assert [(damage.sample, damage.name, damage.level) for damage in verify(out)] == [
        (3, names[0], 0),
        (200, names[1], 0),
    ]


def test_an_extracted_level_stays_shuffled(pyramid: Path, tmp_path: Path) -> None:
    extract(pyramid, tmp_path / "level.beton", 1)
    assert places(tmp_path / "level.beton").tolist() == places(pyramid).tolist() != list(range(24))


@pytest.mark.parametrize("count", [1, 2])
def test_quasi_random_order_reads_neighbours_together(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Of one file, and of the same file twice as two parts."""
    monkeypatch.setattr("loaders.arguments.window_of", lambda *_: 64)
    out = tmp_path / "x.beton"
    convert(many, out, workers=2)
    position = np.argsort(places(out))
    position = np.concatenate([position, 312 + position])
    with Loader([out] * count, 64, resolution=32, shuffle="quasi", fields=("index",), drop_last=False) as loader:
        batches = [position[batch[0].numpy()] for batch in loader]
    assert sorted(np.concatenate(batches).tolist()) == list(range(312 * count))
    # Each window is one block of 64 neighbours; the short last block shifts the windows that come after it.
    assert all(len(np.unique(batch // 64)) <= 3 for batch in batches)


def test_a_source_that_is_read_from_its_start_keeps_its_order() -> None:
    stream = Sized([1, 2, 3])
    assert StoredSource(stream, None).order == "source"
    assert [sample.name for sample in StoredSource(stream, None).samples(1)] == ["1", "2"]
    with pytest.raises(ValueError, match=r'sized: .* one after the other, so `order` must be "source", got "shuffled"'):
        StoredSource(stream, "shuffled")
    with pytest.raises(ValueError, match='`order` must be "shuffled" or "source", got \'random\''):
        StoredSource(stream, "random")


class Indexed(Sized):
    def __getitem__(self, index: int) -> Sample:
        return Sample(str(index), FileRange(str(index), self.sizes[index]), {})

    def samples(self, start: int = 0) -> Iterator[Sample]:  # noqa: ARG002
        raise AssertionError("read from its start")


def test_the_shuffled_order_can_be_taken_up_anywhere() -> None:
    source = StoredSource(Indexed([1] * 5000), None)
    names = [int(sample.name) for sample in source.samples()]
    assert source.order == "shuffled" and sorted(names) == list(range(5000)) != names
    assert [int(sample.name) for sample in source.samples(4321)] == names[4321:]
    assert source.numbers(np.array([7, 4999])).tolist() == [names[7], names[4999]]
