"""A validation set is numbered as the training set is: by name, never by position."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from loaders import convert, open_dataset
from tests.contract import make


@pytest.fixture(scope="module")
def fewer(jpeg_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A validation folder without the training set's class 1."""
    root = tmp_path_factory.mktemp("fewer") / "val"
    for name in ("class000", "class002"):
        shutil.copytree(jpeg_folder / "val" / name, root / name)
    return root


@pytest.mark.parametrize("form", ["folder", "pyramid"])
@pytest.mark.parametrize("backend", ["torch", pytest.param("ffcv", marks=pytest.mark.ffcv)])
def test_labels_follow_the_training_sets_classes(
    beton: Path, fewer: Path, tmp_path: Path, form: str, backend: str
) -> None:
    data = fewer
    if form == "pyramid":
        data = tmp_path / "val.beton"
        convert(fewer, data, workers=1)
    elif backend == "ffcv":
        pytest.skip("FFCV reads betons only")
    with make(beton) as train:
        with make(data, train=False, batch_size=64) as alone:
            assert {int(label) for _, labels in alone for label in labels} == {0, 1}
        with make(data, train=False, batch_size=64, classes=train.classes, backend=backend) as val:
            assert val.classes == train.classes and set(val.dataset.targets) == {0, 2}
            assert {int(label) for _, labels in val for label in labels} == {0, 2}


def test_a_class_that_training_lacks_is_refused(beton: Path) -> None:
    with pytest.raises(ValueError, match="must name every class of the data set, it lacks class002"):
        make(beton, classes=["class000", "class001"])
    with pytest.raises(ValueError, match="must be different names"):
        make(beton, classes=["class000", "class001", "class002", "class002"])


def test_options_that_come_too_late_are_refused(beton: Path) -> None:
    with open_dataset(beton) as dataset:
        names = dataset.classes
        assert open_dataset(dataset, classes=names, label_field="label") is dataset
        with pytest.raises(ValueError, match="is open already, with other `classes`; pass them to `open_dataset`"):
            make(dataset, classes=names[::-1])
        with pytest.raises(ValueError, match="is open already, `label_field` must be 'label' or None, got 'age'"):
            open_dataset(dataset, label_field="age")


def test_only_an_open_beton_takes_other_classes(beton: Path, fewer: Path) -> None:
    """Other data sets would change the names and keep the labels."""
    for data in (fewer, [beton, beton]):
        with open_dataset(data) as dataset:
            assert not hasattr(dataset, "use_classes")


@pytest.mark.ffcv
def test_ffcv_betons_number_classes_and_take_names(ffcv_beton: Path) -> None:
    with open_dataset(ffcv_beton, classes=["a", "b", "c"]) as dataset:
        assert dataset.classes == ["a", "b", "c"] and set(dataset.labels(range(24)).tolist()) == {0, 1, 2}
    with pytest.raises(ValueError, match="must name its 3 classes, got 2"):
        open_dataset(ffcv_beton, classes=["a", "b"])
