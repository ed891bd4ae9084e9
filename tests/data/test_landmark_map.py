"""Landmarks of one scheme from the points of another: by hand, from datasets on disk, and by the real commands."""

import json

import numpy as np
import pytest

from data.datasets import find_samples
from data.formats import write_pts
from data.landmark_map import FOLDER, read_map
from data.layouts import NoSuchImagesError
from data.schemes import FACE, read_scheme
from tests.conftest import SMALL, input_error, run_script
from tests.images import drawn_image
from utils.common.images import save_image

SQUARE = [(0, 0), (10, 0), (10, 10), (0, 10)]  # a template of four points


def written_map(path, first, **changes):
    """A map of four points: the first landmark as given, the others in point 3."""
    content = {"points": 4, "scheme": "face", "landmarks": [first] + [{"at": 3}] * 67} | changes
    path.write_text(json.dumps(content))
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
    to_landmarks = read_map("frl189-to-face68")
    assert (to_landmarks.points, to_landmarks.scheme) == (189, FACE)
    entries = json.loads((FOLDER / "frl189-to-face68.json").read_text())["landmarks"]
    assert all(entry["from"] for entry in entries)
    for k, mirrored in enumerate(FACE.flip_order):
        assert entries[k].get("fraction", 0) == pytest.approx(entries[mirrored].get("fraction", 0)), (
            f"landmarks {k} and {mirrored}"
        )


def test_the_map_of_wflw_agrees_with_the_flip_pairs_of_both_schemes():
    wflw = read_map("wflw98-to-face68")
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
    [
        ({"points": 0}, "'points'"),
        ({"scheme": "hand"}, "scheme hand: no such file"),
        ({"landmarks": [{"at": 1}]}, "68 entries"),
    ],
)
def test_a_map_of_something_else_is_named(tmp_path, changes, words):
    with input_error("map.json", words):
        read_map(written_map(tmp_path / "map.json", {"at": 0}, **changes))


def wflw_points(face):
    """98 points for the 68 (68, 2) of 300-W: its own where they are the same, the rest between them."""
    points = np.full((98, 2), np.nan)
    points[[curve[0] for curve, _ in read_map("wflw98-to-face68").places]] = face
    points[1:32:2] = (points[0:31:2] + points[2:33:2]) / 2
    for upper, lower in (((34, 35, 36, 37), (41, 40, 39, 38)), ((42, 43, 44, 45), (50, 49, 48, 47))):
        points[list(lower)] = points[list(upper)] + (0, 2)
    for one, middle, other in ((61, 62, 63), (65, 66, 67), (69, 70, 71), (73, 74, 75)):
        points[middle] = (points[one] + points[other]) / 2
    for pupil, eye in ((96, slice(60, 68)), (97, slice(68, 76))):
        points[pupil] = points[eye].mean(axis=0)
    return points


@pytest.fixture(scope="module")
def wflw(tmp_path_factory):
    """Twelve drawn faces as WFLW's list of 98 points has them, and the 68 points of each by its image's name."""
    folder, rng = tmp_path_factory.mktemp("wflw"), np.random.default_rng(0)
    lines, truth = [], {}
    for number in range(12):
        image, points = drawn_image(FACE, 96, rng)
        save_image(folder / "WFLW_images" / f"face{number}.png", image)
        truth[f"WFLW_images/face{number}.png"] = points
        numbers = " ".join(f"{value:.6f}" for value in wflw_points(points).ravel())
        lines.append(f"{numbers} 0 0 96 96 0 0 0 0 0 0 face{number}.png")
    (folder / "list_98pt_rect_attr_train.txt").write_text("\n".join(lines) + "\n")
    return folder, truth


def test_98_points_become_68_by_hand():
    """Point k lies at (k, 10 k): the chin is every second jaw point's ninth, and so on."""
    source = np.array([(k, 10 * k) for k in range(98)], float)
    landmarks = read_map("wflw98-to-face68")(source)[:, 0].astype(int)
    by_hand = {0: 0, 8: 16, 16: 32, 17: 33, 21: 37, 22: 42, 26: 46, 27: 51, 30: 54, 33: 57, 36: 60, 37: 61, 38: 63}
    by_hand |= {39: 64, 40: 65, 41: 67, 42: 68, 45: 72, 47: 75, 48: 76, 54: 82, 57: 85, 60: 88, 64: 92, 67: 95}
    assert {k: landmarks[k] for k in by_hand} == by_hand


