"""The 68 face points of the average head in 3D: `python -m data.synthetic.mean_head OUT.json`.

`data/head_points.json`, which head poses are found with, was made so.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.schemes import FACE
from data.synthetic.head import HeadModel
from utils.common.cli import CommandLine, InputError, positive_int, run_main
from utils.common.files import check_writable, write_json


def mean_points(count: int, seed: int = 0) -> np.ndarray:
    """The 68 points (68, 3) of the mean of `count` random heads with random expressions, left and right made alike.

    Decimetres from the middle of all face and ear points; X to the subject's left, Y up, Z out of the face.
    """
    model, rng = HeadModel(fine=False), np.random.default_rng(seed)
    total, middle = np.zeros((FACE.count, 3)), np.zeros(3)
    for _ in range(count):
        vertices = model.draw_person(rng).vertices
        face = model.face.on(vertices)
        total += face
        middle += np.concatenate([face, *(ear.on(vertices) for ear in model.ears.values())]).mean(axis=0)
    points = (total - middle) / count
    return (points + points[list(FACE.flip_order)] * (-1, 1, 1)) / 2


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = CommandLine(
        prog="python -m data.synthetic.mean_head", description="Write the average head's 68 face points in 3D."
    )
    parser.add_argument("out", metavar="OUT.json", help="the file to write")
    parser.add_argument("--heads", type=positive_int, default=500, help="heads to take the mean of (default: 500)")
    args = parser.parse_args(argv)
    out = Path(args.out)
    if out.suffix.lower() != ".json" or out.is_dir():
        raise InputError(f"{out}: is written as JSON; give the name of a .json file")
    check_writable("OUT", out.parent)
    words = (
        f"Mean of {args.heads} heads of the MakeHuman base mesh (CC0 1.0) by python -m data.synthetic.mean_head; "
        "decimetres from the middle of face and ears, X to the subject's left, Y up, Z out of the face."
    )
    write_json(out, {"source": words, "face": mean_points(args.heads).round(4).tolist()})
    print(f"{out}: {FACE.count} points, the mean of {args.heads} heads")


if __name__ == "__main__":
    run_main(main)
