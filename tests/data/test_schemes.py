import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.schemes import EAR, FACE, SCHEMES, parse_landmarks, reference_shape
from tests.conftest import input_error

both = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)

# Read off the 300-W drawing of the 68 points, landmark by landmark.
FACE_IN_THE_MIRROR = [
    *(16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),  # jaw
    *(26, 25, 24, 23, 22, 21, 20, 19, 18, 17),  # brows
    *(27, 28, 29, 30, 35, 34, 33, 32, 31),  # nose
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),  # outer lips
    *(64, 63, 62, 61, 60, 67, 66, 65),  # inner lips
]


@both
def test_groups_cover_each_landmark_exactly_once(scheme):
    assert [index for group in scheme.groups for index in group.indices] == list(range(scheme.count))


def test_counts_and_groups_are_those_of_the_two_datasets():
    assert (FACE.count, EAR.count) == (68, 55)
    assert {group.name: len(group.indices) for group in FACE.groups} == {
        "jaw": 17,
        "right_brow": 5,
        "left_brow": 5,
        "nose_bridge": 4,
        "nose_base": 5,
        "right_eye": 6,
        "left_eye": 6,
        "outer_lips": 12,
        "inner_lips": 8,
    }
    assert [(group.first, group.last) for group in EAR.groups] == [(0, 19), (20, 34), (35, 49), (50, 54)]


@pytest.mark.parametrize(
    ("scheme", "landmark", "name"),
    [
        (FACE, 0, "jaw"),
        (FACE, 16, "jaw"),
        (FACE, 17, "right_brow"),
        (FACE, 36, "right_eye"),
        (FACE, 67, "inner_lips"),
        (EAR, 19, "outer_helix"),
        (EAR, 20, "inner_helix"),
        (EAR, 54, "superior_crus"),
    ],
)
def test_group_of_finds_the_group_of_a_landmark(scheme, landmark, name):
    assert scheme.group_of(landmark).name == name


def test_lines_that_close_are_the_eyes_and_the_lips():
    assert [group.name for group in FACE.groups if group.closed] == [
        "right_eye",
        "left_eye",
        "outer_lips",
        "inner_lips",
    ]


@both
def test_flip_order_twice_changes_nothing(scheme):
    order = np.array(scheme.flip_order)
    assert order[order].tolist() == list(range(scheme.count))


def test_flip_order_of_the_face_is_that_of_the_300w_drawing():
    assert list(FACE.flip_order) == FACE_IN_THE_MIRROR


def test_flip_order_of_the_ear_keeps_every_index():
    assert list(EAR.flip_order) == list(range(55))


def test_mirrored_reference_face_in_flip_order_is_the_reference_face():
    face = reference_shape(FACE)
    mirrored = face * (-1, 1) + (face[:, 0].min() + face[:, 0].max(), 0)
    assert np.abs(mirrored[list(FACE.flip_order)] - face).max() < 0.01
    assert np.abs(mirrored - face).max() > 0.9  # without the order it is far from it


@both
def test_reference_shape_has_its_box_at_zero_with_a_longer_side_of_one(scheme):
    shape = reference_shape(scheme)
    assert shape.shape == (scheme.count, 2) and shape.dtype == np.float32
    assert shape.min(axis=0) == pytest.approx(0, abs=1e-3)
    assert np.ptp(shape, axis=0).max() == pytest.approx(1, abs=1e-3)


def test_reference_face_stands_upright_with_its_right_eye_on_the_left():
    face = reference_shape(FACE)
    assert face[36, 0] < face[39, 0] < face[42, 0] < face[45, 0]
    assert face[19, 1] < face[37, 1] < face[30, 1] < face[51, 1] < face[57, 1] < face[8, 1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", (0,)),
        ("67", (67,)),
        ("36-39,60", (36, 37, 38, 39, 60)),
        (" 5 , 1-3", (1, 2, 3, 5)),
        ("3,1,3,2-3", (1, 2, 3)),
        ("7-7", (7,)),
        ("0-67", tuple(range(68))),
    ],
)
def test_parse_landmarks_reads_numbers_and_ranges_with_both_ends(text, expected):
    assert parse_landmarks(text, 68) == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", "a", "1,,2", "1,", "-1", "1-", "5-3", "68", "60-68", "1.5", "1-2-3", "1 2", "36 - x", "²", "1-²"],
)
def test_parse_landmarks_refuses_other_text_in_one_line(text):
    with input_error("--landmarks", repr(text)):
        parse_landmarks(text, 68)


@given(st.sets(st.integers(0, 54), min_size=1))
def test_parse_landmarks_gives_back_any_listed_set(chosen):
    assert parse_landmarks(",".join(map(str, chosen)), 55) == tuple(sorted(chosen))
