"""A data set of parts is cut, grows and shrinks; samples that stay keep every byte."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders import BadDataset, BadSample, Loader, convert, native, open_dataset
from loaders.conversion import append_parts, check_parts, compact_parts, part_file, remove_samples, split_parts, verify
from loaders.conversion.manifest import write_manifest
from loaders.sources.parts import Parts
from loaders.sources.pyramid import Pyramid
from tests.loaders.storage.conftest import Bucket, bucket, s3_server  # noqa: F401  (fixtures)

Stored = list[tuple[str, int, list[bytes]]]


def stored(data: object) -> Stored:
    """Name, label and records of each sample."""
    with open_dataset(data) as dataset:
        labels = dataset.labels(range(len(dataset))).tolist()
        levels = range(len(dataset.ratios))
        return [(dataset.name(k), labels[k], [dataset.read(k, level) for level in levels]) for k in range(len(labels))]


@pytest.fixture
def manifest(beton: Path, tmp_path: Path) -> Path:
    """24 samples in three parts."""
    split_parts(beton, str(tmp_path / "train.json"), 3, workers=1)
    return tmp_path / "train.json"


def at_places(manifest: Path | str, *places: int) -> list[int]:
    """Indices of the samples at these places, part after part."""
    with open_dataset(manifest) as whole:
        assert isinstance(whole, Parts)
        found: list[int] = whole.at_places(places).tolist()
    return found


def test_a_pyramid_is_cut(manifest: Path, beton: Path) -> None:
    names = [f"train-{k:05d}-of-00003.beton" for k in range(3)]
    assert sorted(path.name for path in manifest.parent.iterdir()) == sorted([*names, "train.json"])
    assert stored(manifest) == stored(beton)
    assert all(verify(manifest.parent / name) == [] for name in names)
    with open_dataset(manifest) as whole, open_dataset(beton) as one:
        assert (whole.classes, whole.ratios) == (one.classes, one.ratios)
        apart = dict.fromkeys(("storage", "span"))  # a part's place in the order takes the place of the order
        assert {**whole.meta, **apart} == {**one.meta, **apart}


def sorted_set(folder: Path, per_class: int, **options: object) -> Path:
    """A pyramid of small images of four classes, sorted; two files cannot be converted."""
    pixels = np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8)
    for k in range(4 * per_class):
        path = folder / "photos" / f"c{k // per_class}" / f"{k:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"none" if k in (5, 50) else native.encode(pixels, 50 + k % 50))
    convert(folder / "photos", folder / "x.beton", workers=1, on_error="skip", **options)  # type: ignore[arg-type]
    return folder / "x.beton"


def test_parts_of_a_set_sorted_by_class_are_fair_samples(tmp_path: Path) -> None:
    """So that each window of quasi-random order mixes all classes; also after a second cut."""
    one = sorted_set(tmp_path, 40)
    split_parts(one, str(tmp_path / "train.json"), 4, workers=1)
    split_parts(str(tmp_path / "train.json"), str(tmp_path / "again.json"), 3, workers=1)
    order = np.arange(158)
    for name, parts in (("train", 4), ("again", 3)):
        with open_dataset(tmp_path / f"{name}.json") as whole, open_dataset(one) as single:
            assert whole.stored_at(order).tolist() == single.stored_at(order).tolist()
        assert stored(tmp_path / f"{name}.json") == stored(one)
        for k in range(parts):
            with open_dataset(tmp_path / f"{name}-{k:05d}-of-{parts:05d}.beton") as part:
                assert set(part.labels(range(len(part))).tolist()) == {0, 1, 2, 3}
        remove_samples(str(tmp_path / f"{name}.json"), names=["c0/001.jpg"])
        compact_parts(str(tmp_path / f"{name}.json"), workers=1)
        kept = [row for row in stored(one) if row[0] != "c0/001.jpg"]
        assert stored(tmp_path / f"{name}.json") == kept


def test_a_set_in_its_sources_order_is_cut_in_that_order(tmp_path: Path) -> None:
    one = sorted_set(tmp_path, 16, order="source")
    split_parts(one, str(tmp_path / "train.json"), 4, workers=1)
    assert stored(tmp_path / "train.json") == stored(one)
    with open_dataset(tmp_path / "train.json") as whole:
        assert whole.storage is None


def test_a_cut_that_was_interrupted_resumes(manifest: Path, beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stored(manifest)
    manifest.unlink()
    (manifest.parent / "train-00001-of-00003.beton").unlink()
    made = []
    monkeypatch.setattr(part_file, "convert", lambda *a, **k: (made.append(a[1]), convert(*a, **k)))
    split_parts(beton, str(manifest), 3, workers=1)
    assert made == [str(manifest.parent / "train-00001-of-00003.beton")]
    assert stored(manifest) == whole
    with pytest.raises(FileExistsError):
        split_parts(beton, str(manifest), 3)


def test_fields_are_copied(tmp_path: Path, jpeg_folder: Path) -> None:
    files = sorted((jpeg_folder / "val").rglob("*.*"))
    samples: list[dict[str, Any]] = [
        {
            "image": path.read_bytes(),
            "label": k % 2,
            "text": f"N {k}",
            "vector": np.arange(3.0) + k,
            "facts": {"k": [k]},
        }
        for k, path in enumerate(files)
    ]
    fields = {"label": "int", "text": "bytes", "vector": ("float32", 3), "facts": "json"}
    convert(samples, tmp_path / "x.beton", fields=fields, workers=1)
    split_parts(tmp_path / "x.beton", str(tmp_path / "y.json"), 2, workers=1)
    with open_dataset(tmp_path / "x.beton") as one, open_dataset(tmp_path / "y.json") as whole:
        assert stored(tmp_path / "x.beton") == stored(tmp_path / "y.json")
        assert list(whole.fields) == list(fields)
        for name in fields:
            a, b = one.read_field(name, range(6)), whole.read_field(name, range(6))
            assert np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


def test_a_damaged_record_is_not_copied(beton: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copy(beton, tmp_path / "damaged.beton"))
    with open_dataset(damaged) as dataset:
        place = int(dataset.entries([3])[0, 1]["offset"]) + 200
    with damaged.open("r+b") as file:
        file.seek(place)
        file.write(b"\0\0\0\0")
    with pytest.raises(BadSample, match=r"sample 3 .* record of level 1 .* is damaged"):
        split_parts(damaged, str(tmp_path / "x.json"), 1, workers=1)


def test_samples_are_appended(manifest: Path, jpeg_folder: Path, tmp_path: Path) -> None:
    before = stored(manifest)
    new = tmp_path / "new"
    shutil.copytree(jpeg_folder / "val" / "class001", new / "class001")  # a folder of one of the classes
    convert(jpeg_folder / "val", tmp_path / "val.beton", workers=1)
    parts = {path: path.stat().st_mtime_ns for path in tmp_path.glob("train-0*.beton")}
    assert append_parts(str(manifest), [tmp_path / "val.beton", new], workers=1) == 24 + 6 + 2
    after = stored(manifest)
    assert after[:24] == before
    assert after[24:30] == stored(tmp_path / "val.beton")
    assert [(name, label) for name, label, _ in after[30:]] == [
        (f"class001/{path.name}", 1) for path in sorted((new / "class001").iterdir())
    ]
    assert parts == {path: path.stat().st_mtime_ns for path in parts}
    assert [path.name for path in tmp_path.glob("train-added-*")] == ["train-added-00000.beton"]
    with pytest.raises(ValueError, match=r"belongs to .* already"):
        append_parts(str(manifest), [tmp_path / "val.beton"])


def test_a_pattern_of_betons_is_appended(manifest: Path, beton: Path, tmp_path: Path) -> None:
    for name in ("new-b.beton", "new-a.beton"):
        shutil.copy(beton, tmp_path / name)
    assert append_parts(str(manifest), [f"{tmp_path}/new-*.beton"]) == 72
    added = [line["path"] for line in json.loads(manifest.read_text())["parts"][3:]]
    assert added == ["new-a.beton", "new-b.beton"]
    with pytest.raises(FileNotFoundError, match=r"none-\*\.beton: no file of that pattern"):
        append_parts(str(manifest), [f"{tmp_path}/none-*.beton"])


def test_a_foreign_part_is_not_appended(manifest: Path, jpeg_folder: Path, tmp_path: Path) -> None:
    text = manifest.read_bytes()
    convert(jpeg_folder / "val", tmp_path / "val.beton", ratios=(1, 0.5), workers=1)
    with pytest.raises(BadDataset, match=r"val\.beton: does not belong to the same data set"):
        append_parts(str(manifest), [tmp_path / "val.beton"])
    assert manifest.read_bytes() == text


def test_samples_are_removed_and_their_bytes_go(manifest: Path, tmp_path: Path) -> None:
    before = stored(manifest)
    first, second, third, fourth = gone = at_places(manifest, 0, 1, 9, 15)
    name = before[third][0]
    untouched = (tmp_path / "train-00002-of-00003.beton").stat().st_mtime_ns
    assert remove_samples(str(manifest), [name], [first, fourth]) == 3
    earlier = sum(k < second for k in gone)
    assert remove_samples(str(manifest), indices=[second - earlier]) == 1  # indices have become smaller
    kept = [sample for k, sample in enumerate(before) if k not in gone]
    assert stored(manifest) == kept
    with Loader(str(manifest), batch_size=20, resolution=32, train=False, num_workers=1, fields=("name",)) as loader:
        assert next(iter(loader))[0] == [sample[0] for sample in kept]
    assert json.loads(manifest.read_text())["version"] == 2

    deleted = compact_parts(str(manifest), workers=1)
    assert sorted(Path(path).name for path in deleted) == [f"train-0000{k}-of-00003.beton" for k in range(2)]
    assert stored(manifest) == kept == stored(str(tmp_path / "train-*.beton"))
    assert json.loads(manifest.read_text())["version"] == 1
    assert (tmp_path / "train-00002-of-00003.beton").stat().st_mtime_ns == untouched
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*.beton"))
    assert all(record not in everything for k in gone for record in before[k][2] if record)
    assert all(record in everything for sample in kept for record in sample[2])
    assert compact_parts(str(manifest)) == []


def test_parts_with_removed_samples_are_verified_whole(manifest: Path, tmp_path: Path) -> None:
    """Their tables and records, too, and damage is named by the index that is left."""
    remove_samples(str(manifest), indices=at_places(manifest, 8, 10))
    assert verify(str(manifest)) == []
    (damaged,) = at_places(manifest, 9)  # place 11 before two samples went; number 3 of the second part
    with open_dataset(manifest) as whole, open_dataset(tmp_path / "train-00001-of-00003.beton") as part:
        assert isinstance(part, Pyramid)
        name, row = whole.name(damaged), part.head.rows + 3 * part.head.row.itemsize
        record = int(part.entries([3])[0, 0]["offset"])
    for at, level, why in (
        (row, -1, "FFCV's tables disagree with the index"),
        (record + 9, 0, "its CRC does not match"),
    ):
        data = bytearray((tmp_path / "train-00001-of-00003.beton").read_bytes())
        data[at] ^= 1
        (tmp_path / "train-00001-of-00003.beton").write_bytes(data)
        assert verify(str(manifest), workers=1)[-1] == (damaged, name, level, why)


def test_an_interrupted_compaction_still_deletes(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_samples(str(manifest), indices=at_places(manifest, 0))

    def refuse(path: str) -> None:
        raise OSError(f"{path}: no")

    with monkeypatch.context() as patch:
        patch.setattr("loaders.storage.files.delete", refuse)
        with pytest.raises(OSError, match="no"):
            compact_parts(str(manifest), workers=1)
    assert len(stored(manifest)) == 23
    assert [Path(path).name for path in compact_parts(str(manifest))] == ["train-00000-of-00003.beton"]
    assert not (tmp_path / "train-00000-of-00003.beton").exists()


def test_only_betons_of_the_data_set_s_folder_are_deleted(manifest: Path, beton: Path, tmp_path: Path) -> None:
    content = json.loads(manifest.read_text())
    elsewhere = tmp_path / "elsewhere" / "mine.beton"
    elsewhere.parent.mkdir()
    shutil.copy(beton, elsewhere)
    (tmp_path / "set").mkdir()
    for part in content["parts"]:
        part["path"] = f"../{part['path']}"
    manifest = tmp_path / "set" / "train.json"
    for path in (str(elsewhere), "../elsewhere/mine.beton"):
        manifest.write_text(json.dumps({**content, "version": 2, "obsolete": [path]}))
        with pytest.warns(UserWarning, match=r"mine\.beton: was replaced, but is outside the folder of .* not deleted"):
            assert compact_parts(str(manifest)) == []
        assert elsewhere.exists() and "obsolete" not in json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "version": 2, "obsolete": ["notes.txt"]}))
    with pytest.raises(BadDataset, match="not a manifest of betons"):
        compact_parts(str(manifest))


def test_a_whole_part_may_go(manifest: Path, tmp_path: Path) -> None:
    before = stored(manifest)
    gone = at_places(manifest, *range(8))
    remove_samples(str(manifest), indices=gone)
    compact_parts(str(manifest), workers=1)
    assert stored(manifest) == [sample for k, sample in enumerate(before) if k not in gone]
    assert not list(tmp_path.glob("train-00000-of-00003*"))
    assert not (tmp_path / "train-00000-of-00003.beton").exists()


def test_what_cannot_be_removed(manifest: Path, beton: Path) -> None:
    text = manifest.read_bytes()
    with pytest.raises(ValueError, match="no sample is called 'nobody'"):
        remove_samples(str(manifest), ["nobody"])
    with pytest.raises(IndexError, match="go from 0 to 23"):
        remove_samples(str(manifest), indices=[24])
    with pytest.raises(ValueError, match="must keep a sample"):
        remove_samples(str(manifest), indices=range(24))
    with pytest.raises(ValueError, match="needs a manifest"):
        remove_samples(str(beton), indices=[0])
    assert manifest.read_bytes() == text
    content = json.loads(text)
    content["parts"][0]["removed"] = [8]
    manifest.write_text(json.dumps(content))
    with pytest.raises(BadDataset, match="not a manifest of betons"):
        open_dataset(manifest)


def test_every_wrong_part_is_named(manifest: Path, tmp_path: Path) -> None:
    assert [(part.samples, part.fault, part.damaged) for part in check_parts(str(manifest), records=True)] == [
        (8, "", 0)
    ] * 3
    parts = [tmp_path / f"train-{k:05d}-of-00003.beton" for k in range(3)]
    shutil.copy(parts[2], parts[1])
    parts[2].write_bytes(parts[2].read_bytes()[:-100])
    parts[0].unlink()
    faults = [part.fault for part in check_parts(str(manifest))]
    assert [fault[:12] for fault in faults] == ["no such file", "another file", "cut short or"]
    assert [part.fault[:9] for part in check_parts(str(tmp_path / "train-*.beton"))] == ["", "cut short"]


def test_a_remote_data_set_is_edited(
    beton: Path,
    jpeg_folder: Path,
    tmp_path: Path,
    bucket: Bucket,  # noqa: F811
) -> None:
    pytest.importorskip("obstore")
    url = bucket.put(beton, "all.beton")
    manifest, options = f"{bucket.url}/set/train.json", {"workers": 1, "work_dir": str(tmp_path)}
    split_parts(url, manifest, 2, **options)  # type: ignore[arg-type]
    assert append_parts(manifest, [jpeg_folder / "val"], **options) == 30  # type: ignore[arg-type]
    before = stored(beton)
    (gone,) = at_places(manifest, 2)
    remove_samples(manifest, indices=[gone])
    assert stored(manifest)[:23] == before[:gone] + before[gone + 1 :]
    assert verify(manifest) == []
    compact_parts(manifest, **options)  # type: ignore[arg-type]
    assert stored(manifest)[:23] == before[:gone] + before[gone + 1 :]
    assert [part.fault for part in check_parts(manifest)] == ["", "", ""]
    assert sorted(key for key in bucket.keys() if key.startswith("set/")) == [  # noqa: SIM118
        "set/train-00000-of-00002.r1.beton",
        "set/train-00001-of-00002.beton",
        "set/train-added-00000.beton",
        "set/train.json",
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_compacted_part_takes_no_name_that_is_in_use(manifest: Path, tmp_path: Path) -> None:
    first, _, taken = (tmp_path / f"train-{k:05d}-of-00003.beton" for k in range(3))
    taken.rename(tmp_path / "train-00000-of-00003.r1.beton")
    content = json.loads(manifest.read_text())
    content["parts"][2]["path"] = "train-00000-of-00003.r1.beton"
    manifest.write_text(json.dumps(content))
    before = stored(manifest)
    (gone,) = at_places(manifest, 0)
    remove_samples(str(manifest), indices=[gone])
    assert compact_parts(str(manifest), workers=1) == [str(first)]
    assert stored(manifest) == before[:gone] + before[gone + 1 :]
    assert (tmp_path / "train-00000-of-00003.r2.beton").exists()


def test_a_file_that_another_part_needs_is_not_deleted(beton: Path, tmp_path: Path) -> None:
    shutil.copy(beton, tmp_path / "a.beton")
    write_manifest([tmp_path / "a.beton", tmp_path / "a.beton"], tmp_path / "two.json")
    remove_samples(str(tmp_path / "two.json"), indices=[0])
    assert compact_parts(str(tmp_path / "two.json"), workers=1) == []
    assert len(stored(tmp_path / "two.json")) == 47


def test_another_edit_follows_one_that_was_killed(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jpeg_folder: Path
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    remove_samples(str(manifest), indices=at_places(manifest, 0))
    for edit in (
        lambda: compact_parts(str(manifest), workers=1),
        lambda: append_parts(str(manifest), [jpeg_folder / "val"], workers=1),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules["loaders.conversion.convert"], "finish", killed)
            with pytest.raises(KeyboardInterrupt):
                edit()
    before = stored(manifest)
    remove_samples(str(manifest), indices=[3])
    assert len(compact_parts(str(manifest), workers=1)) >= 1
    assert stored(manifest) == before[:3] + before[4:]
    append_parts(str(manifest), [jpeg_folder / "train"], workers=1)
    assert len(stored(manifest)) == 22 + 24
    assert not list(tmp_path.glob("*.partial"))


def test_what_is_left_of_a_shuffled_set_is_walked_in_its_order(manifest: Path, beton: Path) -> None:
    write_manifest([beton], beton.with_name("one.json"))
    for whole in (manifest, beton.with_name("one.json")):
        with open_dataset(whole) as dataset:
            assert dataset.storage is not None
            bytes_before, order = dataset.image_bytes, dataset.storage.indices(np.arange(24))
            names = [dataset.name(int(k)) for k in order]
        gone = at_places(whole, 3, 11)
        left_out = {stored(whole)[k][0] for k in gone}
        remove_samples(str(whole), indices=gone)
        with open_dataset(whole) as dataset:
            assert dataset.storage is not None
            order = dataset.storage.indices(np.arange(22))
            assert [dataset.name(int(k)) for k in order] == [name for name in names if name not in left_out]
            np.testing.assert_array_equal(dataset.storage.positions(order), np.arange(22))
            assert 0.8 * bytes_before < dataset.image_bytes < bytes_before
