"""Steady offsets across and along annotated lines: worked out by hand, and by moving whole copies."""

import numpy as np
import pytest

from data.schemes import EAR, FACE, reference_shape
from utils.evaluation.metrics import normaliser_length
from utils.evaluation.offsets import landmark_offsets


def faces(count: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([reference_shape(FACE) * rng.uniform(50, 150) + rng.uniform(0, 90, 2) for _ in range(count)])


@pytest.mark.parametrize("scheme", [FACE, EAR])
def test_the_truth_has_no_offset(scheme):
    truth = np.stack([reference_shape(scheme) * 90])
    offsets = landmark_offsets(truth, truth, scheme)
    assert offsets.nme() == 0 and not offsets.across.any() and not offsets.along.any()


def test_a_jaw_moved_down_lies_outside_at_the_chin_and_runs_along_at_the_cheek():
    truth = faces(1)
    predicted = truth.copy()
    length = normaliser_length(truth, FACE)[0]
    predicted[0, 8, 1] += 0.05 * length  # the chin, 5 % of the outer-eye distance down
    across, along = (getattr(landmark_offsets(truth, predicted, FACE), name)[0] for name in ("across", "along"))
    step = truth[0, 9] - truth[0, 7]
    step /= np.linalg.norm(step)
    assert along[8] == pytest.approx(5 * step[1], abs=1e-4)
    assert across[8] == pytest.approx(5 * step[0], abs=1e-4) and across[8] > 4.9
    assert not np.delete(across, 8).any() and not np.delete(along, 8).any()


def test_a_wider_eye_lies_outside_its_line_all_round():
    truth = faces()
    predicted = truth.copy()
    eye = list(range(36, 42))
    centre = truth[:, eye].mean(axis=1, keepdims=True)
    predicted[:, eye] = centre + 1.2 * (truth[:, eye] - centre)
    offsets = landmark_offsets(truth, predicted, FACE)
    assert (offsets.across[:, eye] > 0).all()
    assert offsets.groups()["right_eye"]["across"] > 0.5
    assert offsets.groups()["left_eye"]["across"] == 0


def test_a_mirrored_ear_has_the_same_offsets():
    truth = np.stack([reference_shape(EAR) * 80])
    predicted = truth + np.random.default_rng(1).normal(0, 2, truth.shape)
    one, other = (landmark_offsets(truth * side, predicted * side, EAR) for side in ((1, 1), (-1, 1)))
    np.testing.assert_allclose(one.across, other.across, atol=1e-6)
    np.testing.assert_allclose(one.along, other.along, atol=1e-6)


def test_a_steady_offset_is_taken_away_and_scatter_is_not():
    truth = np.stack([reference_shape(EAR) * 100] * 4)
    steady = landmark_offsets(truth, truth + np.array([3, -2]), EAR)
    assert steady.nme() == pytest.approx(100 * 13**0.5 / normaliser_length(truth, EAR)[0])
    assert steady.corrected_nme() == pytest.approx(0, abs=1e-6)
    # Two images to the left and two to the right: the others' mean points the wrong way, by a third.
    sides = truth + np.array([3, 3, -3, -3])[:, None, None] * (1, 0)
    scattered = landmark_offsets(truth, sides, EAR)
    assert scattered.corrected_nme() == pytest.approx(scattered.nme() * 4 / 3)
    assert scattered.groups()["outer_helix"]["across"] == pytest.approx(0, abs=1e-6)
    assert np.isnan(landmark_offsets(truth[:1], sides[:1], EAR).corrected_nme())
