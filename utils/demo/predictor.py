"""Landmarks on an image of any size, coarse to fine, by one network and no other detector.

    from utils.demo.predictor import LandmarkPredictor
    predictor = LandmarkPredictor("weights/face2ear-lite.keras")
    found = predictor(image)                  # (height, width, 3) uint8 RGB
    if found.face is not None:
        print(found.face.points)                # (68, 2), pixels of the image
    print(found.ears)                           # {"left": ..., "right": ...}, the ears that are in view

Search: the whole image at growing sizes, until a head is found whose landmarks stand up to a closer look. Track: an
upright square round the face and one round each ear, read as one batch. An image is searched, then tracked until its
squares stand still; a video hands in the prediction of the frame before and needs one pass.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

from data.augment import Warp, apply_matrix, invert_matrix, warp_image
from data.schemes import EAR, FACE, SCHEMES, Scheme, reference_shape
from utils.common.keras_runtime import start_keras
from utils.demo.timing import Steps

if TYPE_CHECKING:
    from models.tensors import Tensor

SIDES = ("left", "right")
# Longer side of the whole image in the search, network pixels: a head is found from about 30 of them upwards.
SEARCH_SIZES = (128, 256, 512, 1024)
QUARTERS = (0, 1, 3, 2)  # turns of the image, counterclockwise, in the order in which they are tried
SEARCHED_EAR = 40  # network pixels: about as long the whole image shows an ear where its like is searched for
EAR_PATIENCE = 4  # frames of a video for which an ear may be out of sight before it is looked for less often
MAGNIFY = 2.0  # a small image is not blown up further than this
# From the middle of an upright face to its ear's, outward and up or down, in longer sides of the face's box.
EAR_FROM_FACE = (1.75, 0.9)
EAR_SIDES_OF_FACE = 0.42  # longer side of an ear's box in longer sides of the face's, generously


@dataclass(frozen=True)
class Thresholds:
    """Scores (mean height of the peaks) from which on something counts as seen.

    - `face`, `ear`: of a crop that holds one. Of 88 ears that a student (`weights/logs/student2.json`) saw in 60
      synthetic heads, those within a tenth of the true box's diagonal scored 0.72 and more; 0.65 was chosen on images
      of validation persons for `student4`, and looked at again for the student that ships (`weights/README.md`).
    - `sure_face`: a face of this score ends the search. The student that ships reads 331 of 334 images of validation
      persons with at least that, while it takes a part of a face for one with up to 0.78.
    - `doubtful_face`: a face of less gives way to a sure ear that does not lie beside it. The faces of those images
      score 0.72 and more, what is taken for one in profiles about 0.5.
    - `sure_ear`: what an ear needs that nothing else speaks for: a second one without a face, one apart from its face.
    - `landmark`: a single landmark below it is not drawn.
    """

    face: float = 0.25
    ear: float = 0.65
    sure_face: float = 0.8
    doubtful_face: float = 0.6
    sure_ear: float = 0.75
    landmark: float = 0.1


@dataclass(frozen=True)
class Landmarks:
    """The landmarks of one face or one ear.

    - `points` (landmarks, 2) float32, pixels of the image; `confidence` (landmarks,) heights of the peaks, 0 to 1.
    - `indices`: which of the scheme's landmarks they are; `crop`: the square that they were read in.
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
        """Points of the whole scheme (count, 2), NaN where the network knows none."""
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

    Of a video: `searched` for how many frames a face has been looked for in vain, `unseen` for how many each ear has
    not been seen beside one (or, by weights that know no faces, beside the other ear).
    """

    face: Landmarks | None = None
    ears: dict[str, Landmarks] = field(default_factory=dict)
    searched: int = 0
    unseen: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything is in view."""
        return self.face is not None or bool(self.ears)


