"""COFW: a MATLAB 7.3 file (HDF5) with 29 points of each face, and the images themselves.

`IsTr` and `phisTr` are images and points of the training part, `IsT` and `phisT` of the test part. A row of `phis` is
x of 29 points, their y, and whether each is hidden (0 or 1). A hidden point is annotated, and no point is missing.
MATLAB counts pixels from 1. (Burgos-Artizzu, Perona and Dollar, ICCV 2013.)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from utils.common.cli import InputError
from utils.common.foreign import reading
from utils.common.hdf5 import open_hdf5

COUNT = 29
ORIGIN = 1.0
KEYS = {"train": ("IsTr", "phisTr"), "test": ("IsT", "phisT")}


def read_cofw(path: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Name, image (height, width, 3) uint8 RGB, points (29, 2), 0-based pixels, and which are hidden, of each face.

    Raises `InputError`, with the key or the number of the face, for a file that is none, or holds anything else.
    """
    with reading(path, "COFW file"), open_hdf5(path, references=True) as file:
        keys = next(((part, *keys) for part, keys in KEYS.items() if set(keys) <= set(file)), None)
        if keys is None:
            raise InputError(f"{path}: holds neither IsTr and phisTr nor IsT and phisT (found: {', '.join(file)})")
        part, images, rows = keys[0], file[keys[1]], file[keys[2]]
        if rows.ndim != 2 or rows.shape[0] != 3 * COUNT or rows.dtype.kind not in "fiu":
            raise InputError(f"{path}: {keys[2]} is no array of {3 * COUNT} numbers a face")
        if h5py.check_ref_dtype(images.dtype) is None or images.size != rows.shape[1]:
            raise InputError(f"{path}: {keys[1]} holds no image for each of the {rows.shape[1]} faces of {keys[2]}")
        for number, (reference, row) in enumerate(zip(images[()].ravel(), rows[()].T, strict=True)):
            # HDF5 has MATLAB's dimensions reversed.
            pixels: np.ndarray = np.asarray(file[reference]).T if reference else np.zeros(0)
            if pixels.dtype != np.uint8 or not pixels.size or pixels.shape[2:] not in ((), (3,)) or pixels.ndim < 2:
                raise InputError(f"{path}: {keys[1]}: image {number} is no image of bytes, grey or RGB")
            if not np.isfinite(row).all():
                raise InputError(f"{path}: {keys[2]}: face {number} is not a number (NaN or infinite)")
            colour = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)
            x, y, hidden = row.reshape(3, COUNT)
            yield f"{part}_{number:04}", colour, np.stack([x, y], axis=1) - ORIGIN, hidden > 0
