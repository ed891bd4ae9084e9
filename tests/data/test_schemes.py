import hashlib
import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.datasets import find_samples
from data.formats import write_pts
from data.schemes import EAR, FACE, FOLDER, SCHEMES, Scheme, parse_landmarks, read_scheme, reference_shape, register
from models.config import ModelConfig, preset_config
from tests.conftest import input_error
from utils.training.flags import read_train_config

SHIPPED = sorted(path.stem for path in FOLDER.glob("*.json"))
shipped = pytest.mark.parametrize("name", SHIPPED)
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
    assert [(group.indices[0], group.indices[-1]) for group in EAR.groups] == [(0, 19), (20, 34), (35, 49), (50, 54)]


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


# Printed before the two schemes moved from code into files.
@pytest.mark.parametrize(
    ("scheme", "numbers", "shape"),
    [
        (
            FACE,
            (68, (36, 45), 0.08, 1.6, (1.15, 4.0), (0.85, 1.0), 1, None, tuple(range(17, 68))),
            "09009c070bee4a3a2b07f4381d56dd9aa698b7f6d034f3d96847181c68b81718",
        ),
        (
            EAR,
            (55, "box_diagonal", 0.10, 2.5, (1.3, 8.0), (0.25, 1.0), 2, 3.0, ()),
            "0ff1a6c7c4c6e66f0c2d804b78e054002e948097fdc3b33197648b24bdde2e00",
        ),
    ],
    ids=["face", "ear"],
)
def test_numbers_of_the_two_schemes_are_those_they_had_in_code(scheme, numbers, shape):
    names = "count normaliser failure_at crop_side train_sides train_squeeze instances annotated_sides inner"
    assert tuple(getattr(scheme, name) for name in names.split()) == numbers
    assert hashlib.sha256(reference_shape(scheme).tobytes()).hexdigest() == shape


def test_colours_of_the_groups_are_those_they_had_in_code():
    assert {group.name: group.colour for group in (*FACE.groups, *EAR.groups)} == {
        "jaw": (255, 200, 60),
        "right_brow": (120, 220, 255),
        "left_brow": (120, 220, 255),
        "nose_bridge": (130, 255, 130),
        "nose_base": (130, 255, 130),
        "right_eye": (90, 150, 255),
        "left_eye": (90, 150, 255),
        "outer_lips": (255, 110, 140),
        "inner_lips": (255, 160, 200),
        "outer_helix": (255, 200, 60),
        "inner_helix": (120, 220, 255),
        "tragus_concha": (255, 110, 140),
        "superior_crus": (130, 255, 130),
    }


@pytest.mark.parametrize(("name", "count"), [("wflw98", 98), ("cofw29", 29), ("face51", 51)])
def test_other_schemes_are_named_after_their_files_and_hold_as_many_landmarks(name, count):
    scheme = read_scheme(name)
    assert (scheme.task, scheme.count) == (name, count)


@shipped
def test_a_scheme_written_and_read_again_is_the_same(name, tmp_path):
    scheme = read_scheme(name)
    (tmp_path / "own.json").write_text(json.dumps(scheme.to_json()))
    assert read_scheme(str(tmp_path / "own.json")) == scheme


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "ear55"])
def test_each_mirrored_reference_face_in_flip_order_is_the_reference_face(name):
    scheme = read_scheme(name)
    face = reference_shape(scheme)
    mirrored = face * (-1, 1) + (face[:, 0].min() + face[:, 0].max(), 0)
    assert np.abs(mirrored[list(scheme.flip_order)] - face).max() < 0.012


def test_face51_is_the_face_without_its_jaw():
    inner = read_scheme("face51")
    assert [k + 17 for k in inner.flip_order] == list(FACE.flip_order[17:])
    assert reference_shape(inner).tolist() == reference_shape(FACE)[17:].tolist()


# Hand-read off WFLW's drawing: outer and inner eye corners, pupils, mouth corners, chin, inner ends of the brows.
@pytest.mark.parametrize(
    ("one", "other"), [(60, 72), (64, 68), (96, 97), (76, 82), (88, 92), (16, 16), (57, 57), (37, 42), (33, 46)]
)
def test_wflw_points_that_a_mirror_swaps(one, other):
    order = read_scheme("wflw98").flip_order
    assert (order[one], order[other]) == (other, one)


