"""Starting Keras: quietly, seeded and in a precision that suits the machine.

TensorFlow takes seconds to start, so a bad flag must be reported before it is imported. That is why modules which
import Keras, and other slow packages (matplotlib, tqdm), are imported inside functions, after the flags are checked.
All other imports stand at the top of a file, which `tests/test_layout.py` holds.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator

import cv2

from utils.common.hosts import ALONE, Hosts, join_hosts, of_first_host
from utils.common.workers import cpu_count

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
PRECISIONS = ("auto", *POLICIES)  # what --precision takes
# `auto` leaves float32 only for a precision that is clearly faster on this machine.
WORTHWHILE_SPEED_UP = 1.3


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what C++ libraries write to stderr while they load; shown after all if an exception follows.

    TensorFlow writes a dozen lines about CPU features and missing CUDA before its own log level counts.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def start_keras(
    precision: str = "float32",
    seed: int | None = None,
    deterministic: bool = False,
    devices: int | None = None,
    hosts: Hosts = ALONE,
) -> str:
    """Import Keras quietly, seed it, and set its dtype policy; returns the precision, with `auto` resolved.

    A CPU alone becomes so many `devices`. Where there are several `hosts` they meet here, and all take the precision of
    the first. Raises `InputError` as `join_hosts` does.
    """
    precision = resolve_precision(precision, deterministic, devices, hosts)
    import keras

    if seed is not None:
        keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(POLICIES[precision])
    return precision


def resolve_precision(
    precision: str = "float32", deterministic: bool = False, devices: int | None = None, hosts: Hosts = ALONE
) -> str:
    """Import Keras quietly and leave its dtype policy as it is; returns the precision, with `auto` resolved."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_stderr():
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tf.get_logger().setLevel("ERROR")  # its notes on tracing are for those who write functions, not run them
            tf.config.list_physical_devices()  # looks for CUDA now, while stderr is held back
            if deterministic:
                tf.config.experimental.enable_op_determinism()
        if devices is not None and devices > 1:
            _split_cpu(devices)
    join_hosts(hosts)
    with quiet_stderr():
        if precision != "auto":
            return precision
        names = list(POLICIES)
        return names[of_first_host(names.index(_fastest_precision()))]


def _split_cpu(count: int) -> None:
    """Make several devices of the CPU, where there is no GPU; before anything is computed."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        (processor,) = tf.config.list_physical_devices("CPU")
        parts = [tf.config.LogicalDeviceConfiguration()] * count
        if not tf.config.list_physical_devices("GPU"):
            tf.config.set_logical_device_configuration(processor, parts)
    elif keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_num_cpu_devices", count)


def _fastest_precision() -> str:
    """The precision in which this machine convolves fastest, measured; float32 unless another is clearly faster."""
    names = ["float32", "bfloat16"] + (["float16"] if _has_gpu() else [])
    speed = {name: convolution_speed(name, seconds=0.15) for name in names}
    best = max(speed, key=lambda name: speed[name])
    return best if speed[best] > WORTHWHILE_SPEED_UP * speed["float32"] else "float32"


def _has_gpu() -> bool:
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    return "cuda" in " ".join(map(str, keras.distribution.list_devices())).lower()


def convolution_speed(dtype: str, channels: int = 64, cells: int = 32, batch: int = 16, seconds: float = 1.0) -> float:
    """FLOP/s that this machine reaches in the network's commonest layer, a 7x7 convolution, in one dtype."""
    from keras import ops

    image = ops.ones((batch, cells, cells, channels), dtype=dtype)
    kernel = ops.ones((7, 7, channels, channels), dtype=dtype)

    def once() -> None:
        ops.convert_to_numpy(ops.cast(ops.conv(image, kernel, padding="same")[0, 0, 0, 0], "float32"))

    once()
    best, until = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        once()
        best = min(best, time.perf_counter() - start)
    return 2 * batch * cells**2 * 49 * channels**2 / best


def limit_threads(count: int) -> None:
    """Let TensorFlow and OpenCV use `count` threads for one operation; to be called before Keras is imported."""
    count = min(count, cpu_count())  # more would only wait for each other
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(count)
    cv2.setNumThreads(count)


def thread_count() -> int:
    """Threads for one operation: those that `limit_threads` left, else all."""
    return int(os.environ.get("TF_NUM_INTRAOP_THREADS", cpu_count()))
