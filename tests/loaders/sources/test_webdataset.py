from __future__ import annotations

import gzip
import io
import random
import tarfile
from pathlib import Path

import pytest

from loaders import convert
from loaders.beton.fields import parse_fields
from loaders.errors import BadDataset
from loaders.sources.open import open_source
from loaders.sources.webdataset import WebDataset, expand


def shard(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def damaged_header(data: bytes) -> bytes:
    """A tar, or a compressed one, with a wrong byte in the header of its fifth member."""
    plain = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    at = plain.index(b"4.jpg")
    wrong = plain[: at + 124] + b"\xff" + plain[at + 125 :]
    return gzip.compress(wrong) if plain is not data else wrong


def test_keys_fields_and_refusals(tmp_path: Path) -> None:
    path = shard(
        tmp_path / "x.tar",
        {
            "a/0.JPG": b"zero", "a/0.cls": b" 7\n", "a/0.left.json": b"[1]", "a/._0.jpg": b"hidden",
            "b/0.webp": b"other key", "b/0.json": b'{"label": "cat", "age": 3}',
            "1.cls": b"3",
            "2.png": b"", "2.webp": b"",
            "3.jpg": b"", "3.json": b"{broken",
            "4.v1.jpg": b"four", "4.cls": b"dog",
        },
    )  # fmt: skip
    source = open_source(path)
    assert isinstance(source, WebDataset) and len(source) == 6
    samples = list(source.samples())
    assert [sample.name for sample in samples] == [f"x.tar/{key}" for key in ("a/0", "b/0", "1", "2", "3", "4")]
    assert samples[0].values == {"cls": 7, "label": 7, "left.json": [1]}
    assert samples[1].values["label"] == "cat" and samples[1].values["age"] == 3
    assert samples[2].problem == "needs one member of jpg, jpeg, png, webp, has cls"
    assert samples[3].problem.startswith("has images png, webp; name one by image_column")
    assert "Expecting property name" in samples[4].problem
    assert samples[5].values["label"] == "dog"
    assert [sample.name for sample in source.samples(4)] == ["x.tar/3", "x.tar/4"]
    image = samples[0].image
    assert not isinstance(image, bytes) and image.read() == b"zero"


def test_braces_and_wildcards(tmp_path: Path) -> None:
    names = [f"{split}-{k:02d}.tar" for split in ("a", "b") for k in range(9, 12)]
    for name in names:
        shard(tmp_path / name, {})
    assert expand(f"{tmp_path}/{{a,b}}-{{09..11}}.tar") == [str(tmp_path / name) for name in names]
    assert expand(f"{tmp_path}/b-*.tar") == [str(tmp_path / name) for name in names[3:]]
    assert expand(str(tmp_path)) == [str(tmp_path / name) for name in names]
    with pytest.raises(FileNotFoundError, match=r"a-12\.tar: no such shard"):
        expand(f"{tmp_path}/a-{{09..12}}.tar")
    with pytest.raises(FileNotFoundError, match="no such tar shards"):
        open_source(f"{tmp_path}/z-*.tar")


@pytest.mark.parametrize(("suffix", "mode"), [(".tar", "w"), (".tar.gz", "w:gz")])
def test_damaged_shards_are_told(tmp_path: Path, suffix: str, mode: str) -> None:
    path = shard(tmp_path / f"x{suffix}", {f"{k}.jpg": bytes(range(256)) * 30 for k in range(9)}, mode)
    data = path.read_bytes()
    for wrong in (data[: len(data) // 2], b"this is a text and no tar" * 99, damaged_header(data)):
        path.write_bytes(wrong)
        with pytest.raises(BadDataset, match=f"x{suffix}: (not a valid tar file|cut short)"):
            len(open_source(path))


def test_compressed_shards_are_compared_with_their_crc(tmp_path: Path) -> None:
    """Behind a wrong bit everything may decompress, to wrong bytes; or zlib itself finds an error, at any moment."""
    path = tmp_path / "x.tar.gz"
    plain = shard(tmp_path / "x.tar", {f"{k}.jpg": random.Random(k).randbytes(9000) for k in range(9)}).read_bytes()
    sound = gzip.compress(plain, compresslevel=0)  # a flipped bit of stored data is a flipped bit of an image
    path.write_bytes(sound)
    assert len(open_source(path)) == 9
    at = sound.index(plain[3000:3100]) + 50
    path.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
    with pytest.raises(BadDataset, match=r"x\.tar\.gz: not a valid tar file \(CRC check failed"):
        open_source(path)
    packed = gzip.compress(plain)
    for at in range(3000, len(packed) - 3000, 7000):
        path.write_bytes(packed[:at] + packed[at + 300 :])
        with pytest.raises(BadDataset, match=r"x\.tar\.gz: not a valid tar file"):
            open_source(path)


def test_names_need_classes(jpeg_folder: Path, tmp_path: Path) -> None:
    photo = next((jpeg_folder / "val").rglob("*.jpg")).read_bytes()
    path = shard(tmp_path / "x.tar", {"0.jpg": photo, "0.cls": b"dog", "1.jpg": photo, "1.cls": b"cat"})
    with pytest.raises(BadDataset, match="none of its 2 images"):
        convert(path, tmp_path / "x.beton", workers=1, on_error="skip")
    assert convert(path, tmp_path / "x.beton", workers=1, classes=["dog", "cat"]).images == 2
    summary = convert(path, tmp_path / "x.beton", workers=1, classes=["cat"], on_error="skip")
    assert summary.refused == [("x.tar/0", "label 'dog' is none of the 1 classes")]
    fields = parse_fields({"label": "int", "weight": "float"})
    assert open_source(path, fields=fields).fields == fields
