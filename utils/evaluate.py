"""Score weights on a dataset: `python -m utils.evaluate WEIGHTS... DATA`.

Prints one line for each weights file and writes scores (JSON), errors of every image (CSV), the CED plot and the
worst and random predictions (PNG). Errors are measured in pixels of the original image, each image once.
"""

from __future__ import annotations

import functools
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from data.datasets import PARTS, SUBSETS_300W, Sample, choose_part, find_samples
from data.landmark_map import read_map
from data.layouts import NoSuchImagesError
from data.schemes import FACE, SCHEMES, Scheme
from utils.common.cli import CommandLine, InputError, network_size, positive_int, printable, run_main
from utils.common.files import check_writable, write_json
from utils.common.keras_runtime import PRECISIONS, start_keras
from utils.demo import LandmarkPredictor
from utils.evaluation.plots import plot_ced
from utils.evaluation.reports import write_report
from utils.evaluation.scoring import Scores, find_and_predict, refuse_trained_images, score_points, score_samples
from utils.exporting.runtimes import open_weights

UNSEEN = (
    "score the part that it was not trained on (--split test, or --split-file RUN/split.csv if it was trained with "
    "--split), or say --allow-trained to score them all the same"
)


def evaluation_flags() -> CommandLine:
    """The flags of the command."""
    parser = CommandLine(
        prog="python -m utils.evaluate", description="Score weights on a dataset: NME, failure rate, CED, worst cases."
    )
    parser.add_argument("weights", nargs="+", help="weights files (.keras, .weights.h5, old .h5, or of utils.export)")
    parser.add_argument("data", help="dataset folder: holds AFW/, CollectionA/ or Both/, or images with .pts")
    parser.add_argument(
        "--split",
        choices=(*PARTS, "all", *SUBSETS_300W),
        default="test",
        help="which images; common, challenging, full: 300-W's test sets (default: test)",
    )
    parser.add_argument("--split-file", help="split.csv of a run folder, for weights that were trained with --split")
    parser.add_argument(
        "--protocol",
        choices=("crop", "photo"),
        default="crop",
        help="crop: a square on the true points' box (default); photo: found in the whole image, as the demo does",
    )
    parser.add_argument("--task", choices=tuple(SCHEMES), help="score this head only (default: every head)")
    parser.add_argument("--points", choices=("2d", "3d"), help="jaw on the outline or in 3D (default: as trained)")
    parser.add_argument("--map", metavar="FILE", help="make landmarks of other points by a map, as train_face.py does")
    parser.add_argument("--points-dir", metavar="DIR", help="the points lie in this folder, under the images' names")
    parser.add_argument("--input-size", type=network_size, help="network input in pixels (default: as trained)")
    parser.add_argument("--batch-size", type=positive_int, default=16, help="images at once; speed only (default: 16)")
    parser.add_argument("--limit", type=positive_int, help="score only that many images of the part")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="float32 (default): the same score on every machine; auto: the fastest here, which differs between them",
    )
    parser.add_argument("--skip-bad", action="store_true", help="leave out unusable images and list them")
    parser.add_argument("--allow-trained", action="store_true", help="score images that the network was trained on")
    parser.add_argument("--out", default="runs/evaluate", help="folder for the report (default: runs/evaluate)")
    return parser


def list_samples(args: Namespace, scheme: Scheme, points: str) -> list[Sample]:
    """The images of the chosen part. Raises `InputError` if there is none."""
    made_by = read_map(args.map) if args.map else None
    found = find_samples([args.data], scheme, points, args.skip_bad, landmark_map=made_by, points_dir=args.points_dir)
    for problem in found.problems:
        print(f"left out: {problem}")
    return choose_part(found.samples, args.split, args.data, args.split_file, args.limit)


def score_weights(
    weights: str, args: Namespace, precision: str, listing: Callable[[Scheme, str], list[Sample]]
) -> dict[str, Scores]:
    """Score each head of a weights file, and print its line: scores by a name, the file's or one for each task.

    `listing(scheme, points)` gives the images. A head that they have no points of is left out, unless it is the only
    one. Raises `InputError` if the network was trained on any of them.
    """
    from models.weights import check_task  # after the flags: TensorFlow takes seconds to import

    loaded, reader_of = open_weights(weights)
    config = loaded.config
    tasks = [args.task] if args.task else [FACE.task] if args.split in SUBSETS_300W else list(config.heads)
    predictor = LandmarkPredictor(weights, args.input_size, precision) if args.protocol == "photo" else None
    results = {}
    for task in tasks:
        check_task(loaded, task)
        try:
            samples = listing(SCHEMES[task], args.points or config.points)
        except NoSuchImagesError:
            if len(tasks) == 1:
                raise
            print(f"{printable(weights)}  {task}  not scored: no such points in {printable(args.data)}")
            continue
        if not args.allow_trained:
            refuse_trained_images(weights, loaded.record, samples, UNSEEN)
        if predictor is not None:
            answers = find_and_predict(predictor, samples, SCHEMES[task])
            scores = score_points(samples, SCHEMES[task], config.heads[task], *answers, protocol="photo")
        else:
            scores = score_samples(reader_of(task), samples, args.batch_size, args.input_size)
        for line in (scores.line, *scores.detail_lines):
            print(f"{printable(weights)}  {task}  {line}")
        results[Path(weights).stem if len(tasks) == 1 else f"{Path(weights).stem}_{task}"] = scores
    return results


def main(argv: list[str] | None = None) -> None:
    """Flags -> images -> scores of every weights file -> report."""
    args = evaluation_flags().parse_args(argv)
    for weights in args.weights:
        if not Path(weights).is_file():
            raise InputError(f"{weights}: no such weights file")
    if not Path(args.data).exists():
        raise InputError(f"{args.data}: no such dataset")
    check_writable("--out", Path(args.out))

    precision = start_keras(args.precision)
    listing = functools.cache(functools.partial(list_samples, args))  # read once for all weights of a kind
    stems = [Path(weights).stem for weights in args.weights]
    results: dict[str, Scores] = {}
    for number, weights in enumerate(args.weights, start=1):
        for name, scores in score_weights(weights, args, precision, listing).items():
            clash = stems.count(stems[number - 1]) > 1 or name in results
            name = f"{number}_{name}" if clash else name
            results[name] = scores
            write_report(Path(args.out) / name, scores, name)
    if not results:
        raise InputError(f"{args.data}: no images with points of these weights' landmarks")
    limit = max(scores.scheme.failure_at for scores in results.values())
    plot_ced(Path(args.out) / "ced.png", {name: s.errors for name, s in results.items()}, limit, str(args.data))
    write_json(Path(args.out) / "scores.json", {name: scores.summary for name, scores in results.items()})
    print(f"report in {printable(args.out)}")


if __name__ == "__main__":
    run_main(main)
