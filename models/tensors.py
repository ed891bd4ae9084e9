"""What stands for a tensor of any backend in type hints, and resizing one on any backend."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from keras import ops

# An array of whichever Keras backend runs (TensorFlow, JAX, PyTorch), or of NumPy: they share no base class.
Tensor: TypeAlias = Any


def resized(maps: Tensor, height: int, width: int) -> Tensor:
    """Maps (batch, rows, columns, channels) as float32 (batch, height, width, channels); untouched if they fit.

    Linear interpolation, and averaging where it shrinks. Two matrix products instead of `ops.image.resize`, whose
    averaging has no GPU kernel in TensorFlow. Sizes must be known when the function is traced.
    """
    rows, columns = maps.shape[1:3]
    if (rows, columns) == (height, width):
        return maps
    maps = ops.cast(maps, "float32")
    down, across = ops.convert_to_tensor(_mix(rows, height)), ops.convert_to_tensor(_mix(columns, width))
    return ops.einsum("hr,wc,brcd->bhwd", down, across, maps)


def _mix(length: int, wanted: int) -> np.ndarray:
    """How much (wanted, length) each old sample gives to each new one: a triangle as wide as the coarser grid's step.

    Sample k of n has its centre at (k + 0.5) / n of the length.
    """
    step = max(1.0, length / wanted)
    centres = (np.arange(wanted) + 0.5) * length / wanted - 0.5
    weight = np.maximum(0, 1 - np.abs(np.arange(length) - centres[:, None]) / step)
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
