"""False faces and ears, cut out. What is drawn charts here would be things without people."""

import cv2
import numpy as np
import pytest

from data.datasets import find_negatives
from data.schemes import EAR, FACE
from tests.charts import draw_chart, place, save_chart_network
from tests.conftest import run_script
from utils.common.images import decode_image
from utils.demo.hard_negatives import hard_negatives


@pytest.mark.parametrize("degrees", [0, 90])
def test_each_place_is_cut_out_once_upright_and_with_its_surroundings(predictor, degrees):
    """The colours of a chart say where on the face a pixel lies: red across, green down, 0.55 to 0.95."""
    image, points = draw_chart(320, 320, place((160.0, 160.0), 80, degrees))
    found = hard_negatives(predictor, image, 0.5)
    assert set(found) == {"face", "ear"} and len(found["face"]) == 1
    (crop,) = found["face"]
    side = 2 * FACE.crop_side * np.ptp(points["face"], axis=0).max()
    assert crop.shape == (pytest.approx(side, rel=0.1),) * 2 + (3,)
    face = (crop[..., 2] > 100) & (crop[..., 2] < 150)  # blue
    (top, bottom), (left, right) = (np.nonzero(face.any(axis=axis))[0][[0, -1]] for axis in (1, 0))
    assert crop[top + 5, (left + right) // 2, 1] < crop[bottom - 5, (left + right) // 2, 1]  # upright
    assert 0.35 < (bottom - top) / len(crop) < 0.65


def test_less_than_the_score_is_left_alone(predictor):
    image, _ = draw_chart(240, 240, place((120.0, 120.0), 100))
    assert not any(hard_negatives(predictor, image, 1.0).values())
    assert not any(hard_negatives(predictor, np.full((100, 100, 3), 90, np.uint8), 0.3).values())


def test_the_crops_are_negatives_to_train_on(tmp_path):
    weights = save_chart_network(tmp_path / "chart.keras")
    (tmp_path / "empty").mkdir()
    image, _ = draw_chart(240, 240, place((120.0, 120.0), 100))
    cv2.imwrite(str(tmp_path / "empty" / "a.png"), image[..., ::-1])
    cv2.imwrite(str(tmp_path / "empty" / "b.png"), np.full((90, 90, 3), 60, np.uint8))
    (tmp_path / "empty" / "c.png").write_bytes((tmp_path / "empty" / "a.png").read_bytes()[:300])
    flags = [weights, tmp_path / "empty", "--precision", "float32", "--out"]
    done = run_script("utils.hard_negatives", *flags, tmp_path / "hard")
    assert done.returncode == 1 and "skipped: " in done.stdout and "c.png" in done.stdout
    assert f"1 crops taken for a face: {tmp_path / 'hard' / 'face'}" in done.stdout
    assert len(find_negatives([tmp_path / "hard" / "face"], FACE)) == 1
    assert find_negatives([tmp_path / "hard" / "ear"], EAR)
    assert decode_image(tmp_path / "hard" / "face" / "a_1.png").shape[0] > 96
    again = run_script("utils.hard_negatives", *flags, tmp_path / "hard")
    assert again.returncode == 2 and "is there already; name a new folder" in again.stderr
