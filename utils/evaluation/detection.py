"""Detection as a user meets it: faces and ears found, missed and drawn where none is, on whole images.

A threshold decides how the search goes on, so each is tried with a search of its own (`Sweep.at`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from data.boxes import box_of, overlap_of, read_boxes
from data.datasets import Sample
from data.layouts import files_in, plain_name
from data.schemes import EAR, FACE
from utils.common.cli import InputError
from utils.common.images import IMAGE_SUFFIXES, decode_image
from utils.evaluation.scoring import Answer, Answers

LEAST_OVERLAP = 0.5  # IoU of a drawn face's or ear's box with a true one, from which on it is right
# Above the score of a sure face (0.8) the search does not end at it: those thresholds would measure another search.
FACE_THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(4, 17))  # 0.2 to 0.8
EAR_THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(6, 19))  # 0.3 to 0.9


@dataclass(frozen=True)
class Truth:
    """What is known of the faces, or the ears, of an image.

    - `boxes` (n, 4): left, top, right, bottom of each, pixels; None: there is one, and nobody says where.
    - `complete`: whether these are all, so that any other that is drawn is wrong.
    """

    boxes: np.ndarray | None
    complete: bool = True


@dataclass(frozen=True)
class Photo:
    """An image, the flag that it came with ("faces", "ears", "boxes", "negatives", "people"), and truth by task."""

    image: Path
    kind: str
    truth: Mapping[str, Truth]


@dataclass(frozen=True)
class Judged:
    """What an image got at a threshold: how many are there, found (`right`) and drawn elsewhere (`wrong`).

    `answers` are what was drawn, `hits` says of each whether it is right.
    """

    photo: Photo
    task: str
    threshold: float
    true: int
    right: int
    wrong: int
    answers: tuple[Answer, ...]
    hits: tuple[bool, ...]


@dataclass(frozen=True)
class Point:
    """A curve's point: a task's figures at a threshold, fractions; None where there is nothing to measure it on.

    - `recall`: of the annotated faces or ears, those found. `precision`: of those drawn, the right ones.
    - `negatives`: of the images without people, those that get one. `people`: of those with one, those that get it.
    """

    task: str
    threshold: float
    true: int
    right: int
    wrong: int
    recall: float | None
    precision: float | None
    negatives: float | None
    people: float | None

    @property
    def line(self) -> str:
        """The figures in one line, in per cent."""
        few, one = (f"{self.task}s", "a face" if self.task == FACE.task else "an ear")
        parts = [
            f"{100 * value:.1f} % of {what}"
            for value, what in (
                (self.recall, f"{few} found"),
                (self.precision, f"drawn {few} right"),
                (self.people, f"images of --people get {one}"),
                (self.negatives, f"images without people get {one}"),
            )
            if value is not None
        ]
        return f"{self.task} at {self.threshold:g}: " + ", ".join(parts)


class Sweep(Protocol):
    """What finds faces and ears at given thresholds: `utils.demo.sweep.SweepingPredictor` is one."""

    def at(self, image: np.ndarray, face: float, ear: float) -> Answers:
        """Look at an image (height, width, 3) uint8 RGB."""


# --- images with known content ----------------------------------------------------------------------------------------


def annotated_photos(samples: Iterable[Sample], task: str, landmarks: Sequence[int]) -> list[Photo]:
    """Images with points of a task; the box is that of the `landmarks` that a network knows.

    Another face in view counts as wrong, so their precision is a lower bound. Another ear counts as wrong only where
    all ears are annotated.
    """
    by_image: dict[Path, list[Sample]] = {}
    for sample in samples:
        by_image.setdefault(sample.image, []).append(sample)
    photos = []
    for image, group in by_image.items():
        points = [sample.points for sample in group]
        if len(group) == 1 and group[0].others is not None:
            points += list(group[0].others)
        complete = task == FACE.task or all(sample.others is not None for sample in group)
        boxes = np.stack([box_of(each[list(landmarks)]) for each in points])
        kind = "faces" if task == FACE.task else "ears"
        photos.append(Photo(image, kind, {task: Truth(boxes, complete)}))
    return photos


def boxed_photos(path: Path) -> list[Photo]:
    """Images of a CSV of boxes of all their ears (`read_boxes`), which lie beside it.

    Raises `InputError` for an image that does not.
    """
    beside = {plain_name(image.name): image for image in path.parent.iterdir()}
    photos = []
    for name, boxes in read_boxes(path).items():
        if name not in beside:
            raise InputError(f"--boxes {path}: names {name}, which is not beside it")
        photos.append(Photo(beside[name], "boxes", {EAR.task: Truth(np.stack(boxes))}))
    return photos


def folder_photos(folder: Path, kind: str) -> list[Photo]:
    """The images below a folder, without people ("negatives") or with one ("people"); `InputError` if it has none."""
    nothing = Truth(np.zeros((0, 4), np.float32))
    truth = {FACE.task: nothing, EAR.task: nothing} if kind == "negatives" else {FACE.task: Truth(None)}
    images = [path for path in files_in(folder, recursive=True) if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise InputError(f"--{kind} {folder}: no image in it")
    return [Photo(image, kind, truth) for image in images]


# --- judging ----------------------------------------------------------------------------------------------------------


def judge(photo: Photo, task: str, threshold: float, found: Answers) -> Judged:
    """Count what was drawn against what is known of the task; each true box has one answer at most, the best."""
    truth = photo.truth[task]
    answers: list[Answer] = list(found.ears.values())
    if task == FACE.task:
        answers = [] if found.face is None else [found.face]
    if truth.boxes is None:
        hits = [True] * len(answers)
        return Judged(photo, task, threshold, 1, min(len(answers), 1), 0, tuple(answers), tuple(hits))
    hits = [False] * len(answers)
    pairs = [
        (overlap_of(box_of(answer.points), box), a, b)
        for a, answer in enumerate(answers)
        for b, box in enumerate(truth.boxes)
    ]
    taken: set[int] = set()
    for value, a, b in sorted(pairs, reverse=True):
        if value >= LEAST_OVERLAP and not hits[a] and b not in taken:
            hits[a] = True
            taken.add(b)
    wrong = hits.count(False) if truth.complete else 0
    return Judged(photo, task, threshold, len(truth.boxes), hits.count(True), wrong, tuple(answers), tuple(hits))


def measure(
    predictor: Sweep, photos: Sequence[Photo], tasks: Sequence[str], chosen: Mapping[str, float]
) -> list[Judged]:
    """Look at every image at each threshold of a task, the other task's being the chosen one."""
    grids = {FACE.task: FACE_THRESHOLDS, EAR.task: EAR_THRESHOLDS}
    judged = []
    for photo in tqdm(photos, unit="image", leave=False, dynamic_ncols=True, disable=None):
        image = decode_image(photo.image)
        for task in tasks:
            if task not in photo.truth:
                continue
            for threshold in sorted({*grids[task], chosen[task]}):
                found = predictor.at(image, **{**chosen, task: threshold})
                judged.append(judge(photo, task, threshold, found))
    return judged


