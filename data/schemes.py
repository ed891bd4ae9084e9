"""The landmark schemes as data: 68 face points (iBUG / 300-W) and 55 ear points (ibug-ears).

Everything that depends on which landmark is which stands here and nowhere else: counts, groups and the lines
drawn through them, the order after a mirror, the length that errors are divided by, and the crop that scores use.
The 68 points and their groups follow Sagonas et al., "300 Faces in-the-Wild Challenge" (ICCV-W 2013); the 55 ear
points and their group names follow Zhou and Zafeiriou, "Deformable Models of Ears in-the-Wild" (CVPR 2017), as the
menpo toolkit labels them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from utils.common.cli import InputError


@dataclass(frozen=True)
class Group:
    """A run of landmarks that is drawn as one line.

    `first` and `last` are landmark indices, both included; `closed` joins the last point to the first; `colour` is
    RGB, 0 to 255.
    """

    name: str
    first: int
    last: int
    closed: bool
    colour: tuple[int, int, int]

    @property
    def indices(self) -> range:
        """The group's landmark indices in drawing order."""
        return range(self.first, self.last + 1)


@dataclass(frozen=True)
class Scheme:
    """One set of landmarks.

    - `task`: the short name used in layer names, flags and files ("face", "ear").
    - `flip_order`: landmark k of a mirrored image is landmark `flip_order[k]` of the original.
    - `normaliser`: what a point error is divided by. A pair of landmark indices means their distance (for the face
      36 and 45, the outer eye corners), "box_diagonal" the diagonal of the true points' box.
    - `failure_at`: an image whose NME lies above this fraction has failed; AUC integrates up to it.
    - `crop_side`: side of the square of the `crop` protocol, in longer sides of the true points' box.
    - `train_sides`: range of that side in training, from a tight crop to a head somewhere in the image.
    - `train_squeeze`: range of the horizontal squeeze in training (an ear seen from the front is narrow).
    - `instances`: how many of them an image of one person can show: one face, two ears.
    - `inner`: landmarks whose NME is reported beside that of all: the 51 without the jaw, as in 300-W. Empty: no such.
    - `annotated_sides`: where only one instance is annotated, the image may show another. Then a square round the
      annotated points is known and nothing outside it; this is its side, in longer sides of the points' box. None: the
      whole image is known.
    """

    task: str
    count: int
    groups: tuple[Group, ...]
    flip_order: tuple[int, ...]
    normaliser: tuple[int, int] | str
    failure_at: float
    crop_side: float
    train_sides: tuple[float, float]
    train_squeeze: tuple[float, float]
    instances: int
    annotated_sides: float | None
    inner: range = range(0)

    def group_of(self, landmark: int) -> Group:
        """The group that landmark `landmark` (0-based) belongs to."""
        return next(group for group in self.groups if landmark in group.indices)


def _flip_order(count: int, runs: tuple[tuple[int, int], ...], pairs: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """A mirror order from `runs` (first, last) that read backwards in the mirror and single `pairs` that swap."""
    order = list(range(count))
    for first, last in runs:
        order[first : last + 1] = range(last, first - 1, -1)
    for one, other in pairs:
        order[one], order[other] = other, one
    return tuple(order)


FACE = Scheme(
    task="face",
    count=68,
    groups=(
        Group("jaw", 0, 16, False, (255, 200, 60)),
        Group("right_brow", 17, 21, False, (120, 220, 255)),
        Group("left_brow", 22, 26, False, (120, 220, 255)),
        Group("nose_bridge", 27, 30, False, (130, 255, 130)),
        Group("nose_base", 31, 35, False, (130, 255, 130)),
        Group("right_eye", 36, 41, True, (90, 150, 255)),
        Group("left_eye", 42, 47, True, (90, 150, 255)),
        Group("outer_lips", 48, 59, True, (255, 110, 140)),
        Group("inner_lips", 60, 67, True, (255, 160, 200)),
    ),
    # The jaw, both brows together, the nose base and the halves of the lips read backwards in a mirror; the eyes are
    # numbered round the lid, so their points swap one by one.
    flip_order=_flip_order(
        68,
        runs=((0, 16), (17, 26), (31, 35), (48, 54), (55, 59), (60, 64), (65, 67)),
        pairs=((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),
    ),
    normaliser=(36, 45),
    failure_at=0.08,
    crop_side=1.6,
    train_sides=(1.15, 4.0),
    train_squeeze=(0.85, 1.0),
    instances=1,
    annotated_sides=None,
    inner=range(17, 68),
)

EAR = Scheme(
    task="ear",
    count=55,
    groups=(
        Group("outer_helix", 0, 19, False, (255, 200, 60)),
        Group("inner_helix", 20, 34, False, (120, 220, 255)),
        Group("tragus_concha", 35, 49, False, (255, 110, 140)),
        Group("superior_crus", 50, 54, False, (130, 255, 130)),
    ),
    flip_order=tuple(range(55)),  # a mirrored ear keeps its indices: there is one ear, not a left and a right half
    normaliser="box_diagonal",
    failure_at=0.10,
    crop_side=2.5,
    train_sides=(1.3, 8.0),
    train_squeeze=(0.25, 1.0),
    instances=2,
    annotated_sides=3.0,
)

SCHEMES = {scheme.task: scheme for scheme in (FACE, EAR)}


@cache
def reference_shape(scheme: Scheme) -> np.ndarray:
    """A typical shape of the scheme, (count, 2) float32, y down, its box from (0, 0) with a longer side of 1.

    The face from the front, a left ear from its side; from the CC0 head that `reference_shapes.json` names.
    """
    shapes = json.loads((Path(__file__).parent / "reference_shapes.json").read_text(encoding="utf-8"))
    shape = np.array(shapes[scheme.task], dtype=np.float32)
    shape.flags.writeable = False  # shared by all who ask
    return shape


def parse_landmarks(text: str, count: int) -> tuple[int, ...]:
    """Landmark indices from text such as "36-47,60": ranges include both ends, indices are 0-based.

    Returns the indices sorted, each once. Raises `InputError` for text that is no such list or leaves 0..count-1.
    """
    chosen: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", part.strip())
        if not match:
            raise InputError(f"--landmarks {text!r}: {part.strip()!r} is neither a number nor a range such as 36-47")
        run = range(int(match[1]), int(match[2] or match[1]) + 1)
        if not run or run.stop > count:
            raise InputError(f"--landmarks {text!r}: {part.strip()!r} is not within 0-{count - 1}")
        chosen.update(run)
    return tuple(sorted(chosen))
