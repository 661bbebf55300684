"""Data as people have them: odd labels, tables of other programs, shards of other layouts, foreign image formats."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loaders import Loader, convert, open_dataset
from loaders.conversion import verify
from loaders.errors import BadDataset, BadSample
from tests.images import jpeg, picture
from tests.loaders.conftest import saved

JPEG = jpeg(picture(60, 40), "4:2:0")


def labels(src: Any, out: Path, **options: Any) -> tuple[list[int], list[str]]:
    """Labels and classes of the converted source."""
    convert(src, out, workers=1, **options)
    with open_dataset(out) as dataset:
        return dataset.labels(range(len(dataset))).tolist(), dataset.classes


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    for name in ("a b,ü.JPG", "b.jpg"):
        (folder / name).write_bytes(JPEG)
    (folder / "x.csv").write_bytes(text.encode(encoding))
    return folder / "x.csv"


def tar(folder: Path, **members: bytes) -> Path:
    """A shard with one key; `_` in a name stands for a dot."""
    return shard_of(folder, [(f"0001.{name.replace('_', '.')}", data) for name, data in members.items()])


def shard_of(folder: Path, members: list[tuple[str, bytes]]) -> Path:
    """A shard with these members."""
    with tarfile.open(folder / "x.tar", "w") as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return folder / "x.tar"


def pd_categories(*labels: str) -> Callable[[Any], Any]:
    """A column as pandas writes categories."""
    return lambda pa: pa.array(labels).dictionary_encode()


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ('path,label\n"a b,ü.JPG",cat\nb.jpg,dog\n', "utf-8-sig"),
        ('path,label\r\n"a b,ü.JPG",cat\r\nb.jpg,dog\r\n', "utf-8"),
        ('path, label\n"a b,ü.JPG", cat\nb.jpg, dog\n\n', "utf-8"),
    ],
    ids=["byte order mark", "Windows lines", "blanks"],
)
def test_tables_of_other_programs(tmp_path: Path, text: str, encoding: str) -> None:
    assert labels(table(tmp_path, text, encoding), tmp_path / "x.beton") == ([0, 1], ["cat", "dog"])


@pytest.mark.parametrize(
    ("text", "encoding", "error", "told"),
    [
        ("path,label\nb.jpg,für\n", "latin-1", BadDataset, "is not UTF-8.*save it in that encoding"),
        ("path;label\nb.jpg;cat\n", "utf-8", ValueError, "separated by commas"),
        ("b.jpg,0\nb.jpg,1\n", "utf-8", ValueError, "The first line names columns, separated by commas in a .csv"),
        ("path,label\nb.jpg,\nb.jpg,dog\n", "utf-8", BadSample, "its label is empty"),
        ("path,label\nzzz.jpg,cat\n", "utf-8", BadSample, r"no such file: .*zzz\.jpg"),
        ("", "utf-8", BadDataset, "at least one row with an image.s path, got none"),
        ("path,label\n,1\n", "utf-8", BadSample, r"sample 0 \(row 1\).*'path' must hold a path, got ''"),
        ("path,label,label\nb.jpg,1,0\n", "utf-8", BadDataset, "a name of its own, got 'label' twice"),
        ("path,label\nb.jpg,0.5\nb.jpg,1.0\n", "utf-8", BadSample, r"b\.jpg.*class number or name, got 0\.5"),
        ("path,label\nb.jpg,nan\nb.jpg,1\n", "utf-8", BadSample, r"b\.jpg.*its label is missing \(NaN\)"),
        (f"path,label\nb.jpg,{'9' * 5000}\n", "utf-8", BadSample, r"b\.jpg.*class number or name, got inf"),
        ("path,label\nb.jpg,-1\nb.jpg,1\n", "utf-8", BadSample, "label -1 must be from 0 .*; -1 often marks a"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, text: str, encoding: str, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        convert(table(tmp_path, text, encoding), tmp_path / "x.beton", workers=1)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["10.0", "9.0"], [10, 9]),
        (["1.000000000000000000e+01", "9.000e+00"], [10, 9]),
        ([" +3 ", "1."], [3, 1]),
        (["+-1", "0"], [0, 1]),  # a name
    ],
)
def test_labels_as_other_programs_write_numbers(tmp_path: Path, cells: list[str], expected: list[int]) -> None:
    text = "path,label\n" + "".join(f"b.jpg,{cell}\n" for cell in cells)
    assert labels(table(tmp_path, text), tmp_path / "x.beton")[0] == expected


def test_a_gap_does_not_renumber_labels(tmp_path: Path) -> None:
    src = table(tmp_path, "path,label\nb.jpg,\nb.jpg,2\n")
    assert labels(src, tmp_path / "x.beton", on_error="skip") == ([2], ["0", "1", "2"])


def test_given_classes_may_look_like_numbers(tmp_path: Path) -> None:
    src = table(tmp_path, "path,label\nb.jpg,0.5\nb.jpg,1.0\n")
    assert labels(src, tmp_path / "x.beton", classes=["1.0", "0.5"]) == ([1, 0], ["1.0", "0.5"])


@pytest.mark.parametrize("row", ['{"path": null, "label": 0}', '{"path": ["b.jpg"], "label": 0}', '{"label": 0}'])
def test_rows_of_json_without_a_path(tmp_path: Path, row: str) -> None:
    (tmp_path / "b.jpg").write_bytes(JPEG)
    (tmp_path / "x.jsonl").write_text('{"path": "\\u0062.jpg", "label": 0}\n' + row)
    with pytest.raises(BadSample, match=r"sample 1 \(row 2\).*'path' must hold a path"):
        convert(tmp_path / "x.jsonl", tmp_path / "x.beton", workers=1)


def test_a_list_is_no_class_name(tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(JPEG)
    (tmp_path / "x.jsonl").write_text('{"path": "b.jpg", "label": [1, 0]}\n')
    with pytest.raises(BadSample, match=r"got \[1, 0\]; `fields` stores lists"):
        convert(tmp_path / "x.jsonl", tmp_path / "x.beton", workers=1)


def test_true_and_false_are_labels(tmp_path: Path) -> None:
    assert labels([(JPEG, True), (JPEG, np.bool_(False))], tmp_path / "x.beton") == ([1, 0], ["0", "1"])


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([("1.jpg", JPEG), ("1.cls", b"1"), ("1.cls", b"0")], r"x\.tar/1.*each member once, got \.cls twice"),
        ([("1.jpg", JPEG), ("1.cls", b"\xff\xfe")], r"x\.tar/1.*\.cls cannot be read"),
        ([("1.jpg", JPEG), ("1.json", b"{bad")], r"x\.tar/1.*\.json cannot be read"),
        ([("1.jpg", JPEG), ("1.cls", b"9" * 5000)], r"x\.tar/1.*is a name"),
        ([("1.jpg", b""), ("1.cls", b"1")], r"x\.tar/1.*0 bytes are no image"),
    ],
)
def test_shards_with_odd_members(tmp_path: Path, members: list[tuple[str, bytes]], told: str) -> None:
    with pytest.raises(BadSample, match=told):
        convert(shard_of(tmp_path, members), tmp_path / "x.beton", workers=1)


def test_labels_of_shards(tmp_path: Path) -> None:
    given = [
        (".CLS", b"3.0"),
        (".json", b'{"label": 1.0}'),
        (".json", b'{"label": " 2"}'),
        (".json", b'{"label": "b "}'),
    ]
    members = [(f"{k}{name}", data) for k, label in enumerate(given) for name, data in ((".jpg", JPEG), label)]
    options: dict[str, Any] = {"fields": {"label": "int"}, "classes": ["a", "b", "c", "d"]}
    assert labels(shard_of(tmp_path, members), tmp_path / "x.beton", **options)[0] == [3, 1, 2, 1]


@pytest.mark.parametrize("case", ["no end", "joined", "gzip"])
def test_shards_that_would_lose_samples(tmp_path: Path, case: str) -> None:
    path = shard_of(tmp_path, [("1.jpg", JPEG), ("1.cls", b"1"), ("2.jpg", JPEG), ("2.cls", b"0")])
    data = path.read_bytes()
    first = 2 * 512 + -(-len(JPEG) // 512) * 512 + 512  # the first key's members
    other = {"no end": data[:first], "joined": data * 2, "gzip": gzip.compress(data)}
    path.write_bytes(other[case])
    told = {"no end": "cut short after a whole member", "joined": "data after its end mark", "gzip": r"to \.tar\.gz"}
    with pytest.raises(BadDataset, match=rf"x\.tar: .*{told[case]}"):
        convert(path, tmp_path / "x.beton", workers=1)


@pytest.mark.parametrize(
    ("columns", "result"),
    [
        ({"image": ["b.jpg"], "label": [0]}, [0]),  # paths
        ({"image": [{"bytes": None, "path": "b.jpg"}], "label": [0]}, [0]),
        ({"image": [JPEG, JPEG], "label": [3.0, 1.0]}, [3, 1]),
        ({"image": [JPEG, JPEG], "label": [" b", "a "]}, [1, 0]),
        ({"image": [JPEG, JPEG], "label": pd_categories("b", "a")}, [1, 0]),
        ({"image": [JPEG, None], "label": [0, 1]}, r"row 1.*has no image"),
        ({"image": [JPEG, JPEG], "label": [0, None]}, r"row 1.*its label is missing"),
        ({"image": [{"bytes": None, "path": "a\0b"}], "label": [0]}, r"row 0.*its path must be a file's"),
        ({"image": [{"bytes": None, "path": "no.jpg"}], "label": [0]}, r"row 0.*no such file: .*no\.jpg; .*image.root"),
    ],
)
def test_rows_of_parquet(tmp_path: Path, columns: dict[str, Any], result: list[int] | str) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    (tmp_path / "b.jpg").write_bytes(JPEG)
    made = {key: value(pa) if callable(value) else value for key, value in columns.items()}
    pyarrow.parquet.write_table(pa.table(made), tmp_path / "x.parquet")
    if isinstance(result, list):
        assert labels(tmp_path / "x.parquet", tmp_path / "x.beton")[0] == result
        return
    with pytest.raises(BadSample, match=result):
        convert(tmp_path / "x.parquet", tmp_path / "x.beton", workers=1)


def test_paths_of_parquet_below_another_folder(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "b.jpg").write_bytes(JPEG)
    pyarrow.parquet.write_table(pa.table({"image": ["b.jpg"]}), tmp_path / "x.parquet")
    assert convert(tmp_path / "x.parquet", tmp_path / "x.beton", image_root=tmp_path / "photos", workers=1).images == 1


def test_parquet_columns_that_disagree(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    for name, label in (("a", "x"), ("b", 0)):
        pyarrow.parquet.write_table(pa.table({"image": [JPEG], "label": [label]}), tmp_path / f"{name}.parquet")
    with pytest.raises(BadDataset, match=r"b\.parquet: column 'label' must be text as in .*a\.parquet, is int64"):
        convert(tmp_path, tmp_path / "x.beton", format="parquet", workers=1)
    twice = pa.Table.from_arrays([pa.array([JPEG]), pa.array([0]), pa.array([1])], names=["image", "label", "label"])
    pyarrow.parquet.write_table(twice, tmp_path / "c.parquet")
    with pytest.raises(ValueError, match="name of its own, got 'label' twice"):
        convert(tmp_path / "c.parquet", tmp_path / "x.beton", workers=1)


class Failing:
    """A data set whose second sample raises."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[bytes, int]:
        if index == 1:
            raise KeyError("gone")
        return JPEG, index


