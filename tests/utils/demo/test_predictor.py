"""The public call, with a network that reads drawn charts of heads."""

import keras
import numpy as np
import pytest

from models.config import preset_config
from models.cpm import build_network
from tests.charts import draw_chart, place, save_chart_network
from tests.utils.demo.test_search import face_error
from utils.demo import LandmarkPredictor, Tracker


@pytest.mark.parametrize(
    "wrong", [np.zeros((40, 40), np.uint8), np.zeros((40, 40, 4), np.uint8), np.zeros((40, 40, 3))]
)
def test_what_is_no_image_is_refused(predictor, wrong):
    with pytest.raises(ValueError, match="uint8 RGB"):
        predictor(wrong)
    with pytest.raises(ValueError, match="uint8 RGB"):
        Tracker(predictor)(wrong)


def test_an_image_needs_one_line_and_the_first_step_alone_is_less_exact(predictor):
    image, points = draw_chart(360, 640, place((400.0, 180.0), 150))
    fine, coarse = predictor(image), predictor.coarse(image)
    assert face_error(fine, points["face"]) < 4
    assert face_error(fine, points["face"]) < face_error(coarse, points["face"]) < 20


@pytest.mark.parametrize("callers", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "auto"])
def test_the_callers_dtype_policy_stays_and_the_network_has_its_own(tmp_path, callers, precision):
    weights = save_chart_network(tmp_path / "chart.keras")
    image, points = draw_chart(240, 320, place((150.0, 120.0), 100))
    outer = keras.config.dtype_policy()
    keras.config.set_dtype_policy(callers)
    try:
        predictor = LandmarkPredictor(weights, precision=precision)
        found, maps = predictor(image), predictor.maps(image, predictor(image).face.crop)
        assert keras.config.dtype_policy().name == callers
        assert keras.layers.Dense(1).dtype_policy.name == callers
        network = build_network(preset_config("tiny", {"face": tuple(range(68))}))
        assert network.get_layer("stage1_face").compute_dtype == keras.config.dtype_policy().compute_dtype
    finally:
        keras.config.set_dtype_policy(outer)
    assert predictor.precision == precision or precision == "auto"
    assert face_error(found, points["face"]) < (4 if precision == "float32" else 12)
    assert 0.5 < maps["face_heat"].max() <= 1.1


def test_the_precision_counts_whatever_the_callers_policy(tmp_path):
    """The same answers under both policies, and others in another precision."""
    weights = save_chart_network(tmp_path / "chart.keras")
    image, _ = draw_chart(240, 320, place((150.0, 120.0), 100))
    answers, outer = {}, keras.config.dtype_policy()
    for callers in ("float32", "mixed_bfloat16"):
        for precision in ("float32", "bfloat16"):
            keras.config.set_dtype_policy(callers)
            try:
                answers[callers, precision] = LandmarkPredictor(weights, precision=precision)(image).face.points
            finally:
                keras.config.set_dtype_policy(outer)
    for precision in ("float32", "bfloat16"):
        assert np.array_equal(answers["float32", precision], answers["mixed_bfloat16", precision])
    assert not np.array_equal(answers["float32", "float32"], answers["float32", "bfloat16"])
