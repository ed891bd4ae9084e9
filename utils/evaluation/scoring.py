"""Scores of a network on annotated images, under the `crop` and the `photo` protocol.

Errors are measured in pixels of the original image, each image once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from data.augment import apply_matrix, invert_matrix
from data.datasets import Sample
from data.pipeline import EvaluationPipeline
from data.schemes import SCHEMES, Scheme
from utils.common.cli import InputError
from utils.common.images import decode_image


@dataclass(frozen=True)
class Scores:
    """What a network answered on a list of images, and how wrong it was.

    - `predicted`: (images, landmarks, 2) float32, pixels of the original images; `confidence`: (images, landmarks).
    - `errors`: NME of each image, a fraction of the scheme's normaliser; `distances`: (images, landmarks) pixels.
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
            return f"nothing found in {s['images']} images, so no NME ({s['protocol']})"
        return (
            f"NME {s['nme']:.2f} %  median {s['nme_median']:.2f} %  failure({s['failure_at']:g} %) {s['failure']:.2f} %"
            f"  AUC {s['auc']:.3f}  ({s['images']} images, {s['protocol']}"
            + (f", {s['missed']:.2f} % missed)" if s["protocol"] == "photo" else ")")
        )


def predict_samples(
    reader, samples: Sequence[Sample], batch_size: int = 16, size: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Points (images, landmarks, 2) in pixels of the original images, and confidences, under the `crop` protocol.

    `reader` is a `models.trainer.LandmarkReader`; `size` the input in pixels (default: as its settings say).
    """
    points, confidences = [], []
    pipeline = EvaluationPipeline(samples, SCHEMES[reader.task], size or reader.config.input_size, batch_size)
    for _, images, matrices in pipeline.batches():
        answer = reader.predict_on_batch(images)
        points += [apply_matrix(invert_matrix(m), p) for m, p in zip(matrices, answer["points"], strict=True)]
        confidences.append(answer["confidence"])
    return np.stack(points), np.concatenate(confidences)


def score_samples(reader, samples: Sequence[Sample], batch_size: int = 16, size: int | None = None) -> Scores:
    """Predict and score every sample once under the `crop` protocol."""
    predicted, confidence = predict_samples(reader, samples, batch_size, size)
    return score_points(samples, SCHEMES[reader.task], reader.config.heads[reader.task], predicted, confidence)


def find_and_predict(predictor, samples: Sequence[Sample], scheme: Scheme) -> tuple[np.ndarray, np.ndarray]:
    """Points (images, landmarks, 2) in pixels of the original images, and confidences, under the `photo` protocol.

    `predictor` is a `utils.predict.LandmarkPredictor`; no truth is used to find the head. Of the ears that were found
    the one nearest to the annotated one answers, if their centres are within half of the true box's diagonal. Where
    nothing is found, points are NaN and confidences 0.
    """
    count = len(predictor.config.heads[scheme.task])
    points, confidences = [], []
    found = prediction = None
    for sample in tqdm(samples, unit="image", leave=False, dynamic_ncols=True, disable=None):
        if sample.image != found:  # images with two annotated ears come twice
            found, prediction = sample.image, predictor(decode_image(sample.image))
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
    """Score points (images, landmarks, 2), pixels of the original images, of a scheme's `landmarks`."""
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
        "images": len(samples),
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


def refuse_trained_images(weights: object, record: dict, samples: Sequence[Sample], mend: str) -> None:
    """Raise an `InputError` that ends with `mend` if a network, or the teacher of it, trained on any of the images."""
    seen = set(record.get("training_images", ())) | set(record.get("teacher_training_images", ()))
    known = sum(sample.image_id in seen for sample in samples)
    if known:
        raise InputError(f"{weights}: was trained on {known} of these {len(samples)} images; {mend}")
