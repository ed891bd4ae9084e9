"""Drawn landmarks of faces and ears, as a network could have read them."""

from __future__ import annotations

import numpy as np

from data.augment import Warp
from data.schemes import EAR, FACE, Scheme, reference_shape
from utils.demo.prediction import Landmarks, Prediction

FRONT = reference_shape(FACE) * 100 + (200, 150)  # an upright face of 100 pixels
EAR_SHAPE = reference_shape(EAR)  # a left ear of 1 pixel


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    """Points turned clockwise on the screen (y points down) about their middle."""
    a = np.radians(degrees)
    middle = points.mean(axis=0)
    return (points - middle) @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) + middle


def landmarks(scheme: Scheme, points: np.ndarray, score: float = 1.0) -> Landmarks:
    """All of a scheme's landmarks at `points`, read in a crop of 100 pixels."""
    return Landmarks(scheme, tuple(range(scheme.count)), points, np.full(scheme.count, score), Warp((0, 0), 100.0))


def face(points: np.ndarray = FRONT, score: float = 1.0) -> Landmarks:
    return landmarks(FACE, points, score)


def ear(corner: tuple[float, float], length: float = 35, score: float = 1.0, side: str = "left") -> Landmarks:
    """An ear of `length` pixels whose box begins at `corner` (of a right ear: ends there at its right)."""
    mirror = 1 if side == "left" else -1
    return landmarks(EAR, EAR_SHAPE * (mirror * length, length) + corner, score)


def alone(*ears: Landmarks, sides: tuple[str, ...] = ("left", "right")) -> Prediction:
    """A prediction without a face."""
    return Prediction(None, dict(zip(sides, ears, strict=False)))
