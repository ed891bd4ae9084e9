"""Where images come from: files, folders, videos, cameras, streams; each as frames, one after the other."""

from __future__ import annotations

import contextlib
import glob
import math
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from utils.common.cli import InputError
from utils.common.foreign import describe_foreign_file
from utils.common.images import IMAGE_SUFFIXES, LARGEST_IMAGE, decode_image, skipped_images
from utils.common.video import mp4_seconds, open_video, quiet_opencv, video_ends_early

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts",
                  ".mts", ".m2ts", ".ogv", ".vob", ".asf", ".gif", ".mjpg", ".mjpeg")  # fmt: skip
AHEAD = 4  # frames of a file that are decoded before they are asked for
USUAL_RATE = 30.0  # frames a second, where a camera does not say
# A camera or stream that stops is opened again after these seconds, the last again and again.
BACK_OFF = (0.25, 0.5, 1.0, 2.0, 4.0)
SILENCE = 2.0  # seconds of empty frames after which a camera counts as lost
WHOLE = 0.9  # of the seconds that a video promises must come, or it counts as broken off; they are often estimates
LONGEST_GAP = 60.0  # seconds between two frames of a file: more is a spliced recording's other clock
OPENING = 5000  # milliseconds in which a stream must answer


@dataclass(frozen=True)
class Frame:
    """One image of a source: `image` (height, width, 3) uint8 RGB, `number` from 0, `time` in seconds since the
    source began, and `came`, when it came from a camera or stream by `time.monotonic`; None of files, which wait.
    """

    image: np.ndarray
    number: int
    time: float
    came: float | None = None


@dataclass(frozen=True)
class CameraMode:
    """What is asked of a camera: `size` (width, height) in pixels, `rate` in frames a second; None: as it likes."""

    size: tuple[int, int] | None = None
    rate: float | None = None


@dataclass(frozen=True)
class Source:
    """Something that gives images.

    - `name`: what the user called it: a path, an address, a camera's number. It may hold a password; `label` does not.
    - `kind`: "image", "video" (a file: every frame counts) or "live" (a camera or stream: the newest frame counts).
    """

    name: str
    kind: str

    @property
    def path(self) -> Path | None:
        """The file that it is, or None for a camera or stream."""
        return None if self.kind == "live" else Path(self.name)

    @property
    def label(self) -> str:
        """The name as it is shown and written: an address without user and password."""
        return re.sub(r"//[^/@]*@", "//", self.name) if "://" in self.name else self.name

    @property
    def is_camera(self) -> bool:
        """Whether it is a camera of this machine."""
        return self.kind == "live" and "://" not in self.name

    @property
    def stem(self) -> str:
        """A short name for files that are made from it: "clip" of "videos/clip.mp4", "camera0" of camera 0."""
        if self.path is not None:
            return self.path.stem
        if self.name.isdecimal():
            return f"camera{self.name}"
        return re.sub(r"\W+", "_", self.label.split("://")[-1])[:40].strip("_")


class UnreadableError(InputError):
    """A file that cannot be decoded, or not to its end: to be named and skipped."""


# --- finding ----------------------------------------------------------------------------------------------------------


def find_sources(names: Sequence[str]) -> list[Source]:
    """The sources that the user named: camera numbers, addresses, files, folders and globs, in this order.

    A folder or glob gives its images and videos by name. Nothing is opened yet. Raises `InputError` for what is not
    there.
    """
    found = [source for name in names for source in _find(name)]
    return list(dict.fromkeys(found))


def _find(name: str) -> list[Source]:
    if "://" in name:
        return [Source(name, "live")]
    path = Path(name)
    if path.is_dir():
        found = _shown(path.iterdir(), f"{name}: no images or videos in this folder")
    elif path.is_file():
        found = [path]
    elif (name.isdecimal() and len(name) <= 3) or name.startswith("/dev/"):
        return [Source(name, "live")]
    elif glob.has_magic(name):
        matches = map(Path, glob.glob(name, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        found = _shown(matches, f"{name}: no image or video has such a name")
    else:
        raise InputError(f"{name}: no such file or folder (a camera is a number, a stream an address with ://)")
    return [Source(str(file), "video" if file.suffix.lower() in VIDEO_SUFFIXES else "image") for file in found]


def _shown(files: Iterable[Path], nothing: str) -> list[Path]:
    """The images and videos among files, by name; the images that cannot be read here are counted in one line."""
    seen = sorted(file for file in files if not file.name.startswith(".") and file.is_file())
    found = [file for file in seen if file.suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)]
    skipped = skipped_images(seen)
    if not found:
        raise InputError(f"{nothing}; {skipped}" if skipped else nothing)
    if skipped:
        print(skipped, file=sys.stderr, flush=True)
    return found


# --- reading ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def open_source(
    source: Source,
    retry: float = math.inf,
    mode: CameraMode = CameraMode(),
    image: np.ndarray | None = None,
) -> Iterator[Still | Feed]:
    """A source opened: it has `rate` (frames a second, None for an image), `count` (frames, None if unknown), `lost`
    (what to show while a camera or stream is lost, else "") and `frames()`. A camera or stream that is lost is given
    up after `retry` seconds. A camera is asked for a mode, and what it gives is printed. An `image` that is decoded
    already is not read again. Raises `UnreadableError` for a video that cannot be opened, `InputError` for a camera or
    stream.
    """
    if source.kind == "image":
        yield Still(source, image)
        return
    with quiet_opencv():
        feed = Feed(source, retry, mode)
        try:
            yield feed
        finally:
            feed.close()


