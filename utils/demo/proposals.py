"""Ears and faces that a predictor finds in real images, judged by a person, as a dataset."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data.augment import Warp, crop_warp, warp_image
from data.boxes import EDGES
from data.drawing import contact_sheet, crop_with_landmarks, write_label
from data.formats import write_pts
from data.layouts import plain_name
from data.schemes import EAR, FACE, Scheme
from utils.common.cli import InputError
from utils.common.files import replacing, write_csv, write_json
from utils.common.images import IMAGE_SUFFIXES, decode_image, save_image
from utils.common.tables import read_table
from utils.demo.journal import Answers, Journal
from utils.demo.prediction import SIDES
from utils.demo.predictor import LandmarkPredictor
from utils.demo.sources import find_sources
from utils.demo.together import find_in_images

COLUMNS = ("number", "image", "side", "score", *EDGES, "verdict")
VERDICTS = ("right", "none")
TABLE = "verdicts.csv"
A_SHEET = (4, 7)  # columns, rows
CELL = 160  # pixels a side of an image on a sheet
WITHOUT_SIDES = 3.2  # side of an image without an ear, in longer sides of the box of what was taken for one
SAME = 0.05  # of a box's diagonal: further apart, an ear is not the one that was judged
LONG_STEM = 240  # bytes: a side and an ending are added to it


@dataclass(frozen=True)
class Proposal:
    """An ear that the network found in an image, on one `side` of the person: `points` (55, 2) in pixels, its score.

    Or a face: `side` is "face", `points` (68, 2).
    """

    image: Path
    side: str
    points: np.ndarray
    score: float

    @property
    def box(self) -> np.ndarray:
        """Left, top, right, bottom of the points."""
        return np.concatenate([self.points.min(axis=0), self.points.max(axis=0)])


@dataclass(frozen=True)
class Verdict:
    """What a person said of the ear in a box (left, top, right, bottom): "right" or "none"."""

    word: str
    box: np.ndarray

    def is_about(self, proposal: Proposal) -> bool:
        """Whether an ear lies where the judged one lay; other weights draw others."""
        diagonal = np.linalg.norm(self.box[2:] - self.box[:2])
        return bool(np.abs(proposal.box - self.box).mean() <= SAME * diagonal)


Verdicts = dict[tuple[str, str], Verdict]  # by the image's file name and the side


# --- proposing --------------------------------------------------------------------------------------------------------


def find_images(names: Sequence[str]) -> list[Path]:
    """The images among files, folders and globs. Raises `InputError` where the table could not tell two apart."""
    images = [Path(source.name) for source in find_sources(names) if source.kind == "image"]
    if not images:
        raise InputError(f"{names[0]}: no images in it")
    stems: dict[str, Path] = {}
    for image in images:
        other = stems.setdefault(image.stem.casefold(), image)
        if other != image:
            raise InputError(f"{image}: has the same name as {other}; rename one")
        name = os.fsencode(image.stem)
        if len(name) > LONG_STEM or name.decode("utf-8", "ignore") != image.stem:
            raise InputError(f"{image}: its name is too long or not in UTF-8; rename it")
        if Path(image.stem).suffix in (".face", ".ear_left", ".ear_right"):
            raise InputError(f"{image}: in a dataset such a name says whose the points are; rename it")
    return images


def propose(
    predictor: LandmarkPredictor,
    images: Sequence[Path],
    skipped: list[str],
    journal: Journal,
    scheme: Scheme = EAR,
    batch: int = 1,
) -> Iterator[Proposal]:
    """Every ear, or face, that is found in the images, in their order; what cannot be read is noted in `skipped`.

    So many images are searched at once as `batch` says. What the `journal` knows is not looked for again.
    """

    def look(images: Sequence[Path]) -> Answers:
        with tqdm(total=len(images), unit="image", leave=False, dynamic_ncols=True, disable=None) as bar:
            for image, answer in find_in_images(predictor, images, decode_image, batch):
                bar.update()
                if isinstance(answer, InputError):
                    skipped.append(str(answer))
                    continue
                found = answer.prediction
                faces = {} if found.face is None else {FACE.task: found.face}
                named = sorted((faces if scheme is FACE else found.ears).items())
                yield image, [{"side": n, "points": each.whole.tolist(), "score": each.score} for n, each in named]

    for image, found in journal.answers(images, look):
        yield from (Proposal(image, each["side"], np.array(each["points"]), each["score"]) for each in found)


def write_proposals(out: Path, proposals: Sequence[Proposal]) -> None:
    """The sheets (each ear as it is, and with its points, doubtful ones first) and the table to fill in."""
    proposals = sorted(proposals, key=lambda proposal: proposal.score)
    a_sheet = A_SHEET[0] * A_SHEET[1]
    for number, first in enumerate(range(0, len(proposals), a_sheet)):
        cells = []
        for k, proposal in enumerate(proposals[first : first + a_sheet], start=first):
            image, warp = decode_image(proposal.image), crop_warp(EAR, proposal.points)
            views = [
                crop_with_landmarks(image, warp, layers, EAR, CELL) for layers in ([], [(proposal.points, None, None)])
            ]
            cells.append(write_label(np.hstack(views), f"{k}  {proposal.side}  {proposal.score:.2f}"))
        save_image(out / f"sheet_{number:02d}.png", contact_sheet(cells, A_SHEET[0]))
    rows = [
        (k, proposal.image.name, proposal.side, f"{proposal.score:.3f}", *(f"{edge:.1f}" for edge in proposal.box), "")
        for k, proposal in enumerate(proposals)
    ]
    write_csv(out / TABLE, [COLUMNS, *rows])


# --- judged -----------------------------------------------------------------------------------------------------------


def read_verdicts(path: Path) -> Verdicts:
    """(image's file name, side) -> verdict, of the lines that have one. Raises `InputError` that names a wrong line."""
    verdicts: Verdicts = {}
    for where, row in read_table("--verdicts", path, COLUMNS, ("image", "side", *EDGES, "verdict")):
        word = row["verdict"].lower()
        if not word:
            continue
        if word not in VERDICTS:
            raise InputError(f"{where}: {row['verdict']!r} is no verdict; write {' or '.join(VERDICTS)}, or nothing")
        try:
            box = np.array([float(row[edge].replace(",", ".")) for edge in EDGES])
        except ValueError as problem:
            raise InputError(f"{where}: the box must be four numbers, as it was written") from problem
        key = plain_name(row["image"]), row["side"]
        if row["side"] not in SIDES or key in verdicts:
            raise InputError(f"{where}: needs a side ({' or '.join(SIDES)}), and each ear once")
        verdicts[key] = Verdict(word, box)
    if not verdicts:
        raise InputError(f"--verdicts {path}: its column verdict is empty; write {' or '.join(VERDICTS)} into it")
    return verdicts


def judged_images(names: Sequence[str], verdicts: Verdicts) -> list[Path]:
    """The images among files, folders and globs that have a verdict. Raises `InputError` if one is not among them."""
    images = find_images(names)
    judged = {name for name, _ in verdicts}
    missing = sorted(judged - {image.name for image in images})
    if missing:
        raise InputError(f"--verdicts: {missing[0]} is judged there and not among the images; name its folder")
    return [image for image in images if image.name in judged]


def write_dataset(out: Path, proposals: Sequence[Proposal], verdicts: Verdicts) -> Counter[str]:
    """The judged ears as images: `CollectionA/train/` with points, `NoEar/` without; how many of each verdict.

    `identities.csv` says which are of one image, so that no split parts them. Left out are ears that are not where the
    judged ones were, and empty places so near to another ear that their image would show it.
    """
    written: Counter[str] = Counter()
    people = []
    for proposal in proposals:
        verdict = verdicts.get((plain_name(proposal.image.name), proposal.side))
        if verdict is None or not verdict.is_about(proposal):
            continue
        image, name = proposal.image, f"{proposal.image.stem}_{proposal.side}"
        if verdict.word == "right":
            write_annotated(out / "CollectionA" / "train", name, image, proposal.points)
            people.append((name, image.stem))
        else:
            low, high = proposal.box[:2], proposal.box[2:]
            square = Warp(tuple((low + high) / 2), float((high - low).max() * WITHOUT_SIDES))
            others = [other for other in proposals if other.image == image and other.side != proposal.side]
            if any((np.abs(other.points - square.centre) <= square.side / 2).all(axis=1).any() for other in others):
                continue
            size = max(32, round(square.side))
            place = out / "NoEar" / f"{name}.jpg"
            write_json(place.with_suffix(".json"), {"ear_in_view": False})
            save_image(place, warp_image(decode_image(image), square.matrix(size), size))
        written[verdict.word] += 1
    if people:
        write_csv(out / "identities.csv", [("name", "identity"), *people])
    return written


def write_annotated(folder: Path, name: str, image: Path, points: np.ndarray) -> None:
    """A copy of an image, as it is where datasets may hold such files (else as PNG), and its points beside it."""
    known = image.suffix.lower() in IMAGE_SUFFIXES
    place = folder / f"{name}{image.suffix.lower() if known else '.png'}"
    write_pts(place.with_suffix(".pts"), points)
    if known:  # with its EXIF rotation
        with replacing(place) as part:
            part.write_bytes(image.read_bytes())
    else:
        save_image(place, decode_image(image))


def write_faces(out: Path, proposals: Sequence[Proposal]) -> None:
    """Images with the points of the faces that were found in them, as a dataset of faces."""
    for proposal in proposals:
        write_annotated(out, proposal.image.stem, proposal.image, proposal.points)
