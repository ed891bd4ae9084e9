"""The two input pipelines, side by side: one for training (random, endless) and one for evaluation (every image once).

    training:   order of the epoch -> decode -> random warp -> jitter -> batch
    evaluation: list order         -> decode -> crop warp             -> batch

Both give uint8 RGB images as NumPy arrays, which Keras takes on every backend. Points and their masks travel
(`data.annotation`), heatmaps do not: the device draws them from the points.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Protocol, TypeAlias

import cv2
import numpy as np

from data.annotation import Annotation, stack_annotations
from data.augment import (
    BACKGROUND_FRACTION,
    CLOSE_UP_FRACTION,
    FACE_MASK_FRACTION,
    TIGHT_FRAME_FRACTION,
    crop_warp,
    cut_tight_frame,
    draw_background_warp,
    draw_close_up_warp,
    draw_image_warp,
    draw_warp,
    jitter_image,
    matrix_of_part,
    warp_image,
)
from data.datasets import Sample
from data.face_mask import draw_face_mask
from data.schemes import FACE, SCHEMES, Scheme
from utils.common.cli import InputError
from utils.common.images import decode_image
from utils.common.workers import call_worker, cpu_count, imap_ordered, process_pool, use_one_opencv_thread

NEGATIVES_FRACTION = 0.2  # of the training crops

# Task -> `points`, `annotated` and `present` of a batch, as `stack_annotations` gives them.
Targets: TypeAlias = dict[str, dict[str, np.ndarray]]
# Images (batch, size, size, 3) uint8, and what is known of their landmarks.
Batch: TypeAlias = tuple[np.ndarray, Targets]


class Pipeline(Protocol):
    """What a training loop asks of an input pipeline."""

    @property
    def steps(self) -> int:
        """Batches of an epoch."""

    @property
    def batch_size(self) -> int:
        """Images of a batch."""

    @property
    def problem(self) -> InputError | None:
        """Why the batches stopped: Keras wraps and hides exceptions."""

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0."""

    def batches(self, first_epoch: int = 0) -> Iterator[Batch]:
        """Batches without end, from the start of an epoch on."""


def training_example(
    sample: Sample, scheme: Scheme, size: int, rng: np.random.Generator, augment: float, flip_probability: float = 0.5
) -> tuple[np.ndarray, Annotation]:
    """One augmented crop of an image: (size, size, 3) uint8, and its annotation in pixels of the crop.

    A few crops are close-ups of a part, a few images are cut close to the landmarks, and a few faces wear a mask. Where
    the whole image is annotated, a few show background alone: then all points lie outside. `augment` scales the spreads
    (1: as tuned, 0: the crop that scores use).
    """
    image = decode_image(sample.image)
    annotation = sample.annotation
    known = scheme.annotated_sides is None or annotation.complete
    background = known and rng.random() < BACKGROUND_FRACTION * min(augment, 1.0)
    warp = draw_background_warp(scheme, sample.points, annotation.places, image.shape, rng) if background else None
    if warp is None and rng.random() < CLOSE_UP_FRACTION * min(augment, 1.0):
        warp = draw_close_up_warp(scheme, sample.points, rng, flip_probability)
    warp = warp or draw_warp(scheme, sample.points, rng, augment, flip_probability)
    border, fill = cv2.BORDER_CONSTANT, (0, 0, 0)
    if augment:
        border = int(rng.choice([cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101], p=[0.6, 0.3, 0.1]))
        if rng.random() >= 0.5:
            red, green, blue = rng.integers(0, 256, 3).tolist()
            fill = (red, green, blue)
    matrix = warp.matrix(size)
    corner = (0, 0)
    alone = not annotation.present[1:].any()
    if alone and not background and rng.random() < TIGHT_FRAME_FRACTION * min(augment, 1.0):
        image, corner = cut_tight_frame(image, sample.points, rng)
    crop = warp_image(image, matrix_of_part(matrix, corner), size, border, fill)
    annotation = annotation.warped(matrix, scheme.flip_order if warp.flip else None)
    if scheme == FACE and augment and annotation.present[0].all() and rng.random() < FACE_MASK_FRACTION:
        crop = draw_face_mask(crop, annotation.points[0], rng)
    return jitter_image(crop, rng, augment), annotation


