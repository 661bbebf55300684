"""Reads remote objects: stores by URL, many ranges at a time, a cache on the local disk."""

from .store import Facts, Refused, Store

__all__ = ["Facts", "Refused", "Store"]
