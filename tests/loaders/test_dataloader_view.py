"""The loader's data set and samplers, as torch's DataLoader and frameworks use them."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, DistributedSampler, SequentialSampler, Subset

from loaders import Loader, LoaderError
from loaders.dataloader_view import KeyedIndex
from tests.contract import digest, make


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("options", [{}, {"views": 1, "aug_repeats": 2}, {"magnitude": 5}])
def test_a_rebuilt_dataloader_gives_the_loaders_batches(beton: Path, num_workers: int, options: dict[str, int]) -> None:
    with make(beton, **options) as loader, make(beton, **options) as wanted:
        rebuilt = DataLoader(
            loader.dataset,
            batch_sampler=loader.batch_sampler,
            collate_fn=loader.collate_fn,
            num_workers=num_workers,
        )
        assert len(rebuilt) == len(wanted)
        for _ in range(2):
            assert digest(list(rebuilt)) == digest(list(wanted))


def test_attributes_are_those_of_a_dataloader(beton: Path) -> None:
    plain = DataLoader([1, 2, 3])
    with make(beton) as loader:
        missing = [
            name for name in vars(plain) if not name.startswith("_") and name not in ("batch_sampler",)
            if not hasattr(loader, name)
        ]  # fmt: skip
        assert missing == []
        assert (loader.batch_size, loader.num_workers, loader.drop_last, loader.pin_memory) == (5, 2, True, False)


def test_samples_are_dictionaries_where_batches_are(beton: Path) -> None:
    with make(beton, collate="dict", fields=("image", "label", "name"), train=False) as loader:
        sample, batch = loader.dataset[3], next(iter(loader))
        assert list(sample) == ["pixel_values", "labels", "name"]
        assert torch.equal(sample["pixel_values"], batch["pixel_values"][3]) and sample["name"] == batch["name"][3]


def test_the_dataset_is_torchvisions(beton: Path) -> None:
    with make(beton, fields=("image", "label"), train=False) as loader:
        dataset = loader.dataset
        assert len(dataset) == 24 and dataset.classes == ["class000", "class001", "class002"]
        assert dataset.class_to_idx == {"class000": 0, "class001": 1, "class002": 2}
        assert dataset.targets == [0] * 8 + [1] * 8 + [2] * 8
        image, label = dataset[9]
        assert image.shape == (3, 32, 32) and label == 1
        assert Counter(label for _, label in dataset) == {0: 8, 1: 8, 2: 8}  # 0-dimensional tensors would be 24 keys
        labels = torch.cat([labels for _, labels in DataLoader(dataset, 8)])
        assert labels.tolist() == dataset.targets and labels.dtype == torch.int64
        assert dataset.imgs == dataset.samples
        images, _ = next(iter(loader))
        assert torch.equal(dataset[0][0], images[0])
        for index in (24, -25):
            with pytest.raises(IndexError, match=f"sample indices go from 0 to 23, got {index}"):
                dataset[index]
        assert torch.equal(dataset[-1][0], dataset[23][0])
        names = [name for name, _ in dataset.samples]
        assert names[9].startswith("class001/") and [label for _, label in dataset.samples] == dataset.targets
    with make(beton, indices=[20, 3], drop_last=False) as subset:
        assert subset.dataset.samples == [(names[20], 2), (names[3], 0)]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_dataloader_of_the_dataset_alone_shows_new_crops_each_epoch(beton: Path, workers: int) -> None:
    with make(beton) as loader, make(beton) as other, make(beton, train=False) as val:
        torch.manual_seed(3)
        first, second = (
            torch.cat([images for images, _ in DataLoader(data.dataset, 8, num_workers=workers)])
            for data in (loader, loader)
        )
        assert not (first == second).flatten(1).all(1).any()
        torch.manual_seed(3)  # the same seed, the same crops
        assert torch.equal(
            torch.cat([images for images, _ in DataLoader(other.dataset, 8, num_workers=workers)]), first
        )
        once, again = (torch.cat([images for images, _ in DataLoader(val.dataset, 8)]) for _ in range(2))
        assert torch.equal(once, again)


def test_a_real_dataloader_hands_on_the_batches(beton: Path) -> None:
    with make(beton) as loader, make(beton) as other:
        plain = loader.as_dataloader()
        assert isinstance(plain, DataLoader) and len(plain) == len(loader) == 4
        assert len(plain.dataset) == 24 and plain.dataset.targets == loader.dataset.targets
        for _ in range(2):  # epochs 0 and 1
            pairs = zip(plain, other, strict=True)
            assert all(torch.equal(mine, theirs) for (mine, _), (theirs, _) in pairs)
        assert loader.epoch == 2


def test_a_loader_taken_for_a_dataset_says_what_to_pass(beton: Path) -> None:
    with make(beton) as loader:
        for wrapped in (DataLoader(loader, 4), DataLoader(Subset(loader, [0, 1]), 2)):  # type: ignore[arg-type]
            with pytest.raises(TypeError, match=r"got a Loader.*`loader\.as_dataloader\(\)`.*`loader\.dataset`"):
                next(iter(wrapped))


def test_what_would_have_no_effect_cannot_be_set(beton: Path) -> None:
    with make(beton) as loader:
        targets = loader.dataset.targets
        for name, argument in (("transform", "transforms"), ("target_transform", "transforms"), ("targets", "indices")):
            with pytest.raises(AttributeError, match=f"`{name}` of .* cannot be set: pass `{argument}=` to the Loader"):
                setattr(loader.dataset, name, None)
        assert loader.dataset.transform is loader.dataset.target_transform is None
        assert loader.dataset.targets == targets
        for name, remedy in (("resolution", r"`set_stage\(resolution=\.\.\.\)`"), ("drop_last", "a new Loader")):
            with pytest.raises(
                AttributeError, match=f"`{name}` cannot be set after the Loader is made; it takes {remedy}"
            ):
                setattr(loader, name, 64)
        loader.mixup_enabled = False  # timm's train.py does so


def test_a_sequential_sampler_is_one_that_goes_in_order(beton: Path) -> None:
    for options, in_order in (
        ({"train": False}, True),
        ({}, False),
        ({"train": False, "weights": "balanced"}, False),
    ):
        with make(beton, **options) as loader:
            assert isinstance(loader.sampler, SequentialSampler) == in_order
            assert isinstance(loader.sampler, DistributedSampler)


def test_the_samplers_name_epochs(beton: Path) -> None:
    with make(beton) as loader, make(beton) as other:
        assert isinstance(loader.sampler, DistributedSampler)  # so that no framework puts another in its place
        loader.sampler.set_epoch(3)
        other.set_epoch(3)
        assert digest(list(loader)) == digest(list(other))
        assert len(loader.sampler) == 20 and len(list(loader.sampler)) == 20


def test_a_keyed_index_survives_pickling_and_copying() -> None:
    index = KeyedIndex(7, 3)
    for twin in (pickle.loads(pickle.dumps(index)), copy.copy(index)):
        assert (twin, twin.epoch) == (7, 3)


def first_as_dictionary(images: torch.Tensor, _batch: object) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    return images, {"first": images[:1, 0, 0, 0], "pair": torch.arange(2)}


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize(
    "options",
    [
        {"views": 2},
        {"uneven": "pad", "fields": ("mask", "index"), "rank": 3, "world_size": 4, "train": False},
        {"views": 2, "uneven": "pad", "fields": ("mask", "index"), "rank": 1, "world_size": 2, "train": False},
        {"transforms": [first_as_dictionary]},
    ],
)
def test_views_padding_and_targets_are_those_of_the_loader(
    beton: Path, options: dict[str, Any], num_workers: int
) -> None:
    with make(beton, **options) as loader, make(beton, **options) as wanted:
        rebuilt = DataLoader(
            loader.dataset, batch_sampler=loader.batch_sampler, collate_fn=loader.collate_fn, num_workers=num_workers
        )
        for mine, theirs in zip(rebuilt, wanted, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
        if "uneven" not in options and "transforms" in options:
            with pytest.raises(LoaderError, match="do not have one value per sample"):
                loader.dataset[0]


def test_the_samplers_views_are_single_crops_however_they_are_cut_into_batches(beton: Path) -> None:
    options = {"views": 2, "fields": ("image", "index")}
    with make(beton, **options) as loader, make(beton, **options) as other:
        crops = DataLoader(loader.dataset, 4, sampler=loader.sampler, collate_fn=loader.collate_fn)
        images, indices = (torch.cat(parts) for parts in zip(*crops, strict=True))
        wanted = [(torch.cat(views), indices.repeat(2)) for views, indices in other]
        assert torch.equal(images, torch.cat([images for images, _ in wanted]))
        assert torch.equal(indices, torch.cat([indices for _, indices in wanted]))
        assert loader.dataset[next(iter(loader.sampler))][0].shape == (3, 32, 32)


def test_a_subclass_may_have_arguments_of_its_own(beton: Path) -> None:
    class Tagged(Loader):
        def __init__(self, data: Path, *, tag: str, **options: Any) -> None:
            super().__init__(data, **options)
            self.tag = tag

    with Tagged(beton, tag="x", batch_size=6, resolution=32, num_workers=1) as loader:
        assert loader.tag == "x" and len(loader) == 4
        loader.tag = "y"
        with pytest.raises(AttributeError, match=r"set_stage\(batch_size="):
            loader.batch_size = 4
    with pytest.raises(TypeError, match="batch"):
        Tagged(beton, tag="x", batch=6)


class Small(Loader):
    """A loader whose own arguments are not those of Loader."""

    def __init__(self, data: Path, side: int) -> None:
        super().__init__(data, batch_size=6, resolution=side, num_workers=1)
        self.side = side

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "side": self.side}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.side = state["side"]


def test_a_subclass_goes_to_other_processes(beton: Path) -> None:
    with Small(beton, 32) as loader, pickle.loads(pickle.dumps(loader)) as twin:
        assert twin.side == 32
        rebuilt = DataLoader(
            loader.dataset, batch_sampler=loader.batch_sampler, collate_fn=loader.collate_fn, num_workers=1
        )
        assert digest(list(rebuilt)) == digest(list(twin))


@pytest.mark.parametrize(
    "name", ["dataset", "sampler", "batch_sampler", "generator", "collate_fn", "pin_memory", "timeout"]
)
def test_what_sets_up_a_dataloader_cannot_be_set(beton: Path, name: str) -> None:
    with make(beton) as loader, pytest.raises(AttributeError, match=f"`{name}` of a Loader cannot be set: "):
        setattr(loader, name, None)


def test_after_the_end_statistics_stay_and_samples_are_refused(beton: Path) -> None:
    with make(beton) as loader:
        list(loader)
        seen = loader.stats()["samples"]
    ended = loader.stats()["samples"]
    assert ended >= seen >= 20  # the next epoch's first batches are under way
    loader.close()
    assert loader.stats()["samples"] == ended
    for read in (lambda: loader.dataset[0], lambda: loader.dataset.targets, lambda: loader.dataset.samples):
        with pytest.raises(LoaderError, match="the loader is closed"):
            read()
    with pytest.raises(LoaderError, match="the loader is closed"):
        list(DataLoader(loader.dataset, num_workers=1))  # whose process would make a loader of its own


def test_the_sampler_has_a_distributed_samplers_counts(beton: Path) -> None:
    with make(beton, rank=1, world_size=2, batch_size=4) as loader:
        assert (loader.sampler.num_samples, loader.sampler.total_size) == (12, 24)
