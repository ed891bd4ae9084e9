"""The two input pipelines, side by side: one for training (random, endless) and one for evaluation (every image once).

    training:   order of the epoch -> decode -> random warp -> jitter -> batch
    evaluation: list order         -> decode -> crop warp             -> batch

Both give uint8 RGB images as NumPy arrays, which Keras takes on every backend. Points travel, heatmaps do not: the
device draws them from the points.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cv2
import numpy as np

from data.augment import (
    BACKGROUND_FRACTION,
    CLOSE_UP_FRACTION,
    apply_matrix,
    crop_warp,
    draw_background_warp,
    draw_close_up_warp,
    draw_image_warp,
    draw_warp,
    jitter_image,
    warp_image,
)
from data.datasets import Sample
from data.schemes import SCHEMES, Scheme
from utils.common.cli import InputError
from utils.common.images import decode_image
from utils.common.workers import call_worker, cpu_count, imap_ordered, process_pool, use_one_opencv_thread

NEGATIVES_FRACTION = 0.12  # of the views
NOWHERE = -1e5  # input pixels: the place of an ear that is known not to be in the image


def training_example(
    sample: Sample, scheme: Scheme, size: int, rng: np.random.Generator, strength: float, flip_probability: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """One random view of an image: image (size, size, 3) uint8 and points (landmarks, 2) float32, input pixels.

    Of ears, the points of a second one follow: NaN where nobody looked for it, `NOWHERE` where there is none. A few
    views show a part only, and where the whole image is annotated, a few look away: then points lie outside.
    """
    image = decode_image(sample.image)
    all_known = scheme.annotated_sides is None or sample.others is not None
    away = all_known and rng.random() < BACKGROUND_FRACTION * min(strength, 1.0)
    everyone = sample.points if sample.others is None else np.concatenate([sample.points, *sample.others])
    warp = draw_background_warp(scheme, sample.points, everyone, image.shape, rng) if away else None
    if warp is None and rng.random() < CLOSE_UP_FRACTION * min(strength, 1.0):
        warp = draw_close_up_warp(scheme, sample.points, rng, flip_probability)
    warp = warp or draw_warp(scheme, sample.points, rng, strength, flip_probability)
    border, fill = cv2.BORDER_CONSTANT, (0, 0, 0)
    if strength:
        border = int(rng.choice([cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101], p=[0.6, 0.3, 0.1]))
        fill = (0, 0, 0) if rng.random() < 0.5 else tuple(int(level) for level in rng.integers(0, 256, 3))
    matrix = warp.matrix(size)
    crop = jitter_image(warp_image(image, matrix, size, border, fill), rng, strength)
    points = apply_matrix(matrix, sample.points)
    points = points[list(scheme.flip_order)] if warp.flip else points
    if scheme.instances == 1:
        return crop, points
    second = np.full_like(points, np.nan if sample.others is None else NOWHERE)
    if sample.others is not None and len(sample.others):
        second = apply_matrix(matrix, sample.others[0])
    return crop, np.concatenate([points, second])


def negative_example(
    path: Path, scheme: Scheme, size: int, rng: np.random.Generator, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """One random view of an image that shows nobody: as `training_example`, with all points `NOWHERE`."""
    image = decode_image(path)
    crop = warp_image(image, draw_image_warp(image.shape, rng).matrix(size), size, cv2.BORDER_REFLECT_101)
    return jitter_image(crop, rng, strength), np.full((scheme.count * scheme.instances, 2), NOWHERE, np.float32)


def evaluation_example(sample: Sample, scheme: Scheme, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The image under the `crop` protocol: image (size, size, 3) uint8 and the warp's matrix (2, 3)."""
    matrix = crop_warp(scheme, sample.points).matrix(size)
    return warp_image(decode_image(sample.image), matrix, size), matrix


