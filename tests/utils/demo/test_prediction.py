import numpy as np
import pytest

from data.augment import Warp
from data.schemes import FACE
from tests.utils.demo.heads import alone, ear
from utils.demo.prediction import Landmarks, Prediction


def test_corners_are_those_of_the_square():
    corners = Landmarks(FACE, (0,), np.zeros((1, 2)), np.ones(1), Warp((50, 40), 20)).corners
    assert corners == pytest.approx(np.array([[40, 30], [60, 30], [60, 50], [40, 50]]))


def test_points_of_landmarks_that_the_network_lacks_are_nan():
    part = Landmarks(FACE, (3, 67), np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.2, 0.6]), Warp((0, 0), 1))
    assert part.whole.shape == (68, 2) and np.isfinite(part.whole).all(axis=1).nonzero()[0].tolist() == [3, 67]
    assert part.whole[67].tolist() == [3, 4] and part.score == pytest.approx(0.4)


def test_nothing_in_view_is_false():
    assert not Prediction()
    assert alone(ear((0, 0)))
