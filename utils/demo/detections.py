"""Which detections are kept: the rules by which a face and ears are believed, one function each.

`filter_detections` judges one look at a face and ears. `select_detections` chooses between what several looks found.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, fields, replace

import numpy as np

from data.schemes import EAR, FACE
from utils.common.cli import InputError
from utils.demo.geometry import OUTWARD, ear_offset, extent, inner_face, shape_misfit, side_of
from utils.demo.prediction import SIDES, Landmarks, Prediction

# Largest misfit of the mean shape (fraction of the points' spread) of a face. Noise has 0.7 and more.
MOST_FACE_MISFIT = 0.45
# And of an ear. Of 88 answers of a student (`weights/recipes/student2.json`) on synthetic heads, the right ones had
# 0.27 at most, and most of the wrong ones more than 0.4.
MOST_EAR_MISFIT = 0.35
EAR_LENGTHS_OF_CROP = (0.15, 0.95)  # an ear's box in sides of its crop: a right one fills 1 / 1.6 of it
EAR_LENGTHS_OF_FACE = (0.12, 0.75)  # longer sides of the boxes: a profile's face is short, an ear from the side is long
# From the middle of an upright face to that of its own ear, in longer sides of the face's box: outward, up or down.
MOST_EAR_OFFSET = (1.75, 0.9)
SAME_PLACE = 0.5  # of an ear's length: two ears whose middles are nearer to each other are one
FOLD_LENGTH = 0.5  # of an ear's length: a smaller ear inside it is one of its folds


@dataclass(frozen=True)
class Thresholds:
    """Scores (mean confidence of the landmarks) from which on a detection counts.

    Networks differ in how sure they are, and a weights file may note its own (`utils.export --threshold`). These are
    for files that do not. Those of the student that ships were chosen from curves (`readme/results.md`, "Thresholds").

    - `face`, `ear`: of a crop that holds one.
    - `turned_face`: what a face needs that is found in the image turned by quarters only. Most images are upright.
    - `lone_ear`: what an ear needs in an image without a face, where the network knows faces.
    - `sure_face`: a face of this score ends the search. Networks read nearly all faces with it.
    - `doubtful_face`: a face of less gives way to a sure ear that does not lie beside it. What is taken for a face in
      profiles scores about 0.5.
    - `sure_ear`: what an ear needs that nothing else speaks for: a second one without a face, one apart from its face.
    - `landmark`: a single landmark below it is not drawn.
    """

    face: float = 0.25
    turned_face: float = 0.25
    ear: float = 0.65
    lone_ear: float = 0.65
    sure_face: float = 0.805
    doubtful_face: float = 0.6
    sure_ear: float = 0.75
    landmark: float = 0.1


def thresholds_of(record: dict, weights: str | os.PathLike) -> Thresholds:
    """Those that a weights file notes, and `Thresholds`' own for the rest. Raises `InputError` for unknown names."""
    noted = record.get("thresholds", {})
    if unknown := sorted(set(noted) - {field.name for field in fields(Thresholds)}):
        raise InputError(
            f"{weights}: notes a threshold {unknown[0]!r:.40}, which this version does not know; update it"
        )
    return Thresholds(**noted)


# --- single rules -----------------------------------------------------------------------------------------------------


def is_face(face: Landmarks) -> bool:
    """Whether a detection has roughly the shape of a face, however it is turned.

    Of another scheme nothing is known of how much its shape may bend, so its score alone counts.
    """
    return face.scheme is not FACE or shape_misfit(face.whole, FACE) < MOST_FACE_MISFIT


def is_ear_shaped(ear: np.ndarray) -> bool:
    """Whether points (55, 2) have roughly the shape of an ear, however it is turned."""
    return shape_misfit(ear, EAR) < MOST_EAR_MISFIT


def fills_crop(ear: Landmarks) -> bool:
    """Whether an ear is as large in its crop as ears are: neither a few cells of it nor all of it."""
    least, most = EAR_LENGTHS_OF_CROP
    return least * ear.crop.side < extent(ear.points) < most * ear.crop.side


def fits_face_in_length(ear: Landmarks, face: Landmarks) -> bool:
    """Whether an ear is as long, relative to a face, as ears are."""
    least, most = EAR_LENGTHS_OF_FACE
    length = extent(face.points)
    return least * length < extent(ear.points) < most * length


def is_ear(ear: Landmarks, face: Landmarks | None) -> bool:
    """Whether a detection can be an ear by its shape and its size in the crop, and in the face if there is one."""
    if not (is_ear_shaped(ear.whole) and fills_crop(ear)):
        return False
    return face is None or fits_face_in_length(ear, face)


