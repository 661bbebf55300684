"""Several betons as one data set: the same batches as one file, and a wrong part is named."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from loaders import BadDataset, BadSample, Loader, convert, open_dataset
from loaders.conversion import compact_parts, extract, remove_samples, split_parts, write_manifest
from loaders.sources.dataset import Dataset
from loaders.sources.open import open_source
from loaders.sources.parts import Parts, open_parts


@pytest.fixture(scope="module")
def folders(jpeg_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.beton, and the same samples cut into part-0.beton and part-1.beton."""
    place = tmp_path_factory.mktemp("parts")
    source = jpeg_folder / "train"
    for k in range(2):
        for folder in sorted(source.iterdir()):
            (place / f"source-{k}" / folder.name).mkdir(parents=True)
            for path in sorted(folder.iterdir())[k::2]:
                shutil.copy(path, place / f"source-{k}" / folder.name)
        convert(place / f"source-{k}", place / f"part-{k}.beton", workers=1)
    convert(source, place / "train.beton", workers=1)
    return place


def test_samples_are_those_of_the_parts(folders: Path) -> None:
    parts = [open_dataset(folders / f"part-{k}.beton") for k in range(2)]
    with open_dataset(folders / "part-*.beton") as whole:
        assert len(whole) == sum(map(len, parts)) == 24
        order = np.array([23, 0, 12, 11, 5])
        names = [(parts[k // 12].name(k % 12), parts[k // 12].read(k % 12, 1)) for k in order.tolist()]
        assert [(whole.name(k), whole.read(k, 1)) for k in order.tolist()] == names
        wanted = [parts[k // 12].labels([k % 12])[0] for k in order.tolist()]
        entries = whole.entries(order)
        for row, k in enumerate(order.tolist()):
            expected = parts[k // 12].entries([k % 12])[0]
            assert [entries[row][name].tolist() for name in expected.dtype.names[1:]] == [
                expected[name].tolist() for name in expected.dtype.names[1:]
            ]
            assert (entries[row]["path"] == ~whole.parts[k // 12].fd).all()  # type: ignore[attr-defined]
        assert whole.labels(order).tolist() == wanted == whole.read_field("label", order).tolist()
        with pytest.raises(IndexError, match="go from 0 to 23"):
            whole.entries([24])


LEFT = {"begin_epoch", "bounds", "expect", "fd", "head_fd", "index_rows", "reader", "span", "together"}
LEFT |= {"with_tables", "with_values"}
"""Members of a data set that are of one beton, or do nothing in betons."""
DERIVED = {"check_tables", "originals", "read_field", "read_original", "stored_at"}
"""Members that `Dataset` makes of others."""


def test_every_member_of_a_data_set_is_that_of_all_parts(folders: Path) -> None:
    members = {name for name in (*vars(Dataset), *Dataset.__annotations__) if not name.startswith("_")}
    with open_dataset(folders / "part-*.beton") as whole:
        assert members - vars(Parts).keys() - vars(whole).keys() == LEFT | DERIVED


def test_batches_are_those_of_one_file(folders: Path) -> None:
    def pixels(data: object, **options: object) -> dict[str, str]:
        with Loader(data, batch_size=24, resolution=48, train=False, fields=("image", "name"), **options) as loader:  # type: ignore[arg-type]
            return {
                name: hashlib.sha256(image.numpy().tobytes()).hexdigest()
                for images, names in loader
                for image, name in zip(images, names, strict=True)
            }

    one = pixels(folders / "train.beton")
    assert len(one) == 24
    assert pixels([folders / "part-0.beton", folders / "part-1.beton"]) == one
    assert pixels(str(folders / "part-*.beton"), shuffle=True) == one


def test_parts_are_converted_to_one_file(folders: Path, tmp_path: Path) -> None:
    split_parts(str(folders / "train.beton"), str(tmp_path / "parts" / "all.json"), 3)
    pattern, manifest = str(tmp_path / "parts" / "*.beton"), tmp_path / "parts" / "all.json"
    for source, name in ((folders / "train.beton", "one"), (pattern, "joined"), (manifest, "listed")):
        assert convert(source, tmp_path / f"{name}.beton", workers=1).images == 24
    one = (tmp_path / "one.beton").read_bytes()
    assert (tmp_path / "joined.beton").read_bytes() == (tmp_path / "listed.beton").read_bytes() == one
    before = [open_source(source).fingerprint() for source in (pattern, manifest)]
    first = min((tmp_path / "parts").glob("*.beton"))
    os.utime(first, (1, 1))
    assert not {open_source(source).fingerprint() for source in (pattern, manifest)} & set(before)
    for source in (pattern, manifest):
        with pytest.raises(ValueError, match="must be another file than the source"):
            convert(source, first, workers=1)
        with pytest.raises(ValueError, match="must be another file than the source"):
            extract(source, first, 1, workers=1)
    assert remove_samples(str(manifest), indices=[3]) == 1
    assert convert(manifest, tmp_path / "fewer.beton", workers=1).images == 23


def test_a_manifest_in_other_forms(tmp_path: Path) -> None:
    for name, text, known in (
        ("a", '{"format": "beton-parts", "version": 9}', "not a manifest of betons of version 1 or 2"),
        ("b", '{"version":9,"format":"beton-parts"}', "not a manifest of betons of version 1 or 2"),
        ("c", '{"images": [], "annotations": []}', "no kind of source recognises it; .* COCO"),
        ("d", "", "no kind of source recognises it"),
    ):
        (tmp_path / f"{name}.json").write_text(text)
        with pytest.raises((BadDataset, ValueError), match=known):
            convert(tmp_path / f"{name}.json", tmp_path / "x.beton")


def test_a_loader_of_parts_is_pickled(folders: Path) -> None:
    with Loader(folders / "part-*.beton", batch_size=8, resolution=32) as loader:
        again = pickle.loads(pickle.dumps(loader))
        with again:
            assert len(again.source) == 24


def test_a_manifest_names_a_wrong_part(folders: Path, tmp_path: Path) -> None:
    parts = [shutil.copy(folders / f"part-{k}.beton", tmp_path) for k in range(2)]
    manifest = tmp_path / "train.json"
    assert write_manifest(parts, manifest) == 24
    with open_dataset(manifest) as whole:
        assert len(whole) == 24
    with pytest.raises(FileExistsError):
        write_manifest(parts, manifest)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part-0.beton", "part-1.beton", "train.json"]

    second = tmp_path / "part-1.beton"
    second.rename(tmp_path / "kept")
    with pytest.raises(FileNotFoundError, match=r"part-1\.beton: no such file, a part of .*train\.json"):
        open_dataset(manifest)
    shutil.copy(folders / "part-0.beton", second)
    with pytest.raises(BadDataset, match=r"part-1\.beton: another file than .* names"):
        open_dataset(manifest)
    second.write_bytes((tmp_path / "kept").read_bytes()[:-100])
    with pytest.raises(BadDataset, match=r"part-1\.beton: cut short"):
        open_dataset(manifest)
    manifest.write_text('{"format": "other"}')
    with pytest.raises(BadDataset, match="not a manifest of betons"):
        open_dataset(manifest)


def test_a_foreign_part_is_named(folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders / "source-0", tmp_path / "other")
    (tmp_path / "other" / "class000").rename(tmp_path / "other" / "another")
    convert(tmp_path / "other", tmp_path / "other.beton", workers=1)
    with pytest.raises(BadDataset, match=r"other\.beton: does not belong .* its classes are"):
        open_dataset([folders / "part-0.beton", tmp_path / "other.beton"])


def test_a_part_that_is_replaced_while_the_set_is_opened(beton: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "train.json"
    split_parts(beton, str(manifest), 3, workers=1)
    asked: list[str] = []

    def open_beton(path: str) -> Dataset:
        if not asked:
            remove_samples(str(manifest), indices=[0, 9])
            compact_parts(str(manifest), workers=1)
        asked.append(path)
        return open_dataset(path)

    with open_parts(manifest, open_beton) as whole:
        assert len(whole) == 22
    (tmp_path / asked[-1]).unlink()
    with pytest.raises(FileNotFoundError, match="no such file, a part of"):
        open_parts(manifest, open_beton)


def test_no_file_of_a_pattern(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file of that pattern"):
        open_dataset(tmp_path / "train-*.beton")


def test_damage_in_a_part_is_named(folders: Path, tmp_path: Path) -> None:
    first, second = (Path(shutil.copy(folders / f"part-{k}.beton", tmp_path)) for k in range(2))
    with open_dataset(second) as part:
        entry = part.entries([3])[0, 0]
    with second.open("r+b") as file:
        file.seek(int(entry["offset"]) + int(entry["head"]) + 30)
        file.write(b"\0\0\0\0")
    loader = Loader([first, second], batch_size=24, resolution=96, train=False, max_level=0)
    with loader, pytest.raises(BadSample) as caught:
        list(loader)
    assert caught.value.index == 15


def test_many_parts_raise_the_limit_of_open_files(beton: Path) -> None:
    code = (
        "import resource, sys; from loaders import open_dataset\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))\n"
        "assert len(open_dataset([sys.argv[1]] * 80)) == 80 * 24\n"
    )
    subprocess.run([sys.executable, "-c", code, os.fspath(beton)], check=True, timeout=120)


@pytest.mark.parametrize("parts", [[1], ["a"], [{"path": "a.beton", "head": "x", "samples": float("inf")}], [], {}])
def test_malformed_manifests_are_named(tmp_path: Path, parts: object) -> None:
    (tmp_path / "t.json").write_text(json.dumps({"format": "beton-parts", "version": 1, "parts": parts}))
    with pytest.raises(BadDataset, match=r"t\.json: not a manifest of betons"):
        open_dataset(tmp_path / "t.json")
