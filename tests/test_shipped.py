"""The weights that ship, as a user meets them."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from data.synthetic.scene import draw_image
from models.config import PRESETS as ROWS
from models.config import ModelConfig
from utils.common.images import decode_image
from utils.demo import LandmarkPredictor
from utils.demo.view import in_view
from utils.evaluation.metrics import box_size

ROOT = Path(__file__).parent.parent
PRESETS = ("lite", "small", "nano")
SHIPPED = sorted(path for preset in PRESETS for path in (ROOT / "weights").glob(f"*-{preset}.keras"))
STUDENTS = [f"face2ear-{preset}.keras" for preset in PRESETS]


def run(*arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)


def test_there_are_weights_and_they_are_small():
    assert set(STUDENTS) <= {path.name for path in SHIPPED}
    assert max(path.stat().st_size for path in SHIPPED) <= 16e6
    assert (ROOT / "weights" / "face2ear-nano.keras").stat().st_size <= 3e6
    weights = ROOT / "weights"
    beside = [path for folder in ("logs", "recipes") for path in (weights / folder).iterdir()]
    files = [*SHIPPED, *beside, *(weights / name for name in ("README.md", "history.md", "train.sh"))]
    assert sum(path.stat().st_size for path in files) <= 48e6


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_plain_keras_reads_them_and_their_record_names_no_machine(path):
    network = keras.saving.load_model(path)
    assert getattr(network, "optimizer", None) is None and {weight.dtype for weight in network.weights} == {"float32"}
    with zipfile.ZipFile(path) as archive:
        content = json.loads(archive.read("landmarks.json"))
    assert content["record"]["training_images"] and content["model"]["preset"] == path.stem.split("-")[-1]
    model, row = ModelConfig.from_json(content["model"]), ROWS[content["model"]["preset"]]
    assert (model.width, model.stages, model.first_block) == (row.width, row.stages, row.first_block)
    made = list(content["record"].get("averaged", {}).values()) or [content["record"]]
    texts = [text for record in made for value in record["train_config"].values() for text in np.ravel(value).tolist()]
    assert not [text for text in texts if isinstance(text, str) and text.startswith(("/", ".."))]


@pytest.mark.slow
def test_the_demo_takes_them_by_itself_and_finds_a_face_and_both_ears(tmp_path):
    if (ROOT / "weights/face2ear.keras").exists():
        pytest.skip("your own weights/face2ear.keras goes before the shipped file")
    # One in some 300 drawn heads looks into the camera and shows both ears: here is one.
    image = draw_image(np.random.default_rng(875), "both", 400)
    assert abs(image.pose[0]) < 25
    assert min(image.visible[name].mean() for name in ("face", "ear_left", "ear_right")) > 0.5
    cv2.imwrite(str(tmp_path / "head.png"), image.pixels[..., ::-1])
    done = run("demo_multi.py", tmp_path / "head.png", "--no-window", "--json", tmp_path / "points.jsonl")
    assert done.returncode == 0, done.stderr
    assert "face2ear-lite.keras" in done.stdout
    found = json.loads((tmp_path / "points.jsonl").read_text())
    assert found["face"] is not None and set(found["ears"]) == {"left", "right"}
    for name, answer in (("face", found["face"]), *((f"ear_{side}", ear) for side, ear in found["ears"].items())):
        truth = image.points[name]
        error = np.linalg.norm(truth - answer["points"], axis=1).mean() / float(np.asarray(box_size(truth[None]))[0])
        assert error < 0.1, name


@pytest.fixture(scope="module")
def student():
    return LandmarkPredictor(ROOT / "weights/face2ear-lite.keras", precision="float32")


def test_the_small_file_searches_images_for_the_default_one(student):
    assert student.searcher.weights == ROOT / "weights/face2ear-small.keras"


def draw_head(seed, size):
    """A synthetic head in an image (400, size, 3) of its median colour, and the middle of its face."""
    drawn = draw_image(np.random.default_rng(seed), "both", 400)
    small = cv2.resize(drawn.pixels, (size, size), interpolation=cv2.INTER_AREA)
    image = np.full((400, size, 3), np.median(small, axis=(0, 1)), np.uint8)
    top = (400 - size) // 2
    image[top : top + size] = small
    return image, drawn.points["face"].mean(axis=0) * size / 400 + (0, top)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(400, 180), (180, 400)])
def test_of_two_heads_side_by_side_the_larger_is_found(student, sizes):
    (left, first), (right, second) = (draw_head(seed, size) for seed, size in zip((875, 3), sizes, strict=True))
    middle = first if sizes[0] > sizes[1] else second + np.array([sizes[0], 0])
    found = student(np.hstack([left, right]))
    assert np.linalg.norm(found.face.points.mean(axis=0) - middle) < 40


@pytest.mark.slow
@pytest.mark.parametrize("mirror", [False, True])
def test_a_large_profile_is_taken_before_a_small_face_from_the_front(student, mirror):
    """The small face scores higher, and the profile's face is found by a finer reading alone, or its ear."""
    image = decode_image(ROOT / "tests/utils/demo/two_heads.png")  # the small head fills the left half
    if mirror:
        image = np.ascontiguousarray(image[:, ::-1])
    found = student(image)
    assert found
    for landmarks in in_view(found).values():
        assert ((landmarks.points[:, 0] > 192) != mirror).all()


@pytest.mark.slow
@pytest.mark.parametrize("weights", STUDENTS)
def test_on_a_film_of_a_head_that_turns_the_points_follow(weights, tmp_path):
    made = run("-m", "data.synthetic.film", tmp_path / "film.mp4", "--frames", 48, "--width", 640, "--height", 360,
               "--seed", 11)  # fmt: skip
    assert made.returncode == 0, made.stderr
    flags = ("--no-window", "--no-smooth", "--save", tmp_path / "drawn.mp4", "--json", tmp_path / "points.jsonl")
    done = run("demo_multi.py", tmp_path / "film.mp4", *flags, "--weights", ROOT / "weights" / weights)
    assert done.returncode == 0, done.stderr
    truths = json.loads((tmp_path / "film.json").read_text())["frames"]
    answers = [json.loads(line) for line in (tmp_path / "points.jsonl").read_text().splitlines()]
    assert len(answers) == len(truths) == 48
    lost = longest = 0
    errors = []
    for truth, answer in zip(truths, answers, strict=True):
        lost = 0 if answer["face"] else lost + 1
        longest = max(longest, lost)
        if answer["face"]:
            points = np.array(truth["face"]["points"])
            apart = np.linalg.norm(points - answer["face"]["points"], axis=1).mean()
            errors.append(apart / float(np.asarray(box_size(points[None]))[0]))  # eye corners meet in profile
    assert longest <= 3
    assert np.mean(errors) < 0.05
