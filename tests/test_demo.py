"""demo_multi.py: what it prints, writes and returns; as a process of its own where signals or displays matter."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

import demo_multi
from tests.charts import draw_chart, place, save_chart_network
from tests.conftest import input_error, packed, run_process, run_script, with_exif
from tests.streams import Stream
from utils.common.images import decode_image
from utils.demo.writers import SPARE

ROOT = Path(__file__).parent.parent
WITHOUT_DISPLAY = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}


def command(*flags):
    return [sys.executable, ROOT / "demo_multi.py", *map(str, flags)]


def demo_process(*flags):
    return subprocess.run(command(*flags), cwd=ROOT, env=WITHOUT_DISPLAY, capture_output=True, text=True, timeout=300)


def demo(*flags):
    return run_script("demo_multi.py", *flags)


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def face_error(line, truth):
    """NME of a line's face, a fraction of the distance of the outer eye corners."""
    distance = np.linalg.norm(np.array(line["face"]["points"]) - truth["face"], axis=1).mean()
    return distance / np.linalg.norm(truth["face"][36] - truth["face"][45])


def ear_error(line, side, truth):
    """NME of a line's ear, a fraction of the diagonal of its box."""
    distance = np.linalg.norm(np.array(line["ears"][side]["points"]) - truth[side], axis=1).mean()
    return distance / np.linalg.norm(np.ptp(truth[side], axis=0))


def fails(done, *named):
    """Exit status 2 and one line that names things."""
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: "), done.stderr
    for part in named:
        assert str(part) in done.stderr


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_chart_network(tmp_path_factory.mktemp("weights") / "chart.keras")


def until(condition, process, seconds=60):
    """Wait until a condition holds, while a process runs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- images ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(weights, tmp_path_factory):
    """A run over a folder with images of many kinds and one corrupt file."""
    base = tmp_path_factory.mktemp("folder")
    images = base / "images"
    images.mkdir()
    image, truth = draw_chart(200, 240, place((120, 100), 90))
    bgr = np.ascontiguousarray(image[..., ::-1])
    (images / "plain.png").write_bytes(packed(bgr, ".png"))
    (images / "alpha.png").write_bytes(packed(np.dstack([bgr, np.full(bgr.shape[:2], 7, np.uint8)]), ".png"))
    (images / "deep.png").write_bytes(packed(bgr.astype(np.uint16) * 257, ".png"))
    (images / "gray.png").write_bytes(packed(np.full((50, 60), 120, np.uint8), ".png"))
    (images / "dot.png").write_bytes(packed(np.zeros((1, 1, 3), np.uint8), ".png"))
    flags = [cv2.IMWRITE_JPEG_QUALITY, 98, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    stored = cv2.imencode(".jpg", np.ascontiguousarray(np.rot90(bgr)), flags)[1].tobytes()
    (images / "phone.jpg").write_bytes(with_exif(stored, orientation=6))
    small, _ = draw_chart(1500, 2000, place((1300, 500), 60))
    (images / "small.png").write_bytes(packed(np.ascontiguousarray(small[..., ::-1]), ".png"))
    (images / "turned.png").write_bytes(packed(np.ascontiguousarray(np.rot90(bgr)), ".png"))
    (images / "corrupt.jpg").write_bytes(packed(bgr, ".jpg")[:300])
    done = demo(images, "--weights", weights, "--no-window", "--precision", "float32",
                "--save", base / "drawn", "--json", base / "out.jsonl")  # fmt: skip
    return base, done, {Path(line["source"]).name: line for line in lines_of(base / "out.jsonl")}, image, truth


def test_a_corrupt_file_is_named_and_skipped_and_the_status_says_so(folder):
    base, done, lines, _, _ = folder
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("skipped: ") and "corrupt.jpg" in done.stderr
    assert sorted(lines) == ["alpha.png", "deep.png", "dot.png", "gray.png", "phone.jpg", "plain.png", "small.png",
                             "turned.png"]  # fmt: skip
    assert sorted(path.stem for path in (base / "drawn").iterdir()) == sorted(name.split(".")[0] for name in lines)


@pytest.mark.parametrize("name", ["plain.png", "alpha.png", "deep.png", "phone.jpg"])
def test_points_lie_in_pixels_of_the_image_as_it_is_shown(folder, name):
    _, _, lines, _, truth = folder
    line = lines[name]
    assert (line["width"], line["height"]) == (240, 200)
    assert face_error(line, truth) < 0.05
    assert sorted(line["ears"]) == ["left", "right"]
    assert all(ear_error(line, side, truth) < 0.06 for side in line["ears"])
    assert line["face"]["scheme"] == "face" and len(line["face"]["confidence"]) == 68
    assert line["ears"]["left"]["scheme"] == "ear" and len(line["ears"]["left"]["points"]) == 55
    low, high = truth["face"].min(axis=0), truth["face"].max(axis=0)
    assert line["face"]["box"] == pytest.approx([*low, *high], abs=3)


@pytest.mark.parametrize("name", ["small.png", "turned.png"])
def test_small_and_turned_heads_are_searched_for_in_images(folder, name):
    """As `LandmarkPredictor(image)` and the protocol `photo` do; a video's first frame is searched less."""
    _, _, lines, _, _ = folder
    assert lines[name]["face"] is not None and sorted(lines[name]["ears"]) == ["left", "right"]


