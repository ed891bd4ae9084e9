"""Scores of a network on annotated images, under the `crop` and the `photo` protocol.

Errors are measured in pixels of the original image, each image once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from tqdm import tqdm

from data.augment import apply_matrix, invert_matrix
from data.datasets import Sample, subsets_of
from data.pipeline import EvaluationPipeline
from data.schemes import EAR, SCHEMES, Scheme
from utils.common.cli import InputError
from utils.common.images import decode_image
from utils.evaluation import metrics

if TYPE_CHECKING:
    from models.config import ModelConfig


class TaskReader(Protocol):
    """What reads points of one task: a `LandmarkReader`, or an `ExportedReader`."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """That one task."""
        ...

    @property
    def config(self) -> ModelConfig:
        """The network's."""
        ...

    def predict_on_batch(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Its points and confidences of images (batch, height, width, 3) uint8."""
        ...


@dataclass(frozen=True)
class Scores:
    """What a network answered on a list of images, and how wrong it was.

    - `predicted`: (images, landmarks, 2) float32, pixels of the original images; `confidence`: (images, landmarks).
    - `errors`: NME of each image, a fraction of the scheme's normaliser; `distances`: (images, landmarks) pixels.
    - `summary`: JSON figures, in per cent, and how they came about.
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
        return self._line(self.summary)

    @property
    def detail_lines(self) -> list[str]:
        """A line for each test set of 300-W and each attribute of WFLW that there are images of.

        The last is of hidden landmarks, where the annotation says which are.
        """
        lines = [f"{name:<12}  {self._line(figures)}" for name, figures in self.summary.get("subsets", {}).items()]
        if "nme_hidden" in self.summary:
            shares = ", ".join(f"{name} {self.summary[f'nme_{name}']:.2f} %" for name in ("visible", "hidden"))
            lines.append(f"NME of landmarks that are {shares} ({self.summary['hidden']} hidden ones)")
        return lines

    def _line(self, figures: dict) -> str:
        s = self.summary | figures
        if not np.isfinite(s["nme"]):
            return f"nothing found in {s['images']} images, so no NME ({s['protocol']})"
        inner = f"  {len(self.scheme.inner)} inner points {s['nme_inner']:.2f} %" if "nme_inner" in s else ""
        return (
            f"NME {s['nme']:.2f} %{inner}  median {s['nme_median']:.2f} %  failure({s['failure_at']:g} %) "
            f"{s['failure']:.2f} %  AUC {s['auc']:.3f}  ({s['images']} images, {s['protocol']}"
            + (f", {s['missed']:.2f} % missed)" if s["protocol"] == "photo" else ")")
        )


def predict_samples(
    reader: TaskReader, samples: Sequence[Sample], batch_size: int = 16, size: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Points (images, landmarks, 2) in pixels of the original images, and confidences, under the `crop` protocol.

    `reader` reads one task; `size` is the input in pixels (default: as its config says).
    """
    (task,) = reader.tasks
    points, confidences = [], []
    pipeline = EvaluationPipeline(samples, SCHEMES[task], size=size or reader.config.input_size, batch_size=batch_size)
    for _, images, matrices in pipeline.batches():
        answer = reader.predict_on_batch(images)
        places = zip(matrices, answer[f"{task}_points"], strict=True)
        points += [apply_matrix(invert_matrix(matrix), place) for matrix, place in places]
        confidences.append(answer[f"{task}_confidence"])
    return np.stack(points), np.concatenate(confidences)


def score_samples(
    reader: TaskReader, samples: Sequence[Sample], batch_size: int = 16, size: int | None = None
) -> Scores:
    """Predict and score every sample once under the `crop` protocol; `reader` reads one task."""
    predicted, confidence = predict_samples(reader, samples, batch_size, size)
    (task,) = reader.tasks
    return score_points(samples, SCHEMES[task], reader.config.heads[task], predicted, confidence)


class Answer(Protocol):
    """A face or ear that was found: `points` (landmarks, 2) in pixels of the image, `confidence` (landmarks,)."""

    @property
    def points(self) -> np.ndarray:
        """Places of the landmarks."""

    @property
    def whole(self) -> np.ndarray:
        """Places of the whole scheme (count, 2), NaN of the landmarks that the network does not know."""

    @property
    def confidence(self) -> np.ndarray:
        """Heights of their peaks."""


class Answers(Protocol):
    """What was found in an image: a face or None, ears by the side of the person, and what else it knows by task."""

    @property
    def face(self) -> Answer | None:
        """The face."""

    @property
    def ears(self) -> Mapping[str, Answer]:
        """The ears."""

    @property
    def others(self) -> Mapping[str, Answer]:
        """What is neither."""


class Predictor(Protocol):
    """What finds faces and ears in a whole image: `utils.demo.predictor.LandmarkPredictor` is one."""

    @property
    def config(self) -> ModelConfig:
        """Which landmarks its network knows."""

    @property
    def others(self) -> Mapping[str, Scheme]:
        """What it looks for where a face is, by task."""

    def __call__(self, image: np.ndarray) -> Answers:
        """Look at an image (height, width, 3) uint8 RGB."""


def images_of(samples: Iterable[Sample]) -> list[Path]:
    """The images of samples in their order; those of neighbours that share one stand once."""
    return [image for image, _ in itertools.groupby(sample.image for sample in samples)]


def find_and_predict(
    predictor: Predictor, samples: Sequence[Sample], scheme: Scheme, answers: Iterable[Answers] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Points (images, landmarks, 2) in pixels of the original images, and confidences, under the `photo` protocol.

    No truth is used to find the head. Of the ears that were found the one nearest to the annotated one answers, if
    their centres are within half of the true box's diagonal. Where nothing is found, points are NaN and confidences 0.
    `answers`: what is found in the `images_of` the samples, one after the other (default: the predictor looks).
    """
    looked = iter(answers or (predictor(decode_image(image)) for image in images_of(samples)))
    count = len(predictor.config.heads[scheme.task])
    points, confidences = [], []
    image: Path | None = None
    found: Answers
    for sample in tqdm(samples, unit="image", leave=False, dynamic_ncols=True, disable=None):
        if sample.image != image:  # images with two annotated ears come twice
            image, found = sample.image, next(looked)
        if scheme is EAR:
            answer = _nearest(list(found.ears.values()), sample.points)
        else:
            answer = found.others.get(scheme.task) if scheme.task in predictor.others else found.face
        points.append(np.full((count, 2), np.nan, np.float32) if answer is None else answer.points)
        confidences.append(np.zeros(count, np.float32) if answer is None else answer.confidence)
    return np.stack(points), np.stack(confidences)


def _nearest(ears: Sequence[Answer], truth: np.ndarray) -> Answer | None:
    """The ear whose centre is nearest to that of the true points (55, 2); None if all are far."""
    apart = [float(np.linalg.norm(ear.points.mean(axis=0) - np.nanmean(truth, axis=0))) for ear in ears]
    if not apart or min(apart) > np.linalg.norm(np.nanmax(truth, axis=0) - np.nanmin(truth, axis=0)) / 2:
        return None
    return ears[int(np.argmin(apart))]


def score_points(
    samples: Sequence[Sample],
    scheme: Scheme,
    landmarks: Sequence[int],
    predicted: np.ndarray,
    confidence: np.ndarray,
    protocol: str = "crop",
    searcher: str = "",
) -> Scores:
    """Score points (images, landmarks, 2), pixels of the original images, of a scheme's `landmarks`.

    Those that are missing in an image's truth do not count. The summary names the `searcher`, if there is one.
    """
    whole = np.stack([sample.points for sample in samples])
    truth = whole[:, list(landmarks)]
    lengths = metrics.normaliser_length(whole, scheme)
    distances, there = metrics.point_errors(truth, predicted), metrics.known_points(truth)
    errors = metrics.nme(truth, predicted, lengths)
    by_box = metrics.nme(truth, predicted, metrics.box_size(whole))
    means = {"nme": errors}
    if scheme.inner and len(landmarks) == scheme.count:
        inner = list(scheme.inner)
        means["nme_inner"] = metrics.mean_error(distances[:, inner], there[:, inner]) / lengths
    answered = _answered(errors, protocol)
    parts = {}
    for group in scheme.groups:
        members = [k for k, landmark in enumerate(landmarks) if landmark in group.indices]
        known_members = there[:, members][answered]
        if known_members.any():
            shares = (distances[:, members] / lengths[:, None])[answered]
            parts[group.name] = round(100 * float(shares[known_members].mean()), 3)

    def figures(chosen: Sequence[int]) -> dict:
        """What is reported of all images, and of each subset of them."""
        own = errors[chosen]
        known = _answered(own, protocol)
        return {
            "images": len(own),
            **{name: 100 * float(values[chosen][known].mean()) for name, values in means.items()},
            "nme_median": 100 * float(np.median(own[known])),
            "missed": 100 * float(1 - np.isfinite(own).mean()),
            "failure": 100 * metrics.failure_rate(own, scheme.failure_at),
            "auc": metrics.area_under_curve(own, scheme.failure_at),
        }

    summary = {
        "task": scheme.task,
        "protocol": protocol,
        **({"searcher": searcher} if searcher else {}),
        "landmarks": len(landmarks),
        "failure_at": 100 * scheme.failure_at,
        **figures(range(len(samples))),
        "nme_by_box_size": 100 * float(by_box[answered].mean()),
        "pck_5": 100 * metrics.percentage_of_correct_keypoints(distances, lengths, 0.05, there),
        "pck_10": 100 * metrics.percentage_of_correct_keypoints(distances, lengths, 0.10, there),
        "nme_by_part": parts,
    }
    hidden = np.stack([np.zeros(scheme.count, bool) if s.hidden is None else s.hidden for s in samples])
    scored = there & np.isfinite(errors)[:, None]
    hidden = hidden[:, list(landmarks)] & scored
    visible = scored & ~hidden
    if hidden.any() and visible.any():
        shares = distances / lengths[:, None]
        summary |= {"hidden": int(hidden.sum())}
        summary |= {
            "nme_hidden": 100 * float(shares[hidden].mean()),
            "nme_visible": 100 * float(shares[visible].mean()),
        }
    if subsets := subsets_of(samples):
        summary["subsets"] = {name: figures(chosen) for name, chosen in subsets.items()}
    return Scores(list(samples), scheme, tuple(landmarks), predicted, confidence, errors, distances, summary)


def _answered(errors: np.ndarray, protocol: str) -> np.ndarray:
    """Which images the means are of: a head that was not found has no error, is missed, and has failed.

    All are where none was found, so that there is no mean, and under `crop`, where nothing may be missing.
    """
    found = np.isfinite(errors)
    return found if protocol == "photo" and found.any() else np.full(len(errors), True)


def refuse_trained_images(weights: object, record: dict, samples: Sequence[Sample], mend: str) -> None:
    """Raise an `InputError` that ends with `mend` if a network, or the teacher of it, trained on any of the images."""
    trained = set(record.get("training_images", ())) | set(record.get("teacher_training_images", ()))
    known = sum(sample.image_id in trained for sample in samples)
    if known:
        raise InputError(f"{weights}: was trained on {known} of these {len(samples)} images; {mend}")
