"""From a source to a pyramid beton: convert, verify, extract one level."""

from .convert import Summary, convert
from .extract import extract
from .verify import Damage, verify

__all__ = ["Damage", "Summary", "convert", "extract", "verify"]
