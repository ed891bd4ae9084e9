"""What a run needs to go on: the arrays of its network and its optimiser, as an `.npz` file.

NumPy writes it through Python's own files, where a full disk is one plain error (HDF5 tells it from every array that it
cannot write, and may crash the process). Each array has a checksum, so that damage is found.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from utils.common.files import replacing
from utils.common.foreign import reading

if TYPE_CHECKING:
    import keras

HEADER = 1024  # bytes, more than the header of an array in the file


def write_checkpoint(path: Path, trainer: keras.Model) -> None:
    """Write the weights and the optimiser's variables, beside and renamed. Raises `InputError` if that fails."""
    with replacing(path) as part:
        np.savez(part, **{f"{k:04d}": variable.numpy() for k, variable in enumerate(_variables(trainer))})


def read_checkpoint(path: Path, trainer: keras.Model) -> None:
    """Give a compiled trainer the values that `write_checkpoint` wrote of one like it.

    Raises `InputError` for a file that is missing, damaged or of another network; the trainer is then as it was.
    """
    trainer.optimizer.build(trainer.trainable_variables)
    variables = _variables(trainer)
    arrays = []
    with (
        reading(path, "checkpoint", mend="this run cannot be resumed; start anew in another run folder"),
        np.load(path, allow_pickle=False) as archive,
    ):
        if len(archive.files) != len(variables):
            raise ValueError(f"it holds {len(archive.files)} arrays, not {len(variables)}")
        for k, variable in enumerate(variables):
            name = f"{k:04d}"
            current = variable.numpy()
            if archive.zip.getinfo(f"{name}.npy").file_size > current.nbytes + HEADER:
                raise ValueError(f"its array {name} is too large")
            array = archive[name]
            if (array.shape, array.dtype) != (current.shape, current.dtype):
                raise ValueError(f"its array {name} is not one of this network")
            arrays.append(array)
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _variables(trainer: keras.Model) -> list[keras.Variable]:
    return [*trainer.weights, *trainer.optimizer.variables]
