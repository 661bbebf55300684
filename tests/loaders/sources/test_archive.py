from __future__ import annotations

import io
import pickle
import random
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch

from loaders import Loader, convert, open_dataset
from loaders.errors import BadDataset, BadSample
from loaders.sources.archive import Archive
from loaders.sources.imagenet import ImageNet
from loaders.sources.open import open_source
from loaders.sources.webdataset import WebDataset
from loaders.sources.zip_files import ZipImage


def pack(path: Path, names: dict[str, bytes] | list[str] | str, **options: Any) -> Path:
    """An archive of the kind of its ending. Members by name, or images of a few bytes."""
    members = names.split() if isinstance(names, str) else names
    members = members if isinstance(members, dict) else {name: name.encode() * (name[-1] != "/") for name in members}
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", **options) as file:
            for name, data in members.items():
                file.writestr(name, data)
        return path
    mode: Any = "w" + {".tar": "", ".tgz": ":gz"}.get(path.suffix, f":{path.suffix[1:]}")
    with tarfile.open(path, mode) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            info.type, info.size = (tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE), len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def pack_folder(path: Path, folder: Path, top: str = "", **options: Any) -> Path:
    """An archive of a folder, whose files are below `top` there."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return pack(path, {f"{top}{file.relative_to(folder)}": file.read_bytes() for file in files}, **options)


def edit(path: Path, number: int = 0, **facts: Any) -> Path:
    """Changes facts of a member in the zip file's list."""
    with zipfile.ZipFile(path, "a") as file:
        file.comment = b"edited"  # or it is not written again
        for name, value in facts.items():
            setattr(file.infolist()[number], name, value)
    return path


def listed(path: Path, **options: Any) -> tuple[list[str], list[str], list[int]]:
    """Classes, names and labels."""
    source = open_source(path, **options)
    assert isinstance(source, Archive)
    samples = list(source.samples())
    return source.classes, [sample.name for sample in samples], [sample.values["label"] for sample in samples]


def read(path: Path, number: int = 0) -> bytes:
    """The content of a sample of a zip file."""
    sample = open_source(path)[number]  # type: ignore[index]
    assert isinstance(sample.image, ZipImage)
    return sample.image.read()


@pytest.mark.parametrize(
    ("name", "top", "options"),
    [
        ("x.zip", "", {"compression": zipfile.ZIP_STORED}),
        ("x.ZIP", "photos/", {"compression": zipfile.ZIP_DEFLATED}),
        ("x.tar", "./photos/train/", {}),
    ],
)
def test_the_pyramid_is_that_of_the_unpacked_folder(
    jpeg_folder: Path, tmp_path: Path, name: str, top: str, options: dict[str, Any]
) -> None:
    packed = pack_folder(tmp_path / name.lower(), jpeg_folder / "train", top, **options)
    packed = packed.rename(tmp_path / name)
    assert isinstance(open_source(packed), Archive)
    convert(jpeg_folder / "train", tmp_path / "folder.beton", workers=1)
    convert(packed, tmp_path / "packed.beton", workers=2)
    assert (tmp_path / "packed.beton").read_bytes() == (tmp_path / "folder.beton").read_bytes()


