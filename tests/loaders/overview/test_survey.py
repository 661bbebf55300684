from __future__ import annotations

import base64
import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from efficienttrain.__main__ import main
from loaders import convert
from loaders.conversion import extract
from loaders.overview import page, survey
from loaders.overview.survey import jpeg_quality, spread
from tests.images import jpeg, picture
from tests.loaders.ffcv_files import without_index

FEW: dict[str, Any] = {"resolutions": (32, 64), "viewed": 6, "shown": 3, "num_workers": 1}
VOID = {"meta", "img", "br", "line", "rect", "circle"}


class Balanced(HTMLParser):
    """Fails on tags that are not closed in order; gathers text, and addresses that a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text, self.sources = "", []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link")
        self.sources += [value or "" for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_pyramid_is_measured_and_shown(beton: Path) -> None:
    found = survey(beton, **FEW)
    assert (found.samples, found.seen, found.kind) == (24, 24, "pyramid")
    assert found.counts is not None and found.counts.tolist() == [8, 8, 8]
    assert found.sides.shape == (24, 2) and found.formats == {"JPEG": 24} and found.problems == []
    assert [level.ratio for level in found.levels] == [1, 0.5, 0.25] and found.levels[2].stored == pytest.approx(7 / 24)
    assert found.views[0].bytes_read < found.views[1].bytes_read < found.bytes.max() + 200
    shown = Balanced(page(found))
    assert "class000" in shown.text and "class002" in shown.text and "24samples" in shown.text
    assert len(shown.sources) == 6 and all(source.startswith("data:image/jpeg;base64,") for source in shown.sources)
    for source, side in zip(shown.sources, [32] * 3 + [64] * 3, strict=True):
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
            assert image.size == (side, side) and np.asarray(image).std() > 3


@pytest.mark.parametrize("kind", ["folder", "parts", "source", "ffcv"])
def test_every_kind_of_data_set_can_be_shown(kind: str, jpeg_folder: Path, beton: Path, tmp_path: Path) -> None:
    data: Any = jpeg_folder / "train"
    if kind == "parts":
        data = [beton, beton]
    elif kind == "source":
        data = [(path.read_bytes(), 0) for path in sorted(data.rglob("*.jpg"))]
    elif kind == "ffcv":
        data = tmp_path / "half.beton"
        extract(beton, data, 1)
        without_index(data)
    found = survey(data, seen=5, **FEW)
    assert found.seen == 5 and found.samples == (48 if kind == "parts" else 24)
    assert "5 samples, spread evenly" in Balanced(page(found)).text


def test_what_a_conversion_refused_and_changed_is_recorded(odd_folder: Path, tmp_path: Path) -> None:
    summary = convert(odd_folder, tmp_path / "x.beton", on_error="skip", workers=1)
    found = survey(tmp_path / "x.beton", **FEW)
    assert found.remarks["refused"] == (len(summary.refused), summary.refused)
    assert found.remarks["changed"] == (len(summary.changed), summary.changed)
    shown = Balanced(page(found)).text
    assert f"Refused by the conversion: {len(summary.refused)}" in shown and all(w in shown for _, w in summary.refused)


def test_unreadable_samples_and_odd_names_are_shown(dirty: Path) -> None:
    shutil.move(dirty / "class000", dirty / '<b>&"kätze"')
    found = survey(dirty, **FEW, seed=1)
    assert found.formats["PNG RGB"] == found.formats["JPEG, progressive"] == 1
    assert any("no image" in why or "not a JPEG" in why for _, why in found.problems)
    text = page(found)
    assert '<b>&"kätze"' in Balanced(text).text and '<b>&"' not in text


def test_the_page_stays_small_with_many_classes() -> None:
    classes = [f"c{k:04d}" for k in range(3000)]
    image = jpeg(picture(32, 32), "4:2:0", quality=80)
    found = survey([(image, 0)] * 3, **FEW)
    found.classes, found.counts = classes, np.arange(3000)
    assert len(page(found)) < 150_000


@pytest.mark.parametrize("quality", [1, 10, 50, 75, 92, 100])
def test_the_quality_is_read_from_the_table(quality: int) -> None:
    found = jpeg_quality(jpeg(picture(16, 16), "4:2:0", quality=quality))
    assert found is not None and abs(found - quality) <= 1
    assert jpeg_quality(b"\xff\xd8\xff\xd9") is None


def test_samples_are_spread() -> None:
    assert spread(10, 4).tolist() == [0, 2, 5, 7] and spread(3, 9).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        survey([], seen=0)


def test_the_command_writes_one_file(beton: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(beton), "--html", str(tmp_path / "x.html")]) == 0
    assert "x.html: written" in capsys.readouterr().out
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=.http|url\(|@import", text) and "prefers-color-scheme: dark" in text
