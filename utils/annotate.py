"""Real photos to train on without placing a point.

  python -m utils.annotate WEIGHTS photos/ --out runs/looked_at       # draws the ears it finds, lists them in a table
  python -m utils.annotate WEIGHTS photos/ --out runs/mine --verdicts runs/looked_at/verdicts.csv
  python -m utils.annotate WEIGHTS photos/ --out runs/faces --faces   # faces that a student is not to forget

Ears: a network proposes, a person looks and judges. The first command writes numbered pictures and verdicts.csv, one
line an ear. Look at the pictures and write into the last column "right" (every part lies where it should) or "none"
(there is no ear to be seen); what stays empty is left out. The second makes ear photos with points of the right ones,
and photos without an ear of the others. No verdict makes an ear more exact than it was drawn: they teach a network on
which photos to be sure, and where not to see an ear.

Faces: the third makes face photos with the points that the network finds. They tell where faces are, and not more; that
is enough for `train_face2ear.py --replay runs/faces --face-weight 0`, where the teacher says the rest.
"""

from __future__ import annotations

import csv
import io
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data.augment import Warp, crop_warp, decode_photo, warp_photo
from data.datasets import PHOTO_SUFFIXES, spread
from data.formats import write_pts
from data.schemes import EAR, FACE, Scheme
from utils.drawing import contact_sheet, crop_with_landmarks, save_picture, write_label
from utils.errors import CommandLine, InputError, positive_int, run_main
from utils.files import check_writable, replacing, write_csv, write_json
from utils.predict import SIDES, LandmarkPredictor
from utils.sources import find_sources
from utils.startup import PRECISIONS

BOX = ("left", "top", "right", "bottom")
COLUMNS = ("number", "photo", "side", "score", *BOX, "verdict")
VERDICTS = ("right", "none")
TABLE = "verdicts.csv"
A_SHEET = (4, 7)  # columns, rows
CELL = 160  # pixels a side of a picture on a sheet
WITHOUT_SIDES = 3.2  # side of a photo without an ear, in longer sides of the box of what was taken for one
SAME = 0.05  # of a box's diagonal: further apart, an ear is not the one that was judged
LONG_STEM = 240  # bytes: a side and an ending are added to it


@dataclass(frozen=True)
class Proposal:
    """An ear that the network found in a photo, on one `side` of the person: `points` (55, 2) in pixels, its score.

    Or a face: `side` is "face", `points` (68, 2).
    """

    photo: Path
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


# --- proposing --------------------------------------------------------------------------------------------------------


def find_photos(names: Sequence[str]) -> list[Path]:
    """The pictures among files, folders and globs. Raises `InputError` where the table could not tell two apart."""
    photos = [source.path for source in find_sources(names) if source.kind == "picture"]
    if not photos:
        raise InputError(f"{names[0]}: no pictures in it")
    stems: dict[str, Path] = {}
    for photo in photos:
        other = stems.setdefault(photo.stem.casefold(), photo)
        if other != photo:
            raise InputError(f"{photo}: has the same name as {other}; rename one")
        name = os.fsencode(photo.stem)
        if len(name) > LONG_STEM or name.decode("utf-8", "ignore") != photo.stem:
            raise InputError(f"{photo}: its name is too long or not in UTF-8; rename it")
        if Path(photo.stem).suffix in (".face", ".ear_left", ".ear_right"):
            raise InputError(f"{photo}: in a dataset such a name says whose the points are; rename it")
    return photos


def propose(
    predictor: LandmarkPredictor, photos: Sequence[Path], skipped: list[str], scheme: Scheme = EAR
) -> Iterator[Proposal]:
    """Every ear, or face, that is found in the photos, in their order; what cannot be read is noted in `skipped`."""
    for photo in tqdm(photos, unit="photo", leave=False, dynamic_ncols=True, disable=None):
        try:
            found = predictor(decode_photo(photo))
        except InputError as problem:
            skipped.append(str(problem))
            continue
        faces = {} if found.face is None else {FACE.task: found.face}
        for name, landmarks in sorted((faces if scheme is FACE else found.ears).items()):
            yield Proposal(photo, name, landmarks.whole, landmarks.score)


