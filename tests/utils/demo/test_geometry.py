import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.augment import apply_matrix
from data.head_pose import head_points, rotation
from data.schemes import EAR, FACE
from tests.utils.demo.heads import EAR_SHAPE, FRONT, turned
from utils.demo.geometry import (
    agreeing_points,
    ear_offset,
    ear_square,
    extent,
    far_side,
    shape_misfit,
    side_of,
    square_around,
    tilt,
    weighted_median,
)


def test_an_upright_face_is_not_tilted_and_a_turned_one_is_turned_back():
    assert tilt(FRONT) == pytest.approx(0, abs=1)
    assert tilt(turned(FRONT, 30)) == pytest.approx(tilt(FRONT) - 30, abs=1e-3)
    assert tilt(np.full((68, 2), np.nan)) == 0


@given(st.floats(-180, 180), st.floats(0.3, 5))
def test_the_square_holds_the_face_upright_in_its_middle_at_1_6_times_its_size(degrees, scale):
    face = turned(FRONT * scale, degrees)
    inside = apply_matrix(square_around(face, 1.6, tilt(face)).matrix(160), face)
    low, high = inside.min(axis=0), inside.max(axis=0)
    assert (low + high) / 2 == pytest.approx([79.5, 79.5], abs=0.1)
    assert (high - low).max() == pytest.approx(100, abs=0.1)
    assert inside[36:48, 1].mean() < inside[48:68, 1].mean()
    assert tilt(inside) == pytest.approx(0, abs=0.01)


@given(st.floats(-90, 90))
def test_ears_are_looked_for_on_their_sides_of_the_head(degrees):
    face = turned(FRONT, degrees)
    upright = square_around(face, 1.6, tilt(face)).matrix(160)
    for side, sign in (("left", 1), ("right", -1)):  # the subject's left is on the right of the image
        square = ear_square(face, side)
        place = apply_matrix(upright, np.array([square.centre]))[0]
        assert sign * (place[0] - 79.5) > 45
        assert 30 < place[1] < 90
        assert square.angle == pytest.approx(tilt(face))


def test_without_the_end_of_the_jaw_ears_are_looked_for_beside_the_faces_box():
    face = FRONT.copy()
    face[:17] = np.nan
    low, high = np.nanmin(face, axis=0), np.nanmax(face, axis=0)
    left, right = (ear_square(face, side).centre for side in ("left", "right"))
    assert left[0] > high[0] - 1 and right[0] < low[0] + 1
    assert abs(left[1] - low[1]) < 0.1 * extent(face)


@pytest.mark.parametrize(
    ("place", "side"), [(-0.2, "right"), (0.24, "right"), (0.26, None), (0.5, None), (0.74, None), (0.76, "left")]
)
@given(st.floats(-180, 180), st.floats(0.3, 5))
def test_the_ear_is_hidden_to_which_the_nose_is_nearer_than_a_quarter_of_the_way(place, side, degrees, scale):
    face = FRONT.copy()
    right, left = face[0:3].mean(axis=0), face[14:17].mean(axis=0)
    face[30] = right + place * (left - right) + (0, 20)
    assert far_side(turned(face * scale, degrees)) == side


@pytest.mark.parametrize(
    ("yaw", "side"), [(-95, "right"), (-40, "right"), (-10, None), (10, None), (40, "left"), (95, "left")]
)
@given(st.floats(-180, 180))
def test_a_head_that_looks_to_one_side_hides_the_ear_of_that_side(yaw, side, degrees):
    face = (head_points() @ rotation(yaw).T)[:, :2] * (60, -60)
    assert far_side(turned(face, degrees)) == side


def test_of_unknown_points_no_ear_is_taken_for_hidden():
    for unknown in (slice(0, 17), slice(30, 31)):
        face = FRONT.copy()
        face[unknown] = np.nan
        assert far_side(face) is None
    assert far_side(np.zeros((68, 2))) is None  # all in one place


@given(st.floats(-180, 180), st.floats(0.5, 3))
def test_an_ears_offset_is_counted_in_lengths_of_the_upright_face(degrees, scale):
    ear = EAR_SHAPE * 30
    ear = ear - ear.mean(axis=0) + FRONT.mean(axis=0) + (70, -20)  # to the right and up
    both = turned(np.concatenate([FRONT, ear]), degrees) * scale
    right, down = ear_offset(both[68:], both[:68])
    a = np.radians(tilt(FRONT))
    wanted = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ (70, -20)
    assert np.array([right, down]) * extent(both[:68]) / scale == pytest.approx(wanted, abs=1e-6)


def test_points_that_lie_apart_from_the_others_do_not_agree():
    points = np.concatenate([FRONT, [[900, 20], [5, 700]]])
    kept = agreeing_points(points, np.ones(70))
    assert kept[:68].all()
    assert not kept[68:].any()


def test_the_weighted_median_by_hand():
    assert weighted_median(np.array([5.0, 1.0, 9.0]), np.ones(3)) == 5
    assert weighted_median(np.array([5.0, 1.0, 9.0]), np.array([1.0, 1.0, 5.0])) == 9


@given(st.floats(-180, 180), st.floats(0.2, 1), st.floats(1, 300))
def test_any_affine_map_of_the_mean_shape_fits(degrees, squeeze, scale):
    for shape, scheme in ((FRONT, FACE), (EAR_SHAPE, EAR)):
        assert shape_misfit(turned(shape * (squeeze, 1) * scale, degrees), scheme) < 1e-4


def test_noise_fits_no_shape_and_few_points_any():
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 100, (50, 68, 2))
    assert min(shape_misfit(points, FACE) for points in noise) > 0.7
    noise[0, 7:] = np.nan
    assert shape_misfit(noise[0], FACE) == 0


@given(st.floats(-60, 60))
def test_the_turn_of_the_helix_tells_the_side(degrees):
    left = turned(EAR_SHAPE, degrees)
    assert side_of(left) == "left"
    assert side_of(left * (-1, 1)) == "right"


def test_the_extent_is_the_longer_side_of_the_known_points():
    assert extent(np.array([[1.0, 2.0], [4.0, 12.0], [np.nan, np.nan]])) == 10
