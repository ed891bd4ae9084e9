"""How exact is the pose of a head, where it is known? `python -m utils.pose WEIGHTS DATA`.

DATA are synthetic heads: `python -m data.synthetic --out DATA --both 200`. The table has the mean size of each angle's
error by the true yaw, from the true points and from those that the network finds in crops round the true face.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.datasets import find_samples, spread
from data.schemes import FACE
from utils.common.cli import CommandLine, InputError, positive_int, printable, run_main
from utils.common.files import check_writable
from utils.common.images import save_image
from utils.common.keras_runtime import PRECISIONS, start_keras
from utils.evaluation.pose import extreme_poses, pose_errors, pose_table, true_poses
from utils.evaluation.scoring import predict_samples


def main(argv: list[str] | None = None) -> None:
    """Flags -> heads with known poses -> points -> table of errors."""
    parser = CommandLine(prog="python -m utils.pose", description="Errors of the head's pose, by yaw.")
    parser.add_argument("weights", help="weights file with all 68 face points")
    parser.add_argument("data", help="synthetic heads of data.synthetic --both")
    parser.add_argument("--limit", type=positive_int, metavar="N", help="only N heads, evenly spread")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="float32", help="float32 (default): alike everywhere"
    )
    parser.add_argument("--sheet", metavar="FILE", help="draw the heads that are turned, raised and lowered most")
    args = parser.parse_args(argv)
    if args.sheet:
        if Path(args.sheet).suffix.lower() not in (".png", ".jpg"):
            raise InputError(f"--sheet {args.sheet}: give a name that ends in .png or .jpg")
        check_writable("--sheet", Path(args.sheet).parent)
    if not Path(args.weights).is_file():
        raise InputError(f"{args.weights}: no such weights file")
    samples = spread([s for s in find_samples([args.data], FACE).samples if s.complete], args.limit)
    truth = true_poses(samples)
    start_keras(args.precision)
    from models.trainer import LandmarkReader  # after the flags: TensorFlow takes seconds to import
    from models.weights import check_task, load_network

    loaded = load_network(args.weights)
    check_task(loaded, FACE.task)
    if loaded.config.heads[FACE.task] != tuple(range(FACE.count)):
        raise InputError(f"{args.weights}: lacks some of the {FACE.count} face points; a pose wants them all")
    predicted, _ = predict_samples(LandmarkReader(loaded.network, loaded.config, (FACE.task,)), samples)
    known = np.stack([sample.points for sample in samples])
    places = {"true points": known, f"points of {printable(Path(args.weights).name)}": predicted}
    print(pose_table(truth, {what: pose_errors(samples, each, truth) for what, each in places.items()}))
    if args.sheet:
        save_image(args.sheet, extreme_poses(samples, predicted, truth))


if __name__ == "__main__":
    run_main(main)
