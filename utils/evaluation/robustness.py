"""Heads at many sizes and angles in a frame, and how well a predictor finds them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from tqdm import tqdm

from data.augment import apply_matrix, warp_image
from data.schemes import EAR, FACE, Scheme
from data.synthetic.film import HEAD_OF_FACE
from data.synthetic.scene import draw_image
from utils.common.images import decode_image
from utils.evaluation.metrics import nme, normaliser_length
from utils.evaluation.scoring import Answers, Predictor

if TYPE_CHECKING:
    from data.datasets import Sample

FRAME = (720, 1280)  # height, width
HEIGHTS = (40, 55, 75, 105, 145, 200, 275, 375, 520, 700)  # of the head, pixels of the frame
ANGLES = (-60, -45, -30, -15, 0, 15, 30, 60)  # degrees, positive clockwise
MOST_YAW = 45  # degrees; beyond, the outer eye corners fall together and the face NME means little
EAR_IN_VIEW = 0.5  # fraction of an ear's points that must be visible for it to count
PASSES = ("coarse", "fine")


@dataclass(frozen=True)
class Head:
    """A head in an image (height, width, 3) uint8 RGB.

    Its true points are pixels: `face` (68, 2), and (55, 2) for each of the `ears` in view.
    """

    image: np.ndarray
    face: np.ndarray
    ears: list[np.ndarray]


def synthetic_heads(count: int, seed: int, size: int) -> Iterator[Head]:
    """Synthetic heads, no more than 45 degrees from the front, in images of `size` pixels a side."""
    rng, drawn = np.random.default_rng(seed), 0
    while drawn < count:
        image = draw_image(rng, "both", size)
        if abs(image.pose[0]) <= MOST_YAW:
            drawn += 1
            ears = [f"ear_{side}" for side in ("left", "right")]
            in_view = [image.points[ear] for ear in ears if image.visible[ear].mean() >= EAR_IN_VIEW]
            yield Head(image.pixels, image.points["face"], in_view)


def annotated_heads(faces: Iterable[Sample]) -> Iterator[Head]:
    """The heads of images with face points; of their ears nothing is known."""
    for face in faces:
        yield Head(decode_image(face.image), face.points, [])


def place_head(head: Head, height: float, angle: float) -> Head:
    """A head scaled to `height` pixels, and turned clockwise by `angle` degrees, amid a frame (720, 1280, 3).

    Both count from the head as its image shows it. The frame has the image's mean colour where the image ends.
    """
    face = head.face
    scale = height / (HEAD_OF_FACE * np.ptp(face[:, 1]))
    turn = math.radians(angle)
    linear = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    middle = (face.min(axis=0) + face.max(axis=0)) / 2
    matrix = np.column_stack([linear, np.array(FRAME[::-1]) / 2 - linear @ middle])
    red, green, blue = (float(level) for level in head.image.mean(axis=(0, 1)))
    frame = warp_image(head.image, matrix, FRAME[::-1], fill=(red, green, blue))
    return Head(frame, apply_matrix(matrix, face), [apply_matrix(matrix, ear) for ear in head.ears])


def error(scheme: Scheme, truth: np.ndarray, answers: list[np.ndarray]) -> float:
    """NME of the answer (points of the scheme) nearest to the truth; NaN if none is near enough to count as found."""
    middle, near = truth.mean(axis=0), np.linalg.norm(np.ptp(truth, axis=0)) / 2
    apart = [np.linalg.norm(np.nanmean(points, axis=0) - middle) for points in answers]
    if not apart or min(apart) > near:
        return math.nan
    answer = answers[int(np.argmin(apart))]
    return float(np.asarray(nme(truth[None], answer[None], normaliser_length(truth[None], scheme)))[0])


class TwoStepPredictor(Predictor, Protocol):
    """What finds faces and ears, and tells what its first step alone sees: `utils.demo.LandmarkPredictor` is one."""

    def coarse(self, image: np.ndarray) -> Answers:
        """What the whole image alone shows."""


def measure(predictor: TwoStepPredictor, heads: Iterable[Head], total: int, heights: Sequence[int]) -> list[dict]:
    """A row for each head, height (pixels), angle and task: NME of both passes as fractions.

    An NME is NaN where nothing was found. `total`: how many `heads` there are, for the progress bar.
    """
    rows = []
    with tqdm(total=total * len(heights) * len(ANGLES), unit="frame", disable=None, dynamic_ncols=True) as bar:
        for head in heads:
            for height in heights:
                for angle in ANGLES:
                    placed = place_head(head, height, angle)
                    found = {"coarse": predictor.coarse(placed.image), "fine": predictor(placed.image)}
                    targets = [(FACE, placed.face), *((EAR, ear) for ear in placed.ears)]
                    for scheme, truth in targets:
                        row = {"task": scheme.task, "height": height, "angle": angle}
                        for name, prediction in found.items():
                            face = [] if prediction.face is None else [prediction.face]
                            answers = face if scheme is FACE else prediction.ears.values()
                            row[name] = error(scheme, truth, [each.whole for each in answers])
                        rows.append(row)
                    bar.update()
    return rows


def table(rows: list[dict], by: str) -> str:
    """A Markdown table by "height" or "angle": found (%) and NME (%) of both passes, faces and ears; the NME of what
    each found, and of what both found, where the two can be compared. "-" stands for what was not in view.
    """
    heading = "head, px" if by == "height" else "turned, degrees"
    columns = [
        f"{task} {what}" for task in ("face", "ear") for what in ("found (%)", "NME (%)", "NME where both found (%)")
    ]
    lines = [f"| {heading} | " + " | ".join(columns) + " |", "|" + " --- |" * (1 + len(columns))]
    for value in [*dict.fromkeys(row[by] for row in rows), "all"]:
        cells = []
        for task in ("face", "ear"):
            chosen = [row for row in rows if row["task"] == task and value in (row[by], "all")]
            errors = {name: np.array([row[name] for row in chosen]) for name in PASSES}
            known = {name: np.isfinite(values) for name, values in errors.items()}
            both = known["coarse"] & known["fine"]
            shares = (100 * known[name].mean() if chosen else None for name in PASSES)
            cells.append(" / ".join("-" if share is None else f"{share:.0f}" for share in shares))
            for counted in (known, dict.fromkeys(PASSES, both)):
                means = (errors[name][counted[name]].mean() if counted[name].any() else None for name in PASSES)
                cells.append(" / ".join("-" if mean is None else f"{100 * mean:.2f}" for mean in means))
        lines.append(f"| {value} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
