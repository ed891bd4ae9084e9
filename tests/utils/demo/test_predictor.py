"""The public call, with a network that reads drawn charts of heads."""

import keras
import numpy as np
import pytest

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


@pytest.mark.parametrize(("callers", "precision"), [("float32", "bfloat16"), ("mixed_bfloat16", "float32")])
def test_the_callers_dtype_policy_stays_and_the_network_has_its_own(tmp_path, predictor, callers, precision):
    weights = save_chart_network(tmp_path / "chart.keras")
    image, points = draw_chart(240, 320, place((150.0, 120.0), 100))
    outer = keras.config.dtype_policy()
    keras.config.set_dtype_policy(callers)
    try:
        another = LandmarkPredictor(weights, precision=precision)
        found = another(image)
        maps = another.maps(image, found.face.crop)
        assert keras.config.dtype_policy().name == callers
        assert (
            keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)]).layers[0].dtype_policy.name == callers
        )
    finally:
        keras.config.set_dtype_policy(outer)
    assert another.precision == precision
    assert face_error(found, points["face"]) < 12
    assert 0.5 < maps["face_heat"].max() <= 1.1
    same = np.array_equal(found.face.points, predictor(image).face.points)  # it reads in float32
    assert same == (precision == "float32")
