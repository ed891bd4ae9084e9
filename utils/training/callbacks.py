"""What happens while `fit` runs: the progress bar each step; validation, best network and checkpoint each epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import keras

from utils.common.cli import InputError

JUMP = 100  # a step's loss has jumped if it is more than this many times the running mean
LAST_STEP_SHARE = 0.05  # of the running mean


class EpochLoop(keras.callbacks.Callback):
    """Drives a `RunFolder` and a tqdm bar. Must come first, so that other callbacks see `val_nme` in the logs.

    `validate(size)` returns what is known of validation images at an input size, by name: NMEs in per cent (`val_nme`,
    `val_ear_nme` ...) and losses. The best epoch has the lowest sum of NMEs; if it is NaN, for want of validation
    images, the last epoch counts as the best. `keep_best(epoch, nme, size)` writes the network. `pipeline` gives images
    of its size, of which the model's network sees `input_size`.
    """

    def __init__(
        self,
        run,
        validate: Callable[[int], dict[str, float]],
        keep_best: Callable[[int, float, int], None],
        bar,
        pipeline,
    ):
        super().__init__()
        self.run, self.validate, self.keep_best, self.bar, self.pipeline = run, validate, keep_best, bar, pipeline

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Start the clock, less the minutes of the run before a resume."""
        self.usual: float | None = None  # the running mean of the losses that did not jump
        self.started = time.monotonic() - 60 * self.run.state["minutes"]

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Begin to add up the epoch's losses."""
        self.total, self.jumps, self.worst = 0.0, 0, 0.0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Move the bar; count a loss that jumps; stop if it is lost."""
        if not math.isfinite(logs["loss"]):
            raise InputError(f"the loss is no longer a number (step {batch + 1}); lower --learning-rate")
        self._watch_for_jumps((batch + 1) * logs["loss"])
        self.bar.set_postfix(loss=f"{logs['loss']:.4f}", NME=f"{100 * logs['nme']:.2f}%", refresh=False)
        self.bar.update(self.pipeline.batch_size)

    def _watch_for_jumps(self, total: float) -> None:
        """Count a step whose loss jumped; `total` is the sum of the epoch's losses so far."""
        rounding = 1e-6 * total  # Keras tells the epoch's mean so far, in float32: a step is a difference of sums
        step, self.total = total - self.total, total
        if self.usual is None:
            self.usual = step
        elif step > JUMP * self.usual + rounding:
            self.jumps, self.worst = self.jumps + 1, max(self.worst, step / self.usual)
        elif step > rounding:
            self.usual += LAST_STEP_SHARE * (step - self.usual)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Validate in pixels of the original images, keep the best network, checkpoint."""
        epoch += 1
        size = self.model.config.input_size
        terms = {name: value for name, value in logs.items() if name not in ("loss", "nme")}
        values = self.validate(size)
        errors = {name: value for name, value in values.items() if name.endswith("nme")}
        validation = sum(errors.values())
        best = self.run.state["best_nme"]
        if math.isnan(validation) or best is None or validation < best:
            self.keep_best(epoch, validation, size)
            self.run.state |= {"best_nme": None if math.isnan(validation) else validation, "best_epoch": epoch}
        logs.update({name: value / 100 if name in errors else value for name, value in values.items()})
        row = {
            "epoch": epoch,
            "input_size": size,
            "loss": logs["loss"],
            "nme": 100 * logs["nme"],
            **terms,
            **values,
            "learning_rate": float(self.model.optimizer.learning_rate),
            "minutes": round((time.monotonic() - self.started) / 60, 3),
        }
        self.run.save_epoch(self.model, row)
        told = ", ".join(
            f"{name.removeprefix('val_').removesuffix('nme').replace('_', ' ')}NME {value:.2f} %"
            for name, value in errors.items()
        )
        validated = "no validation images" if math.isnan(validation) else f"validation {told}"
        self.bar.write(
            f"epoch {epoch:3d}  {size} px  loss {row['loss']:.4f}  training NME {row['nme']:.2f} %  "
            f"{validated}  {row['minutes']:.1f} min"
        )
        if self.jumps:
            self.bar.write(
                f"note:      the loss of {self.jumps} of {self.pipeline.steps} steps jumped to more than {JUMP} times "
                f"its running mean, at most {self.worst:.0f} times"
            )
