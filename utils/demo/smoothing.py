"""The One Euro filter: calm where points stand still, quick where they move."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from utils.demo.prediction import Landmarks, Prediction

# Hertz for points that stand still, and hertz more for each own length (longer side of the points' box) a second.
CALM, QUICK = 1.0, 30.0
# Points that have gone further than this since the frame before, in own lengths, are of another head: start anew.
JUMP = 0.5


class OneEuroFilter:
    """Smooths an array of values over time (Casiez, Roussel and Vogel, "1 Euro Filter", CHI 2012, section 3).

    A low-pass filter whose cutoff frequency rises with the speed: `least_cutoff` (hertz) + `slope` x |speed|, speed in
    units a second, itself smoothed at `speed_cutoff` hertz. Values may have any shape, NaN starts anew.
    """

    def __init__(self, least_cutoff: float = CALM, slope: float = QUICK, speed_cutoff: float = 1.0):
        self.least_cutoff, self.slope, self.speed_cutoff = least_cutoff, slope, speed_cutoff
        self.value: np.ndarray | None = None
        self.speed: np.ndarray | None = None
        self.time = 0.0

    def __call__(self, value: np.ndarray, time: float, unit: float = 1.0) -> np.ndarray:
        """The smoothed values at `time` (seconds, growing from call to call).

        `unit`: what counts as 1 in the speed. Pixels of a face with the face's length as unit are smoothed the same
        whatever the image's resolution.
        """
        value = np.asarray(value, dtype=np.float64)
        if self.value is None or value.shape != self.value.shape or time <= self.time:
            self.value, self.speed, self.time = value, np.zeros_like(value), time
            return value
        step = time - self.time
        fresh = ~np.isfinite(self.value)
        before = np.where(fresh, value, self.value)
        speed = np.where(fresh, 0.0, (value - before) / (step * unit))
        self.speed = np.nan_to_num(self.speed + _weight_of_new(self.speed_cutoff, step) * (speed - self.speed))
        weight = _weight_of_new(self.least_cutoff + self.slope * np.abs(self.speed), step)
        self.value, self.time = before + weight * (value - before), time
        return self.value


def _weight_of_new(cutoff: float | np.ndarray, step: float) -> float | np.ndarray:
    """The weight of a new value against the smoothed one: 1 / (1 + tau / step), tau = 1 / (2 pi cutoff)."""
    return 1.0 / (1.0 + 1.0 / (2 * math.pi * cutoff * step))


class PointSmoother:
    """Smooths the points of all that is in view from frame to frame, each with a filter of its own.

    A head that was not in view in the frame before, or that jumped, starts anew.
    """

    def __init__(self) -> None:
        self._filters: dict[str, OneEuroFilter] = {}
        self._before: dict[str, np.ndarray] = {}

    def __call__(self, prediction: Prediction, time: float) -> Prediction:
        """The prediction of the frame at `time` (seconds), its points smoothed."""
        face = {} if prediction.face is None else {"face": prediction.face}
        in_view = face | prediction.ears | prediction.others
        self._filters = {name: self._filters[name] for name in in_view if self._goes_on(name, in_view[name])}
        self._before = {name: landmarks.points for name, landmarks in in_view.items()}
        smooth = {name: self._smooth(name, landmarks, time) for name, landmarks in in_view.items()}
        ears, others = ({name: smooth[name] for name in part} for part in (prediction.ears, prediction.others))
        return Prediction(smooth.get("face"), ears, others)

    def _goes_on(self, name: str, landmarks: Landmarks) -> bool:
        if name not in self._filters or self._before[name].shape != landmarks.points.shape:
            return False
        gone = np.linalg.norm(np.nanmean(landmarks.points - self._before[name], axis=0))
        return bool(gone < JUMP * _length(landmarks.points))

    def _smooth(self, name: str, landmarks: Landmarks, time: float) -> Landmarks:
        smooth = self._filters.setdefault(name, OneEuroFilter())
        points = smooth(landmarks.points, time, _length(landmarks.points))
        return replace(landmarks, points=points.astype(np.float32))


def _length(points: np.ndarray) -> float:
    """The longer side of the points' box, pixels; at least 1."""
    return max(float((np.nanmax(points, axis=0) - np.nanmin(points, axis=0)).max()), 1.0)