class LandmarkPredictor:
    """Face and ear landmarks of images, with the weights of a file.

    `size`: pixels a side of the crops that the network sees (default: as it was trained); `precision` as in the
    scripts; `steps` measures how long its steps "crop", "network" and "decode" take. Weights without a face head find
    ears, those without an ear head faces. Every call uses the same arrays: one predictor for each thread. Raises
    `InputError` for weights that cannot be used.
    """

    def __init__(
        self,
        weights: str | os.PathLike,
        size: int | None = None,
        precision: str = "auto",
        thresholds: Thresholds | None = None,
        steps: Steps | None = None,
    ):
        start_keras(precision)
        from models.trainer import LandmarkReader
        from models.weights import load_network

        loaded = load_network(weights, with_features=True)
        self.config = loaded.config
        self.size = size or loaded.config.input_size
        self.thresholds = thresholds or Thresholds()
        self.tasks = tuple(loaded.config.heads)
        self._network = loaded.network
        self._crops = np.empty((1 + len(SIDES), self.size, self.size, 3), np.uint8)  # of every frame anew
        self._steps = steps or Steps()
        reader = LandmarkReader(loaded.network, loaded.config)
        self._heatmaps, self._decode = _frozen(reader.heatmaps), _compiled(reader.decode, self.config.heads)

    def _read(self, images: np.ndarray, faces: int | None = None) -> dict[str, np.ndarray]:
        """Points and confidences of a batch by task: of all images or, the first `faces` being faces and the others
        ears, of each by its own head alone.
        """
        with self._steps("network"):
            heatmaps = self._heatmaps(images)
        with self._steps("decode"):
            if faces is not None:
                own = {FACE.task: slice(faces), EAR.task: slice(faces, None)}
                heatmaps = {task: maps[own[task]] for task, maps in heatmaps.items()}
            return _to_numpy(self._decode(heatmaps))

    @cached_property
    def _read_maps(self) -> Callable[[np.ndarray], dict[str, Tensor]]:
        from models.trainer import LandmarkReader

        return _frozen(LandmarkReader(self._network, self.config, with_maps=True))

    def __call__(self, image: np.ndarray, before: Prediction | None = None) -> Prediction:
        """Landmarks of an image (height, width, 3) uint8 RGB.

        `before`: the prediction of the frame before, empty at first. Its squares are looked into; a lost head is
        searched for at once in large, then by one look a frame, also turned by quarters, so that a camera with nobody
        before it stays quick. Raises ValueError for an array that is no such image.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"an image is (height, width, 3) uint8 RGB, not {image.shape} {image.dtype}")
        if before is None:
            return self.search(image)
        due = ears_due(before)
        now = self.track(image, before, due) if before else before
        if now.face is not None or (now and FACE.task not in self.tasks):
            if now.face is None and set(due) - set(now.ears):
                now = self._with_other_ear(image, now)
            unseen = {side: before.unseen.get(side, 0) + 1 for side in SIDES if side not in now.ears}
            return replace(now, unseen=unseen)
        sizes = search_sizes(image)
        chosen, quarter = look_of_frame(sizes, before.searched) if before.searched else (sizes[:3], 0)
        found = self.search(image, chosen, quarters=(quarter,))
        if found.face is not None or (found and not now):
            return found
        return replace(now, searched=before.searched + 1)

    # --- track: squares that are known ---

    def track(self, image: np.ndarray, before: Prediction, sides: tuple[str, ...] = SIDES) -> Prediction:
        """One look where a face and ears were last; nothing where they are no longer.

        `sides`: on which an ear that was not seen is looked for too.
        """
        squares = {}
        if before.face is not None:
            squares["face"] = square_round(before.face)
        if EAR.task in self.tasks:
            for side in SIDES:
                if side in before.ears:
                    squares[side] = square_round(before.ears[side])
                elif before.face is not None and side in sides:
                    squares[side] = ear_square(before.face, side)
        return self._judge(self.look(image, squares))

    def look(self, image: np.ndarray, squares: dict[str, Warp]) -> dict[str, Landmarks]:
        """What the network reads in squares named "face" (first), "left" and "right", believed or not; one batch."""
        if not squares:
            return {}
        matrices = {name: square.matrix(self.size) for name, square in squares.items()}
        with self._steps("crop"):
            for crop, matrix in zip(self._crops, matrices.values(), strict=False):
                warp_image(image, matrix, self.size, out=crop)
        answers = self._read(self._crops[: len(squares)], faces=int("face" in squares))
        rows = {task: zip(answers[f"{task}_points"], answers[f"{task}_confidence"], strict=True) for task in self.tasks}
        seen = {}
        for name, matrix in matrices.items():
            task = FACE.task if name == "face" else EAR.task
            points, confidence = next(rows[task])
            seen[name] = Landmarks(
                SCHEMES[task],
                self.config.heads[task],
                apply_matrix(invert_matrix(matrix), points),
                confidence,
                squares[name],
            )
        return seen

    def maps(self, image: np.ndarray, square: Warp) -> dict[str, np.ndarray]:
        """What the network sees in a square: maps (size / 8, size / 8) in 0..1.

        Their names are "face_heat", "ear_heat" (the highest heatmap at each cell) and "attention".
        """
        with self._steps("crop"):
            crop = warp_image(image, square.matrix(self.size), self.size)
        with self._steps("network"):
            answers = _to_numpy(self._read_maps(crop[None]))
        return {name: answers[name][0] for name in ("attention", *(f"{task}_heat" for task in self.tasks))}

    def _judge(self, seen: dict[str, Landmarks]) -> Prediction:
        """Keep what is credible: a face, and ears that lie where ears can be."""
        face = seen.get("face")
        if face is not None and (face.score < self.thresholds.face or not is_face(face.whole)):
            face = None
        ears = {side: seen[side] for side in SIDES if side in seen and seen[side].score >= self.thresholds.ear}
        ears = {side: ear for side, ear in ears.items() if is_ear(ear, face)}
        if len(ears) == 2 and _same_place(*ears.values()):  # in a profile both squares may show the one ear
            del ears[min(ears, key=lambda side: ears[side].score)]
        if face is None:  # nothing but their own shape says which ears they are
            ears = {side_of(ear.whole): ear for ear in sorted(ears.values(), key=lambda ear: ear.score)}
        return Prediction(face, ears)

    def settle(self, image: np.ndarray, start: Prediction, passes: int = 3) -> Prediction:
        """Look again and again, each time in the squares of what was seen, until it is lost or `passes` are done."""
        now = start
        for _ in range(passes):
            then = self.track(image, now)
            if not then:
                return then
            now = then
        return now

    # --- search: a whole image ---

    def search(
        self, image: np.ndarray, sizes: tuple[int, ...] | None = None, quarters: tuple[int, ...] = QUARTERS
    ) -> Prediction:
        """Find a face, or where there is none an ear, anywhere in the image.

        Looked at whole, at `sizes` (default: `search_sizes`), upright first, then turned by `quarters`.
        """
        sizes = sizes or search_sizes(image)
        with_face = ear_alone = Prediction()
        for quarter in quarters:
            for size in sizes_turned(sizes, quarter):
                for candidate in self._candidates(image, size, quarter):
                    now = self.settle(image, candidate)
                    if now.face is None:
                        ear_alone = _better_alone(ear_alone, now)
                        continue
                    if now.face.score >= self.thresholds.sure_face:
                        return now
                    with_face = max(with_face, now, key=_merit)
            best = _believable(with_face, ear_alone, self.thresholds)
            if best:
                return best if FACE.task in self.tasks else self._with_other_ear(image, best)
        return Prediction()

    def _with_other_ear(self, image: np.ndarray, alone: Prediction) -> Prediction:
        """An ear without a face, and the person's other one if it is in the image too, nearly as large.

        For weights that know no face beside which it could be looked for. The first ear is painted over; what remains
        of it and of the head is easily taken for an ear, so the other one has to be sure.
        """
        if len(alone.ears) > 1:
            return alone
        ((side, ear),) = alone.ears.items()
        low, high = ear.points.min(axis=0), ear.points.max(axis=0)
        margin, extent = 0.2 * (high - low), float((high - low).max())
        (left, top), (right, bottom) = (np.maximum(edge, 0).astype(int) for edge in (low - margin, high + margin + 1))
        rest = image.copy()
        rest[top:bottom, left:right] = np.median(image, axis=(0, 1))
        longest = max(image.shape[:2])
        size = min(search_sizes(image), key=lambda size: abs(math.log(extent * size / longest / SEARCHED_EAR)))
        for candidate in self._candidates(rest, size, round(-ear.crop.angle / 90) % 4):
            for name, other in self.settle(rest, candidate).ears.items():
                sure = name != side and other.score >= self.thresholds.sure_ear
                if sure and 0.5 < np.ptp(other.points, axis=0).max() / extent < 2:
                    return replace(alone, ears=alone.ears | {name: other})
        return alone

    def coarse(self, image: np.ndarray) -> Prediction:
        """What the first pass alone sees: the best face and the best ear of the whole image, at any search size."""
        looks = [self._whole(image, size, 0) for size in search_sizes(image)]
        best = {task: max((look[task] for look in looks), key=lambda place: place.score) for task in self.tasks}
        ear = best.get(EAR.task)
        return Prediction(best.get(FACE.task), {} if ear is None else {side_of(ear.whole): ear})

    def _whole(self, image: np.ndarray, size: int, quarter: int) -> dict[str, Landmarks]:
        """What each head sees in the whole image, shrunk to `size` and turned by quarters: by task."""
        with self._steps("crop"):
            matrix, canvas = whole_image(image, size, quarter)
        answers, back = self._read(canvas[None]), invert_matrix(matrix)
        nowhere = Warp((0.0, 0.0), 1.0, angle=-90.0 * quarter)
        return {
            task: Landmarks(
                SCHEMES[task],
                self.config.heads[task],
                apply_matrix(back, answers[f"{task}_points"][0]),
                answers[f"{task}_confidence"][0],
                nowhere,
            )
            for task in self.tasks
        }

    def _candidates(self, image: np.ndarray, size: int, quarter: int) -> list[Prediction]:
        """Where the heads see a face and an ear in the whole image: those of their points that lie together."""
        found = []
        for task, place in self._whole(image, size, quarter).items():
            kept = agreeing(place.points, place.confidence)
            if kept.sum() < max(3, len(kept) // 3):
                continue
            place = replace(place, points=np.where(kept[:, None], place.points, np.nan))
            found.append(Prediction(place) if task == FACE.task else Prediction(None, {side_of(place.whole): place}))
        return found


def ears_due(before: Prediction) -> tuple[str, ...]:
    """The sides on which the next frame of a video looks for an ear that was not seen.

    An ear that hair or the head hides mostly stays hidden: once it has not been seen for `EAR_PATIENCE` frames it is
    looked for in every `EAR_PATIENCE`th, the two in turns, which saves up to two crops of three.
    """
    counts = ((side, before.unseen.get(side, 0), k * EAR_PATIENCE // 2) for k, side in enumerate(SIDES))
    return tuple(side for side, count, turn in counts if count < EAR_PATIENCE or count % EAR_PATIENCE == turn)


def look_of_frame(sizes: tuple[int, ...], number: int) -> tuple[tuple[int, ...], int]:
    """Size (alone) and quarter of the one look that frame `number` of a search gets: every other one is upright."""
    place, turned = divmod(number - 1, 2)
    looks = [(size, quarter) for quarter in (QUARTERS[1:] if turned else (0,)) for size in sizes_turned(sizes, quarter)]
    size, quarter = looks[place % len(looks)]
    return (size,), quarter


def sizes_turned(sizes: tuple[int, ...], quarter: int) -> tuple[int, ...]:
    """Those of the search's sizes that are looked at when the image is turned: images mostly are upright."""
    return sizes if quarter == 0 else sizes[:2]


