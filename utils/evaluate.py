"""Score weights on a dataset: `python -m utils.evaluate WEIGHTS... DATA`.

Prints one line for each weights file and writes scores (JSON), errors of every photo (CSV), the CED plot and the
worst and random predictions (PNG). Errors are measured in pixels of the original photo, each photo once.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data.augment import apply_matrix, crop_warp, decode_photo, invert_matrix
from data.datasets import PARTS, NoSuchPhotosError, Sample, find_samples, split_samples, spread
from data.schemes import SCHEMES, Scheme
from utils.drawing import contact_sheet, crop_with_landmarks, plot_ced, save_picture, write_label
from utils.errors import CommandLine, InputError, network_size, positive_int, run_main
from utils.files import check_writable, write_csv, write_json
from utils.startup import PRECISIONS, start_keras

TRUTH_COLOUR = (255, 255, 255)
UNSEEN = (
    "score the part that it has not seen (--split test, or --split-file RUN/split.csv if it was trained with --split), "
    "or say --allow-trained to score them all the same"
)


@dataclass(frozen=True)
class Scores:
    """What a network answered on a list of photos, and how wrong it was.

    - `predicted`: (photos, landmarks, 2) float32, pixels of the original photos; `confidence`: (photos, landmarks).
    - `errors`: NME of each photo, a fraction of the scheme's normaliser; `distances`: (photos, landmarks) pixels.
    - `summary`: JSON figures, in per cent.
    """

    samples: list[Sample]
    scheme: Scheme
    landmarks: tuple[int, ...]
    predicted: np.ndarray
    confidence: np.ndarray
    errors: np.ndarray
    distances: np.ndarray
    summary: dict

    @property
    def line(self) -> str:
        """The scores in one line."""
        s = self.summary
        if not np.isfinite(s["nme"]):
            return f"nothing found in {s['photos']} photos, so no NME ({s['protocol']})"
        return (
            f"NME {s['nme']:.2f} %  median {s['nme_median']:.2f} %  failure({s['failure_at']:g} %) {s['failure']:.2f} %"
            f"  AUC {s['auc']:.3f}  ({s['photos']} photos, {s['protocol']}"
            + (f", {s['missed']:.2f} % missed)" if s["protocol"] == "photo" else ")")
        )


def predict_samples(
    reader, samples: Sequence[Sample], batch_size: int = 16, size: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Points (photos, landmarks, 2) in pixels of the original photos, and confidences, under the `crop` protocol.

    `reader` is a `models.trainer.LandmarkReader`; `size` the input in pixels (default: as its settings say).
    """
    from data.pipeline import EvaluationChain

    points, confidences = [], []
    chain = EvaluationChain(samples, SCHEMES[reader.task], size or reader.settings.input_size, batch_size)
    for _, images, matrices in chain.batches():
        answer = reader.predict_on_batch(images)
        points += [apply_matrix(invert_matrix(m), p) for m, p in zip(matrices, answer["points"], strict=True)]
        confidences.append(answer["confidence"])
    return np.stack(points), np.concatenate(confidences)


def score_samples(reader, samples: Sequence[Sample], batch_size: int = 16, size: int | None = None) -> Scores:
    """Predict and score every sample once under the `crop` protocol."""
    predicted, confidence = predict_samples(reader, samples, batch_size, size)
    return score_points(samples, SCHEMES[reader.task], reader.settings.heads[reader.task], predicted, confidence)


def find_and_predict(predictor, samples: Sequence[Sample], scheme: Scheme) -> tuple[np.ndarray, np.ndarray]:
    """Points (photos, landmarks, 2) in pixels of the original photos, and confidences, under the `photo` protocol.

    `predictor` is a `utils.predict.LandmarkPredictor`; no truth is used to find the head. Of the ears that were found
    the one nearest to the annotated one answers, if their centres are within half of the true box's diagonal. Where
    nothing is found, points are NaN and confidences 0.
    """
    count = len(predictor.settings.heads[scheme.task])
    points, confidences = [], []
    found = prediction = None
    for sample in tqdm(samples, unit="photo", leave=False, dynamic_ncols=True, disable=None):
        if sample.image != found:  # photos with two annotated ears come twice
            found, prediction = sample.image, predictor(decode_photo(sample.image))
        if scheme.task == "face":
            seen = [] if prediction.face is None else [prediction.face]
        else:
            middle, near = sample.points.mean(axis=0), np.linalg.norm(np.ptp(sample.points, axis=0)) / 2
            apart = {side: np.linalg.norm(ear.points.mean(axis=0) - middle) for side, ear in prediction.ears.items()}
            seen = [prediction.ears[side] for side in sorted(apart, key=apart.get) if apart[side] <= near]
        points.append(seen[0].points if seen else np.full((count, 2), np.nan, np.float32))
        confidences.append(seen[0].confidence if seen else np.zeros(count, np.float32))
    return np.stack(points), np.stack(confidences)


