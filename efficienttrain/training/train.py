"""The main function: trains a network from a configuration and reports the result."""

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
        OSError: a file does not exist or cannot be written.
        LoaderError: the data are damaged or cannot be used.
    """
    import torch

    from efficienttrain.training import distributed
    from efficienttrain.training.trainer import Trainer

    try:
        with distributed.group(config.device) as ranks, Trainer(config, ranks, callbacks) as trainer:
            if config.progress:
                ranks.say(provenance(config.model))
            return trainer.run()
    except torch.cuda.OutOfMemoryError as error:  # after a stage's first step, which would have been repeated
        raise ValueError(
            "out of GPU memory in the middle of a stage; repeat the command with a smaller --micro-batch, "
            "and it resumes from the last checkpoint."
        ) from error