def search_sizes(image: np.ndarray) -> tuple[int, ...]:
    """The sizes of the search that an image (height, width, 3) has pixels for, at least the first."""
    longest = max(image.shape[:2])
    return tuple(size for size in SEARCH_SIZES if size <= longest * MAGNIFY) or SEARCH_SIZES[:1]


def _merit(prediction: Prediction) -> float:
    """The score of the face, or where there is none of the best ear."""
    seen = [prediction.face] if prediction.face is not None else prediction.ears.values()
    return max((landmarks.score for landmarks in seen), default=0.0)


def _best_ear(prediction: Prediction) -> Landmarks:
    return max(prediction.ears.values(), key=lambda ear: ear.score)


def _better_alone(one: Prediction, other: Prediction) -> Prediction:
    """Of two answers without a face that of the higher score; but a small ear within a large one is a fold of it."""
    if not one or not other:
        return one or other
    points = [_best_ear(prediction).points for prediction in (one, other)]
    extents = [np.ptp(each, axis=0).max() for each in points]
    large = int(extents[1] > extents[0])
    inside = (points[1 - large] >= points[large].min(axis=0)) & (points[1 - large] <= points[large].max(axis=0))
    if inside.all() and extents[1 - large] < 0.5 * extents[large]:
        return (one, other)[large]
    return max(one, other, key=_merit)


