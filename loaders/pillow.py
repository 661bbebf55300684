"""Whatever the kernel leaves to Pillow (CMYK, PNG, ...), read as torchvision's default loader reads it."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from .errors import LoaderError
from .strict import strict_pillow


def decode_rgb(data: bytes) -> NDArray[np.uint8]:
    """An image file as height x width x 3, by `convert("RGB")`; EXIF orientation is ignored.

    Raises:
        LoaderError: Pillow cannot decode it, whatever it raised.
    """
    from PIL import Image

    try:
        with strict_pillow(), Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # Pillow raises nearly anything on damaged files
        reason = "no image format that Pillow knows" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise LoaderError(reason) from None
