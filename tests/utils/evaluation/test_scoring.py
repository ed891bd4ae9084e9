from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from data.annotation import Annotation
from data.datasets import Sample
from data.schemes import EAR, FACE, reference_shape
from models.config import ModelConfig, preset_config
from tests.conftest import input_error
from utils.common.images import save_image
from utils.evaluation.scoring import find_and_predict, refuse_trained_images, score_points

ALL_LANDMARKS = {"face": tuple(range(68)), "ear": tuple(range(55))}
EAR_AT = reference_shape(EAR) * 40 + 20


@dataclass
class Answer:
    points: np.ndarray
    confidence: np.ndarray


@dataclass
class Answers:
    face: Answer | None = None
    ears: dict[str, Answer] = field(default_factory=dict)


@dataclass
class SaysAlways:
    """A predictor that answers the same of every image, and counts them."""

    answers: Answers
    config: ModelConfig = field(default_factory=lambda: preset_config("tiny", ALL_LANDMARKS))
    images: int = 0

    def __call__(self, image):
        self.images += 1
        return self.answers


def answer(points):
    return Answer(points, np.full(len(points), 0.5, np.float32))


@pytest.fixture
def image(tmp_path):
    save_image(tmp_path / "image.png", np.zeros((80, 80, 3), np.uint8))
    return tmp_path / "image.png"


def sample_of(image: Path, scheme, points):
    return Sample(image.name, image, Annotation.of(scheme, points), "someone")


def test_of_two_ears_the_nearest_to_the_annotated_one_answers(image):
    near, far = EAR_AT + 2, EAR_AT + 9
    predictor = SaysAlways(Answers(ears={"left": answer(far), "right": answer(near)}))
    points, confidence = find_and_predict(predictor, [sample_of(image, EAR, EAR_AT)], EAR)
    np.testing.assert_array_equal(points[0], near)
    assert confidence[0] == pytest.approx(0.5)


def test_an_ear_farther_than_half_the_boxs_diagonal_does_not_answer(image):
    half = np.linalg.norm(np.ptp(EAR_AT, axis=0)) / 2
    for shift, found in ((0.98 * half, True), (1.02 * half, False)):
        predictor = SaysAlways(Answers(ears={"left": answer(EAR_AT + np.float32([shift, 0]))}))
        points, confidence = find_and_predict(predictor, [sample_of(image, EAR, EAR_AT)], EAR)
        assert np.isfinite(points).all() == found and confidence.any() == found


def test_an_image_with_two_annotated_ears_is_looked_at_once(image):
    predictor = SaysAlways(Answers())
    samples = [sample_of(image, EAR, EAR_AT), sample_of(image, EAR, EAR_AT + 20)]
    points, confidence = find_and_predict(predictor, samples, EAR)
    assert predictor.images == 1
    assert points.shape == (2, 55, 2) and np.isnan(points).all() and not confidence.any()


def test_a_face_is_scored_in_pixels_of_the_image(image):
    face = reference_shape(FACE) * 60 + 10
    samples = [sample_of(image, FACE, face)]
    found = find_and_predict(SaysAlways(Answers(face=answer(face + np.float32([3, 4])))), samples, FACE)
    summary = score_points(samples, FACE, range(68), *found, protocol="photo").summary
    assert summary["nme"] == pytest.approx(100 * 5 / np.linalg.norm(face[36] - face[45]), rel=1e-5)
    assert summary["missed"] == 0 and summary["landmarks"] == 68


@pytest.mark.parametrize("entry", ["training_images", "teacher_training_images"])
def test_images_that_were_trained_on_are_refused(image, entry):
    samples = [sample_of(image, FACE, reference_shape(FACE))]
    refuse_trained_images("w.keras", {entry: ["0" * 12]}, samples, "leave it out")
    with input_error("w.keras", "1 of these 1", "leave it out"):
        refuse_trained_images("w.keras", {entry: [samples[0].image_id]}, samples, "leave it out")