def _believable(with_face: Prediction, ear_alone: Prediction, thresholds: Thresholds) -> Prediction:
    """The face, unless an ear of a higher score cannot be that head's own: then the ear.

    It cannot if it lies where the eyes, nose and mouth would be, or is too large or too small for the face; a sure one
    neither if it does not lie beside a doubtful face. A sure ear beside a face that has none joins it: of a profile the
    far half of the face is guessed, and the ear lies elsewhere than such a face says.
    """
    if with_face.face is None or not ear_alone:
        return with_face or ear_alone
    inner = with_face.face.whole[FACE.groups[0].last + 1 :]
    if not np.isfinite(inner).any():  # a network that knows the jaw alone
        return with_face
    low, high = np.nanmin(inner, axis=0), np.nanmax(inner, axis=0)
    ear = _best_ear(ear_alone)
    middle = ear.points.mean(axis=0)
    amid = bool((middle > low).all() and (middle < high).all())
    if amid or not is_ear(ear, with_face.face):
        return max(with_face, ear_alone, key=_merit)
    if with_face.ears or ear.score < thresholds.sure_ear:
        return with_face
    if _beside(ear, with_face.face):
        return replace(with_face, ears={side_of(ear.whole): ear})
    return ear_alone if with_face.face.score < thresholds.doubtful_face else with_face


