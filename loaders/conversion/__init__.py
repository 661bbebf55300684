"""From a source to a pyramid beton: convert, verify, extract one level; inspect any data set."""

from .convert import Summary, convert
from .extract import extract
from .inspect import Station, draw, facts, stations
from .manifest import write_manifest
from .verify import Damage, verify

__all__ = [
    "Damage",
    "Station",
    "Summary",
    "convert",
    "draw",
    "extract",
    "facts",
    "stations",
    "verify",
    "write_manifest",
]
