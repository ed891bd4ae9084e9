import math

import numpy as np
import pytest

from data.augment import Warp
from data.schemes import EAR, FACE, reference_shape
from utils.demo.prediction import Landmarks, Prediction
from utils.demo.smoothing import OneEuroFilter, PointSmoother


def landmarks(scheme, points):
    points = np.asarray(points, np.float32)
    return Landmarks(scheme, tuple(range(scheme.count)), points, np.ones(len(points)), Warp((0.0, 0.0), 1.0))


def test_the_second_value_by_hand():
    # Cutoff 1 Hz, step 1 / (2 pi) s: tau = 1 / (2 pi), so half of the new value is taken over, and of the speed.
    step = 1 / (2 * math.pi)
    smooth = OneEuroFilter(least_cutoff=1.0, slope=0.0, speed_cutoff=1.0)
    assert smooth(np.array([4.0]), 0.0) == 4.0
    assert smooth(np.array([8.0]), step) == pytest.approx(6.0)
    assert smooth.speed == pytest.approx(0.5 * 4.0 * 2 * math.pi)


def test_speed_raises_the_cutoff_by_hand():
    # The speed is 0.5 * 4 / step = 4 pi units/s, the cutoff 1 + 4 pi / (4 pi) = 2 Hz: 1 / (1 + 1 / 2) of the way.
    step = 1 / (2 * math.pi)
    smooth = OneEuroFilter(least_cutoff=1.0, slope=1 / (4 * math.pi), speed_cutoff=1.0)
    smooth(np.array([4.0]), 0.0)
    assert smooth(np.array([8.0]), step) == pytest.approx(4 + 4 * 2 / 3)


def test_values_that_were_unknown_start_anew():
    smooth = OneEuroFilter()
    smooth(np.array([np.nan, 1.0]), 0.0)
    first, second = smooth(np.array([5.0, 2.0]), 0.1)
    assert first == 5.0 and 1.0 < second < 2.0


def test_a_clock_that_goes_back_starts_anew():
    smooth = OneEuroFilter()
    smooth(np.array([1.0]), 5.0)
    assert smooth(np.array([9.0]), 0.0) == 9.0


@pytest.mark.parametrize("zoom", [0.25, 10.0])
def test_the_same_for_any_resolution(zoom):
    rng, small, large = np.random.default_rng(0), PointSmoother(), PointSmoother()
    shape = 100 * reference_shape(FACE)
    for k in range(20):
        points = shape + np.array([3 * k, k]) + rng.normal(0, 0.5, shape.shape)
        one = small(Prediction(landmarks(FACE, points)), k / 30).face.points
        other = large(Prediction(landmarks(FACE, zoom * points)), k / 30).face.points
    assert np.allclose(zoom * one, other, atol=1e-3 * zoom)


def test_a_still_face_is_calmed_and_a_moving_one_followed():
    rng, smoother = np.random.default_rng(0), PointSmoother()
    shape = 200 * reference_shape(FACE)
    still = [
        smoother(Prediction(landmarks(FACE, shape + rng.normal(0, 1, shape.shape))), k / 30).face.points
        for k in range(60)
    ]
    assert np.std(still[30:], axis=0).mean() < 0.55  # of 1 pixel
    for k in range(60):  # a face length a second
        truth = shape + np.array([k * 200 / 30, 0])
        points = smoother(Prediction(landmarks(FACE, truth)), 2 + k / 30).face.points
    eyes = np.linalg.norm(shape[36] - shape[45])
    assert np.linalg.norm(points - truth, axis=1).mean() < 0.05 * eyes


def test_a_head_that_jumps_or_comes_back_is_not_dragged():
    smoother, shape = PointSmoother(), 100 * reference_shape(FACE)
    smoother(Prediction(landmarks(FACE, shape)), 0.0)
    moved = smoother(Prediction(landmarks(FACE, shape + 300)), 0.1).face.points
    assert np.allclose(moved, shape + 300)
    smoother(Prediction(), 0.2)
    back = smoother(Prediction(landmarks(FACE, shape + 310)), 0.3).face.points
    assert np.allclose(back, shape + 310)


def test_ears_are_smoothed_each_by_itself():
    smoother, ear = PointSmoother(), 50 * reference_shape(EAR)
    smoother(Prediction(None, {"left": landmarks(EAR, ear), "right": landmarks(EAR, ear + 200)}), 0.0)
    now = smoother(Prediction(None, {"left": landmarks(EAR, ear + 4), "right": landmarks(EAR, ear + 200)}), 1 / 30)
    assert now.face is None
    assert np.all(now.ears["left"].points > ear) and np.all(now.ears["left"].points < ear + 4)
    assert np.allclose(now.ears["right"].points, ear + 200)
