"""The command that measures detection over the threshold, on charts of heads that a network written by hand reads."""

import csv
import json

import cv2
import numpy as np
import pytest

from data.formats import write_pts
from tests.charts import draw_chart, place, save_chart_network
from tests.conftest import run_process, run_script
from utils.common.images import save_image


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Weights, and images of each kind: charts of heads with points, with boxes, without, and gray images."""
    folder = tmp_path_factory.mktemp("detection")
    save_chart_network(folder / "chart.keras")
    for kind in ("faces", "boxed", "people", "nobody"):
        (folder / kind).mkdir()
    lines = ["photo,left,top,right,bottom"]
    for k in range(2):
        image, points = draw_chart(160, 200, place((100.0, 80.0), 70 + 5 * k))
        for kind in ("faces", "boxed", "people"):
            save_image(folder / kind / f"{kind}_{k}.png", image)
        write_pts(folder / "faces" / f"faces_{k}.pts", points["face"])
        for side in ("left", "right"):
            low, high = np.round(points[side].min(axis=0)), np.round(points[side].max(axis=0))
            lines.append(f"boxed_{k}.png,{low[0]:.0f},{low[1]:.0f},{high[0]:.0f},{high[1]:.0f}")
        save_image(folder / "nobody" / f"gray_{k}.png", np.full((96, 96, 3), 60 + k, np.uint8))
    (folder / "boxed" / "boxes.csv").write_text("\n".join(lines) + "\n")
    return folder


def flags(places, out):
    given = ["--faces", places / "faces", "--boxes", places / "boxed/boxes.csv", "--people", places / "people"]
    return [places / "chart.keras", *given, "--negatives", places / "nobody", "--split", "all", "--out", out]


def test_faces_and_ears_are_found_and_nothing_where_nobody_is(places, tmp_path):
    done = run_process("utils.detection", *flags(places, tmp_path), "--face-threshold", 0.3, "--ear-threshold", 0.5)
    assert done.returncode == 0, done.stderr
    face, ear, anything, _ = done.stdout.splitlines()
    assert face == (
        "face at 0.3: 100.0 % of faces found, 100.0 % of drawn faces right, 100.0 % of images of --people get a face, "
        "0.0 % of images without people get a face"
    )
    assert ear.startswith("ear at 0.5: 100.0 % of ears found, 100.0 % of drawn ears right, 0.0 % of images without")
    assert anything.startswith("0.0 % of images without people get a face or an ear")
    curves = json.loads((tmp_path / "curves.json").read_text())
    assert {task: curve["chosen"] for task, curve in curves.items()} == {"face": 0.3, "ear": 0.5}
    thresholds = [point["threshold"] for point in curves["face"]["points"]]
    assert thresholds == sorted(thresholds) and thresholds[0] == 0.2 and thresholds[-1] == 0.8
    with open(tmp_path / "curves.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(thresholds) + len(curves["ear"]["points"])
    with open(tmp_path / "images.csv", newline="") as stream:
        images = list(csv.DictReader(stream))
    assert [row["kind"] for row in images if row["task"] == "face"] == [
        kind for kind in ("faces", "negatives", "people") for _ in range(2)
    ]
    assert cv2.imread(str(tmp_path / "curves.png")).shape[1] > cv2.imread(str(tmp_path / "curves.png")).shape[0]
    assert not list(tmp_path.glob("wrong_*")) and not list(tmp_path.glob("missed_*"))


def test_what_is_wrong_or_missed_is_drawn(places, tmp_path):
    given = [places / "chart.keras", "--negatives", places / "people", "--people", places / "nobody", "--limit", 1]
    done = run_script("utils.detection", *given, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0.0 % of images of --people get a face, 100.0 % of images without people get a face" in done.stdout
    for name in ("wrong_face.png", "wrong_ear.png", "missed_face.png"):
        assert cv2.imread(str(tmp_path / name)).std() > 5
    again = run_script("utils.detection", *flags(places, tmp_path), "--limit", 1)
    assert again.returncode == 0, again.stderr
    assert not list(tmp_path.glob("wrong_*"))  # sheets of an earlier report would mislead


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "--negatives"),
        (["--faces", "nowhere"], "--faces nowhere"),
        (["--boxes", "nowhere.csv"], "nowhere.csv"),
        (["--people", "EMPTY"], "--people"),
        (["--negatives", "DAMAGED"], "truncated"),
        (["--face-threshold", "2", "--people", "EMPTY"], "--face-threshold"),
        (["--faces", "FACES"], "its validation part is empty"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(places, tmp_path, given, says):
    for name in ("empty", "damaged"):
        (tmp_path / name).mkdir()
    whole = (places / "nobody/gray_0.png").read_bytes()
    (tmp_path / "damaged/a.png").write_bytes(whole[:-20])
    where = {"EMPTY": tmp_path / "empty", "DAMAGED": tmp_path / "damaged", "FACES": places / "faces"}
    given = [where.get(flag, flag) for flag in given]
    done = run_script("utils.detection", places / "chart.keras", *given, "--out", tmp_path / "out")
    assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_damaged_images_can_be_left_out(places, tmp_path):
    (tmp_path / "nobody").mkdir()
    whole = (places / "nobody/gray_0.png").read_bytes()
    (tmp_path / "nobody/a.png").write_bytes(whole)
    (tmp_path / "nobody/b.png").write_bytes(whole[:-20])
    given = ["--negatives", tmp_path / "nobody", "--skip-bad", "--out", tmp_path / "out"]
    done = run_script("utils.detection", places / "chart.keras", *given)
    assert done.returncode == 0, done.stderr
    assert "left out: " in done.stdout and "b.png" in done.stdout
