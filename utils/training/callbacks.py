"""What happens while `fit` runs, as Keras callbacks with one job each.

Keras calls them in the order of the list: a callback that adds to the logs of an epoch stands before those that read
them. `run_callbacks` gives those that every run has, in that order.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import keras
from tqdm import tqdm

from data.datasets import Sample
from data.pipeline import Pipeline
from models.config import ModelConfig
from models.trainer import LandmarkReader
from models.weights import save_network
from utils.common.cli import InputError
from utils.common.hosts import lost_host
from utils.evaluation.scoring import score_samples
from utils.training.config import TrainConfig
from utils.training.run_folder import Row, RunFolder

JUMP = 100  # a step's loss has jumped if it is more than this many times the running mean
LAST_STEP_WEIGHT = 0.05  # of a step in that running mean


class Validation(keras.callbacks.Callback):
    """Scores validation images after every epoch, in pixels of the originals, and adds the NMEs to the logs.

    `scored`: name in the logs (`val_nme`, `val_ear_nme` ...) -> a reader and its images. An NME is a fraction of the
    scheme's normaliser, and NaN where there are no images.
    """

    def __init__(self, scored: dict[str, tuple[LandmarkReader, list[Sample]]], batch_size: int):
        super().__init__()
        self.scored, self.batch_size = scored, batch_size

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Score, and add the NMEs. Raises `InputError` if the network's answers are no longer numbers."""
        assert logs is not None
        for name, (reader, samples) in self.scored.items():
            logs[name] = validation_nme(reader, samples, self.batch_size) / 100


def validation_nme(reader: LandmarkReader, samples: list[Sample], batch_size: int) -> float:
    """NME in per cent on validation images, in pixels of the originals; NaN if there are none.

    Raises `InputError` if a network's answers are no longer numbers: it must never count as the best.
    """
    if not samples:
        return math.nan
    nme = score_samples(reader, samples, batch_size).summary["nme"]
    if not math.isfinite(nme):
        raise InputError("the network's points are no longer numbers on validation images; lower --learning-rate")
    return nme


def validation_sum(logs: dict) -> float:
    """The sum of an epoch's validation NMEs, per cent: what the best epoch has least of. NaN if one is not known."""
    return 100 * sum(value for name, value in logs.items() if name.startswith("val_") and name.endswith("nme"))


class BestNetwork(keras.callbacks.Callback):
    """Keeps the network of the epoch with the lowest sum of validation NMEs as `best.keras`.

    Without validation images the last epoch counts as the best. `record` is what the file says of its training.
    """

    def __init__(self, run: RunFolder, network: keras.Model, config: ModelConfig, record: dict):
        super().__init__()
        self.run, self.network, self.config, self.record = run, network, config, record

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the network if it is the best so far."""
        nme: float | None = validation_sum(logs or {})
        if nme is not None and math.isnan(nme):
            nme = None
        best = self.run.state.best_nme
        if nme is None or best is None or nme < best:
            score = {"epoch": epoch + 1, "validation_nme": nme}
            save_network(self.run.best, self.network, self.config, self.record | score)
            self.run.state.best_nme, self.run.state.best_epoch = nme, epoch + 1


class Restore(keras.callbacks.Callback):
    """Restores a resumed run before its first epoch."""

    def __init__(self, run: RunFolder):
        super().__init__()
        self.run = run

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Load the last whole epoch."""
        self.run.restore(self.model)


class Checkpoint(keras.callbacks.Callback):
    """Saves every epoch's state, curves and history."""

    def __init__(self, run: RunFolder):
        super().__init__()
        self.run = run

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Start the clock, less the minutes of the run before."""
        self.started = time.monotonic() - 60 * self.run.state.minutes

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Save the epoch."""
        row: Row = {"epoch": epoch + 1}
        row |= {name: 100 * value if name.endswith("nme") else value for name, value in (logs or {}).items()}
        row["learning_rate"] = float(self.model.optimizer.learning_rate)
        row["minutes"] = round((time.monotonic() - self.started) / 60, 3)
        self.run.save_epoch(self.model, row)


