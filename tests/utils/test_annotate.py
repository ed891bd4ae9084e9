import csv
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.datasets import find_nobody, find_samples
from data.schemes import EAR
from tests.charts import draw_chart, place, save_chart_network
from tests.conftest import input_error
from utils.annotate import read_verdicts

ROOT = Path(__file__).parents[2]


def annotate(*arguments):
    command = [sys.executable, "-m", "utils.annotate", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A network that reads charts, three photos of heads, and the true points."""
    folder, truth = tmp_path_factory.mktemp("given"), {}
    (folder / "photos").mkdir()
    for name, x in (("one", 150.0), ("two", 160.0), ("three", 140.0)):
        picture, truth[name] = draw_chart(240, 320, place((x, 120.0), 100))
        cv2.imwrite(str(folder / "photos" / f"{name}.png"), picture[..., ::-1])
    return save_chart_network(folder / "net.keras"), folder / "photos", truth


@pytest.fixture(scope="module")
def proposed(given, tmp_path_factory):
    weights, photos, _ = given
    out = tmp_path_factory.mktemp("looked") / "at"
    return out, annotate(weights, photos, "--out", out)


def test_every_ear_is_drawn_and_listed(proposed):
    out, done = proposed
    assert done.returncode == 0, done.stderr
    assert "6 ears in 3 photos" in done.stdout
    sheet = cv2.imread(str(out / "sheet_00.png"))
    assert sheet.shape[0] >= 2 * 128 and not (out / "sheet_01.png").exists()
    rows = list(csv.DictReader((out / "verdicts.csv").open()))
    assert {(row["photo"], row["side"]) for row in rows} == {
        (f"{name}.png", side) for name in ("one", "two", "three") for side in ("left", "right")
    }
    assert [row["number"] for row in rows] == list("012345") and {row["verdict"] for row in rows} == {""}
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores)  # the doubtful ones first


def test_verdicts_make_ear_photos_with_points_and_photos_without_an_ear(given, proposed, tmp_path):
    weights, photos, truth = given
    table = tmp_path / "verdicts.csv"
    table.write_text("photo,side,verdict\none.png,left,right\ntwo.png,right,none\nthree.png,left,\n")
    out = tmp_path / "mine"
    done = annotate(weights, photos, "--out", out, "--verdicts", table)
    assert done.returncode == 0 and "1 ears" in done.stdout and "1 photos without" in done.stdout, done.stderr
    (sample,) = find_samples([out], EAR).samples
    assert sample.image.name == "one_left.png" and sample.others is None  # nobody looked for the other
    assert np.linalg.norm(sample.points - truth["one"]["left"], axis=1).mean() < 2
    (empty,) = find_nobody([out / "NoEar"], EAR)
    assert empty.image.name == "two_right.jpg"
    box = truth["two"]["right"]
    x, y = np.round(box.mean(axis=0)).astype(int)
    picture = cv2.imread(str(empty.image))
    wanted = cv2.imread(str(photos / "two.png"))[y, x]
    middle = picture[picture.shape[0] // 2, picture.shape[1] // 2]
    assert np.abs(middle.astype(int) - wanted).max() < 40  # the place of the ear is in its middle
    assert picture.shape[0] == pytest.approx(3.2 * np.ptp(box, axis=0).max(), rel=0.1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("photo,side,verdict\na.png,left,\n", "last column is empty"),
        ("photo,side,verdict\na.png,left,right\nb.png,left,maybe\n", "line 3"),
        ("photo,side,verdict\na.png,up,right\n", "line 2"),
        ("nothing\n", "last column is empty"),
        ("a,b\n1,2\n", "line 2"),
    ],
)
def test_a_table_that_says_nothing_sensible_is_refused(tmp_path, text, told):
    table = tmp_path / "table.csv"
    table.write_text(text)
    with input_error(table, told):
        read_verdicts(table)
    with input_error(tmp_path / "none.csv"):
        read_verdicts(tmp_path / "none.csv")


def test_bad_input_is_one_line(given, tmp_path):
    weights, photos, _ = given
    table = tmp_path / "verdicts.csv"
    table.write_text("photo,side,verdict\nfour.png,left,right\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/something").write_text("")
    faces_only = save_chart_network(tmp_path / "faces.keras", ("face",))
    for arguments, told in (
        ((weights, photos, "--out", tmp_path / "full"), "--out"),
        ((weights, photos, "--out", tmp_path / "new", "--verdicts", table), "four.png"),
        ((faces_only, photos, "--out", tmp_path / "new"), "no head with all 55"),
        ((tmp_path / "none.keras", photos, "--out", tmp_path / "new"), "none.keras"),
    ):
        done = annotate(*arguments)
        assert done.returncode == 2 and told in done.stderr and done.stderr.count("\n") == 1, done.stderr
        assert not (tmp_path / "new").exists()
