"""Real ears to train on without placing a point: the network proposes, a person looks.

  python -m utils.annotate WEIGHTS photos/ --out looked_at         # draws what it finds on sheets, lists it in a table
  python -m utils.annotate WEIGHTS photos/ --out mine --verdicts looked_at/verdicts.csv
  python train_face2ear.py --data data --data mine --nobody mine/NoEar

The first command writes numbered pictures and verdicts.csv, one line an ear. Look at the pictures and write into its
last column "right" (every part lies where it should) or "none" (there is no ear to be seen); what stays empty is left
out. The second makes ear photos with points of the right ones, and photos without an ear of the others. No verdict can
make a network more exact than it is: it learns on which pictures to be sure, and on which not to see an ear.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data.augment import Warp, crop_warp, decode_photo, warp_photo
from data.formats import write_pts
from data.schemes import EAR
from utils.drawing import contact_sheet, crop_with_landmarks, save_picture, write_label
from utils.errors import CommandLine, InputError, positive_int, run_main
from utils.files import check_writable, replacing
from utils.predict import SIDES, LandmarkPredictor, Landmarks
from utils.sources import find_sources
from utils.startup import PRECISIONS

COLUMNS = ("number", "photo", "side", "score", "verdict")
VERDICTS = ("right", "none")
TABLE = "verdicts.csv"
A_SHEET = (5, 9)  # columns, rows
CELL = 128  # pixels a side of a picture on a sheet
WITHOUT_SIDES = 3.2  # side of a photo without an ear, in longer sides of the box of what was taken for one


@dataclass(frozen=True)
class Proposal:
    """An ear that the network found in a photo, on one `side` of the person."""

    photo: Path
    side: str
    ear: Landmarks


def propose(predictor: LandmarkPredictor, photos: Sequence[Path]) -> Iterator[Proposal]:
    """Every ear that is found in the photos, in their order. Raises `InputError` for a photo that cannot be read."""
    for photo in tqdm(photos, unit="photo", leave=False, dynamic_ncols=True, disable=None):
        found = predictor(decode_photo(photo))
        yield from (Proposal(photo, side, found.ears[side]) for side in SIDES if side in found.ears)


def write_proposals(out: Path, proposals: Sequence[Proposal]) -> None:
    """The sheets (each ear as it is, and with its points, doubtful ones first) and the table to fill in."""
    proposals = sorted(proposals, key=lambda proposal: proposal.ear.score)
    cells = []
    for number, proposal in enumerate(proposals):
        photo, warp = decode_photo(proposal.photo), crop_warp(EAR, proposal.ear.whole)
        views = [
            crop_with_landmarks(photo, warp, layers, EAR, CELL) for layers in ([], [(proposal.ear.whole, None, None)])
        ]
        cells.append(write_label(np.hstack(views), f"{number}  {proposal.side}  {proposal.ear.score:.2f}"))
    a_sheet = A_SHEET[0] * A_SHEET[1]
    for k, first in enumerate(range(0, len(cells), a_sheet)):
        save_picture(out / f"sheet_{k:02d}.png", contact_sheet(cells[first : first + a_sheet], A_SHEET[0]))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for number, proposal in enumerate(proposals):
        table.writerow((number, proposal.photo.name, proposal.side, f"{proposal.ear.score:.3f}", ""))
    with replacing(out / TABLE) as part:
        part.write_text(text.getvalue(), encoding="utf-8")


def read_verdicts(path: Path) -> dict[tuple[str, str], str]:
    """(photo's file name, side) -> verdict, of the lines that have one. Raises `InputError` that names a wrong line."""
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise InputError(f"--verdicts {path}: cannot be read: {problem}") from problem
    verdicts = {}
    for line, row in enumerate(rows, start=2):
        verdict = (row.get("verdict") or "").strip()
        if not row.get("photo") or row.get("side") not in SIDES or verdict not in ("", *VERDICTS):
            raise InputError(f"--verdicts {path}, line {line}: needs a photo, a side and {' or '.join(VERDICTS)} or ''")
        if verdict:
            verdicts[row["photo"], row["side"]] = verdict
    if not verdicts:
        raise InputError(f"--verdicts {path}: its last column is empty; write {' or '.join(VERDICTS)} into it")
    return verdicts


def write_dataset(out: Path, proposals: Sequence[Proposal], verdicts: dict[tuple[str, str], str]) -> Counter:
    """The judged ears as photos: `CollectionA/train/` with points, `NoEar/` without; how many of each verdict."""
    written = Counter()
    for proposal in proposals:
        verdict = verdicts.get((proposal.photo.name, proposal.side))
        if verdict is None:
            continue
        name, points = f"{proposal.photo.stem}_{proposal.side}", proposal.ear.whole
        if verdict == "right":
            place = out / "CollectionA" / "train" / f"{name}{proposal.photo.suffix.lower()}"
            write_pts(place.with_suffix(".pts"), points)
            with replacing(place) as part:
                part.write_bytes(proposal.photo.read_bytes())
        else:
            box = np.ptp(points, axis=0).max()
            square = Warp(tuple((points.min(axis=0) + points.max(axis=0)) / 2), float(box * WITHOUT_SIDES))
            size = max(32, round(square.side))
            save_picture(
                out / "NoEar" / f"{name}.jpg", warp_photo(decode_photo(proposal.photo), square.matrix(size), size)
            )
        written[verdict] += 1
    return written


def main() -> None:
    """The command line."""
    parser = CommandLine(prog="python -m utils.annotate", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("weights", help="weights file with an ear head; the same for both commands")
    add("photo", nargs="+", help="photos, folders or globs")
    add("--out", required=True, metavar="DIR", help="a new folder for the sheets and the table, or for the dataset")
    add("--verdicts", metavar="FILE", help="the table, filled in: makes the dataset")
    add("--limit", type=positive_int, metavar="N", help="propose ears in N of the photos only, evenly spread")
    add("--precision", choices=PRECISIONS, default="auto", help="auto (default): the fastest here")
    args = parser.parse_args()

    out = Path(args.out)
    if not Path(args.weights).is_file():
        raise InputError(f"{args.weights}: no such weights file")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: is there already; name a new folder")
    check_writable("--out", out)
    photos = [source.path for source in find_sources(args.photo) if source.kind == "picture"]
    twice = [name for name, count in Counter(photo.name for photo in photos).items() if count > 1]
    if twice:
        raise InputError(f"{twice[0]}: two photos have this name; the table could not tell them apart")
    verdicts = read_verdicts(Path(args.verdicts)) if args.verdicts else {}
    if verdicts:
        named = {name for name, _ in verdicts}
        missing = sorted(named - {photo.name for photo in photos})
        if missing:
            raise InputError(f"--verdicts {args.verdicts}: {missing[0]} is not among the photos")
        photos = [photo for photo in photos if photo.name in named]
    elif args.limit:
        photos = [photos[k] for k in np.linspace(0, len(photos) - 1, min(args.limit, len(photos))).round().astype(int)]

    predictor = LandmarkPredictor(args.weights, precision=args.precision)
    if predictor.settings.heads.get(EAR.task) != tuple(range(EAR.count)):
        raise InputError(
            f"{args.weights}: has no head with all {EAR.count} ear points; name weights of train_face2ear.py"
        )
    proposals = list(propose(predictor, photos))
    if not proposals:
        raise InputError(f"{args.weights}: sees no ear in these {len(photos)} photos")
    if not verdicts:
        write_proposals(out, proposals)
        print(f"{len(proposals)} ears in {len(photos)} photos: look at {out}/sheet_*.png, fill in {out / TABLE}")
        return
    written = write_dataset(out, proposals, verdicts)
    print(f"{written['right']} ears in {out}, {written['none']} photos without one in {out / 'NoEar'}", end="")
    lost = len(verdicts) - written.total()
    print(f"; {lost} are not found any more (other weights, size or precision)" if lost else "")


if __name__ == "__main__":
    run_main(main)
