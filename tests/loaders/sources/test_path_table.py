from __future__ import annotations

from pathlib import Path

import pytest

from loaders.beton.fields import parse_fields
from loaders.errors import BadDataset
from loaders.sources.open import open_dataset, open_source
from loaders.sources.path_table import Table
from loaders.sources.source import Options


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8-sig")
    return path


def test_numbers_names_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "ü.JPG").write_bytes(b"image")
    source = open_source(written(tmp_path / "x.csv", 'path,label\n"a b/ü.JPG",2\ngone.jpg,0\n'))
    assert isinstance(source, Table) and source.classes == ["0", "1", "2"] and len(source) == 2
    first, second = source.samples()
    assert (first.name, first.values) == ("a b/ü.JPG", {"label": 2})
    assert not isinstance(first.image, bytes) and first.image.read() == b"image"
    assert second.name == "gone.jpg" and second.problem == (
        f"no such file: {tmp_path}/gone.jpg; relative paths begin at {tmp_path}, or at `image_root` (--image-root) of "
        "the conversion"
    )
    named = open_source(written(tmp_path / "y.tsv", "image\tclass\n1.jpg\tzebra\n2.jpg\tant\n3.jpg\t7\n"))
    assert named.classes == ["7", "ant", "zebra"]
    ordered = open_source(tmp_path / "y.tsv", classes=("zebra", "ant", "7"))
    assert ordered.classes == ["zebra", "ant", "7"]


