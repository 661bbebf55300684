from __future__ import annotations

from pathlib import Path

import pytest

from loaders import convert
from loaders.conversion import contents, split_parts
from loaders.conversion.headers import LOOKED_AT
from loaders.sources.open import open_source
from tests.loaders.sources import forms


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> forms.Truth:
    return forms.Truth(tmp_path_factory.mktemp("truth") / "photos")


def told(path: object) -> dict[str, str]:
    """The lines below the first, by their names."""
    first, *lines = contents(str(path)).splitlines()
    assert first == open_source(path).path
    return {line[:9].strip(): line[9:] for line in lines}


def test_a_folder(truth: forms.Truth) -> None:
    (truth.folder / "class001" / "notes.txt").write_text("")
    lines = told(truth.folder)
    assert lines.pop("images").startswith("12 JPEG of 12 looked at, ")
    assert lines == {
        "kind": "image folder",
        "samples": "12",
        "classes": "3: class000, class001, class002",
        "fields": "label (int)",
        "pixels": "111 x 102 in the median, sides from 80 to 124",
        "note": "files that are no images by their endings were left out: 1 .txt",
        "convert": f"efficienttrain convert {truth.folder} photos.beton; a Loader also reads it as it is, more slowly",
    }


@pytest.mark.parametrize(
    ("maker", "kind", "classes", "fields"),
    [
        (forms.webdataset, "WebDataset", "not known before all labels are read; among 12 samples: 0, 1, 2", "json"),
        (forms.imagenet, "ILSVRC2012", "3: class000, ", "label (int)"),
        (forms.tfrecord, "TFRecord", "not known", "label (int)"),
    ],
)
def test_other_sources(
    truth: forms.Truth, tmp_path: Path, maker: forms.Maker, kind: str, classes: str, fields: str
) -> None:
    lines = told(maker(truth, tmp_path)[0])
    assert (lines["kind"], lines["samples"]) == (kind, "12")
    assert lines["classes"].startswith(classes) and fields in lines["fields"]
    assert lines["images"].startswith("12 JPEG of 12") and ("as it is" in lines["convert"]) == (kind == "ILSVRC2012")


def test_images_that_cannot_be_used(truth: forms.Truth, tmp_path: Path) -> None:
    names = [truth.files[0], *(f"{k}.jpg" for k in range(3 * LOOKED_AT - 1))]
    (tmp_path / "x.csv").write_text("path\n" + "".join(f"{name}\n" for name in names))
    lines = told(tmp_path / "x.csv")
    assert lines["samples"] == "192" and lines["images"].startswith(f"1 JPEG of {LOOKED_AT} looked at, ")
    assert lines["unusable"].startswith(f"63 of 64 looked at, the first: 2.jpg: no such file: {tmp_path}/2.jpg; ")
    assert lines["classes"].startswith("no label was found") and lines["fields"] == "none but the image"


def test_a_beton(truth: forms.Truth, tmp_path: Path) -> None:
    convert(truth.folder, tmp_path / "x.beton", workers=1)
    text = contents(str(tmp_path / "x.beton"))
    assert "\nkind     pyramid (FFCV reads it too)\n" in text and "\nfile     " in text
    assert "\nclasses  class000, class001, class002\nfields   label (int)\n" in text and "\nlevel " in text


def test_several_betons(truth: forms.Truth, tmp_path: Path) -> None:
    convert(truth.folder, tmp_path / "x.beton", workers=1)
    split_parts(str(tmp_path / "x.beton"), str(tmp_path / "train.json"), 2, workers=1)
    size = sum(path.stat().st_size for path in tmp_path.glob("train-*.beton"))
    text = contents(str(tmp_path / "train.json"))
    assert "\nkind     pyramid (FFCV reads it too), 2 parts\nsamples  12 of 3 classes\n" in text
    assert f"\nfiles    {size / 1e6:,.1f} MB, " in text and size > 50_000
