"""A mask over mouth and nose, drawn on a face whose 68 landmarks are known: masked faces with exact labels."""

from __future__ import annotations

import math

import cv2
import numpy as np

SURGICAL = ((205, 225, 240), (160, 200, 225), (150, 205, 200), (240, 240, 240))  # RGB: pale blue, blue, green, white
MOST_OUTWARD = 0.12  # of the distance from the mask's middle: cloth stands off the cheeks


def draw_face_mask(image: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image (height, width, 3) uint8 with a mask drawn over the face of `points` (68, 2), pixels.

    The cloth reaches from the nose's bridge (between landmarks 28 and 29) along the cheeks to below the chin, and loops
    run from its corners to the ears. Colour, height, shade, folds and stripes are random. Faces turned to the side are
    drawn too, since the landmarks of the far cheek then lie on the outline.
    """
    points = np.asarray(points, dtype=np.float64)
    size = float(np.ptp(points, axis=0).max())
    top = points[28] + (points[29] - points[28]) * rng.uniform(0, 1.2)
    first = rng.uniform(1, 2.5)  # where the cloth begins on the jaw line, in landmarks from its end
    jaw = np.array([_along(points[:17], k) for k in np.linspace(first, 16 - first, 15)])
    middle = (jaw.mean(axis=0) + top) / 2
    outline = jaw + (jaw - middle) * (rng.uniform(0, MOST_OUTWARD) * np.sin(np.linspace(0, np.pi, 15)) ** 2)[:, None]
    bend = rng.uniform(0.15, 0.45)  # how far the upper edge hangs below the straight line from bridge to corner
    chin = points[8] - top
    edge = [
        (1 - t) * start + t * end + chin * bend * t * (1 - t)
        for start, end in ((outline[-1], top), (top, outline[0]))
        for t in np.linspace(0, 1, 6)[1:]
    ]
    cloth = np.concatenate([outline, edge[:-1]])

    colour = np.array(SURGICAL[rng.integers(len(SURGICAL))] if rng.random() < 0.6 else rng.integers(0, 256, 3), float)
    light = np.clip(colour * rng.uniform(0.55, 1.1), 0, 255)
    painted = np.empty(image.shape, np.float32)
    painted[:] = light
    across = outline[-1] - outline[0]
    along = np.stack(np.meshgrid(np.arange(image.shape[1]), np.arange(image.shape[0])), axis=-1) - middle
    side = along @ across / max(float(across @ across), 1.0)  # -0.5 at one corner, 0.5 at the other
    painted *= (1 - rng.uniform(0.2, 1.4) * (side - rng.uniform(-0.25, 0.25)) ** 2)[..., None]
    thick = max(1, round(0.012 * size))
    if rng.random() < 0.6:  # folds from corner to corner
        for share in np.linspace(0.35, 0.75, rng.integers(2, 4)):
            fold = [
                (1 - share) * a + share * b
                for a, b in zip((outline[0], top, outline[-1]), jaw[[4, 7, 10]], strict=True)
            ]
            _line(painted, fold, light * 0.8, thick)
    elif rng.random() < 0.4:  # stripes
        waves = along @ rng.normal(0, 1, 2) * (2 * math.pi / (rng.uniform(0.08, 0.3) * size))
        other = rng.integers(0, 256, 3).astype(np.float32)
        painted = np.where((np.sin(waves) > 0)[..., None], painted, other)
    result = image.astype(np.float32)
    if rng.random() < 0.8:
        for corner, low, ear in ((outline[0], outline[3], points[0]), (outline[-1], outline[-4], points[16])):
            behind = ear + (ear - middle) * rng.uniform(0.02, 0.12)
            _line(result, [corner, behind, low], light, max(1, thick // 2))
    cover = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(cover, [np.round(cloth * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    alpha = (cover / 255.0)[..., None]
    return np.clip(result * (1 - alpha) + painted * alpha, 0, 255).astype(np.uint8)


def _along(points: np.ndarray, place: float) -> np.ndarray:
    """The point at a fractional index of a polyline (n, 2)."""
    k = min(int(place), len(points) - 2)
    return points[k] + (points[k + 1] - points[k]) * (place - k)


def _line(image: np.ndarray, points: list[np.ndarray], colour: np.ndarray, thick: int) -> None:
    """Draw a polyline into a float32 image."""
    cv2.polylines(image, [np.round(points).astype(np.int32)], False, tuple(map(float, colour)), thick, cv2.LINE_AA)
