import json
import os
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.augment import Warp
from data.schemes import EAR, FACE, reference_shape
from tests.conftest import input_error
from utils.common.images import decode_image
from utils.demo import writers
from utils.demo.prediction import Landmarks, Prediction
from utils.demo.sources import Frame, Source, open_source
from utils.demo.writers import JsonLines, add_sound, as_record, open_target, plan_saves

ROOT = Path(__file__).parents[3]
CLIP, CAMERA, IMAGE = Source("clip.avi", "video"), Source("0", "live"), Source("a.jpg", "image")


def gray(level, height=48, width=64):
    return np.full((height, width, 3), level, np.uint8)


def held(path):
    """Rate and gray levels of the frames of a video."""
    capture = cv2.VideoCapture(str(path))
    levels = []
    while (read := capture.read())[0]:
        levels.append(float(read[1].mean()))
    return capture.get(cv2.CAP_PROP_FPS), levels


# --- which file -------------------------------------------------------------------------------------------------------


def test_one_video_one_image_or_a_folder(tmp_path):
    assert plan_saves(None, [CLIP]) == {}
    assert plan_saves("out.mp4", [CLIP]) == {CLIP: Path("out.mp4")}
    assert plan_saves("out.png", [IMAGE]) == {IMAGE: Path("out.png")}
    assert plan_saves(f"{tmp_path}", [CLIP, CAMERA, IMAGE]) == {
        CLIP: tmp_path / "clip.mp4", CAMERA: tmp_path / "camera0.mp4", IMAGE: tmp_path / "a.png",
    }  # fmt: skip
    assert plan_saves("new.folder/", [IMAGE]) == {IMAGE: Path("new.folder/a.png")}


def test_names_that_meet_in_the_folder_are_told_apart():
    sources = [Source(name, "image") for name in ("x/a.jpg", "x/a.png", "y/A.jpg")]
    assert [path.name for path in plan_saves("out", sources).values()] == ["a.png", "a-2.png", "A-3.png"]


def test_a_name_of_macos_meets_the_same_name_of_another_system():
    sources = [
        Source(f"{folder}/{name}.jpg", "image") for folder, name in (("x", "\ud64d"), ("y", "\u1112\u1169\u11bc"))
    ]
    first, second = (path.stem for path in plan_saves("out", sources).values())
    assert (first, second) == ("\ud64d", "\u1112\u1169\u11bc-2")


@pytest.mark.parametrize(
    ("save", "sources"),
    [
        ("out.mp4", [IMAGE]),
        ("out.png", [CLIP]),
        ("out.png", [IMAGE, Source("b.jpg", "image")]),
        ("out.txt", [CLIP]),
        ("README.md/out.png", [IMAGE]),
    ],
)
def test_a_file_that_cannot_hold_it_is_refused(monkeypatch, save, sources):
    monkeypatch.chdir(ROOT)
    with input_error("--save", save.removesuffix("/out.png")):
        plan_saves(save, sources)


def test_a_source_is_never_overwritten(tmp_path):
    image = tmp_path / "a.png"
    image.touch()
    for save in (tmp_path, image, tmp_path / "." / "a.png"):
        with input_error("--save", "a.png", "source"):
            plan_saves(str(save), [Source(str(image), "image")])


def test_a_source_is_known_by_another_name(tmp_path):
    """As Windows and macOS have it for A.png and a.png."""
    (tmp_path / "a.png").touch()
    os.link(tmp_path / "a.png", tmp_path / "A.png")
    with input_error("--save", "A.png", "source"):
        plan_saves(str(tmp_path / "A.png"), [Source(str(tmp_path / "a.png"), "image")])
    with input_error("--json", "overwrite"):
        JsonLines(str(tmp_path / "A.png"), [tmp_path / "a.png"])


# --- videos -----------------------------------------------------------------------------------------------------------


