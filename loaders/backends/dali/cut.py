"""The input of DALI: for each planned sample the bytes under its crop, as a verified JPEG.

DALI loses a whole batch if it cannot decode one JPEG, and decodes flipped bits without an error. So records are
compared with their checksums and headers with the index; records that fail are never passed to DALI.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ... import native
from ...batch import BatchPlan

STAND_IN = np.frombuffer(native.encode(np.zeros((8, 8, 3), np.uint8), 50), np.uint8)
"""A placeholder for a sample that is not passed to DALI, so that the batch keeps its shape."""


class Cut:
    """A batch being cut.

    Attributes, once `wait` has returned:
        jpegs: one uint8 [bytes] per sample; the placeholder unless `status` is OK.
        status: an `EtStatus` per sample, [n].
        box: the crop x0, y0, x1, y1 in pixels of these JPEGs, [n, 4]; may extend beyond them; a placeholder's whole
            image.
        held: the box of whole pixels of these JPEGs that the crop and its margin touch, in the same form.
    """

    jpegs: list[NDArray[np.uint8]]
    status: NDArray[np.int32]
    box: NDArray[np.float32]
    held: NDArray[np.float32]

    def __init__(self, batch: BatchPlan, pool: native.Pool, fd: int) -> None:
        """Starts immediately. fd: the data set's file."""
        self.batch = batch
        self._cutting = native.Cutting(pool, batch.samples, fd)

    def wait(self) -> None:
        """Waits for all samples."""
        cutting, samples = self._cutting, self.batch.samples
        cutting.wait()
        cutting.close()
        self.status, good = cutting.status, cutting.status == native.OK
        self.jpegs = [cutting.jpeg(i) if ok else STAND_IN for i, ok in enumerate(good)]
        sides = np.stack((samples["entry"]["width"], samples["entry"]["height"]), axis=1)
        origins, margin = np.tile(cutting.origins, 2), samples["margin"][:, None]
        held = np.concatenate(
            (np.floor(samples["box"][:, :2] - margin), np.ceil(samples["box"][:, 2:] + margin)), axis=1
        )
        held = np.clip(held, 0, np.tile(sides, 2)) - origins
        self.box, self.held = (
            np.where(good[:, None], box, [0, 0, 8, 8]).astype(np.float32) for box in (samples["box"] - origins, held)
        )

    def close(self) -> None:
        """Cancels samples that have not begun."""
        self._cutting.close()