def curves(judged: Iterable[Judged]) -> dict[str, list[Point]]:
    """The curve of each task, faces first, by rising threshold."""
    by_threshold: dict[tuple[str, float], list[Judged]] = {}
    for each in judged:
        by_threshold.setdefault((each.task, each.threshold), []).append(each)
    found: dict[str, list[Point]] = {}
    for task, threshold in sorted(by_threshold, key=lambda key: (key[0] != FACE.task, key[1])):
        found.setdefault(task, []).append(_point(task, threshold, by_threshold[task, threshold]))
    return found


def _point(task: str, threshold: float, judged: list[Judged]) -> Point:
    located = [each for each in judged if each.photo.kind != "people"]
    empty = [each.wrong > 0 for each in judged if each.photo.kind == "negatives"]
    people = [each.right > 0 for each in judged if each.photo.kind == "people"]
    true, right, wrong = (sum(getattr(each, name) for each in located) for name in ("true", "right", "wrong"))
    return Point(
        task,
        threshold,
        true,
        right,
        wrong,
        _ratio(right, true),
        _ratio(right, right + wrong) if true else None,
        _ratio(sum(empty), len(empty)),
        _ratio(sum(people), len(people)),
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def negatives_with_anything(judged: Iterable[Judged], chosen: Mapping[str, float]) -> float | None:
    """Of the images without people, the fraction that gets a face or an ear at the chosen thresholds."""
    drawn: dict[Path, bool] = {}
    for each in judged:
        if each.photo.kind == "negatives" and each.threshold == chosen[each.task]:
            drawn[each.photo.image] = drawn.get(each.photo.image, False) or each.wrong > 0
    return _ratio(sum(drawn.values()), len(drawn))
