"""Every wrong argument is refused at once, by an error of one line that names it and the remedy."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from loaders import Loader
from loaders.dataloader_attributes import INSTEAD

KEYWORDS = [name for name in inspect.signature(Loader.__init__).parameters if name not in ("self", "data")]
ODD = [None, "x", "", -1, 0, 1, True, 1.5, float("nan"), float("inf"), [], ["a"], {}, object(), 10**30, np.int64(2)]
ODD += [torch.tensor(1), b"x", [None], np.array([0.1, 0.2]), iter(())]
NOT_NAMED = {"indices"}
"""Some indices leave an epoch without a batch: the error names `batch_size`."""


@pytest.mark.parametrize("name", KEYWORDS)
def test_odd_values_work_or_are_refused_by_name(beton: Path, name: str) -> None:
    for value in ODD:
        options = {"batch_size": 4, "resolution": 32, "num_workers": 1, name: value}
        try:
            loader = Loader(beton, **options)
        except (ValueError, TypeError) as error:
            assert name in NOT_NAMED or f"`{name}`" in str(error), f"{value!r}: {error}"
            assert "\n" not in str(error)
            continue
        with loader:  # what is accepted must work
            next(iter(loader))
            assert pickle.dumps(loader.state_dict())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_workers": 0}, "None takes the processors at hand"),
        ({"prefetch_factor": None}, "`prefetch_factor` must be a whole number from 1 to 1024, got None."),
        ({"mean": (123.7, 116.3, 103.5)}, "divide by 255"),
        ({"std": (0, 1, 1)}, "`std` must be positive"),
        ({"mean": (0.5,)}, "`mean` must be three numbers, for R, G and B"),
        ({"train": 1}, "`train` must be one of True, False, got 1."),
        (
            {"rank": 0.5, "world_size": 2},
            "`rank` must be a whole number from 0 to `world_size` - 1, got rank 0.5",
        ),
        (
            {"weights": "balanced", "shuffle": "quasi"},
            "`weights` draw samples at random, which `shuffle` 'quasi'",
        ),
        ({"transforms": [], "dtype": "float16"}, "`dtype` has no effect on `transforms`, which get 8-bit images"),
        ({"transforms": [], "memory_format": "channels_last"}, "`memory_format` has no effect on `transforms`"),
        ({"transforms": [], "erase": 0.5}, "`erase` has no effect on `transforms`"),
        ({"cache_dir": "x"}, "`cache_dir` is for data at a URL and has no effect on local data, got 'x'"),
        ({"device": "warp"}, '`device` must be "cpu", or "cuda" if torch sees a GPU, got \'warp\'.'),
        (
            {"device": "mps"},
            '`device` must be "cpu", or "cuda" if torch sees a GPU, got \'mps\'; for another device, pass "cpu" and '
            "move the batches: `images.to(device)`.",
        ),
    ],
)
def test_errors_give_the_rule(beton: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="`") as caught:
        Loader(beton, **options)
    assert said in str(caught.value)


def test_keywords_of_the_dataloader_are_taken_or_have_a_remedy(beton: Path) -> None:
    for name in inspect.signature(DataLoader.__init__).parameters:
        assert name == "self" or name in KEYWORDS or name in INSTEAD, name
    for name, remedy in INSTEAD.items():
        with pytest.raises(TypeError) as caught:
            Loader(beton, **{name: None})
        assert str(caught.value) == f"Loader has no argument `{name}`: {remedy}"


def test_a_misspelt_keyword_is_corrected(beton: Path) -> None:
    with pytest.raises(TypeError, match=r"no argument `resolutions`: did you mean `resolution`\?"):
        Loader(beton, resolutions=96)  # type: ignore[call-arg]


def test_constants_of_torch_are_their_names(beton: Path) -> None:
    given: dict[str, Any] = {"batch_size": 4, "resolution": 32, "num_workers": 1, "train": False}
    with (
        Loader(beton, dtype=torch.float16, memory_format=torch.channels_last, **given) as loader,
        Loader(beton, dtype="float16", memory_format="channels_last", **given) as named,
    ):
        images, expected = next(iter(loader))[0], next(iter(named))[0]
        assert images.is_contiguous(memory_format=torch.channels_last) and torch.equal(images, expected)
        assert pickle.loads(pickle.dumps(loader)).num_workers == 1
