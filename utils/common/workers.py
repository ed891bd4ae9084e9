"""Processes that work beside the main one, and end with it."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from typing import Any, TypeVar

import cv2

Item = TypeVar("Item")
Result = TypeVar("Result")


def cpu_count() -> int:
    """CPU cores that this process may use, which `os.cpu_count` does not know before Python 3.13."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def imap_ordered(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Yield `function(item)` for each of `items`, in their order, as `Pool.imap` does.

    At most `ahead` items are at work or wait to be taken, so that an endless iterable can be given.
    """
    items = iter(items)
    waiting = deque(pool.submit(function, item) for item in itertools.islice(items, ahead))
    while waiting:
        result = waiting.popleft().result()
        waiting.extend(pool.submit(function, item) for item in itertools.islice(items, 1))
        yield result


def process_pool(count: int, function: Callable) -> ProcessPoolExecutor:
    """`count` processes for OpenCV work. Each gets `function` once; submit `call_worker` and its arguments.

    Ctrl-C is left to the parent. The processes end with it, also if it is killed.
    """
    # NumPy reads it when it is imported: matrix products on all cores in each of these processes take twice as long.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Spawned, not forked: threads of OpenCV, TensorFlow and JAX do not survive a fork.
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _initialise, (function,))


def call_worker(*arguments: object) -> Any:  # what the pool's function returns
    """In a process of `process_pool`: call the function that it was given."""
    return _Process.function(*arguments)


class _Process:
    function: Callable  # of this process; what it is bound to is sent once, not with every item


def use_one_opencv_thread() -> None:
    """Let OpenCV use one thread: one image a core is faster than threads inside an image."""
    cv2.setNumThreads(1)


def _initialise(function: Callable) -> None:
    _Process.function = function
    use_one_opencv_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
