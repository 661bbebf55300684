"""The door: a configuration in, an encoder out that has never seen a label."""

from __future__ import annotations

from efficienttrain.pretraining.masking import Masking, authors
from efficienttrain.training.config import Config, Result


def pretrain(config: Config, masking: Masking | None = None) -> Result:
    """Trains a masked autoencoder through its curriculum, or resumes the run in `config.out`.

    Args:
        config: `model` is a ViT of timm's, or a factory of one; only the curriculum's resolutions matter. Options
            of training with labels must be left out. Other options that are left out are those of the authors of MAE.
        masking: 75 % of the patches hidden, and their normalised pixels for target, unless it says otherwise.

    Returns:
        As of `train`, without accuracies. The folder holds `encoder.pt`, too, for `Config.init`.

    Raises:
        ValueError, OSError, LoaderError: as `train` does.
    """
    from efficienttrain.pretraining.pretrainer import Pretrainer
    from efficienttrain.training import distributed

    config = authors(config)
    with distributed.group(config.device) as ranks, Pretrainer(config, ranks, masking or Masking()) as trainer:
        return trainer.run()
