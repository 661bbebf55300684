"""Training without labels, through a curriculum: masked autoencoders. Importing this loads no torch."""

from efficienttrain.pretraining.masking import Masking
from efficienttrain.pretraining.pretrain import pretrain

__all__ = ["Masking", "pretrain"]
