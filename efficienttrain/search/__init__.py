"""Searching for a curriculum: two pure algorithms, and the runner of their probes. Importing this loads no torch."""

from __future__ import annotations

from efficienttrain.search.algorithms import drive, greedy, sequential
from efficienttrain.search.executors import Local, OnRay
from efficienttrain.search.runner import Plan, ProbeFailed, run_search
from efficienttrain.search.space import Choice, Probe, Space
from efficienttrain.search.task import Task

__all__ = [
    "Choice", "Local", "OnRay", "Plan", "Probe", "ProbeFailed", "Space", "Task", "drive", "greedy", "run_search",
    "sequential",
]  # fmt: skip