def negative_example(
    path: Path, scheme: Scheme, size: int, rng: np.random.Generator, augment: float
) -> tuple[np.ndarray, Annotation]:
    """One augmented crop of a negative image: as `training_example`, but no landmark is present."""
    image = decode_image(path)
    crop = warp_image(image, draw_image_warp(image.shape, rng).matrix(size), size, cv2.BORDER_REFLECT_101)
    return jitter_image(crop, rng, augment), Annotation.absent(scheme)


def evaluation_example(sample: Sample, scheme: Scheme, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The image under the `crop` protocol: image (size, size, 3) uint8 and the warp's matrix (2, 3)."""
    matrix = crop_warp(scheme, sample.points).matrix(size)
    return warp_image(decode_image(sample.image), matrix, size), matrix


class TrainingPipeline:
    """Endless batches of augmented crops, in an order that depends only on seed and epoch.

    Every image comes once a pass; example k of pass e draws its crop from a generator seeded by (seed, e, image). A run
    that resumes at epoch e therefore sees the batches that an undisturbed run would have seen. The last batch of a pass
    is filled up from the same pass's start, so that every step has the same shape. An epoch has `repeats` passes.

    `augment` scales the augmentation (1: as tuned, 0: none), and `flip_probability` is that of a mirrored crop.
    `workers` processes make the batches; 0: threads of this process, one a core, which Python's lock holds to about
    what two cores can do. Where there are images of `negatives`, `NEGATIVES_FRACTION` of the crops are of those.
    `other_negatives`: another task and images that are known to show nothing of it; batches then have targets of it
    too. Of each batch the `rows` are made: where several hosts train together, each makes its own. Raises `InputError`
    if there are no images.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        scheme: Scheme,
        *,
        size: int,
        batch_size: int,
        seed: int = 0,
        augment: float = 1.0,
        flip_probability: float = 0.5,
        repeats: int = 1,
        workers: int = 0,
        negatives: Sequence[Path] = (),
        other_negatives: tuple[str, Collection[Path]] | None = None,
        rows: slice = slice(None),
    ):
        if not samples:
            raise InputError(
                "no training images: the split leaves none (images of Both/ and CollectionA/test are for scoring); "
                "give more images, or another --split"
            )
        self.samples, self.scheme, self.size = list(samples), scheme, size
        self.batch_size, self.seed, self.augment, self.flip_probability = batch_size, seed, augment, flip_probability
        self.workers, self.negatives, self.other_negatives, self.rows = workers, list(negatives), other_negatives, rows
        self.steps_per_repeat = -(-len(self.samples) // batch_size)
        self.steps = repeats * self.steps_per_repeat
        self.problem: InputError | None = None

    def order(self, number: int) -> np.ndarray:
        """Image numbers (steps x batch_size) of a pass."""
        order = np.random.default_rng((self.seed, number)).permutation(len(self.samples))
        return np.resize(order, self.steps_per_repeat * self.batch_size)

    def example(self, number: int, index: int) -> tuple[np.ndarray, Annotation]:
        """The crop (size, size, 3) uint8 of one image in one pass, and its annotation in pixels of the crop."""
        rng, negative = self._draw(number, index)
        if negative is not None:
            return negative_example(negative, self.scheme, self.size, rng, self.augment)
        return training_example(self.samples[index], self.scheme, self.size, rng, self.augment, self.flip_probability)

    def _draw(self, number: int, index: int) -> tuple[np.random.Generator, Path | None]:
        """The generator of one image in one pass, and the negative that takes its place, if one does."""
        rng = np.random.default_rng((self.seed, number, index))
        if self.negatives and rng.random() < NEGATIVES_FRACTION:
            return rng, self.negatives[rng.integers(len(self.negatives))]
        return rng, None

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0; its targets are those of the scheme's task, as a rule."""
        number, place = divmod(step, self.steps_per_repeat)
        chosen = self.order(number)[place * self.batch_size : (place + 1) * self.batch_size][self.rows]
        crops, annotations = zip(*(self.example(number, index) for index in chosen), strict=True)
        targets = {self.scheme.task: stack_annotations(annotations)}
        if self.other_negatives is not None:
            task, empty = self.other_negatives
            scheme = SCHEMES[task]
            shown = (self._draw(number, index)[1] for index in chosen)
            targets[task] = stack_annotations(
                [Annotation.absent(scheme) if path in empty else Annotation.unknown(scheme) for path in shown]
            )
        return np.stack(crops), targets

    def batches(self, first_epoch: int = 0, first_step: int = 0) -> Iterator[Batch]:
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
    """Batches of two schemes: images of one pipeline, then those of another, with targets of both tasks.

    Where devices split a batch into `shares`, each share has this order. Nothing is annotated of the task that an
    image's pipeline does not have, but for its `other_negatives`. `main` sets the length of an epoch; `other` (None:
    there is none) goes on beside it at its own pace, and at the same place again after a resume.
    """

    def __init__(
        self,
        main: TrainingPipeline,
        other: TrainingPipeline | None,
        task: str,
        shares: int = 1,
        rows: slice = slice(None),
    ):
        """`task`: the second task, of which nothing is annotated where there is no other pipeline.

        `rows`: those of a joined batch that are made, as of a `TrainingPipeline`; not beside `shares`.
        """
        self.main, self.other, self.task, self.shares = main, other, task, shares
        self.steps = main.steps
        self.batch_size = main.batch_size + (other.batch_size if other else 0)
        first, end, _ = rows.indices(self.batch_size)
        self.makers: list[TrainingPipeline] = []  # those that rows are made of
        for pipeline, start in ((main, 0), (other, main.batch_size)):
            if pipeline is not None and max(first, start) < min(end, start + pipeline.batch_size):
                pipeline.rows = slice(max(0, first - start), end - start)
                self.makers.append(pipeline)

    @property
    def problem(self) -> InputError | None:
        """Why a pipeline stopped."""
        return next((maker.problem for maker in self.makers if maker.problem), None)

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0."""
        return self._joined([maker.batch(step) for maker in self.makers])

    def batches(self, first_epoch: int = 0) -> Iterator[Batch]:
        """Batches without end, from the start of an epoch on."""
        makers = (
            maker.batches(first_epoch) if maker is self.main else maker.batches(0, first_epoch * self.steps)
            for maker in self.makers
        )
        for batches in zip(*makers, strict=False):
            yield self._joined(batches)

    def _joined(self, batches: Sequence[Batch]) -> Batch:
        whole = [(images, self._with_both_tasks(images, targets)) for images, targets in batches]

        def joined(arrays: list[np.ndarray]) -> np.ndarray:
            parts = zip(*(np.split(rows, self.shares) for rows in arrays), strict=True)
            return np.concatenate([rows for share in parts for rows in share])

        return joined([images for images, _ in whole]), {
            task: {name: joined([targets[task][name] for _, targets in whole]) for name in arrays}
            for task, arrays in whole[0][1].items()
        }

    def _with_both_tasks(self, images: np.ndarray, targets: Targets) -> Targets:
        unknown = {
            task: stack_annotations([Annotation.unknown(SCHEMES[task])] * len(images))
            for task in (self.main.scheme.task, self.task)
            if task not in targets
        }
        return {task: (targets | unknown)[task] for task in (self.main.scheme.task, self.task)}


class EvaluationPipeline:
    """Every image once, in list order, nothing random, under the `crop` protocol."""

    def __init__(self, samples: Sequence[Sample], scheme: Scheme, *, size: int, batch_size: int):
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
