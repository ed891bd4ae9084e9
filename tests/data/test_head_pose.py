"""The pose of a head from its points: known rotations come back, and what has no pose has none."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from data.head_pose import USED, HeadPose, head_points, head_pose, rotation
from data.schemes import FACE

SIZE = (640, 480)
FOCAL = 640.0  # of SIZE, for a face of less than 128 px


def seen(yaw, pitch, roll, at=(300.0, 200.0), distance=16.0):
    """The average head's points (68, 2), turned, before a pinhole whose axis runs through their mean."""
    turned = head_points() @ rotation(yaw, pitch, roll).T
    turned -= turned[USED].mean(axis=0)
    for _ in range(20):  # shift the head until the mean of its points lies on the axis
        depth = distance - turned[:, 2:]
        pixels = FOCAL * turned[:, :2] / depth
        turned[:, :2] -= pixels[USED].mean(axis=0) * distance / FOCAL
    return pixels * (1, -1) + at


@pytest.mark.parametrize("yaw", [-85, -40, 0, 25, 60])
@pytest.mark.parametrize("pitch", [-35, 0, 20])
@pytest.mark.parametrize("roll", [-60, 0, 15])
def test_known_rotations_come_back(yaw, pitch, roll):
    assert head_pose(seen(yaw, pitch, roll), SIZE) == pytest.approx((yaw, pitch, roll), abs=0.05)


def test_signs_are_those_that_the_page_says():
    """By hand, on the points: who turns to the image's right shows the nose right of the eyes' middle, and so on."""
    ahead, right, down, tilted = (seen(*pose) for pose in ((0, 0, 0), (30, 0, 0), (0, 30, 0), (0, 0, 30)))
    eyes = list(range(36, 48))
    assert right[30, 0] - right[eyes, 0].mean() > ahead[30, 0] - ahead[eyes, 0].mean() + 3
    assert down[30, 1] - down[eyes, 1].mean() > ahead[30, 1] - ahead[eyes, 1].mean() + 3
    assert tilted[45, 1] < tilted[36, 1] - 5  # the eye on the image's right has gone up: counterclockwise


@given(st.floats(-50, 50), st.floats(-30, 30), st.floats(-180, 180), st.floats(0, 640), st.floats(0, 480))
def test_the_place_in_the_image_changes_nothing_and_a_mirror_swaps_left_and_right(yaw, pitch, roll, x, y):
    points = seen(yaw, pitch, roll)
    pose = head_pose(points, SIZE)
    assert head_pose(points + np.array([x - 300, y - 200]), SIZE) == pytest.approx(pose, abs=1e-3)
    mirrored = (points * (-1, 1))[list(FACE.flip_order)]
    turned = np.array(head_pose(mirrored, SIZE)) - (-pose[0], pose[1], -pose[2])
    assert np.abs((turned + 180) % 360 - 180).max() < 0.01  # the average head is the same on both sides


def test_some_points_are_enough_and_the_others_may_be_missing():
    points = seen(20, 5, 0)
    points[list(range(17, 40))] = np.nan
    assert head_pose(points, SIZE) == pytest.approx((20, 5, 0), abs=1)  # the axis runs through the others


@pytest.mark.parametrize(
    "points",
    [
        np.full((68, 2), np.nan),
        np.zeros((68, 2)),
        np.column_stack([np.arange(68.0), 2 * np.arange(68.0)]),
        np.where(np.arange(68)[:, None] < 64, np.nan, seen(0, 0, 0)),
        np.full((68, 2), 1e300),
    ],
    ids=["unknown", "one place", "a line", "four points", "far away"],
)
def test_what_has_no_pose_gives_none(points):
    assert head_pose(points, SIZE) is None


@given(st.integers(0, 2**32 - 1), st.floats(-3, 6))
def test_any_points_give_finite_angles_or_none(seed, exponent):
    points = np.random.default_rng(seed).normal(0, 10.0**exponent, (68, 2))
    pose = head_pose(points, SIZE)
    assert pose is None or np.isfinite(pose).all()


def test_the_shipped_points_are_those_of_the_command():
    from data.synthetic.mean_head import mean_points

    few = mean_points(20)
    assert np.linalg.norm(few - head_points(), axis=1).mean() < 0.03  # decimetres, of other heads


def test_the_axes_of_a_pose_lie_in_the_middle_of_the_face_and_are_half_as_long():
    points = seen(0, 0, 0)
    ends = HeadPose(0, 0, 0).axes(points)
    middle, half = points.mean(axis=0), np.ptp(points, axis=0).max() / 2
    np.testing.assert_allclose(ends - middle, [(0, 0), (half, 0), (0, -half), (0, 0)], atol=1e-3)
    to_the_left = HeadPose(90, 0, 0).axes(points)  # the nose points to the image's right
    np.testing.assert_allclose(to_the_left[3] - middle, (half, 0), atol=1e-3)
    assert str(HeadPose(-30.4, 2, 0.4)) == "yaw -30, pitch +2, roll +0"
