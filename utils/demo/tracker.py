"""Following a head through a video: the state between frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from utils.common.images import check_rgb
from utils.demo.prediction import SIDES, Prediction
from utils.demo.search import QUARTERS, read_around, search, search_sizes, sizes_turned, with_second_ear

if TYPE_CHECKING:
    from utils.demo.predictor import LandmarkPredictor

FIRST_SEARCH = 3  # sizes of the search in the frame in which a head is lost; later frames read one each
EAR_PATIENCE = 4  # frames for which an ear may be hidden before it is looked for less often


class Tracker:
    """Landmarks of the frames of one video, camera or stream, in their order.

        tracker = Tracker(predictor)
        prediction = tracker(frame)

    Each frame is read in crops where the last one showed a head: one pass of the network. A lost head is searched for
    at once at several sizes, then with one reading of the whole image a frame, every other one turned by quarters. So
    a camera stays quick while no head is in view. Other videos need trackers of their own; they may share a predictor.

    - `prediction`: of the last frame.
    - `searched_frames`: for how many frames a face has been searched for in vain.
    - `hidden_frames`: by side, for how many frames an ear has been hidden while its head was in view.
    """

    def __init__(self, predictor: LandmarkPredictor):
        self.predictor = predictor
        self.start()

    def start(self) -> None:
        """Forget the frames so far: the next one is the first."""
        self.prediction = Prediction()
        self.searched_frames = 0
        self.hidden_frames: dict[str, int] = {}
        self._shape: tuple[int, ...] | None = None

    def __call__(self, image: np.ndarray) -> Prediction:
        """Landmarks of the next frame (height, width, 3) uint8 RGB. Raises ValueError for an array of another kind."""
        check_rgb(image)
        if image.shape != self._shape:  # places of another size mean nothing here
            self.start()
            self._shape = image.shape
        sides = sides_due(self.hidden_frames)
        tracked = Prediction()
        if self.prediction:
            tracked = read_around(self.predictor, image, self.prediction, sides)
        if tracked.face is not None or (tracked and self.predictor.first is None):
            if tracked.face is None and set(sides) - set(tracked.ears):
                tracked = with_second_ear(self.predictor, image, tracked)
            self.searched_frames = 0
            self.hidden_frames = {
                side: self.hidden_frames.get(side, 0) + 1 for side in SIDES if side not in tracked.ears
            }
            self.prediction = tracked
        else:
            self.hidden_frames = {}
            self.prediction = self._search(image, tracked)
        return self.prediction

    def _search(self, image: np.ndarray, tracked: Prediction) -> Prediction:
        """What this frame's part of the search finds; ears that are still tracked give way to nothing but a face."""
        sizes, quarter = search_step(search_sizes(image), self.searched_frames)
        found = search(self.predictor, image, sizes, quarters=(quarter,))
        if found.face is not None or (found and not tracked):
            self.searched_frames = 0
            return found
        self.searched_frames += 1
        return tracked


def sides_due(hidden_frames: dict[str, int]) -> tuple[str, ...]:
    """The sides on which the next frame looks for an ear that was hidden.

    An ear that hair or the head hides mostly stays hidden: after `EAR_PATIENCE` frames it is looked for in every
    `EAR_PATIENCE`th, the two in turns, which saves up to two crops of three.
    """
    counts = ((side, hidden_frames.get(side, 0), k * EAR_PATIENCE // 2) for k, side in enumerate(SIDES))
    return tuple(side for side, count, turn in counts if count < EAR_PATIENCE or count % EAR_PATIENCE == turn)


def search_step(sizes: tuple[int, ...], searched_frames: int) -> tuple[tuple[int, ...], int]:
    """The sizes and the quarter at which a frame is searched, after so many frames of searching in vain.

    The first frame is read upright at several sizes, each later one at one. Every other one of those is upright.
    """
    if searched_frames == 0:
        return sizes[:FIRST_SEARCH], QUARTERS[0]
    place, turned = divmod(searched_frames - 1, 2)
    steps = [
        (size, quarter)
        for quarter in (QUARTERS[1:] if turned else QUARTERS[:1])
        for size in sizes_turned(sizes, quarter)
    ]
    size, quarter = steps[place % len(steps)]
    return (size,), quarter
