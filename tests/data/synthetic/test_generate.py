"""`python -m data.synthetic` as a user runs it: processes, exit statuses, files."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.datasets import find_negatives, find_samples
from data.formats import read_300w_lp, read_pts
from data.layouts import NoSuchImagesError
from data.schemes import EAR, FACE
from data.synthetic.generate import KINDS, Plan, sample_files
from data.synthetic.scene import draw_image
from tests.conftest import ROOT, command, run_process, run_script

COUNTS = ["--faces", 5, "--ears", 7, "--both", 4]
SMALL = ["--draft", "--size", 64]
PLAN = Plan(faces=5, ears=7, both=4, size=64, seed=0, draft=True)


def drawing(out, *flags):
    return command("data.synthetic", "--out", out, *SMALL, *flags)


def run(out, *flags):
    """In this process, where the head is built once; in one process, unless the flags say otherwise."""
    processes = [] if "--processes" in flags else ["--processes", 1]
    return run_script("data.synthetic", "--out", out, *SMALL, *flags, *processes)


def begun(out, *flags):
    # A job in the background ignores Ctrl-C, and its children inherit that: run as if from a prompt.
    return subprocess.Popen(
        drawing(out, *flags),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(process, out, files):
    """Wait until a running process has written that many files."""
    while len([path for path in out.glob("*/**/*") if path.is_file()]) < files:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)


def refused(out, *flags, says=(), **options):
    """Run, in a process with `options`, and expect exit status 2 and one line that holds each of `says`."""
    done = run_process("data.synthetic", "--out", out, *SMALL, *flags, **options) if options else run(out, *flags)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.replace("\r", "\n").splitlines() if "image/s" not in line and line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    for part in says:
        assert str(part) in lines[0]
    assert done.stdout == ""


def hashes(folder):
    """Path below the folder -> hash, of every file but the list of what is in it, and parts that a kill left."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "synthetic.json" and not path.name.startswith(".part")
    }


