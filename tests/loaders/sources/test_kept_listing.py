"""A listing that was kept is used as long as no folder has changed, and only then."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from loaders.conversion import convert
from loaders.conversion import jobs as converter_threads
from loaders.errors import BadDataset
from loaders.sources import file_stats, kept_listing
from loaders.sources import image_folder as module
from loaders.sources.image_folder import ImageFolder
from loaders.sources.source import Options


def aged(root: Path, seconds: int = 10) -> None:
    """Sets the times of all folders back: a listing of folders that have just been made is not kept."""
    for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
        facts = folder.stat()
        os.utime(folder, ns=(facts.st_atime_ns, facts.st_mtime_ns - seconds * 10**9))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three images in two classes, one of them in a folder below, and an empty folder."""
    root = tmp_path / "photos"
    for name in ("a/1.jpg", "a/deep/2.png", "b/3.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * len(name))
    (root / "b" / "empty").mkdir()
    aged(root)
    return root


def kept(tree: Path, **options: object) -> ImageFolder:
    """The folder, listed or taken from the file `listing` beside it."""
    source = ImageFolder(str(tree), Options(listing=str(tree.parent / "listing"), **options))  # type: ignore[arg-type]
    source.keep()
    return source


@pytest.fixture
def no_scan(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Calling it makes every later listing, and every question for a file's size, an error."""

    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("the folder was listed again")

    def begin() -> None:
        monkeypatch.setattr(module, "scan", refuse)
        monkeypatch.setattr(module, "file_stats", refuse)

    return begin


def facts(source: ImageFolder) -> object:
    return source.classes, list(source.samples()), source.fingerprint(), source.nbytes, source.largest, source.path


def test_it_holds_what_listing_again_would_find(tree: Path, no_scan: Callable[[], None]) -> None:
    first = facts(kept(tree))
    assert first == facts(ImageFolder(str(tree), Options()))
    no_scan()
    assert facts(kept(tree)) == first


@pytest.mark.parametrize("change", ["a/new.jpg", "b/empty/new.jpg", "a/deep/new.png", "c/new.jpg"])
def test_an_added_file_is_seen(tree: Path, change: str) -> None:
    kept(tree)
    (tree / change).parent.mkdir(exist_ok=True)
    (tree / change).write_bytes(b"new")
    names = [sample.name for sample in kept(tree).samples()]
    assert change in names and len(names) == 4


def test_removed_and_renamed_files_are_seen(tree: Path) -> None:
    kept(tree)
    (tree / "a" / "1.jpg").rename(tree / "a" / "9.jpg")
    assert [sample.name for sample in kept(tree).samples()] == ["a/9.jpg", "a/deep/2.png", "b/3.jpg"]
    aged(tree)
    kept(tree)
    shutil.rmtree(tree / "a" / "deep")
    assert [sample.name for sample in kept(tree).samples()] == ["a/9.jpg", "b/3.jpg"]


def test_another_folder_or_other_options_are_listed(tree: Path, tmp_path: Path) -> None:
    kept(tree)
    assert kept(tree, classes=("b", "a")).classes == ["b", "a"]
    other = tmp_path / "other"
    shutil.copytree(tree / "a", other / "z")
    assert kept(other).classes == ["z"]


def test_a_listing_of_a_folder_that_was_just_modified_is_not_kept(tree: Path) -> None:
    (tree / "a" / "just.jpg").write_bytes(b"x")
    kept(tree)
    assert not (tree.parent / "listing").exists()


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive", b"text"])
def test_a_damaged_listing_is_ignored(tree: Path, damage: bytes) -> None:
    wanted = facts(kept(tree))
    (tree.parent / "listing").write_bytes(damage)
    assert facts(kept(tree)) == wanted
    whole = bytearray((tree.parent / "listing").read_bytes())
    whole[len(whole) // 3] ^= 1
    (tree.parent / "listing").write_bytes(whole)
    assert facts(kept(tree)) == wanted


@pytest.mark.parametrize("member", ["sizes.npy", "modified.npy"])
def test_a_listing_that_lacks_an_array_is_ignored(tree: Path, member: str) -> None:
    """Zeros in the archive's directory, as after a crash, make it an empty member with the CRC of one."""
    wanted = facts(kept(tree))
    sound = (tree.parent / "listing").read_bytes()
    at = sound.rindex(member.encode()) - 46  # its entry in the directory; CRC and sizes are the bytes from 16 to 28
    (tree.parent / "listing").write_bytes(sound[: at + 16] + bytes(12) + sound[at + 28 :])
    assert facts(kept(tree)) == wanted


def stopped(folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversion that is interrupted after two jobs."""
    done: list[int] = []

    def counting(job: converter_threads.Job) -> converter_threads.Converted:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job.start)
        return real(job)

    real = converter_threads.convert_job
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(converter_threads, "convert_job", counting)
        convert(folder, out, workers=1)


@pytest.fixture
def photos(many: Path, tmp_path: Path) -> Path:
    """A copy of `many` that tests may change, older than a moment."""
    root = tmp_path / "copy"
    shutil.copytree(many, root)
    aged(root)
    return root


def test_a_conversion_resumes_without_listing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_scan: Callable[[], None]
) -> None:
    convert(photos, tmp_path / "whole.beton", workers=1)
    stopped(photos, tmp_path / "x.beton", monkeypatch)
    no_scan()
    assert convert(photos, tmp_path / "x.beton", workers=1).images == 312
    assert (tmp_path / "x.beton").read_bytes() == (tmp_path / "whole.beton").read_bytes()


def test_a_file_modified_meanwhile_is_named_when_it_is_read(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(photos, tmp_path / "x.beton", monkeypatch)
    for path in photos.rglob("*.jpg"):
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    with pytest.raises(BadDataset, match=r"\.jpg: was modified after it was listed; run again with --restart"):
        convert(photos, tmp_path / "x.beton", workers=1)
    assert convert(photos, tmp_path / "x.beton", workers=1, restart=True).images == 312


def test_a_file_added_meanwhile_is_other_work(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(photos, tmp_path / "x.beton", monkeypatch)
    some = next(photos.rglob("*.jpg"))
    shutil.copy(some, some.with_name("another.jpg"))
    with pytest.raises(BadDataset, match="differs in images, sources"):
        convert(photos, tmp_path / "x.beton", workers=1)


@pytest.mark.parametrize(("sizes", "largest"), [((100, 40), 160), ((100, 31), 125), ((0, 0), 0)])
def test_room_for_the_largest_record(tmp_path: Path, sizes: tuple[int, int], largest: int) -> None:
    """A JPEG may grow by a quarter; another file's record may be four times as large as the file."""
    (tmp_path / "a").mkdir()
    for name, size in zip(("1.jpg", "2.png"), sizes, strict=True):
        (tmp_path / "a" / name).write_bytes(b"x" * size)
    assert ImageFolder(str(tmp_path), Options()).largest == largest + (64 << 10)


def test_folders_are_compared_many_at_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow file system; the test ends only once all five folders are asked at the same time."""
    kept(tree)
    monkeypatch.setattr(file_stats, "PROBE", 0)
    monkeypatch.setattr(file_stats, "BLOCK", 1)
    together, stamp = threading.Barrier(5), kept_listing.folder_stamp

    def slow(folder: str) -> tuple[int, int]:
        together.wait(10)
        return stamp(folder)

    monkeypatch.setattr(kept_listing, "folder_stamp", slow)
    monkeypatch.setattr(module, "scan", None)
    assert len(kept(tree)) == 3
