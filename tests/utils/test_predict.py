import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.augment import Warp, apply_matrix
from data.schemes import EAR, FACE, reference_shape
from utils.predict import (
    Landmarks,
    Prediction,
    agreeing,
    ear_square,
    is_ear,
    is_face,
    side_of,
    square_round,
    tilt,
    whole_picture,
)


def turned(points, degrees):
    """Points turned clockwise on the screen (y points down) about their middle."""
    a = np.radians(degrees)
    middle = points.mean(axis=0)
    return (points - middle) @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) + middle


def seen(scheme, points, score=1.0):
    return Landmarks(scheme, tuple(range(scheme.count)), points, np.full(scheme.count, score), Warp((0, 0), 100.0))


FRONT = reference_shape(FACE) * 100 + (200, 150)


class TestSquares:
    def test_an_upright_face_is_not_turned_and_a_tilted_one_is_turned_back(self):
        assert tilt(FRONT) == pytest.approx(0, abs=1)
        assert tilt(turned(FRONT, 30)) == pytest.approx(tilt(FRONT) - 30, abs=1e-3)

    @given(st.floats(-180, 180), st.floats(0.3, 5))
    def test_the_square_holds_the_face_upright_in_its_middle_at_1_6_times_its_size(self, degrees, scale):
        face = turned(FRONT * scale, degrees)
        inside = apply_matrix(square_round(seen(FACE, face)).matrix(160), face)
        low, high = inside.min(axis=0), inside.max(axis=0)
        assert (low + high) / 2 == pytest.approx([79.5, 79.5], abs=0.1)
        assert (high - low).max() == pytest.approx(100, abs=0.1)
        assert inside[36:48, 1].mean() < inside[48:68, 1].mean()
        assert tilt(inside) == pytest.approx(0, abs=0.01)

    @given(st.floats(-90, 90))
    def test_ears_are_looked_for_on_their_sides_of_the_head(self, degrees):
        face = seen(FACE, turned(FRONT, degrees))
        upright = square_round(face).matrix(160)
        for side, sign in (("left", 1), ("right", -1)):  # the subject's left is on the right of the picture
            square = ear_square(face, side)
            place = apply_matrix(upright, np.array([square.centre]))[0]
            assert sign * (place[0] - 79.5) > 45
            assert 30 < place[1] < 90
            assert square.angle == pytest.approx(tilt(face.whole))

    def test_corners_are_those_of_the_square(self):
        corners = Landmarks(FACE, (0,), np.zeros((1, 2)), np.ones(1), Warp((50, 40), 20)).corners
        assert corners == pytest.approx(np.array([[40, 30], [60, 30], [60, 50], [40, 50]]))


class TestWholePicture:
    @pytest.mark.parametrize("quarter", [0, 1, 2, 3])
    @pytest.mark.parametrize("shape", [(120, 200), (333, 90), (64, 64)])
    def test_a_bright_spot_lands_where_the_matrix_says(self, shape, quarter):
        picture = np.zeros((*shape, 3), np.uint8)
        picture[40:44, 60:64] = 255
        matrix, canvas = whole_picture(picture, 128, quarter)
        assert canvas.shape[0] % 32 == canvas.shape[1] % 32 == 0
        bright = canvas[..., 0].astype(float)
        across, down = np.meshgrid(np.arange(canvas.shape[1]), np.arange(canvas.shape[0]))
        found = np.array([(across * bright).sum(), (down * bright).sum()]) / bright.sum()
        assert found == pytest.approx(apply_matrix(matrix, np.array([[61.5, 41.5]]))[0], abs=0.3)

    def test_one_pixel_is_a_picture(self):
        _, canvas = whole_picture(np.zeros((1, 1, 3), np.uint8), 128)
        assert canvas.shape == (128, 128, 3)


class TestPlausible:
    def test_points_that_lie_apart_from_the_others_are_left_out(self):
        points = np.concatenate([FRONT, [[900, 20], [5, 700]]])
        kept = agreeing(points, np.ones(70))
        assert kept[:68].all()
        assert not kept[68:].any()

    def test_noise_is_no_face_and_faces_from_any_side_are(self):
        rng = np.random.default_rng(0)
        assert not any(is_face(rng.uniform(0, 100, (68, 2))) for _ in range(50))
        for squeeze in (1.0, 0.6, 0.3):
            for degrees in (-60, 0, 120):
                assert is_face(turned(FRONT * (squeeze, 1), degrees) + rng.normal(0, 2, (68, 2)))

    def test_an_ear_has_a_size_that_goes_with_the_face(self):
        face = seen(FACE, FRONT)
        ear = reference_shape(EAR)
        assert is_ear(seen(EAR, ear * 35 + (300, 170)), face)
        assert not is_ear(seen(EAR, ear * 5 + (300, 170)), face)
        assert not is_ear(seen(EAR, ear * 90 + (300, 170)), face)

    @given(st.floats(-60, 60))
    def test_the_turn_of_the_helix_tells_the_side(self, degrees):
        left = turned(reference_shape(EAR), degrees)
        assert side_of(left) == "left"
        assert side_of(left * (-1, 1)) == "right"

    def test_nothing_in_view_is_false(self):
        assert not Prediction()
        assert Prediction(None, {"left": seen(EAR, reference_shape(EAR))})