def score_points(
    samples: Sequence[Sample],
    scheme: Scheme,
    landmarks: Sequence[int],
    predicted: np.ndarray,
    confidence: np.ndarray,
    protocol: str = "crop",
) -> Scores:
    """Score points (photos, landmarks, 2), pixels of the original photos, of a scheme's `landmarks`."""
    from utils import metrics

    whole = np.stack([sample.points for sample in samples])
    truth = whole[:, list(landmarks)]
    lengths = np.asarray(metrics.normaliser_length(whole, scheme))
    distances = np.asarray(metrics.point_errors(truth, predicted))
    errors = np.asarray(metrics.nme(truth, predicted, lengths))
    # A head that was not found has no error: it is told as missed, and has failed. Under `crop` nothing may be missing.
    answered = np.isfinite(errors) if protocol == "photo" and np.isfinite(errors).any() else np.full(len(errors), True)
    by_box = np.asarray(metrics.nme(truth, predicted, np.asarray(metrics.box_size(whole))))
    parts = {}
    for group in scheme.groups:
        members = [k for k, landmark in enumerate(landmarks) if landmark in group.indices]
        if members:
            parts[group.name] = round(100 * float((distances[:, members] / lengths[:, None])[answered].mean()), 3)
    summary = {
        "task": scheme.task,
        "protocol": protocol,
        "photos": len(samples),
        "landmarks": len(landmarks),
        "nme": 100 * float(errors[answered].mean()),
        "nme_median": 100 * float(np.median(errors[answered])),
        "nme_by_box_size": 100 * float(by_box[answered].mean()),
        "missed": 100 * float(1 - np.isfinite(errors).mean()),
        "failure_at": 100 * scheme.failure_at,
        "failure": 100 * metrics.failure_rate(errors, scheme.failure_at),
        "auc": metrics.area_under_curve(errors, scheme.failure_at),
        "pck_5": 100 * metrics.percentage_of_correct_keypoints(distances, lengths, 0.05),
        "pck_10": 100 * metrics.percentage_of_correct_keypoints(distances, lengths, 0.10),
        "nme_by_part": parts,
    }
    return Scores(list(samples), scheme, tuple(landmarks), predicted, confidence, errors, distances, summary)


def write_report(folder: str | os.PathLike, scores: Scores, title: str) -> None:
    """Write scores.json, photos.csv, ced.png, worst.png and random.png (16 photos each) into `folder`.

    In the pictures the truth is white and the prediction has the groups' colours.
    """
    folder = Path(folder)
    write_json(folder / "scores.json", scores.summary)
    rows = [
        (sample.name, sample.group, f"{100 * error:.4f}", f"{confidence.mean():.4f}")
        for sample, error, confidence in zip(scores.samples, scores.errors, scores.confidence, strict=True)
    ]
    write_csv(folder / "photos.csv", [("name", "group", "nme_percent", "mean_confidence"), *rows])
    plot_ced(
        folder / "ced.png",
        {title: scores.errors},
        scores.scheme.failure_at,
        f"{title}: NME {scores.summary['nme']:.2f} %",
    )
    order = np.argsort(-np.nan_to_num(scores.errors, nan=np.inf), kind="stable")
    save_picture(folder / "worst.png", draw_predictions(scores, order[:16]))
    random = np.random.default_rng(0).permutation(len(order))[:16]
    save_picture(folder / "random.png", draw_predictions(scores, random))


def draw_predictions(scores: Scores, chosen: Sequence[int]) -> np.ndarray:
    """A contact sheet of the chosen photos with truth (white) and prediction (colours) and their NME."""
    pictures = []
    for k in chosen:
        sample = scores.samples[k]
        layers = [(sample.points, None, TRUTH_COLOUR), (scores.predicted[k], scores.landmarks, None)]
        picture = crop_with_landmarks(
            decode_photo(sample.image), crop_warp(scores.scheme, sample.points), layers, scores.scheme
        )
        error = f"{100 * scores.errors[k]:.1f} %" if np.isfinite(scores.errors[k]) else "missed"
        pictures.append(write_label(picture, f"{error}  {Path(sample.name).stem[:24]}"))
    return contact_sheet(pictures)


def refuse_trained_photos(weights: object, record: dict, samples: Sequence[Sample], mend: str) -> None:
    """Raise an `InputError` that ends with `mend` if a network, or the teacher of it, trained on any of the photos."""
    seen = set(record.get("training_photos", ())) | set(record.get("teacher_training_photos", ()))
    known = sum(sample.photo_id in seen for sample in samples)
    if known:
        raise InputError(f"{weights}: was trained on {known} of these {len(samples)} photos; {mend}")


