"""The two input chains, side by side: one for training (random, endless) and one for evaluation (every photo once).

    training:   order of the epoch -> decode -> random warp -> jitter -> batch
    evaluation: list order         -> decode -> crop warp             -> batch

Both give uint8 RGB images. Points travel, heatmaps do not: the device draws them from the points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from data.augment import (
    AWAY_SHARE,
    apply_matrix,
    crop_warp,
    decode_photo,
    draw_away_warp,
    draw_warp,
    jitter_photo,
    warp_photo,
)
from data.datasets import Sample
from data.schemes import SCHEMES, Scheme
from utils.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf


NOWHERE = -1e5  # input pixels: the place of an ear that is known not to be in the photo


def training_example(
    sample: Sample, scheme: Scheme, size: int, rng: np.random.Generator, strength: float, mirror: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """One random view of a photo: image (size, size, 3) uint8 and points (landmarks, 2) float32, input pixels.

    Of ears, the points of a second one follow: NaN where nobody looked for it, `NOWHERE` where there is none. Where the
    whole photo is annotated, a few views look away: all of their points lie outside.
    """
    photo = decode_photo(sample.image)
    all_known = scheme.annotated_sides is None or sample.others is not None
    away = all_known and rng.random() < AWAY_SHARE * min(strength, 1.0)
    everyone = sample.points if sample.others is None else np.concatenate([sample.points, *sample.others])
    warp = draw_away_warp(scheme, sample.points, everyone, photo.shape, rng) if away else None
    warp = warp or draw_warp(scheme, sample.points, rng, strength, mirror)
    border, fill = cv2.BORDER_CONSTANT, (0, 0, 0)
    if strength:
        border = int(rng.choice([cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101], p=[0.6, 0.3, 0.1]))
        fill = (0, 0, 0) if rng.random() < 0.5 else tuple(int(level) for level in rng.integers(0, 256, 3))
    matrix = warp.matrix(size)
    image = jitter_photo(warp_photo(photo, matrix, size, border, fill), rng, strength)
    points = apply_matrix(matrix, sample.points)
    points = points[list(scheme.flip_order)] if warp.mirror else points
    if scheme.instances == 1:
        return image, points
    second = np.full_like(points, np.nan if sample.others is None else NOWHERE)
    if sample.others is not None and len(sample.others):
        second = apply_matrix(matrix, sample.others[0])
    return image, np.concatenate([points, second])


def evaluation_example(sample: Sample, scheme: Scheme, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The photo under the `crop` protocol: image (size, size, 3) uint8 and the warp's matrix (2, 3)."""
    matrix = crop_warp(scheme, sample.points).matrix(size)
    return warp_photo(decode_photo(sample.image), matrix, size), matrix


