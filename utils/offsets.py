"""Where a network's landmarks lie off the annotators' lines by a steady amount: `python -m utils.offsets WEIGHTS DATA`.

Prints for each group of landmarks the mean offset across its line (outwards is positive) and along it, in per cent of
what errors are divided by, with its standard error over the images. The last line tells what the NME would be without
these offsets, each image corrected by the others. A large gain means another convention, not an inexact network.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.datasets import PARTS, choose_part, find_samples
from data.schemes import SCHEMES
from utils.common.cli import CommandLine, InputError, positive_int, printable, run_main
from utils.common.files import check_writable, write_json
from utils.common.keras_runtime import PRECISIONS, start_keras
from utils.evaluation.offsets import landmark_offsets
from utils.evaluation.scoring import predict_samples


def offsets_flags() -> CommandLine:
    """The flags of the command."""
    parser = CommandLine(prog="python -m utils.offsets", description="Steady offsets of a network's landmarks.")
    add = parser.add_argument
    add("weights", help="weights file")
    add("data", help="dataset folder: holds AFW/, CollectionA/ or Both/, or images with .pts")
    add("--task", choices=tuple(SCHEMES), help="which head (default: the only one)")
    add("--split", choices=(*PARTS, "all"), default="all", help="which images (default: all)")
    add("--points", choices=("2d", "3d"), help="jaw on the outline or in 3D (default: as trained)")
    add("--limit", type=positive_int, metavar="N", help="only N images of the part")
    add("--precision", choices=PRECISIONS, default="float32", help="float32 (default): the same on every machine")
    add("--out", metavar="FILE", help="write all figures as JSON, each landmark's too")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Flags -> images -> predictions on true crops -> offsets by group."""
    args = offsets_flags().parse_args(argv)
    if not Path(args.weights).is_file():
        raise InputError(f"{args.weights}: no such weights file")
    if not Path(args.data).exists():
        raise InputError(f"{args.data}: no such dataset")
    if args.out:
        check_writable("--out", Path(args.out))
    start_keras(args.precision)
    from models.trainer import LandmarkReader  # after the flags: TensorFlow takes seconds to import
    from models.weights import check_task, load_network

    loaded = load_network(args.weights)
    if args.task is None and len(loaded.config.heads) > 1:
        raise InputError(f"{args.weights}: has heads of {', '.join(loaded.config.heads)}; choose one with --task")
    task = args.task or next(iter(loaded.config.heads))
    check_task(loaded, task)
    scheme = SCHEMES[task]
    if loaded.config.heads[task] != tuple(range(scheme.count)):
        raise InputError(f"{args.weights}: its {task} head lacks landmarks; lines want all {scheme.count}")
    found = find_samples([args.data], scheme, args.points or loaded.config.points)
    whole = [sample for sample in found.samples if sample.complete]
    samples = choose_part(whole, args.split, args.data, limit=args.limit)
    predicted, _ = predict_samples(LandmarkReader(loaded.network, loaded.config, (task,)), samples)
    offsets = landmark_offsets(np.stack([sample.points for sample in samples]), predicted, scheme)
    print(offsets.table())
    print(
        f"{printable(args.weights)}  {task}  NME {offsets.nme():.2f} %, without the offsets "
        f"{offsets.corrected_nme():.2f} %  ({len(samples)} images)"
    )
    if args.out:
        write_json(Path(args.out), offsets.to_json())


if __name__ == "__main__":
    run_main(main)
