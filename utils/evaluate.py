"""Score weights on a dataset: `python -m utils.evaluate WEIGHTS... DATA`.

Prints one line for each weights file and writes scores (JSON), errors of every image (CSV), the CED plot and the
worst and random predictions (PNG). Errors are measured in pixels of the original image, each image once.
"""

from __future__ import annotations

import functools
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from data.datasets import SUBSETS_300W, Sample, choose_part, find_samples
from data.landmark_map import read_map
from data.layouts import NoSuchImagesError
from data.schemes import FACE, SCHEMES, Scheme
from utils.common.cli import InputError, printable, run_main, take_shard
from utils.common.files import check_writable, write_json
from utils.common.images import decode_image
from utils.common.keras_runtime import start_keras
from utils.demo import LandmarkPredictor
from utils.demo.prediction import Prediction
from utils.demo.together import find_in_images
from utils.evaluation.answers import read_answers, write_answers
from utils.evaluation.flags import evaluation_flags
from utils.evaluation.plots import plot_ced
from utils.evaluation.reports import write_report
from utils.evaluation.scoring import (
    Scores,
    find_and_predict,
    images_of,
    predict_samples,
    refuse_trained_images,
    score_points,
)
from utils.exporting.runtimes import open_weights

UNSEEN = (
    "score the part that it was not trained on (--split test, or --split-file RUN/split.csv if it was trained with "
    "--split), or say --allow-trained to score them all the same"
)


def list_samples(args: Namespace, scheme: Scheme, points: str) -> list[Sample]:
    """The images of the chosen part. Raises `InputError` if there is none."""
    made_by = read_map(args.map) if args.map else None
    found = find_samples([args.data], scheme, points, args.skip_bad, landmark_map=made_by, points_dir=args.points_dir)
    for problem in found.problems:
        print(f"left out: {problem}")
    chosen = choose_part(found.samples, args.split, args.data, args.split_file, args.limit)
    return take_shard(chosen, args.shard)


def score_weights(
    weights: str, stem: str, args: Namespace, precision: str, listing: Callable[[Scheme, str], list[Sample]]
) -> dict[str, Scores]:
    """Score each head of a weights file, and print its line: scores by a name, the `stem` or one for each task.

    `listing(scheme, points)` gives the images. A head that they have no points of is left out, unless it is the only
    one. Raises `InputError` if the network was trained on any of them.
    """
    from models.weights import check_task  # after the flags: TensorFlow takes seconds to import

    loaded, reader_of = open_weights(weights)
    config = loaded.config
    tasks = [args.task] if args.task else [FACE.task] if args.split in SUBSETS_300W else list(config.heads)
    photo = args.protocol == "photo" and not args.merge
    predictor = LandmarkPredictor(weights, args.input_size, precision, searcher=args.searcher) if photo else None
    searchers = predictor.readers[1:] if predictor else []
    if predictor and predictor.searched_by:
        print(f"{printable(weights)}{predictor.searched_by}")
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
            for searcher in searchers:
                refuse_trained_images(searcher.weights, searcher.record, samples, UNSEEN)
        name = stem if len(tasks) == 1 else f"{stem}_{task}"
        landmarks, searched_by = config.heads[task], "".join(str(searcher.weights) for searcher in searchers)
        if args.merge:
            points, confidence, searched_by = read_answers(args.merge, name, samples, len(landmarks), args.protocol)
        elif predictor is not None:
            found = find_all(predictor, samples, args.batch_size)
            points, confidence = find_and_predict(predictor, samples, SCHEMES[task], found)
        else:
            points, confidence = predict_samples(reader_of(task), samples, args.batch_size, args.input_size)
        scores = score_points(samples, SCHEMES[task], landmarks, points, confidence, args.protocol, searched_by)
        for line in (scores.line, *scores.detail_lines):
            print(f"{printable(weights)}  {task}  {line}")
        results[name] = scores
    return results


def find_all(predictor: LandmarkPredictor, samples: Sequence[Sample], batch: int) -> Iterator[Prediction]:
    """What is found in the images of samples. Raises `InputError` for one that cannot be read."""
    for _, found in find_in_images(predictor, images_of(samples), decode_image, batch):
        if isinstance(found, InputError):
            raise found
        yield found.prediction


def main(argv: list[str] | None = None) -> None:
    """Flags -> images -> scores of every weights file -> report."""
    args = evaluation_flags().parse_args(argv)
    for weights in args.weights:
        if not Path(weights).is_file():
            raise InputError(f"{weights}: no such weights file")
    if not Path(args.data).exists():
        raise InputError(f"{args.data}: no such dataset")
    if isinstance(args.searcher, str) and args.protocol != "photo":
        raise InputError(
            f"--searcher {args.searcher}: searches under --protocol photo alone; leave it out, or add that"
        )
    if args.shard and args.merge:
        raise InputError("--merge: scores all images of the shards; leave --shard out")
    check_writable("--out", Path(args.out))

    precision = start_keras(args.precision)
    listing = functools.cache(functools.partial(list_samples, args))  # read once for all weights of a kind
    stems = [Path(weights).stem for weights in args.weights]
    results: dict[str, Scores] = {}
    for number, weights in enumerate(args.weights, start=1):
        stem = Path(weights).stem
        stem = f"{number}_{stem}" if stems.count(stem) > 1 else stem
        for name, scores in score_weights(weights, stem, args, precision, listing).items():
            name = f"{number}_{name}" if name in results else name
            results[name] = scores
            write_report(Path(args.out) / name, scores, name)
            if args.shard:
                write_answers(Path(args.out) / name, scores)
    if not results:
        raise InputError(f"{args.data}: no images with points of these weights' landmarks")
    limit = max(scores.scheme.failure_at for scores in results.values())
    plot_ced(Path(args.out) / "ced.png", {name: s.errors for name, s in results.items()}, limit, str(args.data))
    write_json(Path(args.out) / "scores.json", {name: scores.summary for name, scores in results.items()})
    print(f"report in {printable(args.out)}")


if __name__ == "__main__":
    run_main(main)