def lies_amid(ear: Landmarks, face: Landmarks) -> bool:
    """Whether an ear's middle lies where the eyes, nose and mouth are; not where none of them is known."""
    inner = inner_face(face.whole)
    if not np.isfinite(inner).any():
        return False
    low, high = np.nanmin(inner, axis=0), np.nanmax(inner, axis=0)
    middle = ear.points.mean(axis=0)
    return bool((middle > low).all() and (middle < high).all())


def lies_beside(ear: Landmarks, face: Landmarks) -> bool:
    """Whether an ear lies on its own side of a face, near enough and about as high."""
    across, down = ear_offset(ear.whole, face.whole)
    outward = across * OUTWARD[side_of(ear.whole)]
    return 0 < outward < MOST_EAR_OFFSET[0] and abs(down) < MOST_EAR_OFFSET[1]


def are_one_ear(one: Landmarks, other: Landmarks) -> bool:
    """Whether two ears lie in the same place: in a profile the crops of both sides may show the one ear."""
    apart = np.linalg.norm(one.points.mean(axis=0) - other.points.mean(axis=0))
    return bool(apart < SAME_PLACE * extent(one.points))


def is_fold(small: Landmarks, large: Landmarks) -> bool:
    """Whether an ear is a fold of a larger one: inside its box, and less than half as long."""
    low, high = large.points.min(axis=0), large.points.max(axis=0)
    inside = bool(((small.points >= low) & (small.points <= high)).all())
    return inside and extent(small.points) < FOLD_LENGTH * extent(large.points)


# --- choices ----------------------------------------------------------------------------------------------------------


def detection_score(prediction: Prediction) -> float:
    """The score of the face, or without a face that of the best ear; 0 if nothing is in view."""
    detections: Collection[Landmarks] = prediction.ears.values()
    if prediction.face is not None:
        detections = [prediction.face]
    return max((landmarks.score for landmarks in detections), default=0.0)


def best_ear(prediction: Prediction) -> Landmarks:
    """The ear of the highest score."""
    return max(prediction.ears.values(), key=lambda ear: ear.score)


def filter_detections(detections: dict[str, Landmarks], thresholds: Thresholds) -> Prediction:
    """Keep what is credible of the detections by name ("face", "left", "right"): a face, and ears that suit it.

    Of two ears in one place the better is kept. Without a face each ear's own shape says on which side it is. What has
    another name is kept beside a face if it scores as much as a face needs.
    """
    face = detections.get("face")
    if face is not None and (face.score < thresholds.face or not is_face(face)):
        face = None
    ears = {side: detections[side] for side in SIDES if side in detections}
    ears = {side: ear for side, ear in ears.items() if ear.score >= thresholds.ear and is_ear(ear, face)}
    if len(ears) == 2 and are_one_ear(ears["left"], ears["right"]):
        del ears[min(ears, key=lambda side: ears[side].score)]
    if face is None:
        ears = {side_of(ear.whole): ear for ear in sorted(ears.values(), key=lambda ear: ear.score)}
        return Prediction(None, ears)
    named = ("face", *SIDES)
    others = {name: each for name, each in detections.items() if name not in named and each.score >= thresholds.face}
    return Prediction(face, ears, others)


def better_ears(one: Prediction, other: Prediction) -> Prediction:
    """Of two predictions without a face that of the higher score, but never a fold of the other's ear."""
    if not one or not other:
        return one or other
    smaller, larger = sorted((one, other), key=lambda prediction: extent(best_ear(prediction).points))
    if is_fold(best_ear(smaller), best_ear(larger)):
        return larger
    return max(one, other, key=detection_score)


def select_detections(with_face: Prediction, ear_alone: Prediction, thresholds: Thresholds) -> Prediction:
    """Choose between the best prediction with a face and the best ears without one; either may be empty.

    - An ear that cannot be that head's own (amid the face, or too long or short for it) competes with the face: the
      higher score wins.
    - A sure ear beside a face without ears joins it. Of a profile the far half of the face is guessed, so the ear lies
      elsewhere than such a face says.
    - A sure ear elsewhere takes the place of a doubtful face.
    - In all other cases the face stays as it is.
    """
    face = with_face.face
    if face is None or not ear_alone:
        return with_face or ear_alone
    if not np.isfinite(inner_face(face.whole)).any():  # a network that knows the jaw alone says too little
        return with_face
    ear = best_ear(ear_alone)
    if lies_amid(ear, face) or not is_ear(ear, face):
        return max(with_face, ear_alone, key=detection_score)
    if with_face.ears or ear.score < thresholds.sure_ear:
        return with_face
    if lies_beside(ear, face):
        return replace(with_face, ears={side_of(ear.whole): ear})
    return ear_alone if face.score < thresholds.doubtful_face else with_face
