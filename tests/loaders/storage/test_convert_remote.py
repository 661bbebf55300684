"""Conversion from and to object stores gives the bytes of a local conversion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loaders import LoaderError, convert, open_dataset
from tests.loaders.sources.test_every_source import (
    Truth,
    arrow,
    folder,
    imagenet,
    imagenet_val,
    parquet,
    pyramid,
    truth,  # noqa: F401  (a fixture)
    webdataset,
    webdataset_gz,
)
from tests.loaders.storage.conftest import Bucket

pytest.importorskip("obstore")

Maker = Callable[[Truth, Path], tuple[Any, dict[str, Any]]]


@pytest.mark.parametrize(
    "maker",
    [folder, webdataset, webdataset_gz, parquet, arrow, imagenet, imagenet_val, pyramid],
    ids=lambda maker: maker.__name__,
)
def test_every_source_may_be_remote(
    maker: Maker,
    truth: Truth,  # noqa: F811
    tmp_path: Path,
    bucket: Bucket,
) -> None:
    (tmp_path / "at").mkdir()
    src, options = maker(truth, tmp_path / "at")
    convert(src, tmp_path / "local.beton", workers=1, **options)
    url = bucket.put(tmp_path / "at", "some/set")
    if "labels" in options:
        options["labels"] = options["labels"].replace(str(tmp_path / "at"), url)
    convert(str(src).replace(str(tmp_path / "at"), url), tmp_path / "remote.beton", workers=2, **options)
    assert (tmp_path / "remote.beton").read_bytes() == (tmp_path / "local.beton").read_bytes()


def test_a_table_may_name_remote_images(
    truth: Truth,  # noqa: F811
    tmp_path: Path,
    bucket: Bucket,
) -> None:
    url = bucket.put(truth.folder, "photos")
    (tmp_path / "local.csv").write_text(table(truth, f"{truth.folder}/"))
    (tmp_path / "remote.csv").write_text(table(truth, f"{url}/"))
    (tmp_path / "relative.csv").write_text(table(truth, ""))
    relative = bucket.put(tmp_path / "relative.csv", "photos/all.csv")
    wanted = pixels(tmp_path / "local.csv", tmp_path)
    assert pixels(tmp_path / "remote.csv", tmp_path) == wanted
    assert pixels(relative, tmp_path) == wanted


def table(truth: Truth, start: str) -> str:  # noqa: F811
    rows = zip(truth.files, truth.labels, strict=True)
    return "\n".join(["path,label", *(f"{start}{path.relative_to(truth.folder)},{label}" for path, label in rows), ""])


def pixels(src: str | Path, folder: Path) -> list[bytes]:
    """The full-size images of a source after its conversion."""
    assert convert(src, folder / "x.beton", workers=1).images == 12
    with open_dataset(folder / "x.beton") as dataset:
        return [dataset.read(k) for k in range(12)]


def test_the_target_may_be_remote(
    jpeg_folder: Path, tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    convert(jpeg_folder / "val", tmp_path / "local.beton", workers=1)
    summary = convert(bucket.put(jpeg_folder / "val", "photos"), f"{bucket.url}/out/val.beton", workers=1)
    assert summary.out == f"{bucket.url}/out/val.beton"
    assert bucket.get("out/val.beton") == (tmp_path / "local.beton").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["local.beton"]


def test_an_upload_that_fails_is_resumed(
    jpeg_folder: Path, tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = "s3://no-such-bucket-of-this-server/val.beton"
    with pytest.raises(LoaderError, match=r"val\.beton: cannot be written: no such bucket"):
        convert(jpeg_folder / "val", out, workers=1, work_dir=tmp_path)
    assert (tmp_path / "val.beton.partial" / "journal").stat().st_size
    bucket.client.create_bucket(Bucket="no-such-bucket-of-this-server")
    monkeypatch.setattr("loaders.conversion.jobs.convert_job", None)  # no image is converted again
    convert(jpeg_folder / "val", out, workers=1, work_dir=tmp_path)
    convert_again = bucket._replace(url="s3://no-such-bucket-of-this-server")
    assert convert_again.keys() == ["val.beton"]
    assert list(tmp_path.iterdir()) == []


def test_other_schemes(jpeg_folder: Path, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for path in (jpeg_folder / "val").rglob("*.*"):
        memory.pipe_file(f"/set/{path.relative_to(jpeg_folder / 'val')}", path.read_bytes())
    convert(jpeg_folder / "val", tmp_path / "local.beton", workers=1)
    convert("memory://set", "memory://out/val.beton", workers=1, work_dir=tmp_path)
    assert memory.cat_file("/out/val.beton") == (tmp_path / "local.beton").read_bytes()
    assert memory.find("/out") == ["/out/val.beton"]


def test_wrong_targets(jpeg_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be an object in a store that can be written to"):
        convert(jpeg_folder / "val", "https://host/val.beton")
    with pytest.raises(ValueError, match="`work_dir` is for targets in a store"):
        convert(jpeg_folder / "val", tmp_path / "val.beton", work_dir=tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder to write to"):
        convert(jpeg_folder / "val", "s3://bucket/val.beton", work_dir=tmp_path / "none")


def test_a_remote_source_that_is_not_there(bucket: Bucket, tmp_path: Path) -> None:
    for name in ("none", "none.tar", "none-*.parquet", "none.csv", "none-{00..03}.tar"):
        with pytest.raises(FileNotFoundError, match="none"):
            convert(f"{bucket.url}/{name}", tmp_path / "x.beton")
