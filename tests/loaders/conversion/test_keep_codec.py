"""`convert(keep_codec=True)`: files that level 0 cannot hold without loss are kept, and read in its place."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from efficienttrain.__main__ import main
from loaders import Loader, convert
from loaders.conversion import verify
from loaders.conversion.edit_parts import append_parts, split_parts
from loaders.conversion.inspect import facts, stations
from loaders.conversion.shards import ShardedConversion
from loaders.errors import BadDataset, BadSample
from loaders.plan.records import OTHER
from loaders.sources import open_dataset
from tests.images import picture
from tests.loaders.conftest import saved
from tests.loaders.storage.server import serving

SIDE = 96
VIEW: dict[str, Any] = {"batch_size": 8, "resolution": SIDE, "dtype": "uint8", "num_workers": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of many codecs in two classes, and a JPEG."""
    root = tmp_path_factory.mktemp("codecs")
    images = [Image.fromarray(picture(150 + 8 * k, 130, k)) for k in range(6)]
    files = {
        "a/rgb.png": saved(images[0], "PNG"),
        "a/lossless.webp": saved(images[1], "WEBP", lossless=True),
        "a/lossy.WebP": saved(images[2], "WEBP", quality=80),
        "b/rgba.PNG": saved(images[3].convert("RGBA"), "PNG"),
        "b/cmyk.jpg": saved(images[4].convert("CMYK"), "JPEG"),
        "b/plain.jpg": saved(images[5], "JPEG", quality=90),
    }
    for name, data in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(data)
    return root


