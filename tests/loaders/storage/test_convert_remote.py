"""Conversion from and to object stores gives the bytes of a local conversion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from loaders import BadDataset, LoaderError, convert, open_dataset
from loaders.conversion import cluster, extract, write_manifest
from loaders.sources.open import open_source
from loaders.sources.source import Sample
from loaders.storage import files
from tests.loaders.conversion.records import records
from tests.loaders.conversion.test_cluster import Local
from tests.loaders.sources.forms import (
    Truth,
    arrow,
    folder,
    imagenet,
    imagenet_val,
    parquet,
    pyramid,
    tar_of_folders,
    tar_xz_of_folders,
    webdataset,
    webdataset_gz,
    zip_file,
)
from tests.loaders.sources.test_every_source import truth  # noqa: F401  (a fixture)
from tests.loaders.storage.conftest import Bucket

pytest.importorskip("obstore")

Maker = Callable[[Truth, Path], tuple[Any, dict[str, Any]]]


@pytest.mark.parametrize(
    "maker",
    [
        folder,
        zip_file,
        tar_of_folders,
        tar_xz_of_folders,
        webdataset,
        webdataset_gz,
        parquet,
        arrow,
        imagenet,
        imagenet_val,
        pyramid,
    ],
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


def test_other_schemes(jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for path in (jpeg_folder / "val").rglob("*.*"):
        memory.pipe_file(f"/set/{path.relative_to(jpeg_folder / 'val')}", path.read_bytes())
    convert(jpeg_folder / "val", tmp_path / "local.beton", workers=1)
    convert("memory://set", "memory://out/val.beton", workers=1, work_dir=tmp_path)
    assert memory.cat_file("/out/val.beton") == (tmp_path / "local.beton").read_bytes()
    assert memory.find("/out") == ["/out/val.beton"]
    monkeypatch.chdir(tmp_path)  # where the unfinished file lies
    extract(tmp_path / "local.beton", tmp_path / "local-1.beton", 1)
    extract("memory://out/val.beton", "memory://out/val-1.beton", 1)
    assert memory.cat_file("/out/val-1.beton") == (tmp_path / "local-1.beton").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["local-1.beton", "local.beton"]


def test_wrong_targets(jpeg_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be an object in a store that can be written to"):
        convert(jpeg_folder / "val", "https://host/val.beton")
    with pytest.raises(ValueError, match="`work_dir` is for targets in a store"):
        convert(jpeg_folder / "val", tmp_path / "val.beton", work_dir=tmp_path)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(NotADirectoryError, match="must be a folder to write to"):
        convert(jpeg_folder / "val", "s3://bucket/val.beton", work_dir=tmp_path / "file")


def test_a_remote_source_that_is_not_there(bucket: Bucket, tmp_path: Path) -> None:
    for name in ("none", "none.tar", "none-*.parquet", "none.csv", "none-{00..03}.tar"):
        with pytest.raises(FileNotFoundError, match="none"):
            convert(f"{bucket.url}/{name}", tmp_path / "x.beton")


def test_parts_may_be_remote(
    jpeg_folder: Path, tmp_path: Path, bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--shard` with URLs: every part and its report are objects, and the last process writes the manifest."""
    from efficienttrain.__main__ import main

    src, out = bucket.put(jpeg_folder / "val", "photos"), f"{bucket.url}/out/val.beton"
    shared = ["--workers", "1", "--work-dir", str(tmp_path), "--quiet"]
    for number, told in ((1, "1 of 2 parts are complete"), (0, "val.json: all 2 parts are complete, 6 images")):
        assert main(["convert", src, out, "--shard", f"{number}/2", *shared]) == 0
        assert told in capsys.readouterr().out
    names = [f"val-0000{k}-of-00002" for k in range(2)]
    keys = bucket.keys()
    assert sorted(key for key in keys if key.startswith("out/")) == sorted(
        ["out/val.json", *(f"out/{name}{end}" for name in names for end in (".beton", ".report.json"))]
    )
    assert list(tmp_path.iterdir()) == []
    convert(jpeg_folder / "val", tmp_path / "whole.beton", workers=1)
    assert records(f"{bucket.url}/out/val.json") == records(tmp_path / "whole.beton")
    bucket.client.delete_object(Bucket=bucket.name, Key=f"out/{names[1]}.beton")
    assert main(["convert", src, out, "--shard", "0/2", *shared]) == 0
    assert "1 of 2 parts are complete" in capsys.readouterr().out


def test_a_cluster_writes_remote_parts(
    jpeg_folder: Path, tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "join_cluster", lambda _: Local())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    summary = cluster.convert_on_ray(jpeg_folder / "val", f"{bucket.url}/val.beton", parts=2)
    assert (summary.out, summary.images) == (f"{bucket.url}/val.json", 6)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="`work_dir` is for targets in a store"):
        cluster.convert_on_ray(jpeg_folder / "val", tmp_path / "val.beton", parts=2, work_dir=tmp_path)
    with pytest.raises(ValueError, match="must be an object in a store that can be written to"):
        cluster.convert_on_ray(jpeg_folder / "val", "https://host/val.beton", parts=2)


