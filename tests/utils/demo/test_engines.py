"""What runs the network: other runtimes must answer as Keras does."""

import re

import numpy as np
import pytest

from tests.charts import draw_chart, place, save_chart_network
from tests.conftest import input_error, packages, run_script
from utils.common.images import save_image
from utils.demo import LandmarkPredictor
from utils.demo.engines import RUNTIMES, open_engine
from utils.demo.timing import StepTimer
from utils.exporting.formats import FORMATS
from utils.exporting.packages import check_there


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_chart_network(tmp_path_factory.mktemp("weights") / "chart.keras")


@pytest.mark.parametrize("runtime", [packages(name) for name in RUNTIMES])
def test_weights_of_keras_are_read_alike_by_every_runtime(runtime, weights, predictor):
    image, _ = draw_chart(200, 240, place((120, 95), 70.0, 5.0))
    other = LandmarkPredictor(weights, engine=runtime)
    assert (other.engine, other.precision) == (FORMATS[runtime].title, "float32")
    found, wanted = other(image), predictor(image)
    # Each reading is cut where the last one saw the head, which multiplies differences of rounding.
    np.testing.assert_allclose(found.face.points, wanted.face.points, atol=0.1)
    assert found.ears.keys() == wanted.ears.keys() == {"left", "right"}
    maps = other.maps(image, found.face.crop)  # by Keras, which has them
    np.testing.assert_allclose(maps["face_heat"], predictor.maps(image, found.face.crop)["face_heat"], atol=1e-4)


def test_auto_takes_one_of_those_that_are_installed(weights, monkeypatch):
    def missing(module):
        if module in FORMATS["onnx"].packages:
            check_there("no_such_package")
        check_there(module)

    monkeypatch.setattr("utils.demo.engines.check_there", missing)
    timer = StepTimer()
    engine = open_engine(weights, "float32", timer, "auto")
    assert engine.title in {"TensorFlow", "LiteRT", "OpenVINO"} and engine.precision == "float32"
    timer.frame_done()
    assert timer.seconds == 0 and not timer.totals  # the measurement is no frame's
    assert min(engine.took, key=lambda title: engine.took[title]) == next(iter(engine.took)) == engine.title
    assert set(engine.took) == {"TensorFlow", "LiteRT", "OpenVINO"} and all(took > 0 for took in engine.took.values())


def test_what_auto_measured_stands_in_the_line_about_the_weights(weights):
    assert LandmarkPredictor(weights, precision="float32").computed == "TensorFlow in float32"
    computed = LandmarkPredictor(weights, precision="float32", engine="auto").computed
    assert re.fullmatch(r"\w+ in float32; ms for three crops: \w[\w ]+ [0-9.]+(, \w[\w ]+ [0-9.]+)*", computed)


def test_each_crop_is_decoded_by_its_own_head_alone(weights):
    engine = open_engine(weights, "float32", StepTimer())
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    every, own = engine.read(images), engine.read(images, ["face", "ear", "ear"])
    for name in ("points", "confidence"):
        np.testing.assert_allclose(own[f"face_{name}"], every[f"face_{name}"][:1], atol=1e-4)
        np.testing.assert_allclose(own[f"ear_{name}"], every[f"ear_{name}"][1:], atol=1e-4)
    none = engine.read(images, ["ear"] * 3)
    assert none["face_points"].shape == (0, 68, 2) and none["face_confidence"].shape == (0, 68)
    assert none["ear_points"].shape == (3, 55, 2)


def test_a_runtime_that_is_not_installed_is_named_with_its_mend(weights, monkeypatch):
    monkeypatch.setitem(FORMATS, "onnx", FORMATS["onnx"].__class__(".onnx", "ONNX", None, ("no_such_package",)))
    with input_error("no_such_package is not installed", "pip install"):
        LandmarkPredictor(weights, engine="onnx")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"engine": "tensorrt"}, "engine 'tensorrt'"),
        ({"engine": "litert", "precision": "bfloat16"}, "--engine litert computes in float32"),
    ],
)
def test_what_cannot_be_is_one_line(weights, options, says):
    with input_error(says):
        LandmarkPredictor(weights, **options)


@pytest.mark.parametrize("name", [packages("litert")])
def test_an_exported_file_has_a_runtime_of_its_own(name, weights, tmp_path):
    out, picture = tmp_path / "network.tflite", tmp_path / "chart.png"
    save_image(picture, draw_chart(200, 240, place((120, 95), 70.0, 5.0))[0])
    run_script("utils.export", weights, "--out", out)  # of drawn heads, in which this network sees nothing
    with input_error("--engine onnx", "leave it out"):
        LandmarkPredictor(out, engine="onnx")
    done = run_script("demo_multi.py", picture, "--no-window", "--weights", weights, "--engine", name)
    assert done.returncode == 0 and "LiteRT in float32)" in done.stdout, done.stderr
    measured = run_script("utils.benchmark", "--demo", weights, out, "--engine", "keras", name, "--frames", 3)
    assert measured.returncode == 0, measured.stderr
    rows = [line for line in measured.stdout.splitlines() if "frames/s" in line]
    assert ["TensorFlow" in row for row in rows] == [True, False, False] and all("LiteRT" in row for row in rows[1:])