def test_cells_are_read_by_their_types(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"")
    fields = parse_fields({"n": "int", "x": "float", "v": ("float32", 2), "facts": "json", "text": "bytes"})
    source = open_source(
        written(tmp_path / "x.tsv", 'file\tn\tx\tv\tfacts\ttext\n1.jpg\t3.0\t0.5\t[1, 2]\t{"a": 1}\thello\n'),
        fields=fields,
    )
    (sample,) = source.samples()
    assert sample.values == {"n": 3, "x": 0.5, "v": [1, 2], "facts": {"a": 1}, "text": "hello"}
    bad = open_source(written(tmp_path / "y.csv", "file,n\n1.jpg,many\n"), fields=parse_fields({"n": "int"}))
    assert next(bad.samples()).problem.startswith("column 'n' must hold a whole number, got 'many'; docs/sources.md")
    tags = written(tmp_path / "z.csv", "file,class\n1.jpg,cat;dog\n")
    bad = open_source(tags, fields=parse_fields({"label": "json"}))
    assert next(bad.samples()).problem.startswith(
        'column \'class\' must hold JSON, for example [1, 0] or ["cat", "dog"]'
    )


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("x.csv", "a,b\n1,2\n", "needs a column of image paths, has a, b; name it by path_column"),
        ("x.csv", "", "must have at least one row with an image's path, got none"),
        ("x.csv", "path,label\n", "must have at least one row with an image's path, got none"),
        ("x.jsonl", "\n", "must have at least one row with an image's path, got none"),
        ("x.csv", "path,label\n1.jpg\n", "row 1 has other columns than the header"),
        ("x.csv", "path,label\n1.jpg,2,3\n", "row 1 has other columns than the header"),
        ("x.jsonl", '{"path": "1.jpg"}\n{broken\n', "cannot be read as a table"),
        ("x.jsonl", '{"path": "1.jpg"}\n[1]\n', "row 2 has other columns"),
        ("x.csv", "path,label\n1.jpg,2\n2.j\0\0\0\0\0\0\0\0\0\0,4\n", "line 3 has a NUL character"),
        ("x.tsv", "path\0label\n1.jpg\t2\n", "line 1 has a NUL character"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises((BadDataset, ValueError), match=f"{name}: {told}"):
        open_source(written(tmp_path / name, text))


def test_columns_are_chosen(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", "path,where,breed\n0.jpg,1.jpg,cat\n")
    source = open_source(path, path_column="where", label_column="breed")
    assert [sample.name for sample in source.samples()] == ["1.jpg"] and source.classes == ["cat"]
    with pytest.raises(ValueError, match="has the columns path, where, breed, got 'kind'"):
        open_source(path, label_column="kind")


def test_images_below_another_folder(tmp_path: Path) -> None:
    for folder in ("tables", "photos", "copies"):
        (tmp_path / folder).mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(b"image")
    path = written(tmp_path / "tables" / "x.csv", "path\n1.jpg\n2.jpg\n")
    photos, copies = (open_source(path, image_root=tmp_path / name) for name in ("photos", "copies"))
    first, second = photos.samples()
    assert not isinstance(first.image, bytes) and (first.name, first.image.read()) == ("1.jpg", b"image")
    assert second.problem.startswith(f"no such file: {tmp_path}/photos/2.jpg; ")
    assert len({source.fingerprint() for source in (photos, copies, open_source(path))}) == 3
    with pytest.raises(ValueError, match=r"`image_root` must be the folder that .* got .*/gone"):
        open_source(path, image_root=tmp_path / "gone")
    with pytest.raises(ValueError, match="URLs with credentials"):
        open_source(path, image_root="s3://key:secret@bucket/photos")


def test_a_missing_mask_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"image")
    path = written(tmp_path / "x.csv", "path,seg\n1.jpg,1.png\n")
    (sample,) = open_source(path, fields=parse_fields({"seg": "mask"})).samples()
    assert sample.problem.startswith(f"no such file: {tmp_path}/1.png; ")


def test_numbers_that_are_class_names_are_names(tmp_path: Path) -> None:
    """Given the names 1 to 3, the label 1 is the first class, not the second."""
    (tmp_path / "0.jpg").write_bytes(b"image")
    path = written(tmp_path / "x.csv", "path,label\n0.jpg,1\n0.jpg,3\n")
    source = open_source(path, classes=("1", "2", "3"))
    assert [sample.values["label"] for sample in source.samples()] == ["1", "3"]
    counted = open_source(path, classes=("none", "one", "two", "three"))
    assert [sample.values["label"] for sample in counted.samples()] == [1, 3]


def test_labels_that_count_from_1_are_noted(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", "path,label,other\n0.jpg,1,0\n1.jpg,3.0,1\n")
    (hint,) = Table(str(path), Options()).hints
    assert hint.startswith("no sample has the label 0, labels go from 1 to 3: a network for them has 4 outputs; ")
    assert "name the classes 1, 2, ... by `classes` (--classes)" in hint
    assert not any("label 0" in hint for hint in Table(str(path), Options(label_column="other")).hints)
    renumbered = Table(str(path), Options(classes=("1", "2", "3")))
    assert renumbered.hints == () and renumbered.classes == ["1", "2", "3"]


def test_a_split_is_a_value_of_its_column(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", "path,label,split\n0.jpg,b,train\n1.jpg,a,val\n2.jpg,b,val \n")
    both, val = open_source(path), open_source(path, split="val")
    assert ([sample.name for sample in val.samples()], val.classes) == (["1.jpg", "2.jpg"], ["a", "b"])
    assert len(both) == 3 and both.fingerprint() != val.fingerprint()
    with pytest.raises(ValueError, match="must be a value in the column `split`, got 'test'; it has train, val"):
        open_source(path, split="test")
    with pytest.raises(ValueError, match="got 'val'; it has no column `split`"):
        open_source(written(tmp_path / "y.csv", "path,label\n0.jpg,b\n"), split="val")


def test_columns_of_numbers_are_fields(tmp_path: Path) -> None:
    rows = [
        "path,label,age,count,tags,box,note,ragged,much,index,gap",
        '1.jpg,a,0.5,3,"[1, 0]","[1, 2.5]",x,[1],1e999,7,1',
    ]
    source = open_source(
        written(tmp_path / "x.csv", "\n".join([*rows, '2.jpg,b,2,4,"[0, 0]","[1, 2]",3,"[1, 2]",1,8,\n']))
    )
    types = {
        "label": "int",
        "age": "float",
        "count": "int",
        "tags": ("int64", 2),
        "box": ("float64", 2),
        "much": "float",
    }
    assert source.fields == parse_fields(types)
    (tmp_path / "2.jpg").write_bytes(b"image")
    assert [*source.samples()][1].values == {
        "label": "b", "age": 2.0, "count": 4, "tags": [0, 0], "box": [1, 2], "much": 1.0
    }  # fmt: skip
    lines = ['{"path": "1.jpg", "on": [true, false], "odd": [true, 1], "yes": true, "n": 9223372036854775808}'] * 2
    assert open_source(written(tmp_path / "x.jsonl", "\n".join(lines))).fields == parse_fields({"on": ("bool", 2)})


def test_columns_that_are_not_stored_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    columns = "file,label,age,height,größe,index,caption,split"
    path.write_text(f"{columns}\n0.jpg,0,2,1.5,3,7,a,train\n1.jpg,1,,2.5,3,8,b,train\n")
    table = Table(str(path), Options(split="train"))
    assert list(table.fields) == ["label", "height"]
    (hint,) = table.hints
    assert hint.startswith("columns that are not stored: age, größe, index, caption. Unless ")
    assert Table(str(path), Options(split="train", fields=parse_fields({"label": "int"}))).hints == ()


def test_another_column_is_the_label_of_a_table_that_is_not_converted(tmp_path: Path, jpeg_folder: Path) -> None:
    first, second = sorted((jpeg_folder / "val").rglob("*.jpg"))[:2]
    path = written(tmp_path / "x.csv", f"path,label,kind\n{first},0,b\n{second},1,a\n")
    with open_dataset(path, label_field="kind") as dataset:
        assert dataset.classes == ["a", "b"] and dataset.labels([0, 1]).tolist() == [1, 0]
    with pytest.raises(ValueError, match="has the columns path, label, kind, got 'nope'"):
        open_dataset(path, label_field="nope")
