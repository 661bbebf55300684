"""`python -m benchmarks faults`: what damage, kills, failing disks and crowds do to this package, and to its peers."""

from benchmarks.faults.suite import CASES, run, text

__all__ = ["CASES", "run", "text"]
