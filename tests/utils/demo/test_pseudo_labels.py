import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.augment import Warp
from data.datasets import find_negatives, find_samples
from data.schemes import EAR, FACE
from data.synthetic.scene import draw_image
from tests.charts import draw_chart, place, save_chart_network
from tests.conftest import run_script
from utils.demo import LandmarkPredictor
from utils.demo.pseudo_labels import (
    Label,
    Limits,
    empty_part,
    part_around,
    pass_squares,
    read_passes,
    spread_of,
)
from utils.evaluation.metrics import normaliser_length

SHIPPED = Path(__file__).parents[3] / "weights/face2ear-lite.keras"
HEAD = "photo,left,top,right,bottom\n"


def annotate(*arguments):
    return run_script("utils.annotate", *arguments, "--precision", "float32")


def edges(left, top, right, bottom):
    """The box of these outer pixels, as the module has it."""
    return np.array([left - 0.5, top - 0.5, right + 0.5, bottom + 0.5])


def test_passes_are_the_square_and_others_a_little_beside_it_half_of_them_mirrored():
    square = Warp((50.0, 60.0), 80.0, angle=30.0)
    passes = pass_squares(square, 9)
    assert passes[0] == square and passes == pass_squares(square, 9) and len(set(passes)) == 9
    assert [each.flip for each in passes] == [False, True] * 4 + [False]
    for each in passes:
        assert abs(each.centre[0] - 50) <= 4 and abs(each.centre[1] - 60) <= 4 and abs(each.angle - 30) <= 12
        assert 80 / 1.15 <= each.side <= 80 * 1.15


def test_the_spread_is_the_mean_distance_from_the_mean_of_the_passes():
    points = np.zeros((2, 4, 2))
    points[1, :2] = (6, 8)  # half of the landmarks 10 px apart: 5 px from their mean each
    assert spread_of(points, 50.0) == pytest.approx(5.0)


def test_a_label_is_refused_for_the_first_limit_that_it_breaks():
    limits = Limits(score=0.5, agreement=3, overlap=0.6)
    points = np.zeros((55, 2))
    assert Label(points, 0.5, 3.0, 0.6).refusal(limits) == ""
    assert "score" in Label(points, 0.49, 9.0, 0.1).refusal(limits)
    assert "disagree" in Label(points, 0.5, 3.1, 0.1).refusal(limits)
    assert "box" in Label(points, 0.5, 3.0, 0.59).refusal(limits)


def test_the_empty_part_is_the_largest_beside_the_boxes():
    # A box of 20 x 40 px keeps 6 px (0.15 of 40) free on each side: 94 to 126 across, 24 to 76 down.
    assert empty_part((100, 320), [edges(100, 30, 119, 69)]).tolist() == [126, 0, 320, 100]
    assert empty_part((100, 320), []).tolist() == [0, 0, 320, 100]
    assert empty_part((100, 180), [edges(90, 30, 109, 69)]).tolist() == [0, 0, 84, 100]
    assert empty_part((100, 158), [edges(69, 30, 88, 69)]) is None  # 63 px across are left on each side


