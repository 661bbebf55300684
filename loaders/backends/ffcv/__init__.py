"""FFCV: a backend that drives its real loader, and parts for FFCV pipelines of your own."""

from ...integrations.ffcv import SubJPEGCenterCrop, SubJPEGRandomResizedCrop
from .backend import FFCVBackend

__all__ = ["FFCVBackend", "SubJPEGCenterCrop", "SubJPEGRandomResizedCrop"]