@pytest.mark.parametrize("name", ["x.tgz", "x.tar.gz", "x.tar.bz2", "x.tar.xz"])
def test_a_compressed_tar_is_read_in_its_order(jpeg_folder: Path, tmp_path: Path, name: str) -> None:
    packed = pack_folder(tmp_path / name, jpeg_folder / "train", "train/")
    convert(jpeg_folder / "train", tmp_path / "folder.beton", order="source", workers=1)
    summary = convert(packed, tmp_path / "packed.beton", workers=1)
    assert summary.hints[0].startswith("read as an archive of an image folder: the classes are its folders in 'train';")
    assert (tmp_path / "packed.beton").read_bytes() == (tmp_path / "folder.beton").read_bytes()
    with pytest.raises(ValueError, match=rf"{name}: its samples can only be read one after the other; convert it"):
        open_dataset(packed)
    mixed = pack(tmp_path / name, ["b/2.jpg", "b/readme", "a/1.jpg", "b/1.jpg", "._x.jpg"])
    names = ["b/2.jpg", "a/1.jpg", "b/1.jpg"]
    assert listed(mixed) == (["a", "b"], names, [1, 0, 1])
    assert [(s.name, s.image) for s in open_source(mixed).samples(1)] == [(name, name.encode()) for name in names[1:]]


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
def test_the_folder_of_the_classes_is_found(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    hidden = "__MACOSX/photos/a/._1.jpg ._photos photos/.DS_Store photos/a/._1.jpg"
    pack(path, f"photos/LICENSE photos/a/1.jpg photos/b/1.JPEG photos/b/deep/0.png {hidden} readme.txt")
    assert listed(path) == (["a", "b"], ["a/1.jpg", "b/1.JPEG", "b/deep/0.png"], [0, 1, 1])
    pack(path, "set/meta/list.txt set/images/a/1.jpg set/images/b/1.jpg")  # as Food-101
    assert listed(path)[1] == ["a/1.jpg", "b/1.jpg"]
    assert any("folders in 'set/images'" in hint for hint in open_source(path).hints)  # type: ignore[attr-defined]
    pack(path, "a/1.jpg b/c/1.jpg")
    assert listed(path)[0] == ["a", "b"]
    pack(path, ["a/1.jpg", "b/"])
    with pytest.raises(FileNotFoundError, match=rf"x\{suffix}/b: holds no image"):
        open_source(path, format="archive")
    assert listed(path, format="archive", allow_empty=True)[0] == ["a", "b"]
    assert listed(path, format="archive", classes=("c", "b", "a"))[::2] == (["c", "b", "a"], [2])
    pack(path, "1.jpg 2.jpg")
    assert listed(path, format="archive") == (["x"], ["1.jpg", "2.jpg"], [0, 0])
    pack(path, "a/1.zip a/b/2.zip c/readme")
    with pytest.raises(
        FileNotFoundError,
        match=rf"x\{suffix}: holds neither .*, but \.zip files; `efficienttrain convert` reads a single archive",
    ):
        open_source(path, format="archive")


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
def test_a_split_is_named(tmp_path: Path, suffix: str) -> None:
    path = pack(tmp_path / f"x{suffix}", "set/train/a/1.jpg set/train/b/1.jpg set/val/a/2.jpg set/val/b/2.jpg")
    with pytest.raises(ValueError, match=rf"x\{suffix}/set: its sub-folders are splits \(train, val\).*--split train"):
        open_source(path)
    assert listed(path, split="val")[1] == listed(path, split="set/val/")[1] == ["a/2.jpg", "b/2.jpg"]
    assert open_source(path, split="val").fingerprint() != open_source(path, split="train").fingerprint()
    with pytest.raises(FileNotFoundError, match=r"got 'test'; set/ has train, val"):
        open_source(path, split="test")


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_shards_of_webdataset_stay_such(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    one_folder = " ".join(f"a/{k}.jpg" for k in range(9))
    for names in ("1.jpg 2.jpg", "a/1.jpg a/1.cls b/1.jpg b/1.cls", "a/1.json a/1.jpg b/1.json b/1.jpg", one_folder):
        assert isinstance(open_source(pack(path, names), fields={}), WebDataset), names
        assert isinstance(open_source(path, format="archive"), Archive)
    folders = pack(path, "readme.txt cats/cat.1.jpg cats/cat.2.jpg dogs/dog.1.jpg classes.json")
    assert listed(folders)[0] == ["cats", "dogs"]
    assert len(open_source(path, format="webdataset")) == 4
    assert isinstance(open_source(f"{tmp_path}/{{x,x}}{suffix}"), WebDataset)
    inner = pack(tmp_path / "n1.tar", "1.JPEG").read_bytes()
    assert isinstance(open_source(pack(tmp_path / "y.tar", {"n1.tar": inner, "n2.tar": inner})), ImageNet)


def test_a_loader_reads_what_can_be_read_in_any_order(jpeg_folder: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"batch_size": 4, "resolution": 64, "num_workers": 1, "seed": 3}
    with Loader(jpeg_folder / "train", **options) as loader:
        wanted = list(loader)
    for name, method in (("s.zip", zipfile.ZIP_STORED), ("d.zip", zipfile.ZIP_DEFLATED), ("x.tar", None)):
        how = {} if method is None else {"compression": method}
        with Loader(pack_folder(tmp_path / name, jpeg_folder / "train", "train/", **how), **options) as loader:
            for (images, labels), (expected, classes) in zip(loader, wanted, strict=True):
                assert torch.equal(images, expected) and torch.equal(labels, classes)


def test_names_of_zip_members(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", ["/a/1.jpg", "../b/2.jpg", "a/../b/./3.jpg", "ü/4.jpg"])
    assert listed(path)[:2] == (["a", "b", "ü"], ["a/1.jpg", "b/2.jpg", "b/3.jpg", "ü/4.jpg"])
    assert read(path, 2) == b"a/../b/./3.jpg"

    def renamed(raw: bytes, extra: bytes = b"", system: int = 3) -> list[str]:
        pack(path, [f"a/{'#' * len(raw)}.jpg", "b/2.jpg"])
        edit(path, extra=extra, create_system=system)
        path.write_bytes(path.read_bytes().replace(b"#" * len(raw), raw))
        return listed(path)[1]

    assert renamed("é".encode()) == ["a/é.jpg", "b/2.jpg"]  # as zip on Linux writes it: no mark
    assert renamed("é".encode("cp437")) == ["a/é.jpg", "b/2.jpg"]
    unicode = b"\1" + struct.pack("<I", zlib.crc32(b"a/_.jpg")) + "a/é.jpg".encode()
    assert renamed(b"_", struct.pack("<HH", 0x7075, len(unicode)) + unicode) == ["a/é.jpg", "b/2.jpg"]
    assert renamed(b"x\\1", system=0) == ["a/x/1.jpg", "b/2.jpg"] != renamed(b"x\\1")


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_may_not_come_twice(tmp_path: Path, suffix: str) -> None:
    path = pack(tmp_path / f"x{suffix}", ["a/1.jpg", "b/1.jpg", "./b/../a/1.jpg"])
    with pytest.raises(BadDataset, match=rf"x\{suffix}: each member must have a name of its own, got 'a/1.jpg' twice"):
        open_source(path)


def test_zip64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("a/1.jpg", "b/1.jpg"):
            with file.open(name, "w", force_zip64=True) as member:
                member.write(name.encode())
    assert read(path, 1) == b"b/1.jpg"
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)  # from which the list is one of Zip64
    pack(path, "a/1.jpg b/1.jpg c/1.jpg")
    assert b"PK\6\6" in path.read_bytes() and read(path, 2) == b"c/1.jpg"


def test_members_that_cannot_be_read(jpeg_folder: Path, tmp_path: Path) -> None:
    def told(**facts: Any) -> str:
        path = pack_folder(tmp_path / "x.zip", jpeg_folder / "val", compression=zipfile.ZIP_DEFLATED)
        edit(path, 1, **facts)
        with pytest.raises(BadSample) as raised:
            convert(path, tmp_path / "x.beton", workers=1, restart=True)
        summary = convert(path, tmp_path / "y.beton", workers=1, on_error="skip", restart=True)
        (_, why), left = summary.refused[0], summary.images
        assert left == len(open_source(path)) - 1 and why in str(raised.value)
        assert f"{path}: its member '" in why and "\n" not in why
        return why

    assert "is encrypted; unpack it with its password" in told(flag_bits=1)
    assert "is compressed by Deflate64, only Deflate is read; unpack it" in told(compress_type=9)
    assert "is compressed by Zstandard" in told(compress_type=93)
    assert "is compressed by method 77" in told(compress_type=77)
    assert "is damaged: its CRC differs from the one in the zip file's list; copy the zip file again" in told(CRC=1)
    assert "is damaged: has no header where the zip file's list says" in told(header_offset=5)
    assert "has 1073741825 bytes, an image 1073741824 at most" in told(file_size=(1 << 30) + 1)
    for wrong in ({"file_size": 1 << 29}, {"compress_size": 1 << 29}, {"header_offset": 1 << 29}):
        assert "a place or size that is impossible" in told(**wrong)
    assert "is damaged: has " in told(file_size=7)
    path = pack(tmp_path / "x.zip", "a/1.jpg b/1.jpg", compression=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    data[data.index(b"a/1.jpg") + 7] = 0xFF  # a block of no kind
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"x\.zip: its member 'a/1\.jpg' is damaged: Error -3 "):
        read(path)


def test_a_longer_header_than_in_the_list(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("a/1.jpg", "b/1.jpg"):
            info = zipfile.ZipInfo(name)
            info.extra = struct.pack("<HH", 0xCAFE, 500) + bytes(500)
            file.writestr(info, name.encode())
            info.extra = b""  # in the list
    assert read(path, 0) == b"a/1.jpg"


def test_damaged_zip_files_are_told(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", "a/1.jpg b/1.jpg")
    sound = path.read_bytes()
    end = sound.index(b"PK\5\6")
    for wrong in (sound[: end - 20], sound[:-1], b"", b"this is a text" * 99, sound.replace(b"PK\1\2", b"PK\1\3")):
        path.write_bytes(wrong)
        with pytest.raises(BadDataset, match=r"x\.zip: not a valid zip file \(.*\); its list is at its end"):
            open_source(path)
    with zipfile.ZipFile(io.BytesIO(sound)) as file:
        first = 46 + len(file.infolist()[0].filename)  # bytes of a line of the list
    size, start = struct.unpack_from("<II", sound, end + 12)
    path.write_bytes(sound[: end + 12] + struct.pack("<II", size - first, start + first) + sound[end + 20 :])
    with pytest.raises(BadDataset, match=r"x\.zip: not a valid zip file \(its list has 1 members, 2 expected\)"):
        open_source(path)
    path.write_bytes(sound[: end + 4] + b"\2\0\2\0" + sound[end + 8 :])
    with pytest.raises(BadDataset, match=r"x\.zip: must be a whole zip file, is part 3 of one; join them \(zip -s 0"):
        open_source(path)
    with pytest.raises(FileNotFoundError, match=r"y\.zip: no such file"):
        open_source(tmp_path / "y.zip")
    dice = random.Random(1)
    for _ in range(300):
        at = dice.randrange(len(sound))
        path.write_bytes(sound[:at] + bytes([dice.randrange(256)]) + sound[at + 1 :])
        try:
            for sample in open_source(path).samples():
                assert isinstance(sample.image, ZipImage) or sample.problem
                assert sample.problem or sample.image.read() in (b"a/1.jpg", b"b/1.jpg")  # type: ignore[union-attr]
        except (BadDataset, OSError, FileNotFoundError) as error:
            assert "x.zip" in str(error)


@pytest.mark.parametrize("name", ["x.tar", "x.tgz", "x.tar.bz2", "x.tar.xz"])
def test_damaged_tars_are_told(tmp_path: Path, name: str) -> None:
    noise = random.Random(2)
    path = pack(tmp_path / name, {f"{k % 2}/{k}.jpg": noise.randbytes(3000) for k in range(200)})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(BadDataset, match=f"{name}: (not a valid tar file|cut short)"):
        open_source(path)
    path.write_bytes(b"this is a text" * 99)
    with pytest.raises(BadDataset, match=f"{name}: not a valid tar file"):
        open_source(path)


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
def test_links(tmp_path: Path, suffix: str) -> None:
    def linked(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Path:
        path = pack(tmp_path / f"x{suffix}", "a/1.jpg a/3.jpg b/1.jpg readme")
        if suffix == ".zip":
            with zipfile.ZipFile(path, "a") as file:
                info = zipfile.ZipInfo(name)
                info.external_attr, info.create_system = 0o120777 << 16, 3
                file.writestr(info, target)
            return path
        with tarfile.open(path, "w:gz" if suffix == ".tgz" else "w") as tar:
            for member in ("a/1.jpg", "a/3.jpg", "b/1.jpg"):
                tar.addfile(tarfile.TarInfo(member))
            info_tar = tarfile.TarInfo(name)
            info_tar.type, info_tar.linkname = kind, target
            tar.addfile(info_tar)
        return path

    why = "is a link to '3.jpg'; pack the files themselves (tar --dereference"
    samples = list(open_source(linked("a/2.jpg", "3.jpg")).samples())
    refused = [sample for sample in samples if sample.problem]
    assert len(samples) == 4 and [sample.name for sample in refused] == ["a/2.jpg"]
    assert f"x{suffix}: its member 'a/2.jpg' {why}" in refused[0].problem
    assert len(open_source(linked("notes", "readme"))) == 3
    for name, target in (("c", "b"), ("c", "./a/../b/"), ("b/c", "../a")):
        with pytest.raises(BadDataset, match=rf"x\{suffix}: its member '{name}' is a link to the folder"):
            open_source(linked(name, target))
    if suffix != ".zip":
        samples = list(open_source(linked("b/2.jpg", "a/1.jpg", tarfile.LNKTYPE)).samples())
        assert [sample.name for sample in samples if "is a link to '/a/1.jpg'" in sample.problem] == ["b/2.jpg"]


def test_a_changed_archive_is_noticed(jpeg_folder: Path, tmp_path: Path) -> None:
    for name in ("x.zip", "x.tar"):
        path = pack_folder(tmp_path / name, jpeg_folder / "val")
        source = open_source(path)
        before, sample = source.fingerprint(), source[0]  # type: ignore[index]
        pack_folder(path, jpeg_folder / "val")
        assert source.fingerprint() != before
        with pytest.raises(BadDataset, match=rf"{name}: was modified after it was listed"):
            sample.image.read()


def test_a_tar_may_not_unpack_to_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.sources.archive.LARGEST", 1000)
    for name in ("x.tar", "x.tgz"):
        path = pack(tmp_path / name, {"a/1.jpg": bytes(1001), "b/1.jpg": bytes(1000)})
        problems = [sample.problem for sample in open_source(path).samples()]
        assert problems[0].endswith("member 'a/1.jpg' has 1001 bytes, an image 1000 at most") and not problems[1]


def test_a_tar_with_holes(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.tar", "a/1.jpg b/1.jpg")
    data = bytearray(path.read_bytes())
    data[156:157] = b"S"  # GNU's type of a sparse file
    data[148:156] = b"%06o\0 " % (sum(data[:148]) + 256 + sum(data[156:512]))
    path.write_bytes(data)
    sample = next(iter(open_source(path, format="archive").samples()))
    assert "x.tar: its member 'a/1.jpg' is stored with holes; write the tar without --sparse" in sample.problem


def test_a_python_without_lzma_reads_the_other_kinds(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.tgz", "a/1.jpg b/1.jpg")
    code = "import sys; sys.modules['lzma'] = sys.modules['_lzma'] = None\n"
    code += f"from loaders.sources.open import open_source; print(len(open_source({str(path)!r})))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "2\n"


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
def test_an_archive_can_be_sent_to_another_process(tmp_path: Path, suffix: str) -> None:
    source = open_source(pack(tmp_path / f"x{suffix}", "a/1.jpg b/1.jpg"))
    copy = pickle.loads(pickle.dumps(source))
    assert list(copy.samples()) == list(source.samples()) and copy.fingerprint() == source.fingerprint()
