"""Squares, tilt, positions and shapes of faces and ears; plain functions of point arrays.

Points are (landmarks, 2), x and y in pixels of the image, NaN where a landmark is unknown. Angles are degrees, positive
clockwise on the screen. Sides are the subject's: an upright subject's left ear lies on the right of the image.
"""

from __future__ import annotations

import math

import numpy as np

from data.augment import Warp
from data.schemes import EAR, FACE, Scheme, reference_shape

EYES, MOUTH = slice(36, 48), slice(48, 68)  # of the 68 face points
# The three points at the upper end of the jaw, beside which the ear of that side lies.
JAW_END = {"left": slice(14, 17), "right": slice(0, 3)}
NOSE_TIP = 30
HELIX = slice(0, 20)  # of the 55 ear points: the outer rim
OUTWARD = {"left": 1.0, "right": -1.0}  # direction from an upright face to that ear along the image's x axis

SMALLEST_SQUARE = 4.0  # pixels: points of an image that shows nothing may all fall together

# An ear's place and size relative to the face, in longer sides of the face's upright box. Chosen on synthetic heads.
EAR_FROM_JAW_END = np.array([0.08, 0.02])  # from the uppermost jaw point to the ear's middle: outward, down
EAR_LENGTH_OF_FACE = 0.42  # longer side of the ear's box, generously
# Where the tip of the nose lies between the ends of the jaw, from 0 to 1. Nearer than this to an end, the ear there
# counts as hidden: a yaw of some 25 degrees. With 0.3 a real ear was lost; synthetic heads show none below 0.31.
TURNED_AWAY = 0.25

OUTLIER_DISTANCE = 2.5  # usual (weighted median) distances from the common centre beyond which a point is an outlier
LEAST_USUAL_DISTANCE = 1.0  # pixels: below it the peaks' own inaccuracy would make outliers
FEWEST_POINTS_FOR_FIT = 8  # an affine map has 6 unknowns: of fewer points it fits any shape


def extent(points: np.ndarray) -> float:
    """Longer side of the bounding box of the known points, pixels."""
    return float((np.nanmax(points, axis=0) - np.nanmin(points, axis=0)).max())


def rotation(angle: float) -> np.ndarray:
    """Matrix (2, 2) that turns column vectors clockwise on the screen by `angle` degrees."""
    a = math.radians(angle)
    return np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])


def mean_point(points: np.ndarray) -> np.ndarray:
    """Mean (2,) of the known points; NaN if there are none."""
    known = points[np.isfinite(points).all(axis=1)]
    return known.mean(axis=0) if len(known) else np.full(2, np.nan)


def tilt(face: np.ndarray) -> float:
    """Degrees by which an image must be turned clockwise for the face (68, 2) to stand upright; 0 if unknown.

    From mouth to eyes: unlike the line between the eyes it keeps its direction in a profile.
    """
    eyes, mouth = mean_point(face[EYES]), mean_point(face[MOUTH])
    if not (np.isfinite(eyes).all() and np.isfinite(mouth).all()):
        return 0.0
    right, down = eyes - mouth
    return float(np.degrees(-math.atan2(right, -down)))


def square_around(points: np.ndarray, scale: float, angle: float) -> Warp:
    """The square, turned by `angle`, whose side is `scale` times the longer side of the points' box, turned likewise.

    Its centre is that of the box.
    """
    turned = points @ rotation(angle).T
    low, high = np.nanmin(turned, axis=0), np.nanmax(turned, axis=0)
    x, y = ((low + high) / 2 @ rotation(angle)).tolist()
    return Warp((x, y), scale * max(float((high - low).max()), SMALLEST_SQUARE), angle)


