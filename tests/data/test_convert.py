import json
from pathlib import Path

import numpy as np
import pytest

from data.convert import find_points, read_map, read_points_csv
from data.datasets import find_samples
from data.formats import read_pts
from data.schemes import FACE, read_scheme
from tests.conftest import input_error, run_script
from tests.images import drawn_image
from utils.common.images import save_image

SHIPPED = Path(__file__).resolve().parents[2] / "data" / "maps" / "frl189-to-face68.json"
SQUARE = [(0, 0), (10, 0), (10, 10), (0, 10)]  # a template of four points


def written_map(path, first, **changes):
    """A map of four points: the first landmark as given, the others in point 3."""
    content = {"points": 4, "scheme": "face", "landmarks": [first] + [{"at": 3}] * 67} | changes
    path.write_text(json.dumps(content))
    return path


def written_points(path, points, heading="x,y\n"):
    path.write_text(heading + "".join(f"{x},{y}\n" for x, y in points))
    return path


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ({"at": 2}, (10, 10)),
        ({"at": [0, 2]}, (5, 5)),
        ({"curve": [0, 1], "fraction": 0.3}, (3, 0)),
        ({"curve": [0, [0, 1], 1], "fraction": 0.5}, (5, 0)),
        ({"curve": [0, 1], "fraction": 0}, (0, 0)),
        ({"curve": [0, 1, 2], "fraction": 0.5}, (10, 0)),
        ({"curve": [0, 1, 2, 3], "fraction": 0.5}, (11.25, 5)),  # x = 15 t - 5 t^2 is 0, 10, 10, 0
        ({"curve": [1, 1, 2], "fraction": 0.5}, (10, 5)),
        ({"curve": [1, 1], "fraction": 0.5}, (10, 0)),
    ],
)
def test_a_landmark_lies_at_a_point_a_mean_or_a_fraction_of_a_curve(tmp_path, entry, place):
    landmarks = read_map(written_map(tmp_path / "map.json", entry))(np.array(SQUARE, np.float32))
    assert landmarks.shape == (68, 2)
    np.testing.assert_allclose(landmarks[0], place, atol=1e-3)
    np.testing.assert_array_equal(landmarks[1], (0, 10))


def test_the_shipped_map_is_symmetric_and_says_where_each_landmark_comes_from():
    """The two landmarks of a pair lie at one fraction of their curves."""
    to_landmarks = read_map(SHIPPED)
    assert (to_landmarks.points, to_landmarks.scheme) == (189, FACE)
    entries = json.loads(SHIPPED.read_text())["landmarks"]
    assert all(entry["from"] for entry in entries)
    for k, mirrored in enumerate(FACE.flip_order):
        assert entries[k].get("fraction", 0) == pytest.approx(entries[mirrored].get("fraction", 0)), (
            f"landmarks {k} and {mirrored}"
        )


def test_the_map_of_wflw_agrees_with_the_flip_pairs_of_both_schemes():
    wflw = read_map(SHIPPED.parent / "wflw98-to-face68.json")
    chosen = [curve[0] for curve, _ in wflw.places]
    scheme = read_scheme("wflw98")
    mirrored = dict(scheme.flip_pairs) | {b: a for a, b in scheme.flip_pairs}
    assert wflw.points == scheme.count and len(set(chosen)) == 68
    assert all(mirrored[chosen[a]] == chosen[b] for a, b in wflw.scheme.flip_pairs)


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ({"at": 4}, "landmark 0: needs 'at' or 'curve', of indices from 0 to 3"),
        ({"at": True}, "landmark 0"),
        ({"curve": [0, 1]}, "landmark 0: 'fraction'"),
        ({"curve": [], "fraction": 0.5}, "landmark 0"),
        ({"curve": [[]], "fraction": 0.5}, "landmark 0"),
        ({"curve": [0, 1], "fraction": 1.5}, "landmark 0: 'fraction'"),
        (7, "landmark 0"),
    ],
)
def test_a_wrong_entry_of_a_map_is_named(tmp_path, first, words):
    path = written_map(tmp_path / "map.json", first)
    with input_error(path, words):
        read_map(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"points": 0}, "'points'"), ({"scheme": "hand"}, "face, ear"), ({"landmarks": [{"at": 1}]}, "68 entries")],
)
def test_a_map_of_something_else_is_named(tmp_path, changes, words):
    with input_error("map.json", words):
        read_map(written_map(tmp_path / "map.json", {"at": 0}, **changes))


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
        (("--map", SHIPPED), "ann_1.csv: holds 69 points, 189 are needed"),
    ],
)
def test_a_wrong_flag_is_one_line_and_writes_nothing(templates, tmp_path, flags, words):
    done = convert(templates, "--out", tmp_path / "out", *flags)
    assert done.returncode == 2
    assert words in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
