"""What runs of policies share."""

from lightning.pytorch import Callback


class SaveAt(Callback):
    """Saves after a number of steps, as checkpoint callbacks do."""

    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer, *arguments):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
