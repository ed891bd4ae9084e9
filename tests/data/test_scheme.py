"""A first scheme from a COCO file."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.scheme import flip_pairs, new_scheme, runs, typical_shape
from data.schemes import read_scheme
from utils.common.cli import InputError

ROOT = Path(__file__).parents[2]
NAMES = ["left_eye", "right_eye", "nose", "left_mouth", "right_mouth"]
POINTS = [[70, 20], [30, 20], [50, 40], [65, 60], [35, 60]]


def coco(points=(POINTS,), skeleton=((1, 2), (4, 3), (3, 5)), keypoints=NAMES):
    """A file of COCO keypoints, one annotation for each of `points`; a point None is missing."""
    flat = [[v for point in each for v in ([*point, 2] if point else [0, 0, 0])] for each in points]
    return {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"id": k, "image_id": 1, "category_id": 7, "keypoints": each} for k, each in enumerate(flat)],
        "categories": [{"id": 7, "name": "Head", "keypoints": keypoints, "skeleton": list(skeleton)}],
    }


def put(path, content):
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (NAMES, [(0, 1), (3, 4)]),
        (["LeftEye", "nose", "RightEye"], [(0, 2)]),
        (["l1", "l2", "r2", "r1", "m1"], [(0, 3), (1, 2)]),
        (["eye-r", "eye-l", "left", "lower"], [(0, 1)]),
        (["a", "b"], []),
    ],
)
def test_a_mirror_swaps_names_that_differ_in_their_side(names, pairs):
    assert flip_pairs(names) == pairs


@pytest.mark.parametrize(
    ("lines", "count", "expected"),
    [
        ([(0, 1), (1, 2)], 3, [([0, 1, 2], False)]),
        ([(2, 0), (1, 2)], 3, [([0, 2, 1], False)]),
        ([(0, 1), (1, 2), (2, 0)], 4, [([0, 1, 2], True), ([3], False)]),
        ([(0, 1), (1, 0), (1, 1)], 2, [([0, 1], False)]),
        ([(0, 3), (1, 3), (2, 3)], 4, [([0, 3, 1], False), ([2], False)]),  # a star: one of its arms is left over
    ],
)
def test_each_landmark_is_in_one_run_of_the_skeleton(lines, count, expected):
    assert runs(lines, count) == expected


def test_the_typical_shape_is_the_median_whatever_the_size():
    square = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], float)
    sizes = np.stack([square, 3 * square + 40, square * (1, 1) + 7])
    np.testing.assert_allclose(typical_shape(sizes), square / 10)
    in_part = np.where(np.arange(4)[:, None] == 2, np.nan, square * (5, 1))
    np.testing.assert_allclose(typical_shape(np.concatenate([sizes, in_part[None]])), square / 10)
    with pytest.raises(ValueError, match="keypoint 2 is annotated nowhere"):
        typical_shape(in_part[None])


def test_heads_that_all_look_one_way_give_a_shape_that_looks_ahead():
    turned = np.array([[[0, 0], [8, 1], [6, 5], [4, 8]]], float)  # two eyes, a nose and a chin, to one side
    shape = typical_shape(turned, [(0, 1)])
    np.testing.assert_allclose(shape, np.array([[0, 0], [8, 0], [4, 4.5], [4, 7.5]]) / 8)


def test_the_command_writes_a_scheme_that_is_read_and_its_picture(tmp_path):
    source = put(tmp_path / "points.json", coco())
    command = [sys.executable, "-m", "data.scheme", "new", "--from", source, "--out", tmp_path / "my.json"]
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "5 landmarks, of which a mirror swaps 2 pairs" in done.stdout
    scheme = read_scheme(str(tmp_path / "my.json"))
    assert (scheme.task, scheme.count, scheme.flip_pairs) == ("head5", 5, ((0, 1), (3, 4)))
    assert [group.indices for group in scheme.groups] == [(0, 1), (3, 2, 4)]
    np.testing.assert_allclose(scheme.reference, (np.array(POINTS) - (30, 20)) / 40, atol=1e-4)
    assert (tmp_path / "my.png").stat().st_size > 1000
    again = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 2 and "is there already" in again.stderr


def test_of_two_categories_one_is_chosen_by_its_name(tmp_path):
    content = coco()
    content["categories"].append({"id": 8, "name": "hand", "keypoints": ["a", "b"]})
    content["annotations"].append({"id": 9, "image_id": 1, "category_id": 8, "keypoints": [1, 1, 2, 5, 9, 2]})
    path = put(tmp_path / "points.json", content)
    assert new_scheme(path, "hand").count == 2
    with pytest.raises(InputError, match="there are Head, hand; choose one by --category"):
        new_scheme(path)
    with pytest.raises(InputError, match="no category foot, only Head, hand"):
        new_scheme(path, "foot")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "categories: no category with keypoints"),
        ({"images": [], "annotations": []}, "categories: no category with keypoints"),
        (coco(skeleton=[[1, 6]]), "categories: skeleton"),
        (coco(skeleton=[[1, 2, 3]]), "skeleton: a line does not join two keypoints"),
        (coco(keypoints=NAMES[:4], skeleton=[]), "annotations: none has the 4 keypoints of Head"),
        (coco(points=[[*POINTS[:4], None]]), "keypoint 4 is annotated nowhere"),
        (coco(points=[[[1, 1]] * 5]), "lie on one spot"),
        (coco(points=[]), "annotations: none has the 5 keypoints"),
    ],
)
def test_a_file_that_makes_no_scheme_is_one_line(tmp_path, content, words):
    with pytest.raises(InputError, match=words) as problem:
        new_scheme(put(tmp_path / "points.json", content))
    assert "\n" not in str(problem.value) and "points.json" in str(problem.value)


@pytest.mark.parametrize("task", ["face", "Eyes", "features"])
def test_a_task_that_will_not_do_is_named(tmp_path, task):
    with pytest.raises(InputError, match="task"):
        new_scheme(put(tmp_path / "points.json", coco()), task=task)