@pytest.mark.parametrize("name", ["gray.png", "dot.png"])
def test_an_image_without_a_head_is_said_and_stays_as_it_is(folder, name):
    base, done, lines, _, _ = folder
    assert lines[name]["face"] is None and lines[name]["ears"] == {}
    assert f"{name}: no face or ear found" in done.stdout
    drawn = decode_image(base / "drawn" / name)
    assert np.array_equal(drawn, decode_image(base / "images" / name))


def test_what_was_found_is_drawn(folder):
    base, done, _, image, truth = folder
    assert "plain.png: face, left ear, right ear" in done.stdout
    changed = (decode_image(base / "drawn" / "plain.png") != image).any(axis=-1)
    for points in truth.values():
        assert changed[tuple(np.round(points).astype(int).T[::-1])].mean() > 0.9
    every = np.concatenate(list(truth.values()))
    low, high = every.min(axis=0) - 6, every.max(axis=0) + 6
    outside = np.ones_like(changed)
    outside[max(0, int(low[1])) : int(high[1]), max(0, int(low[0])) : int(high[0])] = False
    assert not changed[outside].any()


def test_thresholds_are_the_files_own_but_for_what_is_given(folder, weights, tmp_path):
    image, half = folder[0] / "images" / "small.png", tmp_path / "half.keras"
    done = run_script("utils.export", weights, "--out", half, "--threshold", "face=1", "--threshold", "lone_ear=1")
    assert done.returncode == 0, done.stderr
    flags = [image, "--no-window", "--precision", "float32", "--weights", half]
    assert "small.png: no face or ear found (a lower --face-threshold or --ear-threshold" in demo(*flags).stdout
    assert "small.png: face" in demo(*flags, "--face-threshold", 0.3).stdout
    wrong = run_script("utils.export", weights, "--out", half, "--threshold", "nose=0.5")
    assert wrong.returncode == 2 and "--threshold: 'nose=0.5' is not NAME=SCORE" in wrong.stderr


def test_who_searches_is_the_files_own_but_for_what_is_given(folder, weights, tmp_path):
    image, small, noted = folder[0] / "images" / "small.png", tmp_path / "small.keras", tmp_path / "noted.keras"
    save_chart_network(small, size=96)
    done = run_script("utils.export", weights, "--out", noted, "--searcher", small.name)
    assert done.returncode == 0, done.stderr
    flags = [image, "--no-window", "--precision", "float32", "--weights"]
    for given, searched in (
        ((noted,), True),
        ((weights, "--searcher", small), True),
        ((noted, "--searcher", "none"), False),
    ):
        done = demo(*flags, *given)
        assert "small.png: face" in done.stdout
        assert (f", searched by {small})" in done.stdout) == searched
    fails(demo(*flags, weights, "--searcher", tmp_path / "none.keras"), "none.keras", "no such weights file")


def test_runs_share_a_folder_and_their_lines_are_all_together(folder, weights, tmp_path):
    base, _, lines, _, _ = folder
    for k in (1, 2):
        done = demo(base / "images", "--weights", weights, "--no-window", "--precision", "float32", "--shard", f"{k}/2",
                    "--save", tmp_path / "drawn", "--json", tmp_path / f"{k}.jsonl")  # fmt: skip
        assert done.returncode == (k == 2), done.stderr  # corrupt.jpg is the second of nine images
    shares = [lines_of(tmp_path / f"{k}.jsonl") for k in (1, 2)]
    assert [len(share) for share in shares] == [5, 3]
    assert {Path(line["source"]).name: line for share in shares for line in share} == lines
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == sorted(p.name for p in (base / "drawn").iterdir())
    fails(demo(base / "images", "--weights", weights, "--no-window", "--shard", "3/2"), "--shard", "share such as 2/4")