def _beside(ear: Landmarks, face: Landmarks) -> bool:
    """Whether an ear lies on its own side of a face, near enough and about as high."""
    apart = _turn(tilt(face.whole)) @ (_mean(ear.points) - _mean(face.points))
    across, down = apart / np.ptp(face.points, axis=0).max()
    outward = across if side_of(ear.whole) == "left" else -across
    return bool(0 < outward < EAR_FROM_FACE[0] and abs(down) < EAR_FROM_FACE[1])


def _frozen(function: Callable[[np.ndarray], dict[str, Tensor]]) -> Callable[[np.ndarray], dict[str, Tensor]]:
    """A function of a batch of images, its weights frozen into constants where TensorFlow can do so.

    Shapes are compiled when they first come. Constants let TensorFlow lay the kernels out once for all calls.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    images = tf.TensorSpec((None, None, None, 3), tf.uint8)
    traced = tf.function(lambda images: function(images)).get_concrete_function(images)
    frozen = convert_variables_to_constants_v2(traced)
    order = sorted(traced.structured_outputs)
    return lambda images: dict(zip(order, frozen(tf.constant(images)), strict=True))


def _compiled(decode: Callable[[dict[str, Tensor]], dict[str, Tensor]], heads: dict[str, tuple[int, ...]]) -> Callable:
    """`decode` of heatmaps of any size, by task; compiled at once where TensorFlow is the backend."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return decode
    import tensorflow as tf

    maps = {task: tf.TensorSpec((None, None, None, len(landmarks)), tf.float32) for task, landmarks in heads.items()}
    compiled = tf.function(decode, input_signature=[maps])
    compiled.get_concrete_function()
    return compiled


def _to_numpy(answers: dict[str, Tensor]) -> dict[str, np.ndarray]:
    import keras

    return {name: keras.ops.convert_to_numpy(value) for name, value in answers.items()}


# --- geometry ---------------------------------------------------------------------------------------------------------


