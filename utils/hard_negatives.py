"""What is taken for a face or an ear where nobody is, cut out: `python -m utils.hard_negatives WEIGHTS IMAGES`.

OUT gets a folder for each of the network's tasks. Train on them as on other images without people:

  python train_face2ear.py --init WEIGHTS --face-negatives OUT/face --negatives OUT/ear ...

Take training images: what a network has learned from is no longer fit to judge it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tqdm import tqdm

from utils.common.cli import CommandLine, InputError, run_main, unit_interval
from utils.common.files import check_new_folder
from utils.common.images import decode_image, save_image
from utils.common.keras_runtime import PRECISIONS
from utils.demo import LandmarkPredictor
from utils.demo.detections import Thresholds
from utils.demo.hard_negatives import hard_negatives
from utils.demo.proposals import find_images


def main(argv: list[str] | None = None) -> int:
    """Flags -> images -> a crop of each false face and ear. Exit status 1 if an image was left out."""
    parser = CommandLine(prog="python -m utils.hard_negatives", description="Cut out false faces and ears.")
    parser.add_argument("weights", help="weights file of the network")
    parser.add_argument("image", nargs="+", help="images without people, folders or globs")
    parser.add_argument("--out", required=True, metavar="DIR", help="a new folder for the crops")
    parser.add_argument("--score", type=unit_interval, default=0.35, help="mean confidence, at least (default: 0.35)")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="auto (default): the fastest here")
    args = parser.parse_args(argv)
    out = Path(args.out)
    if not Path(args.weights).is_file():
        raise InputError(f"{args.weights}: no such weights file")
    check_new_folder("--out", out)
    images = find_images(args.image)

    thresholds = Thresholds(face=args.score, ear=args.score, turned_face=args.score)
    predictor = LandmarkPredictor(args.weights, precision=args.precision, thresholds=thresholds, searcher=False)
    counts: Counter[str] = Counter()
    skipped = 0
    for path in tqdm(images, unit="image", leave=False, dynamic_ncols=True, disable=None):
        try:
            found = hard_negatives(predictor, decode_image(path), args.score)
        except InputError as problem:
            tqdm.write(f"skipped: {problem}")
            skipped += 1
            continue
        for task, crops in found.items():
            counts[task] += len(crops)
            for number, crop in enumerate(crops, start=1):
                save_image(out / task / f"{path.stem}_{number}.png", crop)
    if not counts.total():
        print(f"nothing is taken for a face or an ear in these {len(images)} images")
    for task, count in counts.items():
        if count:
            print(f"{count} crops taken for a {task}: {out / task}")
    return int(skipped > 0)


if __name__ == "__main__":
    run_main(main)
