"""The main function: pre-trains an encoder from a configuration, without labels."""

from __future__ import annotations

from efficienttrain.pretraining.masking import Masking, authors
from efficienttrain.training.config import Config, Result


def pretrain(config: Config, masking: Masking | None = None) -> Result:
    """Trains a masked autoencoder through its curriculum, or resumes the run in `config.out`.

    Args:
        config: `model` is a timm ViT, or a factory of one; only the curriculum's resolutions are used. Options
            of training with labels must not be set. Other options default to those of the authors of MAE.
        masking: by default 75 % of the patches are hidden, and the targets are their normalised pixels.

    Returns:
        The result as of `train`, without accuracies. The folder also contains `encoder.pt`, for `Config.init`.

    Raises:
        ValueError, OSError, LoaderError: as `train` does.
    """
    from efficienttrain.pretraining.pretrainer import Pretrainer
    from efficienttrain.training import distributed

    config = authors(config)
    with distributed.group(config.device) as ranks, Pretrainer(config, ranks, masking or Masking()) as trainer:
        return trainer.run()