def test_a_manifest_of_remote_parts(jpeg_folder: Path, tmp_path: Path, bucket: Bucket) -> None:
    convert(jpeg_folder / "val", tmp_path / "a.beton", workers=1)
    parts = [bucket.put(tmp_path / "a.beton", f"set/{name}.beton") for name in ("a", "b")]
    assert write_manifest(parts, f"{bucket.url}/set/all.json") == 12
    assert write_manifest(parts[:1], f"{bucket.url}/set/one.json") == 6
    one = records(tmp_path / "a.beton")
    assert records(f"{bucket.url}/set/all.json") == one + one
    assert records(f"{bucket.url}/set/one.json") == one
    assert convert(f"{bucket.url}/set/all.json", tmp_path / "joined.beton", workers=1).images == 12
    with pytest.raises(ValueError, match="must be another file than the source"):
        convert(f"{bucket.url}/set/all.json", parts[1], workers=1, work_dir=tmp_path)
    assert extract(f"{bucket.url}/set/all.json", tmp_path / "level.beton", 1) == files.size(
        str(tmp_path / "level.beton")
    )
    with pytest.raises(FileExistsError, match=r"set/all\.json: exists already"):
        write_manifest(parts, f"{bucket.url}/set/all.json")
    for strange in (f"{bucket.url}/all/other.json", str(tmp_path / "all.json")):
        with pytest.raises(ValueError, match="must lie in one folder"):
            write_manifest(parts, strange)


def test_an_image_that_is_replaced_by_one_of_the_same_size_is_noticed(
    jpeg_folder: Path, tmp_path: Path, bucket: Bucket
) -> None:
    """Of S3 when it is read, of other stores at the end; and of both, when a conversion is resumed."""
    url, memory = bucket.put(jpeg_folder / "val", "photos"), pytest.importorskip("fsspec").filesystem("memory")
    memory.put(str(jpeg_folder / "val"), "/replaced", recursive=True)
    key = max(bucket.keys())
    inside = key.removeprefix("photos/")
    data = bytearray(bucket.get(key))
    data[-3] ^= 1
    for src, told in (
        (url, "was modified after it was listed"),
        ("memory://replaced", "changed while it was converted"),
    ):
        source, before = open_source(src), open_source(src).fingerprint()
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=bytes(data))
        memory.pipe_file(f"/replaced/{inside}", bytes(data))
        with pytest.raises(BadDataset, match=f"{told}; run again with --restart"):
            convert(source, tmp_path / "x.beton", workers=1)
        with pytest.raises(BadDataset, match="differs in sources"):
            convert(src, tmp_path / "x.beton", workers=1)
        assert open_source(src).fingerprint() == open_source(src).fingerprint() != before
        assert convert(src, tmp_path / "x.beton", workers=1, restart=True).images == 6


def test_a_shard_that_is_replaced_during_the_conversion_is_noticed(
    truth: Truth,  # noqa: F811
    tmp_path: Path,
) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    (tmp_path / "at").mkdir()
    webdataset(truth, tmp_path / "at")
    memory.put(str(tmp_path / "at"), "/shards", recursive=True)
    shard = memory.glob("/shards/*.tar")[0]
    source = open_source("memory://shards/*.tar")
    source.fingerprint()
    real = source.samples

    def samples(start: int = 0) -> Iterator[Sample]:
        yield from real(start)
        memory.pipe_file(shard, memory.cat_file(shard))

    source.samples = samples  # type: ignore[method-assign]
    with pytest.raises(BadDataset, match="changed while it was converted"):
        convert(source, tmp_path / "x.beton", workers=1)


def test_listings_that_fsspec_keeps_are_not_taken_for_new_ones(jpeg_folder: Path, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    from fsspec.implementations.memory import MemoryFileSystem

    class Keeping(MemoryFileSystem):  # type: ignore[misc]
        """Keeps listings as s3fs, gcsfs and adlfs do."""

        protocol = "keeping"
        kept: ClassVar[dict[str, Any]] = {}

        def find(self, path: str, **options: Any) -> Any:
            return self.kept.setdefault(f"below {path}", super().find(path, **options))

        def info(self, path: str, **options: Any) -> Any:
            return self.kept.setdefault(path, super().info(path, **options))

        def invalidate_cache(self, path: str | None = None) -> None:  # noqa: ARG002
            self.kept.clear()

    fsspec.register_implementation("keeping", Keeping, clobber=True)
    memory = fsspec.filesystem("memory")
    memory.put(str(jpeg_folder / "val"), "/kept", recursive=True)
    source, key = open_source("keeping://kept"), memory.find("/kept")[0]
    before = files.stamp(f"keeping:/{key}")
    memory.pipe_file(key, memory.cat_file(key))
    assert files.stamp(f"keeping:/{key}") != before
    with pytest.raises(BadDataset, match="changed while it was converted"):
        convert(source, tmp_path / "x.beton", workers=1)
