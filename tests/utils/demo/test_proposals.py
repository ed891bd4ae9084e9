import csv
import os

import cv2
import numpy as np
import pytest

from data.datasets import find_negatives, find_samples
from data.schemes import EAR, FACE
from tests.charts import draw_chart, place, save_chart_network
from tests.conftest import input_error, run_script
from utils.demo.proposals import read_verdicts


def annotate(*arguments):
    return run_script("utils.annotate", *arguments, "--precision", "float32")  # auto is another one on another day


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A network that reads charts, three images of heads, and the true points."""
    folder, truth = tmp_path_factory.mktemp("given"), {}
    (folder / "images").mkdir()
    for name, x in (("one", 150.0), ("two", 160.0), ("three", 140.0)):
        image, truth[name] = draw_chart(240, 320, place((x, 120.0), 100))
        cv2.imwrite(str(folder / "images" / f"{name}.png"), image[..., ::-1])
    return save_chart_network(folder / "net.keras"), folder / "images", truth


@pytest.fixture(scope="module")
def proposed(given, tmp_path_factory):
    weights, images, _ = given
    out = tmp_path_factory.mktemp("looked") / "at"
    return out, annotate(weights, images, "--out", out)


def table_of(proposed, path, verdicts, change=lambda text: text):
    """The written table with these verdicts, {(image, side): verdict}, at `path`."""
    with (proposed[0] / "verdicts.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    lines = [rows[0], *([*row[:-1], verdicts.get((row[1], row[2]), "")] for row in rows[1:])]
    path.write_text(change("".join(",".join(line) + "\n" for line in lines)))
    return path


def test_every_ear_is_drawn_and_listed(proposed):
    out, done = proposed
    assert done.returncode == 0, done.stderr
    assert "6 ears in 3 images" in done.stdout
    assert cv2.imread(str(out / "sheet_00.png")).shape[0] >= 2 * 160 and not (out / "sheet_01.png").exists()
    rows = list(csv.DictReader((out / "verdicts.csv").open()))
    assert {(row["image"], row["side"]) for row in rows} == {
        (f"{name}.png", side) for name in ("one", "two", "three") for side in ("left", "right")
    }
    assert [row["number"] for row in rows] == list("012345") and {row["verdict"] for row in rows} == {""}
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores)  # the doubtful ones first


def spreadsheet(text):
    """As some programs save it: semicolons, decimal commas, a byte order mark, Windows line ends, an empty line."""
    return (
        "\ufeff" + text.replace(",", ";").replace(".", ",").replace(",png", ".png").replace("\n", "\r\n") + ";;;;\r\n"
    )


@pytest.mark.parametrize("change", [str, spreadsheet])
def test_verdicts_make_ear_images_with_points_and_images_without_an_ear(given, proposed, tmp_path, change):
    weights, images, truth = given
    verdicts = {("one.png", "left"): "right", ("one.png", "right"): "Right", ("two.png", "right"): "none"}
    table = table_of(proposed, tmp_path / "verdicts.csv", verdicts, change)
    out = tmp_path / "mine"
    done = annotate(weights, images, "--out", out, "--verdicts", table)
    assert done.returncode == 0, done.stderr
    assert f"2 ears: --data {out}\n" in done.stdout and f"without an ear: --negatives {out / 'NoEar'}\n" in done.stdout
    left, right = find_samples([out], EAR).samples
    assert (left.image.name, right.image.name) == ("one_left.png", "one_right.png")
    assert left.others is None  # no annotation of the other
    assert left.group == right.group  # one image is in one part of the split
    assert np.linalg.norm(left.points - truth["one"]["left"], axis=1).mean() < 2
    assert np.linalg.norm(right.points - truth["one"]["right"], axis=1).mean() < 2
    (empty,) = find_negatives([out / "NoEar"], EAR)
    assert empty.image.name == "two_right.jpg"
    with input_error("no image in it that shows no face"):  # it may well show one
        find_negatives([out], FACE)
    x, y = np.round(truth["two"]["right"].mean(axis=0)).astype(int)
    image = cv2.imread(str(empty.image))
    wanted = cv2.imread(str(images / "two.png"))[y, x]
    middle = image[image.shape[0] // 2, image.shape[1] // 2]
    assert np.abs(middle.astype(int) - wanted).max() < 40  # the place of the ear is in its middle
    with (proposed[0] / "verdicts.csv").open(newline="") as stream:
        (box,) = (row for row in csv.DictReader(stream) if (row["image"], row["side"]) == ("two.png", "right"))
    sides = [float(box[end]) - float(box[start]) for start, end in (("left", "right"), ("top", "bottom"))]
    assert image.shape[:2] == pytest.approx([3.2 * max(sides)] * 2, abs=1)
    assert 20 < max(sides) < 35  # the drawn ear has 30 pixels


def test_an_ear_that_is_drawn_elsewhere_than_it_was_judged_is_left_out(given, proposed, tmp_path):
    weights, images, _ = given
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in images.iterdir():
        image = cv2.imread(str(path))
        cv2.imwrite(str(moved / path.name), np.roll(image, 12, axis=1) if path.stem == "one" else image)
    both = {("one.png", "left"): "right", ("two.png", "left"): "right"}
    table = table_of(proposed, tmp_path / "verdicts.csv", both)
    done = annotate(weights, moved, "--out", tmp_path / "mine", "--verdicts", table)
    assert done.returncode == 0 and "1 ears" in done.stdout and "1 left out" in done.stdout, done.stderr
    assert [sample.image.name for sample in find_samples([tmp_path / "mine"], EAR).samples] == ["two_left.png"]
    table = table_of(proposed, tmp_path / "verdicts.csv", {("one.png", "left"): "none"})
    done = annotate(weights, moved, "--out", tmp_path / "other", "--verdicts", table)
    assert done.returncode == 2 and "no ear is where it was judged" in done.stderr
    assert not (tmp_path / "other").exists()


def test_what_cannot_be_read_is_named_and_skipped(given, tmp_path):
    weights, images, _ = given
    some = tmp_path / "some"
    some.mkdir()
    (some / "a.png").write_bytes((images / "one.png").read_bytes())
    (some / "broken.png").write_bytes((images / "two.png").read_bytes()[:300])
    done = annotate(weights, some, "--out", tmp_path / "out")
    assert done.returncode == 1 and "broken.png" in done.stderr and "2 ears in 2 images" in done.stdout, done.stderr
    with open(os.fsencode(some) + b"/caf\xe9.png", "wb") as stream:
        stream.write((images / "two.png").read_bytes())
    done = annotate(weights, some, "--out", tmp_path / "new")
    assert done.returncode == 2 and "not in UTF-8" in done.stderr and done.stderr.count("\n") == 1


HEAD = "image,side,left,top,right,bottom,verdict\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (HEAD + "a.png,left,1,2,3,4,\n", "verdict is empty"),
        (HEAD + "a.png,left,1,2,3,4,right\nb.png,left,1,2,3,4,maybe\n", "line 3: 'maybe'"),
        (HEAD + "a.png,up,1,2,3,4,right\n", "line 2"),
        (HEAD + "a.png,left,1,2,x,4,right\n", "line 2: the box"),
        (HEAD + "a.png,left,1,2,3,4,right\na.png,left,1,2,3,4,none\n", "line 3"),
        ("a,b\n1,2\n", "must name the columns"),
        ("", "must name the columns"),
    ],
)
def test_a_table_that_says_nothing_sensible_is_refused(tmp_path, text, named):
    table = tmp_path / "table.csv"
    table.write_text(text)
    with input_error(table, named):
        read_verdicts(table)
    with input_error(tmp_path / "none.csv"):
        read_verdicts(tmp_path / "none.csv")


def test_bad_input_is_one_line(given, tmp_path):
    weights, images, _ = given
    table = tmp_path / "verdicts.csv"
    table.write_text(HEAD + "four.png,left,1,2,3,4,right\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/something").write_text("")
    (tmp_path / "twins").mkdir()
    for name in ("a.png", "a.jpg"):
        (tmp_path / "twins" / name).write_bytes((images / "one.png").read_bytes())
    (tmp_path / "clip.mp4").write_bytes(b"")
    faces_only = save_chart_network(tmp_path / "faces.keras", ("face",))
    new = ("--out", tmp_path / "new")
    for arguments, named in (
        ((weights, images, "--out", tmp_path / "full"), "--out"),
        ((weights, images, *new, "--verdicts", table), "four.png"),
        ((weights, images, *new, "--verdicts", table, "--limit", 3), "--limit"),
        ((weights, images, *new, "--verdicts", table, "--shard", "1/2"), "--shard"),
        ((weights, images, *new, "--shard", "4/4"), "--shard 4/4: there are 3 images"),
        ((weights, tmp_path / "twins", *new), "a.png: has the same name as"),
        ((weights, tmp_path / "clip.mp4", *new), "no images"),
        ((faces_only, images, *new), "no head with all 55"),
        ((tmp_path / "none.keras", images, *new), "none.keras"),
    ):
        done = annotate(*arguments)
        assert done.returncode == 2 and named in done.stderr and done.stderr.count("\n") == 1, done.stderr
        assert not (tmp_path / "new").exists()


def test_faces_become_images_that_a_student_can_rehearse(given, tmp_path):
    weights, images, truth = given
    done = annotate(weights, images, "--out", tmp_path / "faces", "--faces")
    assert done.returncode == 0, done.stderr
    assert f"3 faces in 3 images: --replay {tmp_path / 'faces'} --face-weight 0" in done.stdout
    samples = {sample.image.stem: sample for sample in find_samples([tmp_path / "faces"], FACE).samples}
    assert set(samples) == set(truth)
    for name, sample in samples.items():
        assert np.abs(sample.points - truth[name]["face"]).mean() < 3
        assert sample.image.read_bytes() == (images / f"{name}.png").read_bytes()


def test_faces_are_not_judged_and_need_a_face_head(given, tmp_path):
    weights, images, _ = given
    (tmp_path / "v.csv").write_text("image\n")
    judged = annotate(weights, images, "--out", tmp_path / "out", "--faces", "--verdicts", tmp_path / "v.csv")
    ears = save_chart_network(tmp_path / "ears.keras", tasks=("ear",))
    blind = annotate(ears, images, "--out", tmp_path / "out", "--faces")
    for done, says in ((judged, "--faces"), (blind, "face points")):
        assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1
    (tmp_path / "me.face.jpg").write_bytes((images / "one.png").read_bytes())
    named = annotate(weights, tmp_path / "me.face.jpg", "--out", tmp_path / "out", "--faces")
    assert named.returncode == 2 and "me.face.jpg" in named.stderr and named.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
