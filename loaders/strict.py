"""Pillow as strict as we are, whatever else in the process has told it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def strict_pillow() -> Iterator[None]:
    """Inside, an image file that is cut short is an error, and what Pillow warns of is not shown.

    Many programs set `ImageFile.LOAD_TRUNCATED_IMAGES`, with which grey areas pass for pixels. Both settings are the
    process's, so this is for the thread that has the others work.
    """
    from PIL import ImageFile

    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