def ear_square(face: np.ndarray, side: str) -> Warp:
    """The square in which to look for the ear on `side` of a face (68, 2): beside the upper end of the jaw.

    Where the jaw's end is unknown, it is the upper corner of the face's box.
    """
    angle = tilt(face)
    turned = face @ rotation(angle).T
    low, high = np.nanmin(turned, axis=0), np.nanmax(turned, axis=0)
    jaw = turned[JAW_END[side]]
    jaw = jaw[np.isfinite(jaw).all(axis=1)]
    length = max(float((high - low).max()), SMALLEST_SQUARE)
    outward = OUTWARD[side]
    if len(jaw):
        top = jaw[jaw[:, 1].argmin()]
    else:
        top = np.array([(low[0] + high[0]) / 2 + outward * (high[0] - low[0]) / 2, low[1]])
    x, y = ((top + EAR_FROM_JAW_END * (outward, 1.0) * length) @ rotation(angle)).tolist()
    return Warp((x, y), EAR_LENGTH_OF_FACE * EAR.crop_side * length, angle)


def far_side(face: np.ndarray) -> str | None:
    """The side on which a face (68, 2) that is turned hides its ear; None if it hides none, or points are unknown.

    Told from the tip of the nose and the ends of the jaw.
    """
    upright = face @ rotation(tilt(face)).T
    nose = upright[NOSE_TIP, 0]
    # Of a profile in 3D the ends of the jaw change places, and the nose lies beyond both.
    to_end = {side: OUTWARD[side] * (mean_point(upright[JAW_END[side]])[0] - nose) for side in OUTWARD}
    nearer = min(to_end, key=lambda side: to_end[side])
    return nearer if to_end[nearer] < TURNED_AWAY * sum(to_end.values()) else None


def ear_offset(ear: np.ndarray, face: np.ndarray) -> tuple[float, float]:
    """Where an ear (55, 2) lies in the coordinates of a face (68, 2): to the right and down from its middle.

    The axes are those of the upright face, the unit is the longer side of the face's box in the image.
    """
    known = face[np.isfinite(face).all(axis=1)]
    apart = rotation(tilt(face)) @ (mean_point(ear) - mean_point(known))
    right, down = apart / np.ptp(known, axis=0).max()
    return float(right), float(down)


def agreeing_points(points: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Which of the points (landmarks, 2) lie together, bool (landmarks,).

    They lie at most 2.5 times the usual distance from their common centre. Both are medians, weighted by the square of
    the confidence (landmarks,).
    """
    weight = np.maximum(confidence, 0) ** 2 + 1e-9
    centre = np.array([weighted_median(points[:, axis], weight) for axis in (0, 1)])
    distance = np.linalg.norm(points - centre, axis=1)
    return distance <= OUTLIER_DISTANCE * max(weighted_median(distance, weight), LEAST_USUAL_DISTANCE)


def weighted_median(values: np.ndarray, weight: np.ndarray) -> float:
    """The value (of `values`, (n,)) up to which half of the weight lies."""
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def shape_misfit(points: np.ndarray, scheme: Scheme) -> float:
    """Distance of the points (scheme's count, 2) from the best affine map of the scheme's mean shape.

    A fraction of the points' spread, both as root sum of squares: 0 for a perfect fit, near 1 for noise. 0 for fewer
    than 8 known points, which are too few to tell.
    """
    known = np.isfinite(points).all(axis=1)
    if known.sum() < FEWEST_POINTS_FOR_FIT:
        return 0.0
    mean = np.column_stack([reference_shape(scheme)[known], np.ones(known.sum())])
    points = points[known]
    fitted, *_ = np.linalg.lstsq(mean, points, rcond=None)
    spread = np.sqrt(np.square(points - points.mean(axis=0)).sum())
    return float(np.sqrt(np.square(points - mean @ fitted).sum()) / max(spread, 1e-6))


def side_of(ear: np.ndarray) -> str:
    """The subject's side on which an ear (55, 2) is: the helix runs clockwise round one, counterclockwise round the
    other.
    """
    rim = ear[HELIX]
    rim = rim[np.isfinite(rim).all(axis=1)]
    return "left" if _signed_area(rim) * _signed_area(reference_shape(EAR)[HELIX]) >= 0 else "right"


def _signed_area(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def inner_face(face: np.ndarray) -> np.ndarray:
    """The points of brows, nose, eyes and mouth (51, 2): a face (68, 2) without its jaw."""
    return face[len(FACE.groups[0].indices) :]