class Still:
    """An image file, as one frame: turned as its EXIF says, gray as RGB, without alpha, 8 bits."""

    rate, count, lost = None, 1, ""

    def __init__(self, source: Source, image: np.ndarray | None = None):
        self.source, self.image = source, image

    def frames(self, wait: float) -> Iterator[Frame]:
        """The one frame. Raises `UnreadableError` if it cannot be decoded."""
        try:
            image = decode_image(self.source.name) if self.image is None else self.image
        except InputError as problem:
            raise UnreadableError(str(problem)) from problem
        yield Frame(image, 0, 0.0)


class Feed:
    """A video file, camera or stream, read in a thread of its own.

    Of a file every frame is given, of a camera or stream the newest. A camera or stream that stops is opened again,
    after growing pauses, and given up after `retry` seconds. A camera is asked for `mode` each time.
    """

    def __init__(self, source: Source, retry: float, mode: CameraMode):
        self.source, self.live, self._mode = source, source.kind == "live", mode
        self._ready = threading.Condition()
        self._frames: deque[Frame] = deque(maxlen=1 if self.live else None)
        self._stop, self._ended = threading.Event(), False
        self._problem: Exception | None = None
        self.lost, self._retry = "", retry
        self._capture = self._open()
        if self._capture is None:
            raise self._unopened()
        width, height = (int(self._capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > LARGEST_IMAGE:
            self._capture.release()
            raise UnreadableError(
                f"{source.label}: {width} x {height} pixels, more than {LARGEST_IMAGE // 10**6} million; "
                "make it smaller"
            )
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = float(rate) if 0.01 <= rate <= 1000 else USUAL_RATE
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.count = int(count) if count > 0 and not self.live else None
        if source.is_camera:
            print(f"{self._words()}: {_mode_of(self._capture)}", flush=True)
        self._thread = threading.Thread(target=self._run, name=f"read {source.name}", daemon=True)
        self._thread.start()

    def frames(self, wait: float) -> Iterator[Frame | None]:
        """Frames in order; None where for `wait` seconds there was none, so that a window can go on answering.

        Raises `UnreadableError` if a file gives no frame at all, `InputError` if a camera or stream is lost.
        """
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._frames or self._ended, timeout=wait)
                frame = self._frames.popleft() if self._frames else None
                self._ready.notify_all()
                ended = self._ended and frame is None
            if ended:
                break
            yield frame
        if self._problem is not None:
            raise self._problem

    @property
    def waiting(self) -> int:
        """How many frames are decoded and wait to be taken."""
        return len(self._frames)

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        with self._ready:
            self._ready.notify_all()
        self._thread.join(timeout=1.0)  # a camera may hang in its driver; the thread dies with the program

    # --- in the thread ---

    def _run(self) -> None:
        try:
            if self.live:
                self._read_live()
            else:
                self._read_file()
        except Exception as problem:  # whatever it is: the waiting side must learn of it, not hang
            self._problem = problem
        finally:
            if self._capture is not None:
                self._capture.release()
            with self._ready:
                self._ended = True
                self._ready.notify_all()

    def _read_file(self) -> None:
        number, moment, step, before = 0, 0.0, 1 / self.rate, 0.0
        while not self._stop.is_set() and (image := self._read()) is not None:
            clock = self._clock()
            if number:
                # A clock that stands still, goes back or jumps is none: recordings are spliced, some AVIs lack one.
                gap = clock - before if 0 < clock - before <= LONGEST_GAP else 1 / self.rate
                moment, step = moment + gap, max(step, gap)
            before = clock
            with self._ready:
                self._ready.wait_for(lambda: len(self._frames) < AHEAD or self._stop.is_set())
                self._frames.append(Frame(image, number, moment))
                self._ready.notify_all()
            number += 1
        if not self._stop.is_set():
            self._problem = self._broken(number, moment + step)

    def _clock(self) -> float:
        """Seconds at which the frame that was read last is shown."""
        return self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 if self._capture is not None else 0.0

    def _broken(self, number: int, seen: float) -> UnreadableError | None:
        """What is wrong with a file that gave `number` frames, the last until `seen` seconds; None if it is whole.

        How many frames a file should have is an estimate, or counts those that an edit left out.
        """
        name = self.source.name
        if number == 0:
            return UnreadableError(f"{name}: no frame of this video can be decoded")
        if video_ends_early(name):
            return UnreadableError(f"{name}: breaks off after {number} frames; its end is missing: copy it again")
        promised = min(self.count / self.rate if self.count else math.inf, mp4_seconds(name) or math.inf)
        if self._capture is not None:
            # Some formats promise the time of the end, others how long it lasts: they differ where the start is late.
            seen = max(seen, (self._capture.get(cv2.CAP_PROP_PTS) + 1) / self.rate)
        if seen < WHOLE * promised < math.inf:
            return UnreadableError(
                f"{name}: breaks off after {seen:.1f} of {promised:.1f} seconds; its end is damaged: copy it again"
            )
        return None

    def _read_live(self) -> None:
        number, start, last, tries, lost_at = 0, None, time.monotonic(), 0, 0.0
        while not self._stop.is_set():
            image = self._read()
            now = time.monotonic()
            if image is not None:
                start, last, tries = (now if start is None else start), now, 0
                if self.lost:
                    print(f"{self._words()}: is back", flush=True)
                    self.lost = ""
                with self._ready:
                    self._frames.append(Frame(image, number, now - start, came=now))
                    self._ready.notify_all()
                number += 1
            elif self.source.is_camera and now - last < SILENCE:
                self._stop.wait(0.02)  # a camera that wakes up gives a few empty frames
            else:
                lost_at = lost_at if tries else now
                self._reopen(tries, now - lost_at)
                tries, last = tries + 1, time.monotonic()

    def _reopen(self, tries: int, seconds: float) -> None:
        """Open again after a pause that grows with `tries`; it is lost for so many `seconds`."""
        if seconds >= self._retry:
            raise InputError(
                f"{self._words()}: gives no more frames, tried {tries} times in {seconds:.0f} seconds; see that it is "
                "plugged in or sending, then start again (--retry SECONDS tries longer)"
            )
        if not self.lost:
            self.lost = f"{self._words()}: gives no more frames; trying again"
            print(self.lost, flush=True)
        if self._capture is not None:
            self._capture.release()
        pause = min(BACK_OFF[min(tries, len(BACK_OFF) - 1)], self._retry - seconds)
        self._capture = None if self._stop.wait(pause) else self._open()

    def _read(self) -> np.ndarray | None:
        """The next image, RGB, or None."""
        if self._capture is None:
            return None
        ok, image = self._capture.read()
        if not ok or image is None or image.size == 0:
            return None
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)

    def _open(self) -> cv2.VideoCapture | None:
        name = self.source.name
        try:
            if name.isdecimal():
                capture = cv2.VideoCapture(int(name))
            elif self.live and "://" in name:
                limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPENING, cv2.CAP_PROP_READ_TIMEOUT_MSEC, OPENING]
                capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, limits)
            elif self.live:
                capture = cv2.VideoCapture(name)
            else:
                capture = open_video(name)
        except cv2.error:
            return None
        if capture.isOpened():
            if self.source.is_camera:
                _ask(capture, self._mode)
            return capture
        capture.release()
        return None

    def _words(self) -> str:
        return f"camera {self.source.name}" if self.source.name.isdecimal() else self.source.label

    def _unopened(self) -> InputError:
        if not self.live:
            name, early = self.source.name, False
            with contextlib.suppress(OSError):
                early = video_ends_early(name)
            why = "its end is missing: copy it again" if early else "it is corrupt or no video"
            why = describe_foreign_file(name) or f"cannot be opened; {why}"
            return UnreadableError(f"{name}: {why}")
        if self.source.is_camera:
            return InputError(
                f"{self._words()}: cannot be opened; it is not there, or another program uses it "
                "(name another number, a video file or an image)"
            )
        return InputError(f"{self._words()}: cannot be opened; see that it is sending and the address is right")


def _ask(capture: cv2.VideoCapture, mode: CameraMode) -> None:
    """Ask a camera for a mode; it takes the nearest that it has."""
    # Over USB most cameras have room for 30 large frames a second only as JPEG. The format limits the sizes: it is
    # the first, and the rate the last.
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    if mode.size is not None:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, mode.size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, mode.size[1])
    if mode.rate is not None:
        capture.set(cv2.CAP_PROP_FPS, mode.rate)


def _mode_of(capture: cv2.VideoCapture) -> str:
    """What a camera gives, as far as it says: "1280x720 at 30 frames/s, MJPG"."""
    sides = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    words = "x".join(f"{capture.get(side):.0f}" for side in sides)
    if (rate := capture.get(cv2.CAP_PROP_FPS)) > 0:
        words += f" at {rate:g} frames/s"
    code = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
    letters = code.to_bytes(4, "little").decode("ascii", errors="replace").strip()
    return f"{words}, {letters}" if letters.isalnum() and letters.isascii() else words
