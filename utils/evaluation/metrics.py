"""Errors and scores of landmark points. Shares are fractions (0.04, not 4 %); scripts print per cent.

Points are (images, landmarks, 2) in pixels, of the original image where a score is reported.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from data.schemes import Scheme
from models.tensors import Tensor


def normaliser_length(points: Tensor, scheme: Scheme) -> Tensor:
    """The length, in the points' own unit, that an image's errors are divided by: (images,).

    Face: distance of the outer eye corners (Sagonas et al., 300-W). Ear: diagonal of the points' box. `points` holds
    the whole scheme, (images, count, 2).
    """
    if scheme.normaliser == "box_diagonal":
        return ops.norm(ops.max(points, axis=1) - ops.min(points, axis=1), axis=-1)
    one, other = scheme.normaliser
    return ops.norm(points[:, one] - points[:, other], axis=-1)


def box_size(points: Tensor) -> Tensor:
    """sqrt(width * height) of each image's points' box: (images,). The usual divisor for 300W-LP and AFLW2000-3D."""
    return ops.sqrt(ops.prod(ops.max(points, axis=1) - ops.min(points, axis=1), axis=-1))


def point_errors(truth: Tensor, predicted: Tensor) -> Tensor:
    """Distance of each point from its truth, (images, landmarks), in the points' unit."""
    return ops.norm(predicted - truth, axis=-1)


def nme(truth: Tensor, predicted: Tensor, lengths: Tensor) -> Tensor:
    """Normalised mean error of each image: mean point error / length, (images,)."""
    return ops.mean(point_errors(truth, predicted), axis=-1) / lengths


def failure_rate(errors: np.ndarray, threshold: float) -> float:
    """Share of images whose NME lies above `threshold`; an image without an answer (NaN, infinite) has failed."""
    return float(1 - np.mean(np.asarray(errors) <= threshold))


def area_under_curve(errors: np.ndarray, threshold: float) -> float:
    """Area under the cumulative error distribution from 0 to `threshold`, divided by `threshold`: 1 is perfect.

    The curve is a staircase with a step of 1/n at each error e, so the area is exactly mean(max(0, 1 - e/threshold)).
    """
    errors = np.nan_to_num(np.asarray(errors, dtype=np.float64), nan=np.inf)
    return float(np.mean(np.maximum(0.0, 1.0 - errors / threshold)))


def cumulative_distribution(errors: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Share of images whose error is at most each value of `at`: the CED curve."""
    finite = np.sort(np.nan_to_num(np.asarray(errors, dtype=np.float64), nan=np.inf))
    return np.searchsorted(finite, at, side="right") / len(finite)


def percentage_of_correct_keypoints(errors: np.ndarray, lengths: np.ndarray, threshold: float) -> float:
    """PCK: share of all points whose error is at most `threshold` times their image's length.

    `errors` (images, landmarks) and `lengths` (images,) share a unit.
    """
    return float(np.mean(np.asarray(errors) <= threshold * np.asarray(lengths)[:, None]))