class TrainingChain:
    """Endless batches of random views, in an order that depends only on seed and epoch.

    Every photo comes once an epoch; example k of epoch e draws its view from a generator seeded by (seed, e, photo).
    A run that resumes at epoch e therefore sees the batches that an undisturbed run would have seen. The last batch of
    an epoch is filled up from the same epoch's start, so that every step has the same shape. Raises `InputError` if
    there are no photos.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        scheme: Scheme,
        size: int,
        batch_size: int,
        seed: int = 0,
        strength: float = 1.0,
        mirror: float = 0.5,
    ):
        if not samples:
            raise InputError(
                "no training photos: the split leaves none (photos of Both/ and CollectionA/test are for scoring); "
                "give more photos, or another --split"
            )
        self.samples, self.scheme, self.size = list(samples), scheme, size
        self.batch_size, self.seed, self.strength, self.mirror = batch_size, seed, strength, mirror
        self.steps = -(-len(self.samples) // batch_size)
        self.problem: InputError | None = None  # why the chain stopped: TensorFlow wraps and hides exceptions

    def order(self, epoch: int) -> np.ndarray:
        """Photo numbers (steps x batch_size) of an epoch."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.samples))
        return np.resize(order, self.steps * self.batch_size)

    def example(self, epoch: int, photo: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (size, size, 3) uint8 and points (landmarks, 2) float32 of one photo in one epoch."""
        try:
            rng = np.random.default_rng((self.seed, epoch, photo))
            sample = self.samples[photo]
            image, points = training_example(sample, self.scheme, self.size, rng, self.strength, self.mirror)
        except InputError as problem:
            self.problem = problem
            raise
        return image, points

    def batches(self, first_epoch: int = 0, first_step: int = 0) -> tf.data.Dataset:
        """A tf.data dataset of images (batch, size, size, 3) uint8 and points (batch, landmarks, 2) float32.

        It begins at a step of an epoch; `first_step` may lie beyond the epoch's end.
        """
        import tensorflow as tf

        cv2.setNumThreads(0)  # the chain runs photos in parallel; threads inside a photo would only compete

        def positions() -> Iterator[tuple[int, int]]:
            epoch, skipped = first_epoch + first_step // self.steps, first_step % self.steps * self.batch_size
            while True:
                for photo in self.order(epoch)[skipped:]:
                    yield epoch, photo
                epoch, skipped = epoch + 1, 0

        def load(epoch, photo):
            image, points = tf.numpy_function(self.example, (epoch, photo), (tf.uint8, tf.float32))
            image.set_shape((self.size, self.size, 3))
            points.set_shape((self.scheme.count * self.scheme.instances, 2))
            return image, points

        place = tf.TensorSpec((), tf.int64)
        return (
            tf.data.Dataset.from_generator(positions, output_signature=(place, place))
            .map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .batch(self.batch_size, drop_remainder=True)
            .prefetch(2)
        )


class PairedChain:
    """Batches of two schemes: those of one chain, then those of another, with points of both, NaN where unknown.

    `main` sets the length of an epoch; `other` (None: there is none) goes on beside it at its own pace, and at the
    same place again after a resume. Points are a dict: task -> (batch, landmarks, 2).
    """

    def __init__(self, main: TrainingChain, other: TrainingChain | None, task: str):
        """`task`: the scheme whose points are all NaN where there is no other chain."""
        self.main, self.other, self.task = main, other, task
        self.steps = main.steps
        self.batch_size = main.batch_size + (other.batch_size if other else 0)

    @property
    def size(self) -> int:
        """Pixels a side of the images; setting it sets it for both."""
        return self.main.size

    @size.setter
    def size(self, pixels: int) -> None:
        for chain in (self.main, self.other):
            if chain:
                chain.size = pixels

    @property
    def problem(self) -> InputError | None:
        """Why a chain stopped."""
        return self.main.problem or (self.other.problem if self.other else None)

    def batches(self, first_epoch: int = 0) -> tf.data.Dataset:
        """A tf.data dataset of images (batch, size, size, 3) uint8 and points by task."""
        import tensorflow as tf

        def unknown(task: str, like: tf.Tensor) -> tf.Tensor:
            return tf.fill((tf.shape(like)[0], SCHEMES[task].count * SCHEMES[task].instances, 2), float("nan"))

        first, batches = self.main.scheme.task, self.main.batches(first_epoch)
        if self.other is None:
            return batches.map(lambda images, points: (images, {first: points, self.task: unknown(self.task, points)}))

        def join(one, two):
            (images, points), (more, others) = one, two
            return tf.concat([images, more], 0), {
                first: tf.concat([points, unknown(first, others)], 0),
                self.task: tf.concat([unknown(self.task, points), others], 0),
            }

        return tf.data.Dataset.zip((batches, self.other.batches(0, first_epoch * self.steps))).map(join)


class EvaluationChain:
    """Every photo once, in list order, nothing random, under the `crop` protocol."""

    def __init__(self, samples: Sequence[Sample], scheme: Scheme, size: int, batch_size: int):
        self.samples, self.scheme, self.size, self.batch_size = list(samples), scheme, size, batch_size

    def batches(self) -> Iterator[tuple[list[Sample], np.ndarray, np.ndarray]]:
        """Samples, images (batch, size, size, 3) uint8 and matrices (batch, 2, 3); the last batch may be smaller.

        The next batch is read while the caller works on this one.
        """
        from concurrent.futures import ThreadPoolExecutor

        cv2.setNumThreads(0)
        chunks = [
            self.samples[start : start + self.batch_size] for start in range(0, len(self.samples), self.batch_size)
        ]

        def load(chunk: list[Sample]) -> tuple[list[Sample], np.ndarray, np.ndarray]:
            images, matrices = zip(
                *(evaluation_example(sample, self.scheme, self.size) for sample in chunk), strict=True
            )
            return chunk, np.stack(images), np.stack(matrices)

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(load, chunks[0]) if chunks else None
            for following in [*chunks[1:], None] if chunks else []:
                ready = waiting.result()
                waiting = pool.submit(load, following) if following else None
                yield ready
