"""Conversion in parts: equal to one in a piece, resumable, never mixed with another conversion's parts."""

from __future__ import annotations

import io
import json
import tarfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders import BadDataset, BadSample, Loader, convert, open_dataset
from loaders.beton.fields import FieldType
from loaders.beton.stored_order import Span, parse_span, permutation
from loaders.conversion import ShardedConversion, append_parts, compact_parts, remove_samples, verify
from loaders.sources.parts import Parts
from tests.loaders.conversion.records import records


def made(conversion: ShardedConversion, *numbers: int) -> None:
    for number in numbers:
        conversion.part(number).convert(workers=1)


def parts_of(src: Any, out: Path, count: int, **settings: Any) -> Path:
    conversion = ShardedConversion(src, out, count, **settings)
    made(conversion, *reversed(range(count)))  # any order will do
    assert conversion.finish() is not None
    return Path(conversion.manifest)


def whole_and_parts(src: Any, folder: Path, count: int, **settings: Any) -> tuple[Path, Path]:
    convert(src, folder / "whole.beton", workers=1, **settings)
    return folder / "whole.beton", parts_of(src, folder / "train.beton", count, **settings)


def test_parts_hold_the_records_of_the_whole(jpeg_folder: Path, tmp_path: Path) -> None:
    whole, manifest = whole_and_parts(jpeg_folder / "train", tmp_path, 5)
    assert records(manifest) == records(whole)
    with open_dataset(manifest) as data:
        assert [len(part) for part in getattr(data, "parts")] == [4, 5, 5, 5, 5]  # noqa: B009
        assert data.classes == ["class000", "class001", "class002"]
    names = sorted(path.name for path in tmp_path.glob("train*"))
    parts = [f"train-{k:05d}-of-00005" for k in range(5)]
    assert names == sorted([f"{p}.beton" for p in parts] + [f"{p}.report.json" for p in parts] + ["train.json"])


def test_remarks_on_the_source_are_in_the_summary_of_all_parts(jpeg_folder: Path, tmp_path: Path) -> None:
    image = next((jpeg_folder / "val").rglob("*.jpg"))
    (tmp_path / "x.csv").write_text(f"path,breed\n{image},cat\n{image},dog\n")
    conversion = ShardedConversion(tmp_path / "x.csv", tmp_path / "x.beton", 2)
    for number in range(2):
        conversion.part(number).convert(workers=1)
    whole = conversion.finish()
    assert whole is not None and whole.hints == convert(tmp_path / "x.csv", tmp_path / "y.beton", workers=1).hints
    assert [hint.partition(":")[0] for hint in whole.hints] == [
        "columns that are not stored",
        "no label was found; stored fields",
    ]


def test_parts_are_fair_samples_of_a_sorted_source(jpeg_folder: Path, tmp_path: Path) -> None:
    """Each part has samples of every class; all together are read in the same orders as a conversion in one piece."""
    whole, manifest = whole_and_parts(jpeg_folder / "train", tmp_path, 3)
    with open_dataset(manifest) as data, open_dataset(whole) as one:
        assert [len(set(part.labels(range(8)).tolist())) for part in data.parts] == [3, 3, 3]  # type: ignore[attr-defined]
        assert data.storage is not None and one.storage is not None
        everywhere = np.arange(24)
        assert data.storage.indices(everywhere).tolist() == one.storage.indices(everywhere).tolist()
        assert data.storage.positions(everywhere).tolist() == one.storage.positions(everywhere).tolist()
    for shuffle in (True, "quasi", False):
        assert epoch(manifest, shuffle) == epoch(whole, shuffle)
    convert(jpeg_folder / "train", tmp_path / "s.beton", workers=1, order="source")
    runs = parts_of(jpeg_folder / "train", tmp_path / "runs.beton", 3, order="source")
    assert records(runs) == records(tmp_path / "s.beton")
    with open_dataset(runs) as data:
        assert data.storage is None and data.labels(everywhere).tolist() == sorted(data.labels(everywhere).tolist())


