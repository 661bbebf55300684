"""Batches of crops as JPEGs: what is cut, what is handed on whole, and what no decoder gets to see."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from loaders import native
from loaders.plan import plan_batch
from loaders.plan.records import table_bytes
from loaders.sources import Dataset, open_dataset
from tests.images import jpeg, picture


def planned(dataset: Dataset) -> NDArray[np.void]:
    indices = np.arange(len(dataset))
    return plan_batch(dataset.entries(indices), indices, seed=3, epoch=0, resolution=96, train=True)


def cut(samples: NDArray[np.void], fd: int = -1) -> native.Cutting:
    cutting = native.Cutting(native.Pool(2), samples, fd)
    assert cutting.wait(30)
    return cutting


def files(tmp_path: Path, **contents: bytes) -> tuple[NDArray[np.void], list[bytes]]:
    """SAMPLE records of the middle of 96 x 64 pixels, and the names that they point to."""
    samples, names = np.zeros(len(contents), native.SAMPLE), []
    for i, (name, data) in enumerate(contents.items()):
        if data:
            (tmp_path / name).write_bytes(data)
        names.append(os.fsencode(tmp_path / name) + b"\0")
        entry = samples["entry"][i]
        entry["path"], entry["width"], entry["height"] = np.frombuffer(names[-1], np.uint8).ctypes.data, 96, 64
        samples["entry"][i] = entry
    samples["box"], samples["scale"] = (40.5, 20.5, 60, 30), 1
    return samples, names


def test_a_pyramid_is_cut_as_its_whole_records_would_be(beton: Path) -> None:
    with open_dataset(beton) as dataset:
        samples = planned(dataset)
        assert len(np.unique(samples["entry"]["width"])) > 1
        cutting = cut(samples, dataset.fd)
        assert not cutting.status.any(), [cutting.message(i) for i in range(len(samples))]
        for i, sample in enumerate(samples):
            entry = sample["entry"]
            record = os.pread(dataset.fd, int(entry["size"]), int(entry["offset"]))
            x0, y0, x1, y1 = sample["box"].tolist()
            inside = (
                int(x0),
                int(y0),
                min(int(entry["width"]), -int(-x1 // 1)),
                min(int(entry["height"]), -int(-y1 // 1)),
            )
            part, x, y = native.cut(record, inside)
            assert (cutting.jpeg(i).tobytes(), *cutting.origins[i]) == (part, x, y)


def test_damage_counts_where_it_is_read(beton: Path, tmp_path: Path) -> None:
    with open_dataset(beton) as dataset:
        samples = planned(dataset)[:1]
    entry, mcu_rows = samples[0]["entry"], int(samples[0]["entry"]["rows"])
    samples["box"] = (0, 0, int(entry["width"]), 8)
    start, size, table = int(entry["offset"]), int(entry["size"]), table_bytes(mcu_rows)
    for at, status in [
        (-table, native.DAMAGED),
        (3, native.DAMAGED),
        (int(entry["head"]) + 4, native.DAMAGED),
        (size - 9, native.OK),
    ]:
        path = tmp_path / "damaged.beton"
        shutil.copyfile(beton, path)
        with open(path, "r+b") as file:
            file.seek(start + at)
            byte = file.read(1)[0]
            file.seek(start + at)
            file.write(bytes([byte ^ 16]))
            file.flush()
            assert cut(samples, file.fileno()).status.tolist() == [status]


def test_what_cannot_be_cut_is_handed_on_whole(tmp_path: Path) -> None:
    plain, progressive = jpeg(picture(96, 64, 1), "4:2:0"), jpeg(picture(96, 64, 2), "4:2:0", progressive=True)
    marked = jpeg(picture(96, 64, 3), "4:2:0", restart=2)
    whole = [plain, progressive, plain + b"stray", plain + plain]
    samples, names = files(tmp_path, **{f"{i}": data for i, data in enumerate(whole)}, marked=marked)
    cutting = cut(samples)
    assert len(names) == 5 and not cutting.status.any()
    assert [cutting.jpeg(i).tobytes() for i in range(4)] == whole
    assert not cutting.origins[:4].any()
    assert (cutting.jpeg(4).tobytes(), *cutting.origins[4]) == native.cut(marked, (40, 20, 60, 30))


def test_no_decoder_gets_what_is_not_sound(tmp_path: Path) -> None:
    plain = jpeg(picture(96, 64, 1), "4:2:0")
    cases = {
        "endless": (plain[:-2], native.DAMAGED, "end-of-image marker is missing"),
        "ends_early": (plain[:-300] + b"\xff\xd9" + plain[-300:], native.DAMAGED, "300 bytes follow"),
        "ends_twice": (plain[:-20] + b"\xff\xd9" + plain[-20:], native.DAMAGED, "20 bytes follow"),
        "followed": (plain + bytes(100), native.DAMAGED, "100 bytes follow"),
        "other_size": (jpeg(picture(90, 64, 1), "4:2:0"), native.DAMAGED, "90 x 64 pixels"),
        "text": (b"no image", native.UNSUPPORTED, ""),
        "missing": (b"", native.IO_ERROR, "No such file"),
    }
    samples, names = files(tmp_path, **{name: data for name, (data, _, _) in cases.items()})
    cutting = cut(samples)
    assert len(names) == len(cases)
    for i, (_, status, message) in enumerate(cases.values()):
        assert (cutting.status[i], len(cutting.jpeg(i))) == (status, 0) and message in cutting.message(i)


@pytest.mark.parametrize("box", [(-9, 0, -1, 8), (0, 0, float("nan"), 8), (8, 8, 8, 8), (96, 0, 99, 8)])
def test_boxes_must_lie_inside(tmp_path: Path, box: tuple[float, ...]) -> None:
    samples, names = files(tmp_path, marked=jpeg(picture(96, 64, 3), "4:2:0", restart=2))
    samples["box"] = box
    assert names and cut(samples).status.tolist() == [native.BAD_ARGUMENT]
