import json

import numpy as np
import pytest

from data.convert import find_points, read_points_csv
from data.datasets import find_samples
from data.formats import read_pts
from data.schemes import FACE
from tests.conftest import input_error, run_script
from tests.images import drawn_image
from utils.common.images import save_image

SQUARE = [(0, 0), (10, 0), (10, 10), (0, 10)]  # a template of four points


def written_points(path, points, heading="x,y\n"):
    path.write_text(heading + "".join(f"{x},{y}\n" for x, y in points))
    return path


def test_a_table_of_points_may_have_a_heading_and_counts_from_zero(tmp_path):
    for heading in ("x,y\n", "", '"x","y"\n', "\ufeffX, Y\n"):
        found = read_points_csv(written_points(tmp_path / "a.csv", SQUARE, heading), 4)
        np.testing.assert_array_equal(found, SQUARE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x,y\n1,2\n3;4\n", "line 3 is not 'x,y'"),
        ("x,y\n1,2,3\n", "line 2"),
        ("1,2\nx,y\n", "line 2"),
        ("x,y\n1,2\n", "holds 1 points, 2 are needed"),
        ("x,y\n", "holds 0 points"),
        ("1,2\nnan,3\n", "point 1 is not a number"),
    ],
)
def test_a_bad_table_is_named_with_its_line(tmp_path, text, words):
    (tmp_path / "a.csv").write_text(text)
    with input_error("a.csv", words):
        read_points_csv(tmp_path / "a.csv", 2)


def test_images_without_points_are_left_out_and_points_without_an_image_are_named(tmp_path):
    for name in ("a.jpg", "b.JPG", "c.png", "a.csv", "c.csv", "note.txt"):
        (tmp_path / name).touch()
    assert [image.name for image, _ in find_points(tmp_path, ["*"])] == ["a.jpg", "c.png"]
    (tmp_path / "d.csv").touch()
    with input_error("d.csv", "no image"):
        find_points(tmp_path, ["*"])
    assert [image.name for image, _ in find_points(tmp_path, ["a*", "c"])] == ["a.jpg", "c.png"]
    (tmp_path / "a.png").touch()
    with input_error("a.png", "a.jpg has the same name"):
        find_points(tmp_path, ["a"])
    with input_error("whose names match z*"):
        find_points(tmp_path, ["z*"])
    with input_error("no such folder"):
        find_points(tmp_path / "none", ["*"])


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    """Three faces whose template is the 68 points and a last one, at (0, 0), and a map that drops it."""
    folder = tmp_path_factory.mktemp("templates")
    rng = np.random.default_rng(0)
    for name in ("ann_1", "ann_2", "bob_1"):
        image, points = drawn_image(FACE, 96, rng)
        save_image(folder / "in" / f"{name}.png", image)
        written_points(folder / "in" / f"{name}.csv", [*points, (0, 0)])
    content = {"points": 69, "scheme": "face", "landmarks": [{"at": k} for k in range(68)]}
    (folder / "map.json").write_text(json.dumps(content))
    return folder


def convert(templates, *flags):
    return run_script("data.convert", templates / "in", "--map", templates / "map.json", *flags)


def test_the_command_writes_a_dataset(templates, tmp_path):
    done = convert(templates, "--out", tmp_path / "out", "--one-person", "ann_*")
    assert done.returncode == 0, done.stderr
    assert "3 images with 68 face landmarks" in done.stdout
    samples = find_samples([tmp_path / "out"], FACE).samples
    assert [sample.name for sample in samples] == ["ann_1.png", "ann_2.png", "bob_1.png"]
    assert samples[0].group == samples[1].group != samples[2].group
    expected = read_points_csv(templates / "in" / "bob_1.csv", 69)[:68]
    np.testing.assert_allclose(read_pts(tmp_path / "out" / "bob_1.pts", 68), expected, atol=1e-4)
    assert (tmp_path / "out" / "bob_1.png").read_bytes() == (templates / "in" / "bob_1.png").read_bytes()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--one-person", "eve_*"), "--one-person eve_*"),
        (("--match", "eve_*"), "match eve_*"),
        (("--map", "frl189-to-face68"), "ann_1.csv: holds 69 points, 189 are needed"),
    ],
)
def test_a_wrong_flag_is_one_line_and_writes_nothing(templates, tmp_path, flags, words):
    done = convert(templates, "--out", tmp_path / "out", *flags)
    assert done.returncode == 2
    assert words in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
