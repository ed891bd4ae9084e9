"""Several devices, each with its share of every batch: of one machine, and on JAX of several hosts.

TensorFlow: `tf.distribute.MirroredStrategy`, a copy of the network a device. JAX: `keras.distribution.DataParallel`.
"""

from __future__ import annotations

import keras

from models.tensors import replica_count
from utils.common.cli import InputError
from utils.common.hosts import ALONE, Hosts


def share_out(wanted: int | None, batch_size: int, hosts: Hosts = ALONE) -> None:
    """Let all networks made from here on share each batch between devices, of which is said how many.

    `wanted`: so many of each host, which the flags know to have equal shares (None: all GPUs that can, and one device
    where there is none). `start_keras` has made devices of a CPU, and let several `hosts` meet. Raises `InputError` if
    there are fewer, or if they cannot share.
    """
    devices = _devices()  # a list for each host
    most = min(map(len, devices))
    # Under TensorFlow Keras asks the first device alone whether its float16 gradients are finite.
    half = keras.backend.backend() == "tensorflow" and keras.config.dtype_policy().name == "mixed_float16"
    count = wanted or 1
    if wanted is None and _are_gpus(devices[0]) and not half:
        count = max(k for k in range(1, most + 1) if batch_size % (k * hosts.count) == 0)
    if count > 1 and keras.backend.backend() not in ("tensorflow", "jax"):
        raise InputError(f"--devices {count}: {keras.backend.backend()} uses one here; leave it out")
    if count > most:
        raise InputError(f"--devices {count}: there are {most} ({', '.join(devices[0])})")
    used = [device for each in devices for device in each[:count]]
    if len(used) == 1:
        return
    if half:
        raise InputError("--precision float16: several devices want float32 or bfloat16 with TensorFlow; name one")
    if keras.backend.backend() == "jax":
        # Each host reads its own rows of a batch.
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=used, auto_shard_dataset=False))
    else:
        import tensorflow as tf

        tf.distribute.experimental_set_strategy(tf.distribute.MirroredStrategy(used))
    where = f" of {hosts.count} hosts" if hosts.count > 1 else ""
    print(f"devices:  {len(used)}{where} share each batch ({', '.join(used)})")


def _devices() -> list[list[str]]:
    """Names of each host's GPUs, else of its CPU's devices, as the backend's own strategy takes them."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        kinds = [tf.config.list_logical_devices(kind) for kind in ("GPU", "CPU")]
        return [[device.name for device in kinds[0] or kinds[1]]]
    if keras.backend.backend() == "jax":
        import jax

        hosts: dict[int, list[str]] = {}
        for device in jax.devices():
            hosts.setdefault(device.process_index, []).append(f"{device.platform}:{device.id}")
        return [hosts[index] for index in sorted(hosts)]
    return [["cpu:0"]]  # PyTorch shares nothing out here


def _are_gpus(devices: list[str]) -> bool:
    return "cpu" not in devices[0].lower()


def make_adam(schedule: keras.optimizers.schedules.LearningRateSchedule, clipnorm: float) -> keras.Optimizer:
    """Adam that clips each array's gradient of the whole batch, however many devices share it."""
    count = replica_count()
    if count == 1:
        return keras.optimizers.Adam(schedule, clipnorm=clipnorm)

    class WholeBatchAdam(keras.optimizers.Adam):
        """Keras clips the gradient of each share, and adds them up afterwards. Here the sum is clipped.

        Keras adds up what each device hands over: so each hands over its part of the sum, and `clipnorm / count` clips
        that as `clipnorm` clips the sum.
        """

        def apply(self, grads: list, trainable_variables: list | None = None) -> None:
            """One step; `grads` are those of a share."""
            import tensorflow as tf

            whole = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, list(grads))
            super().apply([gradient / count for gradient in whole], trainable_variables)

    return WholeBatchAdam(schedule, clipnorm=clipnorm / count)
