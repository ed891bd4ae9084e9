"""Errors of a head's pose, by hand, and the command on drawn heads."""

import json

import numpy as np
import pytest

from data.annotation import Annotation
from data.datasets import Sample
from data.schemes import FACE
from tests.conftest import input_error, run_script
from tests.data.test_head_pose import seen
from utils.common.images import decode_image, save_image
from utils.evaluation.pose import pose_errors, pose_table, true_poses


def sample_of(folder, name, notes, points):
    save_image(folder / f"{name}.png", np.zeros((480, 640, 3), np.uint8))
    if notes is not None:
        (folder / f"{name}.json").write_text(json.dumps(notes))
    return Sample(name, folder / f"{name}.png", Annotation.of(FACE, points), name)


def test_errors_are_sizes_and_go_round_the_circle(tmp_path):
    poses = [(10, 0, 0), (-50, 0, 5), (0, 0, 175)]
    points = np.stack([seen(*pose) for pose in poses])
    said = [(12, 0, 0), (-50, 3, 1), (0, 0, -179)]
    samples = [
        sample_of(tmp_path, str(k), {"pose_degrees": dict(zip(("yaw", "pitch", "roll"), pose, strict=True))}, face)
        for k, (pose, face) in enumerate(zip(said, points, strict=True))
    ]
    truth = true_poses(samples)
    np.testing.assert_array_equal(truth, said)
    errors = pose_errors(samples, points, truth)
    np.testing.assert_allclose(errors, [(2, 0, 0), (0, 3, 4), (0, 0, 6)], atol=0.1)
    table = pose_table(truth, {"true points": errors}).splitlines()
    assert table[2] == "| 0 to 15 | 2 | 1.0 / 0.0 / 3.0 |"
    assert table[5] == "| 45 to 60 | 1 | 0.0 / 3.0 / 4.0 |"
    assert table[6] == "| 60 to 90 | 0 |  |"
    assert table[8].startswith("| 0 to 90 | 3 |")


@pytest.mark.parametrize("notes", [{}, {"pose_degrees": 3}, {"pose_degrees": {"yaw": 1}}, [], None])
def test_images_without_a_pose_are_refused_by_name(notes, tmp_path):
    with input_error("a.", "pose"):
        true_poses([sample_of(tmp_path, "a", notes, seen(0, 0, 0))])


@pytest.mark.slow
def test_the_command_prints_a_table_of_drawn_heads(trained, tmp_path):
    drawn = run_script("data.synthetic", "--out", tmp_path / "heads", "--both", 3, "--size", 96, "--draft")
    assert drawn.returncode == 0, drawn.stderr
    sheet = tmp_path / "extremes.png"
    done = run_script("utils.pose", trained / "face.keras", tmp_path / "heads", "--sheet", sheet)
    assert done.returncode == 0, done.stderr
    assert "| 0 to 90 | 3 |" in done.stdout and "points of face.keras" in done.stdout
    assert decode_image(sheet).shape[1] > 3 * 320 > decode_image(sheet).shape[0]  # each of the three once
    refused = run_script("utils.pose", trained / "face.keras", tmp_path / "heads", "--sheet", tmp_path / "sheet.txt")
    assert refused.returncode == 2 and "--sheet" in refused.stderr
    refused = run_script("utils.pose", trained / "none.keras", tmp_path / "heads")
    assert refused.returncode == 2 and "none.keras" in refused.stderr
