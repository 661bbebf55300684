from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders.beton.stored_order import permutation
from loaders.conversion import ShardedConversion, Summary, convert, verify
from loaders.errors import BadDataset, BadSample
from loaders.sources import open_dataset

ROOT = Path(__file__).resolve().parents[3]
DAMAGED = ("empty", "half", "half_png", "header", "text")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_a_pyramid_holds(jpeg_folder: Path, tmp_path: Path) -> None:
    summary = convert(jpeg_folder, tmp_path / "x.beton", split="train", workers=1)
    files = sorted((jpeg_folder / "train").rglob("*.jpg"))
    assert summary == Summary(
        out=str(tmp_path / "x.beton"),
        images=24,
        classes=3,
        source_bytes=sum(path.stat().st_size for path in files),
        bytes=(tmp_path / "x.beton").stat().st_size,
        changed=[],
        refused=[],
        notes=[],
    )
    with open_dataset(tmp_path / "x.beton") as dataset:
        assert [dataset.name(k) for k in range(24)] == [str(p.relative_to(jpeg_folder / "train")) for p in files]
        assert dataset.labels(range(24)).tolist() == [k // 8 for k in range(24)]
    assert os.listdir(tmp_path) == ["x.beton"]


def test_labels_that_count_from_1_are_noted(jpeg_folder: Path, tmp_path: Path) -> None:
    files = sorted((jpeg_folder / "val").rglob("*.jpg"))

    def hints(first: int, **options: Any) -> tuple[str, ...]:
        samples = [(path, first + k // 2) for k, path in enumerate(files)]
        return convert(samples, tmp_path / "x.beton", workers=1, **options).hints

    (hint,) = hints(1)
    assert hint.startswith("no sample has the label 0, labels go from 1 to 3: a network for them has 4 outputs; ")
    assert hints(0) == hints(2) == hints(1, limit=2) == hints(1, classes=["", "a", "b", "c"]) == ()
    parts = ShardedConversion([(path, 1) for path in files], tmp_path / "y.beton", 2, order="source")
    assert parts.part(0).convert(workers=1).hints == ()


def test_finished_jobs_are_not_done_again(many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from loaders.conversion import jobs as module

    done: list[int] = []
    real = module.convert_job

    def counting(job: module.Job) -> module.Converted:
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(job.start)
        return real(job)

    monkeypatch.setattr(module, "convert_job", counting)
    with pytest.raises(KeyboardInterrupt):
        convert(many, tmp_path / "x.beton", workers=1)
    monkeypatch.setattr(module, "convert_job", lambda job: done.append(job.start) or real(job))
    assert convert(many, tmp_path / "x.beton", workers=1).images == 312
    assert done == sorted(set(done)) and len(done) == 10


@pytest.mark.parametrize("lenient", [False, True])
def test_odd_files_are_named_and_skipped(
    odd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lenient: bool
) -> None:
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", lenient)  # as many programs set it
    summary = convert(odd_folder, tmp_path / "x.beton", on_error="skip", workers=1, depth="scale")
    assert [name for name, _ in summary.refused] == [f"a/{name}.JPEG" for name in DAMAGED]
    assert [name for name, _ in summary.changed] == [
        f"a/{name}.JPEG" for name in ("cmyk", "deep", "palette", "png", "rgba")
    ]
    turned = dict.fromkeys(("a/exif.JPEG", "b/0.jpg", "b/1.jpg"), "EXIF orientation 6 is ignored")
    assert dict(summary.notes) == {**turned, "a/stray.JPEG": dict(summary.notes)["a/stray.JPEG"]}
    assert summary.hints[-1].startswith("3 images have an EXIF orientation other than upright, which is ignored")
    assert summary.images == 12
    assert verify(tmp_path / "x.beton") == []
    with open_dataset(tmp_path / "x.beton") as dataset:
        assert dataset.name(11) == "b/1.jpg" and dataset.labels([11])[0] == 1


def test_more_than_8_bits_are_refused_unless_asked_for(odd_folder: Path, tmp_path: Path) -> None:
    summary = convert(odd_folder, tmp_path / "x.beton", on_error="skip", workers=1)
    assert ("a/deep.JPEG" in dict(summary.refused)) and "--depth" in dict(summary.refused)["a/deep.JPEG"]
    with pytest.raises(ValueError, match="`depth` must be one of refuse, scale, minmax, got 'all'"):
        convert(odd_folder, tmp_path / "x.beton", depth="all")


def test_the_first_odd_file_stops_it(odd_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadSample, match=r"sample 2 \(a/empty.JPEG\) cannot be used: .*skip") as caught:
        convert(odd_folder, tmp_path / "x.beton", workers=1, depth="scale", order="source")
    assert (caught.value.index, caught.value.name) == (2, "a/empty.JPEG")
    assert os.listdir(tmp_path) == ["odd"]


def test_stopped_at_an_odd_file_it_goes_on_with_skip(many: Path, tmp_path: Path) -> None:
    number = permutation(312)(np.array([160]))[0]  # of the sample that is stored at position 160
    worst = sorted(many.rglob("*.jpg"))[number]
    worst.unlink()
    worst.write_bytes(b"no image")
    with pytest.raises(BadSample, match=f"sample {number} "):
        convert(many, tmp_path / "x.beton", workers=1)
    assert (tmp_path / "x.beton.partial" / "journal").read_text().count("\n") == 5
    assert convert(many, tmp_path / "x.beton", workers=1, on_error="skip").images == 311


def test_nothing_decodable_is_an_error(odd_folder: Path, tmp_path: Path) -> None:
    for path in odd_folder.glob("*/*"):
        if path.stem not in DAMAGED:
            path.unlink()
    shutil.rmtree(odd_folder / "b")
    with pytest.raises(BadDataset, match="none of its 5 images can be converted"):
        convert(odd_folder, tmp_path / "x.beton", workers=1, on_error="skip")
    assert os.listdir(tmp_path) == ["odd"]


def test_a_beton_that_exists_is_replaced_at_the_end(jpeg_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.beton"
    out.write_bytes(b"old")
    convert(jpeg_folder / "train", out, workers=1, limit=3)
    with open_dataset(out) as dataset:
        assert len(dataset) == 3 and dataset.classes == ["class000", "class001", "class002"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"ratios": (0.5, 0.25)}, r"levels must start with 1 and fall, .* got \[0.5, 0.25\]"),
        ({"ratios": ()}, "levels must start with 1"),
        ({"ratios": (1, 0.5, 0.5)}, "levels must start with 1"),
        ({"ratios": (1, 0.5, 0)}, "levels must start with 1"),
        ({"ratios": [0.9**k for k in range(9)]}, "at most 8"),
        ({"quality": 0}, "`quality` must be from 1 to 100, got 0"),
        ({"quality": 101}, "got 101"),
        ({"workers": 0}, "`workers` must be at least 1, got 0"),
        ({"limit": 0}, "`limit` must be at least 1, got 0"),
        ({"on_error": "ignore"}, "`on_error` must be .* got 'ignore'"),
        ({"page_size": 3 << 20}, "power of two"),
        ({"page_size": 1 << 20}, "power of two"),
    ],
)
def test_wrong_arguments(jpeg_folder: Path, tmp_path: Path, wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        convert(jpeg_folder / "train", tmp_path / "x.beton", **wrong)
    assert os.listdir(tmp_path) == []


def test_the_source_is_not_overwritten(beton: Path, tmp_path: Path) -> None:
    copy = tmp_path / "x.beton"
    shutil.copy(beton, copy)
    with pytest.raises(ValueError, match="the target must be another file than the source"):
        convert(copy, tmp_path / "." / "x.beton", workers=1)
    assert digest(copy) == digest(beton)


def test_missing_folders_of_the_target_are_made(jpeg_folder: Path, tmp_path: Path) -> None:
    convert(jpeg_folder / "val", tmp_path / "a" / "b" / "x.beton", workers=1)
    assert os.listdir(tmp_path / "a" / "b") == ["x.beton"]
    with pytest.raises(FileNotFoundError):
        convert(tmp_path / "none", tmp_path / "c" / "x.beton")
    assert os.listdir(tmp_path) == ["a"]  # no folder is made before the source was found


def test_targets_that_cannot_be(jpeg_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(NotADirectoryError, match="file: must be a folder to write to"):
        convert(jpeg_folder / "train", tmp_path / "file" / "below" / "x.beton")
    with pytest.raises(IsADirectoryError, match="must be a file"):
        convert(jpeg_folder / "train", tmp_path)


FULL_DISK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (2300000, 2300000))
from loaders.conversion import convert
try:
    convert(sys.argv[1], sys.argv[2], workers=1)
except OSError as error:
    print(error.strerror)
"""


def test_a_full_disk_is_told_and_the_work_goes_on(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.beton"
    command = [sys.executable, "-c", FULL_DISK, str(many), str(out)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told == f"no room to write {out}: free some and repeat the command to resume\n"
    assert not out.exists()
    convert(many, tmp_path / "whole.beton", workers=1)
    convert(many, out, workers=1)
    assert digest(out) == digest(tmp_path / "whole.beton")