def test_a_file_keeps_frames_rate_and_size(tmp_path):
    with open_target(tmp_path / "new" / "out.mp4", CLIP, 12.5) as file:
        for k in range(10):
            file.write(gray(20 * k), k / 12.5)
    rate, levels = held(tmp_path / "new" / "out.mp4")
    assert rate == 12.5
    assert levels == pytest.approx([20 * k for k in range(10)], abs=4)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.mp4"]


def test_a_webp_of_a_video_moves_and_is_small(tmp_path):
    assert plan_saves("out.webp", [CLIP]) == {CLIP: Path("out.webp")}
    with open_target(tmp_path / "out.webp", CLIP, 12.5) as file:
        for k in range(3):
            file.write(gray(80 * k, 720, 1280) if k < 2 else gray(160, 480, 640), k / 12.5)
    done, animation = cv2.imreadanimation(str(tmp_path / "out.webp"))
    assert done and list(animation.durations) == [80, 80, 80]
    assert [frame.shape[:2] for frame in animation.frames] == [(360, 640)] * 3
    assert [frame[..., :3].mean() for frame in animation.frames] == pytest.approx([0, 80, 160], abs=4)
    assert [path.name for path in tmp_path.iterdir()] == ["out.webp"]


def test_a_webp_of_a_camera_lasts_as_long_as_what_it_shows_and_says_when_it_is_full(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(writers.AnimationFile, "MOST_FRAMES", 3)
    with open_target(tmp_path / "out.webp", CAMERA, 30) as file:
        for time in (0, 0.5, 0.6, 1.6, 2.0):
            file.write(gray(50 + int(100 * time)), time)
    assert list(cv2.imreadanimation(str(tmp_path / "out.webp"))[1].durations) == [500, 100, 1000]
    assert capsys.readouterr().out.count("is full") == 1


@pytest.mark.parametrize(("height", "width"), [(1, 1), (47, 63)])
def test_odd_sizes_grow_by_a_pixel(tmp_path, height, width):
    with open_target(tmp_path / "out.mp4", CLIP, 25) as file:
        file.write(gray(200, height, width), 0)
    capture = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    ok, frame = capture.read()
    assert ok and frame.shape == (height + 1, width + 1, 3)
    assert abs(int(frame.min()) - 200) < 6


@pytest.mark.parametrize("source", [CAMERA, CLIP])
def test_each_frame_is_in_sight_at_its_time(tmp_path, source):
    with open_target(tmp_path / "out.mp4", source, 10) as file:
        for time, level in ((5.0, 50), (5.04, 90), (5.1, 120), (5.5, 200)):
            file.write(gray(level), time)
    _, levels = held(tmp_path / "out.mp4")
    assert levels == pytest.approx([50, 120, 120, 120, 120, 200], abs=4)


def test_a_video_of_varying_rate_is_saved_in_step_with_its_sound(tmp_path):
    """25 frames a second, then one a second, as a phone records in the dark; each level is 20 times its time."""
    times = [*(k / 25 for k in range(25)), *range(1, 11)]
    with open_target(tmp_path / "out.mp4", CLIP, len(times) / 11) as file:  # the mean, as containers say
        for time in times:
            file.write(gray(round(20 * time)), time)
    rate, levels = held(tmp_path / "out.mp4")
    assert len(levels) / rate == pytest.approx(10, abs=0.5)
    for second in range(2, 10):
        assert levels[int((second + 0.5) * rate)] == pytest.approx(20 * second, abs=4)


@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.webm", "cut.mp4", "offset5.mkv"])
def test_a_video_lasts_as_long_as_the_one_it_was_drawn_from(tmp_path, name):
    """Within a frame, so sound fits from the start to the end."""
    source = Source(str(Path(__file__).parent / "videos" / name), "video")
    with open_source(source) as feed, open_target(tmp_path / "out.mp4", CAMERA, feed.rate) as file:
        for frame in feed.frames(wait=5.0):
            file.write(frame.image, frame.time)
    rate, levels = held(tmp_path / "out.mp4")
    assert (len(levels) - 1) / rate == pytest.approx(frame.time, abs=1 / rate)


@pytest.mark.skipif(not shutil.which("ffmpeg") and not os.environ.get("CI"), reason="no ffmpeg here")
@pytest.mark.parametrize("name", ["concat:tone.wav", "-x.wav", "%03d.wav", "a?b.wav"])
def test_a_name_is_a_name_to_ffmpeg(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_tone(tmp_path / name, 1)
    with open_target(Path("-out") / "out.mp4", Source(name, "video"), 10) as file:
        for k in range(10):
            file.write(gray(10 * k), k / 10)
    streams = subprocess.run(["ffmpeg", "-i", "./-out/out.mp4"], capture_output=True, text=True).stderr
    assert "Audio:" in streams and "Video:" in streams


def test_a_camera_that_comes_back_in_another_size_fits_the_video(tmp_path):
    with open_target(tmp_path / "out.mp4", CLIP, 10) as file:
        file.write(gray(50), 0)
        file.write(gray(150, 96, 128), 0.1)
    assert held(tmp_path / "out.mp4")[1] == pytest.approx([50, 150], abs=4)


@pytest.mark.parametrize("rate", [0.5, 23.976, 99.993, 119.9873, 239.683, 1000.0])
def test_any_rate_can_be_saved(tmp_path, rate):
    with open_target(tmp_path / "out.mp4", CLIP, rate) as file:
        for k in range(3):
            file.write(gray(20 * k), k / rate)
    saved, levels = held(tmp_path / "out.mp4")
    assert saved == pytest.approx(rate, rel=1e-4) and len(levels) == 3


@pytest.mark.parametrize("problem", [KeyboardInterrupt, ValueError])
def test_a_video_is_playable_whatever_ends_it(tmp_path, problem):
    with pytest.raises(problem), open_target(tmp_path / "out.mp4", CLIP, 10) as file:
        for k in range(7):
            file.write(gray(10 * k), k / 10)
        raise problem
    assert len(held(tmp_path / "out.mp4")[1]) == 7


def test_a_source_without_frames_leaves_no_file(tmp_path):
    with open_target(tmp_path / "out.mp4", CLIP, 10):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_video_stops_before_the_disk_is_full(tmp_path, monkeypatch):
    free = iter([10**9] * 5 + [writers.SPARE - 1])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("usage", (), {"free": next(free)}))
    with input_error("out.mp4", "disk is full", "5 frames"), open_target(tmp_path / "out.mp4", CLIP, 10) as file:
        for k in range(9):
            file.write(gray(10 * k), k / 10)
    assert len(held(tmp_path / "out.mp4")[1]) == 5


def in_a_process_whose_files_may_grow_to(size, code, *arguments):
    """Run code in a process where a write beyond `size` bytes fails, as on a full disk."""
    limit = f"import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}));"
    limit += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    command = [sys.executable, "-c", limit + code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_a_video_whose_writes_fail_is_not_called_whole(tmp_path):
    pytest.importorskip("resource")
    code = """
import sys, numpy
from pathlib import Path
from tests.utils.demo.test_writers import CLIP, open_target
rng = numpy.random.default_rng(0)
with open_target(Path(sys.argv[1]), CLIP, 10) as file:
    for k in range(60):
        file.write(rng.integers(0, 255, (240, 320, 3), numpy.uint8), k / 10)
"""
    done = in_a_process_whose_files_may_grow_to(100_000, code, tmp_path / "out.mp4")
    assert "InputError" in done.stderr and "cannot be written whole" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def write_tone(path, seconds, rate=8000):
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        tone = 8000 * np.sin(2 * np.pi * 440 * np.arange(seconds * rate) / rate)
        sound.writeframes(tone.astype("<i2").tobytes())


@pytest.mark.skipif(not shutil.which("ffmpeg") and not os.environ.get("CI"), reason="no ffmpeg here")
def test_the_sound_is_copied_as_far_as_the_video_goes(tmp_path):
    write_tone(tmp_path / "tone.wav", 3)
    with open_target(tmp_path / "out.mp4", Source(str(tmp_path / "tone.wav"), "video"), 10) as file:
        for k in range(10):
            file.write(gray(10 * k), k / 10)
    assert len(held(tmp_path / "out.mp4")[1]) == 10
    subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "out.mp4", tmp_path / "back.wav"], check=True)
    with wave.open(str(tmp_path / "back.wav")) as sound:
        assert sound.getnframes() / sound.getframerate() == pytest.approx(1.0, abs=0.15)
        samples = np.frombuffer(sound.readframes(10**6), "<i2").astype(float)
    assert np.abs(samples).mean() > 2000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.wav", "out.mp4", "tone.wav"]


