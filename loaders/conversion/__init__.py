"""From a source to a pyramid beton: convert, verify, extract one level; inspect any data set."""

from .cluster import convert_on_ray, join_cluster
from .contents import contents
from .convert import Summary, convert
from .edit_parts import append_parts, check_parts, compact_parts, remove_samples, split_parts
from .extract import extract
from .inspect import Station, draw, stations
from .manifest import write_manifest
from .shards import ShardedConversion, usual_parts
from .verify import Damage, sampled, verify

__all__ = [
    "Damage",
    "ShardedConversion",
    "Station",
    "Summary",
    "append_parts",
    "check_parts",
    "compact_parts",
    "contents",
    "convert",
    "convert_on_ray",
    "draw",
    "extract",
    "join_cluster",
    "remove_samples",
    "sampled",
    "split_parts",
    "stations",
    "usual_parts",
    "verify",
    "write_manifest",
]
