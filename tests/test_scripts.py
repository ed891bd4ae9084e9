"""The scripts as a user runs them: exit statuses, words and files; most of them in this process, to save its start."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from data.formats import write_pts
from data.schemes import FACE
from models.strategies import STRATEGIES
from models.weights import load_network, read_description
from tests.charts import save_chart_network
from tests.conftest import ROOT, SMALL, command, run_process, run_script
from tests.images import drawn_image, write_ears, write_faces
from utils.common.files import write_json
from utils.common.images import save_image
from utils.training.comparison import plan_runs
from utils.training.flags import read_student_config
from utils.training.table import read_row


def losses(folder):
    with open(folder / "history.csv", newline="") as stream:
        return [float(row["loss"]) for row in csv.DictReader(stream)]


def scores_in(text):
    return [float(number) for number in re.findall(r"NME (\d+\.\d+) %", text)]


def test_a_run_leaves_all_that_the_readme_promises(trained, images):
    folder, printed = trained, (trained / "stdout").read_text()
    run_folder = folder / "run"
    for name in ("config.json", "split.csv", "history.csv", "curves.png", "ced.png", "worst.png", "random.png",
                 "scores.json", "images.csv", "best.keras", "state.json"):  # fmt: skip
        assert (run_folder / name).stat().st_size > 0, name
    assert list((run_folder / "tensorboard").rglob("events*"))
    for name in ("curves.png", "ced.png", "worst.png", "random.png"):
        assert cv2.imread(str(run_folder / name)).std() > 5, name
    scores = json.loads((run_folder / "scores.json").read_text())
    with open(run_folder / "split.csv", newline="") as stream:
        split = list(csv.DictReader(stream))
    assert len(split) == 60
    assert scores["images"] == sum(row["part"] == "test" for row in split)
    assert scores_in(printed)[-1] == pytest.approx(scores["nme"], abs=0.006)
    assert not [path for path in folder.rglob("*part*") if path.name.startswith(".")]


def write_noise(folder):
    """A folder with one image without a face or an ear."""
    folder.mkdir()
    cv2.imwrite(str(folder / "noise.png"), np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8))
    return folder


@pytest.mark.slow
def test_negatives_and_processes_that_make_batches_are_part_of_a_run_that_resumes(images, tmp_path):
    negatives = write_noise(tmp_path / "negatives")
    flags = ["--run", tmp_path / "run", "--out", tmp_path / "face.keras"]
    begin = [*SMALL, "--data", images, "--epochs", 2, "--repeats", 2, "--workers", 2, "--negatives", negatives, *flags]
    done = run_script("train_face.py", *begin)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["negatives"] == [str(negatives)] and config["repeats"] == 2 and "workers" not in config
    again = run_script("train_face.py", "--run", tmp_path / "run", "--resume")
    assert again.returncode == 0 and "has all of its 2 epochs" in again.stdout
    missing = run_script(
        "train_face.py", *begin[: len(SMALL) + 2], "--negatives", tmp_path / "none", "--run", tmp_path / "other"
    )
    assert missing.returncode == 2 and "--negatives" in missing.stderr and missing.stderr.count("\n") == 1
    assert not (tmp_path / "other").exists()


def test_the_scripts_own_words_are_not_drowned(trained):
    assert len((trained / "stdout").read_text().splitlines()) < 20
    words = (trained / "stderr").read_text()
    for noise in ("oneDNN", "cuda", "absl", "WARNING", "Warning", "E0000"):
        assert noise not in words, noise


@pytest.mark.slow
def test_300w_is_trained_on_by_its_own_protocol_and_resumed(tmp_path):
    rng = np.random.default_rng(0)
    for place in ("afw", "helen/trainset", "helen/testset", "ibug"):
        for k in range(12):
            image, points = drawn_image(FACE, 64, rng)
            save_image(tmp_path / "300w" / place / f"{k}_{place[-5:]}.jpg", image)
            write_pts(tmp_path / "300w" / place / f"{k}_{place[-5:]}.pts", points)
    flags = ["--run", tmp_path / "run", "--out", tmp_path / "w" / "face.keras"]
    begin = [*SMALL, "--data", tmp_path / "300w", "--split", "300w", "--epochs", 1, *flags]
    done = run_script("train_face.py", *begin)
    assert done.returncode == 0, done.stderr
    tested = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("test:")]
    assert tested == ["NME", "common", "challenging", "full"]
    scores = json.loads((tmp_path / "run/scores.json").read_text())
    assert {name: own["images"] for name, own in scores["subsets"].items()} == {
        "common": 12, "challenging": 12, "full": 24}  # fmt: skip
    again = run_script("train_face.py", "--run", tmp_path / "run", "--resume", "--epochs", 2)
    assert again.returncode == 0, again.stderr
    scored = run_script("utils.evaluate", tmp_path / "w/face.keras", tmp_path / "300w", "--out", tmp_path / "out")
    assert scored.returncode == 0 and scored.stdout.count("NME") == 4, scored.stderr


def test_the_protocol_of_300w_is_refused_for_other_images(images, tmp_path):
    for script in ("train_face.py", "train_ear.py"):
        flags = [*SMALL, "--data", images, "--split", "300w", "--run", tmp_path / "run", "--out", tmp_path / "w.keras"]
        done = run_script(script, *flags)
        assert done.returncode == 2 and "300-W as it is handed out" in done.stderr and done.stderr.count("\n") == 1
        assert not (tmp_path / "run").exists() and not (tmp_path / "w.keras").exists()


def test_evaluating_the_weights_again_gives_the_score_of_the_run(trained, images, tmp_path):
    folder = trained
    weights = folder / "face.keras"
    done = run_script("utils.evaluate", weights, images, "--precision", "float32", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if scores_in(line)]
    assert len(lines) == 1
    assert scores_in(lines[0])[0] == pytest.approx(
        json.loads((folder / "run/scores.json").read_text())["nme"], abs=0.02
    )
    for name in ("ced.png", "scores.json", "face/images.csv", "face/worst.png", "face/random.png", "face/ced.png"):
        assert (tmp_path / name).stat().st_size > 0, name


def test_several_weights_give_one_line_each(trained, images, tmp_path):
    folder = trained
    copy = tmp_path / "face.keras"
    copy.write_bytes((folder / "face.keras").read_bytes())
    done = run_script("utils.evaluate", folder / "face.keras", copy, images, "--out", tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*/images.csv"))) == 2
    first, second = (line for line in done.stdout.splitlines() if scores_in(line))
    assert scores_in(first) == scores_in(second)
    assert len(json.loads((tmp_path / "out/scores.json").read_text())) == 2


def test_images_that_a_network_was_trained_on_are_not_scored_unless_asked_for(trained, images, tmp_path):
    folder = trained
    flags = [folder / "face.keras", images, "--split", "all", "--out", tmp_path]
    refused = run_script("utils.evaluate", *flags)
    assert refused.returncode == 2
    assert "--allow-trained" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert run_script("utils.evaluate", *flags, "--allow-trained").returncode == 0


def test_images_that_a_searcher_was_trained_on_are_not_scored_either(trained, images, tmp_path):
    weights = save_chart_network(tmp_path / "chart.keras", tasks=("face",))
    flags = [weights, images, "--split", "train", "--limit", 2, "--protocol", "photo", "--out", tmp_path / "out"]
    refused = run_script("utils.evaluate", *flags, "--searcher", trained / "face.keras")
    assert refused.returncode == 2 and f"{trained / 'face.keras'}: was trained on 2 of these" in refused.stderr
    refused = run_script("utils.evaluate", *flags, "--protocol", "crop", "--searcher", trained / "face.keras")
    assert refused.returncode == 2 and "searches under --protocol photo alone" in refused.stderr
    done = run_script("utils.evaluate", *flags, "--searcher", "none")
    assert done.returncode == 0 and "searched by" not in done.stdout, done.stderr
    assert "searcher" not in json.loads((tmp_path / "out/chart/scores.json").read_text())
    done = run_script("utils.evaluate", *flags, "--searcher", trained / "face.keras", "--allow-trained")
    assert done.returncode == 0 and f"searched by {trained / 'face.keras'}" in done.stdout, done.stderr
    assert json.loads((tmp_path / "out/chart/scores.json").read_text())["searcher"] == str(trained / "face.keras")


def test_a_run_folder_is_refused_to_other_runs_and_to_other_flags(trained, trained_flags, tmp_path):
    flags = [*trained_flags, "--run", trained / "run", "--out", trained / "face.keras"]
    refused = run_script("train_face.py", *flags)
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    changed = run_script("train_face.py", *flags, "--resume", "--learning-rate", "0.5")
    assert changed.returncode == 2
    assert "--learning-rate" in changed.stderr

    foreign = run_script("train_ear.py", "--run", trained / "run", "--resume")
    assert foreign.returncode == 2 and "train_face.py" in foreign.stderr
    shutil.copytree(trained / "run", tmp_path / "broken")
    (tmp_path / "broken/state.json").write_text("{}")
    broken = run_script("train_face.py", "--run", tmp_path / "broken", "--resume")
    assert broken.returncode == 2 and "state.json" in broken.stderr and broken.stderr.count("\n") == 1


@pytest.mark.parametrize("lost", [None, "split.csv", "state.json", "best.keras"])
def test_a_resume_that_is_refused_changes_nothing(trained, faces, lost, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "run")
    config = json.loads((tmp_path / "run/config.json").read_text())
    write_json(
        tmp_path / "run/config.json", config | {"deterministic": False}
    )  # which would bind this process for good
    if lost is not None:
        (tmp_path / "run" / lost).unlink()
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    done = run_script("train_face.py", "--run", tmp_path / "run", "--resume", "--data", faces, "--epochs", 9)
    assert done.returncode == 2 and (lost in (None, "split.csv") or lost in done.stderr), done.stderr
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()} == before


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_loses_only_the_epoch(images, tmp_path):
    flags = [*SMALL, "--data", images, "--epochs", 200, "--run", tmp_path / "run", "--out", tmp_path / "ear.keras"]
    with subprocess.Popen(
        command("train_ear.py", *flags),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore Ctrl-C and hand that on, and CI may run as one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 200
        while not (tmp_path / "run/state.json").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        words = process.stderr.read()
        assert process.wait(60) == 130
    assert "--resume" in words
    assert "Traceback" not in words
    assert json.loads((tmp_path / "run/state.json").read_text())["epoch"] >= 1


@pytest.mark.slow
def test_ears_train_on_two_folders_and_leave_bad_images_out_when_told(images, tmp_path):
    write_ears(tmp_path / "more", 12, size=80, seed=5)
    spoilt = tmp_path / "more/CollectionA/train/ear_00000.png"
    spoilt.write_bytes(spoilt.read_bytes()[:500])
    flags = [*SMALL, "--data", images, "--data", tmp_path / "more", "--epochs", 2]
    flags += ["--negatives", write_noise(tmp_path / "negatives")]
    flags += ["--run", tmp_path / "run", "--out", tmp_path / "ear.keras"]
    refused = run_script("train_ear.py", *flags)
    assert refused.returncode == 2
    assert "ear_00000.png" in refused.stderr
    assert not (tmp_path / "run").exists()
    done = run_script("train_ear.py", *flags, "--skip-bad")
    assert done.returncode == 0, done.stderr
    assert "left out" in done.stdout
    assert "ear_00000.png" in (tmp_path / "run/left_out.txt").read_text()
    with open(tmp_path / "run/history.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2
    assert all(np.isfinite(float(row["nme"])) for row in rows)  # crops of negatives have no error


@pytest.mark.slow
def test_weights_of_the_other_task_give_the_trunk_and_are_refused_for_scoring(trained, images, tmp_path):
    folder = trained
    flags = [*SMALL, "--data", images, "--epochs", 1, "--run", tmp_path / "run", "--out", tmp_path / "ear.keras"]
    start = tmp_path / "start.keras"
    start.write_bytes((folder / "face.keras").read_bytes())
    done = run_script("train_ear.py", *flags, "--init", start, "--freeze", 1)
    assert done.returncode == 0, done.stderr
    assert "trunk" in done.stdout
    first = [load_network(path).network.get_layer("trunk1_conv1").get_weights() for path in (start, flags[-1])]
    for before, after in zip(*first, strict=True):
        np.testing.assert_allclose(after, before, atol=1e-5)  # standardised kernels are folded anew
    start.unlink()  # what was started from is in the run's own weights
    resumed = run_script("train_ear.py", "--run", tmp_path / "run", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert scores_in(resumed.stdout) == scores_in(done.stdout)[-2:]
    trained_on = [
        set(read_description(path)["record"]["training_images"]) for path in (folder / "face.keras", flags[-1])
    ]
    assert trained_on[0] < trained_on[1]  # what starts from a network was trained on its images too
    scored = run_script("utils.evaluate", folder / "face.keras", images, "--task", "ear", "--out", tmp_path / "scores")
    assert scored.returncode == 2
    assert "ear weights" in scored.stderr
    assert not (tmp_path / "scores").exists()


@pytest.mark.slow
def test_other_landmarks_are_trained_scored_resumed_and_taken_by_the_demo(tmp_path):
    for k in range(40):
        image, points = drawn_image(FACE, 80, np.random.default_rng(k))
        save_image(tmp_path / f"own/{k}.jpg", image)
        write_pts(tmp_path / f"own/{k}.pts", points[17:])
    weights, run = tmp_path / "own.keras", tmp_path / "run"
    flags = ["--scheme", "face51", "--data", tmp_path / "own", "--run", run, "--out", weights]
    done = run_script("train_face.py", *SMALL, *flags, "--epochs", 2)
    assert done.returncode == 0, done.stderr
    resumed = run_script("train_face.py", "--run", run, "--resume")
    assert resumed.returncode == 0 and scores_in(resumed.stdout)[-1] == scores_in(done.stdout)[-1], resumed.stderr
    scored = run_script("utils.evaluate", weights, tmp_path / "own", "--out", tmp_path / "scores")
    assert scored.returncode == 0 and scores_in(scored.stdout)[0] == scores_in(done.stdout)[-1], scored.stderr
    checked = run_script("data.check", tmp_path / "own", "--scheme", "face51", "--out", tmp_path / "sheets")
    assert checked.returncode == 0 and "40 images" in checked.stdout, checked.stderr
    photos = ["--protocol", "photo", "--out", tmp_path / "photo"]
    found = run_script("utils.evaluate", weights, tmp_path / "own", *photos)
    assert found.returncode == 0 and "photo" in found.stdout, found.stderr
    image = tmp_path / "own/0.jpg"
    shown = run_script("demo_multi.py", image, "--weights", weights, "--no-window", "--save", tmp_path / "drawn.png")
    assert shown.returncode == 0 and "(face51, crops of 64 px" in shown.stdout, shown.stderr
    assert (tmp_path / "drawn.png").is_file()


@pytest.mark.slow
def test_a_third_task_is_taught_to_a_network_of_two_and_both_are_measured(taught, images, tmp_path):
    for k in range(40):
        image, points = drawn_image(FACE, 80, np.random.default_rng(k))
        save_image(tmp_path / f"own/{k}.jpg", image)
        write_pts(tmp_path / f"own/{k}.pts", points[17:])
    weights, run, teacher = tmp_path / "three.keras", tmp_path / "run", taught / "student.keras"
    flags = ["--data", tmp_path / "own", "--faces", images, "--teacher", teacher, "--run", run, "--out", weights]
    third = [*flags, "--scheme", "face51", "--ears", images, "--epochs", 1]
    done = run_script("train_face2ear.py", *third)
    assert done.returncode == 0, done.stderr
    config = load_network(weights).config
    assert {task: len(head) for task, head in config.heads.items()} == {"face": 68, "ear": 55, "face51": 51}
    row = json.loads((run / "forgetting.json").read_text())
    assert row["task"] == "face51" and row["ear"] > 0 and row["face_before"] > 0 and row["face_after"] > 0
    assert set(row["also_kept"]) == {"ear"} and min(row["also_kept"]["ear"].values()) > 0
    assert "face51 NME (%)" in done.stdout and "kept:     ear NME" in done.stdout
    with open(run / "history.csv", newline="") as stream:
        (epoch,) = csv.DictReader(stream)
    assert {"val_face51_nme", "val_face_nme", "val_ear_nme", "face51", "distillation", "attention"} <= set(epoch)
    resumed = run_script("train_face2ear.py", "--run", run, "--resume")
    assert resumed.returncode == 0 and scores_in(resumed.stdout)[-1] == scores_in(done.stdout)[-1], resumed.stderr
    scored = run_script("utils.evaluate", weights, tmp_path / "own", "--task", "face51", "--out", tmp_path / "scores")
    assert scored.returncode == 0 and "NME" in scored.stdout, scored.stderr

    new = ["--faces", images, "--teacher", teacher, "--run", tmp_path / "new", "--out", tmp_path / "new.keras"]
    for data, more, named in (
        (images, ["--scheme", "face68"], "--scheme face68: the teacher knows face already"),
        (tmp_path / "own", ["--scheme", "face51", "--strategy", "joint"], "--strategy joint: learns from labels alone"),
    ):
        refused = run_script("train_face2ear.py", *new, "--data", data, *more)
        assert refused.returncode == 2 and named in refused.stderr, refused.stderr
        assert not (tmp_path / "new").exists() and not (tmp_path / "new.keras").exists()


def test_weights_of_another_preset_are_refused_before_anything_is_written(trained, images, tmp_path):
    folder = trained
    flags = ["--preset", "lite", "--data", images, "--run", tmp_path / "run", "--out", tmp_path / "out/face.keras"]
    done = run_script("train_face.py", *flags, "--init", folder / "face.keras")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: --init")
    assert list(tmp_path.iterdir()) == []


def test_data_check_counts_draws_and_names_what_cannot_be_used(images, tmp_path):
    good = run_script("data.check", images, "--out", tmp_path / "sheets")
    assert good.returncode == 0, good.stderr
    assert "face: 60 images" in good.stdout
    assert "ear: 36 images" in good.stdout
    assert len(list((tmp_path / "sheets").glob("*.png"))) == 2

    write_faces(tmp_path / "spoilt", 4, size=64)
    image = tmp_path / "spoilt/AFW/face_00001.jpg"
    middle = bytearray(image.read_bytes())
    image.write_bytes(middle[:20] + bytes(200) + middle[220:])  # whole at both ends, rotten between
    (tmp_path / "spoilt/AFW_landmark/face_00002_pts.mat").unlink()
    bad = run_script("data.check", tmp_path / "spoilt", "--out", tmp_path / "sheets")
    assert bad.returncode == 1
    assert "face_00001.jpg" in bad.stdout
    assert "face_00002.jpg" in bad.stdout
    assert "face: 2 images" in bad.stdout


def spoil(folder, kind):
    """A folder with one image that cannot be used; returns what the message must name."""
    write_faces(folder, 3, size=64)
    image, points = folder / "AFW/face_00001.jpg", folder / "AFW_landmark/face_00001_pts.mat"
    if kind == "image without points":
        points.unlink()
    elif kind == "points without image":
        image.unlink()
        return points.name
    elif kind == "empty image":
        image.write_bytes(b"")
    elif kind == "truncated image":
        image.write_bytes(image.read_bytes()[:-300])
    elif kind == "corrupt mat":
        points.write_bytes(points.read_bytes()[:100])
        return points.name
    elif kind in ("wrong number", "not a number"):
        for path in folder.rglob("*"):
            if path.is_file() and path != image:
                path.unlink()
        values = np.ones((68, 2)) if kind == "not a number" else np.ones((60, 2))
        values[5] = np.nan if kind == "not a number" else 1
        write_pts(image.with_suffix(".pts"), values)
        return image.with_suffix(".pts").name
    return image.name


@pytest.mark.parametrize(
    "kind",
    ["image without points", "points without image", "empty image", "truncated image", "corrupt mat", "wrong number",
     "not a number"],
)  # fmt: skip
def test_a_bad_image_stops_training_with_one_line_and_nothing_written(tmp_path, kind):
    name = spoil(tmp_path / "data", kind)
    done = run_script(
        "train_face.py", "--data", tmp_path / "data", "--run", tmp_path / "run", "--out", tmp_path / "w/f.keras"
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert name in done.stderr
    assert "--skip-bad" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


BAD_FLAGS = [
    (["--data", "nowhere"], "300W-LP"),
    (["--batch-size", "0"], "--batch-size"),
    (["--epochs", "-1"], "--epochs"),
    (["--epochs", "many"], "--epochs"),
    (["--learning-rate", "nan"], "--learning-rate"),
    (["--input-size", "100"], "--input-size"),
    (["--sigma", "0"], "--sigma"),
    (["--augment", "-1"], "--augment"),
    (["--seed", "-1"], "--seed"),
    (["--landmarks", "60-70"], "--landmarks"),
    (["--landmarks", "a"], "--landmarks"),
    (["--out", "face.h5"], "--out"),
    (["--out", "weights/.keras"], "--out"),
    (["--seed", "4294967296"], "--seed"),
    (["--run", "README.md/run"], "--run"),
    (["--run", "tests"], "--resume"),
    (["--out", "README.md/face.keras"], "--out"),
    (["--init", "nowhere.keras"], "--init"),
    (["--split", "nowhere.csv"], "--split"),
    (["--coarse-epochs", "60"], "--coarse-epochs"),
    (["--config", "nowhere.json"], "--config"),
    (["--resume", "--run", "nowhere"], "nowhere"),
    (["--epoch", "3"], "--epoch"),
    (["--preset", "huge"], "--preset"),
]


@pytest.mark.parametrize(("flags", "named"), BAD_FLAGS)
def test_a_bad_flag_is_one_line(images, flags, named):
    done = run_script("train_face.py", "--data", images, *flags)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert named in done.stderr


# Answers that must not wait for TensorFlow's start: each of `cases` is a module's name and its flags.
ANSWERS = """
import importlib, json, sys
from utils.common.cli import run_main
for name, flags in json.loads(sys.argv[1]):
    try:
        run_main(lambda: importlib.import_module(name).main(flags))
    except SystemExit as exit_:
        slow = {"tensorflow", "jax", "torch", "keras", "matplotlib"} & set(sys.modules)
        print("answer", name, exit_.code, *sorted(slow), file=sys.stderr)
