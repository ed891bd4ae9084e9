from dataclasses import dataclass, field, replace
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
    others: dict = field(default_factory=dict)
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


def off_by(face, jaw, inner):
    """The face with its jaw `jaw` px and all else `inner` px away from its place."""
    return face + np.where(np.arange(68)[:, None] < 17, jaw, inner) * np.float32([0.6, 0.8])


def face_with_eyes_100_px_apart():
    face = reference_shape(FACE).astype(np.float64)
    return (face * 100 / np.linalg.norm(face[36] - face[45])).astype(np.float32)


@pytest.mark.parametrize("protocol", ["crop", "photo"])
def test_the_inner_points_are_those_without_the_jaw_in_outer_eye_distances(image, protocol):
    face = face_with_eyes_100_px_apart()
    samples = [sample_of(image, FACE, face)] * 2
    # (17 * 34 + 51 * 2) / 68 = 10 px of 100, and 2 px of the inner points; the second face: (17 * 8 + 51 * 4) / 68 = 5.
    points = np.stack([off_by(face, 34, 2), off_by(face, 8, 4)])
    scores = score_points(samples, FACE, range(68), points, np.ones((2, 68)), protocol)
    assert scores.summary["nme"] == pytest.approx(7.5, abs=1e-4)
    assert scores.summary["nme_inner"] == pytest.approx(3, abs=1e-4)
    assert "NME 7.50 %  51 inner points 3.00 %" in scores.line
    if protocol == "photo":  # the mean is of those that were found
        points[1] = np.nan
        missed = score_points(samples, FACE, range(68), points, np.ones((2, 68)), protocol).summary
        assert missed["nme_inner"] == pytest.approx(2, abs=1e-4) and missed["missed"] == 50


def test_a_network_that_lacks_landmarks_and_an_ear_have_no_inner_points(image):
    face = face_with_eyes_100_px_apart()
    for scheme, landmarks, points in ((FACE, range(17, 68), face), (EAR, range(55), EAR_AT)):
        truth = points[list(landmarks)][None]
        scores = score_points(
            [sample_of(image, scheme, points)], scheme, landmarks, truth, np.ones((1, len(landmarks)))
        )
        assert "nme_inner" not in scores.summary and "inner" not in scores.line


@pytest.mark.parametrize("protocol", ["crop", "photo"])
def test_test_sets_of_300w_are_scored_on_their_own(image, protocol):
    face = face_with_eyes_100_px_apart()
    errors = {"common": (2, 4), "challenging": (9,), "": (50,)}  # px of 100; the last is of no set of 300-W
    samples = [replace(sample_of(image, FACE, face), subset=name) for name, given in errors.items() for _ in given]
    points = np.stack([off_by(face, error, error) for given in errors.values() for error in given])
    scores = score_points(samples, FACE, range(68), points, np.ones((4, 68)), protocol)
    subsets = scores.summary["subsets"]
    assert {name: own["images"] for name, own in subsets.items()} == {"common": 2, "challenging": 1, "full": 3}
    for name, nme, failure in (("common", 3, 0), ("challenging", 9, 100), ("full", 5, 100 / 3)):
        assert [subsets[name][key] for key in ("nme", "nme_inner")] == pytest.approx([nme, nme], abs=1e-4)
        assert subsets[name]["failure"] == pytest.approx(failure)
    assert scores.summary["nme"] == pytest.approx(65 / 4, abs=1e-4)
    assert [line.split()[0] for line in scores.detail_lines] == ["common", "challenging", "full"]
    assert "NME 5.00 %" in scores.detail_lines[2] and f"(3 images, {protocol}" in scores.detail_lines[2]


def test_attributes_and_hidden_landmarks_are_scored_on_their_own(image):
    face = face_with_eyes_100_px_apart()
    sample = sample_of(image, FACE, face)
    hidden = np.arange(68) < 17  # the jaw
    samples = [replace(sample, attributes=("pose", "blur"), hidden=hidden), replace(sample, attributes=("pose",))]
    points = np.stack([off_by(face, 20, 2), off_by(face, 4, 4)])
    scores = score_points(samples, FACE, range(68), points, np.ones((2, 68)))
    summary = scores.summary
    assert {name: own["images"] for name, own in summary["subsets"].items()} == {"pose": 2, "blur": 1}
    assert summary["subsets"]["blur"]["nme"] == pytest.approx((17 * 20 + 51 * 2) / 68, abs=1e-4)
    assert summary["hidden"] == 17 and summary["nme_hidden"] == pytest.approx(20, abs=1e-4)
    assert summary["nme_visible"] == pytest.approx((51 * 2 + 68 * 4) / 119, abs=1e-4)
    assert "visible 3.14 %, hidden 20.00 % (17 hidden ones)" in scores.detail_lines[2]
    lost = score_points(samples, FACE, range(68), np.full_like(points, np.nan), np.ones((2, 68)), "photo")
    assert "nme_hidden" not in lost.summary and len(lost.detail_lines) == 2


def test_a_test_set_in_which_nothing_was_found_says_so_and_the_others_keep_their_scores(image):
    face = face_with_eyes_100_px_apart()
    samples = [replace(sample_of(image, FACE, face), subset=name) for name in ("common", "challenging")]
    points = np.stack([off_by(face, 3, 3), np.full((68, 2), np.nan, np.float32)])
    scores = score_points(samples, FACE, range(68), points, np.ones((2, 68)), "photo")
    common, challenging, full = scores.detail_lines
    assert "NME 3.00 %" in common and "0.00 % missed" in common
    assert "nothing found in 1 images" in challenging and "nan" not in challenging
    assert "NME 3.00 %" in full and "50.00 % missed" in full


@pytest.mark.parametrize("entry", ["training_images", "teacher_training_images"])
def test_images_that_were_trained_on_are_refused(image, entry):
    samples = [sample_of(image, FACE, reference_shape(FACE))]
    refuse_trained_images("w.keras", {entry: ["0" * 12]}, samples, "leave it out")
    with input_error("w.keras", "1 of these 1", "leave it out"):
        refuse_trained_images("w.keras", {entry: [samples[0].image_id]}, samples, "leave it out")