def test_without_sound_or_ffmpeg_the_video_stays_as_it_is(tmp_path, monkeypatch):
    with open_target(tmp_path / "a.mp4", CAMERA, 10) as file:
        file.write(gray(9), 0)
    before = (tmp_path / "a.mp4").read_bytes()
    add_sound(tmp_path / "a.mp4", tmp_path / "a.mp4", 1.0)  # a silent film
    monkeypatch.setattr(shutil, "which", lambda _: None)
    add_sound(tmp_path / "a.mp4", tmp_path / "nowhere", 1.0)
    assert (tmp_path / "a.mp4").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_image_is_what_was_drawn(tmp_path):
    drawn = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    with open_target(tmp_path / "a.png", IMAGE, None) as file:
        file.write(drawn, 0)
    assert np.array_equal(decode_image(tmp_path / "a.png"), drawn)


# --- JSON -------------------------------------------------------------------------------------------------------------


def some_prediction():
    face = Landmarks(
        FACE, (36, 45), np.array([[10.123, 20], [30, 24.5]], np.float32), np.array([0.5, 0.7504]), Warp((20.5, 22), 40)
    )
    ear = Landmarks(EAR, (0,), np.array([[50, np.nan]], np.float32), np.array([0.25]), Warp((50, 20), 10))
    return Prediction(face, {"left": ear})


