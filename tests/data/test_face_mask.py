"""A mask drawn on a face hides the mouth and leaves the eyes."""

import cv2
import numpy as np
import pytest

from data.face_mask import draw_face_mask
from data.pipeline import training_example
from data.schemes import FACE, reference_shape


@pytest.fixture(scope="module")
def face() -> tuple[np.ndarray, np.ndarray]:
    """A gray image of 200 px and an upright face of 100 px in it."""
    points = reference_shape(FACE)
    points = (points - points.min(axis=0)) / np.ptp(points, axis=0).max() * 100 + 50
    return np.full((200, 200, 3), 90, np.uint8), points


def covered(image: np.ndarray, masked: np.ndarray, points: np.ndarray) -> np.ndarray:
    x, y = np.round(points).astype(int).T
    return (image[y, x] != masked[y, x]).any(axis=-1)


@pytest.mark.parametrize("seed", range(20))
def test_the_mouth_is_covered_and_the_eyes_are_not(face, seed):
    image, points = face
    masked = draw_face_mask(image, points, np.random.default_rng(seed))
    assert masked.shape == image.shape and masked.dtype == np.uint8
    # A cloth of the skin's own colour would hide nothing: none of these seeds has one.
    assert covered(image, masked, points[48:]).mean() > 0.9
    assert not covered(image, masked, points[36:48]).any()
    assert not covered(image, masked, points[17:28]).any()


def test_the_same_seed_draws_the_same_mask_and_the_image_is_left_alone(face):
    image, points = face
    before = image.copy()
    one, two = (draw_face_mask(image, points, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one, two)
    assert np.array_equal(image, before)
    assert not np.array_equal(one, draw_face_mask(image, points, np.random.default_rng(6)))


def test_a_face_outside_the_image_changes_nothing(face):
    image, points = face
    assert np.array_equal(draw_face_mask(image, points + 1000, np.random.default_rng(0)), image)


def test_some_training_faces_wear_a_mask_and_keep_their_points(face, tmp_path, monkeypatch):
    from data.annotation import Annotation
    from data.datasets import Sample

    image, points = face
    cv2.imwrite(str(tmp_path / "a.png"), image)
    sample = Sample("a.png", tmp_path / "a.png", Annotation.of(FACE, points), "a")

    def crops(fraction: float) -> list:
        monkeypatch.setattr("data.pipeline.FACE_MASK_FRACTION", fraction)
        return [training_example(sample, FACE, 64, np.random.default_rng(k), 1.0) for k in range(20)]

    changed = 0
    for (plain, known), (masked, same) in zip(crops(0), crops(1), strict=True):
        assert np.array_equal(known.points, same.points)
        changed += not np.array_equal(plain, masked)
    assert changed >= 15  # crops of background alone show no face


@pytest.mark.parametrize("augment", [0.0, 0.2])
def test_a_weak_augmentation_draws_as_many_masks_as_a_strong_one(face, tmp_path, monkeypatch, augment):
    from data.annotation import Annotation
    from data.datasets import Sample

    image, points = face
    cv2.imwrite(str(tmp_path / "a.png"), image)
    sample = Sample("a.png", tmp_path / "a.png", Annotation.of(FACE, points), "a")
    drawn = []
    monkeypatch.setattr("data.pipeline.draw_face_mask", lambda crop, *_: drawn.append(1) or crop)
    for k in range(1000):
        training_example(sample, FACE, 32, np.random.default_rng(k), augment)
    low, high = (0, 0) if augment == 0 else (0.12, 0.18)
    assert low <= len(drawn) / 1000 <= high