@pytest.fixture(scope="module")
def kept(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("kept") / "kept.beton"
    summary = convert(folder, out, keep_codec=True, workers=2)
    assert (summary.originals, summary.changed, summary.refused) == (5, [], [])
    return out


def batches(data: Any, **options: Any) -> list[np.ndarray]:
    return [images.numpy() for images, _ in Loader(data, **{**VIEW, **options})]


@pytest.mark.parametrize("train", [False, True])
def test_full_size_crops_have_the_pixels_of_the_folder(folder: Path, kept: Path, train: bool) -> None:
    options = {"train": train, "seed": 3, "shuffle": False, "drop_last": False, "max_level": 0, "transforms": []}
    ours, wanted = batches(kept, **options), batches(folder, **options)
    sound = [k for k in range(6) if k != 4]  # 4 is the JPEG, which the folder's reader may decode at a DCT scale
    np.testing.assert_array_equal(ours[0][sound], wanted[0][sound])


def test_evaluation_at_full_size_is_pillows_own_decoding(tmp_path: Path) -> None:
    pixels = picture(SIDE, SIDE, 5)
    convert([(Image.fromarray(pixels), 0)] * 2, tmp_path / "lossy.beton")
    convert([(Image.fromarray(pixels), 0)] * 2, tmp_path / "kept.beton", keep_codec=True)
    evaluated = {"train": False, "crop_pct": 1.0, "interpolation": "bicubic"}
    assert np.array_equal(batches(tmp_path / "kept.beton", **evaluated)[0][0].transpose(1, 2, 0), pixels)
    assert not np.array_equal(batches(tmp_path / "lossy.beton", **evaluated)[0][0].transpose(1, 2, 0), pixels)


def test_small_levels_are_jpegs(kept: Path, folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "lossy.beton", workers=1)
    with open_dataset(kept) as ours, open_dataset(tmp_path / "lossy.beton") as plain:
        assert [ours.read(k, level) for k in range(6) for level in range(3)] == [
            plain.read(k, level) for k in range(6) for level in range(3)
        ]
        assert (ours.decode_entries(range(6))["kind"] == OTHER).sum() == 5
        assert not (ours.entries(range(6))["kind"] == OTHER).any()


def test_the_files_come_back(folder: Path, kept: Path, tmp_path: Path) -> None:
    with open_dataset(kept) as dataset:
        for k in range(6):
            data = (folder / dataset.name(k)).read_bytes()
            if dataset.name(k) != "b/plain.jpg":
                assert dataset.read_original(k) == data
                assert dataset.read_field("original", [k]) == [data]
        plain = [k for k in range(6) if dataset.name(k) == "b/plain.jpg"]
        assert dataset.read_field("original", plain) == [b""]
    (batch,) = Loader(kept, fields=("name", "original"), **VIEW, train=False)
    assert dict(zip(*batch, strict=True))["a/rgb.png"] == (folder / "a/rgb.png").read_bytes()
    again = convert(kept, tmp_path / "again.beton", keep_codec=True)
    assert again.originals == 5 and verify(tmp_path / "again.beton") == []


@pytest.mark.parametrize("backend", ["dali", "ffcv"])
def test_other_backends_read_them_too(kept: Path, backend: str) -> None:
    pytest.importorskip("nvidia.dali" if backend == "dali" else "ffcv")
    options = {"train": True, "shuffle": False, "drop_last": False, "max_level": 0, "transforms": []}
    kinds = [k for k in range(6) if k != 4]
    ours, theirs = batches(kept, **options), batches(kept, backend=backend, **options)
    np.testing.assert_array_equal(theirs[0][kinds], ours[0][kinds])


def test_damage_is_named(kept: Path, folder: Path, tmp_path: Path) -> None:
    data = bytearray(kept.read_bytes())
    png = (folder / "a/rgb.png").read_bytes()
    data[data.index(png) + len(png) // 2] ^= 4
    bad = tmp_path / "bad.beton"
    bad.write_bytes(data)
    damages = verify(bad)
    assert {(damage.name, damage.level) for damage in damages} == {("a/rgb.png", -1)}
    assert any("does not match its check" in damage.why for damage in damages)
    with pytest.raises(BadSample, match=r"a/rgb\.png.*original file kept for it does not match"):
        batches(bad, train=False, max_level=0)
    loader = Loader(bad, on_error="replace", train=False, max_level=0, **VIEW)
    assert len(list(loader)) == 1 and [found.name for found in loader.stats()["bad"]] == ["a/rgb.png"]
    with open_dataset(bad) as dataset, pytest.raises(BadDataset, match="does not match its check"):
        [dataset.read_original(k) for k in range(6)]


def test_parts_and_their_edits_keep_them(folder: Path, kept: Path, tmp_path: Path) -> None:
    conversion = ShardedConversion(folder, tmp_path / "p.beton", 2, keep_codec=True)
    assert sum(conversion.part(k).convert().originals for k in range(2)) == 5
    whole = conversion.finish()
    assert whole is not None and whole.originals == 5
    options = {"train": False, "max_level": 0}
    np.testing.assert_array_equal(batches(conversion.manifest, **options)[0], batches(kept, **options)[0])
    manifest = tmp_path / "q.json"
    split_parts(str(kept), str(manifest), parts=2)
    np.testing.assert_array_equal(batches(manifest, **options)[0], batches(kept, **options)[0])
    append_parts(str(manifest), [folder])
    again = batches(manifest, **options)
    np.testing.assert_array_equal(np.concatenate(again)[6:], batches(kept, **options)[0])


def test_deep_images_are_changed_not_kept(tmp_path: Path) -> None:
    deep = Image.fromarray(picture(90, 70)[:, :, 0].astype(np.uint16) * 200)
    file = io.BytesIO()
    deep.save(file, "PNG")
    summary = convert([(file.getvalue(), 0)], tmp_path / "deep.beton", keep_codec=True, depth="minmax")
    assert summary.originals == 0 and "scaled from" in summary.changed[0][1]
    assert batches(tmp_path / "deep.beton", train=False)[0].max() > 200


def test_inspect_shows_them(kept: Path) -> None:
    with open_dataset(kept) as dataset:
        assert "5 original files" in facts(dataset)
        index = next(k for k in range(6) if dataset.name(k) == "b/rgba.PNG")
        way = stations(dataset, index, 224)
        assert way[1].title == "level 0" and way[2].facts[-1] == "not cut: no JPEG"


def test_what_cannot_be_asked(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`keep_codec` makes this field"):
        convert(folder, tmp_path / "x.beton", fields={"label": "int", "copy": "original"})
    source = [{"image": Image.fromarray(picture(40, 40)), "label": 0, "original": b"x"}]
    with pytest.raises(ValueError, match="stores a field `original`, and the source has one"):
        convert(source, tmp_path / "x.beton", keep_codec=True)


def test_a_store_has_them_too(kept: Path, tmp_path: Path) -> None:
    pytest.importorskip("obstore")
    options = {"train": False, "max_level": 0}
    with serving(kept.parent) as served:
        for cache in (None, tmp_path / "cache"):
            found = batches(f"{served.url}/{kept.name}", cache_dir=cache, **options)
            np.testing.assert_array_equal(found[0], batches(kept, **options)[0])


def test_the_command_keeps_and_says_so(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(folder), str(tmp_path / "x.beton"), "--keep-codec", "--quiet", "--workers", "1"]) == 0
    assert "5 original files are kept" in capsys.readouterr().out
