"""What happens while `fit` runs: the progress bar each step; validation, best network and checkpoint each epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import keras

from utils.errors import InputError


class EpochLoop(keras.callbacks.Callback):
    """Drives a `RunFolder` and a tqdm bar. Must come first, so that other callbacks see `val_nme` in the logs.

    `validate()` returns the validation NME in per cent, NaN if there are no validation photos (then the last epoch
    counts as the best); `save_best(epoch, nme)` writes the network.
    """

    def __init__(self, run, validate: Callable[[], float], save_best: Callable[[int, float], None], bar, batch_size):
        super().__init__()
        self.run, self.validate, self.save_best, self.bar, self.batch_size = run, validate, save_best, bar, batch_size

    def on_train_begin(self, logs=None):
        """Start the clock, less the minutes of the run before a resume."""
        self.started = time.monotonic() - 60 * self.run.state["minutes"]

    def on_train_batch_end(self, batch, logs=None):
        """Move the bar; stop if the loss is lost."""
        if not math.isfinite(logs["loss"]):
            raise InputError(f"the loss is no longer a number (step {batch + 1}); lower --learning-rate")
        self.bar.set_postfix(loss=f"{logs['loss']:.4f}", NME=f"{100 * logs['nme']:.2f}%", refresh=False)
        self.bar.update(self.batch_size)

    def on_epoch_end(self, epoch, logs=None):
        """Validate in pixels of the original photos, keep the best network, checkpoint."""
        epoch += 1
        validation = self.validate()
        best = self.run.state["best_nme"]
        if math.isnan(validation) or best is None or validation < best:
            self.save_best(epoch, validation)
            self.run.state |= {"best_nme": None if math.isnan(validation) else validation, "best_epoch": epoch}
        logs["val_nme"] = validation / 100
        row = {
            "epoch": epoch,
            "loss": logs["loss"],
            "nme": 100 * logs["nme"],
            "val_nme": validation,
            "learning_rate": float(self.model.optimizer.learning_rate),
            "minutes": round((time.monotonic() - self.started) / 60, 3),
        }
        self.run.save_epoch(self.model, row)
        self.bar.write(
            f"epoch {epoch:3d}  loss {row['loss']:.4f}  NME of training views {row['nme']:.2f} %  "
            f"validation NME {validation:.2f} %  {row['minutes']:.1f} min"
        )