def epoch(data: Path, shuffle: Any) -> list[tuple[bytes, list[int]]]:
    options: dict[str, Any] = {"resolution": 32, "num_workers": 1, "dtype": "uint8", "fields": ("image", "index")}
    with Loader(data, 8, shuffle=shuffle, **options) as loader:
        return [(images.numpy().tobytes(), indices.tolist()) for images, indices in loader]


def test_some_of_the_parts_keep_the_order_of_their_source(jpeg_folder: Path, tmp_path: Path) -> None:
    whole, _ = whole_and_parts(jpeg_folder / "train", tmp_path, 4)
    parts = sorted(tmp_path.glob("train-*.beton"))
    names = [{line[0] for line in records(part)} for part in parts]
    held = [[line for line in records(whole) if line[0] in some] for some in names]
    assert records([parts[0], parts[2]]) == [line for line in records(whole) if line[0] in names[0] | names[2]]
    assert records([parts[3]]) == held[3]
    # Not in the order of their positions, and a part twice: one after the other.
    assert records([parts[1], parts[0], parts[0]]) == held[1] + held[0] + held[0]


def test_samples_are_removed_by_the_source_s_indices(dirty: Path, tmp_path: Path) -> None:
    """Samples that were refused, left out later, and compacted away leave no hole in the numbers."""
    whole, manifest = whole_and_parts(dirty, tmp_path, 3, on_error="skip")
    wanted = records(whole)
    assert records(manifest) == wanted
    gone = [1, 4, len(wanted) - 1]
    assert remove_samples(str(manifest), [], gone) == 3
    wanted = [line for k, line in enumerate(wanted) if k not in gone]
    assert records(manifest) == wanted
    assert remove_samples(str(manifest), [wanted[2][0]]) == 1
    del wanted[2]
    compact_parts(str(manifest), workers=1)
    assert records(manifest) == wanted
    append_parts(str(manifest), [whole], workers=1)
    assert records(manifest) == wanted + records(whole)


def test_verify_names_damage_by_the_source_s_index(jpeg_folder: Path, tmp_path: Path) -> None:
    manifest = parts_of(jpeg_folder / "train", tmp_path / "x.beton", 2)
    with open_dataset(manifest) as data:
        assert isinstance(data, Parts)
        (index,) = data.at_places([20]).tolist()
        part = data.parts[1]
        path, offset, name = part.path, int(part.entries([8])["offset"][0, 0]), data.name(index)
    assert index != 20
    with open(path, "r+b") as file:
        file.seek(offset + 700)
        file.write(b"damage")
    assert [(found.sample, found.name) for found in verify(manifest)] == [(index, name)]


@pytest.mark.parametrize(
    "span",
    [
        {"samples": 24, "first": 0, "last": 11, "left_out": [], "seed": 0},
        {"samples": 11, "first": 0, "last": 12, "left_out": [], "seed": 0},
        {"samples": 24, "first": 0, "last": 13, "left_out": [24], "seed": 0},
        {"samples": 24, "first": 0, "last": 12, "left_out": [], "seed": -1},
        {"samples": 24},
    ],
)
def test_a_wrong_span_is_refused(span: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="do not name a part of a shuffled order"):
        parse_span({"span": span}, 12)


def test_sources_that_are_streams(jpeg_folder: Path, tmp_path: Path) -> None:
    """Numeric labels without names: each part knows the classes up to its own largest label."""
    for shard in range(2):
        with tarfile.open(tmp_path / f"{shard}.tar", "w") as tar:
            for k, path in enumerate(sorted((jpeg_folder / "val").rglob("*.jpg"))):
                tar.add(path, f"{k:04d}.jpg")
                info = tarfile.TarInfo(f"{k:04d}.cls")
                info.size = 1
                tar.addfile(info, io.BytesIO(b"%d" % k))
    whole, manifest = whole_and_parts(str(tmp_path / "{0..1}.tar"), tmp_path, 4)
    assert records(manifest) == records(whole)
    with open_dataset(manifest) as data:
        assert data.classes == list("012345") and data.labels(range(12)).tolist() == [*range(6), *range(6)]