@pytest.mark.filterwarnings("ignore:All-NaN")
def test_a_line_by_hand():
    record = as_record(CLIP, Frame(gray(0), 3, 0.12), some_prediction())
    assert record == {
        "source": "clip.avi", "frame": 3, "time": 0.12, "width": 64, "height": 48,
        "face": {
            "scheme": "face", "score": 0.625, "box": [10.12, 20.0, 30.0, 24.5],
            "crop": [[0.5, 2.0], [40.5, 2.0], [40.5, 42.0], [0.5, 42.0]],
            "landmarks": [36, 45], "points": [[10.12, 20.0], [30.0, 24.5]], "confidence": [0.5, 0.75],
        },
        "pose": None,  # of two points
        "ears": {"left": {
            "scheme": "ear", "score": 0.25, "box": [50.0, None, 50.0, None],
            "crop": [[45.0, 15.0], [55.0, 15.0], [55.0, 25.0], [45.0, 25.0]],
            "landmarks": [0], "points": [[50.0, None]], "confidence": [0.25],
        }},
    }  # fmt: skip


def test_a_whole_face_has_a_pose():
    points = 30 * reference_shape(FACE) + 10
    face = Landmarks(FACE, tuple(range(68)), points.astype(np.float32), np.ones(68), Warp((20, 20), 40))
    pose = as_record(CLIP, Frame(gray(0), 0, 0.0), Prediction(face))["pose"]
    assert list(pose) == ["yaw", "pitch", "roll"]
    assert max(map(abs, pose.values())) < 10  # the reference shape looks into the camera
    assert all(round(angle, 1) == angle for angle in pose.values())


def test_an_empty_prediction_is_a_line_without_a_face_and_ears():
    record = as_record(CLIP, Frame(gray(0), 0, 0.0), Prediction())
    assert record["face"] is None and record["ears"] == {} and record["pose"] is None


def test_lines_are_there_whatever_ended_the_run(tmp_path):
    path = tmp_path / "new" / "out.jsonl"
    with pytest.raises(KeyboardInterrupt), JsonLines(str(path)) as lines:
        for k in range(3):
            lines.write(CLIP, Frame(gray(0), k, k / 10), Prediction())
        assert not path.exists()
        raise KeyboardInterrupt
    assert [json.loads(line)["frame"] for line in path.read_text().splitlines()] == [0, 1, 2]


