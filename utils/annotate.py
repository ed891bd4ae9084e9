"""Real images to train on without placing a point.

  python -m utils.annotate WEIGHTS images/ --out runs/looked_at       # draws the ears it finds, lists them in a table
  python -m utils.annotate WEIGHTS images/ --out runs/mine --verdicts runs/looked_at/verdicts.csv
  python -m utils.annotate WEIGHTS images/ --out runs/boxed --boxes boxes.csv          # ears in boxes, unseen
  python -m utils.annotate WEIGHTS images/ --out runs/faces --faces   # faces that a student is not to forget
  python -m utils.annotate WEIGHTS images/ --out runs/sure --faces --passes 8          # those that passes agree on

Ears: the first command writes numbered images and verdicts.csv, one line an ear. Look at the images and write into the
last column "right" (every part lies where it should) or "none" (there is no ear in view); what stays empty is left out.
The second makes ear images of the right ones, and images without an ear of the others.

Boxes take the place of the person: the third reads each ear in several augmented passes. Where they agree with each
other and with the box, their mean is a label. Places outside the boxes show no ear.

Faces: the fourth says where faces are, for `train_face2ear.py --replay runs/faces --face-weight 0`, where the teacher
says the rest. With several passes the mean of those that agree is a label to learn from.

--ensemble adds another network, which reads all passes too: the label is the mean over both.

If a command is stopped, the same again goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from data.boxes import read_boxes
from data.datasets import spread
from data.schemes import EAR, FACE
from utils.common.cli import InputError, run_main, take_shard
from utils.demo import LandmarkPredictor
from utils.demo.annotate_flags import parse_flags
from utils.demo.journal import Journal
from utils.demo.proposals import (
    TABLE,
    find_images,
    judged_images,
    propose,
    read_verdicts,
    write_dataset,
    write_faces,
    write_proposals,
)
from utils.demo.pseudo_labels import make_ears, make_faces


def main(argv: list[str] | None = None) -> int:
    """Flags -> journal of what was found before -> `annotate`."""
    args = parse_flags(__doc__, argv)
    settings = {name: getattr(args, name) for name in ("faces", "passes", "ensemble", "precision", "engine")}
    journal = Journal(Path(args.out), filter(None, (args.weights, args.boxes, *args.ensemble)), settings)
    try:
        status = annotate(args, journal)
    except InputError:  # it would be the same again
        journal.done()
        raise
    journal.done()
    return status


def annotate(args: argparse.Namespace, journal: Journal) -> int:
    """Images -> what the network finds in them -> faces, a table to fill in, or a dataset of ears."""
    out, scheme = Path(args.out), FACE if args.faces else EAR
    verdicts = read_verdicts(Path(args.verdicts)) if args.verdicts else {}
    boxes = read_boxes(Path(args.boxes)) if args.boxes else {}
    images = judged_images(args.image, verdicts) if verdicts else find_images(args.image)
    images = take_shard(spread(images, args.limit) if args.limit else images, args.shard)

    predictors = [
        # The first one searches, but not in boxes.
        LandmarkPredictor(
            each, precision=args.precision, engine=args.engine, searcher=each == args.weights and not args.boxes
        )
        for each in (args.weights, *args.ensemble)
    ]
    for each in predictors:
        if each.config.heads.get(scheme.task) != tuple(range(scheme.count)):
            whose = "face weights" if args.faces else "a student's"
            raise InputError(f"{each.weights}: has no head with all {scheme.count} {scheme.task} points; take {whose}")
    skipped: list[str] = []
    if args.boxes:
        return make_ears(predictors, images, boxes, args.passes, args.limits, out, journal)
    if args.passes > 1:
        return make_faces(predictors, images, args.passes, args.limits, out, journal)
    proposals = list(propose(predictors[0], images, skipped, journal, scheme, args.batch))
    for problem in skipped:
        print(f"skipped: {problem}", file=sys.stderr)
    if not proposals:
        raise InputError(f"{args.weights}: finds no {scheme.task} in these {len(images)} images")

    if args.faces:
        write_faces(out, proposals)
        print(f"{len(proposals)} faces in {len(images)} images: --replay {out} --face-weight 0")
    elif not verdicts:
        write_proposals(out, proposals)
        print(f"{len(proposals)} ears in {len(images)} images: look at {out}/sheet_*.png, fill in {out / TABLE}")
    else:
        written = write_dataset(out, proposals, verdicts)
        if not written:
            raise InputError(f"--verdicts {args.verdicts}: no ear is where it was judged; name the same weights")
        if written["right"]:
            print(f"{written['right']} ears: --data {out}")
        if written["none"]:
            print(f"{written['none']} images without an ear: --negatives {out / 'NoEar'}")
        if lost := len(verdicts) - written.total():
            print(f"{lost} left out: not drawn there any more (other weights?), or another ear lies near")
    return int(bool(skipped))


if __name__ == "__main__":
    run_main(main)
