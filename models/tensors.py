"""Tensors of any backend: what stands for one in type hints, resizing, and batches that devices and hosts share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import keras
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


def device_count() -> int:
    """How many devices share each batch, on any backend."""
    distribution = keras.distribution.distribution()
    return replica_count() if distribution is None else distribution.device_mesh.devices.size


def host_rows(count: int) -> slice:
    """Which rows of a batch of `count` this host reads; all of them, but where several hosts train together (JAX)."""
    distribution = keras.distribution.distribution()
    if distribution is None or distribution.num_processes == 1:
        return slice(0, count)
    share = count // distribution.num_processes
    return slice(distribution.data_shard_id * share, (distribution.data_shard_id + 1) * share)


def shared_batch(images: np.ndarray) -> Tensor:
    """Images (batch, height, width, channels) on the devices that share each batch: each host hands over its rows.

    Keras does so in `fit`, but not in `predict_on_batch`.
    """
    distribution = keras.distribution.distribution()
    if distribution is None:
        return images
    import jax

    layout = distribution.get_data_layout(images.shape).backend_layout
    return jax.make_array_from_process_local_data(layout, images[host_rows(len(images))])


def on_all_hosts(value: Tensor) -> Tensor:
    """A tensor of the whole batch, inside a function that is compiled, of which every host gets all rows."""
    distribution = keras.distribution.distribution()
    if distribution is None or distribution.num_processes == 1:
        return value
    whole = keras.distribution.TensorLayout([None] * len(value.shape), distribution.device_mesh)
    return keras.distribution.distribute_tensor(value, whole)


@contextmanager
def on_one_device() -> Iterator[None]:
    """On JAX, leave networks that are built inside on this host's first device, also where devices share batches."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def replica_count() -> int:
    """How many devices share a batch, of which each computes the losses of its own share alone.

    So it is under TensorFlow's strategies. On JAX every operation sees the whole batch, wherever it lies: 1.
    """
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def whole_batch_mean(value: Tensor) -> Tensor:
    """The mean over the shares of a batch, of a number that is the mean over a share."""
    if replica_count() == 1:
        return value
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()  # None outside of a training step
    return value if replica is None else replica.all_reduce(tf.distribute.ReduceOp.MEAN, value)