def test_it_says_which_weights_and_where_the_time_went(folder, weights):
    _, done, _, _, _ = folder
    assert done.stdout.splitlines()[0].startswith(
        f"weights:  {weights} (face and ear, crops of 128 px, TensorFlow in float32)"
    )
    assert "frames/s" in done.stdout.splitlines()[-1] and "find" in done.stdout.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="wants jax")
def test_on_jax_the_same_is_found(folder, weights, tmp_path):
    """Where a crop is of one head alone, the other has nothing to decode: JAX takes nothing out of an empty array."""
    base, _, lines, _, _ = folder
    image = next(path for path in sorted((base / "images").iterdir()) if lines.get(path.name, {}).get("face"))
    done = run_process(
        "demo_multi.py", image, "--weights", weights, "--no-window", "--precision", "float32",
        "--json", tmp_path / "out.jsonl", env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.returncode == 0 and "JAX in float32" in done.stdout, done.stderr
    (found,) = lines_of(tmp_path / "out.jsonl")
    truth = lines[image.name]
    assert found["ears"].keys() == truth["ears"].keys()
    np.testing.assert_allclose(found["face"]["points"], truth["face"]["points"], atol=0.5)


@pytest.mark.slow
def test_weights_of_ears_find_an_ear_and_huge_images_do_not_hurt(tmp_path):
    weights = save_chart_network(tmp_path / "ear.keras", tasks=("ear",))
    image, truth = draw_chart(160, 200, place((-60, 130), 260))  # nothing but an ear
    cv2.imwrite(str(tmp_path / "ear.png"), image[..., ::-1])
    cv2.imwrite(str(tmp_path / "huge.png"), np.zeros((9000, 12000), np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    done = demo(tmp_path / "ear.png", tmp_path / "huge.png", "--weights", weights, "--no-window", "--size", 96,
                "--precision", "float32", "--json", tmp_path / "out.jsonl")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "(ear, crops of 96 px" in done.stdout
    ear, huge = lines_of(tmp_path / "out.jsonl")
    assert ear["face"] is None and list(ear["ears"]) == ["left"]
    assert ear_error(ear, "left", truth) < 0.08
    assert (huge["width"], huge["height"], huge["face"], huge["ears"]) == (12000, 9000, None, {})


# --- videos and streams -----------------------------------------------------------------------------------------------


def path_of_head(k):
    """Where the moving head is in frame `k`."""
    return place((90 + 2.5 * k, 110 + 20 * np.sin(k / 6)), 80 + 0.5 * k, 25 * np.sin(k / 9))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A lossless video of a moving head, 20 frames a second, and its points."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 20, (320, 240))
    truths = []
    for k in range(45):
        image, truth = draw_chart(240, 320, path_of_head(k))
        truths.append(truth)
        writer.write(np.ascontiguousarray(image[..., ::-1]))
    writer.release()
    return path, truths


def test_points_follow_a_head_through_a_video(weights, clip, tmp_path):
    path, truths = clip
    done = demo_process(path, "--weights", weights, "--no-window", "--precision", "float32", "--threads", 1,
                        "--save", tmp_path / "out.mp4", "--json", tmp_path / "out.jsonl")  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = lines_of(tmp_path / "out.jsonl")
    assert [line["frame"] for line in lines] == list(range(45))
    assert [line["time"] for line in lines] == pytest.approx([k / 20 for k in range(45)], abs=0.01)
    assert all(line["face"] is not None for line in lines)
    errors = [face_error(line, truth) for line, truth in zip(lines, truths, strict=True)]
    assert np.mean(errors) < 0.05 and max(errors) < 0.15
    assert sum(len(line["ears"]) for line in lines) > 80  # of 90
    capture = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    shape = [capture.get(what) for what in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS, 3, 4)]
    assert shape == [45, 20, 320, 240]
    assert "45 frames, face in 45" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
@pytest.mark.parametrize("ending", ["SIGINT", "SIGTERM"])
def test_a_stream_dies_and_returns_and_ctrl_c_leaves_a_playable_video(weights, tmp_path, ending):
    image, truth = draw_chart(160, 200, place((100, 80), 70))
    with Stream([image], rate=20) as stream:
        process = subprocess.Popen(
            command(stream.address, "--weights", weights, "--no-window", "--precision", "float32",
                    "--save", tmp_path / "out.mp4", "--json", tmp_path / "out.jsonl"),
            cwd=ROOT, env=WITHOUT_DISPLAY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            # A job in the background ignores Ctrl-C, and its children inherit that: run as if from a prompt.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip

        def lines():
            (part,) = list(tmp_path.glob(".part*out.jsonl")) or [None]
            return part.read_bytes().count(b"\n") if part else 0

        try:
            until(lambda: lines() >= 5, process)
            stream.die()
            time.sleep(0.5)
            before = lines()
            stream.live()
            until(lambda: lines() >= before + 5, process)
            process.send_signal(getattr(signal, ending))
            said, problems = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130 and problems == "interrupted\n"
    assert "trying again" in said and "is back" in said
    found = lines_of(tmp_path / "out.jsonl")
    assert len(found) >= before + 5 and found[0]["source"] == stream.address
    assert all(face_error(line, truth) < 0.05 for line in found)
    assert np.all(np.diff([line["time"] for line in found]) > 0)
    capture = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) >= len(found)
    assert capture.read()[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.mp4"]


@pytest.fixture
def small_disk(tmp_path):
    """A disk on which a video may grow to some 50 kB before it stops."""
    mounted = ["mount", "-t", "tmpfs", "-o", f"size={SPARE + 100_000}", "tmpfs", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(mounted, capture_output=True).returncode:
        pytest.skip("only root may mount a disk")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk_is_one_line_and_what_fitted_stays(weights, clip, small_disk):
    done = demo(clip[0], "--weights", weights, "--no-window", "--precision", "float32",
                "--save", small_disk / "out.mp4", "--json", small_disk / "out.jsonl")  # fmt: skip
    fails(done, "out.mp4", "the disk is full")
    lines = lines_of(small_disk / "out.jsonl")
    assert 2 < len(lines) < 45
    assert cv2.VideoCapture(str(small_disk / "out.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == len(lines) - 1


# --- the window -------------------------------------------------------------------------------------------------------


@pytest.fixture
def display():
    """A display in memory, for windows; its name."""
    missing = [name for name in ("Xvfb", "xdotool") if shutil.which(name) is None]
    if missing and os.environ.get("CI") != "true":
        pytest.skip(f"not installed: {', '.join(missing)}")
    reader, writer = os.pipe()
    # Without -noreset it starts anew when its last client leaves, and turns away one that comes just then.
    flags = ["-displayfd", str(writer), "-screen", "0", "1000x800x24", "-noreset"]
    process = subprocess.Popen(["Xvfb", *flags], pass_fds=[writer], stderr=subprocess.DEVNULL)
    os.close(writer)
    try:
        with os.fdopen(reader) as number:
            yield f":{number.readline().strip()}"
    finally:
        process.terminate()
        process.wait()


@pytest.mark.slow
def test_the_window_shows_what_was_found_and_listens_to_keys(weights, clip, display, tmp_path):
    from PIL import ImageGrab  # matplotlib brings it along

    environment = {**os.environ, "DISPLAY": display}
    image, _ = draw_chart(480, 640, place((320, 200), 160))
    cv2.imwrite(str(tmp_path / "image.png"), image[..., ::-1])
    process = subprocess.Popen(
        command(clip[0], tmp_path / "image.png", "--weights", weights, "--precision", "float32"),
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def tool(*arguments):
        return subprocess.run(["xdotool", *arguments], env=environment, capture_output=True, text=True).stdout.split()

    def shown():
        """What the window shows; nothing as long as there is none."""
        screen = np.asarray(ImageGrab.grab(xdisplay=display).convert("RGB"))
        for window in tool("search", "--name", "Face and ear landmarks")[-1:]:
            place = dict(line.split("=") for line in tool("getwindowgeometry", "--shell", window))
            left, top, width, height = (int(place[name]) for name in ("X", "Y", "WIDTH", "HEIGHT"))
            return screen[top : top + height, left : left + width]
        return screen[:0]

    def shows_image():
        now = shown()
        return now.shape == image.shape and (now == image).all(axis=-1).mean() > 0.8

    def press(key, then):
        tool("key", "--window", tool("search", "--name", "Face and ear landmarks")[-1], key)
        until(then, process)

    kept = tmp_path / "runs/demo/image-000000.png"
    try:
        until(shows_image, process)  # the video has ended; the image stays until a key
        time.sleep(0.3)
        plain = shown()
        assert (plain != image).any(axis=-1)[120:280, 240:400].mean() > 0.02  # points and lines
        press("h", lambda: (shown() != plain).any(axis=-1)[:150, :250].mean() > 0.01)  # words
        press("h", lambda: np.array_equal(shown(), plain))
        press("m", lambda: not np.array_equal(shown(), plain))
        press("m", lambda: np.array_equal(shown(), plain))
        press("o", lambda: (shown() != plain).any(axis=-1)[120:280, 240:400].mean() > 0.9)  # heatmaps
        press("s", kept.exists)
        tool("key", "--window", tool("search", "--name", "Face and ear landmarks")[-1], "q")
        said, problems = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0 and problems == ""
    assert "45 frames, face in 45" in said and f"saved {kept.relative_to(tmp_path)}" in said
    saved = decode_image(kept)
    assert (saved != image).any(axis=-1)[120:280, 240:400].mean() > 0.9


# --- failures ---------------------------------------------------------------------------------------------------------


def test_without_a_display_one_line_names_the_mend(weights, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    fails(demo("--weights", weights), "--no-window", "--save")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="DISPLAY is Linux's")
def test_a_display_that_is_gone_is_no_abort(weights, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":9876")
    fails(demo("--weights", weights), ":9876", "--no-window")


def test_missing_weights_are_named():
    fails(demo("--weights", "nowhere.keras", "--no-window"), "nowhere.keras", "--weights")


def test_own_weights_come_before_the_shipped_and_none_names_the_mend(tmp_path, monkeypatch):
    own, shipped = tmp_path / "face2ear.keras", tmp_path / "face2ear-lite.keras"
    monkeypatch.setattr(demo_multi, "OWN", own)
    monkeypatch.setattr(demo_multi, "SHIPPED", shipped)
    with input_error(own, shipped.name, "train_face2ear.py", "--weights"):
        demo_multi.choose_weights(None)
    shipped.touch()
    assert demo_multi.choose_weights(None) == shipped
    own.touch()
    assert demo_multi.choose_weights(None) == own
    assert demo_multi.choose_weights(str(shipped)) == shipped


def test_a_file_that_holds_no_weights_is_one_line():
    fails(demo(ROOT / "readme", "--weights", ROOT / "README.md", "--no-window"), "README.md", "not a weights file")


def test_a_camera_that_is_not_there_is_one_line_and_nothing_is_left(weights, tmp_path):
    done = demo("83", "--weights", weights, "--no-window", "--save", tmp_path / "a.mp4", "--precision", "float32")
    fails(done, "camera 83", "another program")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["nowhere.png"], "nowhere.png"),
        (["--size", "100"], "--size"),
        (["--size", "8"], "--size"),
        (["--threads", "0"], "--threads"),
        (["--threshold", "2"], "--threshold"),
        (["--precision", "int8"], "--precision"),
        (["--overlay", "hearts"], "--overlay"),
        (["--save", "out.txt"], "--save"),
        (["--save", "README.md/out.mp4"], "--save"),
        (["readme", "--save", "readme"], "readme"),
        (["--json", "tests"], "--json"),
        (["--camera-size", "1280"], "--camera-size"),
        (["--camera-size", "0x720"], "--camera-size"),
        (["--camera-fps", "0"], "--camera-fps"),
        (["readme", "--camera-fps", "30"], "--camera-fps: is asked of cameras"),
        (["rtsp://192.0.2.1/x", "--camera-size", "1280x720"], "--camera-size: is asked of cameras"),
        (["--smoth"], "--smoth"),
    ],
)
def test_a_bad_flag_is_one_line(weights, monkeypatch, flags, named):
    monkeypatch.chdir(ROOT)
    fails(demo(*flags, "--weights", weights, "--no-window"), named)


def test_a_process_ends_with_status_2_and_one_line():
    fails(demo_process("--smoth"), "--smoth")


def test_help_names_every_flag_by_group_and_does_not_start_tensorflow():
    code = "import sys, demo_multi\ntry: demo_multi.main(['--help'])\nfinally: assert 'tensorflow' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == ""
    names = (
        "camera-size camera-fps weights save json no-window precision threads size no-smooth threshold mirror overlay"
    )
    for flag in names.split():
        assert f"--{flag}" in done.stdout
    for group in ("camera:", "network:", "output:", "display:"):
        assert f"\n{group}\n" in done.stdout
