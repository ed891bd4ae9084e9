"""Which thresholds? Faces and ears found, missed and drawn where none is: `python -m utils.detection WEIGHTS ...`.

  python -m utils.detection weights/face2ear-lite.keras --faces data --ears data --negatives nobody/ --people masked/
  python -m utils.detection weights/face2ear-lite.keras --boxes ears/boxes.csv --ear-threshold 0.7

It searches whole images as the demo does, at each of many thresholds, and writes precision and recall over the
threshold. A face or ear is right if its points' box has an IoU of at least 0.5 with a true box. Other people in view
of --faces count as wrong; ears that nobody annotated count as neither.
"""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from data.datasets import PARTS, choose_part, find_samples, spread
from data.schemes import EAR, FACE, Scheme
from utils.common.cli import CommandLine, InputError, add_searcher, positive_int, printable, run_main, unit_interval
from utils.common.files import check_writable
from utils.common.images import check_image_is_whole
from utils.common.keras_runtime import PRECISIONS, start_keras
from utils.demo.sweep import SweepingPredictor
from utils.evaluation.detection import (
    Photo,
    annotated_photos,
    boxed_photos,
    curves,
    folder_photos,
    measure,
    negatives_with_anything,
)
from utils.evaluation.detection_report import write_detection_report
from utils.evaluation.scoring import refuse_trained_images

UNSEEN = (
    "choose thresholds on images that it was not trained on (--split validation, or --split-file RUN/split.csv if it "
    "was trained with --split), or say --allow-trained"
)

SOURCES = {
    "faces": ("DIR", "face images with points, as utils.evaluate reads them"),
    "ears": ("DIR", "ear images with points"),
    "boxes": ("FILE", "CSV photo,left,top,right,bottom of every ear of its images, whole pixels, both ends included"),
    "negatives": ("DIR", "images without people: all that is drawn is wrong"),
    "people": ("DIR", "images with a person and no points, for instance masked: a face is drawn or not"),
}


def parse_flags(argv: list[str] | None) -> Namespace:
    """The command line, checked. Raises `InputError`."""
    parser = CommandLine(
        prog="python -m utils.detection",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("weights", help="weights file")
    for name, (metavar, text) in SOURCES.items():
        add(f"--{name}", action="append", default=[], metavar=metavar, help=f"{text}; repeatable")
    parts = (*PARTS, "all")
    add("--split", choices=parts, default="validation", help="part of --faces and --ears (default: %(default)s)")
    add("--split-file", metavar="FILE", help="split.csv of a run folder, for weights that were trained with --split")
    add("--limit", type=positive_int, metavar="N", help="read N images of each of the five flags, evenly spread")
    for task in ("face", "ear"):
        text = f"{task} threshold that is marked, and held while the other varies (default: the demo's)"
        add(f"--{task}-threshold", type=unit_interval, metavar="SCORE", help=text)
    add_searcher(parser)
    add("--precision", choices=PRECISIONS, default="float32", help="of the network (default: float32)")
    add("--skip-bad", action="store_true", help="leave out unusable images and list them")
    add("--allow-trained", action="store_true", help="read images that the network was trained on")
    add("--out", default="runs/detection", help="folder for the report (default: %(default)s)")
    args = parser.parse_args(argv)
    if not (args.faces or args.ears or args.boxes or args.negatives or args.people):
        raise InputError("no images: give at least one of --faces, --ears, --boxes, --negatives and --people")
    for path in (args.weights, *args.boxes):
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file")
    for name in ("faces", "ears", "negatives", "people"):
        for folder in getattr(args, name):
            if not Path(folder).is_dir():
                raise InputError(f"--{name} {folder}: no such folder")
    check_writable("--out", Path(args.out))
    return args


def annotated(args: Namespace, folders: list[str], scheme: Scheme, predictor: SweepingPredictor) -> list[Photo]:
    """The chosen part of images with points. Raises `InputError` if it is empty or was trained on."""
    if not folders or scheme.task not in predictor.tasks:
        return []
    found = find_samples(folders, scheme, predictor.config.points, args.skip_bad)
    for problem in found.problems:
        print(f"left out: {problem}")
    samples = choose_part(found.samples, args.split, folders[0], args.split_file)
    if not args.allow_trained:
        for reader in predictor.readers:
            refuse_trained_images(reader.weights, reader.record, samples, UNSEEN)
    return annotated_photos(samples, scheme.task, predictor.config.heads[scheme.task])


def whole(photos: list[Photo], skip_bad: bool) -> list[Photo]:
    """Photos whose files are whole; others raise an `InputError` or, with `skip_bad`, are named and left out."""
    kept = []
    for photo in photos:
        try:
            check_image_is_whole(photo.image)
        except InputError as problem:
            if not skip_bad:
                raise
            print(f"left out: {problem}")
            continue
        kept.append(photo)
    return kept


def main(argv: list[str] | None = None) -> None:
    """Flags -> images -> what is drawn at each threshold -> curves and report."""
    args = parse_flags(argv)
    precision = start_keras(args.precision)
    predictor = SweepingPredictor(args.weights, precision=precision, searcher=args.searcher)
    if predictor.searched_by:
        print(f"{printable(args.weights)}{predictor.searched_by}")
    given = {FACE.task: args.face_threshold, EAR.task: args.ear_threshold}
    chosen = {task: getattr(predictor.thresholds, task) if score is None else score for task, score in given.items()}
    sources = [
        annotated(args, args.faces, FACE, predictor),
        annotated(args, args.ears, EAR, predictor),
        [photo for path in args.boxes for photo in boxed_photos(Path(path))],
        *([photo for folder in getattr(args, kind) for photo in folder_photos(Path(folder), kind)]
          for kind in ("negatives", "people")),
    ]  # fmt: skip
    photos = [photo for source in sources for photo in spread(whole(source, args.skip_bad), args.limit)]
    if not any(task in photo.truth for photo in photos for task in predictor.tasks):
        raise InputError(f"{args.weights}: knows nothing that these images tell of; give images of its task")
    judged = measure(predictor, photos, predictor.tasks, chosen)
    found = curves(judged)
    for task, curve in found.items():
        print(next(point.line for point in curve if point.threshold == chosen[task]))
    if (anything := negatives_with_anything(judged, chosen)) is not None:
        print(f"{100 * anything:.1f} % of images without people get a face or an ear at these thresholds")
    write_detection_report(Path(args.out), found, judged, chosen, predictor.config.heads, Path(args.weights).name)
    print(f"curves, images.csv and sheets of what was wrong or missed in {printable(args.out)}")


if __name__ == "__main__":
    run_main(main)