def test_python_objects_that_raise(tmp_path: Path) -> None:
    with pytest.raises(BadSample, match=r"sample 1.*Failing\[1\] raised KeyError: 'gone'"):
        convert(Failing(), tmp_path / "x.beton", workers=1)
    assert labels(Failing(), tmp_path / "y.beton", on_error="skip")[0] == [0, 2]

    def rows() -> Iterator[tuple[bytes, int]]:
        yield JPEG, 0
        raise RuntimeError("no more")

    with pytest.raises(BadDataset, match="raised RuntimeError: no more after 1") as caught:
        convert(rows, tmp_path / "z.beton", workers=1)
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize(("label", "told"), [(None, "missing"), ([0, 1], "--fields label:json"), (0.5, "--fields")])
def test_labels_that_are_no_class(tmp_path: Path, label: Any, told: str) -> None:
    with pytest.raises(BadSample, match=told):
        convert([{"image": JPEG, "label": label}], tmp_path / "x.beton", fields={"label": "int"}, workers=1)


def test_images_without_any_target(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as file:
        for k in range(3):
            info = tarfile.TarInfo(f"{k}.jpg")
            info.size = len(JPEG)
            file.addfile(info, io.BytesIO(JPEG))
    convert(tmp_path / "x.tar", tmp_path / "x.beton", workers=1)
    assert verify(tmp_path / "x.beton") == []
    (batch,) = Loader(tmp_path / "x.beton", 3, resolution=32, fields=("image",), num_workers=1)
    assert batch[0].shape == (3, 3, 32, 32)
    with pytest.raises(ValueError, match="no class label to balance"):
        Loader(tmp_path / "x.beton", 3, fields=("image",), weights="balanced", num_workers=1)


def test_dates_become_text(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    columns = {"image": [JPEG], "label": [0], "when": pa.array([1], pa.timestamp("s"))}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
    convert(tmp_path / "x.parquet", tmp_path / "x.beton", workers=1)
    with open_dataset(tmp_path / "x.beton") as dataset:
        assert dataset.read_field("when", [0]) == ["1970-01-01T00:00:01"]


def test_decimal_numbers_are_numbers(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    prices = pa.array([Decimal("1.25"), Decimal("-2")])
    columns = {"image": [JPEG] * 2, "label": [0, 1], "price": prices, "prices": pa.array([[Decimal("0.5")], []])}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
    convert(tmp_path / "x.parquet", tmp_path / "x.beton", workers=1)
    with open_dataset(tmp_path / "x.beton") as dataset:
        assert np.array_equal(dataset.read_field("price", [0, 1]), [1.25, -2])
        assert dataset.read_field("prices", [0, 1]) == [[0.5], []]


@pytest.mark.parametrize("rows", [[(JPEG, 0), (JPEG, 1, 9)], [(JPEG, 0, 9), (JPEG, 1)]])
def test_tuples_have_as_many_targets_as_the_first(tmp_path: Path, rows: list[Any]) -> None:
    with pytest.raises(BadSample, match=r"sample 1.*as many targets as the first, [12], got [12]; name those"):
        convert(rows, tmp_path / "x.beton", workers=1)
    assert labels(rows, tmp_path / "x.beton", fields={"label": "int"})[0] == [0, 1]  # the first target alone


def test_labels_deep_in_json(tmp_path: Path) -> None:
    src = tar(tmp_path, jpg=JPEG, json=json.dumps({"annotation": {"label": 2}}).encode())
    assert labels(src, tmp_path / "x.beton", label_column="annotation.label")[0] == [2]
    with pytest.raises(ValueError, match=r"must be an entry of its \.json, got 'annotation\.kind'; it has annotation"):
        convert(src, tmp_path / "y.beton", label_column="annotation.kind")


def test_several_images_of_one_key(tmp_path: Path) -> None:
    mask = saved(Image.fromarray(np.zeros((40, 60), np.uint8)), "PNG")
    src = tar(tmp_path, img_jpg=JPEG, seg_png=mask, cls=b"1")
    with pytest.raises(BadSample, match=r"has images img\.jpg, seg\.png; name one by image_column"):
        convert(src, tmp_path / "x.beton", workers=1)
    assert labels(src, tmp_path / "x.beton", image_column="img.jpg") == ([1], ["0", "1"])
    fields = {"label": "int", "seg.png": "mask"}
    assert labels(src, tmp_path / "y.beton", fields=fields) == ([1], ["0", "1"])


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\xff\x0a\x00\x00", "JPEG XL"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_formats_that_pillow_lacks_are_named(tmp_path: Path, data: bytes, name: str) -> None:
    with pytest.raises(BadSample, match=f"{name}, which this Pillow cannot read"):
        convert([(data, 0)], tmp_path / "x.beton", workers=1)


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_of_an_animation_the_first_frame_counts(tmp_path: Path, form: str) -> None:
    first = Image.fromarray(picture(60, 40))
    data = saved(first, form, save_all=True, append_images=[Image.new("RGB", (60, 40))] * 2)
    convert([(data, 0)], tmp_path / "x.beton", workers=1)
    with Loader(tmp_path / "x.beton", 1, resolution=32, train=False, dtype="uint8", num_workers=1) as loader:
        assert next(iter(loader))[0].float().std() > 10


def test_exif_orientation_is_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for codec in ("JPEG", "PNG"):
        convert([(saved(Image.fromarray(picture(60, 40)), codec, exif=exif), 0)], tmp_path / "x.beton", workers=1)
        with open_dataset(tmp_path / "x.beton") as dataset:
            entry = dataset.entries([0])[0, 0]
            assert (entry["width"], entry["height"]) == (60, 40)