def test_a_landmark_is_missing_where_a_point_that_it_needs_is(tmp_path):
    points = np.array(SQUARE, float)
    points[1] = np.nan
    for entry in ({"at": 1}, {"at": [0, 1]}, {"curve": [0, 1, 2], "fraction": 0.0}):
        landmarks = read_map(written_map(tmp_path / "map.json", entry))(points)
        assert np.isnan(landmarks[0]).all()
        np.testing.assert_array_equal(landmarks[1], (0, 10))


def test_a_dataset_is_read_through_a_map(wflw, tmp_path):
    folder, truth = wflw
    samples = find_samples([folder], FACE, landmark_map=read_map("wflw98-to-face68")).samples
    assert [sample.part for sample in samples] == ["train"] * 12
    for sample in samples:
        np.testing.assert_allclose(sample.points, truth[sample.name], atol=1e-3)
    image, points = drawn_image(FACE, 96, np.random.default_rng(1))
    save_image(tmp_path / "a.png", image)
    write_pts(tmp_path / "a.pts", points)
    inner = find_samples([tmp_path], read_scheme("face51"), landmark_map=read_map("face68-to-face51")).samples
    np.testing.assert_allclose(inner[0].points, points[17:], atol=1e-3)
    with pytest.raises(NoSuchImagesError):
        find_samples([tmp_path], FACE, landmark_map=read_map("wflw98-to-face68"))
    with input_error("--map frl189-to-face68", "data.convert"):
        find_samples([tmp_path], FACE, landmark_map=read_map("frl189-to-face68"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source_scheme": "wflw98"}, "'points' is 4, but source_scheme wflw98 has 98"),
        ({"source_scheme": 3}, "'source_scheme' is no name"),
        ({"source_scheme": "none"}, "source_scheme none: no such file"),
    ],
)
def test_a_wrong_source_of_a_map_is_named(tmp_path, change, words):
    with input_error("map.json", words):
        read_map(written_map(tmp_path / "map.json", {"at": 0}, **change))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["train_face.py", "--map", "none"], "--map none: no such file, and none of face68-to-face51"),
        (["train_face.py", "--map", "wflw98-to-face68", "--scheme", "cofw29"], "--scheme cofw29: --map"),
        (["data.check", "data", "--map", "wflw98-to-face68", "--task", "face"], "--task"),
        (["data.convert", "data", "--out", "out"], "--to: say in which format"),
        (["data.convert", "data", "--out", "out", "--map", "a.json", "--points-dir", "b"], "--points-dir b: goes with"),
        (["train_ear.py", "--map", "wflw98-to-face68"], "--map"),
        (["train_face.py", "--data", "a", "--data", "b", "--points-dir", "c"], "--points-dir: holds the points of one"),
    ],
)
def test_flags_that_contradict_each_other_are_one_line(command, words):
    done = run_script(*command)
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_wflw_trains_its_98_points_and_the_68_of_300w(wflw, tmp_path):
    folder, truth = wflw
    short = [*SMALL, "--data", folder, "--epochs", 1]
    for flags, task in ((["--scheme", "wflw98"], "wflw98"), (["--map", "wflw98-to-face68"], "face")):
        weights = tmp_path / f"{task}.keras"
        trained = run_script("train_face.py", *short, *flags, "--run", tmp_path / task, "--out", weights)
        assert trained.returncode == 0, trained.stderr
        flags = [] if task == "wflw98" else flags
        out = ["--split", "all", "--allow-trained", "--out", tmp_path / f"scores_{task}"]
        scored = run_script("utils.evaluate", weights, folder, *flags, *out)
        assert scored.returncode == 0, scored.stderr
        scores = json.loads((tmp_path / f"scores_{task}" / "scores.json").read_text())
        assert scores[task]["images"] == 12
    done = run_script("data.convert", folder, "--to", "pts", "--map", "wflw98-to-face68", "--out", tmp_path / "pts")
    assert done.returncode == 0, done.stderr
    for sample in find_samples([tmp_path / "pts"], FACE).samples:
        np.testing.assert_allclose(sample.points, truth[sample.name], atol=2e-3)