"""


def test_bad_flags_and_help_answer_without_tensorflow(images):
    cases = [["train_face", ["--data", str(images), *flags]] for flags, _ in BAD_FLAGS]
    cases += [["train_face2ear", ["--data", str(images), "--teacher", "nowhere.keras"]]]
    cases += [["utils.evaluate", ["nowhere.keras", str(images)]], ["demo_multi", ["nowhere.jpg"]]]
    asked = [[script, ["--help"]] for script in SCRIPTS]
    code = ANSWERS
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(cases + asked)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    answers = [line.split()[1:] for line in done.stderr.splitlines() if line.startswith("answer ")]
    assert answers == [[name, "2"] for name, _ in cases] + [[name, "0"] for name, _ in asked]


SCRIPTS = ["train_face", "train_ear", "train_face2ear", "demo_multi", "data.check", "data.synthetic.__main__"]
SCRIPTS += ["data.synthetic.film", *(f"utils.{path.stem}" for path in sorted((ROOT / "utils").glob("[a-z]*.py")))]


@pytest.mark.parametrize("script", [f"{name}.py" if "." not in name else name for name in SCRIPTS])
def test_help_says_how_a_script_is_used(script):
    done = run_script(script, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: ") and done.stderr == ""


@pytest.mark.parametrize("script", ["train_ear.py", "utils.evaluate", "data.check", "utils.benchmark", "utils.compare"])
def test_a_script_can_be_run(script):
    """One process each; the other scripts are run in theirs elsewhere."""
    done = run_process(script, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert "usage" in done.stdout


def test_both_training_scripts_have_the_same_flags():
    face, ear = (
        set(re.findall(r"--[a-z-]+", run_script(f"train_{task}.py", "--help").stdout)) for task in ("face", "ear")
    )
    assert face - ear == {"--map", "--points", "--scheme"} and ear <= face  # .mat files hold faces
    promised = (
        "data points out run preset epochs batch-size learning-rate input-size sigma loss augment seed split limit"
    )
    promised += " precision resume init skip-bad landmarks negatives"
    assert {f"--{name}" for name in promised.split()} <= face


def test_the_image_protocol_finds_faces_by_itself_and_says_how_many_it_missed(trained, images, tmp_path):
    done = run_script("utils.evaluate", trained / "face.keras", images, "--protocol", "photo", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if "NME" in line)
    assert re.search(r"images, photo, [\d.]+ % missed\)", line)
    summary = json.loads((tmp_path / "scores.json").read_text())["face"]
    assert summary["protocol"] == "photo"
    assert summary["failure"] >= summary["missed"]
    assert (tmp_path / "face" / "worst.png").stat().st_size > 0


def test_evaluation_of_missing_things_is_one_line(images, tmp_path):
    for flags in (["nowhere.keras", images], [ROOT / "README.md", tmp_path / "nowhere"]):
        done = run_script("utils.evaluate", *flags)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1
        assert "nowhere" in done.stderr


@pytest.mark.slow
def test_the_benchmark_prints_what_it_measured(tmp_path):
    done = run_script("utils.benchmark", "--preset", "tiny", "--steps", 3, "--batch-size", 4, "--precision", "float32")
    assert done.returncode == 0, done.stderr
    for line in ("pipeline alone", "step alone", "both together", "memory", "arithmetic"):
        assert re.search(rf"{line}\s+\D*\d", done.stdout), line


@pytest.mark.slow
def test_the_benchmark_of_the_demo_measures_each_weights_file_in_turns():
    weights = ROOT / "weights" / "face2ear-lite.keras"
    done = run_script("utils.benchmark", "--demo", weights, weights, "--frames", 4, "--input-size", 128)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4 frames of 1280 x 720, 3 times each")
    lines = done.stdout.splitlines()[1:]
    assert len(lines) == 4
    for speed, quality in (lines[:2], lines[2:]):
        assert re.search(r"\(128 px, TensorFlow in \w+[^)]*\): [\d.]+ frames/s drawn \d+ ms after", speed), speed
        assert re.search(
            r"[\d.]+ ms of all processors a frame; face error [\d.]+ % of its size, found in [1-9] of 9 frames", quality
        )


def test_the_benchmark_names_weights_that_are_not_there():
    done = run_script("utils.benchmark", "--demo", "nowhere.keras")
    assert done.returncode == 2 and done.stderr.strip().endswith("--demo nowhere.keras: no such weights file")


# --- teaching a face network ears -------------------------------------------------------------------------------------


def test_a_student_learns_ears_and_says_what_it_forgot(taught):
    folder, printed = taught, (taught / "stdout").read_text()
    row = json.loads((folder / "distill-at" / "forgetting.json").read_text())
    assert row["strategy"] == "distill-at"
    assert row["forgetting"] == pytest.approx(row["face_after"] - row["face_before"])
    for name in ("face_before", "face_after", "ear", "parameters", "gflop", "speed", "minutes"):
        assert row[name] > 0, name
    assert "| distill-at + replay |" in printed
    assert "note:     face images" not in printed  # some were replayed
    for name in ("attention.png", "curves.png", "ear/worst.png", "face/ced.png", "config.json"):
        assert (folder / "distill-at" / name).stat().st_size > 0, name
    with open(folder / "distill-at" / "history.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    terms = ("ear", "distillation", "attention", "val_ear", "val_distillation", "val_attention")
    assert all(float(row[name]) >= 0 for row in rows for name in (*terms, "val_ear_nme", "val_face_nme"))


def test_one_file_holds_both_heads_and_both_are_scored(taught, images, tmp_path):
    folder = taught
    record = read_description(folder / "student.keras")
    assert set(record["model"]["heads"]) == {"face", "ear"}
    assert record["record"]["teacher_training_images"]
    done = run_script("utils.evaluate", folder / "student.keras", images, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert " face  NME" in done.stdout and " ear  NME" in done.stdout


def test_a_student_is_not_scored_on_images_that_its_teacher_was_trained_on(taught, images, tmp_path):
    folder = taught
    done = run_script(
        "utils.evaluate", folder / "student.keras", images, "--task", "face", "--split", "train", "--out", tmp_path
    )
    assert done.returncode == 2 and "trained on" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "strategy",
    [
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("joint", "separate", "ewc", "l2-sp")),
        "adapters",
        "frozen",
    ],
)
def test_other_strategies_run_and_what_keeps_the_face_network_forgets_nothing(taught_flags, tmp_path, strategy):
    where = ["--run", tmp_path / "run", "--out", tmp_path / "student.keras"]
    done = run_script("train_face2ear.py", *taught_flags, "--strategy", strategy, *where, "--epochs", 1)
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "run" / "forgetting.json").read_text())
    if strategy in ("frozen", "adapters"):
        assert row["forgetting"] == 0
    if strategy == "adapters":
        assert row["parameters"] < 0.7 * row["parameters_run"]
        assert row["gflop_face"] < 0.6 * row["gflop"]
    if strategy in ("ewc", "l2-sp"):
        with open(tmp_path / "run" / "history.csv", newline="") as stream:
            assert float(next(csv.DictReader(stream))[strategy]) > 0
    if strategy == "separate":
        assert row["forgetting"] == pytest.approx(0, abs=0.05)


def test_runs_are_compared_in_a_table_and_a_figure(taught, tmp_path):
    folder = taught
    done = run_script("utils.compare", folder / "distill-at", "--base", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "| distill-at + replay |" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "strategies.png").stat().st_size > 0


@pytest.mark.slow
def test_replayed_faces_are_learned_and_softened_maps_distilled(taught_flags, images, tmp_path):
    flags = [*taught_flags, "--strategy", "distill", "--replay", images, "--temperature", 2]
    flags += ["--negatives", write_noise(tmp_path / "negatives")]
    flags += ["--face-negatives", write_noise(tmp_path / "nobody")]
    done = run_script("train_face2ear.py", *flags, "--run", tmp_path / "run", "--out", tmp_path / "student.keras")
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "run" / "history.csv", newline="") as stream:
        *_, row = csv.DictReader(stream)
    assert all(float(row[name]) > 0 for name in ("ear", "face", "distillation", "nme"))
    trained = read_description(tmp_path / "student.keras")["record"]
    assert trained["train_config"]["negatives"] == [str(tmp_path / "negatives")]
    assert trained["train_config"]["face_negatives"] == [str(tmp_path / "nobody")]
    assert "that show no ear" in done.stdout and "that show no face" in done.stdout
    assert "attention" not in row
    replayed = re.search(r"faces: +(\d+) to train on", done.stdout)
    assert int(replayed[1]) > 0


@pytest.mark.slow
def test_faces_are_rehearsed_without_their_points_unless_a_flag_says_otherwise(taught, taught_flags, tmp_path):
    flags = [*taught_flags, "--no-replay"]
    done = run_script("train_face2ear.py", *flags, "--run", tmp_path / "run", "--out", tmp_path / "student.keras")
    assert done.returncode == 0, done.stderr
    assert int(re.search(r"faces: +(\d+) to train on", done.stdout)[1]) == 0
    shown = re.search(r"faces: +(\d+) to train on without their points \(--no-replay", (taught / "stdout").read_text())
    assert int(shown[1]) == read_row(taught / "distill-at")["replayed"] > 0
    with open(tmp_path / "run" / "history.csv", newline="") as stream:
        alone = list(csv.DictReader(stream))
    with open(taught / "distill-at" / "history.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert "face" not in rows[0]
    assert ("note:     face images" in done.stdout) == (read_row(tmp_path / "run")["forgetting"] > 0.5)
    assert rows[0]["distillation"] != alone[0]["distillation"]  # it learned from other crops too


@pytest.mark.slow
def test_what_is_missing_of_the_comparison_is_trained_and_what_is_there_is_not(taught, taught_flags, images, tmp_path):
    folder, flags = taught, taught_flags
    base = tmp_path / "compare"
    for run_folder, own in plan_runs(base, 1, list(map(str, flags))):
        if run_folder.name != "frozen":  # as if it had been trained
            config, _ = read_student_config("", own)
            row = read_row(folder / "distill-at")
            write_json(run_folder / "config.json", config.to_json())
            shown = 12 if run_folder.name == "distill-at-replay" else 0
            assert config.no_replay == (run_folder.name in ("distill", "distill-at"))
            write_json(run_folder / "forgetting.json", row | {"strategy": config.strategy, "replayed": shown})
            shutil.copy(folder / "distill-at" / "best.keras", run_folder)
    score = ["--score", "face", images, "test", "--score", "ear", images, "test"]
    done = run_process("utils.compare", "--run-missing", "--base", base, *score, "--", *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("training: ") == 1
    rows = {row["variant"]: row for row in json.loads((base / "table.json").read_text())}
    assert {*STRATEGIES, "distill-at + replay"} == set(rows)
    assert rows["frozen"]["forgetting"] == 0 and rows["frozen"]["ear"] > 0
    faces, ears = rows["frozen"]["scored"]
    assert faces["nme"] == pytest.approx(rows["frozen"]["face_after"], abs=1e-3) == faces["before"]
    assert ears["nme"] == pytest.approx(rows["frozen"]["ear"], abs=1e-3) and "before" not in ears
    table = (base / "table.md").read_text()
    assert all(f"| {name} |" in table for name in rows) and f"{images.name}: ear NME (%)" in table
    assert "training: " not in run_process("utils.compare", *score, "--base", base).stdout
    for wrong in (["nose", images, "test"], ["ear", "nowhere", "all"], ["ear", images, "half"]):
        refused = run_script("utils.compare", "--base", base, "--score", *wrong)
        assert refused.returncode == 2 and "--score" in refused.stderr and refused.stderr.count("\n") == 1
    other = run_script("utils.compare", "--run-missing", "--base", base, "--", *flags, "--batch-size", 2)
    assert other.returncode == 2 and "--batch-size 4" in other.stderr and other.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--teacher", "nowhere.keras"], "train_face.py"),
        (["--strategy", "joint", "--faces", "nowhere"], "nowhere"),
        (["--strategy", "best"], "--strategy"),
        (["--ear-weight", "-1"], "--ear-weight"),
        (["--strategy", "finetune", "--replay", "IMAGES", "--face-weight", "0"], "--face-weight"),
        (["--strategy", "joint", "--faces", "IMAGES", "--face-weight", "0"], "--face-weight"),
        (["--replay", "BARE"], "utils.annotate --faces"),
        (["--face-negatives", "BARE"], "--replay"),
        (["--replay", "IMAGES", "--no-replay"], "--no-replay"),
        (["--strategy", "joint", "--faces", "IMAGES", "--no-replay"], "--no-replay"),
        (["--strategy", "l2-sp", "--preset", "lite"], "--preset lite"),
        (["--strategy", "adapters", "--init", "nowhere.keras"], "--init nowhere.keras"),
        (["--replay", "IMAGES", "--face-negatives", "BARE", "--face-weight", "0"], "--face-negatives"),
        (["--replay", "IMAGES", "--face-negatives", "nowhere"], "--face-negatives nowhere"),
        (["--replay", "IMAGES", "--face-negatives", "IMAGES"], "--face-negatives"),
    ],
)
def test_bad_flags_of_a_student_are_one_line(images, taught_flags, tmp_path, flags, says):
    given = ["--data", images] if "--teacher" in flags else taught_flags
    write_noise(tmp_path / "bare")
    places = {"IMAGES": images, "BARE": tmp_path / "bare"}
    done = run_script(
        "train_face2ear.py", *given, *(places.get(flag, flag) for flag in flags), "--run", tmp_path / "run"
    )
    assert done.returncode == 2
    assert says in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_ear_weights_are_no_teacher(images, tmp_path):
    done = run_script(
        "train_ear.py", *SMALL, "--data", images, "--epochs", 1, "--run", tmp_path / "e", "--out", tmp_path / "e.keras"
    )
    assert done.returncode == 0, done.stderr
    done = run_script(
        "train_face2ear.py", "--data", images, "--teacher", tmp_path / "e.keras", "--run", tmp_path / "run"
    )
    assert done.returncode == 2 and "face" in done.stderr and done.stderr.count("\n") == 1
