"""The DALI backend: our threads cut sub-JPEGs out of the stored ones, NVIDIA DALI decodes them."""

from loaders.backends.dali.backend import DALIBackend
from loaders.need_dali import missing

__all__ = ["DALIBackend", "missing"]