def test_an_ear_is_cut_out_with_its_surroundings_and_without_the_box_that_nobody_knows():
    ear, other = edges(40, 40, 59, 79), edges(200, 40, 219, 79)
    assert part_around((120, 300), ear, []).tolist() == [0, 0, 300, 120]
    assert part_around((120, 300), ear, [other]).tolist() == [0, 0, 194, 120]
    assert part_around((120, 300), other, [ear]).tolist() == [66, 0, 300, 120]
    assert part_around((120, 300), ear, [edges(65, 40, 84, 79)]) is None


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A network that reads charts, images of heads, and their boxes: all right, one ear's wrong, on an image alone."""
    folder, truth = tmp_path_factory.mktemp("given"), {}
    (folder / "images").mkdir()
    rows = [("photo", "left", "top", "right", "bottom")]
    for name, x in (("one", 150.0), ("two", 160.0), ("three", 140.0)):
        image, truth[name] = draw_chart(240, 320, place((x, 120.0), 100))
        cv2.imwrite(str(folder / "images" / f"{name}.png"), image[..., ::-1])
        for side in ("left", "right"):
            low, high = truth[name][side].min(axis=0).round().astype(int), truth[name][side].max(axis=0).round()
            if (name, side) == ("two", "right"):
                low, high = low - (0, 60), high - (0, 60)  # nothing is there
            if name != "three":
                rows.append((f"{name}.png", *low.tolist(), *high.astype(int).tolist()))
    with (folder / "boxes.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return save_chart_network(folder / "net.keras"), folder / "images", truth, folder / "boxes.csv"


def test_mirrored_squares_are_read_as_others_are(given):
    weights, images, truth, _ = given
    image = cv2.imread(str(images / "one.png"))[..., ::-1]
    predictor = LandmarkPredictor(weights, precision="float32")
    square = Warp(tuple(truth["one"]["left"].mean(axis=0).tolist()), 75.0)
    plain, *others = predictor.read_squares(EAR, [(image, each) for each in pass_squares(square, 4)])
    assert [each.crop.flip for each in others] == [True, False, True]
    for each in (plain, *others):
        assert np.linalg.norm(each.points - truth["one"]["left"], axis=1).mean() < 2


def test_an_ensemble_reads_the_passes_with_every_network(given, tmp_path):
    weights, images, truth, boxes = given
    image = cv2.imread(str(images / "one.png"))[..., ::-1]
    other = save_chart_network(tmp_path / "other.keras", size=96)
    both = [LandmarkPredictor(each, precision="float32") for each in (weights, other)]
    squares = [
        (image, Warp(tuple(truth["one"][side].mean(axis=0).tolist()), 75.0 * scale))
        for side, scale in (("left", 1.0), ("right", 1.2))
    ]
    alone = [read_passes([each], EAR, squares, 3) for each in both]
    for (points, score), *each in zip(read_passes(both, EAR, squares, 3), *alone, strict=True):
        assert points.shape == (6, 55, 2) and not np.allclose(points[:3], points[3:], atol=0.01)
        np.testing.assert_allclose(points, np.concatenate([own for own, _ in each]), atol=1e-3)
        assert score == pytest.approx(np.mean([own for _, own in each]))
    command = (weights, images, "--boxes", boxes, "--passes", 2, "--score", 0.5, "--agreement", 5)
    done = annotate(*command, "--ensemble", other, "--out", tmp_path / "boxed")
    assert done.returncode == 0 and f"3 ears: --data {tmp_path / 'boxed'}\n" in done.stdout, done.stderr
    means = {sample.image.name: sample.points for sample in find_samples([tmp_path / "boxed"], EAR).samples}
    assert np.linalg.norm(means["one_ear1.png"] - truth["one"]["left"], axis=1).mean() < 2
    no_ears = save_chart_network(tmp_path / "faces.keras", ("face",))
    done = annotate(*command, "--ensemble", no_ears, "--out", tmp_path / "refused")
    assert done.returncode == 2 and "faces.keras" in done.stderr and done.stderr.count("\n") == 1


def test_boxes_make_ears_and_images_without_an_ear(given, tmp_path):
    weights, images, truth, boxes = given
    out = tmp_path / "boxed"
    done = annotate(weights, images, "--out", out, "--boxes", boxes, "--passes", 4, "--score", 0.5, "--agreement", 5)
    assert done.returncode == 0, done.stderr
    assert "4 boxes in 2 images: 3 accepted\n" in done.stdout and "  1 refused: " in done.stdout
    assert "1 images without a box left out" in done.stdout
    assert f"3 ears: --data {out}\n" in done.stdout and f"2 images without an ear: --negatives {out}" in done.stdout
    samples = {sample.image.name: sample for sample in find_samples([out], EAR).samples}
    assert set(samples) == {"one_ear1.png", "one_ear2.png", "two_ear1.png"}
    one, other, cut = (samples[name] for name in sorted(samples))
    assert one.image.read_bytes() == (images / "one.png").read_bytes() and one.group == other.group
    for sample, side, second in ((one, "left", "right"), (other, "right", "left")):
        assert np.linalg.norm(sample.points - truth["one"][side], axis=1).mean() < 2
        (seen,) = sample.others
        assert np.linalg.norm(seen - truth["one"][second], axis=1).mean() < 2
    # The image with the refused box holds the other ear alone, all of what it shows is known.
    whole, part = cv2.imread(str(images / "two.png")), cv2.imread(str(cut.image))
    left, top = whole.shape[1] - part.shape[1], whole.shape[0] - part.shape[0]
    assert left + top > 0 and cut.annotation.complete and len(cut.others) == 0
    assert (part == whole[top:, left:]).all()
    assert np.linalg.norm(cut.points + np.array([left, top]) - truth["two"]["left"], axis=1).mean() < 2
    assert {sample.image.name for sample in find_negatives([out / "NoEar"], EAR)} == {"one_empty.jpg", "two_empty.jpg"}


@pytest.mark.slow
def test_faces_are_kept_where_the_passes_agree(tmp_path):
    (tmp_path / "images").mkdir()
    truth = {}
    for k in range(2):
        head = draw_image(np.random.default_rng((5, k)), "face", 200, draft=True)
        truth[f"head{k}"] = head.points["face"]
        cv2.imwrite(str(tmp_path / f"images/head{k}.png"), head.pixels[..., ::-1])
    cv2.imwrite(str(tmp_path / "images/wall.png"), np.full((200, 200, 3), 128, np.uint8))
    command = (SHIPPED, tmp_path / "images", "--faces", "--passes", 4)
    done = annotate(*command, "--out", tmp_path / "kept", "--score", 0.3, "--agreement", 12)
    assert done.returncode == 0, done.stderr
    assert "3 images: 2 faces accepted, 1 without one\n" in done.stdout
    assert f"2 faces: --data {tmp_path / 'kept'}\n" in done.stdout
    for sample in find_samples([tmp_path / "kept"], FACE).samples:
        wanted = truth[sample.image.stem]
        apart = np.linalg.norm(sample.points - wanted, axis=1).mean()
        assert apart < 0.12 * normaliser_length(wanted[None], FACE)[0]
    none = annotate(*command, "--out", tmp_path / "none", "--agreement", 0.01, "--score", 0.3)
    assert none.returncode == 2 and "  2 refused: the passes disagree\n" in none.stdout
    assert none.stderr.count("\n") == 1 and not (tmp_path / "none").exists()


def test_bad_flags_and_boxes_are_one_line(given, tmp_path):
    weights, images, _, boxes = given
    other, large = tmp_path / "other.csv", tmp_path / "large.csv"
    other.write_text(HEAD + "four.png,1,2,30,40\n")
    large.write_text(HEAD + "one.png,1,2,320,40\n")  # its last column is 319
    for flags, named in (
        (("--boxes", boxes, "--faces"), "--boxes"),
        (("--boxes", boxes, "--passes", 1), "--passes"),
        (("--passes", 4), "--passes"),
        (("--faces", "--agreement", 3), "--agreement"),
        (("--faces", "--passes", 4, "--overlap", 0.5), "--overlap"),
        (("--boxes", tmp_path / "none.csv"), "none.csv"),
        (("--boxes", boxes, "--ensemble", weights), "the same file twice"),
        (("--ensemble", other), "--passes"),
        (("--boxes", boxes, "--ensemble", tmp_path / "none.keras"), "none.keras"),
        (("--boxes", other), "none of its photos"),
        (("--boxes", large), "320 x 240"),
    ):
        done = annotate(weights, images, "--out", tmp_path / "new", *flags)
        assert done.returncode == 2 and named in done.stderr and done.stderr.count("\n") == 1, done.stderr
        assert not (tmp_path / "new").exists()
