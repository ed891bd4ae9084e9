"""Finding a head anywhere in an image, coarse to fine.

The whole image is read at growing sizes, upright first, then turned by quarters. Each face or ear that its heatmaps
show is a candidate. It is read again in square crops, round the face and round each ear, until the crops stand still.
A predictor may have a smaller one as its `searcher`: that reads whole images, and candidates of the search before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from data.schemes import EAR, FACE
from utils.demo.detections import (
    best_ear,
    better_ears,
    detection_score,
    filter_detections,
    lies_amid,
    select_detections,
)
from utils.demo.geometry import (
    EAR_LENGTH_OF_FACE,
    agreeing_points,
    ear_square,
    extent,
    far_side,
    side_of,
    square_around,
    tilt,
)
from utils.demo.prediction import SIDES, Landmarks, Prediction

if TYPE_CHECKING:
    from data.augment import Warp
    from utils.demo.detections import Thresholds
    from utils.demo.predictor import LandmarkPredictor

# Longer side of the whole image, network pixels: a head is found from about 30 of them upwards.
SEARCH_SIZES = (128, 256, 512, 1024)
MOST_ENLARGEMENT = 2.0  # a small image is not enlarged further than this
TURNED_SIZES = 2  # of the sizes, so many are read of a turned image: images mostly are upright
QUARTERS = (0, 1, 3, 2)  # turns of the image, counterclockwise, in the order in which they are tried
CANVAS_MULTIPLE = 32  # pixels: few different shapes have to be compiled

LEAST_CANDIDATE = 0.12  # score in the whole image: crops of less are hardly ever taken for anything
REFINEMENTS = 4  # readings of a candidate in crops: of it alone, then with what lies round it
PATIENCE = 0.1  # of a score: what lacks no more than this of its threshold is read again
# What moves by less is not read again: of the square's side, and degrees.
STANDS_STILL, STANDS_STRAIGHT = 0.04, 3.0
# A candidate is what was found before if its square moved by no more than this: of that square's side, and degrees.
SAME_SQUARE, SAME_WAY_UP = 0.3, 45.0
LONG_ENOUGH = 96  # network pixels: of a face that is as long in a whole image, a finer one shows no more
FEWEST_AGREEING = 3  # points of a candidate that must lie together; of many points a third

ONE_EAR = 0.1  # of the longer side of an ear's points: two readings of it lie no further apart, on average

# A second, larger head in view.
CLEARLY_LARGER = 1.3  # of the first face's length: less may be the error of a reading
HEAD_MARGIN = 0.6  # of the face's box on each side: the head round it, painted over
FINEST_LARGER = 512  # network pixels: a finer reading costs more than all others, and shows larger heads no better

COLOUR_SAMPLES = 256  # a side, at least: of large images a median of all pixels takes longer than a reading

# The second ear of a person whose face the network does not know.
WHOLE_IMAGE_EAR = 40  # network pixels: the length at which an ear is read best in the whole image
PAINTED_MARGIN = 0.2  # of the first ear's box, painted over with it
SECOND_EAR_LENGTHS = (0.5, 2.0)  # of the first ear's length


def search(
    predictor: LandmarkPredictor,
    image: np.ndarray,
    sizes: tuple[int, ...] | None = None,
    quarters: tuple[int, ...] = QUARTERS,
) -> Prediction:
    """Find a face, or where there is none an ear, anywhere in the image (height, width, 3) uint8 RGB.

    What weights of another scheme know is found as faces are.

    The whole image is read at `sizes` (default: `search_sizes`) and turned by `quarters`. A sure face ends the search,
    after a look for a larger one. Otherwise the best of a quarter is the answer; the next is tried only if it has none,
    and no size at which a face that was found is long. What was found is not read again as a candidate.
    """
    sizes = sizes or search_sizes(image)
    with_face = ear_alone = Prediction()
    for quarter in quarters:
        for size in sizes_turned(sizes, quarter):
            if with_face.face and extent(with_face.face.points) * size / max(image.shape[:2]) > LONG_ENOUGH:
                break
            for candidate in find_candidates(predictor, image, size, quarter):
                if was_read(candidate, with_face):
                    continue
                refined = refine_candidate(predictor, image, candidate)
                if quarter and refined.face and refined.face.score < predictor.thresholds.turned_face:
                    refined = replace(refined, face=None)
                if refined.face is None:
                    ear_alone = better_ears(ear_alone, refined)
                    continue
                if refined.face.score >= predictor.thresholds.sure_face:
                    return with_larger_head(predictor, image, refined, size, quarter)
                with_face = max(with_face, refined, key=detection_score)
        best = select_detections(with_face, ear_alone, predictor.thresholds)
        if best and predictor.first is None:
            return with_second_ear(predictor, image, best)
        if best and (best.face is not None or best_ear(best).score >= predictor.thresholds.lone_ear):
            return best
    return Prediction()


def search_sizes(image: np.ndarray) -> tuple[int, ...]:
    """The sizes of the search that an image (height, width, 3) has pixels for, at least the first."""
    longest = max(image.shape[:2])
    return tuple(size for size in SEARCH_SIZES if size <= longest * MOST_ENLARGEMENT) or SEARCH_SIZES[:1]


def sizes_turned(sizes: tuple[int, ...], quarter: int) -> tuple[int, ...]:
    """Those of the search's sizes at which the image is read when it is turned by `quarter` quarters."""
    return sizes if quarter == 0 else sizes[:TURNED_SIZES]


