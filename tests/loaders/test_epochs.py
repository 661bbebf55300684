"""Every `iter(loader)` is an epoch of its own, however the last one ended; `len` and states follow."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loaders import BadSample, Loader, LoaderError
from loaders.cursor import Cursor
from loaders.plan.order import LARGE
from tests.contract import Batch, digest, make


def by_break(loader: Loader) -> list[Batch]:
    batches = []
    for batch in loader:
        batches.append(batch)
        if len(batches) == len(loader):
            break
    return batches


def by_next(loader: Loader) -> list[Batch]:
    batches = iter(loader)
    return [next(batches) for _ in range(len(loader))]


ENDINGS: dict[str, Callable[[Loader], Iterable[Any]]] = {
    "exhausted": list,
    "islice": lambda loader: list(islice(loader, len(loader))),
    "zip": lambda loader: [batch for _, batch in zip(range(len(loader)), loader, strict=False)],
    "break": by_break,
    "next": by_next,
}


@pytest.mark.parametrize("backend", ["torch", pytest.param("ffcv", marks=pytest.mark.ffcv)])
@pytest.mark.parametrize("ending", ENDINGS)
def test_every_iteration_is_the_next_epoch(beton: Path, ending: str, backend: str) -> None:
    with make(beton, backend=backend) as loader, make(beton) as named:
        for epoch in range(3):
            named.set_epoch(epoch)
            assert digest(ENDINGS[ending](loader)) == digest(list(named))  # type: ignore[arg-type]


def test_an_iteration_given_up_midway_does_not_come_again(beton: Path) -> None:
    with make(beton) as loader, make(beton) as named:
        next(iter(loader))
        named.set_epoch(1)
        assert digest(list(loader)) == digest(list(named))


def test_several_iterators_have_epochs_of_their_own(beton: Path) -> None:
    with make(beton) as loader, make(beton) as straight:
        epochs = [list(straight) for _ in range(2)]
        pairs = list(zip(loader, loader, strict=True))
        assert digest([a for a, _ in pairs]) == digest(epochs[0])
        assert digest([b for _, b in pairs]) == digest(epochs[1])


def test_an_iterator_that_is_never_used_takes_no_epoch(beton: Path) -> None:
    with make(beton) as loader, make(beton) as named:
        iter(loader)
        waiting = iter(loader)
        named.set_epoch(3)
        loader.set_epoch(3)
        assert digest(list(waiting)) == digest(list(named))
        assert loader.epoch == 4


def test_set_epoch_names_the_next_iteration_only(beton: Path) -> None:
    with make(beton) as loader:
        loader.set_epoch(5)
        assert loader.epoch == 5
        first = iter(loader)
        next(first)
        assert loader.epoch == 5
        later = list(loader)
        assert digest(later) != digest(list(first))
        loader.set_epoch(6)
        assert digest(list(loader)) == digest(later)
        with pytest.raises(ValueError, match="`epoch` must be a whole number from 0"):
            loader.set_epoch(-1)


@pytest.mark.parametrize("drop_last", [True, False])
def test_a_state_after_the_last_batch_is_the_next_epochs_first(beton: Path, drop_last: bool) -> None:
    with make(beton, drop_last=drop_last) as loader, make(beton, drop_last=drop_last) as other:
        for _ in islice(loader, len(loader)):  # no StopIteration is asked for
            pass
        state = loader.state_dict()
        assert (state["epoch"], state["position"]) == (1, 0)
        other.load_state_dict(state)
        assert len(other) == len(loader)
        assert digest(list(other)) == digest(list(loader))


@pytest.mark.parametrize("uneven", ["drop", "pad", "keep"])
def test_states_are_the_same_on_all_ranks(beton: Path, uneven: str) -> None:
    """22 samples in batches of 4 x 5: two are left, and "keep" makes the first batches smaller so that four are."""
    options: dict[str, Any] = {"indices": range(22), "world_size": 4, "drop_last": False, "uneven": uneven}
    left, states = [], []
    for rank in range(4):
        with make(beton, rank=rank, **options) as loader, make(beton, rank=rank, **options) as other:
            batches = iter(loader)
            next(batches)
            other.load_state_dict(loader.state_dict())
            states.append([loader.state_dict()])
            rest = list(batches)
            states[rank].append(loader.state_dict())
            if uneven != "drop":  # which is at the next epoch by now
                assert digest(list(other)) == digest(rest) and other.state_dict() == loader.state_dict()
            left.append(len(rest))
    assert left == {"drop": [0] * 4, "pad": [1] * 4, "keep": [1] * 4}[uneven]
    assert states[1:] == states[:-1]
    places = [(state["epoch"], state["position"]) for state in states[0]]
    assert places == [{"drop": (1, 0), "pad": (0, 20), "keep": (0, 18)}[uneven], (1, 0)]


def test_len_is_what_the_next_iteration_delivers(beton: Path) -> None:
    with make(beton) as loader, make(beton) as other:
        epoch = iter(loader)
        next(epoch)
        assert len(loader) == 4  # the next one is a whole epoch
        other.load_state_dict(loader.state_dict())
        assert len(other) == 3
        assert len(list(other)) == 3
        assert len(other) == 4 == len(list(other))


def test_states_are_json_whatever_the_seed_was(beton: Path) -> None:
    with make(beton, seed=np.int64(3)) as loader:
        assert json.loads(json.dumps(loader.state_dict()))["seed"] == 3


def test_states_of_version_1_resume(beton: Path) -> None:
    old = {"version": 1, "samples": 24, "seed": 0, "order": "random", "epoch": 1, "position": 10}
    with make(beton) as loader, make(beton) as straight:
        loader.load_state_dict(old)
        straight.set_epoch(1)
        assert digest(list(loader)) == digest(list(straight)[2:])


def test_states_of_version_2_resume_where_the_order_is_the_same(beton: Path) -> None:
    old = {"version": 2, "samples": 24, "seed": 0, "shuffle": True, "epoch": 1, "position": 10}
    with make(beton) as loader, make(beton, shuffle="quasi") as quasi, make(beton) as straight:
        loader.load_state_dict(old)
        straight.set_epoch(1)
        assert digest(list(loader)) == digest(list(straight)[2:])
        quasi.load_state_dict({**old, "shuffle": "quasi", "position": 0})
        assert (quasi.epoch, len(quasi)) == (1, 4)
        with pytest.raises(
            ValueError, match=r"within an epoch \(10 samples\) by a version that shuffled it in another"
        ):
            quasi.load_state_dict({**old, "shuffle": "quasi"})
    with pytest.raises(ValueError, match="set its `position` to 0"):
        Cursor(LARGE + 1, 0, True).load_state_dict({**old, "samples": LARGE + 1})


def test_a_quasi_random_state_belongs_to_its_window(beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with make(beton, shuffle="quasi") as loader:
        next(iter(loader))
        state = loader.state_dict()
        assert (state["storage"], state["position"]) == ("shuffled", 5)
    monkeypatch.setattr("loaders.arguments.window_of", lambda *_: 64)
    with (
        make(beton, shuffle="quasi") as other,
        pytest.raises(ValueError, match=r"taken with window = \d+, this loader has 64"),
    ):
        other.load_state_dict(state)


def test_evaluation_keeps_its_last_batch(beton: Path) -> None:
    with Loader(beton, train=False, num_workers=1, resolution=32) as loader:
        assert not loader.drop_last and len(loader) == 1
        assert [len(labels) for _, labels in loader] == [24]


def test_an_epoch_without_a_batch_is_an_error(beton: Path) -> None:
    said = (
        "an epoch must have at least one batch, got 24 samples for `batch_size` = 25 on 1 rank with `drop_last` = True"
    )
    with pytest.raises(ValueError, match=said):
        make(beton, batch_size=25)
    with make(beton) as loader:
        with pytest.raises(ValueError, match="at least one batch, got 24 samples for `batch_size` = 32"):
            loader.set_stage(batch_size=32)
        assert loader.batch_size == 5
    with pytest.raises(ValueError, match="on 3 ranks"):
        make(beton, batch_size=10, rank=0, world_size=3)


def test_a_closed_loader_says_so(beton: Path) -> None:
    loader = make(beton)
    loader.close()
    with pytest.raises(LoaderError, match="the loader is closed; make a new Loader"):
        iter(loader)


def test_a_pickled_loader_is_a_fresh_one_at_the_same_place(beton: Path) -> None:
    with make(beton, magnitude=3) as loader:
        loader.set_stage(resolution=48)
        epoch = iter(loader)
        next(epoch)
        with pickle.loads(pickle.dumps(loader)) as other:
            assert (other.stage, len(other)) == (loader.stage, 3)
            assert digest(list(other)) == digest(list(epoch))


def test_a_relative_path_survives_another_working_directory(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(jpeg_folder.parent)
    with make(Path(jpeg_folder.name) / "train") as loader:
        os.chdir(tmp_path)
        assert len(list(loader)) == 4


def test_repr_names_data_size_stage_and_epoch(beton: Path) -> None:
    with make(beton, resolution=96, magnitude=4) as loader:
        list(loader)
        text = repr(loader)
    for part in (str(beton), "24 samples of 3 classes", "training", "resolution=96", "magnitude=4", "epoch 1"):
        assert part in text


def fields(loader: Loader) -> dict[str, Any]:
    return dict(zip(loader.fields, next(iter(loader)), strict=True))


def test_fields_come_in_the_order_asked_for(beton: Path) -> None:
    names = ("label", "index", "name", "crop", "flip", "mask", "image")
    with make(beton, fields=names) as loader:
        got = fields(loader)
        assert list(got) == list(names) and got["image"].shape == (5, 3, 32, 32)
        source = loader.source
        indices = got["index"].numpy()
        assert got["label"].tolist() == source.labels(indices).tolist()
        assert got["name"] == [source.name(i) for i in indices.tolist()]
        entries = source.entries(indices)[:, 0]
        crop = got["crop"].numpy()
        assert (crop == np.rint(crop)).all()  # whole pixels
        assert (crop[:, :2] >= 0).all() and (crop[:, 2] <= entries["width"]).all()
        assert got["flip"].dtype == torch.bool and got["mask"].all()
    with pytest.raises(ValueError, match=r"`fields` must be different names out of 'image', .*, got 'labels'"):
        make(beton, fields=("image", "labels"))


def test_hugging_faces_dictionaries(beton: Path) -> None:
    with make(beton, fields=("image", "label", "index"), collate="dict") as loader, make(beton) as plain:
        for batch, (images, labels) in zip(loader, plain, strict=True):
            assert list(batch) == ["pixel_values", "labels", "index"]
            assert torch.equal(batch["pixel_values"], images) and torch.equal(batch["labels"], labels)


def test_a_subset_has_the_same_crops_as_the_whole(beton: Path) -> None:
    chosen = [3, 11, 19, 20, 23]
    with (
        make(beton, fields=("image", "index"), indices=chosen) as part,
        make(beton, fields=("image", "index")) as whole,
    ):
        wanted = {int(i): image for images, indices in whole for image, i in zip(images, indices, strict=True)}
        whole.set_epoch(0)
        got = {int(i): image for images, indices in part for image, i in zip(images, indices, strict=True)}
        assert sorted(got) == chosen and len(part.dataset) == 5
        assert all(torch.equal(image, wanted[i]) for i, image in got.items() if i in wanted)
        assert sum(i in wanted for i in got) >= 4


def test_balanced_weights_make_classes_equally_likely(beton: Path) -> None:
    few = [0, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]  # 1 of class 0, 7 of 1, 4 of 2
    with make(beton, indices=few, weights="balanced", batch_size=13, fields=("label",)) as loader:
        labels = torch.cat([labels for _ in range(60) for (labels,) in loader])
    share = np.bincount(labels.numpy(), minlength=3) / len(labels)
    np.testing.assert_allclose(share, 1 / 3, atol=0.06)


def test_views_are_different_crops_of_the_same_samples(beton: Path) -> None:
    with make(beton, views=2, fields=("image", "label", "index")) as loader, make(beton) as plain:
        for ((first, second), labels, indices), (images, same) in zip(loader, plain, strict=True):
            assert torch.equal(first, images) and torch.equal(labels, same) and len(indices) == 5
            assert second.shape == first.shape and not torch.equal(first, second)


def test_repeated_augmentation(beton: Path) -> None:
    with make(beton, aug_repeats=3, batch_size=6, fields=("image", "index")) as loader:
        images, indices = next(iter(loader))
        assert indices.tolist() == [indices[0]] * 3 + [indices[3]] * 3
        assert not torch.equal(images[0], images[1])


def test_randaugment_by_hand_equals_the_built_in_one(beton: Path) -> None:
    from loaders.transforms import RandAugment

    augment = RandAugment(7)
    with make(beton, magnitude=7) as built_in, make(beton, fields=("image", "label", "index")) as loader:
        for _ in range(2):
            for (wanted, _), (images, _, indices) in zip(built_in, loader, strict=True):
                made = augment(images, indices.numpy(), seed=loader.seed, epoch=loader.epoch)
                assert torch.equal(made, wanted)


def test_the_first_batch_does_not_wait_for_the_order_of_all(beton: Path) -> None:
    """Of a large set the samples of each batch are computed when they are asked for."""
    asked: list[int] = []

    class Batches(list[Any]):
        def __len__(self) -> int:
            return 100_000

        def __getitem__(self, k: Any) -> Any:
            if isinstance(k, slice):
                return [self[one] for one in range(*k.indices(len(self)))]
            asked.append(k)
            return np.arange(4) + k % 20

    with make(beton, batch_size=4) as loader:
        run = loader._backend.run(loader.stage, 0, Batches())
        next(run)
        run.close()
    assert 0 < len(asked) <= 3 * 2048 // 4


@pytest.mark.parametrize(
    "order", [{"aug_repeats": 3}, {"weights": "balanced"}, {"indices": range(23, -1, -1)}, {"weights": [1.0] * 24}]
)
def test_a_state_within_an_epoch_belongs_to_its_order(beton: Path, order: dict[str, Any]) -> None:
    with make(beton) as plain, make(beton, **order) as other, make(beton, **order) as same:
        for loader in (plain, other):
            next(iter(loader))
        state = other.state_dict()
        for loader, wrong in ((plain, state), (other, plain.state_dict())):
            with pytest.raises(ValueError, match=rf"the state was taken with {next(iter(order))} = "):
                loader.load_state_dict(wrong)
        same.load_state_dict(json.loads(json.dumps(state)))
        assert same.state_dict()["position"] == 5
        plain.load_state_dict({**state, "position": 0})  # an epoch that has not begun may have any order
        old = {key: value for key, value in state.items() if key not in order}
        same.load_state_dict({**old, "version": 3})  # which did not name it
        assert same.state_dict()["position"] == 5


def test_numpys_small_integers_are_numbers_like_others(beton: Path) -> None:
    small: dict[str, Any] = {"num_workers": np.int8(2), "views": np.uint8(2), "prefetch_factor": np.uint8(3)}
    ranks: dict[str, Any] = {"rank": np.int16(0), "world_size": np.uint8(1), "train": np.bool_(True)}
    with (
        make(beton, batch_size=np.uint8(5), resolution=np.uint8(200), **small, **ranks) as loader,
        make(beton, batch_size=5, resolution=200, views=2) as usual,
    ):
        for resolution in (None, np.uint16(224), np.int16(128), np.uint8(255)):
            loader.set_stage(resolution=resolution)
            usual.set_stage(resolution=None if resolution is None else int(resolution))
            for (mine, _), (theirs, _) in zip(loader, usual, strict=True):
                assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
        next(iter(loader))
        assert json.loads(json.dumps(loader.state_dict()))["position"] == 5


def test_after_an_error_the_epoch_does_not_end_quietly(dirty: Path) -> None:
    with make(dirty, shuffle=False, batch_size=2) as loader:
        batches = iter(loader)
        with pytest.raises(BadSample):
            list(batches)
        with pytest.raises(LoaderError, match="this epoch ended with an error"):
            next(batches)
        assert loader.state_dict()["position"] == 0


def test_a_batch_whose_fields_cannot_be_read_was_not_delivered(beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with make(beton) as loader:
        batches = iter(loader)
        next(batches)

        def fails(*_: object) -> None:
            raise OSError("disk")

        monkeypatch.setattr("loaders.loader.deliver", fails)
        with pytest.raises(OSError, match="disk"):
            next(batches)
        assert loader.state_dict()["position"] == 5


def test_the_resized_side_follows_the_resolution(beton: Path) -> None:
    with make(beton, train=False, resolution=64, resize_size=72, batch_size=24, fields=("crop",)) as loader:
        ((crops,),) = loader
        loader.set_stage(resolution=32)
        ((smaller,),) = loader
        sides, others = (found[:, 2:] - found[:, :2] for found in (crops, smaller))
        torch.testing.assert_close(sides.float(), others.float(), rtol=0.02, atol=1.5)
