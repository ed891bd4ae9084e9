"""One image under many thresholds: what the demo would show at each, for little more than one search."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Hashable
from dataclasses import replace

import numpy as np

from data.augment import Warp
from utils.demo.engines import KERAS
from utils.demo.prediction import Landmarks, Prediction
from utils.demo.predictor import LandmarkPredictor
from utils.demo.timing import StepTimer


class SweepingPredictor(LandmarkPredictor):
    """A predictor that searches an image anew for each pair of thresholds, but reads no place of it twice.

    A threshold decides where the search ends and what it reads next, so the answer at one threshold does not follow
    from the scores at another. The network's readings do not depend on thresholds: they are kept until another image
    comes. So every answer is exactly that of a `LandmarkPredictor` with those thresholds.
    """

    searcher: SweepingPredictor

    def __init__(
        self,
        weights: str | os.PathLike,
        precision: str = "auto",
        timer: StepTimer | None = None,
        engine: str = KERAS,
        searcher: str | os.PathLike | bool = True,
    ):
        """As a `LandmarkPredictor`'s."""
        super().__init__(weights, precision=precision, timer=timer, engine=engine, searcher=searcher)
        self._readings: dict[Hashable, dict[str, Landmarks]] = {}
        self._image = b""

    def at(self, image: np.ndarray, face: float, ear: float) -> Prediction:
        """Landmarks of an image (height, width, 3) uint8 RGB at these thresholds of face and ear."""
        if (image_digest := digest(image)) != self._image:
            self._image, self._readings, self.searcher._readings = image_digest, {}, {}
        before, self.thresholds = self.thresholds, replace(self.thresholds, face=face, ear=ear)
        try:
            return self(image)
        finally:
            self.thresholds = before

    def read_image(self, image: np.ndarray, size: int, quarter: int = 0) -> dict[str, Landmarks]:
        """As `LandmarkPredictor.read_image`, once for each image, size and quarter."""
        read = super().read_image
        return self._once((digest(image), size, quarter), lambda: read(image, size, quarter))

    def read_crops(self, image: np.ndarray, squares: dict[str, Warp]) -> dict[str, Landmarks]:
        """As `LandmarkPredictor.read_crops`, once for each image and squares."""
        read = super().read_crops
        places = tuple((name, square.matrix(self.size).tobytes()) for name, square in squares.items())
        return self._once((digest(image), places), lambda: read(image, squares))

    def _once(self, key: Hashable, read: Callable[[], dict[str, Landmarks]]) -> dict[str, Landmarks]:
        if key not in self._readings:
            self._readings[key] = read()
        return self._readings[key]


def digest(image: np.ndarray) -> bytes:
    """What tells an image from another: the search paints over parts of it, and reads that too."""
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()