def find_candidates(predictor: LandmarkPredictor, image: np.ndarray, size: int, quarter: int) -> Iterator[Prediction]:
    """Where the heads see a face and an ear in the whole image: those of their points that lie together."""
    searcher = predictor.searcher
    for task, landmarks in searcher.read_image(image, size, quarter).items():
        if task in searcher.others:
            continue
        kept = agreeing_points(landmarks.points, landmarks.confidence)
        if kept.sum() < max(FEWEST_AGREEING, len(kept) // 3) or landmarks.score < LEAST_CANDIDATE:
            continue
        landmarks = replace(landmarks, points=np.where(kept[:, None], landmarks.points, np.nan))
        if task == EAR.task:
            yield Prediction(None, {side_of(landmarks.whole): landmarks})
        else:
            yield Prediction(landmarks)


def was_read(candidate: Prediction, found: Prediction) -> bool:
    """Whether a candidate of the whole image is the face that was found, or an ear beside it.

    An ear amid that face is not: it tells that the face may be none.
    """
    if found.face is None:
        return False
    ((name, square),) = own_squares(candidate).items()
    same = [found.face] if name == "face" else [ear for ear in found.ears.values() if not lies_amid(ear, found.face)]
    return any(not has_moved(landmarks, square, SAME_SQUARE, SAME_WAY_UP) for landmarks in same)


def refine_candidate(
    predictor: LandmarkPredictor, image: np.ndarray, candidate: Prediction, sides: tuple[str, ...] = SIDES
) -> Prediction:
    """`refine` from the first of the candidate's squares that leads to something credible; empty if none does.

    Credible as an upright face: what more a turned one needs is asked by `search`.
    """
    for square in first_squares(predictor, candidate):
        if is_promising(predictor, image, square) and (refined := refine(predictor, image, square, sides=sides)):
            return refined
    return Prediction()


def is_promising(predictor: LandmarkPredictor, image: np.ndarray, squares: dict[str, Warp]) -> bool:
    """Whether a searcher of its own would read what it sees in squares again, so that the predictor need look at all.

    Without a searcher everything is.
    """
    searcher = predictor.searcher
    if searcher is predictor:
        return True
    return bool(filter_detections(searcher.read_crops(image, squares), patient(lower_thresholds(predictor))))


def lower_thresholds(predictor: LandmarkPredictor) -> Thresholds:
    """The searcher's thresholds, with those of faces and ears that the predictor has where they are lower."""
    own, wanted = predictor.searcher.thresholds, predictor.thresholds
    return replace(own, face=min(own.face, wanted.face), ear=min(own.ear, wanted.ear))


def first_squares(predictor: LandmarkPredictor, candidate: Prediction) -> list[dict[str, Warp]]:
    """Where to read a candidate of the whole image first, and where if nothing is found there.

    Heads that are small there are seen, but their points are unsure. So the tilt of a face may be wrong, and what is
    taken for an ear may be a head.
    """
    squares = [own_squares(candidate)]
    if predictor.first is not None:
        seen = candidate.face or best_ear(candidate)
        upright = {"face": square_around(seen.points, predictor.first.crop_side, seen.crop.angle)}
        if upright not in squares:
            squares.append(upright)
    return squares


def refine(
    predictor: LandmarkPredictor,
    image: np.ndarray,
    first: dict[str, Warp],
    times: int = REFINEMENTS,
    sides: tuple[str, ...] = SIDES,
) -> Prediction:
    """Read again and again, each time in crops round the last answer; empty as soon as nothing credible is left.

    The squares `first` are of a candidate alone, since most candidates are nothing. What stands still is not read
    again. On the way a little less than the thresholds does: the first crops lie askew. `sides` as for `read_around`.
    """
    prediction, read = Prediction(), dict[str, Landmarks]()
    on_the_way = patient(predictor.thresholds)
    for time in range(times):
        squares = squares_around(predictor, prediction, sides) if time else first
        moved = {name: square for name, square in squares.items() if name not in read or has_moved(read[name], square)}
        read |= predictor.read_crops(image, moved)
        prediction = filter_detections({name: read[name] for name in squares}, on_the_way)
        if not (prediction and moved):
            break
    return filter_detections(prediction.named, predictor.thresholds)


def patient(thresholds: Thresholds) -> Thresholds:
    """Thresholds that are lower by `PATIENCE`, of faces and ears in crops."""
    return replace(thresholds, face=thresholds.face - PATIENCE, ear=thresholds.ear - PATIENCE)


def read_around(
    predictor: LandmarkPredictor, image: np.ndarray, before: Prediction, sides: tuple[str, ...] = SIDES
) -> Prediction:
    """Read once in the `squares_around` a prediction, and keep what is credible."""
    return filter_detections(
        predictor.read_crops(image, squares_around(predictor, before, sides)), predictor.thresholds
    )


def own_squares(prediction: Prediction) -> dict[str, Warp]:
    """The squares round the face and the ears of a prediction, by name ("face", "left", "right")."""
    return {name: next_square(landmarks) for name, landmarks in replace(prediction, others={}).named.items()}


def squares_around(predictor: LandmarkPredictor, before: Prediction, sides: tuple[str, ...] = SIDES) -> dict[str, Warp]:
    """The squares in which to read next: round a prediction's face, ears and other landmarks.

    Other landmarks that it lacks are looked for in the face's square.

    `sides`: on which an ear that the prediction lacks is looked for beside its face, but for the one that a turned face
    hides.
    """
    squares = own_squares(before)
    if before.face is not None:
        if EAR.task in predictor.tasks:
            left_out = {far_side(before.face.whole), *before.ears}
            squares |= {side: ear_square(before.face.whole, side) for side in sides if side not in left_out}
        for task in predictor.others:
            squares[task] = next_square(before.others.get(task, before.face))
    return squares


def has_moved(read: Landmarks, square: Warp, still: float = STANDS_STILL, straight: float = STANDS_STRAIGHT) -> bool:
    """Whether a square lies clearly elsewhere than that in which landmarks were read, or is of another size.

    Clearly: by more than `still` of the side, or turned by more than `straight` degrees.
    """
    before = read.crop
    moved = max(math.dist(before.centre, square.centre), abs(square.side - before.side)) / before.side
    turned = abs((square.angle - before.angle + 180) % 360 - 180)
    return moved > still or turned > straight


def next_square(landmarks: Landmarks) -> Warp:
    """The square of the `crop` protocol round landmarks: upright for a face, turned as the face for an ear."""
    angle = tilt(landmarks.whole) if landmarks.scheme is FACE else landmarks.crop.angle
    return square_around(landmarks.points, landmarks.scheme.crop_side, angle)


def with_larger_head(
    predictor: LandmarkPredictor, image: np.ndarray, prediction: Prediction, size: int, quarter: int
) -> Prediction:
    """The prediction, or that of a clearly larger head elsewhere in the image whose face, or lone ear, is sure too.

    Heatmaps show one head at a time, and not always the largest. So the head is painted over, and the image is read
    again at `size`, which found it, and the next one up to 512. Where a larger head has no room, nothing is read.
    """
    while (larger := _find_larger_head(predictor, image, prediction, size, quarter)) is not None:
        prediction = larger
    return prediction


def _find_larger_head(
    predictor: LandmarkPredictor, image: np.ndarray, prediction: Prediction, size: int, quarter: int
) -> Prediction | None:
    if prediction.face is None:
        return None
    low, high = prediction.face.points.min(axis=0), prediction.face.points.max(axis=0)
    margin, length = HEAD_MARGIN * (high - low), extent(prediction.face.points)
    low, high = low - margin, high + margin
    if max(*low, *(image.shape[1::-1] - high)) < CLEARLY_LARGER * length:  # left, above, right, below
        return None
    rest = paint_over(image, low, high)
    for again in [each for each in search_sizes(image) if size <= each <= max(size, FINEST_LARGER)][:2]:
        for candidate in find_candidates(predictor, rest, again, quarter):
            if candidate.face is None:
                profile = _refine_large_ear(predictor, rest, candidate, CLEARLY_LARGER * length)
                if profile:
                    return profile
                continue
            # What is taken for a face where there is none scores 0.2 at most; reading its crops would cost the most.
            if candidate.face.score < patient(predictor.thresholds).face:
                continue
            if extent(candidate.face.points) < length:
                continue
            refined = refine(predictor, rest, own_squares(candidate), REFINEMENTS - 1)
            refined = read_around(predictor, image, refined)  # nothing of it is painted over
            face = refined.face
            if face is None or face.score < predictor.thresholds.sure_face:
                continue
            if extent(face.points) >= CLEARLY_LARGER * length:
                return refined
    return None


def _refine_large_ear(
    predictor: LandmarkPredictor, image: np.ndarray, candidate: Prediction, length: float
) -> Prediction:
    """The sure ear of a profile whose face would be at least `length` pixels long; empty for any other."""
    least = EAR_LENGTH_OF_FACE * length
    ear = best_ear(candidate)
    if ear.score < predictor.thresholds.sure_ear or extent(ear.points) < least:
        return Prediction()
    refined = refine(predictor, image, own_squares(candidate))
    sure = refined and best_ear(refined).score >= predictor.thresholds.lone_ear
    return refined if sure and extent(best_ear(refined).points) >= least else Prediction()


def with_second_ear(predictor: LandmarkPredictor, image: np.ndarray, prediction: Prediction) -> Prediction:
    """An ear without a face, and the person's other one if it is in the image too, nearly as large.

    For weights that know no face beside which it could be looked for. The first ear is painted over. What remains of it
    and of the head is easily taken for an ear, so the other one has to be sure.
    """
    if len(prediction.ears) > 1:
        return prediction
    ((side, ear),) = prediction.ears.items()
    low, high = ear.points.min(axis=0), ear.points.max(axis=0)
    margin, length = PAINTED_MARGIN * (high - low), extent(ear.points)
    rest = paint_over(image, low - margin, high + margin)
    least, most = SECOND_EAR_LENGTHS
    factor = length / max(image.shape[:2])
    size = min(search_sizes(image), key=lambda size: abs(math.log(factor * size / WHOLE_IMAGE_EAR)))
    for candidate in find_candidates(predictor, rest, size, round(-ear.crop.angle / 90) % 4):
        for name, other in refine(predictor, rest, own_squares(candidate)).ears.items():
            sure = name != side and other.score >= predictor.thresholds.sure_ear
            if sure and least < extent(other.points) / length < most:
                return replace(prediction, ears=prediction.ears | {name: other})
    return prediction


def average_ears(predictor: LandmarkPredictor, image: np.ndarray, prediction: Prediction) -> Prediction:
    """The prediction, with ears whose points are the mean of the predictor's and its searcher's.

    Networks that differ err in different places. An ear stays as it is where the searcher is unsure, by the
    `lower_thresholds`, or sees another ear. A face stays: there the mean is no nearer (weights/history.md).
    """
    searcher = predictor.searcher
    same = searcher.config.heads.get(EAR.task) == predictor.config.heads.get(EAR.task)
    if searcher is predictor or not prediction.ears or not same:
        return prediction
    least = lower_thresholds(predictor).ear
    ears = dict(prediction.ears)
    for side, seen in searcher.read_crops(image, {side: next_square(ear) for side, ear in ears.items()}).items():
        ear = ears[side]
        apart = np.linalg.norm(seen.points - ear.points, axis=1).mean()
        if seen.score >= least and apart <= ONE_EAR * extent(ear.points):
            ears[side] = replace(ear, points=(ear.points + seen.points) / 2)
    return replace(prediction, ears=ears)


def paint_over(image: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """A copy of an image in which the box from `low` to `high` (x, y) has the image's median colour."""
    (left, top), (right, bottom) = (np.maximum(edge, 0).astype(int) for edge in (low, high + 1))
    step = max(1, max(image.shape[:2]) // COLOUR_SAMPLES)
    painted = image.copy()
    painted[top:bottom, left:right] = np.median(image[::step, ::step], axis=(0, 1))
    return painted


def whole_image(image: np.ndarray, size: int, quarter: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The image scaled to `size` pixels its longer side, and turned counterclockwise by quarters.

    It lies on a black canvas with sides that are multiples of 32. Returns the matrix (2, 3) from image to canvas, and
    the canvas.
    """
    height, width = image.shape[:2]
    factor = size / max(height, width)
    wide, high = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    fx, fy = wide / width, high / height
    matrix = np.array([[fx, 0, (fx - 1) / 2], [0, fy, (fy - 1) / 2], [0, 0, 1]])
    for _ in range(quarter % 4):  # counterclockwise: (x, y) -> (y, wide - 1 - x)
        matrix = np.array([[0, 1, 0], [-1, 0, small.shape[1] - 1], [0, 0, 1]]) @ matrix
        small = np.rot90(small)
    down, across = -small.shape[0] % CANVAS_MULTIPLE, -small.shape[1] % CANVAS_MULTIPLE
    canvas = cv2.copyMakeBorder(
        np.ascontiguousarray(small), down // 2, down - down // 2, across // 2, across - across // 2,
        cv2.BORDER_CONSTANT, value=(0, 0, 0),
    )  # fmt: skip
    matrix[:2, 2] += (across // 2, down // 2)
    return matrix[:2], canvas