def tree(folder):
    """Everything below the folder, with its bytes."""
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder of 5 faces, 7 ears and 4 of both, drawn by one process; not to be changed."""
    folder = tmp_path_factory.mktemp("drawn") / "new" / "folder"
    done = run_process("data.synthetic", "--out", folder, *SMALL, *COUNTS, "--processes", 1)
    assert done.returncode == 0, done.stderr
    assert "5 faces, 7 ears, 4 of both (16 drawn now" in done.stdout
    return folder


def test_the_files_are_where_the_datasets_expect_them(drawn):
    wanted = {name for kind, count in zip(KINDS, PLAN.counts().values(), strict=True) for k in range(count)
              for name in sample_files(PLAN, kind, k)}  # fmt: skip
    assert set(hashes(drawn)) == wanted
    for name in ("AFW/synthetic_face0_000004.jpg", "AFW_landmark/synthetic_face0_000004_pts.mat",
                 "CollectionA/train/synthetic_ear0_000006.png", "CollectionA/train/synthetic_ear0_000004.pts",
                 "CollectionA/test/synthetic_ear0_000005.pts", "Both/synthetic_both0_000003.face.pts",
                 "Both/synthetic_both0_000003.ear_left.pts", "Both/synthetic_both0_000003.json"):  # fmt: skip
        assert name in wanted
    for path in drawn.rglob("*.[jp][pn]g"):
        assert cv2.imread(str(path)).shape == (64, 64, 3)


def test_faces_are_read_with_both_kinds_of_points(drawn):
    flat, deep = (find_samples([drawn], FACE, points).samples for points in ("2d", "3d"))
    assert [sample.name for sample in flat] == [f"AFW/synthetic_face0_{k:06d}.jpg" for k in range(5)]
    for k, (one, other) in enumerate(zip(flat, deep, strict=True)):
        image = draw_image(np.random.default_rng((0, 0, k)), "face", 64, True)
        np.testing.assert_array_equal(one.points, image.points["face"])
        np.testing.assert_array_equal(other.points, image.points["face_3d"])
    assert len({sample.group for sample in flat}) == 5


def test_ears_are_read_with_the_ear_that_is_seen_best_and_every_sixth_is_for_testing(drawn):
    samples = find_samples([drawn], EAR).samples
    assert sorted(sample.part for sample in samples) == ["test"] + ["train"] * 6
    for sample in samples:
        k = int(sample.image.stem[-6:])
        assert sample.part == ("test" if k % 6 == 5 else "train")
        image = draw_image(np.random.default_rng((0, 1, k)), "ear", 64, True)
        side = "left" if image.visible["ear_left"].sum() > image.visible["ear_right"].sum() else "right"
        np.testing.assert_allclose(sample.points, image.points[f"ear_{side}"], atol=1e-5)
        other = "ear_right" if side == "left" else "ear_left"
        share = image.visible[other].mean()
        if 0 < share < 0.4:  # seen in part, by nobody annotated: not all is known
            assert sample.others is None
        else:
            reported = image.points[other][None] if share else np.zeros((0, 55, 2))
            np.testing.assert_allclose(sample.others, reported, atol=1e-3)
        np.testing.assert_array_equal(cv2.imread(str(sample.image))[..., ::-1], image.pixels)


def test_heads_with_all_points_are_read_for_testing(drawn, tmp_path):
    shutil.copytree(drawn / "Both", tmp_path, dirs_exist_ok=True)
    faces, ears = (find_samples([tmp_path], scheme).samples for scheme in (FACE, EAR))
    assert [sample.name for sample in faces] == [f"synthetic_both0_{k:06d}.jpg" for k in range(4)]
    shown = []
    for k, sample in enumerate(faces):
        image = draw_image(np.random.default_rng((0, 2, k)), "both", 64, True)
        np.testing.assert_allclose(sample.points, image.points["face"], atol=1e-5)
        notes = json.loads((tmp_path / f"synthetic_both0_{k:06d}.json").read_text())
        assert list(notes["pose_degrees"].values()) == pytest.approx(image.pose)
        assert notes["all_ears_annotated"] is True
        for name in ("face", "ear_left", "ear_right"):
            assert notes["visible"][name] == image.visible[name].astype(int).tolist()
        for side in ("left", "right"):
            points = read_pts(tmp_path / f"synthetic_both0_{k:06d}.ear_{side}.pts", 55)
            np.testing.assert_allclose(points, image.points[f"ear_{side}"], atol=1e-5)
            if image.visible[f"ear_{side}"].mean() >= 0.4:
                shown.append(f"synthetic_both0_{k:06d}.ear_{side}.pts")
    assert [sample.name for sample in ears] == shown
    assert shown
    for sample in ears:
        other = sample.name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")
        kind, number = other.split(".")[1], int(other.split(".")[0][-6:])
        share = draw_image(np.random.default_rng((0, 2, number)), "both", 64, True).visible[kind].mean()
        if 0 < share < 0.4:  # seen in part, by nobody annotated: not all is known
            assert sample.others is None
            continue
        assert len(sample.others) == (other in shown)
        for ear in sample.others:
            np.testing.assert_allclose(ear, read_pts(tmp_path / other, 55), atol=1e-5)
    assert all(sample.others is None for sample in faces)
    assert {sample.part for sample in [*faces, *ears]} == {"test"}


def test_two_processes_write_the_same_bytes_as_one(drawn, tmp_path):
    time.sleep(1.1)  # what holds the time of writing would differ
    assert run(tmp_path, *COUNTS, "--processes", 2).returncode == 0
    assert hashes(tmp_path) == hashes(drawn)
    assert (tmp_path / "synthetic.json").read_bytes() == (drawn / "synthetic.json").read_bytes()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_killed_in_the_middle_and_repeated_writes_the_same_bytes(drawn, tmp_path, processes):
    flags = [*COUNTS, "--processes", processes]
    with subprocess.Popen(
        drawing(tmp_path, *flags), cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as one:
        while len(list(tmp_path.glob("*/*"))) < 5:
            assert one.poll() is None
            time.sleep(0.005)
        one.kill()
    assert one.returncode == -signal.SIGKILL
    # What such a run can leave: a part of a file, and a sample's points without its image.
    left = tmp_path / "AFW" / ".part12345-synthetic_face0_000004.jpg"
    left.write_bytes(b"half")
    before = hashes(tmp_path)
    assert len(before) < len(hashes(drawn))
    (tmp_path / "AFW_landmark" / "synthetic_face0_000004_pts.mat").write_bytes(b"")
    again = run(tmp_path, *flags)
    assert again.returncode == 0, again.stderr
    assert "(0 drawn" not in again.stdout
    # A process of the killed run may outlive it for a moment, and leave another part.
    assert hashes(tmp_path) == hashes(drawn) and not left.exists()
    assert "(0 drawn now)" in run(tmp_path, *flags).stdout


def test_the_processes_of_a_killed_run_end_with_it(tmp_path):
    with subprocess.Popen(
        drawing(tmp_path, "--faces", 400, "--processes", 2), cwd=ROOT, stderr=subprocess.DEVNULL
    ) as one:
        while len(list(tmp_path.glob("AFW/*"))) < 2:
            assert one.poll() is None
            time.sleep(0.01)
        one.kill()
    time.sleep(0.5)
    left = hashes(tmp_path)
    time.sleep(0.5)
    assert hashes(tmp_path) == left


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's list of child processes")
def test_a_killed_process_of_a_run_is_reported_and_the_run_can_be_repeated(tmp_path):
    flags = ["--faces", 24, "--processes", 2]
    with begun(tmp_path, *flags) as one:
        wait_for(one, tmp_path, 5)
        children = Path(f"/proc/{one.pid}/task/{one.pid}/children").read_text().split()
        drawing = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(int(drawing[0]), signal.SIGKILL)
        message = one.communicate(timeout=60)[1]
    assert one.returncode == 2
    assert "fewer --processes" in message
    assert "Traceback" not in message
    assert run(tmp_path, *flags).returncode == 0
    assert len(find_samples([tmp_path], FACE).samples) == 24


def test_asking_for_more_adds_to_what_is_there(drawn, tmp_path):
    assert run(tmp_path, "--faces", 3, "--ears", 6).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/**/*.*")}
    assert run(tmp_path, *COUNTS).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert hashes(tmp_path) == hashes(drawn)
    fewer = run(tmp_path, "--faces", 1)
    assert fewer.returncode == 0
    assert hashes(tmp_path) == hashes(drawn)
    assert json.loads((tmp_path / "synthetic.json").read_text())["faces"] == 5
    # What was deleted is drawn again.
    (tmp_path / "Both" / "synthetic_both0_000001.json").unlink()
    (tmp_path / "AFW" / "synthetic_face0_000002.jpg").unlink()
    assert "(2 drawn now" in run(tmp_path, *COUNTS).stdout
    assert hashes(tmp_path) == hashes(drawn)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--faces", "-1"], ["--faces", "-1"]),
        (["--ears", "-3"], ["--ears"]),
        (["--faces", "some"], ["--faces"]),
        (["--faces", 1, "--size", 16], ["--size 16"]),
        (["--faces", 1, "--size", 100000], ["--size 100000"]),
        (["--faces", 100000000], ["--faces 100000000", "1,000,000"]),
        (["--faces", 1, "--processes", 0], ["--processes"]),
        ([], ["--faces N"]),
        (["--faces", 0, "--ears", 0], ["--faces N"]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_flags_that_make_no_sense_are_refused(tmp_path, flags, says):
    refused(tmp_path / "out", *flags, says=says)
    assert tree(tmp_path) == {}


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "taken").write_text("mine")
    refused(tmp_path / "taken", "--faces", 1, says=[tmp_path / "taken"])
    refused(tmp_path / "taken" / "below", "--faces", 1, says=[tmp_path / "taken"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "AFW").write_text("mine")
    before = tree(tmp_path)
    refused(tmp_path / "out", "--faces", 1, says=[tmp_path / "out" / "AFW"])
    assert tree(tmp_path) == before
    refused("/proc/heads", "--faces", 1, says=["/proc/heads"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_leave_to_write_is_refused(tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    refused(tmp_path / "out", "--faces", 1, says=[tmp_path / "out"])


@pytest.mark.parametrize("name", ["AFW/real.jpg", "AFW_landmark/real_pts.mat", "AFW/synthetic_face0_000000.jpg"])
def test_foreign_files_in_a_target_folder_are_refused(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("mine")
    before = tree(tmp_path)
    refused(tmp_path, "--faces", 1, says=[tmp_path / name, "another --out"])
    assert tree(tmp_path) == before


def test_foreign_files_beside_synthetic_heads_are_refused(drawn, tmp_path):
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    (tmp_path / "CollectionA/train/synthetic_ear0_000099.png").write_text("mine")
    before = tree(tmp_path)
    refused(tmp_path, *COUNTS, says=["synthetic_ear0_000099.png"])
    assert tree(tmp_path) == before


def test_foreign_files_elsewhere_are_no_obstacle(drawn, tmp_path):
    others = ["HELEN/real.jpg", "readme.txt", "CollectionB/real.png", "Both/synthetic_both0_000000.jpg"]
    for name in others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    done = run(tmp_path, "--faces", 5, "--ears", 7)
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / name).read_text() == name for name in others)
    assert {name: hash_ for name, hash_ in hashes(drawn).items() if not name.startswith("Both/")}.items() <= hashes(
        tmp_path
    ).items()


@pytest.mark.parametrize("flags", [["--seed", 1], ["--size", 65]], ids=["seed", "size"])
def test_heads_of_other_settings_are_not_mixed_in(drawn, tmp_path, flags):
    (tmp_path / "synthetic.json").write_bytes((drawn / "synthetic.json").read_bytes())
    before = tree(tmp_path)
    refused(tmp_path, *COUNTS, *flags, says=[tmp_path, "seed 0" if "--seed" in flags else "size 64"])
    assert tree(tmp_path) == before


def test_heads_of_an_older_generator_are_not_mixed_in(drawn, tmp_path):
    known = json.loads((drawn / "synthetic.json").read_text())
    del known["version"]
    (tmp_path / "synthetic.json").write_text(json.dumps(known))
    refused(tmp_path, *COUNTS, says=[tmp_path, "version 1", "another --out"])


def test_how_ears_are_stored_is_asked_of_ears_alone(tmp_path):
    assert run(tmp_path, "--faces", 1).returncode == 0
    assert run(tmp_path, "--ears", 1, "--jpeg").returncode == 0
    assert run(tmp_path, "--faces", 2).returncode == 0
    assert len(list((tmp_path / "CollectionA").rglob("*.jpg"))) == 1 and len(list((tmp_path / "AFW").iterdir())) == 2
    refused(tmp_path, "--ears", 2, says=["jpeg True"])


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"7", b"\xff\xfe", b'{"faces": Infinity, "ears": 0, "both": 0}',
                b'{"faces": null, "ears": 0, "both": 0, "size": 64, "seed": 0, "draft": true}',
                *(b'{"version": 2, "faces": %s, "ears": 0, "both": 0, "size": 64, "seed": 0, "draft": true}' % count
                  for count in (b'"111111111"', b"1" * 55, b"-1", b"1.5", b"true"))]
)  # fmt: skip
def test_a_corrupt_list_is_refused(tmp_path, content):
    (tmp_path / "synthetic.json").write_bytes(content)
    refused(tmp_path, "--faces", 1, says=[tmp_path / "synthetic.json", "delete it"])
    assert list(tmp_path.iterdir()) == [tmp_path / "synthetic.json"]
    assert (tmp_path / "synthetic.json").read_bytes() == content


@pytest.mark.parametrize(("kilobytes", "processes"), [(0, 1), (1, 2), (2, 1), (2, 2), (3, 1)])
def test_a_full_disk_is_reported_and_leaves_whole_samples_only(drawn, tmp_path, kilobytes, processes):
    """No file may grow beyond some size here: larger ones fail while they are written, as on a full disk."""
    most = 1024 * kilobytes

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    refused(tmp_path, *COUNTS, "--processes", processes, says=["cannot be written"], preexec_fn=limit)
    left = hashes(tmp_path)
    assert left.items() <= hashes(drawn).items()
    for kind, count in zip(KINDS, PLAN.counts().values(), strict=True):
        for k in range(count):
            files = sample_files(PLAN, kind, k)
            assert sum(name in left for name in files) in (0, len(files))
    assert run(tmp_path, *COUNTS).returncode == 0
    assert hashes(tmp_path) == hashes(drawn)


def test_a_run_that_is_interrupted_ends_quietly_and_leaves_whole_samples(tmp_path):
    flags = ["--faces", 200, "--processes", 2]
    with begun(tmp_path, *flags) as one:
        wait_for(one, tmp_path, 5)
        one.send_signal(signal.SIGINT)
        message = one.communicate(timeout=60)[1]
    assert one.returncode == 130
    assert "interrupted" in message
    assert "Traceback" not in message
    images = {path.stem for path in (tmp_path / "AFW").iterdir()}
    assert len(images) < 200
    assert {path.stem.removesuffix("_pts") for path in (tmp_path / "AFW_landmark").iterdir()} == images
    assert len(find_samples([tmp_path], FACE).samples) == len(images)


def test_heads_with_hidden_ears_are_negatives_for_ears(drawn, tmp_path):
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    manifest = json.loads((tmp_path / "synthetic.json").read_text())
    assert manifest.pop("no_ear") == 0
    (tmp_path / "synthetic.json").write_text(json.dumps(manifest))  # as it was before there were such images
    done = run(tmp_path, "--no-ear", 2)
    assert done.returncode == 0 and "2 without an ear (2 drawn now" in done.stdout, done.stderr
    assert json.loads((tmp_path / "synthetic.json").read_text()) == manifest | {"no_ear": 2}
    found = find_negatives([tmp_path], EAR)
    assert [sample.image.name for sample in found] == [f"synthetic_no_ear0_{k:06d}.jpg" for k in range(2)]
    for k, sample in enumerate(found):
        again = draw_image(np.random.default_rng((0, 3, k)), "no_ear", 64, True)
        assert not again.visible["ear_left"].any() and not again.visible["ear_right"].any()
        notes = json.loads(sample.image.with_suffix(".json").read_text())
        assert notes == {"ear_in_view": False, "face_in_view": bool(again.visible["face"][17:].any())}
    for scheme in (FACE, EAR):
        assert len(find_samples([tmp_path], scheme).samples) == len(find_samples([drawn], scheme).samples)


def test_a_plan_lists_its_samples():
    plan = Plan(faces=2, ears=0, both=1, size=64, seed=3, draft=True)
    assert plan.samples() == [("face", 0), ("face", 1), ("both", 0)]
    names = [name for kind in KINDS for k in range(20) for name in sample_files(PLAN, kind, k)]
    assert len(set(names)) == len(names)
    assert all(sample_files(PLAN, kind, k)[-1].endswith((".jpg", ".png")) for kind in KINDS for k in range(9))


def test_ears_as_jpeg_are_as_many_and_much_smaller(drawn, tmp_path):
    assert run(tmp_path, "--ears", 7, "--jpeg").returncode == 0
    one, other = (find_samples([folder], EAR).samples for folder in (drawn, tmp_path))
    assert [sample.points.tolist() for sample in one] == [sample.points.tolist() for sample in other]
    png, jpeg = (sum(sample.image.stat().st_size for sample in samples) for samples in (one, other))
    assert {sample.image.suffix for sample in other} == {".jpg"} and jpeg < png / 2
    result = run(tmp_path, "--ears", 7)
    assert result.returncode == 2 and "jpeg True" in result.stderr


def test_ears_that_are_all_hidden_are_no_ears(drawn, tmp_path):
    for path in (drawn / "Both").glob("synthetic_both0_000000.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    notes = tmp_path / "synthetic_both0_000000.json"
    notes.write_text(json.dumps({"visible": {"ear_left": [0] * 55, "ear_right": [1] * 5 + [0] * 50}}))
    with pytest.raises(NoSuchImagesError, match="visible"):
        find_samples([tmp_path], EAR)
    assert len(find_samples([tmp_path], FACE).samples) == 1


def test_points_of_a_mat_file_have_the_same_bytes_at_any_time(drawn):
    files = sorted((drawn / "AFW_landmark").iterdir())
    assert len(files) == 5
    for path in files:
        assert path.read_bytes()[:116] == b"MATLAB 5.0 MAT-file".ljust(116)
        assert read_300w_lp(path).shape == (68, 2)


def test_a_both_image_with_broken_notes_is_one_bad_image(drawn, tmp_path):
    shutil.copytree(drawn / "Both", tmp_path / "both")
    broken = sorted((tmp_path / "both").glob("*.json"))[0]
    broken.write_text("{")
    found = find_samples([tmp_path / "both"], EAR, skip_bad=True)
    assert found.samples and found.problems
    assert all(broken.stem in problem for problem in found.problems)
    done = run_script("data.check", tmp_path / "both", "--out", tmp_path / "check")
    assert done.returncode == 1
    assert broken.name in done.stdout


def test_hidden_files_of_file_managers_are_no_strangers_and_a_lost_manifest_names_the_mend(drawn, tmp_path):
    shutil.copytree(drawn, tmp_path / "out")
    (tmp_path / "out/AFW/.DS_Store").write_text("")
    assert run(tmp_path / "out", *COUNTS).returncode == 0
    (tmp_path / "out/synthetic.json").unlink()
    lost = run(tmp_path / "out", *COUNTS)
    assert lost.returncode == 2 and "synthetic.json" in lost.stderr and "delete" in lost.stderr
    assert lost.stderr.count("\n") == 1