def whole_image(image: np.ndarray, size: int, quarter: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The image shrunk (or enlarged) to `size` pixels its longer side, and turned counterclockwise by quarters.

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
    down, across = -small.shape[0] % 32, -small.shape[1] % 32
    canvas = cv2.copyMakeBorder(
        np.ascontiguousarray(small), down // 2, down - down // 2, across // 2, across - across // 2,
        cv2.BORDER_CONSTANT, value=(0, 0, 0),
    )  # fmt: skip
    matrix[:2, 2] += (across // 2, down // 2)
    return matrix[:2], canvas


def agreeing(points: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Which of the points (landmarks, 2) lie together, bool (landmarks,): no further from their common centre than
    2.5 times the usual distance. The centre is the median, weighted by confidence.
    """
    weight = np.maximum(confidence, 0) ** 2 + 1e-9
    centre = np.array([_median(points[:, axis], weight) for axis in (0, 1)])
    distance = np.linalg.norm(points - centre, axis=1)
    return distance <= 2.5 * max(_median(distance, weight), 1.0)


def _median(values: np.ndarray, weight: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def square_round(landmarks: Landmarks) -> Warp:
    """The square of the `crop` protocol round what was seen: upright for a face, turned as the face for an ear."""
    angle = tilt(landmarks.whole) if landmarks.scheme is FACE else landmarks.crop.angle
    return _square(landmarks.points, landmarks.scheme.crop_side, angle)


def _square(points: np.ndarray, sides: float, angle: float) -> Warp:
    turned = points @ _turn(angle).T
    low, high = np.nanmin(turned, axis=0), np.nanmax(turned, axis=0)
    centre = (low + high) / 2 @ _turn(angle)
    return Warp(tuple(centre.tolist()), sides * max(float((high - low).max()), 4.0), angle)


def _turn(angle: float) -> np.ndarray:
    a = math.radians(angle)
    return np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])


def tilt(face: np.ndarray) -> float:
    """Degrees by which an image must be turned clockwise for the face (68, 2) to stand upright; 0 if unknown.

    From mouth to eyes: unlike the line between the eyes it keeps its direction in a profile.
    """
    eyes, mouth = _mean(face[36:48]), _mean(face[48:68])
    if not (np.isfinite(eyes).all() and np.isfinite(mouth).all()):
        return 0.0
    right, down = eyes - mouth
    return float(np.degrees(-math.atan2(right, -down)))


def _mean(points: np.ndarray) -> np.ndarray:
    known = points[np.isfinite(points).all(axis=1)]
    return known.mean(axis=0) if len(known) else np.full(2, np.nan)


def ear_square(face: Landmarks, side: str) -> Warp:
    """Where an ear of the subject's `side` is to be looked for, from the face: beside the upper end of the jaw."""
    whole = face.whole
    angle = tilt(whole)
    turned = whole @ _turn(angle).T
    low, high = np.nanmin(turned, axis=0), np.nanmax(turned, axis=0)
    jaw = turned[14:17] if side == "left" else turned[0:3]
    jaw = jaw[np.isfinite(jaw).all(axis=1)]
    length = max(float((high - low).max()), 4.0)  # points of an image that shows nothing may all fall together
    middle_x = (low[0] + high[0]) / 2
    outward = 1.0 if side == "left" else -1.0
    top = jaw[jaw[:, 1].argmin()] if len(jaw) else np.array([middle_x + outward * (high[0] - low[0]) / 2, low[1]])
    at = top + np.array([outward * 0.08, 0.02]) * length
    return Warp(tuple((at @ _turn(angle)).tolist()), EAR_SIDES_OF_FACE * EAR.crop_side * length, angle)


def is_face(whole: np.ndarray, most: float = 0.45) -> bool:
    """Whether points (68, 2) have roughly the shape of a face, however it is turned."""
    return _misfit(FACE, whole) < most


def _misfit(scheme: Scheme, whole: np.ndarray) -> float:
    """By how much of their spread the affine map of the scheme's mean shape that fits best misses the points."""
    known = np.isfinite(whole).all(axis=1)
    if known.sum() < 8:
        return 0.0  # too few to tell
    mean = np.column_stack([reference_shape(scheme)[known], np.ones(known.sum())])
    points = whole[known]
    fitted, *_ = np.linalg.lstsq(mean, points, rcond=None)
    spread = np.sqrt(np.square(points - points.mean(axis=0)).sum())
    return float(np.sqrt(np.square(points - mean @ fitted).sum()) / max(spread, 1e-6))


def is_ear(ear: Landmarks, face: Landmarks | None, most: float = 0.35) -> bool:
    """Whether an ear has roughly the shape of one, fills its crop as ears do and, if there is a face, is 0.12 to 0.75
    of its length.

    Of 88 answers of a student (`weights/logs/student2.json`) on synthetic heads, the right ones missed the shape by
    0.27 of their spread at most, and most of the wrong ones by more than 0.4.
    """
    if _misfit(EAR, ear.whole) >= most:
        return False
    extent = np.ptp(ear.points, axis=0).max()
    if not 0.15 * ear.crop.side < extent < 0.95 * ear.crop.side:
        return False
    if face is None:
        return True
    length = np.ptp(face.points, axis=0).max()
    return bool(0.12 * length < extent < 0.75 * length)


def _same_place(one: Landmarks, other: Landmarks) -> bool:
    apart = np.linalg.norm(one.points.mean(axis=0) - other.points.mean(axis=0))
    return bool(apart < 0.5 * np.ptp(one.points, axis=0).max())


def side_of(ear: np.ndarray) -> str:
    """Which ear of the subject these points (55, 2) are: the helix runs clockwise round one, counterclockwise round
    the other.
    """
    rim = ear[0:20]
    rim = rim[np.isfinite(rim).all(axis=1)]
    return "left" if _area(rim) * _area(reference_shape(EAR)[0:20]) >= 0 else "right"


def _area(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