class LossWatch(keras.callbacks.Callback):
    """Stops a run whose loss is no longer a number, and notes the steps whose loss jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.usual: float | None = None  # the running mean of the losses that did not jump

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Begin to add up the epoch's losses."""
        self.total, self.jumps, self.highest, self.steps = 0.0, 0, 0.0, 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Count a loss that jumps. Raises `InputError` for one that is no number."""
        assert logs is not None
        if not math.isfinite(logs["loss"]):
            raise InputError(f"the loss is no longer a number (step {batch + 1}); lower --learning-rate")
        self.steps = batch + 1
        total = self.steps * logs["loss"]
        rounding = 1e-6 * total  # Keras tells the epoch's mean so far, in float32: a step is a difference of sums
        step, self.total = total - self.total, total
        if self.usual is None:
            self.usual = step
        elif step > JUMP * self.usual + rounding:
            self.jumps, self.highest = self.jumps + 1, max(self.highest, step / self.usual)
        elif step > rounding:
            self.usual += LAST_STEP_WEIGHT * (step - self.usual)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Say so if losses jumped."""
        if self.jumps:
            tqdm.write(
                f"note:      the loss of {self.jumps} of {self.steps} steps jumped to more than {JUMP} times "
                f"its running mean, at most {self.highest:.0f} times"
            )


class ProgressBar(keras.callbacks.Callback):
    """One bar for the whole run, and a line for every epoch."""

    def __init__(self, run: RunFolder, pipeline: Pipeline, epochs: int):
        super().__init__()
        self.run, self.batch_size = run, pipeline.batch_size
        self.images, self.epochs = pipeline.steps * pipeline.batch_size, epochs

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Show the bar, from where a resumed run stands."""
        done = self.run.state.epoch
        if done >= self.epochs:
            print(f"{self.run.path} has all of its {self.epochs} epochs")
        self.bar = tqdm(
            total=self.epochs * self.images,
            initial=min(done, self.epochs) * self.images,
            unit="image",
            dynamic_ncols=True,
            smoothing=0.1,
            disable=done >= self.epochs,
        )

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Move the bar."""
        assert logs is not None
        self.bar.set_postfix(loss=f"{logs['loss']:.4f}", NME=f"{100 * logs['nme']:.2f}%", refresh=False)
        self.bar.update(self.batch_size)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the epoch's line."""
        row = self.run.state.history[-1]
        errors = {name.removeprefix("val_").removesuffix("nme").replace("_", " "): value
                  for name, value in row.items() if name.startswith("val_") and name.endswith("nme")}  # fmt: skip
        if any(math.isnan(value) for value in errors.values()):
            validated = "no validation images"
        else:
            validated = "validation " + ", ".join(f"{task}NME {value:.2f} %" for task, value in errors.items())
        tqdm.write(
            f"epoch {epoch + 1:3d}  loss {row['loss']:.4f}  training NME {row['nme']:.2f} %  {validated}  "
            f"{row['minutes']:.1f} min"
        )

    def on_train_end(self, logs: dict | None = None) -> None:
        """Close the bar."""
        self.bar.close()


def run_callbacks(
    run: RunFolder,
    config: TrainConfig,
    pipeline: Pipeline,
    network: keras.Model,
    model_config: ModelConfig,
    record: dict,
) -> list[keras.callbacks.Callback]:
    """What every run does after its own validation: keep the best network, save, watch the loss, show progress.

    Of several hosts the first alone writes and shows.
    """
    if not run.hosts.leads:
        return [Restore(run), LossWatch()]
    callbacks: list[keras.callbacks.Callback] = [Restore(run), BestNetwork(run, network, model_config, record)]
    if keras.backend.backend() == "tensorflow":
        callbacks.append(keras.callbacks.TensorBoard(run.path / "tensorboard", write_graph=False))
    return [*callbacks, Checkpoint(run), ProgressBar(run, pipeline, config.epochs), LossWatch()]


@contextmanager
def clear_errors(run: RunFolder, pipeline: Pipeline) -> Iterator[None]:
    """Let `fit` fail in words that help: how to go on after Ctrl-C, the pipeline's own reason, and a lost host.

    Keras and TensorFlow wrap an exception of the pipeline in a page of their own.
    """
    try:
        yield
    except KeyboardInterrupt:
        where = f" in epoch {run.state.epoch + 1}" if run.hosts.leads else ""
        tqdm.write(f"stopped{where}; continue with --resume --run {run.path}", sys.stderr)
        raise
    except InputError:
        raise
    except Exception as problem:
        clear = pipeline.problem or lost_host(problem)
        if clear is None:
            raise
        raise clear from problem