def write_proposals(out: Path, proposals: Sequence[Proposal]) -> None:
    """The sheets (each ear as it is, and with its points, doubtful ones first) and the table to fill in."""
    proposals = sorted(proposals, key=lambda proposal: proposal.score)
    a_sheet = A_SHEET[0] * A_SHEET[1]
    for number, first in enumerate(range(0, len(proposals), a_sheet)):
        cells = []
        for k, proposal in enumerate(proposals[first : first + a_sheet], start=first):
            photo, warp = decode_photo(proposal.photo), crop_warp(EAR, proposal.points)
            views = [
                crop_with_landmarks(photo, warp, layers, EAR, CELL) for layers in ([], [(proposal.points, None, None)])
            ]
            cells.append(write_label(np.hstack(views), f"{k}  {proposal.side}  {proposal.score:.2f}"))
        save_picture(out / f"sheet_{number:02d}.png", contact_sheet(cells, A_SHEET[0]))
    rows = [
        (k, proposal.photo.name, proposal.side, f"{proposal.score:.3f}", *(f"{edge:.1f}" for edge in proposal.box), "")
        for k, proposal in enumerate(proposals)
    ]
    write_csv(out / TABLE, [COLUMNS, *rows])


# --- judged -----------------------------------------------------------------------------------------------------------


