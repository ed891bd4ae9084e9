"""The public call, with a network that reads drawn charts of heads."""

import keras
import numpy as np
import pytest

from data.annotation import Annotation
from data.datasets import Sample
from data.schemes import FACE, read_scheme, reference_shape, register
from tests.charts import draw_chart, place, save_chart_network
from tests.conftest import input_error
from tests.utils.demo.test_search import face_error
from utils.common.cli import InputError
from utils.common.images import save_image
from utils.demo import LandmarkPredictor, Tracker
from utils.demo.detections import Thresholds
from utils.demo.geometry import extent
from utils.demo.smoothing import PointSmoother
from utils.demo.sources import Frame, find_sources
from utils.demo.view import in_view
from utils.demo.writers import as_record
from utils.evaluation.scoring import find_and_predict


@pytest.mark.parametrize(
    "wrong", [np.zeros((40, 40), np.uint8), np.zeros((40, 40, 4), np.uint8), np.zeros((40, 40, 3))]
)
def test_what_is_no_image_is_refused(predictor, wrong):
    with pytest.raises(ValueError, match="uint8 RGB"):
        predictor(wrong)
    with pytest.raises(ValueError, match="uint8 RGB"):
        Tracker(predictor)(wrong)


def test_a_weights_file_may_note_its_thresholds(tmp_path):
    from models.weights import write_half

    plain, noted = save_chart_network(tmp_path / "chart.keras"), tmp_path / "noted.keras"
    write_half(plain, noted, {"face": 0.65, "turned_face": 0.7})
    assert LandmarkPredictor(plain, precision="float32").thresholds == Thresholds()
    thresholds = LandmarkPredictor(noted, precision="float32").thresholds
    assert thresholds == Thresholds(face=0.65, turned_face=0.7)
    write_half(plain, noted, {"nose": 0.5})
    with input_error(noted, "notes a threshold 'nose'"):
        LandmarkPredictor(noted, precision="float32")
    write_half(plain, noted, {"face": 1.5})
    with input_error(noted):
        LandmarkPredictor(noted, precision="float32")


def test_a_weights_file_may_note_a_searcher_that_lies_beside_it(tmp_path):
    from models.weights import write_half

    plain, noted = save_chart_network(tmp_path / "chart.keras"), tmp_path / "noted.keras"
    write_half(plain, noted, searcher="small.keras")

    def opened(**flags):
        return LandmarkPredictor(noted, precision="float32", **flags)

    alone = opened()
    assert alone.searcher is alone  # nothing lies there
    small = save_chart_network(tmp_path / "small.keras", size=96)
    assert opened().searcher.weights == small and opened().searcher.size == 96
    assert opened(searcher=plain).searcher.weights == plain
    alone = opened(searcher=False)
    assert alone.searcher is alone and alone.readers == [alone] and len(opened().readers) == 2
    image, points = draw_chart(240, 320, place((150.0, 120.0), 100))
    assert face_error(opened()(image), points["face"]) < 4
    save_chart_network(small, tasks=("ear",))
    with input_error(small, "searches for ear", "knows face and ear"):
        opened()
    small.write_bytes(b"")
    with input_error(small):
        opened()


@pytest.mark.parametrize(
    "name", ["../small.keras", "/tmp/small.keras", "a\\b.keras", "C:small.keras", "\U0001f442" * 61, 7]
)
def test_a_file_that_sends_its_reader_elsewhere_is_refused(tmp_path, name):
    from models.weights import write_half

    noted = tmp_path / "noted.keras"
    write_half(save_chart_network(tmp_path / "chart.keras"), noted, searcher=name)
    with input_error(noted, "searcher"):
        LandmarkPredictor(noted, precision="float32")


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


def test_weights_of_another_scheme_answer_in_the_place_of_the_face(tmp_path):
    scheme = read_scheme("face51")
    register(scheme)
    predictor = LandmarkPredictor(save_chart_network(tmp_path / "inner.keras", ("face51",)), precision="float32")
    image, points = draw_chart(240, 320, place((150.0, 120.0), 100, degrees=90))
    found = predictor(image)
    assert found.face.scheme.task == "face51"
    assert found.ears == {}
    assert np.linalg.norm(found.face.points - points["face"][17:], axis=1).mean() < 12
    assert Tracker(predictor)(np.ascontiguousarray(np.rot90(image))).face is not None
    assert list(in_view(found)) == ["face51"]
    assert found.pose((320, 240)) is None  # a pose wants the 68 points
    assert predictor.coarse(np.ascontiguousarray(np.rot90(image))).face.scheme.task == "face51"
    save_image(tmp_path / "chart.png", image)
    sample = Sample("chart", tmp_path / "chart.png", Annotation.of(scheme, points["face"][17:]), "chart")
    answers, _ = find_and_predict(predictor, [sample], scheme)
    np.testing.assert_array_equal(answers[0], found.face.points)


def test_a_third_task_is_read_where_the_face_is(tmp_path):
    scheme = read_scheme("face51")
    register(scheme)
    weights = save_chart_network(tmp_path / "three.keras", ("face", "ear", "face51"))
    predictor = LandmarkPredictor(weights, precision="float32")
    image, points = draw_chart(240, 320, place((150.0, 120.0), 100))
    found = predictor(image)
    assert found.face.scheme is FACE and set(found.ears) == {"left", "right"} and list(found.others) == ["face51"]
    inner = found.others["face51"]
    assert np.linalg.norm(inner.points - points["face"][17:], axis=1).mean() < 12
    tracked = Tracker(predictor)
    for _ in range(2):  # the second frame reads in the crop round the third task's own points
        last = tracked(image)
    assert list(last.others) == ["face51"]
    own = last.others["face51"]
    assert own.crop.side == pytest.approx(scheme.crop_side * extent(own.points), rel=0.05)
    smooth = PointSmoother()(last, 0.0)
    np.testing.assert_allclose(smooth.others["face51"].points, last.others["face51"].points, atol=1e-3)
    assert list(in_view(last)) == ["face", "left ear", "right ear", "face51"]
    save_image(tmp_path / "chart.png", image)
    sample = Sample("chart", tmp_path / "chart.png", Annotation.of(scheme, points["face"][17:]), "chart")
    answers, _ = find_and_predict(predictor, [sample], scheme)
    np.testing.assert_array_equal(answers[0], inner.points)
    record = as_record(find_sources([str(tmp_path / "chart.png")])[0], Frame(image, 0, 0.0), found)
    assert record["others"]["face51"]["scheme"] == "face51" and len(record["others"]["face51"]["points"]) == 51

    nobody = predictor(np.zeros((240, 320, 3), np.uint8))
    assert not nobody and nobody.others == {}
    assert np.isnan(find_and_predict(predictor, [nowhere(tmp_path, scheme)], scheme)[0]).all()


def nowhere(folder, scheme):
    """An image in which nothing is, and the points that it is said to have."""
    save_image(folder / "black.png", np.zeros((240, 320, 3), np.uint8))
    points = 20 + 50 * reference_shape(scheme)
    return Sample("black", folder / "black.png", Annotation.of(scheme, points), "black")


def test_two_schemes_without_faces_are_one_too_many(tmp_path):
    register(read_scheme("face51"))
    weights = save_chart_network(tmp_path / "two.keras", ("face51", "ear"))
    with pytest.raises(InputError, match="knows face51, ear; images are searched by one, or by faces"):
        LandmarkPredictor(weights, precision="float32")
