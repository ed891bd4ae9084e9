import csv
import json

import numpy as np
import pytest

from data.annotation import Annotation
from data.datasets import Sample, find_samples
from data.formats import write_pts
from data.schemes import EAR, FACE, reference_shape
from models.config import preset_config
from models.cpm import build_network
from models.weights import save_network
from tests.charts import save_chart_network
from tests.conftest import input_error
from tests.images import drawn_image, write_faces
from utils import evaluate
from utils.common.files import write_json
from utils.common.images import save_image
from utils.evaluation.reports import write_report
from utils.evaluation.scoring import score_points


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Two untrained networks with two landmarks each."""
    folder = tmp_path_factory.mktemp("weights")
    config = preset_config("tiny", {"face": (36, 45)}, stages=1, input_size=32)
    for name in ("one", "two"):
        save_network(folder / f"{name}.keras", build_network(config), config, {})
    return folder / "one.keras", folder / "two.keras"


def run(monkeypatch, *flags):
    evaluate.main([*map(str, flags)])


def test_several_weights_read_the_images_once_and_a_limit_counts_images_of_the_part(weights, tmp_path, monkeypatch):
    write_faces(tmp_path / "data", 40, size=48)
    read = []

    def find_samples(*options, **more):
        read.append(options)
        return evaluate_find_samples(*options, **more)

    evaluate_find_samples = evaluate.find_samples
    monkeypatch.setattr(evaluate, "find_samples", find_samples)
    run(monkeypatch, *weights, tmp_path / "data", "--limit", 3, "--out", tmp_path / "out")
    assert [options[1] for options in read] == [FACE]
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert [score["images"] for score in scores.values()] == [3, 3]


def test_a_score_does_not_depend_on_which_precision_is_fastest_here():
    parser = evaluate.evaluation_flags()
    assert parser.parse_args(["weights.keras", "data"]).precision == "float32"
    assert "float32 (default)" in " ".join(parser.format_help().split())


@pytest.fixture
def heads(tmp_path):
    """Three heads with face and ears in `Both/`: images and points as of drawn faces and ears, notes by hand."""
    rng = np.random.default_rng(0)
    for k in range(3):
        stem = tmp_path / "heads" / "Both" / f"head_{k}"
        image, points = drawn_image(FACE, 96, rng)
        save_image(stem.with_suffix(".jpg"), image)
        write_pts(f"{stem}.face.pts", points)
        for side in ("left", "right"):
            write_pts(f"{stem}.ear_{side}.pts", drawn_image(EAR, 96, rng)[1])
        # 55 points each: the left ear is in the open, 21 of the right one's points are seen in the first image (38 %:
        # too few), 22 in the second (40 %), none in the third.
        visible = {"face": [1] * 68, "ear_left": [1] * 55, "ear_right": [1] * (21, 22, 0)[k] + [0] * (34, 33, 55)[k]}
        write_json(f"{stem}.json", {"visible": visible})
    return tmp_path / "heads"


def test_weights_of_one_task_are_scored_on_heads_that_have_points_of_both(
    weights, heads, tmp_path, monkeypatch, capsys
):
    run(monkeypatch, weights[0], heads, "--out", tmp_path / "out")
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores.keys() == {"one"}
    assert (scores["one"]["task"], scores["one"]["images"]) == ("face", 3)
    assert capsys.readouterr().out.count("NME") == 1


def test_a_network_with_two_heads_is_scored_on_both_and_mostly_hidden_ears_are_left_out(heads, tmp_path, monkeypatch):
    config = preset_config("tiny", {"face": (36, 45), "ear": (0, 20, 40)}, stages=1, input_size=32)
    save_network(tmp_path / "multi.keras", build_network(config), config, {})
    run(monkeypatch, tmp_path / "multi.keras", heads, "--out", tmp_path / "out")
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert {name: score["images"] for name, score in scores.items()} == {"multi_face": 3, "multi_ear": 4}
    with open(tmp_path / "out" / "multi_ear" / "images.csv", newline="") as stream:
        names = [row["name"] for row in csv.DictReader(stream)]
    assert names == [f"Both/head_{k}.ear_{side}.pts"
                     for k, side in ((0, "left"), (1, "left"), (1, "right"), (2, "left"))]  # fmt: skip


def test_a_head_that_the_images_have_no_points_of_is_left_out(heads, tmp_path, monkeypatch, capsys):
    config = preset_config("tiny", {"face": (36, 45), "ear": (0, 20, 40)}, stages=1, input_size=32)
    save_network(tmp_path / "multi.keras", build_network(config), config, {})
    write_faces(tmp_path / "faces", 12, size=48)
    run(monkeypatch, tmp_path / "multi.keras", tmp_path / "faces", "--split", "all", "--out", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "scores.json").read_text()).keys() == {"multi_face"}
    assert "ear  not scored" in capsys.readouterr().out
    with input_error("no ear images"):
        run(monkeypatch, tmp_path / "multi.keras", tmp_path / "faces", "--task", "ear", "--out", tmp_path / "out")
    for notes in heads.glob("Both/*.json"):
        write_json(notes, {"visible": {"ear_left": [0] * 55, "ear_right": [0] * 55}})
    run(monkeypatch, tmp_path / "multi.keras", heads, "--out", tmp_path / "hidden")
    assert json.loads((tmp_path / "hidden" / "scores.json").read_text()).keys() == {"multi_face"}


@pytest.mark.parametrize(
    "content", ["{}", "[]", "", '{"visible": {"ear_left": [1]}}', '{"visible": {"ear_left": "no"}}']
)
def test_notes_that_do_not_say_what_is_visible_are_named(heads, content):
    notes = heads / "Both" / "head_1.json"
    notes.write_text(content)
    with input_error(notes):
        find_samples([heads], EAR)
    assert len(find_samples([heads], FACE).samples) == 3


@pytest.fixture
def handed_out(tmp_path):
    """300-W as it is handed out: two faces in each folder, each with its mirrored copy."""
    rng = np.random.default_rng(0)
    for place in ("afw", "helen/trainset", "helen/testset", "lfpw/trainset", "lfpw/testset", "ibug"):
        for name in ("1_1", "1_1_mirror", "2_1", "2_1_mirror"):
            image, points = drawn_image(FACE, 64, rng)
            save_image(tmp_path / "300w" / place / f"{name}.jpg", image)
            write_pts(tmp_path / "300w" / place / f"{name}.pts", points)
    return tmp_path / "300w"


@pytest.fixture
def whole_face(tmp_path):
    """An untrained network with all points of the face, and some of the ear."""
    config = preset_config("tiny", {"face": tuple(range(68)), "ear": (0, 20)}, stages=1, input_size=32)
    save_network(tmp_path / "both.keras", build_network(config), config, {})
    return tmp_path / "both.keras"


@pytest.mark.parametrize("protocol", ["crop", "photo"])
def test_300w_is_scored_by_its_test_sets_without_being_asked(
    handed_out, whole_face, protocol, tmp_path, monkeypatch, capsys
):
    run(monkeypatch, whole_face, handed_out, "--task", "face", "--protocol", protocol, "--out", tmp_path / "out")
    printed = [line.split()[2:] for line in capsys.readouterr().out.splitlines() if line.startswith(str(whole_face))]
    assert [words[0] for words in printed[1:]] == ["common", "challenging", "full"]
    for scores in (
        json.loads((tmp_path / "out" / "scores.json").read_text())["both"],
        json.loads((tmp_path / "out" / "both" / "scores.json").read_text()),
    ):
        assert scores["images"] == 12  # with the copies
        subsets = scores["subsets"]
        assert {name: own["images"] for name, own in subsets.items()} == {"common": 4, "challenging": 2, "full": 6}
        if protocol == "crop":
            weighted = (4 * subsets["common"]["nme_inner"] + 2 * subsets["challenging"]["nme_inner"]) / 6
            assert subsets["full"]["nme_inner"] == pytest.approx(weighted)


@pytest.mark.parametrize(("subset", "count"), [("common", 4), ("challenging", 2), ("full", 6)])
def test_one_test_set_of_300w_can_be_chosen_and_means_faces(
    handed_out, whole_face, subset, count, tmp_path, monkeypatch
):
    run(monkeypatch, whole_face, handed_out, "--split", subset, "--out", tmp_path / "out")
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert {name: (score["task"], score["images"]) for name, score in scores.items()} == {"both": ("face", count)}


def test_a_test_set_of_300w_is_refused_for_a_folder_that_is_none(whole_face, faces, ears, tmp_path, monkeypatch):
    for data, task in ((faces, "face"), (ears, "ear")):
        with input_error(data, "common", "300-W", "readme/datasets.md"):
            run(monkeypatch, whole_face, data, "--split", "common", "--task", task, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_where_nothing_is_found_there_is_no_nme_and_the_json_is_json(tmp_path):
    samples = [
        Sample(f"{k}.png", tmp_path / f"{k}.png", Annotation.of(FACE, reference_shape(FACE) * 50), str(k))
        for k in range(3)
    ]
    for sample in samples:
        save_image(sample.image, np.zeros((60, 60, 3), np.uint8))
    nothing, sure = np.full((3, 68, 2), np.nan, np.float32), np.zeros((3, 68), np.float32)
    scores = score_points(samples, FACE, range(68), nothing, sure, protocol="photo")
    assert "nothing found in 3 images" in scores.line and "nan" not in scores.line
    write_report(tmp_path / "report", scores, "none")
    summary = json.loads((tmp_path / "report/scores.json").read_text(), parse_constant=pytest.fail)
    assert summary["nme"] is None and summary["missed"] == summary["failure"] == 100
    found = nothing.copy()
    found[0] = samples[0].points + 1
    partly = score_points(samples, FACE, range(68), found, sure, protocol="photo")
    length = np.linalg.norm(samples[0].points[36] - samples[0].points[45])
    assert partly.summary["nme"] == pytest.approx(100 * 2**0.5 / length, rel=1e-4)
    assert partly.summary["missed"] == pytest.approx(200 / 3)
    assert f"{200 / 3:.2f} % missed" in partly.line


def test_shares_that_are_merged_score_as_one_run(weights, tmp_path, monkeypatch):
    write_faces(tmp_path / "data", 5, size=48)
    flags = [*weights, tmp_path / "data", "--split", "all", "--out"]
    run(monkeypatch, *flags, tmp_path / "whole")
    for k in (1, 2):
        run(monkeypatch, *flags, tmp_path / f"share{k}", "--shard", f"{k}/2")
    shares = [tmp_path / "share1", tmp_path / "share2"]
    counted = [json.loads((share / "one" / "scores.json").read_text())["images"] for share in shares]
    assert counted == [3, 2]
    run(monkeypatch, *flags, tmp_path / "merged", "--merge", *shares)
    whole, merged = (json.loads((tmp_path / name / "scores.json").read_text()) for name in ("whole", "merged"))
    assert merged == whole and set(whole) == {"one", "two"}
    for wrong, named in (
        (["--merge", shares[0]], "the shard that is missing"),
        (["--merge", tmp_path / "whole"], "has no one/answers.npz"),
        (["--merge", *shares, "--protocol", "photo"], "--protocol crop"),
        (["--merge", *shares, "--shard", "1/2"], "leave --shard out"),
    ):
        with input_error(named):
            run(monkeypatch, *flags, tmp_path / "wrong", *wrong)
    (shares[0] / "one" / "answers.npz").write_bytes(b"PK")
    with input_error("share1"):
        run(monkeypatch, *flags, tmp_path / "wrong", "--merge", *shares)


def test_shares_that_are_merged_name_their_searcher(tmp_path, monkeypatch):
    write_faces(tmp_path / "data", 4, size=48)
    one, two = (
        save_chart_network(tmp_path / f"{name}.keras", ("face",), size) for name, size in (("1", 64), ("2", 32))
    )
    flags = [one, tmp_path / "data", "--split", "all", "--protocol", "photo", "--out"]
    for name, searcher in (("share1", two), ("other", "none")):
        run(monkeypatch, *flags, tmp_path / name, "--shard", "1/2", "--searcher", searcher)
    run(monkeypatch, *flags, tmp_path / "share2", "--shard", "2/2", "--searcher", two)
    run(monkeypatch, *flags, tmp_path / "merged", "--merge", tmp_path / "share1", tmp_path / "share2")
    assert json.loads((tmp_path / "merged/1/scores.json").read_text())["searcher"] == str(two)
    with input_error("share2", f"--searcher {two}", "with none"):
        run(monkeypatch, *flags, tmp_path / "wrong", "--merge", tmp_path / "other", tmp_path / "share2")
