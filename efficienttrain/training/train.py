"""The door: a configuration in, a trained network and its report out."""

from __future__ import annotations

from collections.abc import Sequence

from efficienttrain.presets import provenance
from efficienttrain.training.callback import Callback
from efficienttrain.training.config import Config, Result


def train(config: Config, callbacks: Sequence[Callback] = ()) -> Result:
    """Trains a network through its curriculum, or resumes the run that `config.out` holds.

    Under torchrun every rank calls this with the same configuration.

    Args:
        config: model, data and options.
        callbacks: called for every step, stage and log line, see `Callback`.

    Raises:
        ValueError: an option that is invalid here; the one-line message gives the rule and the remedy.
        OSError: a file is not there or cannot be written.
        LoaderError: the data are not sound.
    """
    import torch

    from efficienttrain.training import distributed, prepare
    from efficienttrain.training.trainer import Trainer

    try:
        with distributed.group(config.device) as ranks, Trainer(config, ranks, callbacks) as trainer:
            if config.progress:
                prepare.say(ranks, provenance(config.model))
            return trainer.run()
    except torch.cuda.OutOfMemoryError as error:  # not in a stage's first step, which is repeated
        raise ValueError(
            "out of GPU memory in the middle of a stage; repeat the command with a smaller --micro-batch, "
            "and it resumes from the last checkpoint."
        ) from error
