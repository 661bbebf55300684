"""Training through a curriculum: one function, `train`, on one machine or on many. Importing this loads no torch."""

from efficienttrain.training.callback import Callback
from efficienttrain.training.config import Config, Result
from efficienttrain.training.train import train

__all__ = ["Callback", "Config", "Result", "train"]