def test_the_scheme_of_faces_by_its_name_or_file_is_the_one_that_code_compares_with(tmp_path):
    assert read_scheme("face68") is FACE
    (tmp_path / "copy.json").write_text(json.dumps(FACE.to_json()))
    assert read_scheme(str(tmp_path / "copy.json")) is FACE
    assert read_scheme("ear55") is EAR


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"flip_pairs": [[0, 1], [1, 2]]}, "flip_pairs holds landmark 1 twice"),
        ({"flip_pairs": [[3, 3]]}, "flip_pairs holds landmark 3 twice"),
        ({"flip_pairs": [[0, 29]]}, "flip_pairs is"),
        ({"count": 30}, "reference is"),
        ({"count": True}, "count is True"),
        ({"groups": []}, "groups is []"),
        ({"groups": [{"name": "a", "indices": [0, 1], "closed": False, "colour": [0, 0, 0]}]}, "leaves out landmark 2"),
        ({"groups": [{"name": "a"}]}, "groups[0]: it holds no closed"),
        ({"groups": [3]}, "groups[0]: it holds 3"),
        ({"colour": 1}, "no key 'colour'"),
        ({"normaliser": [8, 8]}, "normaliser is"),
        ({"train_sides": [4, 1]}, "train_sides is"),
        ({"crop_side": float("nan")}, "crop_side is nan"),
        ({"task": "features"}, "task is 'features'"),
        ({"task": "../up"}, "task is"),
        ({"inner": [1, 1]}, "inner holds landmark 1 twice"),
        ({"names": ["a"] * 29}, "names holds landmark a twice"),
        ({"names": ["a", "b"]}, "names is"),
    ],
)
def test_a_broken_scheme_is_refused_in_one_line_with_file_and_key(change, said, tmp_path):
    path = tmp_path / "own.json"
    path.write_text(json.dumps(read_scheme("cofw29").to_json() | change))
    with input_error(str(path), said):
        read_scheme(str(path))


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "null", "[" * 100_000])
def test_a_file_that_is_no_object_is_refused_in_one_line(text, tmp_path):
    (tmp_path / "own.json").write_text(text)
    with input_error(str(tmp_path / "own.json")):
        read_scheme(str(tmp_path / "own.json"))


def test_a_name_of_nothing_lists_the_shipped_schemes():
    with input_error("--scheme nose12", *SHIPPED):
        read_scheme("nose12")


def test_a_task_has_one_scheme(monkeypatch):
    monkeypatch.setattr("data.schemes.SCHEMES", dict(SCHEMES))
    own = Scheme.from_json(read_scheme("cofw29").to_json() | {"task": "face"})
    with pytest.raises(ValueError, match="face"):
        register(own)
    register(FACE)  # the same again changes nothing


def test_a_folder_of_pts_files_is_read_with_the_scheme_of_as_many_points(tmp_path, monkeypatch):
    monkeypatch.setattr("data.layouts.SCHEMES", SCHEMES | {"cofw29": read_scheme("cofw29")})
    scheme = read_scheme("cofw29")  # equal to the known one, and another object
    points = 20 + 60 * reference_shape(scheme)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((100, 100, 3), np.uint8))
    write_pts(tmp_path / "a.pts", points)
    (sample,) = find_samples([tmp_path], scheme).samples
    np.testing.assert_allclose(sample.points, points, atol=1e-3)
    with input_error(str(tmp_path), "other landmarks"):
        find_samples([tmp_path], FACE)


def test_a_networks_config_brings_the_scheme_of_its_head(monkeypatch):
    known = dict(SCHEMES)
    monkeypatch.setattr("data.schemes.SCHEMES", known)
    monkeypatch.setattr("models.config.SCHEMES", known)
    scheme = read_scheme("cofw29")
    config = preset_config("tiny", {"cofw29": tuple(range(29))}, schemes={"cofw29": scheme.to_json()})
    stored = json.loads(json.dumps(config.to_json()))
    assert "cofw29" not in known
    assert ModelConfig.from_json(stored) == config and known["cofw29"] == scheme
    with pytest.raises(ValueError, match="task cofw29"):
        ModelConfig.from_json(stored | {"schemes": {"nose": scheme.to_json()}})
    with pytest.raises(ValueError, match="crop_side"):
        ModelConfig.from_json(stored | {"schemes": {"cofw29": scheme.to_json() | {"crop_side": 0}}})
    assert "schemes" not in preset_config("tiny", {"face": (0,)}).to_json()


def test_a_run_of_another_scheme_has_places_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("data.schemes.SCHEMES", dict(SCHEMES))
    config, options = read_train_config(FACE, "", ["--scheme", "wflw98", "--data", str(tmp_path)])
    assert (config.out, str(options.folder)) == ("weights/wflw98.keras", "runs/wflw98")
    assert config.model_config().heads == {"wflw98": tuple(range(98))}
    with input_error("--scheme nose12"):
        read_train_config(FACE, "", ["--scheme", "nose12", "--data", str(tmp_path)])
