"""Files for other runtimes: each is run by its own and must answer as Keras does."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.formats import write_pts
from data.schemes import read_scheme, register
from models.weights import load_network
from tests.charts import draw_chart, place, save_chart_network
from tests.conftest import ROOT, input_error, packages, run_script
from utils.common.images import decode_image, save_image
from utils.demo import LandmarkPredictor
from utils.exporting.formats import FORMATS
from utils.exporting.packages import PIP_NAMES, check_there, need
from utils.exporting.parity import Difference, compare
from utils.exporting.runtimes import open_exported

SIZE = 128
SHIPPED = ROOT / "weights" / "face2ear-lite.keras"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_chart_network(tmp_path_factory.mktemp("weights") / "chart.keras")


@pytest.fixture(scope="module")
def charts(tmp_path_factory):
    """A folder of charts with the points of the face, and of an ear."""
    folder = tmp_path_factory.mktemp("charts")
    for number, length in enumerate((60.0, 70.0, 80.0)):
        image, points = draw_chart(200, 240, place((120, 95), length, 4.0 * number))
        for kind, side in (("AFW", "face"), ("CollectionA/train", "left")):
            save_image(folder / kind / f"train_{number}.png", image)
            write_pts(folder / kind / f"train_{number}.pts", points[side])
    return folder


def export(weights, charts, out, *flags):
    return run_script("utils.export", weights, "--out", out, "--calibrate", charts, *flags)


@pytest.mark.parametrize("name", [packages(name) for name in FORMATS])
def test_a_file_of_every_format_answers_as_keras_does(name, weights, charts, tmp_path):
    out = tmp_path / f"network{FORMATS[name].suffix}"
    done = export(weights, charts, out, "--format", name, "--threshold", "face=0.5", "--terms", "research only")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{FORMATS[name].title}, float32" in done.stdout and "ms a crop of 128 px" in done.stdout
    told = dict(re.findall(r"(face|ear): [0-9.]+ px from Keras in the mean, ([0-9.]+) px at most", done.stdout))
    assert told.keys() == {"face", "ear"} and all(float(largest) <= 0.01 for largest in told.values())
    exported = open_exported(out)
    assert exported.record["thresholds"] == {"face": 0.5} and exported.config.input_size == SIZE
    images = np.random.default_rng(0).integers(0, 256, (2, 96, 64, 3), dtype=np.uint8)  # another size, not square
    answers = exported.run(images)
    assert {task: np.shape(answer) for task, answer in answers.items()} == {"face": (2, 68, 3), "ear": (2, 55, 3)}
    if name == "saved_model":
        with input_error(out, "is a folder"):
            LandmarkPredictor(out)
        return
    image, _ = draw_chart(200, 240, place((120, 95), 70.0, 5.0))
    found, wanted = (LandmarkPredictor(each, precision="float32")(image) for each in (out, weights))
    # Each reading is cut where the last one saw the head, which multiplies differences of rounding.
    np.testing.assert_allclose(found.face.points, wanted.face.points, atol=0.1)
    assert found.ears.keys() == wanted.ears.keys() == {"left", "right"}
    np.testing.assert_allclose(found.ears["left"].points, wanted.ears["left"].points, atol=0.1)
    scored = run_script("utils.evaluate", out, charts, "--split", "all", "--task", "face", "--out", tmp_path / "scores")
    run_script("utils.evaluate", weights, charts, "--split", "all", "--task", "face", "--out", tmp_path / "plain")
    assert scored.returncode == 0, scored.stderr
    nme = [json.loads((tmp_path / each / "scores.json").read_text()) for each in ("scores", "plain")]
    assert nme[0]["network"]["nme"] == pytest.approx(nme[1]["chart"]["nme"], abs=1e-3)
    refused = run_script("demo_multi.py", charts / "AFW", "--no-window", "--weights", out, "--precision", "bfloat16")
    assert refused.returncode == 2 and "--precision bfloat16" in refused.stderr and refused.stderr.count("\n") == 1


@pytest.mark.parametrize("name", [packages(name) for name in ("onnx", "litert", "openvino")])
def test_half_arrays_halve_the_file_and_change_nothing(name, weights, charts, tmp_path):
    out = tmp_path / f"half{FORMATS[name].suffix}"
    rounded = tmp_path / "rounded.keras"  # so that rounding is not what differs
    assert run_script("utils.export", weights, "--out", rounded).returncode == 0
    done = export(rounded, charts, out, "--precision", "float16", "--outputs", "heatmaps")
    assert done.returncode == 0 and "face: 0.00" in done.stdout, done.stdout + done.stderr
    arrays = out.with_suffix(".bin") if name == "openvino" else out
    assert arrays.stat().st_size < 0.7 * 4 * load_network(weights).network.count_params()
    images = np.zeros((1, 64, 64, 3), np.uint8)
    assert open_exported(out).run(images)["ear"].shape == (1, 8, 8, 55)
    with input_error(out, "--outputs points"):
        open_exported(out).read(images)


@pytest.mark.parametrize("name", [packages("onnx"), packages("litert"), packages("openvino", "nncf")])
def test_int8_is_a_quarter_of_the_file_and_says_how_far_it_is_off(name, weights, charts, tmp_path):
    out = tmp_path / f"small{FORMATS[name].suffix}"
    done = export(weights, charts, out, "--precision", "int8")
    assert "int8" in done.stdout and "px from Keras in the mean" in done.stdout, done.stderr
    assert done.returncode == int("do not use it" in done.stdout)
    assert FORMATS[name].size(out) < 0.4 * 4 * load_network(weights).network.count_params() + 5e5  # OpenVINO's XML
    assert LandmarkPredictor(out).precision == "int8"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--out", "a.bin"], "--out a.bin"),
        (["--out", "a.onnx", "--format", "litert"], ".tflite"),
        (["--out", "a.keras", "--size", "64"], ".keras file has float16 arrays"),
        (["--out", "a", "--format", "saved_model", "--precision", "int8"], "--precision int8"),
        (["--out", "a.onnx", "--searcher", "b.keras"], "in .keras files alone"),
        (["--out", "a.keras", "--searcher", "b.keras"], "no other weights file beside --out a.keras"),
        (["--out", "a.keras", "--searcher", "a.keras"], "no other weights file beside --out a.keras"),
        (["--out", "a.keras", "--searcher", "WEIGHTS"], "the plain name of a file"),
        (["--out", "a.keras", "--searcher", "s" * 61], "the plain name of a file"),
        (["--out", "nowhere/b/a.onnx", "--threshold", "nose=1"], "--threshold"),
        (["--out", "CHARTS", "--format", "saved_model"], "is there already"),
        (["--out", "a", "--format", "saved_model", "--calibrate", "nowhere"], "nowhere"),
    ],
)
def test_flags_that_contradict_are_one_line(flags, says, weights, charts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run_script(
        "utils.export", weights, *({"CHARTS": charts, "WEIGHTS": weights}.get(flag, flag) for flag in flags)
    )
    assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_searcher_that_does_not_go_with_the_weights_is_not_noted(weights, tmp_path):
    save_chart_network(tmp_path / "ear.keras", tasks=("ear",))
    (tmp_path / "text.keras").write_text("no weights")
    for name, says in (("ear.keras", "searches for ear"), ("text.keras", "not a weights file")):
        done = run_script("utils.export", weights, "--out", tmp_path / "noted.keras", "--searcher", name)
        assert done.returncode == 2 and name in done.stderr and says in done.stderr
    assert not (tmp_path / "noted.keras").exists()


def test_a_package_that_is_missing_is_named_with_what_installs_it():
    for check in (need, check_there):
        with input_error("pip install no_such_package"):
            check("no_such_package.part")


@pytest.mark.parametrize("name", [packages(name) for name in ("onnx", "litert", "openvino")])
def test_a_damaged_or_foreign_file_is_one_line(name, weights, charts, tmp_path):
    out = tmp_path / f"good{FORMATS[name].suffix}"
    assert export(weights, charts, out).returncode == 0
    content, suffix = out.read_bytes(), out.suffix
    page = b"<!doctype html><html><body>Sign in</body></html>"
    for number, damaged in enumerate((b"", page, content[: len(content) // 2], content[::-1])):
        path = tmp_path / f"bad{number}{suffix}"
        path.write_bytes(damaged)
        with input_error(path):
            LandmarkPredictor(path)
    with input_error("none" + suffix, "no such weights file"):
        LandmarkPredictor(tmp_path / f"none{suffix}")
    if name == "openvino":
        out.with_suffix(".bin").unlink()
        with input_error(out):
            LandmarkPredictor(out)


@pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="wants onnx")
def test_arrays_in_other_files_and_unknown_operators_are_refused(weights, charts, tmp_path):
    import onnx

    out = tmp_path / "network.onnx"
    assert export(weights, charts, out).returncode == 0
    model = onnx.load(out)
    onnx.save_model(
        model, tmp_path / "apart.onnx", save_as_external_data=True, location="arrays.bin", size_threshold=64
    )
    with input_error("apart.onnx"):
        open_exported(tmp_path / "apart.onnx")
    model = onnx.load(out)
    model.graph.node[0].domain = "somebody"
    onnx.save_model(model, tmp_path / "custom.onnx")
    with input_error("custom.onnx"):
        open_exported(tmp_path / "custom.onnx")
    model = onnx.load(out)
    del model.metadata_props[:]
    onnx.save_model(model, tmp_path / "silent.onnx")
    with input_error("silent.onnx", "python -m utils.export"):
        open_exported(tmp_path / "silent.onnx")


def test_differences_are_distances_in_pixels_on_a_tasks_own_crops():
    def shifted(pixels):
        points = np.zeros((2, 3, 3), np.float32)
        points[0, 0, :2] = pixels
        return lambda images: {"face": points[: len(images)], "ear": points[: len(images)] + 1}

    crops = {"face": np.zeros((2, 8, 8, 3), np.uint8)}
    (found,) = compare(shifted((0, 0)), shifted((0.6, 0.8)), crops, "points", 0.0)
    assert (found.task, found.largest) == ("face", pytest.approx(1.0)) and found.mean == pytest.approx(1 / 6)
    assert not found.beyond("int8") and found.beyond("float32")
    assert Difference("ear", 0.51, 0.6).beyond("int8") and not Difference("ear", 0.04, 0.05).beyond("float16")
    assert Difference("ear", float("nan"), float("nan")).beyond("float32")


def test_where_no_heads_can_be_drawn_images_are_asked_for(tmp_path):
    register(read_scheme("face51"))
    weights = save_chart_network(tmp_path / "inner.keras", ("face51",))
    done = run_script("utils.export", weights, "--out", tmp_path / "inner", "--format", "saved_model")
    assert done.returncode == 2 and "--calibrate" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "inner").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", [packages(name) for name in FORMATS])
def test_the_shipped_student_is_the_same_everywhere(name, tmp_path):
    out = tmp_path / f"network{FORMATS[name].suffix}"
    done = run_script("utils.export", SHIPPED, "--out", out, "--format", name)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(out) if out.is_dir() else out.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("name", [packages("onnx")])
def test_the_pages_program_finds_a_face_without_tensorflow(name, tmp_path):
    program = re.search(r"```python\n(.*?)```", (ROOT / "readme" / "deploy.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "find.py").write_text(program[1], encoding="utf-8")
    assert "tensorflow" not in program[1] and "keras" not in program[1]
    drawn = run_script("data.synthetic", "--out", tmp_path, "--both", 1, "--size", 640, "--seed", 22)
    assert drawn.returncode == 0, drawn.stderr
    (image,) = (tmp_path / "Both").glob("*.jpg")
    out = tmp_path / "network.onnx"
    assert run_script("utils.export", SHIPPED, "--out", out, "--precision", "float16").returncode == 0
    flags = [tmp_path / "find.py", out, image, tmp_path / "drawn.png"]
    done = subprocess.run([sys.executable, *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    wanted = LandmarkPredictor(SHIPPED, precision="float32")(decode_image(image)).face.points
    apart = np.linalg.norm(np.array(json.loads(done.stdout))[:, :2] - wanted, axis=1)
    assert apart.mean() < 0.02 * np.ptp(wanted, axis=0).max()
    assert decode_image(tmp_path / "drawn.png").shape == decode_image(image).shape


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize("name", [packages("openvino")])
@pytest.mark.parametrize("network", [packages("onnx")])
def test_the_pages_program_in_cpp_finds_a_face(name, network, tmp_path):
    openvino = Path(importlib.util.find_spec("openvino").origin).parent
    page = (ROOT / "readme" / "deploy.md").read_text(encoding="utf-8")
    (tmp_path / "find.cpp").write_text(re.search(r"```cpp\n(.*?)```", page, re.DOTALL)[1], encoding="utf-8")
    command = re.search(r"g\+\+ .*?-o find", page, re.DOTALL)[0].replace("$OPENVINO", str(openvino))
    built = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    drawn = run_script("data.synthetic", "--out", tmp_path, "--both", 1, "--size", 640, "--seed", 22)
    assert drawn.returncode == 0, drawn.stderr
    (path,) = (tmp_path / "Both").glob("*.jpg")
    image = decode_image(path)
    cv2.imwrite(str(tmp_path / "head.ppm"), image[..., ::-1])
    out = tmp_path / "network.onnx"
    assert run_script("utils.export", SHIPPED, "--out", out, "--precision", "float16").returncode == 0
    done = subprocess.run([tmp_path / "find", out, tmp_path / "head.ppm"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    points = np.array([line.split() for line in done.stdout.splitlines()], float)[:, :2]
    wanted = LandmarkPredictor(SHIPPED, precision="float32")(image).face.points
    assert np.linalg.norm(points - wanted, axis=1).mean() < 0.02 * np.ptp(wanted, axis=0).max()
    wrong = subprocess.run([tmp_path / "find", out, out], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and wrong.stderr.strip() == f"{out}: no binary PPM"


def test_one_file_installs_the_packages_of_all_formats():
    text = (ROOT / "utils" / "exporting" / "requirements.txt").read_text()
    listed = {re.match(r"[\w-]+", line)[0] for line in text.splitlines() if line and not line.startswith("#")}
    packages = {package for file in FORMATS.values() for package in file.packages}
    assert listed == {PIP_NAMES.get(package, package) for package in packages}