class TrainingPipeline:
    """Endless batches of random views, in an order that depends only on seed and epoch.

    Every image comes once a pass; example k of pass e draws its view from a generator seeded by (seed, e, image). A run
    that resumes at epoch e therefore sees the batches that an undisturbed run would have seen. The last batch of a pass
    is filled up from the same pass's start, so that every step has the same shape. An epoch has `passes` of them.

    `workers` processes make the batches; 0: threads of this process, one a core, which Python's lock holds to about
    what two cores can do. Where there are images of `negatives`, `NEGATIVES_FRACTION` of the views are of those. Raises
    `InputError` if there are no images.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        scheme: Scheme,
        size: int,
        batch_size: int,
        seed: int = 0,
        strength: float = 1.0,
        flip_probability: float = 0.5,
        repeats: int = 1,
        workers: int = 0,
        negatives: Sequence[Path] = (),
    ):
        if not samples:
            raise InputError(
                "no training images: the split leaves none (images of Both/ and CollectionA/test are for scoring); "
                "give more images, or another --split"
            )
        self.samples, self.scheme, self.size = list(samples), scheme, size
        self.batch_size, self.seed, self.strength, self.flip_probability = batch_size, seed, strength, flip_probability
        self.workers, self.negatives = workers, list(negatives)
        self.steps_per_repeat = -(-len(self.samples) // batch_size)
        self.steps = repeats * self.steps_per_repeat
        self.problem: InputError | None = None  # why the pipeline stopped: Keras wraps and hides exceptions

    def order(self, number: int) -> np.ndarray:
        """Image numbers (steps x batch_size) of a pass."""
        order = np.random.default_rng((self.seed, number)).permutation(len(self.samples))
        return np.resize(order, self.steps_per_repeat * self.batch_size)

    def example(self, number: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (size, size, 3) uint8 and points (landmarks, 2) float32 of one image in one pass."""
        rng = np.random.default_rng((self.seed, number, index))
        if self.negatives and rng.random() < NEGATIVES_FRACTION:
            other = self.negatives[rng.integers(len(self.negatives))]
            return negative_example(other, self.scheme, self.size, rng, self.strength)
        return training_example(self.samples[index], self.scheme, self.size, rng, self.strength, self.flip_probability)

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Images (batch, size, size, 3) uint8 and points (batch, landmarks, 2) float32 of a step, counted from 0."""
        number, place = divmod(step, self.steps_per_repeat)
        chosen = self.order(number)[place * self.batch_size : (place + 1) * self.batch_size]
        crops, points = zip(*(self.example(number, index) for index in chosen), strict=True)
        return np.stack(crops), np.stack(points)

    def batches(self, first_epoch: int = 0, first_step: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches without end, from a step of an epoch on; `first_step` may lie beyond the epoch's end."""
        use_one_opencv_thread()  # the pipeline runs images in parallel; threads inside an image would only compete
        threads = cpu_count()
        pool = process_pool(self.workers, self.batch) if self.workers else ThreadPoolExecutor(threads)
        work = call_worker if self.workers else self.batch
        first = first_epoch * self.steps + first_step
        try:
            yield from imap_ordered(pool, work, itertools.count(first), ahead=2 * (self.workers or threads))
        except InputError as problem:
            self.problem = problem
            raise
        except BrokenProcessPool as problem:
            self.problem = InputError("--workers: a process that made batches was killed (out of memory?); --resume")
            raise self.problem from problem
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class PairedPipeline:
    """Batches of two schemes: those of one pipeline, then those of another, with points of both, NaN where unknown.

    `main` sets the length of an epoch; `other` (None: there is none) goes on beside it at its own pace, and at the
    same place again after a resume. Points are a dict: task -> (batch, landmarks, 2).
    """

    def __init__(self, main: TrainingPipeline, other: TrainingPipeline | None, task: str):
        """`task`: the scheme whose points are all NaN where there is no other pipeline."""
        self.main, self.other, self.task = main, other, task
        self.steps = main.steps
        self.batch_size = main.batch_size + (other.batch_size if other else 0)

    @property
    def size(self) -> int:
        """Pixels a side of the images; setting it sets it for both."""
        return self.main.size

    @size.setter
    def size(self, pixels: int) -> None:
        for pipeline in (self.main, self.other):
            if pipeline:
                pipeline.size = pixels

    @property
    def problem(self) -> InputError | None:
        """Why a pipeline stopped."""
        return self.main.problem or (self.other.problem if self.other else None)

    def batch(self, step: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Images (batch, size, size, 3) uint8 and points by task of a step, counted from 0."""
        return self._joined(self.main.batch(step), self.other.batch(step) if self.other else None)

    def batches(self, first_epoch: int = 0) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Batches without end, from the start of an epoch on."""
        others = self.other.batches(0, first_epoch * self.steps) if self.other else itertools.repeat(None)
        for one, two in zip(self.main.batches(first_epoch), others, strict=False):
            yield self._joined(one, two)

    def _joined(self, one: tuple, two: tuple | None) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        def unknown(task: str, like: np.ndarray) -> np.ndarray:
            return np.full((len(like), SCHEMES[task].count * SCHEMES[task].instances, 2), np.nan, np.float32)

        first, (images, points) = self.main.scheme.task, one
        if two is None:
            return images, {first: points, self.task: unknown(self.task, points)}
        more, others = two
        return np.concatenate([images, more]), {
            first: np.concatenate([points, unknown(first, others)]),
            self.task: np.concatenate([unknown(self.task, points), others]),
        }


class EvaluationPipeline:
    """Every image once, in list order, nothing random, under the `crop` protocol."""

    def __init__(self, samples: Sequence[Sample], scheme: Scheme, size: int, batch_size: int):
        self.samples, self.scheme, self.size, self.batch_size = list(samples), scheme, size, batch_size

    def batches(self) -> Iterator[tuple[list[Sample], np.ndarray, np.ndarray]]:
        """Samples, images (batch, size, size, 3) uint8 and matrices (batch, 2, 3); the last batch may be smaller.

        The next batches are read while the caller works on this one.
        """
        use_one_opencv_thread()
        chunks = [
            self.samples[start : start + self.batch_size] for start in range(0, len(self.samples), self.batch_size)
        ]

        def load(chunk: list[Sample]) -> tuple[list[Sample], np.ndarray, np.ndarray]:
            images, matrices = zip(
                *(evaluation_example(sample, self.scheme, self.size) for sample in chunk), strict=True
            )
            return chunk, np.stack(images), np.stack(matrices)

        threads = cpu_count()
        with ThreadPoolExecutor(threads) as pool:
            yield from imap_ordered(pool, load, chunks, ahead=threads)
