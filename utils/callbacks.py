"""What happens while `fit` runs: the progress bar each step; validation, best network and checkpoint each epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import keras

from utils.errors import InputError


class EpochLoop(keras.callbacks.Callback):
    """Drives a `RunFolder` and a tqdm bar. Must come first, so that other callbacks see `val_nme` in the logs.

    `validate(size)` returns the validation NME in per cent at an input size, NaN if there are no validation photos
    (then the last epoch counts as the best); `keep_best(epoch, nme, size)` writes the network. `chain` says the size.
    """

    def __init__(self, run, validate: Callable[[int], float], keep_best: Callable[[int, float, int], None], bar, chain):
        super().__init__()
        self.run, self.validate, self.keep_best, self.bar, self.chain = run, validate, keep_best, bar, chain

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Start the clock, less the minutes of the run before a resume."""
        self.started = time.monotonic() - 60 * self.run.state["minutes"]

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Move the bar; stop if the loss is lost."""
        if not math.isfinite(logs["loss"]):
            raise InputError(f"the loss is no longer a number (step {batch + 1}); lower --learning-rate")
        self.bar.set_postfix(loss=f"{logs['loss']:.4f}", NME=f"{100 * logs['nme']:.2f}%", refresh=False)
        self.bar.update(self.chain.batch_size)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Validate in pixels of the original photos, keep the best network, checkpoint."""
        epoch += 1
        validation = self.validate(self.chain.size)
        best = self.run.state["best_nme"]
        if math.isnan(validation) or best is None or validation < best:
            self.keep_best(epoch, validation, self.chain.size)
            self.run.state |= {"best_nme": None if math.isnan(validation) else validation, "best_epoch": epoch}
        logs["val_nme"] = validation / 100
        row = {
            "epoch": epoch,
            "input_size": self.chain.size,
            "loss": logs["loss"],
            "nme": 100 * logs["nme"],
            "val_nme": validation,
            "learning_rate": float(self.model.optimizer.learning_rate),
            "minutes": round((time.monotonic() - self.started) / 60, 3),
        }
        self.run.save_epoch(self.model, row)
        self.bar.write(
            f"epoch {epoch:3d}  {self.chain.size} px  loss {row['loss']:.4f}  training NME {row['nme']:.2f} %  "
            f"validation NME {validation:.2f} %  {row['minutes']:.1f} min"
        )
