"""Numeric arrays of MATLAB files (`.mat`), read without trust in what the file says of itself.

SciPy's reader ends the whole process on some files with one wrong byte. Here every size is compared with the bytes that
are there before anything is made of them. The format of versions 5 to 7: "MAT-File Format", The MathWorks. Version
7.3 is HDF5.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterator

import h5py
import numpy as np

from utils.common.cli import InputError
from utils.common.foreign import describe_foreign_file, reading
from utils.common.hdf5 import open_hdf5

LARGEST = 64 << 20  # bytes of a file, and of all that is packed in it: files of points have some thousands
MATLAB_73 = b"MATLAB 7.3"  # how such a file begins
HEADER = 128  # bytes before the first element
ORDERS = {b"\0\x01IM": "<", b"\x01\0MI": ">"}  # version and byte order, at the header's end
MATRIX, COMPRESSED = 14, 15  # types of the elements that a file consists of
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # other types
NUMERIC_CLASSES = range(6, 16)  # of an array: double, single and whole numbers; others are text, structs, cells ...
OPAQUE = 17  # the class of MATLAB's own objects, which have no size
COMPLEX = 0x0800  # a flag of an array
MOST_DIMENSIONS = 32  # of an array; NumPy has no more


class _DamagedError(ValueError):
    """The file contradicts itself; the message says where."""


def read_mat(path: str | os.PathLike) -> dict[str, np.ndarray | None]:
    """The variables of a MATLAB file by name: real numeric arrays as they are stored, None for all else.

    Raises `InputError` for a file that cannot be read, is none, is larger than `LARGEST`, ends early or is damaged.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {problem.strerror}") from problem
    if len(data) > LARGEST:
        raise InputError(f"{path}: larger than {LARGEST >> 20} MB, so no file of points")
    if data.startswith(MATLAB_73):
        return _hdf5_variables(path, data)
    order = ORDERS.get(data[HEADER - 4 : HEADER])
    if order is None:
        raise InputError(f"{path}: {describe_foreign_file(path) or 'not a .mat file of MATLAB 5 to 7, or cut off'}")
    try:
        return dict(_variables(memoryview(data)[HEADER:], order))
    except _DamagedError as problem:
        raise InputError(f"{path}: a damaged .mat file ({problem}); copy it again") from problem


def _hdf5_variables(path: str | os.PathLike, data: bytes) -> dict[str, np.ndarray | None]:
    """The variables of a MATLAB 7.3 file; HDF5 has MATLAB's dimensions reversed."""
    with reading(path, ".mat file"), open_hdf5(data, references=True) as file:
        return {
            name: item[()].T if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu" else None
            for name, item in file.items()
        }


def _variables(data: memoryview, order: str) -> Iterator[tuple[str, np.ndarray | None]]:
    """Name and array of each element of a file."""
    left, at = LARGEST, 0
    while at < len(data):
        kind, content, at = _element(data, at, order)
        if kind == COMPRESSED:
            content = _inflated(content, left)
            left -= len(content)
            kind, content, _ = _element(content, 0, order)
        if kind != MATRIX:
            raise _DamagedError(f"a variable of type {kind}")
        yield _array(content, order)


def _inflated(content: memoryview, most: int) -> memoryview:
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(content, most + 1)
    except zlib.error as problem:
        raise _DamagedError("its packed data are wrong") from problem
    if len(data) > most:
        raise _DamagedError(f"it holds more than {LARGEST >> 20} MB")
    if not unpacker.eof:
        raise _DamagedError("its packed data end early")
    return memoryview(data)


def _element(data: memoryview, at: int, order: str) -> tuple[int, memoryview, int]:
    """Type and content of the element at a place, and the place of the next."""
    if len(data) - at < 8:
        raise _DamagedError("it ends early")
    kind, size = struct.unpack_from(f"{order}II", data, at)
    start, padding = at + 8, -size % 8
    if kind >> 16:  # a short element has its size in the upper half of the word, and its content behind it
        kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
        padding = 4 - size
        if padding < 0:
            raise _DamagedError(f"a short element of {size} bytes")
    if size > len(data) - start:
        raise _DamagedError("it ends early")
    end = start + size
    return kind, data[start:end], end if kind == COMPRESSED else end + padding


def _array(data: memoryview, order: str) -> tuple[str, np.ndarray | None]:
    """Name and values of a variable; None for what is no array of real numbers."""
    kind, flags, at = _element(data, 0, order)
    if kind != 6 or len(flags) != 8:
        raise _DamagedError("a variable without flags")
    word = struct.unpack_from(f"{order}I", flags)[0]
    shape: tuple[int, ...] = ()
    if word & 0xFF != OPAQUE:
        kind, sizes, at = _element(data, at, order)
        if kind not in (5, 6) or len(sizes) % 4 or not 2 <= len(sizes) // 4 <= MOST_DIMENSIONS:
            raise _DamagedError("a variable without dimensions")
        shape = struct.unpack(f"{order}{len(sizes) // 4}I", sizes)
    kind, name, at = _element(data, at, order)
    if kind not in (1, 2, 16):  # text, one byte a character
        raise _DamagedError("a variable without a name")
    title = bytes(name).decode("utf-8", errors="replace")
    if word & 0xFF not in NUMERIC_CLASSES or word & COMPLEX:
        return title, None
    kind, values, _ = _element(data, at, order)
    if kind not in NUMBERS:
        raise _DamagedError(f"numbers of type {kind}")
    dtype = np.dtype(order + NUMBERS[kind])
    if len(values) != math.prod(shape) * dtype.itemsize or math.prod(filter(None, shape)) > LARGEST:
        raise _DamagedError(f"{len(values)} bytes for an array of {' x '.join(map(str, shape))}")
    return title, np.frombuffer(values, dtype).reshape(shape, order="F")
