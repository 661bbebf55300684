"""The operations as steps of a DALI graph, for your own pipelines, on CPU nodes and on GPU nodes.

Settings of a stage are data: nodes with one value per sample. So a new resolution, magnitude or epoch does not rebuild
the graph. Random numbers are the plan's, so a graph gives the pixels of the modules in `loaders.transforms`.

Flips, Lanczos and normalisation are DALI's own operators. DALI has no matrix product, and none of its operators moves
images bicubically, so the Fourier crop and RandAugment are our modules, called with whole batches on their device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.dlpack import from_dlpack, to_dlpack

from ..errors import LoaderError
from ..plan.crop import flips
from ..requirements import dali_missing
from ..transforms.low_frequency import LowFrequencyCrop
from ..transforms.randaugment import IMAGENET_MEAN, RandAugment

if why := dali_missing("`loaders.integrations.dali`", ""):
    raise LoaderError(why)

from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import do_not_convert
from nvidia.dali.python_function_plugin import current_dali_stream

__all__ = ["low_frequency_crop", "normalize", "rand_augment", "random_flip"]

Node = Any
"""A DALI `DataNode`. For an input with one value per sample, a number is also accepted, as the value for all."""


@do_not_convert
def random_flip(images: Node, indices: Node, *, seed: int, epoch: Node) -> Node:
    """Mirrors left to right the images that the loader mirrors, half of them on average.

    Args:
        images: HWC or CHW, of any type and sizes.
        indices: sample indices, whole numbers on the CPU.
        seed: 0 to 2**64 - 1, the loader's.
        epoch: 0 to 2**32 - 1, on the CPU, the same for a whole batch.
    """

    def draw(indices: list[NDArray[Any]], epochs: list[NDArray[Any]]) -> list[NDArray[np.uint8]]:
        return np.split(flips(seed, int(_one("epoch", _flat(epochs))), _flat(indices)), len(indices))

    drawn = fn.python_function(_node(indices), _node(epoch), function=draw, batch_processing=True)
    return fn.flip(images, horizontal=fn.cast(drawn, dtype=types.INT32))


@do_not_convert
def rand_augment(
    images: Node,
    indices: Node,
    magnitude: Node,
    *,
    seed: int,
    epoch: Node,
    mstd: float = 0.5,
    num_ops: int = 2,
    increasing: bool = True,
    base: int = 224,
    fill: tuple[int, int, int] = IMAGENET_MEAN,
) -> Node:
    """`loaders.transforms.RandAugment` in the graph, with its pixels.

    Args:
        images: uint8 HWC, square and RGB, all images of a batch of the same size.
        indices, seed, epoch: see `random_flip`.
        magnitude: 0 to 10, or below 0 to leave images unchanged; on the CPU, the same for a whole batch.
        mstd, num_ops, increasing, base, fill: see `RandAugment`.
    """
    module = RandAugment(0, mstd, num_ops, increasing, base, fill=fill)

    def work(batch: Tensor, indices: NDArray[Any], magnitudes: NDArray[Any], epochs: NDArray[Any]) -> Tensor:
        strength = float(_one("magnitude", magnitudes))
        if strength < 0:
            return batch
        module.set_magnitude(strength)
        return module(batch, indices, seed=seed, epoch=int(_one("epoch", epochs)))

    return _step(work, images, indices, magnitude, epoch)


@do_not_convert
def low_frequency_crop(images: Node, resolution: Node, method: str = "fourier") -> Node:
    """`loaders.transforms.LowFrequencyCrop` in the graph. The two methods use different grids, see that class.

    Args:
        images: uint8 or float HWC, sides of at least `resolution`; for `fourier` all images of a batch of the same
            size. Floats are neither rounded nor clipped.
        resolution: B, pixels; on the CPU, the same for a whole batch.
        method: "fourier", the module's pixels; or "lanczos", DALI's `resize`, which differs from Pillow's by some
            tenths of a level on average and several levels at hard edges.

    Raises:
        ValueError: an unknown method.
    """
    if method not in ("fourier", "lanczos"):
        raise ValueError(f"`method` must be 'fourier' or 'lanczos', got {method!r}.")
    resolution = _node(resolution)
    if method == "lanczos":
        side = fn.cast(fn.reshape(resolution, shape=[1]), dtype=types.FLOAT)
        return fn.resize(images, size=fn.cat(side, side), interp_type=types.INTERP_LANCZOS3, antialias=True)

    def work(batch: Tensor, resolutions: NDArray[Any]) -> Tensor:
        return LowFrequencyCrop(int(_one("resolution", resolutions)))(batch)

    return _step(work, images, resolution)


@do_not_convert
def normalize(
    images: Node, mean: Sequence[float], std: Sequence[float], *, dtype: Any = None, layout: str = "CHW"
) -> Node:
    """(pixel / 255 - mean) / std: DALI's `crop_mirror_normalize`.

    Args:
        images: HWC, levels from 0 to 255.
        mean, std: per channel, of pixels in 0 to 1.
        dtype: a DALI type; None: FLOAT.
        layout: of the result, "CHW" or "HWC".
    """
    return fn.crop_mirror_normalize(
        images,
        mean=[255 * value for value in mean],
        std=[255 * value for value in std],
        dtype=types.FLOAT if dtype is None else dtype,
        output_layout=layout,
    )


def _step(work: Callable[..., Tensor], images: Node, *values: Node) -> Node:
    """`work` as a step of the graph. It gets [N, C, H, W] on the device of `images`, and an array [N] for each of
    `values`."""
    on_gpu = images.device == "gpu"

    def run(*inputs: list[Any]) -> list[Any]:
        batch, *rest = ([from_dlpack(sample) for sample in samples] for samples in inputs)
        if not on_gpu:
            return _call(work, batch, rest)
        # DALI has waited until its images are ready, and expects ready results: this waits in DALI's thread.
        device = batch[0].device
        stream = _stream(device)
        with torch.cuda.stream(stream):
            done = _call(work, batch, rest, reader=torch.cuda.ExternalStream(current_dali_stream(), device))
        stream.synchronize()
        return done

    nodes = [node.gpu() if on_gpu else node for node in map(_node, values)]
    return fn.dl_tensor_python_function(images, *nodes, function=run, batch_processing=True, output_layouts="HWC")


def _call(
    work: Callable[..., Tensor],
    batch: list[Tensor],
    values: list[list[Tensor]],
    reader: torch.cuda.Stream | None = None,
) -> list[Any]:
    sizes = sorted({tuple(image.shape) for image in batch})
    if len(sizes) > 1:
        raise ValueError(f"A batch must be all of one size here, got {sizes[0]} and {sizes[-1]}; resize before.")
    arrays = [torch.stack(each).cpu().numpy().reshape(len(each)) for each in values]
    done = work(torch.stack(batch).permute(0, 3, 1, 2), *arrays).permute(0, 2, 3, 1).contiguous()
    if reader is not None:
        # When DALI releases the result, torch must not reuse its memory before DALI's stream has read it: torch then
        # records an event on that stream, and keeps the memory until the event has completed.
        done.record_stream(reader)
    return [to_dlpack(image) for image in done]


@lru_cache(maxsize=8)
def _stream(device: torch.device) -> torch.cuda.Stream:
    """A stream other than the default, which the training may use. Shared, because torch keeps memory per stream."""
    return torch.cuda.Stream(device)


def _node(value: Node) -> Node:
    return value if isinstance(value, DataNode) else types.Constant(np.array(value), device="cpu")


def _flat(values: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """[N]: one number of each sample, shaped () or [1]."""
    return np.stack(values).reshape(len(values))


def _one(name: str, values: NDArray[Any]) -> Any:
    if (values != values[0]).any():
        raise ValueError(f"`{name}` must be the same for a whole batch, got {values.min()} to {values.max()}.")
    return values[0]