def test_a_full_disk_leaves_whole_lines(tmp_path):
    pytest.importorskip("resource")
    code = """
import sys
from tests.utils.demo.test_writers import *
with JsonLines(sys.argv[1]) as lines:
    for k in range(100):
        lines.write(CLIP, Frame(gray(0), k, k / 10), Prediction())
"""
    done = in_a_process_whose_files_may_grow_to(1000, code, tmp_path / "out.jsonl")
    assert "InputError" in done.stderr and "out.jsonl" in done.stderr.splitlines()[-1]
    text = (tmp_path / "out.jsonl").read_text()
    assert text.endswith("}\n") and 500 < len(text) <= 1000
    assert [json.loads(line)["frame"] for line in text.splitlines()] == list(range(text.count("\n")))


def test_a_disk_that_is_full_from_the_start_leaves_the_old_lines(tmp_path):
    pytest.importorskip("resource")
    (tmp_path / "out.jsonl").write_text("old\n")
    code = """
import sys
from tests.utils.demo.test_writers import *
with JsonLines(sys.argv[1]) as lines:
    lines.write(CLIP, Frame(gray(0), 0, 0.0), Prediction())
"""
    done = in_a_process_whose_files_may_grow_to(20, code, tmp_path / "out.jsonl")
    assert "it is as it was" in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
    assert (tmp_path / "out.jsonl").read_text() == "old\n"


def test_a_run_that_is_ended_before_its_first_frame_leaves_the_old_lines(tmp_path):
    (tmp_path / "out.jsonl").write_text("old\n")
    with pytest.raises(KeyboardInterrupt), JsonLines(str(tmp_path / "out.jsonl")):
        raise KeyboardInterrupt
    assert (tmp_path / "out.jsonl").read_text() == "old\n"
    with JsonLines(str(tmp_path / "out.jsonl")):
        pass  # the sources have no frame, and that is the answer
    assert (tmp_path / "out.jsonl").read_text() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_program_that_is_told_to_end_finishes_its_video(tmp_path, name):
    code = """
import os, signal, sys
from tests.utils.demo.test_writers import *
from utils.demo.writers import end_as_on_ctrl_c
signal.signal(getattr(signal, sys.argv[2]), signal.SIG_DFL)  # under nohup the tests ignore SIGHUP
end_as_on_ctrl_c()
with open_target(Path(sys.argv[1]), CLIP, 10) as file:
    for k in range(5):
        file.write(gray(10 * k), k / 10)
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "out.mp4", name], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode and "KeyboardInterrupt" in done.stderr
    assert len(held(tmp_path / "out.mp4")[1]) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("path", [".", "README.md/x.jsonl"])
def test_a_place_where_no_lines_can_be_written_is_named(monkeypatch, path):
    monkeypatch.chdir(ROOT)
    with input_error("--json"):
        JsonLines(path)


def test_no_path_no_lines():
    with JsonLines(None) as lines:
        lines.write(CLIP, Frame(gray(0), 0, 0.0), Prediction())


class TestJsonTarget:
    def test_what_is_read_or_saved_to_is_not_overwritten(self, tmp_path):
        image = tmp_path / "image.jpg"
        image.write_bytes(b"an image")
        (tmp_path / "folder").mkdir()
        with input_error("--json", "image.jpg", "overwrite"):
            JsonLines(str(tmp_path / "folder" / ".." / "image.jpg"), [image])
        assert image.read_bytes() == b"an image"
        JsonLines(str(tmp_path / "other.jsonl"), [image])

    def test_a_pipe_is_written_into_and_stays_one(self, tmp_path):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        try:
            with JsonLines(str(pipe)) as lines:
                lines.write(Source("a.png", "image"), Frame(np.zeros((4, 5, 3), np.uint8), 0, 0.0), Prediction())
            assert json.loads(os.read(reader, 10_000))["width"] == 5
        finally:
            os.close(reader)
        assert pipe.is_fifo()
