"""FFCV: a backend that drives its real loader, and parts for FFCV pipelines of your own."""

from loaders.backends.ffcv.backend import FFCVBackend
from loaders.backends.ffcv.crop import SubJPEGRandomResizedCrop

__all__ = ["FFCVBackend", "SubJPEGRandomResizedCrop"]
