"""Writing an MP4: as H.264, which browsers play, where an encoder is here, else as MPEG-4 Part 2."""

from __future__ import annotations

import contextlib
import functools
import math
import shutil
import subprocess
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from utils.common.cli import InputError, printable
from utils.common.video import open_video, quiet_opencv

PROBE = 20.0  # seconds after which an ffmpeg that does not answer counts as none
# The quickest preset: a network works beside it. CRF 23 then costs about the bits of mp4v, at its quality.
_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "23", "-pix_fmt", "yuv420p")


class Mp4Writer:
    """An MP4 of one rate (frames a second) and one size (width, height; even numbers), written to `part`.

    It is H.264 by the ffmpeg on the PATH, else by OpenCV, else MPEG-4 Part 2. A thread of its own encodes. Errors say
    `name`. Raises `InputError` if such a video cannot be written here.
    """

    def __init__(self, part: Path, rate: float, size: tuple[int, int], name: Path):
        self._part, self._name, self._frames = part, name, 0
        ffmpeg = shutil.which("ffmpeg")
        codec = best_codec(ffmpeg)
        self._sink: _Sink
        if codec == "libx264" and ffmpeg is not None:
            self._sink = _Ffmpeg(ffmpeg, part, rate, size)
        else:
            self._sink = _OpenCV(codec, part, rate, size, name)
        self._encoder = ThreadPoolExecutor(1)
        self._frame = np.empty((size[1], size[0], 3), np.uint8)  # that is being encoded
        self._encoding: Future[None] | None = None

    def write(self, image: np.ndarray) -> None:
        """Append an image (height, width, 3) uint8 BGR: a copy is encoded while the caller goes on.

        Raises `InputError` if the encoder has died of an image before.
        """
        self._wait()
        np.copyto(self._frame, image)
        self._encoding = self._encoder.submit(self._sink.write, self._frame)
        self._frames += 1

    def _wait(self) -> None:
        """Until the last image is encoded. Raises `InputError` if it could not be."""
        try:
            if self._encoding is not None:
                self._encoding.result()
        except OSError as problem:
            raise self._not_whole(self._sink.release()) from problem

    def close(self) -> None:
        """Finish it. Raises `InputError` unless the file holds every frame that was written."""
        self._encoder.shutdown()
        try:
            self._wait()
        finally:
            problem = self._sink.release()
        if problem or _frames_in(self._part) < self._frames:
            raise self._not_whole(problem)

    def _not_whole(self, problem: str) -> InputError:
        why = f" ({problem})" if problem else ""
        return InputError(f"{self._name}: cannot be written whole{why}; make room on the disk or name another place")


# --- who encodes ------------------------------------------------------------------------------------------------------


class _Sink(Protocol):
    """Takes frames (height, width, 3) uint8 BGR."""

    def write(self, image: np.ndarray) -> None:
        """Append one. Raises `OSError` if it is known by then that no more can be."""

    def release(self) -> str:
        """Finish the file; what went wrong as far as it is known, else ""."""


class _OpenCV:
    """OpenCV's own FFmpeg. It says neither when a write fails nor when the end does."""

    def __init__(self, codec: str, part: Path, rate: float, size: tuple[int, int], name: Path):
        if codec == "mp4v":  # it counts time in at most 65,535 parts of a second: 119.9873 has too many digits
            rate = round(rate, max(0, min(3, int(math.log10(65535 / rate)))))
        fourcc = cv2.VideoWriter.fourcc(*codec)
        self._writer = cv2.VideoWriter(str(part.absolute()), cv2.CAP_FFMPEG, fourcc, rate, size)
        if not self._writer.isOpened():
            raise InputError(f"{name}: a video of {size[0]} x {size[1]} pixels cannot be written here")

    def write(self, image: np.ndarray) -> None:
        """Append one."""
        self._writer.write(image)

    def release(self) -> str:
        """Finish."""
        self._writer.release()
        return ""


