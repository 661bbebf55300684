"""The DALI pipeline: its inputs are batches of sub-JPEGs and all settings, its outputs are images.

The graph does not depend on the stage, so a change of stage does not rebuild it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from nvidia.dali import fn, types
from nvidia.dali.pipeline import Pipeline

from ...errors import LoaderError

Feed = tuple[Any, ...]
"""One batch: an array [n, ...], or a list of n arrays, for each input of a graph."""
Body = Callable[..., Any]
"""Function from DALI's nodes of a graph's inputs to the node of its output."""
Kind = tuple[Any, int]
"""An input's type and dimensions."""

JPEG: Kind = (types.UINT8, 1)
PAIR: Kind = (types.FLOAT, 1)
"""y and x; DALI requires floating-point values even for whole numbers."""
WHOLE: Kind = (types.INT32, 0)


def decode(jpegs: Any, start: Any, shape: Any) -> Any:
    """On the CPU: the pixels inside a box of whole pixels (y, x), [height, width, 3] per sample."""
    return fn.decoders.image_slice(
        jpegs,
        start,
        shape,
        axis_names="HW",
        normalized_anchor=False,
        normalized_shape=False,
        output_type=types.RGB,
        adjust_orientation=False,
        jpeg_fancy_upsampling=True,
        use_fast_idct=False,
    )


def decode_and_resize(device: str) -> Body:
    """All steps to uint8 [3, height, width]: decoding, one antialiased resampling of the crop, flip.

    Inputs: JPEGs; the crop's start and end in pixels of the JPEG; the output's size; 1 to mirror; 1 to reduce with
    bicubic instead of Lanczos. device: with "mixed", nvJPEG decodes on a GPU.
    """

    def graph(jpegs: Any, start: Any, end: Any, size: Any, mirror: Any, cubic: Any) -> Any:
        images = fn.decoders.image(
            jpegs, device=device, output_type=types.RGB, adjust_orientation=False, jpeg_fancy_upsampling=True
        )
        images = fn.resize(
            images,
            size=size,
            roi_start=start,
            roi_end=end,
            roi_relative=False,
            min_filter=fn.cast(_filter(cubic), dtype=types.INTERP_TYPE),
            mag_filter=types.INTERP_CUBIC,
            antialias=True,
        )
        return fn.crop_mirror_normalize(
            images, mirror=mirror, mean=[0.0], std=[1.0], dtype=types.UINT8, output_layout="CHW"
        )

    return graph


def _filter(cubic: Any) -> Any:
    lanczos, bicubic = int(types.INTERP_LANCZOS3), int(types.INTERP_CUBIC)
    return cubic * (bicubic - lanczos) + lanczos


class Graph:
    """A pipeline fed by an iterator. `next` returns the results in the same order; `depth` batches are in progress."""

    def __init__(
        self,
        body: Body,
        inputs: tuple[Kind, ...],
        *,
        device: torch.device,
        threads: int,
        batch_size: int,
        depth: int,
    ) -> None:
        """Uses no thread and no memory before the first `next`.

        Args:
            body, inputs: the pipeline's operations and inputs.
            device: "cuda" for graphs whose output is on a GPU.
            threads: of DALI's own pool.
            batch_size: largest number of images.
            depth: batches in flight, including the one requested.
        """
        self.batch_size = batch_size
        self._body, self._inputs = body, inputs
        self._options: dict[str, Any] = {
            "num_threads": threads,
            "device_id": _index(device),
            "prefetch_queue_depth": depth,
            "exec_dynamic": True,  # outputs that are still referenced are never overwritten
        }
        self._pipeline: Pipeline | None = None
        self._feeds: Iterator[Feed] = iter(())

    def start(self, feeds: Iterator[Feed]) -> None:
        """Begins with other batches. Waits for batches of an earlier start that were not taken, and drops them."""
        self._feeds = iter(())
        if self._pipeline is not None:
            try:
                while True:
                    self._pipeline.run()
            except StopIteration:
                self._pipeline.reset()
            except RuntimeError:  # an image in a batch that is dropped anyway
                self._pipeline = None
        self._feeds = feeds

    def next(self, stream: torch.cuda.Stream | None = None) -> Any:
        """The oldest batch as DALI's list of tensors; with `stream` it is ready in that stream, without waiting.

        Raises:
            RuntimeError: DALI's error for an image that it cannot decode. All batches in progress are lost: `start`
                again.
            LoaderError: DALI cannot work here at all.
        """
        if self._pipeline is None:
            try:
                self._pipeline = self._build()
            except RuntimeError as error:
                raise LoaderError(f'DALI does not start ({reason(error)}); take backend="torch"') from error
        try:
            (images,) = self._pipeline.run() if stream is None else self._pipeline.run(stream)
        except BaseException:  # also errors while feeding, and Ctrl-C: the pipeline's state is unknown
            self._pipeline = None
            raise
        return images

    def close(self) -> None:
        """Ends DALI's threads."""
        self._pipeline, self._feeds = None, iter(())

    def _build(self) -> Pipeline:
        pipeline = Pipeline(self.batch_size, **self._options)
        with pipeline:
            nodes = fn.external_source(
                source=lambda: next(self._feeds),
                num_outputs=len(self._inputs),
                dtype=[dtype for dtype, _ in self._inputs],
                ndim=[ndim for _, ndim in self._inputs],
            )
            pipeline.set_outputs(self._body(*nodes))
        pipeline.build()
        return pipeline


def _index(device: torch.device) -> int | None:
    """Index of the GPU; None: no GPU."""
    if device.type != "cuda":
        return None
    index: int | None = device.index  # None: torch's present one
    return torch.cuda.current_device() if index is None else index


def reason(error: RuntimeError) -> str:
    """DALI's error in one line: its messages begin with a position in the pipeline."""
    text = str(error)
    _, _, inner = text.partition("encountered:")
    return " ".join((inner or text).split())[:160]


def pixels(images: Any) -> tuple[list[int], list[tuple[int, int]]]:
    """The addresses of a CPU list's images, and their widths and heights."""
    return [image.data_ptr() for image in images], [(width, height) for height, width, _ in images.shape()]
