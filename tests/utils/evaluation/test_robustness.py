import json
import math

import numpy as np
import pytest

from data.datasets import find_samples, split_samples
from data.formats import write_pts
from data.schemes import EAR, FACE, reference_shape
from data.synthetic.film import HEAD_OF_FACE
from data.synthetic.scene import SyntheticImage
from tests.charts import draw_chart, place, save_chart_network
from tests.conftest import run_script
from tests.images import drawn_image, write_faces
from utils.common.images import save_image
from utils.demo import LandmarkPredictor
from utils.evaluation import robustness
from utils.evaluation.robustness import ANGLES, FRAME, HEIGHTS, Head, error, place_head, synthetic_heads, table


@pytest.fixture
def marked():
    """A gray image of 600 px with white dots on three landmarks."""
    image = np.full((600, 600, 3), 90, np.uint8)
    face = reference_shape(FACE) * 200 + (200, 220)
    ear = reference_shape(EAR) * 60 + (420, 260)
    for x, y in np.round([face[8], face[36], ear[0]]).astype(int):
        image[y - 4 : y + 5, x - 4 : x + 5] = 255
    face, ear = np.round(face).astype(np.float32), np.round(ear).astype(np.float32)
    return Head(image, face, [ear])


@pytest.mark.parametrize("height", [145, 375, 700])
@pytest.mark.parametrize("angle", [-60, 0, 30])
def test_a_bright_mark_stays_under_its_landmark(marked, height, angle):
    placed = place_head(marked, height, angle)
    assert placed.image.shape == (*FRAME, 3) and len(placed.ears) == 1
    span = HEAD_OF_FACE * np.ptp(marked.face[:, 1]) / height  # image pixels in one of the frame
    for point in (placed.face[8], placed.face[36], placed.ears[0][0]):
        x, y = point
        if not (20 < x < FRAME[1] - 20 and 20 < y < FRAME[0] - 20):
            continue
        rows, columns = np.mgrid[int(y) - 15 : int(y) + 16, int(x) - 15 : int(x) + 16]
        light = placed.image[rows, columns, 0].astype(float) - 90
        light[light < 20] = 0
        assert (columns * light).sum() / light.sum() == pytest.approx(float(x), abs=0.35 + 0.5 / float(span))
        assert (rows * light).sum() / light.sum() == pytest.approx(float(y), abs=0.35 + 0.5 / float(span))


def test_the_head_has_the_height_and_the_angle_that_were_asked_for(marked):
    upright, turned = (place_head(marked, 300, angle).face for angle in (0, 90))
    assert HEAD_OF_FACE * np.ptp(upright[:, 1]) == pytest.approx(300, abs=0.01)
    right = turned[16] - turned[0]  # from the right to the left end of the jaw: now downwards, clockwise
    assert right[1] > 0 and abs(right[0]) < 0.1 * right[1]
    assert len(HEIGHTS) == 10 and min(HEIGHTS) == 40 and max(HEIGHTS) == 700
    assert len(ANGLES) == 8 and min(ANGLES) == -60 and max(ANGLES) == 60


def test_error_is_that_of_the_nearest_answer_and_none_if_all_are_far():
    truth = (reference_shape(EAR) * 100).astype(np.float32)
    diagonal = float(np.linalg.norm(np.ptp(truth, axis=0)))
    near = truth + np.float32([0.1 * diagonal, 0])
    far = truth + np.float32([0, 0.6 * diagonal])
    assert error(EAR, truth, [far, near]) == pytest.approx(0.1, rel=1e-3)
    assert math.isnan(error(EAR, truth, [far])) and math.isnan(error(EAR, truth, []))


def test_table_counts_what_was_found_and_averages_that_alone():
    rows = [
        {"task": "face", "height": 40, "angle": 0, "coarse": 0.1, "fine": 0.05},
        {"task": "face", "height": 40, "angle": 15, "coarse": math.nan, "fine": 0.07},
        {"task": "ear", "height": 55, "angle": 0, "coarse": 0.2, "fine": math.nan},
    ]
    lines = table(rows, "height").splitlines()
    assert lines[2] == "| 40 | 50 / 100 | 10.00 / 6.00 | 10.00 / 5.00 | - / - | - / - | - / - |"
    assert lines[3] == "| 55 | - / - | - / - | - / - | 100 / 0 | 20.00 / - | - / - |"
    assert lines[4] == "| all | 50 / 100 | 10.00 / 6.00 | 10.00 / 5.00 | 100 / 0 | 20.00 / - | - / - |"
    assert [line.split(" | ")[0] for line in table(rows, "angle").splitlines()[2:]] == ["| 0", "| 15", "| all"]