class _Ffmpeg:
    """A process of ffmpeg's that is piped raw frames, and ends by itself when the pipe does, however we end."""

    def __init__(self, ffmpeg: str, part: Path, rate: float, size: tuple[int, int]):
        target = ["-movflags", "+faststart", "-f", "mp4", f"file:{part.absolute()}"]
        self._problem = ""
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - release() closes it; an unread pipe would fill up
        # A Ctrl-C in the terminal goes to the whole process group: ours must reach us alone, for we end the video.
        # A session of its own would do that too, but then Linux counts it as another program, with its own share.
        self._process = subprocess.Popen(
            [ffmpeg, "-v", "error", "-y", *_raw(size, rate), *_H264, *_MATRIX, *target],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._words,
            bufsize=0,
            process_group=0,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
        )

    def write(self, image: np.ndarray) -> None:
        """Append one."""
        assert self._process.stdin is not None
        planes = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)  # quicker here than in ffmpeg, and half as much to pipe
        rest = memoryview(planes.data).cast("B")
        while rest:
            rest = rest[self._process.stdin.write(rest) :]

    def release(self) -> str:
        """Finish; ffmpeg's last words if it failed."""
        if self._words.closed:
            return self._problem
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has gone; its status says so
            self._process.stdin.close()
        status = self._process.wait()
        with self._words as words:
            words.seek(0)
            said = words.read().decode(errors="replace").strip().splitlines()
        if status:
            self._problem = f"ffmpeg: {said[-1]}" if said else f"ffmpeg ended with status {status}"
        return self._problem


_MATRIX = ("-colorspace", "smpte170m")  # what OpenCV converts by; players would guess another of large videos


def _raw(size: tuple[int, int], rate: float) -> tuple[str, ...]:
    """The flags of ffmpeg's that announce raw frames on its standard input."""
    # Not -framerate: of that ffmpeg makes the nearest usual rate, and sound would drift by seconds an hour.
    exact = Fraction(rate).limit_denominator(10_000)
    video = ("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{size[0]}x{size[1]}")
    return (*video, "-r", f"{exact.numerator}/{exact.denominator}", "-i", "pipe:0")


@functools.cache  # each has to be tried once, and said once
def best_codec(ffmpeg: str | None) -> str:
    """ "libx264" if this ffmpeg has it, "avc1" if OpenCV has an encoder of H.264, else "mp4v", which is printed."""
    if ffmpeg is not None and _has_libx264(ffmpeg):
        return "libx264"
    if opencv_has_h264():
        return "avc1"
    mend = "install ffmpeg" if ffmpeg is None else f"{printable(ffmpeg)} has no libx264: install an ffmpeg that has"
    print(f"videos are written as MPEG-4 Part 2, which browsers do not play; for H.264 {mend}", flush=True)
    return "mp4v"


def _has_libx264(ffmpeg: str) -> bool:
    """Whether it encodes one gray frame: a list of encoders names some that do not work."""
    size = (64, 64)
    try:
        done = subprocess.run(
            [ffmpeg, "-v", "error", *_raw(size, 25), *_H264, "-f", "null", "-"],
            input=bytes([128]) * (size[0] * size[1] * 3 // 2),
            capture_output=True,
            timeout=PROBE,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def opencv_has_h264() -> bool:
    """Whether OpenCV writes a video of H.264 that it can read: some builds only claim to."""
    with tempfile.TemporaryDirectory() as folder, quiet_opencv():
        path = Path(folder) / "probe.mp4"
        try:
            sink = _OpenCV("avc1", path, 25, (64, 64), path)
        except InputError:
            return False
        for _ in range(3):
            sink.write(np.full((64, 64, 3), 128, np.uint8))
        sink.release()
        return _frames_in(path) == 3


def _frames_in(path: Path) -> int:
    """How many frames a video holds by its own words; 0 if it cannot be opened."""
    check = open_video(path)
    held = int(check.get(cv2.CAP_PROP_FRAME_COUNT)) if check.isOpened() else 0
    check.release()
    return held
