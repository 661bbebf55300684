"""One data set in every form: all of them make the same pyramid."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from loaders import convert, open_dataset
from loaders.conversion import verify
from tests.loaders.sources.forms import (
    FIELDS,
    LABEL_ONLY,
    MAKERS,
    TITLES,
    Maker,
    Truth,
    documented,
    folder,
    objects,
    parquet,
    pixels_of,
    row,
    webdataset,
    webdataset_gz,
)

Record = tuple[str, int, list[float]]


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    return Truth(tmp_path_factory.mktemp("truth"))


@pytest.fixture(scope="module")
def wanted(truth: Truth) -> list[Record]:
    digests = [pixels_of(path.read_bytes()) for path in truth.files]
    return list(zip(digests, truth.labels, truth.vectors, strict=True))


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_every_source_gives_the_same_records(
    maker: Maker,
    truth: Truth,
    wanted: list[Record],
    tmp_path: Path,
) -> None:
    src, options = maker(truth, tmp_path)
    if maker not in LABEL_ONLY:
        options = {"fields": FIELDS, **options}
    digests = set()
    for workers in (1, 3):
        out = tmp_path / f"{workers}.beton"
        summary = convert(src, out, workers=workers, **options)
        assert summary.images == 12 and summary.refused == [] and summary.changed == []
        digests.add(hashlib.sha256(out.read_bytes()).hexdigest())
    assert len(digests) == 1
    assert verify(out) == []
    with open_dataset(out) as dataset:
        assert dataset.classes == truth.classes
        vectors = None if maker in LABEL_ONLY else np.asarray(dataset.read_field("vector", range(12))).tolist()
        for k, (pixels, label, vector) in enumerate(wanted):
            assert (pixels_of(dataset.read(k)), int(dataset.labels([k])[0])) == (pixels, label)
            assert vectors is None or vectors[k] == vector


@pytest.mark.parametrize("maker", [webdataset, parquet, objects], ids=lambda maker: maker.__name__)
def test_fields_are_found_without_being_named(maker: Maker, truth: Truth, tmp_path: Path) -> None:
    src, options = maker(truth, tmp_path)
    convert(src, tmp_path / "x.beton", workers=1, **options)
    with open_dataset(tmp_path / "x.beton") as dataset:
        found = {name: str(kind) for name, kind in dataset.fields.items()}
        assert (
            found
            == {
                "webdataset": {"label": "int", "json": "json", "txt": "bytes"},
                "parquet": {"label": "int", "vector": "float32 [2]", "text": "bytes"},
                "objects": {"label": "int", "vector": "float64 [2]", "text": "json"},
            }[maker.__name__]
        )
        text = dataset.read_field(list(found)[2], [11, 0])
        assert text == ([truth.texts[k] if maker is objects else truth.texts[k].encode() for k in (11, 0)])


def test_a_limit_is_spread_over_a_source(truth: Truth, tmp_path: Path) -> None:
    for maker in (folder, webdataset_gz):
        (tmp_path / maker.__name__).mkdir()
        src, options = maker(truth, tmp_path / maker.__name__)
        convert(src, tmp_path / "x.beton", limit=3, workers=1, **options)
        with open_dataset(tmp_path / "x.beton") as dataset:
            assert dataset.labels(range(3)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_the_table_of_the_documentation(maker: Maker, truth: Truth, tmp_path: Path) -> None:
    assert row(maker, truth, tmp_path) == documented()[TITLES[maker]]


def test_all_rows_of_the_table_are_equal() -> None:
    rows = documented()
    assert list(rows) == [TITLES[maker] for maker in MAKERS]
    assert len({digest for digest, _ in rows.values()}) == 1
    assert len({vectors for _, vectors in rows.values() if vectors != "-"}) == 1
