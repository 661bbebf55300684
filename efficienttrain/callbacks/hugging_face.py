"""The curriculum as a callback of the Hugging Face Trainer."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from efficienttrain.callbacks.any_loop import Curriculum


class HuggingFaceCurriculum(TrainerCallback):
    """Resizes the network and sets the learning rate before each optimizer step.

        class Training(Trainer):
            def get_train_dataloader(self):
                return curriculum

        loader = Loader("train.beton", batch_size=64, collate="dict")
        curriculum = Curriculum(recipe(name, epochs=100), loader)
        arguments = TrainingArguments(..., num_train_epochs=curriculum.epochs, ignore_data_skip=True)
        Training(model, arguments, callbacks=[HuggingFaceCurriculum(curriculum)]).train()

    Networks of `transformers` adapt to the input's size themselves: ConvNets and Swin always, a ViT if its forward
    is called with `interpolate_pos_encoding=True`. A timm network inside is resized if you pass it to the curriculum as
    `model=`. A resumed training continues with the right batch. Pass gradient_accumulation_steps as `accumulation=`.
    """

    def __init__(self, curriculum: Curriculum) -> None:
        self.curriculum = curriculum
        curriculum.hand_over()

    def on_init_end(self, args: Any, state: Any, control: Any, **facts: Any) -> None:  # noqa: ARG002
        """Prepares the network for several ranks, before the Trainer wraps it."""
        if args.world_size > 1:
            self.curriculum.before_wrapping(facts["model"])

    def on_train_begin(self, args: Any, state: Any, control: Any, **facts: Any) -> None:  # noqa: ARG002
        """Registers the optimizer, and moves to the training's present step.

        Raises:
            ValueError: as `Curriculum.check_framework` does, or a resumed training without `ignore_data_skip`.
        """
        curriculum = self.curriculum
        curriculum.check_framework(args.gradient_accumulation_steps, args.world_size, "gradient_accumulation_steps")
        if state.global_step and not args.ignore_data_skip:
            raise ValueError(
                "`ignore_data_skip` must be True to resume, got False: the curriculum finds the next batch by itself."
            )
        curriculum.use_optimizer(facts["optimizer"])
        curriculum.seek(state.global_step * curriculum.accumulation)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Prepares network and learning rate for this step."""
        self.curriculum.before_step()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Counts the step's batches as trained on."""
        self.curriculum.after_step(self.curriculum.accumulation)
