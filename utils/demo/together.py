"""Many images, searched at once: what all their searches want to be read next goes through the network in one batch."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from utils.common.cli import InputError
from utils.common.images import decode_image
from utils.common.workers import cpu_count, imap_ordered
from utils.demo.prediction import Prediction
from utils.demo.sources import Source

if TYPE_CHECKING:
    from utils.demo.engines import Engine
    from utils.demo.predictor import LandmarkPredictor

Item = TypeVar("Item")


@dataclass(frozen=True)
class Found:
    """An image (height, width, 3) uint8 RGB, and what is in it."""

    image: np.ndarray
    prediction: Prediction


def find_in_images(
    predictor: LandmarkPredictor, items: Iterable[Item], load: Callable[[Item], np.ndarray], batch: int
) -> Iterator[tuple[Item, Found | InputError]]:
    """Each item, in their order, and what is found in its image, or why `load` could not give it.

    `batch` images are searched at once. As many more are decoded ahead.
    """
    batches = Batches()

    def loaded(item: Item) -> tuple[Item, np.ndarray | InputError]:
        try:
            return item, load(item)
        except InputError as problem:
            return item, problem

    def find(each: tuple[Item, np.ndarray | InputError]) -> tuple[Item, Found | InputError]:
        item, image = each
        if isinstance(image, InputError):
            return item, image
        with batches.searching():
            return item, Found(image, predictor.beside(batches.share)(image))

    readers, searchers = ThreadPoolExecutor(cpu_count()), ThreadPoolExecutor(batch)
    try:
        yield from imap_ordered(searchers, find, imap_ordered(readers, loaded, items, ahead=batch), ahead=batch)
    finally:
        batches.stop()
        for pool in (readers, searchers):
            pool.shutdown(cancel_futures=True)


def search_ahead(
    predictor: LandmarkPredictor, sources: Sequence[Source], batch: int
) -> Iterator[tuple[Source, Found | InputError | None]]:
    """Each source, in their order, and what is found in it if it is an image and `batch` is more than 1."""
    for still, each in itertools.groupby(sources, key=lambda source: source.kind == "image"):
        if still and batch > 1:
            yield from find_in_images(predictor, each, lambda source: decode_image(source.name), batch)
        else:
            yield from ((source, None) for source in each)


@dataclass
class _Request:
    engine: Engine
    images: np.ndarray
    tasks: Sequence[str] | None
    answer: dict[str, np.ndarray] | None = None
    problem: BaseException | None = None


class Batches:
    """What the searches of several threads read, each inside `with batches.searching()`, by engines that they `share`.

    Each waits for its answer until all wait; then one of them has the networks read the images of all.
    """

    def __init__(self) -> None:
        self._all_wait = threading.Condition()
        self._searches = 0
        self._stopped = False
        self._waiting: list[_Request] = []

    @contextmanager
    def searching(self) -> Iterator[None]:
        """For as long as a thread searches: no batch is read before it wants something, or has ended."""
        with self._all_wait:
            self._searches += 1
        try:
            yield
        finally:
            with self._all_wait:
                self._searches -= 1
                self._read_if_all_wait()

    def stop(self) -> None:
        """End the searches that go on: nobody wants their answers any more."""
        self._stopped = True  # before the lock: a thread holds that while a batch is read
        with self._all_wait:
            self._all_wait.notify_all()

    def share(self, engine: Engine) -> SharedEngine:
        """What threads share of an engine."""
        return SharedEngine(engine, self)

    def read(self, engine: Engine, images: np.ndarray, tasks: Sequence[str] | None) -> dict[str, np.ndarray]:
        """What an engine reads in images, as `Engine.read` has it. Raises RuntimeError where searches were stopped."""
        request = _Request(engine, images, tasks)
        with self._all_wait:
            self._waiting.append(request)
            self._read_if_all_wait()
            self._all_wait.wait_for(lambda: request.answer is not None or request.problem is not None or self._stopped)
        if request.problem is not None:
            raise request.problem
        if request.answer is None:
            raise RuntimeError("the searches were stopped")
        return request.answer

    def _read_if_all_wait(self) -> None:
        if self._stopped or not self._waiting or len(self._waiting) < self._searches:
            return
        requests, self._waiting = self._waiting, []
        alike: dict[tuple, list[_Request]] = {}
        for request in requests:
            kind = (id(request.engine), request.images.shape[1:3], request.tasks is None)
            alike.setdefault(kind, []).append(request)
        try:
            for each in alike.values():
                self._read(each)
        except BaseException as problem:  # to be raised by every search that waits for an answer
            for request in requests:
                request.problem = problem
        self._all_wait.notify_all()

    def _read(self, requests: Sequence[_Request]) -> None:
        """Read the images of an engine's requests in one batch: those of a task side by side, where each has a task."""
        engine, images = requests[0].engine, np.concatenate([request.images for request in requests])
        heads = list(engine.config.heads)
        if requests[0].tasks is None:
            counts = {task: [len(request.images) for request in requests] for task in heads}
            answers = engine.read(images)
        else:
            tasks = [task for request in requests for task in request.tasks or ()]
            order = sorted(range(len(tasks)), key=lambda k: heads.index(tasks[k]))
            counts = {task: [list(request.tasks or ()).count(task) for request in requests] for task in heads}
            answers = engine.read(images[order], [tasks[k] for k in order])
        parts = {name: np.split(rows, np.cumsum(counts[name.rsplit("_", 1)[0]])[:-1]) for name, rows in answers.items()}
        for k, request in enumerate(requests):
            request.answer = {name: rows[k] for name, rows in parts.items()}


class SharedEngine:
    """An engine whose images wait until other threads have theirs too, as an `Engine`."""

    def __init__(self, engine: Engine, batches: Batches):
        self._engine, self._batches = engine, batches
        self.config, self.record = engine.config, engine.record
        self.title, self.precision, self.took = engine.title, engine.precision, engine.took

    def read(self, images: np.ndarray, tasks: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """As `Engine` has it. Raises RuntimeError where the searches were stopped."""
        return self._batches.read(self._engine, images, tasks)

    def maps(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """As `Engine` has it."""
        return self._engine.maps(images)
