"""A run on disk: its config, its split, its history, the best network and the state to resume from."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from data.datasets import Sample, read_split, split_rows, write_split
from utils.common.cli import InputError
from utils.common.files import read_json, replacing, write_csv, write_json
from utils.common.schema import Kind, check_values, list_of, mapping_of, number, optional, whole
from utils.training.checkpoint import read_checkpoint, write_checkpoint
from utils.training.config import RunOptions, TrainConfig
from utils.training.flags import CONFIG_FILE
from utils.training.plots import plot_history

if TYPE_CHECKING:
    import keras

Row = dict[str, float]  # an epoch of the history: epoch, loss, NMEs in per cent, learning rate, minutes


@dataclass
class RunState:
    """What `state.json` holds: how far a run has come.

    `best_nme`, in per cent, is None until there is one, and where there are no validation images. `checkpoint` names
    the file that belongs to `epoch`.
    """

    epoch: int = 0
    best_nme: float | None = None
    best_epoch: int = 0
    minutes: float = 0.0
    history: list[Row] = field(default_factory=list)
    checkpoint: str | None = None


STATE = {  # what each value of `state.json` must be
    "epoch": whole(1),
    "best_nme": optional(number(0, 1e300)),
    "best_epoch": whole(0),
    "minutes": number(0, 1e9),
    "history": list_of(mapping_of(optional(number(-1e300, 1e300)))),
    "checkpoint": Kind(
        "the name of a checkpoint, as checkpoint-0001.npz",
        lambda value: isinstance(value, str) and re.fullmatch(r"checkpoint-\d{4,10}\.npz", value) is not None,
    ),
}


class RunFolder:
    """A run folder, new or to be resumed.

    `state.json` is written last in each epoch and names the checkpoint that belongs to it, so that whatever moment a
    kill hits, the folder holds one whole epoch. `best.keras` is the network with the lowest validation NME. Of several
    hosts that train together the first alone writes.

    Raises `InputError` for a folder to resume whose state is not whole.
    """

    def __init__(self, options: RunOptions):
        self.path, self.resumed, self.hosts = options.folder, options.resume, options.hosts
        self.best = self.path / "best.keras"
        self.state = RunState()
        if self.resumed and (self.path / "state.json").exists():
            self.state = self._read_state()
        # A kill in the first epoch leaves its checkpoint without a state; later ones never do.
        elif self.resumed and any(path.name != "checkpoint-0001.npz" for path in self.path.glob("checkpoint-*.npz")):
            raise InputError(f"--resume: {self.path / 'state.json'} is missing; start anew in another run folder")

    def _read_state(self) -> RunState:
        path = self.path / "state.json"
        content = read_json(path, f"--resume: {self.path} cannot be resumed")
        try:
            check_values(content, STATE, required=STATE)
        except ValueError as problem:
            raise InputError(
                f"--resume: {path} is not that of a run ({problem}); start anew in another run folder"
            ) from problem
        if [row.get("epoch") for row in content["history"]] != list(range(1, content["epoch"] + 1)):
            raise InputError(
                f"--resume: {path} is not that of a run (its history has other epochs than 1 to {content['epoch']}); "
                "start anew in another run folder"
            )
        for needed in (self.best, self.path / content["checkpoint"]):
            if not needed.is_file():
                raise InputError(f"--resume: {needed} is missing; start anew in another run folder")
        state = RunState(**{name: content[name] for name in STATE})
        # JSON has no NaN: the NME of images that there are none of.
        state.history = [{k: math.nan if v is None else v for k, v in row.items()} for row in state.history]
        return state

    def split_file(self, given: str | None) -> Path | str | None:
        """The file that says which image is in which part: of a run that was split by a file, its own copy of it."""
        own = self.path / "split.csv"
        return own if given is not None and self.resumed and own.exists() else given

    def start(self, config: TrainConfig, parts: dict[str, list[Sample]], problems: list[str]) -> None:
        """Write the config, the split and the list of images that were left out.

        The config of a resumed run says from then on where its images lie now, and how many epochs it has. Raises
        `InputError` if its images are no longer those that it was started with.
        """
        split, before = self.path / "split.csv", self.path / CONFIG_FILE
        if self.state.epoch and not split.is_file():
            raise InputError(f"--resume: {split} is missing; start anew in another run folder")
        if self.resumed and split.exists() and read_split(split) != split_rows(parts):
            raise InputError(
                f"--resume: the images below {', '.join(config.data)} are not those that {self.path} began with"
            )
        if self.resumed:
            epochs = read_json(before, f"--resume: {self.path} cannot be resumed").get("epochs", config.epochs)
            if config.epochs > epochs:
                print(
                    f"note:     {config.epochs} epochs instead of {epochs}: from epoch {self.state.epoch + 1} on the "
                    "learning rate is that of the longer schedule"
                )
        if not self.hosts.leads:
            return
        write_json(before, config.to_json())
        for left_over in self.path.glob(".part*"):  # of a run that was killed while it wrote
            left_over.unlink()
        write_split(self.path / "split.csv", parts)
        if problems:
            with replacing(self.path / "left_out.txt") as part:
                part.write_text("\n".join(problems) + "\n", encoding="utf-8")

    def restore(self, trainer: keras.Model) -> None:
        """Load weights and optimiser of the last whole epoch, if there is one. Raises `InputError` if they are lost."""
        if self.state.checkpoint is not None:
            read_checkpoint(self.path / self.state.checkpoint, trainer)

    def save_epoch(self, trainer: keras.Model, row: Row) -> None:
        """Write the checkpoint, the curves and, last of all, `state.json`; then drop the checkpoint before."""
        name = f"checkpoint-{int(row['epoch']):04d}.npz"
        before = self.state.checkpoint
        write_checkpoint(self.path / name, trainer)
        self.state.epoch, self.state.minutes, self.state.checkpoint = int(row["epoch"]), row["minutes"], name
        # What an epoch before did not have stays unknown.
        self.state.history = [{column: each.get(column, math.nan) for column in row} for each in self.state.history]
        self.state.history.append(row)
        history = ([epoch[column] for column in row] for epoch in self.state.history)
        write_csv(self.path / "history.csv", [list(row), *history])
        plot_history(self.path / "curves.png", self.state.history, str(self.path.name))
        write_json(self.path / "state.json", asdict(self.state))
        if before and before != name:
            (self.path / before).unlink(missing_ok=True)
