"""The DALI backend: our threads cut sub-JPEGs out of the stored ones, NVIDIA DALI decodes them."""

from .backend import DALIBackend

__all__ = ["DALIBackend"]
