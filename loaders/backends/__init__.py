"""Backends execute the plan: torch (the reference), FFCV or DALI. Each is imported only when it is used."""

from .base import Backend, BackendOptions, PendingBatch

__all__ = ["Backend", "BackendOptions", "PendingBatch"]
