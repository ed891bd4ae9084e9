import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import ROOT, input_error
from utils.common import video_writer
from utils.common.files import replacing
from utils.common.video import mp4_boxes
from utils.common.video_writer import Mp4Writer

needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg") and not os.environ.get("CI"), reason="no ffmpeg here")
needs_scripts = pytest.mark.skipif(sys.platform == "win32", reason="Windows runs no script by its first line")
RED, GRAY = np.full((48, 64, 3), (0, 0, 200), np.uint8), np.full((48, 64, 3), 120, np.uint8)


@pytest.fixture
def fake_ffmpeg(tmp_path, monkeypatch):
    """Put an ffmpeg on the PATH, alone, that is this shell script; $* are its flags."""

    def put(script):
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "ffmpeg").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "ffmpeg").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return put


def write(path, frames=5, image=GRAY, rate=25.0):
    with replacing(path) as part:
        writer = Mp4Writer(part, rate, image.shape[1::-1], path)
        for _ in range(frames):
            writer.write(image)
        writer.close()


def codec_of(path):
    """Its four letters and the frames that come out."""
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    return int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode(), count


@needs_ffmpeg
def test_with_ffmpeg_it_is_what_browsers_play(tmp_path, capsys):
    write(tmp_path / "a.mp4", image=RED)
    assert codec_of(tmp_path / "a.mp4") == ("avc1", 5) or codec_of(tmp_path / "a.mp4") == ("h264", 5)
    with open(tmp_path / "a.mp4", "rb") as stream:
        kinds = [kind for kind, _ in mp4_boxes(stream, 0, (tmp_path / "a.mp4").stat().st_size)]
    assert kinds.index(b"moov") < kinds.index(b"mdat")  # it plays before it is there as a whole
    assert capsys.readouterr().out == ""
    raw = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-frames:v", "1", "-"]
    shown = subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "a.mp4", *raw], capture_output=True).stdout
    assert np.abs(np.frombuffer(shown, np.uint8).reshape(RED.shape).astype(int) - RED).max() < 8
    assert "yuv420p" in subprocess.run(["ffmpeg", "-i", tmp_path / "a.mp4"], capture_output=True, text=True).stderr


@needs_ffmpeg
@pytest.mark.parametrize("rate", [30000 / 1001, 239.683])
def test_the_rate_is_exact_so_that_sound_stays_in_step(tmp_path, rate):
    write(tmp_path / "a.mp4", 500, np.full((16, 16, 3), 99, np.uint8), rate)
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 500
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(rate, rel=1e-6)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups of this kind")
@needs_ffmpeg
def test_ctrl_c_reaches_us_alone_and_the_frame_on_its_way_is_written_whole(tmp_path):
    """As from a terminal: to every process of the group, while a frame larger than a pipe is on its way."""
    code = """
import os, signal, sys, time, numpy
from pathlib import Path
from utils.common.video_writer import Mp4Writer
writer = Mp4Writer(Path(sys.argv[1]), 25, (1280, 720), Path(sys.argv[1]))
image = numpy.zeros((720, 1280, 3), numpy.uint8)
for _ in range(3):
    writer.write(image)
sink = writer._sink._process.stdin
class Interrupted:
    def write(self, rest):
        written = sink.write(rest[:1000])
        if len(rest) == 1280 * 720 * 3 // 2:
            os.killpg(0, signal.SIGINT)
            time.sleep(0.3)
        return written
    def close(self):
        sink.close()
writer._wait()
writer._sink._process.stdin = Interrupted()
try:
    writer.write(image)
    writer.write(image)
except KeyboardInterrupt:
    writer.close()
    print("closed")
"""
    path = tmp_path / "a.mp4"
    command = [sys.executable, "-c", code, path]
    restore = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, process_group=0, timeout=120, **restore)
    assert (done.stdout, done.stderr) == ("closed\n", "")
    assert codec_of(path)[1] == 4


@needs_ffmpeg
def test_an_image_may_be_changed_once_it_is_handed_over(tmp_path):
    """It is encoded while the caller goes on, and draws the next one over it."""
    path, image = tmp_path / "a.mp4", np.zeros((720, 1280, 3), np.uint8)
    writer = Mp4Writer(path, 25, (1280, 720), path)
    for level in (40, 90, 140, 190):
        image[:] = level
        writer.write(image)
    image[:] = 0
    writer.close()
    video = cv2.VideoCapture(str(path))
    levels = [video.read()[1].mean() for _ in range(4)]
    video.release()
    assert np.allclose(levels, (40, 90, 140, 190), atol=4)


@needs_scripts
@pytest.mark.parametrize("script", ["echo 'Unknown encoder libx264' >&2; exit 1", "exec /bin/sleep 60", None])
def test_without_an_encoder_it_is_mp4v_and_one_line_names_the_mend(tmp_path, monkeypatch, capsys, fake_ffmpeg, script):
    monkeypatch.setattr(video_writer, "PROBE", 0.3)
    monkeypatch.setattr(video_writer, "opencv_has_h264", lambda: False)
    video_writer.best_codec.cache_clear()
    if script is None:
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        fake_ffmpeg(script)
    for name in ("a.mp4", "b.mp4"):
        write(tmp_path / name)
        letters, frames = codec_of(tmp_path / name)
        assert letters in ("mp4v", "FMP4") and frames == 5
    (said,) = capsys.readouterr().out.splitlines()
    assert "browsers do not play" in said and "install" in said and ("no libx264" in said) == (script is not None)


def test_opencv_is_tried_quietly_before_it_is_believed():
    code = "from utils.common.video_writer import opencv_has_h264\nassert opencv_has_h264() in (False, True)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_scripts
@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'No space left on device' >&2; exit 1", "No space left on device"),  # before it reads
        ("head -c 30000 > /dev/null; kill -9 $$", "ended with status -9"),  # while it reads
        ("cat > /dev/null; exit 0", "make room"),  # it says that all is well, and has written nothing
        ("cat > /dev/null; echo 'moov: No space left' >&2; exit 1", "moov: No space left"),  # at the end
    ],
)
def test_an_ffmpeg_that_dies_is_one_line_and_what_was_there_stays(tmp_path, fake_ffmpeg, script, why):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"before")
    fake_ffmpeg(f'case "$*" in *null*) exit 0;; esac\nPATH=/usr/bin:/bin\n{script}')
    with input_error("a.mp4", "cannot be written whole", why):
        write(path, 50)
    assert path.read_bytes() == b"before" and sorted(each.name for each in tmp_path.iterdir()) == ["a.mp4", "bin"]


@needs_scripts
def test_an_ffmpeg_that_died_is_named_as_often_as_it_is_asked(tmp_path, fake_ffmpeg):
    fake_ffmpeg('case "$*" in *null*) exit 0;; esac\nexit 3')
    writer = Mp4Writer(tmp_path / "part.mp4", 25, (64, 48), Path("a.mp4"))
    with input_error("a.mp4", "status 3"):
        for _ in range(50):
            writer.write(GRAY)
    with input_error("a.mp4", "status 3"):  # as its user does at the end, whatever happened
        writer.close()
