"""Pseudo-labels: the landmarks that a network reads in several augmented passes, kept where the passes agree.

A pass is a crop that is shifted, scaled, turned or mirrored a little. Where a network guesses, each pass guesses
another place. The mean of passes that agree is a better label than one pass (Radosavovic et al., "Data Distillation",
CVPR 2018). Several networks may read the passes. Faces are found by the first of them, ears lie in boxes that are
given.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data.augment import Warp, crop_warp
from data.boxes import Box, box_of, overlap_of
from data.formats import write_pts
from data.layouts import plain_name
from data.schemes import EAR, FACE, Scheme
from utils.common.cli import InputError
from utils.common.files import write_csv, write_json
from utils.common.images import decode_image, save_image
from utils.demo.detections import is_face
from utils.demo.journal import Answers, Journal
from utils.demo.prediction import Landmarks
from utils.demo.predictor import LandmarkPredictor
from utils.demo.proposals import write_annotated
from utils.demo.search import next_square, search
from utils.evaluation.metrics import normaliser_length

# How far a pass goes from the first, which is the square itself.
SHIFT, SCALE, ANGLE = 0.05, 1.15, 12.0  # of the square's side, times, degrees
IMAGES_AT_ONCE = 32
CROPS_AT_ONCE = 64  # a batch of more is no faster and takes more memory
MIDDLE_READINGS = 2  # of the image's middle, then of the face's own square

BOX_MARGIN = 0.15  # of a box's longer side: masks are drawn by hand, and a little more than the box is its ear
LEAST_ROOM = 0.4  # of an ear's longer side: so much of its surroundings must be in its image on each side
SMALLEST_EMPTY = 64  # pixels: the shorter side of an image without an ear
REASONS = ("the score is low", "the passes disagree", "the points leave the box")


@dataclass(frozen=True)
class Limits:
    """What a label must reach.

    - `score`: mean confidence of all readings, at least: passes, of each network.
    - `agreement`: mean distance of a reading's points from the mean of all, at most; per cent of the distance of
      the outer eye corners (face), or of the diagonal of the given box (ear).
    - `overlap`: intersection over union of the points' box and the given one, at least (ears alone).
    """

    score: float
    agreement: float
    overlap: float = 0.0


# Chosen on 60 images each of LFW (faces) and AWE (ears), looked at. The faces had a score of at least 0.8 and a spread
# of at most 3.8, and none was wrong. Wrong ears had a score below 0.75, a spread above 3 or an overlap below 0.5, and
# so had some right ones: narrow ears overlap little. Of 27 others that these limits accept one was wrong.
LIMITS = {FACE.task: Limits(0.7, 4.0), EAR.task: Limits(0.75, 3.0, 0.5)}


@dataclass(frozen=True, eq=False)
class Label:
    """The mean of the passes on one face or ear: `points` (landmarks, 2) in pixels; `score`, `spread` (what
    `Limits.agreement` bounds) and `overlap` as `Limits` has them. `box` is the one that was given, None for a face.
    """

    points: np.ndarray
    score: float
    spread: float
    overlap: float = 1.0
    box: Box | None = None

    def to_json(self) -> dict[str, Any]:
        """It as plain values, of which `of_json` makes it again."""
        numbers = {name: float(getattr(self, name)) for name in ("score", "spread", "overlap")}
        return numbers | {"points": self.points.tolist(), "box": None if self.box is None else self.box.tolist()}

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> Label:
        """One that `to_json` wrote."""
        box = None if values["box"] is None else np.array(values["box"])
        return cls(**values | {"points": np.array(values["points"]), "box": box})

    def refusal(self, limits: Limits) -> str:
        """Which of `REASONS` speaks against it; empty if none does."""
        wrong = (self.score < limits.score, self.spread > limits.agreement, self.overlap < limits.overlap)
        return next((reason for reason, holds in zip(REASONS, wrong, strict=True) if holds), "")


# --- passes -----------------------------------------------------------------------------------------------------------


def pass_squares(square: Warp, passes: int) -> list[Warp]:
    """The square, and `passes` - 1 others: shifted, scaled, turned a little, every second one mirrored.

    They are the same for every image. Mirrored ones cancel what a network sees too far to one side.
    """
    squares = [square]
    for k in range(1, passes):
        rng = np.random.default_rng(k)
        across, down = rng.uniform(-SHIFT, SHIFT, 2) * square.side
        squares.append(
            replace(
                square,
                centre=(square.centre[0] + across, square.centre[1] + down),
                side=square.side * math.exp(rng.uniform(-1, 1) * math.log(SCALE)),
                angle=square.angle + rng.uniform(-ANGLE, ANGLE),
                flip=bool(k % 2),
            )
        )
    return squares


def read_passes(
    predictors: Sequence[LandmarkPredictor],
    scheme: Scheme,
    squares: Sequence[tuple[np.ndarray, Warp]],
    passes: int,
) -> list[tuple[np.ndarray, float]]:
    """Of each square of an image all passes of all networks: points (readings, landmarks, 2) and the mean score."""
    every = [(image, each) for image, square in squares for each in pass_squares(square, passes)]
    networks = [iter(_read(predictor, scheme, every)) for predictor in predictors]
    answers = []
    for _ in squares:
        own = [next(read) for read in networks for _ in range(passes)]
        answers.append((np.stack([each.whole for each in own]), float(np.mean([each.score for each in own]))))
    return answers


def _read(
    predictor: LandmarkPredictor, scheme: Scheme, squares: Sequence[tuple[np.ndarray, Warp]]
) -> Iterator[Landmarks]:
    for first in range(0, len(squares), CROPS_AT_ONCE):
        yield from predictor.read_squares(scheme, squares[first : first + CROPS_AT_ONCE])


def spread_of(points: np.ndarray, length: float) -> float:
    """Mean distance of points (passes, landmarks, 2) from the mean of the passes, in per cent of a length in pixels."""
    apart = np.linalg.norm(points - points.mean(axis=0), axis=2).mean()
    return 100 * float(apart) / max(length, 1e-6)


def _images(paths: Sequence[Path], skipped: list[str]) -> Iterator[tuple[list[Path], list[np.ndarray]]]:
    """The images, some at once; what cannot be read is noted in `skipped`."""
    names: list[Path] = []
    images: list[np.ndarray] = []
    for path in tqdm(paths, unit="image", leave=False, dynamic_ncols=True, disable=None):
        try:
            images.append(decode_image(path))
            names.append(path)
        except InputError as problem:
            skipped.append(str(problem))
        if len(images) == IMAGES_AT_ONCE:
            yield names, images
            names, images = [], []
    if images:
        yield names, images


# --- faces ------------------------------------------------------------------------------------------------------------


def label_faces(
    predictors: Sequence[LandmarkPredictor], paths: Sequence[Path], passes: int, skipped: list[str]
) -> Iterator[tuple[Path, Label | None]]:
    """The face of each image, None where the first network finds none. All of them read it.

    In datasets of faces the face is in the image's middle, and reading there is many times faster than the search. Only
    where no sure face is there the image is searched.
    """
    for names, images in _images(paths, skipped):
        faces = list(find_faces(predictors[0], images))
        found = [(image, next_square(face)) for image, face in zip(images, faces, strict=True) if face is not None]
        answers = iter(read_passes(predictors, FACE, found, passes))
        for path, face in zip(names, faces, strict=True):
            yield path, None if face is None else _face_label(*next(answers))


def _face_label(points: np.ndarray, score: float) -> Label:
    mean = points.mean(axis=0)
    return Label(mean, score, spread_of(points, float(normaliser_length(mean[None], FACE)[0])))


def find_faces(predictor: LandmarkPredictor, images: Sequence[np.ndarray]) -> Iterator[Landmarks | None]:
    """The face of each image: in its middle where a sure one is there, else found by the search."""
    squares = [
        Warp(((image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2), float(min(image.shape[:2]))) for image in images
    ]
    faces: list[Landmarks] = []
    for _ in range(MIDDLE_READINGS):
        faces = list(_read(predictor, FACE, list(zip(images, squares, strict=True))))
        squares = [next_square(face) for face in faces]
    for image, face in zip(images, faces, strict=True):
        sure = face.score >= predictor.thresholds.sure_face and is_face(face)
        yield face if sure else search(predictor, image).face


# --- ears in boxes ----------------------------------------------------------------------------------------------------


def label_ears(
    predictors: Sequence[LandmarkPredictor],
    paths: Sequence[Path],
    boxes: dict[str, list[Box]],
    passes: int,
    skipped: list[str],
) -> Iterator[tuple[Path, list[Label]]]:
    """Of each image that has boxes the label of the ear in each. Raises `InputError` for a box outside its image."""
    known = [path for path in paths if plain_name(path.name) in boxes]
    for names, images in _images(known, skipped):
        ours = [boxes[plain_name(path.name)] for path in names]
        for path, image, some in zip(names, images, ours, strict=True):
            wide, high = image.shape[1], image.shape[0]
            if any((box[2:] > (wide, high)).any() for box in some):
                raise InputError(f"--boxes: a box of {path} leaves its {wide} x {high} px; measure the boxes in it")
        squares = [
            (image, crop_warp(EAR, box.reshape(2, 2))) for image, some in zip(images, ours, strict=True) for box in some
        ]
        answers = iter(read_passes(predictors, EAR, squares, passes))
        for path, some in zip(names, ours, strict=True):
            yield path, [_ear_label(*next(answers), box) for box in some]


def _ear_label(points: np.ndarray, score: float, box: Box) -> Label:
    mean = points.mean(axis=0)
    diagonal = float(np.linalg.norm(box[2:] - box[:2]))
    return Label(mean, score, spread_of(points, diagonal), overlap_of(box_of(mean), box), box)


def free_rectangles(shape: Sequence[int], boxes: Sequence[Box]) -> list[np.ndarray]:
    """The largest rectangles of an image of this `shape` (height, width, ...) that touch none of the boxes.

    Each is left, top, right, bottom in whole pixels, the right and lower ends excluded. A box keeps `BOX_MARGIN` free.
    """
    height, width = shape[:2]
    kept = []
    for box in boxes:
        margin = BOX_MARGIN * (box[2:] - box[:2]).max()
        kept.append(np.concatenate([np.floor(box[:2] + 0.5 - margin), np.ceil(box[2:] + 0.5 + margin)]).astype(int))
    taken = np.array(kept, dtype=int).reshape(-1, 4)
    edges = [
        sorted({first, *(edge for edge in taken[:, k].tolist() if 0 < edge < last)})
        for k, first, last in ((2, 0, width), (0, width, width), (3, 0, height), (1, height, height))
    ]
    found = []
    for left in edges[0]:
        for right in (edge for edge in edges[1] if edge > left):
            for top in edges[2]:
                for bottom in (edge for edge in edges[3] if edge > top):
                    hit = (taken[:, :2] < (right, bottom)).all(axis=1) & (taken[:, 2:] > (left, top)).all(axis=1)
                    if not hit.any():
                        found.append(np.array([left, top, right, bottom]))
    return found


def empty_part(shape: Sequence[int], boxes: Sequence[Box]) -> np.ndarray | None:
    """The largest rectangle without an ear, by its shorter side; None where it is too small to show anything."""
    rectangles = free_rectangles(shape, boxes)
    if not rectangles:
        return None
    best = max(rectangles, key=lambda each: (min(each[2:] - each[:2]), max(each[2:] - each[:2])))
    return best if min(best[2:] - best[:2]) >= SMALLEST_EMPTY else None


def part_around(shape: Sequence[int], ear: Box, unknown: Sequence[Box]) -> np.ndarray | None:
    """The largest rectangle of an image with an ear and its surroundings, and without the boxes `unknown`.

    None where one of them is too near.
    """
    room = LEAST_ROOM * (ear[2:] - ear[:2]).max()
    low = np.maximum(ear[:2] + 0.5 - room, 0)
    high = np.minimum(ear[2:] + 0.5 + room, (shape[1], shape[0]))
    around = [each for each in free_rectangles(shape, unknown) if (each[:2] <= low).all() and (each[2:] >= high).all()]
    return max(around, key=lambda each: (each[2:] - each[:2]).prod(), default=None)


# --- made -------------------------------------------------------------------------------------------------------------


def make_faces(
    predictors: Sequence[LandmarkPredictor],
    paths: Sequence[Path],
    passes: int,
    limits: Limits,
    out: Path,
    journal: Journal,
) -> int:
    """Label the faces of images, write the accepted ones as a dataset of faces, and print how many there are.

    What the `journal` knows is not looked for again. Returns the exit status: 1 if an image cannot be read, which is
    named. Raises `InputError` where no label is accepted.
    """
    skipped: list[str] = []

    def look(paths: Sequence[Path]) -> Answers:
        for path, label in label_faces(predictors, paths, passes, skipped):
            yield path, [] if label is None else [label.to_json()]

    found = list(journal.answers(paths, look))
    faces = [(path, Label.of_json(label)) for path, labels in found for label in labels]
    refused = Counter(label.refusal(limits) for _, label in faces)
    kept = [(path, label) for path, label in faces if not label.refusal(limits)]
    _report(skipped, f"{len(paths)} images: {refused.pop('', 0)} faces accepted, {len(found) - len(faces)} without one")
    _report_refused(refused)
    if not kept:
        raise InputError(f"--faces: no label is accepted in {len(paths)} images; see what is refused, and the limits")
    for path, label in tqdm(kept, unit="image", leave=False, dynamic_ncols=True, disable=None):
        write_annotated(out, path.stem, path, label.points)
    print(f"{len(kept)} faces: --data {out}")
    return int(bool(skipped))


def make_ears(
    predictors: Sequence[LandmarkPredictor],
    paths: Sequence[Path],
    boxes: dict[str, list[Box]],
    passes: int,
    limits: Limits,
    out: Path,
    journal: Journal,
) -> int:
    """Label the ears in boxes, write the accepted ones as a dataset of ears, and print how many there are.

    As `make_faces`; images without a box are left out, as nobody looked for their ears.
    """
    skipped: list[str] = []

    def look(paths: Sequence[Path]) -> Answers:
        for path, labels in label_ears(predictors, paths, boxes, passes, skipped):
            yield path, [label.to_json() for label in labels]

    found = [(path, list(map(Label.of_json, labels))) for path, labels in journal.answers(paths, look)]
    if not found:
        raise InputError(f"--boxes: none of its photos is among these {len(paths)} images, or none can be read")
    refused = Counter(label.refusal(limits) for _, every in found for label in every)
    accepted = refused.pop("", 0)
    unboxed = sum(plain_name(path.name) not in boxes for path in paths)
    _report(skipped, f"{sum(len(every) for _, every in found)} boxes in {len(found)} images: {accepted} accepted")
    _report_refused(refused)
    if unboxed:
        print(f"  {unboxed} images without a box left out")
    if not accepted:
        raise InputError(f"--boxes: no label is accepted in {len(found)} images; see what is refused, and the limits")
    written = write_ears(out, found, limits)
    if written["too near"]:
        print(f"  {written['too near']} accepted left out: a box without a label is too near")
    print(f"{written['ears']} ears: --data {out}")
    if written["empty"]:
        print(f"{written['empty']} images without an ear: --negatives {out / 'NoEar'}")
    return int(bool(skipped))


def _report(skipped: Sequence[str], line: str) -> None:
    for problem in skipped:
        print(f"skipped: {problem}", file=sys.stderr)
    print(line)


def _report_refused(refused: Counter[str]) -> None:
    for reason in REASONS:
        if refused[reason]:
            print(f"  {refused[reason]} refused: {reason}")


def write_ears(out: Path, labels: Sequence[tuple[Path, list[Label]]], limits: Limits) -> Counter[str]:
    """The accepted ears as a dataset, `CollectionA/train/`, and images without an ear, `NoEar/`.

    All ears of an image are boxed, so what is no box shows none. An ear's image is cut where a box has no accepted
    label, or it would teach that no ear is there. Notes say that all ears are annotated, and where the second is;
    `identities.csv` says which are of one image. Returns how many "ears", "too near" ones and "empty" parts there are.
    """
    written: Counter[str] = Counter()
    people = []
    for path, every in tqdm(labels, unit="image", leave=False, dynamic_ncols=True, disable=None):
        image = decode_image(path)
        accepted = [k for k, label in enumerate(every) if not label.refusal(limits)]
        for k in accepted:
            others = sorted(
                (other for other in accepted if other != k),
                key=lambda other: np.linalg.norm(every[other].points.mean(axis=0) - every[k].points.mean(axis=0)),
            )[: EAR.instances - 1]
            unknown = [every[other].box for other in range(len(every)) if other not in (k, *others)]
            part = part_around(image.shape, every[k].box, unknown)
            if part is None:
                written["too near"] += 1
                continue
            name = f"{path.stem}_ear{k + 1}"
            inside = [every[other] for other in others if _touches(every[other].box, part)]
            notes = {
                "all_ears_annotated": True,
                "other_ears": [(other.points - part[:2]).round(3).tolist() for other in inside],
            }
            folder = out / "CollectionA" / "train"
            write_json(folder / f"{name}.json", notes)
            if part.tolist() == [0, 0, image.shape[1], image.shape[0]]:
                write_annotated(folder, name, path, every[k].points)
            else:
                write_pts(folder / f"{name}.pts", every[k].points - part[:2])
                save_image(folder / f"{name}.png", _cut(image, part))
            people.append((name, path.stem))
            written["ears"] += 1
        part = empty_part(image.shape, [label.box for label in every])
        if part is not None:
            place = out / "NoEar" / f"{path.stem}_empty.jpg"
            write_json(place.with_suffix(".json"), {"ear_in_view": False})
            save_image(place, _cut(image, part))
            written["empty"] += 1
    if people:
        write_csv(out / "identities.csv", [("name", "identity"), *people])
    return written


def _touches(box: Box, part: np.ndarray) -> bool:
    """Whether a rectangle of `free_rectangles` shows any of a box."""
    return bool((box[:2] + 0.5 < part[2:]).all() and (box[2:] + 0.5 > part[:2]).all())


def _cut(image: np.ndarray, part: np.ndarray) -> np.ndarray:
    left, top, right, bottom = part.tolist()
    return np.ascontiguousarray(image[top:bottom, left:right])
