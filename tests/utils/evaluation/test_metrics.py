import numpy as np
import pytest

from data.schemes import EAR, FACE, reference_shape
from utils.evaluation import metrics


def test_face_errors_are_divided_by_the_distance_of_the_outer_eye_corners():
    points = np.zeros((1, 68, 2), np.float32)
    points[0, 36], points[0, 45] = (10, 10), (40, 50)  # a 3-4-5 triangle: 50 px apart
    lengths = metrics.normaliser_length(points, FACE)
    assert lengths == pytest.approx([50])
    moved = points + np.float32([3, 4])  # every point 5 px off
    assert metrics.nme(points, moved, lengths) == pytest.approx([0.1])


def test_ear_errors_are_divided_by_the_diagonal_of_the_points_box():
    points = np.zeros((1, 55, 2), np.float32)
    points[0, 3], points[0, 9] = (60, 0), (0, 80)
    assert metrics.normaliser_length(points, EAR) == pytest.approx([100])
    assert metrics.box_size(points) == pytest.approx([np.sqrt(60 * 80)])


def test_nme_is_the_mean_over_points_not_their_maximum():
    truth = np.zeros((2, 4, 2), np.float32)
    predicted = truth.copy()
    predicted[0, 0] = (6, 8)  # 10 px off, one of four points
    assert metrics.nme(truth, predicted, np.float32([20, 20])) == pytest.approx([0.125, 0])


def test_nme_does_not_change_with_the_size_of_the_image():
    rng = np.random.default_rng(0)
    for scheme in (FACE, EAR):
        truth = 100 * reference_shape(scheme)[None]
        predicted = truth + rng.normal(0, 2, truth.shape).astype(np.float32)
        small, large = (
            metrics.nme(k * truth, k * predicted, metrics.normaliser_length(k * truth, scheme)) for k in (1, 7)
        )
        assert small == pytest.approx(large, rel=1e-4)


def test_failure_rate_counts_images_above_the_threshold_and_those_without_an_answer():
    errors = np.array([0.01, 0.08, 0.081, np.inf, np.nan])
    assert metrics.failure_rate(errors, 0.08) == pytest.approx(3 / 5)


def test_area_under_the_curve_of_hand_placed_errors():
    # Steps of 1/2 at 0.02 and 0.06 under a limit of 0.08: (0.5 * 0.06 + 0.5 * 0.02) / 0.08
    assert metrics.area_under_curve(np.array([0.02, 0.06]), 0.08) == pytest.approx(0.5)
    assert metrics.area_under_curve(np.array([0.0]), 0.08) == 1
    assert metrics.area_under_curve(np.array([0.08, 9.0, np.nan]), 0.08) == 0


def test_area_agrees_with_the_integral_of_the_cumulative_distribution():
    errors = np.random.default_rng(1).gamma(3, 0.02, 400)
    grid = np.linspace(0, 0.08, 20001)
    curve = metrics.cumulative_distribution(errors, grid)
    assert metrics.area_under_curve(errors, 0.08) == pytest.approx(np.trapezoid(curve, grid) / 0.08, abs=1e-4)


def test_cumulative_distribution_reaches_only_the_answered_fraction():
    curve = metrics.cumulative_distribution(np.array([0.01, 0.03, np.nan]), np.array([0.0, 0.01, 0.02, 1.0]))
    assert curve == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3])


def test_pck_counts_points_against_their_own_images_length():
    errors = np.array([[1.0, 5.0, 6.0], [1.0, 20.0, 10.0]])
    lengths = np.array([100.0, 200.0])  # 5 % is 5 px and 10 px
    assert metrics.percentage_of_correct_keypoints(errors, lengths, 0.05) == pytest.approx(4 / 6)
