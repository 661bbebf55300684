from __future__ import annotations

from pathlib import Path

import pytest

from loaders import convert


@pytest.fixture(scope="session")
def beton(jpeg_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 images of 3 classes as a pyramid."""
    out = tmp_path_factory.mktemp("frameworks") / "train.beton"
    convert(jpeg_folder / "train", out, workers=1)
    return out


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Other packages' warnings are theirs."""
    for item in items:
        if Path(__file__).parent in Path(item.fspath).parents:
            item.add_marker(pytest.mark.filterwarnings("ignore"))
