"""What the demo shows of a prediction, and the keys that change it."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from data.augment import Warp
from data.drawing import paint_axes, paint_landmarks, paint_map, paint_square
from data.schemes import EAR
from utils.demo.prediction import SIDES, Landmarks, Prediction
from utils.demo.predictor import LandmarkPredictor

OVERLAYS = ("none", "heatmaps", "attention", "boxes", "numbers", "pose")
EARS = (SIDES, SIDES[:1], SIDES[1:], ())  # what the key goes through: both, each alone, none
# Key -> what it does, and how the help puts it.
KEYS = {
    "q": ("quit", "quit (also Esc)"),
    " ": ("pause", "pause; of images: the next"),
    "s": ("save", "save this frame"),
    "r": ("record", "record: start, stop"),
    "o": ("overlay", "overlay: heatmaps, attention, boxes, numbers, pose, none"),
    "e": ("ears", "ears: both, left, right, none"),
    "m": ("mirror", "mirror"),
    "h": ("help", "this help"),
}
HELP = [f"{'space' if key == ' ' else key}: {words}" for key, (_, words) in KEYS.items()]


def in_view(prediction: Prediction, sides: tuple[str, ...] = SIDES) -> dict[str, Landmarks]:
    """What was found, by name: "face" (or another scheme's task), "left ear", "right ear" on `sides`, other tasks."""
    face = {} if prediction.face is None else {prediction.face.scheme.task: prediction.face}
    ears = {f"{side} ear": prediction.ears[side] for side in sides if side in prediction.ears}
    return face | ears | prediction.others


@dataclass
class View:
    """How predictions are drawn; keys change it.

    - `threshold`: points of a lower confidence are left out, and the lines to them.
    - `overlay`: one of `OVERLAYS`; `ears`: the sides that are drawn; `mirror`: left and right swap.
    """

    threshold: float
    overlay: str = "none"
    ears: tuple[str, ...] = SIDES
    mirror: bool = False
    help: bool = False
    _canvas: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8), init=False, repr=False, compare=False)

    def press(self, action: str) -> bool:
        """Change what an action of `KEYS` changes; False if it changes nothing in the view."""
        if action == "overlay":
            self.overlay = OVERLAYS[(OVERLAYS.index(self.overlay) + 1) % len(OVERLAYS)]
        elif action == "ears":
            self.ears = EARS[(EARS.index(self.ears) + 1) % len(EARS)]
        elif action in ("mirror", "help"):
            setattr(self, action, not getattr(self, action))
        else:
            return False
        return True

    def draw(self, image: np.ndarray, prediction: Prediction, predictor: LandmarkPredictor) -> np.ndarray:
        """A copy of the image (height, width, 3) uint8 RGB with what was found in it; the next call draws over it."""
        shown = in_view(prediction, self.ears)
        width = image.shape[1]
        if self._canvas.shape != image.shape:
            self._canvas = np.empty_like(image, order="C")
        drawn = self._canvas
        if self.mirror:
            cv2.flip(image, 1, dst=drawn)
        else:
            np.copyto(drawn, image)
        if self.overlay in ("heatmaps", "attention"):
            for square, heat in self._maps(image, shown, predictor):
                paint_map(
                    drawn, heat[:, ::-1] if self.mirror else heat, _mirrored(square, width) if self.mirror else square
                )
        for name, landmarks in shown.items():
            points = np.where(landmarks.confidence[:, None] >= self.threshold, landmarks.points, np.nan)
            numbers = self.overlay == "numbers"
            paint_landmarks(drawn, self._turned(points, width), landmarks.scheme, landmarks.indices, numbers)
            if self.overlay == "boxes":
                corners = self._turned(landmarks.corners, width)
                paint_square(
                    drawn,
                    np.roll(corners[::-1], 2, axis=0) if self.mirror else corners,
                    f"{name} {landmarks.score:.2f}",
                )
        if self.overlay == "pose":
            self._draw_pose(drawn, prediction)
        return drawn

    def _draw_pose(self, drawn: np.ndarray, prediction: Prediction) -> None:
        """Axes that point to the head's left, up and out of its face, and the angles."""
        height, width = drawn.shape[:2]
        pose = prediction.pose((width, height))
        if prediction.face is None or pose is None:
            return
        paint_axes(drawn, self._turned(pose.axes(prediction.face.whole), width), str(pose))

    def _turned(self, points: np.ndarray, width: int) -> np.ndarray:
        return np.column_stack([width - 1 - points[:, 0], points[:, 1]]) if self.mirror else points

    def _maps(
        self, image: np.ndarray, shown: dict[str, Landmarks], predictor: LandmarkPredictor
    ) -> list[tuple[Warp, np.ndarray]]:
        """The maps of the overlay with their squares; of the whole image where nothing is shown."""
        height, width = image.shape[:2]
        everywhere = Warp(((width - 1) / 2, (height - 1) / 2), float(max(height, width)))
        squares = [(landmarks.scheme.task, landmarks.crop) for landmarks in shown.values()]
        maps = []
        for task, square in squares or [((predictor.first or EAR).task, everywhere)]:
            answers = predictor.maps(image, square)
            maps.append((square, answers["attention" if self.overlay == "attention" else f"{task}_heat"]))
        return maps


def _mirrored(square: Warp, width: int) -> Warp:
    return Warp((width - 1 - square.centre[0], square.centre[1]), square.side, -square.angle)