def read_verdicts(path: Path) -> dict[tuple[str, str], Verdict]:
    """(photo's file name, side) -> verdict, of the lines that have one. Raises `InputError` that names a wrong line.

    Takes what spreadsheets make of the table: commas, semicolons or tabs between the columns, capitals, empty lines.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"--verdicts {path}: cannot be read; save it as CSV in UTF-8") from problem
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=separator))
    except csv.Error as problem:
        raise InputError(f"--verdicts {path}: cannot be read as a table: {problem}") from problem
    names = [name.strip().lower() for name in rows[0]] if rows else []
    if not {"photo", "side", *BOX, "verdict"} <= set(names):
        raise InputError(f"--verdicts {path}: its first line must name the columns {', '.join(COLUMNS)}")
    verdicts: dict[tuple[str, str], Verdict] = {}
    for line, values in enumerate(rows[1:], start=2):
        row = {name: value.strip() for name, value in zip(names, values, strict=False)}
        word = row.get("verdict", "").lower()
        if not word:
            continue
        where = f"--verdicts {path}, line {line}"
        if word not in VERDICTS:
            raise InputError(f"{where}: {row['verdict']!r} is no verdict; write {' or '.join(VERDICTS)}, or nothing")
        try:
            box = np.array([float(row[edge].replace(",", ".")) for edge in BOX])
        except ValueError as problem:
            raise InputError(f"{where}: the box must be four numbers, as it was written") from problem
        key = row["photo"], row["side"]
        if row["side"] not in SIDES or key in verdicts:
            raise InputError(f"{where}: needs a side ({' or '.join(SIDES)}), and each ear once")
        verdicts[key] = Verdict(word, box)
    if not verdicts:
        raise InputError(f"--verdicts {path}: its column verdict is empty; write {' or '.join(VERDICTS)} into it")
    return verdicts


def write_dataset(out: Path, proposals: Sequence[Proposal], verdicts: dict[tuple[str, str], Verdict]) -> Counter:
    """The judged ears as photos: `CollectionA/train/` with points, `NoEar/` without; how many of each verdict.

    `identities.csv` says which are of one photo, so that no split parts them. Left out are ears that are not where the
    judged ones were, and empty places so near to another ear that their photo would show it.
    """
    written: Counter = Counter()
    people = []
    for proposal in proposals:
        verdict = verdicts.get((proposal.photo.name, proposal.side))
        if verdict is None or not verdict.is_about(proposal):
            continue
        photo, name = proposal.photo, f"{proposal.photo.stem}_{proposal.side}"
        if verdict.word == "right":
            write_annotated(out / "CollectionA" / "train", name, photo, proposal.points)
            people.append((name, photo.stem))
        else:
            low, high = proposal.box[:2], proposal.box[2:]
            square = Warp(tuple((low + high) / 2), float((high - low).max() * WITHOUT_SIDES))
            others = [other for other in proposals if other.photo == photo and other.side != proposal.side]
            if any((np.abs(other.points - square.centre) <= square.side / 2).all(axis=1).any() for other in others):
                continue
            size = max(32, round(square.side))
            place = out / "NoEar" / f"{name}.jpg"
            write_json(place.with_suffix(".json"), {"ear_in_view": False})
            save_picture(place, warp_photo(decode_photo(photo), square.matrix(size), size))
        written[verdict.word] += 1
    if people:
        write_csv(out / "identities.csv", [("name", "identity"), *people])
    return written


def write_annotated(folder: Path, name: str, photo: Path, points: np.ndarray) -> None:
    """A copy of a photo, as it is where datasets may hold such files (else as PNG), and its points beside it."""
    known = photo.suffix.lower() in PHOTO_SUFFIXES
    place = folder / f"{name}{photo.suffix.lower() if known else '.png'}"
    write_pts(place.with_suffix(".pts"), points)
    if known:  # with its EXIF rotation
        with replacing(place) as part:
            part.write_bytes(photo.read_bytes())
    else:
        save_picture(place, decode_photo(photo))


def write_faces(out: Path, proposals: Sequence[Proposal]) -> None:
    """Photos with the points of the faces that were found in them, as a dataset of faces."""
    for proposal in proposals:
        write_annotated(out, proposal.photo.stem, proposal.photo, proposal.points)


def main() -> int:
    """The command line."""
    parser = CommandLine(prog="python -m utils.annotate", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("weights", help="weights file with an ear head, the same for both commands; with --faces one with a face head")
    add("photo", nargs="+", help="photos, folders or globs")
    add("--out", required=True, metavar="DIR", help="a new folder for the sheets and the table, or for the dataset")
    add("--verdicts", metavar="FILE", help="the table, filled in: makes the dataset")
    add("--faces", action="store_true", help="make face photos of the faces that are found: nothing to judge")
    add("--limit", type=positive_int, metavar="N", help="look at N of the photos only, evenly spread")
    add("--precision", choices=PRECISIONS, default="auto", help="auto (default): the fastest here")
    args = parser.parse_args()

    out = Path(args.out)
    if not Path(args.weights).is_file():
        raise InputError(f"{args.weights}: no such weights file")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: is there already; name a new folder")
    check_writable("--out", out)
    if args.verdicts and args.limit:
        raise InputError("--limit: the photos are those of --verdicts; leave it out")
    if args.verdicts and args.faces:
        raise InputError("--faces: verdicts are of ears; leave it out")
    photos = find_photos(args.photo)
    verdicts = read_verdicts(Path(args.verdicts)) if args.verdicts else {}
    if verdicts:
        named = {name for name, _ in verdicts}
        missing = sorted(named - {photo.name for photo in photos})
        if missing:
            raise InputError(f"--verdicts {args.verdicts}: {missing[0]} is not among the photos")
        photos = [photo for photo in photos if photo.name in named]
    elif args.limit:
        photos = spread(photos, args.limit)

    predictor = LandmarkPredictor(args.weights, precision=args.precision)
    scheme = FACE if args.faces else EAR
    if predictor.settings.heads.get(scheme.task) != tuple(range(scheme.count)):
        whose = "face weights" if args.faces else "a student's"
        raise InputError(f"{args.weights}: has no head with all {scheme.count} {scheme.task} points; take {whose}")
    skipped: list[str] = []
    proposals = list(propose(predictor, photos, skipped, scheme))
    for problem in skipped:
        print(f"skipped: {problem}", file=sys.stderr)
    if not proposals:
        raise InputError(f"{args.weights}: sees no {scheme.task} in these {len(photos)} photos")
    if args.faces:
        write_faces(out, proposals)
        print(f"{len(proposals)} faces in {len(photos)} photos: --replay {out} --face-weight 0")
        return bool(skipped)
    if not verdicts:
        write_proposals(out, proposals)
        print(f"{len(proposals)} ears in {len(photos)} photos: look at {out}/sheet_*.png, fill in {out / TABLE}")
        return bool(skipped)
    written = write_dataset(out, proposals, verdicts)
    if not written:
        raise InputError(f"--verdicts {args.verdicts}: no ear is where it was judged; name the same weights")
    if written["right"]:
        print(f"{written['right']} ears: --data {out}")
    if written["none"]:
        print(f"{written['none']} photos without an ear: --nobody {out / 'NoEar'}")
    lost = len(verdicts) - written.total()
    if lost:
        print(f"{lost} left out: not drawn there any more (other weights?), or another ear lies near")
    return bool(skipped)


if __name__ == "__main__":
    run_main(main)