def test_synthetic_heads_have_the_ears_that_are_in_view(monkeypatch):
    def drawn(rng, kind, size):
        points = {"face": np.zeros((68, 2)), "ear_left": np.ones((55, 2)), "ear_right": np.full((55, 2), 2.0)}
        visible = {"face": np.ones(68, bool), "ear_left": np.zeros(55, bool), "ear_right": np.arange(55) < 30}
        return SyntheticImage(np.zeros((4, 4, 3), np.uint8), points, visible, (rng.choice([-50.0, 0.0]), 0.0, 0.0))

    monkeypatch.setattr(robustness, "draw_image", drawn)
    heads = list(synthetic_heads(3, 0, 4))
    assert len(heads) == 3 and all(len(head.ears) == 1 and (head.ears[0] == 2).all() for head in heads)


def test_the_command_takes_annotated_heads_of_the_test_part(tmp_path, monkeypatch):
    monkeypatch.setattr(robustness, "ANGLES", (0,))
    weights = save_chart_network(tmp_path / "chart.keras")
    write_faces(tmp_path / "faces", 20, size=64)
    count = len(split_samples(find_samples([tmp_path / "faces"], FACE).samples)["test"])
    data = ("--data", tmp_path / "faces", "--heights", 700, 700)
    done = run_script("utils.robustness", weights, *data, "--heads", 9, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out/rows.json").read_text())
    assert [(row["task"], row["height"]) for row in rows] == [("face", 700)] * count and 0 < count < 9
    assert f"{count} heads of" in done.stdout and "| - / - | - / - | - / - |" in done.stdout


@pytest.fixture
def faces(tmp_path):
    """Two faces, and another one whose jaw nobody annotated in a folder of its own."""
    write_faces(tmp_path / "faces", 2, size=64)
    image, points = drawn_image(FACE, 64, np.random.default_rng(0))
    save_image(tmp_path / "faces" / "inner" / "one.png", image)
    points[:17] = math.nan
    write_pts(tmp_path / "faces" / "inner" / "one.pts", points)
    return tmp_path / "faces"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--heights", 0), "--heights"),
        (("--heights", 40, 900), "--heights 900: the frame has 720 pixels"),
        (("--data", "nowhere"), "nowhere: no such"),
        (("--data", "{faces}", "--split", "validation"), "its validation part is empty; choose another --split"),
        (("--data", "{faces}/inner", "--split", "all"), "its all part is empty"),
    ],
)
def test_what_cannot_be_placed_is_one_line(flags, says, faces, tmp_path):
    weights = save_chart_network(tmp_path / "chart.keras")
    done = run_script("utils.robustness", weights, *(str(flag).format(faces=faces) for flag in flags))
    assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1


def test_faces_are_not_asked_of_weights_that_know_ears_alone(faces, tmp_path):
    weights = save_chart_network(tmp_path / "ears.keras", ("ear",))
    done = run_script("utils.robustness", weights, "--data", faces, "--split", "all")
    assert done.returncode == 2 and "knows no faces" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_command_scores_both_passes_of_the_search(tmp_path, monkeypatch):
    """With the network that reads colour charts: it finds no drawn head, and the tables say so.

    A search in vain reads the whole frame 10 times, so 4 places stand for the 80.
    """
    monkeypatch.setattr(robustness, "ANGLES", (-60, 0))
    weights = save_chart_network(tmp_path / "chart.keras")
    done = run_script("utils.robustness", weights, "--heads", 1, "--heights", 40, 700, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out/rows.json").read_text())
    assert len({(row["height"], row["angle"]) for row in rows}) == 4
    assert (tmp_path / "out/table.md").read_text().strip() in done.stdout


def test_both_passes_read_a_chart(tmp_path):
    predictor = LandmarkPredictor(save_chart_network(tmp_path / "chart.keras"), precision="float32")
    image, truth = draw_chart(400, 600, place((300, 190), 150))
    passes = {"coarse": predictor.coarse(image), "fine": predictor(image)}
    errors = {name: error(FACE, truth["face"], [seen.face.whole]) for name, seen in passes.items()}
    assert errors["fine"] < 0.02 and errors["coarse"] < 0.05
