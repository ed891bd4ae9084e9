"""The flags of `utils.annotate`."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from data.schemes import EAR, FACE
from utils.common.cli import (
    CommandLine,
    InputError,
    add_batch,
    add_shard,
    positive_float,
    positive_int,
    unit_interval,
)
from utils.common.files import check_new_folder
from utils.common.keras_runtime import PRECISIONS
from utils.demo.engines import ENGINE_HELP, ENGINES, KERAS
from utils.demo.pseudo_labels import LIMITS


def parse_flags(description: str, argv: list[str] | None) -> argparse.Namespace:
    """The command line, checked. Raises `InputError`."""
    parser = CommandLine(prog="python -m utils.annotate", description=description.split("\n")[0])
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
    add("--ensemble", action="append", default=[], metavar="FILE", help="another network that reads all "
        "passes: labels are means over networks too (may be given again)")  # fmt: skip
    add("--agreement", type=positive_float, metavar="PERCENT", help="how far readings lie from their mean, at most; of "
        "the outer eye corners' distance (default: 4) or the box's diagonal (3)")  # fmt: skip
    add("--score", type=unit_interval, help="mean confidence, at least (default: 0.7 for faces, 0.75 for ears)")
    add("--overlap", type=unit_interval, help="points' box and given box, intersection over union (default: 0.5)")
    args = parser.parse_args(argv)
    out = Path(args.out)
    for weights in (args.weights, *args.ensemble):
        if not Path(weights).is_file():
            raise InputError(f"{weights}: no such weights file")
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
    if len({os.path.realpath(weights) for weights in (args.weights, *args.ensemble)}) <= len(args.ensemble):
        raise InputError("--ensemble: names the same file twice; its mean would be of one network")
    if args.ensemble and args.passes < 2:
        raise InputError("--ensemble: its mean is taken over passes; add --boxes, or --faces with --passes")
    given = {name: getattr(args, name) for name in ("agreement", "score", "overlap")}
    given = {name: value for name, value in given.items() if value is not None}
    for flag in given:
        if args.passes < 2 or (flag == "overlap" and args.faces):
            raise InputError(f"--{flag}: needs --boxes{'' if flag == 'overlap' else ', or --faces with --passes'}")
    args.limits = replace(LIMITS[FACE.task if args.faces else EAR.task], **given)
    return args
