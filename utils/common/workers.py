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
from typing import TypeVar

Work, Result = TypeVar("Work"), TypeVar("Result")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(pool: Executor, work: Callable[[Work], Result], jobs: Iterable[Work], ahead: int) -> Iterator[Result]:
    """The results of `work` on each of `jobs`, in their order; at most `ahead` are at work or wait to be taken."""
    jobs = iter(jobs)
    waiting = deque(pool.submit(work, job) for job in itertools.islice(jobs, ahead))
    while waiting:
        result = waiting.popleft().result()
        waiting.extend(pool.submit(work, job) for job in itertools.islice(jobs, 1))
        yield result


def process_pool(count: int, work: Callable) -> ProcessPoolExecutor:
    """`count` processes for OpenCV work, each of which gets `work` once; what is submitted is `do_work` and its input.

    Ctrl-C is left to the parent, with which they end, also if it is killed.
    """
    # NumPy reads it when it is imported: matrix products on all cores in each of these processes take twice as long.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Spawned, not forked: threads of OpenCV, TensorFlow and JAX do not survive a fork.
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin, (work,))


def do_work(*arguments: object) -> object:
    """In a process of `process_pool`: the work that it was given, done on `arguments`."""
    return _Process.work(*arguments)


class _Process:
    work: Callable  # of this process; what it is bound to is sent once, not with every piece of work


def one_thread() -> None:
    """Let OpenCV use one thread: one image a core is faster than threads inside an image."""
    import cv2

    cv2.setNumThreads(1)


def _begin(work: Callable) -> None:
    _Process.work = work
    one_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
