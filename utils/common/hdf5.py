"""HDF5 files of plain arrays: those of strangers, which must not reach outside themselves."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

# Bytes of all arrays per byte of the file. What Keras writes needs less than 1, and a repacked file little more.
MOST_UNPACKED = 4


@contextmanager
def open_hdf5(source: str | os.PathLike | bytes, references: bool = False) -> Iterator[h5py.File]:
    """Open a file, or the bytes of one, that holds groups and arrays of numbers and nothing else.

    HDF5 can take the bytes of an array from any other file of the machine: by external storage, by links and by
    virtual datasets. None of them is followed. Raises ValueError for these, for arrays that claim to be larger than the
    file could hold, and for groups that hold themselves; for a damaged file whatever h5py raises. Where `references`
    are taken, an array may hold those of other objects of the file, as MATLAB's cells do.
    """
    size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
    with h5py.File(io.BytesIO(source) if isinstance(source, bytes) else source, "r") as file:
        _check_plain(file, MOST_UNPACKED * size, references)
        yield file


def _check_plain(file: h5py.File, most: int, references: bool) -> None:
    """Look at every object of a file, before any array is read. `most`: bytes of all arrays together."""
    waiting, total = [file["/"]], 0
    seen = {_address(waiting[0])}
    while waiting:
        group = waiting.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{name!r} in it is a link, which is not followed")
            item = group[name]
            if _address(item) in seen:
                raise ValueError(f"{name!r} in it stands in two places")
            seen.add(_address(item))
            if isinstance(item, h5py.Group):
                waiting.append(item)
                continue
            refers = (
                references and isinstance(item, h5py.Dataset) and h5py.check_ref_dtype(item.dtype) is h5py.Reference
            )
            if not refers and (not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiub"):
                raise ValueError(f"{name!r} in it is no array of numbers")
            if item.external or item.is_virtual:
                raise ValueError(f"{name!r} in it takes its numbers from another file, which is not read")
            total += item.nbytes
            if total > most:
                raise ValueError("its arrays claim to be larger than the file")


def _address(item: h5py.Group | h5py.Dataset) -> int:
    return h5py.h5o.get_info(item.id).addr
