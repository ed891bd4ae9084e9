"""Real images to train on without placing a point.

  python -m utils.annotate WEIGHTS images/ --out runs/looked_at       # draws the ears it finds, lists them in a table
  python -m utils.annotate WEIGHTS images/ --out runs/mine --verdicts runs/looked_at/verdicts.csv
  python -m utils.annotate WEIGHTS images/ --out runs/boxed --boxes boxes.csv          # ears in boxes, unseen
  python -m utils.annotate WEIGHTS images/ --out runs/faces --faces   # faces that a student is not to forget
  python -m utils.annotate WEIGHTS images/ --out runs/sure --faces --passes 8          # those that passes agree on

Ears: a network proposes, a person looks and judges. The first command writes numbered images and verdicts.csv, one
line an ear. Look at the images and write into the last column "right" (every part lies where it should) or "none"
(there is no ear in view); what stays empty is left out. The second makes ear images with points of the right ones,
and images without an ear of the others. They teach a network on which images to be sure, and where not to see an ear.

Boxes round all ears take the place of the person: the third reads each ear in several augmented passes. Where they
agree with each other and with the box, their mean is a label. Places outside the boxes show no ear.

Faces: the fourth makes face images with the points that the network finds. They tell where faces are, and not more;
that is enough for `train_face2ear.py --replay runs/faces --face-weight 0`, where the teacher says the rest. With
several passes the mean of those that agree is a label to learn from.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from data.boxes import read_boxes
from data.datasets import spread
from data.schemes import EAR, FACE
from utils.common.cli import (
    CommandLine,
    InputError,
    add_batch,
    add_shard,
    positive_float,
    positive_int,
    run_main,
    take_shard,
    unit_interval,
)
from utils.common.files import check_new_folder
from utils.common.keras_runtime import PRECISIONS
from utils.demo import LandmarkPredictor
from utils.demo.engines import ENGINE_HELP, ENGINES, KERAS
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
from utils.demo.pseudo_labels import LIMITS, make_ears, make_faces


def parse_flags(argv: list[str] | None) -> argparse.Namespace:
    """The command line, checked. Raises `InputError`."""
    parser = CommandLine(prog="python -m utils.annotate", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("weights", help="weights file with an ear head, the same for both commands; with --faces one with a face head")
    add("image", nargs="+", help="images, folders or globs")
    add("--out", required=True, metavar="DIR", help="a new folder for the sheets and the table, or for the dataset")
    add("--verdicts", metavar="FILE", help="the table, filled in: makes the dataset")
    add("--faces", action="store_true", help="make face images of the faces that are found: nothing to judge")
    add("--limit", type=positive_int, metavar="N", help="look at N of the images only, evenly spread")
    add_shard(parser)
    add_batch(parser)
    add("--precision", choices=PRECISIONS, default="auto", help="auto (default): the fastest here")
    add("--engine", choices=ENGINES, default=KERAS, help=ENGINE_HELP)
    add("--boxes", metavar="FILE", help="CSV photo,left,top,right,bottom with all ears: makes the dataset of these")
    add("--passes", type=positive_int, metavar="N", help="readings of each (default: 8 with --boxes, 1 with --faces)")
    add("--agreement", type=positive_float, metavar="PERCENT", help="how far passes lie from their mean, at most; of "
        "the outer eye corners' distance (default: 4) or the box's diagonal (3)")  # fmt: skip
    add("--score", type=unit_interval, help="mean confidence, at least (default: 0.7 for faces, 0.75 for ears)")
    add("--overlap", type=unit_interval, help="points' box and given box, intersection over union (default: 0.5)")
    args = parser.parse_args(argv)
    out = Path(args.out)
    if not Path(args.weights).is_file():
        raise InputError(f"{args.weights}: no such weights file")
    check_new_folder("--out", out)
    if args.verdicts and (args.limit or args.shard):
        raise InputError(f"--{'limit' if args.limit else 'shard'}: the images are those of --verdicts; leave it out")
    if args.verdicts and args.faces:
        raise InputError("--faces: verdicts are of ears; leave it out")
    if args.boxes and (args.faces or args.verdicts):
        raise InputError("--boxes: they are of ears and need no verdict; leave --faces and --verdicts out")
    args.passes = args.passes or (8 if args.boxes else 1)
    if args.passes > 1 and not (args.boxes or args.faces):
        raise InputError("--passes: needs --boxes or --faces")
    if args.boxes and args.passes < 2:
        raise InputError("--passes: one pass agrees with itself; take 2 or more")
    given = {name: getattr(args, name) for name in ("agreement", "score", "overlap")}
    given = {name: value for name, value in given.items() if value is not None}
    for flag in given:
        if args.passes < 2 or (flag == "overlap" and args.faces):
            raise InputError(f"--{flag}: needs --boxes{'' if flag == 'overlap' else ', or --faces with --passes'}")
    args.limits = replace(LIMITS[FACE.task if args.faces else EAR.task], **given)
    return args


def main(argv: list[str] | None = None) -> int:
    """Flags -> images -> what the network finds in them -> faces, a table to fill in, or a dataset of ears."""
    args = parse_flags(argv)
    out, scheme = Path(args.out), FACE if args.faces else EAR
    verdicts = read_verdicts(Path(args.verdicts)) if args.verdicts else {}
    boxes = read_boxes(Path(args.boxes)) if args.boxes else {}
    images = judged_images(args.image, verdicts) if verdicts else find_images(args.image)
    images = take_shard(spread(images, args.limit) if args.limit else images, args.shard)

    predictor = LandmarkPredictor(args.weights, precision=args.precision, engine=args.engine)
    if predictor.config.heads.get(scheme.task) != tuple(range(scheme.count)):
        whose = "face weights" if args.faces else "a student's"
        raise InputError(f"{args.weights}: has no head with all {scheme.count} {scheme.task} points; take {whose}")
    skipped: list[str] = []
    if args.boxes:
        return make_ears(predictor, images, boxes, args.passes, args.limits, out)
    if args.passes > 1:
        return make_faces(predictor, images, args.passes, args.limits, out)
    proposals = list(propose(predictor, images, skipped, scheme, args.batch))
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
        lost = len(verdicts) - written.total()
        if lost:
            print(f"{lost} left out: not drawn there any more (other weights?), or another ear lies near")
    return int(bool(skipped))


if __name__ == "__main__":
    run_main(main)