def main() -> None:
    """The command line."""
    parser = CommandLine(
        prog="python -m utils.evaluate", description="Score weights on a dataset: NME, failure rate, CED, worst cases."
    )
    parser.add_argument("weights", nargs="+", help="weights files (.keras, .weights.h5, old .h5)")
    parser.add_argument("data", help="dataset folder: holds AFW/, CollectionA/ or Both/, or photos with .pts")
    parser.add_argument("--split", choices=(*PARTS, "all"), default="test", help="which photos (default: test)")
    parser.add_argument("--split-file", help="split.csv of a run folder, for weights that were trained with --split")
    parser.add_argument(
        "--protocol",
        choices=("crop", "photo"),
        default="crop",
        help="crop: a square on the true points' box (default); photo: found in the whole picture, as the demo does",
    )
    parser.add_argument("--task", choices=tuple(SCHEMES), help="score this head only (default: every head)")
    parser.add_argument("--points", choices=("2d", "3d"), help="jaw on the outline or in 3D (default: as trained)")
    parser.add_argument("--input-size", type=network_size, help="network input in pixels (default: as trained)")
    parser.add_argument("--batch-size", type=positive_int, default=16, help="photos at once; speed only (default: 16)")
    parser.add_argument("--limit", type=positive_int, help="score only that many photos of the part")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="auto (default): the fastest here")
    parser.add_argument("--skip-bad", action="store_true", help="leave out unusable photos and list them")
    parser.add_argument("--allow-trained", action="store_true", help="score photos that the network was trained on")
    parser.add_argument("--out", default="runs/evaluate", help="folder for the report (default: runs/evaluate)")
    args = parser.parse_args()

    for weights in args.weights:
        if not Path(weights).is_file():
            raise InputError(f"{weights}: no such weights file")
    if not Path(args.data).is_dir():
        raise InputError(f"{args.data}: no such dataset folder")

    check_writable("--out", Path(args.out))

    precision = start_keras(args.precision)
    from models.trainer import LandmarkReader
    from models.weights import check_task, load_network
    from utils.predict import LandmarkPredictor

    @functools.cache
    def read(scheme: Scheme, points: str) -> list[Sample]:
        """The photos to score, read once for all weights of a kind."""
        found = find_samples([args.data], scheme, points, args.skip_bad)
        for problem in found.problems:
            print(f"left out: {problem}")
        parts = split_samples(found.samples, args.split_file)
        samples = spread(found.samples if args.split == "all" else parts[args.split], args.limit)
        if not samples:
            raise InputError(f"{args.data}: its {args.split} part is empty; choose another --split")
        return samples

    results: dict[str, Scores] = {}
    for number, weights in enumerate(args.weights, start=1):
        loaded = load_network(weights)
        settings = loaded.settings
        tasks = [args.task] if args.task else list(settings.heads)
        predictor = LandmarkPredictor(weights, args.input_size, precision) if args.protocol == "photo" else None
        for task in tasks:
            check_task(loaded, task)
            try:
                samples = read(SCHEMES[task], args.points or settings.points)
            except NoSuchPhotosError:
                if len(tasks) == 1:
                    raise
                print(f"{weights}  {task}  not scored: no such points in {args.data}")
                continue
            if not args.allow_trained:
                refuse_trained_photos(weights, loaded.record, samples, UNSEEN)
            if predictor is not None:
                answers = find_and_predict(predictor, samples, SCHEMES[task])
                scores = score_points(samples, SCHEMES[task], settings.heads[task], *answers, protocol="photo")
            else:
                reader = LandmarkReader(loaded.network, settings, task)
                scores = score_samples(reader, samples, args.batch_size, args.input_size)
            print(f"{weights}  {task}  {scores.line}")
            name = Path(weights).stem
            if [Path(other).stem for other in args.weights].count(name) > 1:
                name = f"{number}_{name}"
            name = name if len(tasks) == 1 else f"{name}_{task}"
            name = f"{number}_{name}" if name in results else name
            results[name] = scores
            write_report(Path(args.out) / name, scores, name)
    if not results:
        raise InputError(f"{args.data}: no photos with points of these weights' landmarks")
    limit = max(scores.scheme.failure_at for scores in results.values())
    plot_ced(Path(args.out) / "ced.png", {name: s.errors for name, s in results.items()}, limit, str(args.data))
    write_json(Path(args.out) / "scores.json", {name: scores.summary for name, scores in results.items()})
    print(f"report in {args.out}")


if __name__ == "__main__":
    run_main(main)
