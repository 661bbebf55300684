from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loaders.errors import BadDataset
from loaders.pillow import decode_rgb
from loaders.sources.open import open_source
from tests.images import jpeg, picture
from tests.loaders.sources.mds_files import write_mds


def values() -> dict[str, tuple[str, int | None, bytes, Any]]:
    """Column -> encoding, size, bytes, value."""
    return {
        "y": ("uint8", 1, b"\x07", 7),
        "weight": ("float32", 4, np.float32(0.5).tobytes(), 0.5),
        "count": ("str_int", None, b"-12", -12),
        "notes": ("json", None, b'{"a": [1]}', {"a": [1]}),
        "name": ("str", None, "kätze".encode(), "kätze"),
        "grid": ("ndarray:int16:2,3", 12, np.arange(6, dtype="<i2").tobytes(), [[0, 1, 2], [3, 4, 5]]),
        "evil": ("pkl", None, b"cos\nsystem\n", None),
    }


def shards(at: Path, image: tuple[str, bytes], rows: int = 3) -> Path:
    columns = {"picture": image[0], **{name: encoding for name, (encoding, *_) in values().items()}}
    row = [image[1], *(data for _, _, data, _ in values().values())]
    write_mds(at, columns, [None, *(size for _, size, *_ in values().values())], [row] * rows, per=2)
    return at


def test_values_of_every_encoding_are_read_and_pickles_are_not(tmp_path: Path) -> None:
    source = open_source(shards(tmp_path, ("jpeg", jpeg(picture(24, 16), "4:2:0", quality=80))))
    sample = source[2]  # type: ignore[index]
    assert sample.problem == "" and sample.name == "shard.00001.mds sample 0"
    wanted = {("label" if name == "y" else name): value for name, (*_, value) in values().items() if name != "evil"}
    assert {name: np.asarray(v).tolist() if name == "grid" else v for name, v in sample.values.items()} == wanted
    assert [str(kind) for kind in source.fields.values()] == ["int", "float", "int", "json", "bytes", "int16 [2, 3]"]
    assert len(list(source.samples(1))) == 2 and source.fingerprint() == open_source(tmp_path).fingerprint()


def test_raw_pictures_are_read(tmp_path: Path) -> None:
    pixels = picture(24, 16)
    head = np.array([24, 16, 3], "<u4").tobytes() + b"RGB"
    source = open_source(shards(tmp_path, ("pil", head + pixels.tobytes())))
    np.testing.assert_array_equal(decode_rgb(source[0].image).pixels, pixels)  # type: ignore[index]


def test_damage_is_named(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    source = open_source(shards(tmp_path, ("png", file.getvalue())))
    shard = tmp_path / "shard.00000.mds"
    sound = shard.read_bytes()
    shard.write_bytes(sound[:-20])
    assert "damaged, or not the shard of 2 samples" in source[0].problem  # type: ignore[index]
    offset = int(np.frombuffer(sound, "<u4", 2)[1])
    shard.write_bytes(sound[:offset] + b"\xff\xff\xff\x7f" + sound[offset + 4 :])
    source = open_source(tmp_path)
    assert "cannot be read" in source[0].problem and source[1].problem == ""  # type: ignore[index]
    shard.unlink()
    with pytest.raises(FileNotFoundError, match="decompress shards that are compressed"):
        open_source(tmp_path)
    (tmp_path / "index.json").write_text('{"shards": [{}]}')
    with pytest.raises(BadDataset, match="no index of mds shards"):
        open_source(tmp_path)
    (tmp_path / "index.json").write_bytes(b'{"shards": [], "samples": "' + b"x" * 3000 + b"\xff")
    with pytest.raises(BadDataset, match=r"no index of mds shards \(UnicodeDecodeError: .{,99}\); copy it again$"):
        open_source(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such index"):
        open_source(tmp_path, format="mds", split="val")


def test_compressed_litdata_is_refused(tmp_path: Path) -> None:
    config = {"compression": "zstd", "data_format": ["jpeg"], "data_spec": "[1, {}]"}
    (tmp_path / "index.json").write_text(json.dumps({"chunks": [], "config": config}))
    with pytest.raises(BadDataset, match="compressed or encrypted"):
        open_source(tmp_path)


def test_litdata_chunks_of_arrow_rows(tmp_path: Path) -> None:
    """What litData 0.2.76 writes for dictionaries of numbers, text and bytes."""
    pa = pytest.importorskip("pyarrow")
    image = jpeg(picture(24, 16), "4:2:0", quality=80)
    table = pa.Table.from_pylist([{"image": image, "class": k, "where": f"ü{k}"} for k in range(3)])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table, max_chunksize=2)
    rows = sink.getvalue().to_pybytes()
    chunk = np.array([3, *[20] * 4], "<u4").tobytes() + rows + np.uint32(len(rows)).tobytes() + b"LDARW01\0"
    (tmp_path / "chunk-0-0.bin").write_bytes(chunk)
    leaves = [{"children_spec": []}] * 3
    spec = [1, {"type": "builtins.dict", "context": '["image", "class", "where"]', "children_spec": leaves}]
    config = {"data_format": ["bytes", "int", "str"], "data_spec": json.dumps(spec)}
    chunks = [{"filename": "chunk-0-0.bin", "chunk_size": 3}]
    (tmp_path / "index.json").write_text(json.dumps({"chunks": chunks, "config": config}))
    source = open_source(tmp_path)
    sample = source[2]  # type: ignore[index]
    assert (sample.image, sample.values, sample.problem) == (image, {"label": 2, "where": "ü2"}, "")
    (tmp_path / "chunk-0-0.bin").write_bytes(chunk[:200] + chunk[300:])
    assert open_source(tmp_path)[2].problem.startswith("cannot be read")  # type: ignore[index]


def test_an_image_column_is_needed(tmp_path: Path) -> None:
    folder = shards(tmp_path, ("bytes", jpeg(picture(24, 16), "4:2:0", quality=80)))
    with pytest.raises(ValueError, match="needs an image column, has picture, y"):
        open_source(folder)
    assert len(open_source(folder, image_column="picture")) == 3
