"""Errors and scores of landmark points, in NumPy. Rates are fractions (0.04, not 4 %); scripts print per cent.

Points are (images, landmarks, 2) in pixels, of the original image where a score is reported.
"""

from __future__ import annotations

import numpy as np

from data.schemes import Scheme, reference_shape


def normaliser_length(points: np.ndarray, scheme: Scheme) -> np.ndarray:
    """The length, in the points' own unit, that an image's errors are divided by: (images,).

    Face: distance of the outer eye corners (Sagonas et al., 300-W). Ear: diagonal of the points' box. `points` holds
    the whole scheme, (images, count, 2), NaN where one is missing. Where the length itself cannot be measured, it is
    that of the scheme's reference shape, as large as the points that are there.
    """
    lengths = _length(points, scheme)
    unmeasured = np.isnan(points).any(axis=(1, 2)) if isinstance(scheme.normaliser, str) else np.isnan(lengths)
    for k in np.flatnonzero(unmeasured):
        typical = reference_shape(scheme)[None]
        there = np.where(np.isnan(points[k]), np.nan, typical)
        lengths[k] = (_length(typical, scheme) * _diagonal(points[k : k + 1]) / _diagonal(there))[0]
    return lengths


def _length(points: np.ndarray, scheme: Scheme) -> np.ndarray:
    if isinstance(scheme.normaliser, str):
        return _diagonal(points)
    one, other = scheme.normaliser
    return np.linalg.norm(points[:, one] - points[:, other], axis=-1)


def _diagonal(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(_sides(points), axis=-1)


def _sides(points: np.ndarray) -> np.ndarray:
    """Width and height of the box of the points that are there: (images, 2)."""
    return np.nanmax(points, axis=1) - np.nanmin(points, axis=1)


def box_size(points: np.ndarray) -> np.ndarray:
    """sqrt(width * height) of each image's points' box: (images,). The usual divisor for 300W-LP and AFLW2000-3D."""
    return np.sqrt(_sides(points).prod(axis=-1))


def point_errors(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Distance of each point from its truth, (images, landmarks), in the points' unit."""
    return np.linalg.norm(predicted - truth, axis=-1)


def nme(truth: np.ndarray, predicted: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Normalised mean error of each image: mean error of the points that are not missing / length, (images,)."""
    return mean_error(point_errors(truth, predicted), known_points(truth)) / lengths


def known_points(truth: np.ndarray) -> np.ndarray:
    """Which points are not missing: bool (images, landmarks)."""
    return np.isfinite(truth).all(axis=-1)


def mean_error(errors: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The mean of the errors (images, landmarks) of each image's known points, (images,); NaN where none is known."""
    with np.errstate(invalid="ignore"):
        return np.where(known, errors, 0).sum(axis=-1) / known.sum(axis=-1).astype(errors.dtype)


def failure_rate(errors: np.ndarray, threshold: float) -> float:
    """Fraction of images whose NME lies above `threshold`; an image without an answer (NaN, infinite) has failed."""
    return float(1 - np.mean(errors <= threshold))


def area_under_curve(errors: np.ndarray, threshold: float) -> float:
    """Area under the cumulative error distribution from 0 to `threshold`, divided by `threshold`: 1 is perfect.

    The curve is a staircase with a step of 1/n at each error e, so the area is exactly mean(max(0, 1 - e/threshold)).
    """
    answered = np.nan_to_num(errors.astype(np.float64), nan=np.inf)
    return float(np.mean(np.maximum(0.0, 1.0 - answered / threshold)))


def cumulative_distribution(errors: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Fraction of images whose error is at most each value of `at`: the CED curve."""
    ordered = np.sort(np.nan_to_num(errors.astype(np.float64), nan=np.inf))
    return np.searchsorted(ordered, at, side="right") / len(ordered)


def percentage_of_correct_keypoints(
    errors: np.ndarray, lengths: np.ndarray, threshold: float, known: np.ndarray | None = None
) -> float:
    """PCK: fraction of all (or the `known`) points whose error is at most `threshold` times their image's length.

    `errors` (images, landmarks) and `lengths` (images,) share a unit.
    """
    right = errors <= threshold * lengths[:, None]
    return float(np.mean(right if known is None else right[known]))
