"""What a prediction is: the landmarks of a face and of its ears, in pixels of the image."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from data.augment import Warp, apply_matrix, invert_matrix
from data.head_pose import HeadPose, head_pose
from data.schemes import FACE, Scheme

SIDES = ("left", "right")  # of the subject


@dataclass(frozen=True)
class Landmarks:
    """The landmarks of one face or one ear.

    - `points` (landmarks, 2) float32, pixels of the image; `confidence` (landmarks,) heights of the peaks, 0 to 1.
    - `indices`: which of the scheme's landmarks they are; `crop`: the square of the image in which they were read.
    """

    scheme: Scheme
    indices: tuple[int, ...]
    points: np.ndarray
    confidence: np.ndarray
    crop: Warp

    @property
    def score(self) -> float:
        """Mean confidence."""
        return float(self.confidence.mean())

    @property
    def whole(self) -> np.ndarray:
        """Points of the whole scheme (count, 2), NaN for the landmarks that the network lacks."""
        every = np.full((self.scheme.count, 2), np.nan, np.float32)
        every[list(self.indices)] = self.points
        return every

    @property
    def corners(self) -> np.ndarray:
        """Corners (4, 2) of the crop in pixels of the image, clockwise from the top left of the crop."""
        square = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
        return apply_matrix(invert_matrix(self.crop.matrix(1)), square)


@dataclass(frozen=True)
class Prediction:
    """What is in view: the face, or None, and the ears by side of the subject ("left", "right").

    Weights of another scheme than face and ear answer in the place of the face: its `scheme` says which. What a network
    of faces knows beside faces and ears is in `others`, by task.
    """

    face: Landmarks | None = None
    ears: dict[str, Landmarks] = field(default_factory=dict)
    others: dict[str, Landmarks] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything is in view."""
        return self.face is not None or bool(self.ears)

    @property
    def named(self) -> dict[str, Landmarks]:
        """All that is in view, by name: "face", "left" and "right" for ears, others by task."""
        face = {} if self.face is None else {"face": self.face}
        return face | self.ears | self.others

    def pose(self, size: tuple[int, int]) -> HeadPose | None:
        """The pose of the face in an image of `size` (width, height) pixels; None without one or its 68 points."""
        if self.face is None or self.face.scheme is not FACE:
            return None
        return head_pose(self.face.whole, size)
