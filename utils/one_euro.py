"""The One Euro filter: calm where points stand still, quick where they move."""

from __future__ import annotations

import math

import numpy as np


class OneEuroFilter:
    """Smooths an array of values over time (Casiez, Roussel and Vogel, "1 Euro Filter", CHI 2012, section 3).

    A low-pass filter whose cutoff frequency rises with the speed: `least_cutoff` (hertz) + `slope` x |speed|, speed in
    values a second, itself smoothed at `speed_cutoff` hertz. Values may have any shape, NaN starts anew.
    """

    def __init__(self, least_cutoff: float = 1.0, slope: float = 0.01, speed_cutoff: float = 1.0):
        self.least_cutoff, self.slope, self.speed_cutoff = least_cutoff, slope, speed_cutoff
        self.value: np.ndarray | None = None
        self.speed: np.ndarray | None = None
        self.time = 0.0

    def __call__(self, value: np.ndarray, time: float) -> np.ndarray:
        """The smoothed values at `time` (seconds, growing from call to call)."""
        value = np.asarray(value, dtype=np.float64)
        if self.value is None or value.shape != self.value.shape or time <= self.time:
            self.value, self.speed, self.time = value, np.zeros_like(value), time
            return value
        step = time - self.time
        fresh = ~np.isfinite(self.value)
        before = np.where(fresh, value, self.value)
        speed = np.where(fresh, 0.0, (value - before) / step)
        self.speed = np.nan_to_num(self.speed + _share(self.speed_cutoff, step) * (speed - self.speed))
        share = _share(self.least_cutoff + self.slope * np.abs(self.speed), step)
        self.value, self.time = before + share * (value - before), time
        return self.value


def _share(cutoff: float | np.ndarray, step: float) -> float | np.ndarray:
    """How much of a new value is taken over: 1 / (1 + tau / step), tau = 1 / (2 pi cutoff)."""
    return 1.0 / (1.0 + 1.0 / (2 * math.pi * cutoff * step))