def test_limit_and_fields(jpeg_folder: Path, tmp_path: Path) -> None:
    rows = [f"{path},{k % 3},{k / 2}\n" for k, path in enumerate(sorted((jpeg_folder / "train").rglob("*.jpg")))]
    (tmp_path / "x.csv").write_text("path,label,age\n" + "".join(rows))
    settings: dict[str, Any] = {"fields": {"label": "int", "age": "float"}, "limit": 11, "classes": ["a", "b", "c"]}
    whole, manifest = whole_and_parts(tmp_path / "x.csv", tmp_path, 3, **settings)
    assert records(manifest) == records(whole) and len(records(whole)) == 11


def test_a_complete_part_is_not_made_again(jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conversion = ShardedConversion(jpeg_folder / "train", tmp_path / "x.beton", 2)
    first = conversion.part(0).convert(workers=1)
    assert conversion.missing() == [1] and conversion.finish() is None and not Path(conversion.manifest).exists()
    with monkeypatch.context() as patch:
        patch.setattr("loaders.conversion.shards.convert", lambda *_, **__: pytest.fail("converted again"))
        again = ShardedConversion(jpeg_folder / "train", tmp_path / "x.beton", 2)
        assert again.part(0).convert() == first
    with open(conversion.paths[0], "ab") as file:
        file.write(b"x")  # another file lies there
    assert conversion.missing() == [0, 1]
    made(conversion, 0, 1)
    assert conversion.missing() == [] and conversion.part(0).convert(workers=1, restart=True) == first


def test_a_part_resumes_from_its_journal(many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from loaders.conversion import jobs as module

    done: list[int] = []
    real = module.convert_job

    def stopping(job: module.Job) -> module.Converted:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job.start)
        return real(job)

    conversion = ShardedConversion(many, tmp_path / "x.beton", 2)
    monkeypatch.setattr(module, "convert_job", stopping)
    with pytest.raises(KeyboardInterrupt):
        made(conversion, 1)
    monkeypatch.setattr(module, "convert_job", lambda job: done.append(job.start) or real(job))
    made(conversion, 1)
    assert done == [0, 32, 64, 96, 128]
    assert verify(conversion.paths[1]) == []


@pytest.mark.parametrize("other", [{"quality": 80}, {"limit": 23}, {"depth": "scale"}, {"fields": {"label": "int"}}])
def test_parts_of_other_work_do_not_count(jpeg_folder: Path, tmp_path: Path, other: dict[str, Any]) -> None:
    made(ShardedConversion(jpeg_folder / "train", tmp_path / "x.beton", 2), 0, 1)
    conversion = ShardedConversion(jpeg_folder / "train", tmp_path / "x.beton", 2, **other)
    assert conversion.missing() == [0, 1]
    made(conversion, 0)
    assert conversion.finish() is None


def test_an_old_manifest_is_replaced(jpeg_folder: Path, tmp_path: Path) -> None:
    old = parts_of(jpeg_folder / "train", tmp_path / "x.beton", 2).read_text()
    manifest = parts_of(jpeg_folder / "train", tmp_path / "x.beton", 2, quality=80)
    assert manifest.read_text() != old and len(records(manifest)) == 24


def test_a_part_without_a_sound_image_is_left_out(jpeg_folder: Path, tmp_path: Path) -> None:
    folder, broken = tmp_path / "photos" / "a", sorted(Span(6, 2, 4).numbers().tolist())
    folder.mkdir(parents=True)
    for k, path in enumerate(sorted((jpeg_folder / "val").rglob("*.jpg"))):
        (folder / f"{k}.jpg").write_bytes(b"no image" if k in broken else path.read_bytes())
    conversion = ShardedConversion(folder.parent, tmp_path / "x.beton", 3, on_error="skip")
    made(conversion, 0, 1, 2)
    whole = conversion.finish()
    assert whole is not None and whole.images == 4
    assert sorted(name for name, _ in whole.refused) == [f"a/{k}.jpg" for k in broken]
    assert len(json.loads(Path(conversion.manifest).read_text())["parts"]) == 2
    with open_dataset(conversion.manifest) as data:
        assert [data.name(k) for k in range(4)] == [f"a/{k}.jpg" for k in range(6) if k not in broken]
    strict = ShardedConversion(folder.parent, tmp_path / "y.beton", 3)
    with pytest.raises(BadSample, match=rf"a/[{broken[0]}{broken[1]}].jpg"):
        made(strict, 1)


def test_nothing_convertible_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for k in range(2):
        (tmp_path / "a" / "b" / f"{k}.jpg").write_bytes(b"no image")
    conversion = ShardedConversion(tmp_path / "a", tmp_path / "x.beton", 2, on_error="skip")
    made(conversion, 0, 1)
    with pytest.raises(BadDataset, match="none of its 2 images can be converted"):
        conversion.finish()


@pytest.mark.parametrize(
    ("out", "count", "settings", "told"),
    [
        ("x.beton", 25, {}, "1 to 24 parts, as many as images at most, got 25"),
        ("x.beton", 0, {}, "got 0"),
        ("x", 2, {}, "must end with .beton"),
        ("x.beton", 2, {"limit": 0}, "`limit` must be at least 1, got 0"),
        ("x.beton", 2, {"quality": 0}, "`quality` must be from 1 to 100, got 0"),
        ("x.beton", 2, {"qualty": 90}, "sources have the options .*, got qualty"),
    ],
)
def test_wrong_arguments(
    jpeg_folder: Path, tmp_path: Path, out: str, count: int, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        ShardedConversion(jpeg_folder / "train", tmp_path / out, count, **settings)


def test_settings_in_another_form_are_the_same_conversion(jpeg_folder: Path, tmp_path: Path) -> None:
    made(ShardedConversion(jpeg_folder / "train", tmp_path / "x.beton", 2, ratios=[1, 0.5], fields={"label": "int"}), 0)
    usual = {"quality": 90, "order": "shuffled", "on_error": "skip", "fields": {"label": FieldType("int")}}
    again = ShardedConversion(jpeg_folder / "train", tmp_path / "x.beton", 2, ratios=(1.0, 0.5), **usual)
    assert again.missing() == [1]


def test_usual_numbers_of_parts() -> None:
    from loaders.conversion.shards import usual_parts

    wanted = {1: 1, 5: 5, 50_000: 16, 1_281_167: 65, 14_200_000: 710, 1_000_000_000: 1024}
    assert {images: usual_parts(images) for images in wanted} == wanted


@pytest.mark.parametrize("name, values", [("overhead", (0.0, 9.0)), ("label_column", ("a", "b"))])
def test_parts_of_other_settings_do_not_count(jpeg_folder: Path, tmp_path: Path, name: str, values: Any) -> None:
    data = sorted((jpeg_folder / "train").rglob("*.jpg"))[0].read_bytes()
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for k in range(20):
            for ending, content in (("jpg", data), ("json", json.dumps({"a": 1, "b": 2}).encode())):
                member = tarfile.TarInfo(f"{k:03d}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    fixed = {"classes": ["0", "1", "2"], "label_column": "a", "fields": {"label": "int"}}
    first, second = (
        ShardedConversion(tmp_path / "x.tar", tmp_path / "train.beton", 2, **{**fixed, name: value}) for value in values
    )
    made(first, 0)
    made(second, 1)
    assert second.finish() is None
    made(second, 0)
    assert second.finish() is not None


def test_left_out_samples_of_a_span_lie_in_it() -> None:
    order = permutation(1000)(np.arange(1000)).tolist()
    entry = {"samples": 1000, "first": 100, "last": 200, "seed": 0}
    for left_out, sound in (([], True), (order[100:103], True), (order[99:102], False), ([1000], False), ([-1], False)):
        meta = {"span": {**entry, "left_out": left_out}}
        if sound:
            assert parse_span(meta, 100 - len(left_out)) is not None
        else:
            with pytest.raises(ValueError, match="do not name a part of a shuffled order"):
                parse_span(meta, 100 - len(left_out))


def test_parts_of_two_conversions_are_noticed(jpeg_folder: Path, tmp_path: Path) -> None:
    for count in (2, 3):
        made(ShardedConversion(jpeg_folder / "train", tmp_path / "train.beton", count), *range(count))
    with pytest.warns(UserWarning, match=r"train-00000-of-0000.\.beton hold the same samples"):
        open_dataset(str(tmp_path / "train-*.beton")).close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_dataset(str(tmp_path / "train-*-of-00003.beton")).close()
