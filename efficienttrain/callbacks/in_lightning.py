"""The curriculum as a callback of Lightning."""

from __future__ import annotations

from typing import Any

try:
    from lightning.pytorch import Callback
except ImportError:  # the older name of the same package
    from pytorch_lightning import Callback

from efficienttrain.callbacks.any_loop import Curriculum


class LightningCurriculum(Callback):
    """Resizes the network and sets the learning rate before each batch; saves and restores the position.

        curriculum = Curriculum(recipe("resnet50", epochs=100), loader, module.network)
        trainer = Trainer(max_epochs=curriculum.epochs, callbacks=[LightningCurriculum(curriculum)])
        trainer.fit(module, curriculum)

    The optimizer is the first one of `configure_optimizers`. Set the accumulation in the Trainer and in the curriculum.
    """

    def __init__(self, curriculum: Curriculum) -> None:
        self.curriculum = curriculum
        curriculum.hand_over()

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Prepares the network for several ranks, before the strategy wraps it."""
        if stage == "fit" and trainer.world_size > 1:
            self.curriculum.before_wrapping(pl_module)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Refuses settings that do not agree; raises as `Curriculum.check_framework` does."""
        self.curriculum.check_framework(trainer.accumulate_grad_batches, trainer.world_size, "accumulate_grad_batches")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Registers the optimizer."""
        self.curriculum.use_optimizer(trainer.optimizers[0])

    def on_train_batch_start(self, *_: Any) -> None:
        """Prepares network and learning rate for this batch."""
        self.curriculum.before_step()

    def on_train_batch_end(self, *_: Any) -> None:
        """Counts the batch as trained on, because a checkpoint must include it."""
        self.curriculum.after_step()

    def state_dict(self) -> dict[str, Any]:
        """The curriculum's state."""
        return dict(self.curriculum.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the curriculum's state."""
        self.curriculum.load_state_dict(state_dict)
