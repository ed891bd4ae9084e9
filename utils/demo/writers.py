"""Where results go: images, videos, lines of JSON; each written beside its name and renamed when it is whole."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from utils.common.cli import InputError, printable
from utils.common.files import check_writable, replacing
from utils.common.images import IMAGE_SUFFIXES, save_image
from utils.common.video_writer import Mp4Writer
from utils.demo.prediction import Landmarks, Prediction
from utils.demo.sources import USUAL_RATE, Frame, Source

# A video stops while there is still room to close it: its index is written last, some 20 bytes a frame.
SPARE = 4 << 20
# What else ends a program: `kill`, a closed terminal, on Windows Ctrl-Break and a closed console.
ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]


# --- which file for which source --------------------------------------------------------------------------------------


def plan_saves(save: str | None, sources: Sequence[Source]) -> dict[Source, Path]:
    """The file that each source is saved to: `save` is a .mp4 (or an animated .webp) for one video, an image's name
    for one image, or a folder, which gets NAME.png and NAME.mp4. Nothing is written yet.

    Raises `InputError` for a file that cannot hold what is to be saved, or that is itself a source.
    """
    if save is None:
        return {}
    path = Path(save)
    if path.is_dir() or not path.suffix or save.endswith(("/", "\\")):
        targets = _in_folder(path, sources)
    elif len(sources) > 1:
        raise InputError(f"--save {save}: holds one image or video, and there are {len(sources)}; name a folder")
    elif path.suffix.lower() == ".mp4":
        if sources[0].kind == "image":
            raise InputError(f"--save {save}: {sources[0].name} is an image; name a .png or a folder")
        targets = {sources[0]: path}
    elif path.suffix.lower() in IMAGE_SUFFIXES and cv2.haveImageWriter(f"x{path.suffix.lower()}"):
        if sources[0].kind != "image" and path.suffix.lower() != ".webp":
            raise InputError(f"--save {save}: {sources[0].name} is a video; name a .mp4 or a folder")
        targets = {sources[0]: path}
    else:
        raise InputError(f"--save {save}: name a .mp4, a .png or a folder")
    given = [source.path for source in sources if source.path is not None]
    for target in targets.values():
        if _is_one_of(target, given):
            raise InputError(f"--save {save}: would overwrite {target}, which is a source; name another folder")
        check_writable("--save", target.parent)
    return targets


def _is_one_of(path: Path, others: Iterable[Path]) -> bool:
    """Whether a path leads to one of the other files: to Windows and macOS A.mp4 and a.mp4 are one."""
    there = path.exists()
    return any(
        path.resolve() == other.resolve() or (there and other.exists() and path.samefile(other)) for other in others
    )


def _in_folder(folder: Path, sources: Sequence[Source]) -> dict[Source, Path]:
    targets, taken = {}, set()
    for source in sources:
        suffix = ".png" if source.kind == "image" else ".mp4"
        name, again = f"{source.stem}{suffix}", 1
        while _folded(name) in taken:  # a.jpg and a.png, or a.jpg of two folders
            again += 1
            name = f"{source.stem}-{again}{suffix}"
        taken.add(_folded(name))
        targets[source] = folder / name
    return targets


def _folded(name: str) -> str:
    """The same for names that Windows or macOS take for one: in capitals, or with accents as letters of their own."""
    return unicodedata.normalize("NFC", name).casefold()


@contextlib.contextmanager
def open_target(
    path: Path | None, source: Source, rate: float | None
) -> Iterator[ImageFile | AnimationFile | VideoFile | None]:
    """The file that a source is saved to, by `plan_saves`; None for None. `rate` in frames a second.

    Whatever ends the block, Ctrl-C too, the file is finished with what it has by then.
    """
    if path is None:
        yield None
        return
    target: ImageFile | AnimationFile | VideoFile
    if source.kind == "image":
        target = ImageFile(path)
    elif path.suffix.lower() == ".webp":
        target = AnimationFile(path, rate or USUAL_RATE)
    else:
        target = VideoFile(path, source, rate or USUAL_RATE)
    try:
        yield target
    finally:
        with _undisturbed():
            target.close()


def end_as_on_ctrl_c() -> None:
    """Let a program that is told to end (by `kill`, a closed terminal, a service manager) finish its files first."""
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:  # of `nohup` it is ignored, and stays so
            signal.signal(number, signal.default_int_handler)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold off Ctrl-C and its like: an impatient second one must not spoil what the first one left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, *ENDING)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- files ------------------------------------------------------------------------------------------------------------


class ImageFile:
    """One image."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, image: np.ndarray, time: float) -> None:
        """Write an image (height, width, 3) uint8 RGB."""
        save_image(self.path, image)

    def close(self) -> None:
        """Nothing is left to do."""


class AnimationFile:
    """An animated WebP, which web pages show as an image: its longer side at most `LONGEST` pixels, its first
    `MOST_FRAMES` frames, since OpenCV wants all of them at once. Each is shown until the time of the next.
    """

    LONGEST, MOST_FRAMES = 640, 600

    def __init__(self, path: Path, rate: float):
        self.path, self.rate = path, rate
        self._frames: list[np.ndarray] = []
        self._times: list[float] = []

    def write(self, image: np.ndarray, time: float) -> None:
        """Append an image (height, width, 3) uint8 RGB of the time `time` (seconds)."""
        if len(self._frames) == self.MOST_FRAMES:
            if len(self._times) == self.MOST_FRAMES:
                print(f"{printable(self.path)}: is full, it holds the first {self.MOST_FRAMES} frames")
                self._times.append(time)
            return
        if not self._frames:
            factor = min(1.0, self.LONGEST / max(image.shape[:2]))
            self._size = tuple(max(1, round(side * factor)) for side in image.shape[1::-1])
        small = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        self._frames.append(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        self._times.append(time)

    def close(self) -> None:
        """Write it. Raises `InputError` if that fails."""
        if not self._frames:
            return
        times = self._times if len(self._times) > len(self._frames) else [*self._times, self._times[-1] + 1 / self.rate]
        animation = cv2.Animation()
        animation.frames = self._frames
        animation.durations = [max(1, round(1000 * length)) for length in np.diff(times)]
        with replacing(self.path) as part:
            if not cv2.imwriteanimation(str(part), animation, [cv2.IMWRITE_WEBP_QUALITY, 80]):
                raise InputError(f"{self.path}: cannot be written; make room on the disk or name another place")


class VideoFile:
    """An MP4 at the source's rate, in the size of the first frame (odd sizes grow by a pixel: MP4 wants even ones).

    Frames are repeated or left out where they do not come at that rate (cameras, many phones' videos), so that each is
    in sight at its time. The sound of a file is copied if there is ffmpeg.
    """

    def __init__(self, path: Path, source: Source, rate: float):
        self.path, self.source, self.rate = path, source, rate
        self.frames = 0
        self._start = 0.0
        self._files = contextlib.ExitStack()

    def write(self, image: np.ndarray, time: float) -> None:
        """Append an image (height, width, 3) uint8 RGB of the time `time` (seconds)."""
        if not self.frames:
            self._begin(image, time)
        place = round((time - self._start) * self.rate)
        while self.frames < place:  # the picture before is in sight until this one's time
            self._append()
        if self.frames > place:
            return
        if image.shape[:2] != self._shape:  # a camera that came back in another size
            image = cv2.resize(image, self._shape[::-1], interpolation=cv2.INTER_AREA)
        height, width = self._shape
        self._packed = cv2.cvtColor(image, cv2.COLOR_RGB2BGR, dst=self._buffer)
        if height % 2 or width % 2:
            self._packed = cv2.copyMakeBorder(self._packed, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        self._append()

    def _append(self) -> None:
        if shutil.disk_usage(self._part.parent).free < SPARE:
            held = f"it holds the first {self.frames} frames" if self.frames else "nothing was written"
            raise InputError(f"{self.path}: the disk is full; {held}")
        self._writer.write(self._packed)
        self.frames += 1

    def close(self) -> None:
        """Close the video, add the sound and rename. Raises `InputError` if it is not whole."""
        if not self.frames:
            return
        frames, self.frames = self.frames, 0
        with self._files:  # renames
            self._writer.close()
            if self.source.path is not None:
                add_sound(self._part, self.source.path, frames / self.rate)

    def _begin(self, image: np.ndarray, time: float) -> None:
        self._shape, self._start = image.shape[:2], time
        self._buffer = np.empty_like(image)
        self._part = self._files.enter_context(replacing(self.path))
        size = tuple(side + side % 2 for side in self._shape[::-1])
        self._writer = Mp4Writer(self._part, self.rate, size, self.path)


def add_sound(video: Path, source: Path, seconds: float) -> None:
    """Give a video the sound of `source`, up to `seconds`, if there is ffmpeg and `source` has any."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        return
    both = video.with_name(f"{video.stem}-sound{video.suffix}")
    command = [
        ffmpeg,
        "-v",
        "error",
        "-y",
        *("-protocol_whitelist", "file", "-i", f"file:{video.absolute()}"),  # whatever their names begin with
        *("-protocol_whitelist", "file", "-i", f"file:{source.absolute()}"),
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-c:v",
        "copy",
        "-movflags",
        "+faststart",
    ]
    try:
        for codec in ("copy", "aac"):  # not every sound fits an MP4 as it is
            done = subprocess.run(
                [*command, "-c:a", codec, "-t", f"{seconds:.3f}", f"file:{both.absolute()}"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
            )
            if done.returncode == 0:
                both.replace(video)
                return
            if b"matches no streams" in done.stderr:  # a silent film
                return
        print(f"{printable(source)}: its sound could not be copied")
    finally:
        both.unlink(missing_ok=True)


# --- JSON lines -------------------------------------------------------------------------------------------------------


class JsonLines:
    """A file of JSON, one line a frame; readme/demo.md says what is in a line. `path` None writes nothing."""

    def __init__(self, path: str | None, taken: Iterable[str | os.PathLike] = ()):
        """`taken`: files that must not be overwritten: the sources, the weights, what images are saved to."""
        self.path, self._lines = path, 0
        self._files = contextlib.ExitStack()
        if path is not None:
            if Path(path).is_dir():
                raise InputError(f"--json {path}: is a folder; name a file such as out.jsonl")
            if _is_one_of(Path(path), map(Path, taken)):
                raise InputError(f"--json {path}: would overwrite a file that is read or saved to; name another")
            check_writable("--json", Path(path).parent)

    def __enter__(self) -> JsonLines:
        """Begin beside the name."""
        if self.path is not None:
            special = Path(self.path).exists() and not Path(self.path).is_file()  # a pipe, /dev/stdout
            part = self.path if special else self._files.enter_context(replacing(self.path))
            self._stream = self._files.enter_context(open(part, "wb", buffering=0))
        return self

    def write(self, source: Source, frame: Frame, prediction: Prediction) -> None:
        """Append the line of a frame. Raises `InputError` if the disk is full; the file then ends before that line."""
        if self.path is None:
            return
        line = json.dumps(as_record(source, frame, prediction), allow_nan=False, separators=(",", ":")) + "\n"
        packed = line.encode()
        before = self._stream.tell() if self._stream.seekable() else None
        try:
            written = self._stream.write(packed)
        except OSError as problem:
            written, reason = 0, problem.strerror
        else:
            reason = "the disk is full"
        if written < len(packed):
            with contextlib.suppress(OSError):
                if before is not None:
                    self._stream.truncate(before)
            held = "it holds the frames up to then" if self._lines else "it is as it was"
            raise InputError(f"{self.path}: cannot be written on: {reason}; {held}")
        self._lines += 1

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Rename, whatever ended the run: each line is whole. Where a run ended before its first, nothing changes."""
        with _undisturbed():
            if self._lines:
                self._files.close()
            else:
                self._files.__exit__(kind, problem, trace)


def as_record(source: Source, frame: Frame, prediction: Prediction) -> dict:
    """A frame's line as plain JSON values; points in pixels of the original image, rounded to hundredths."""
    height, width = frame.image.shape[:2]
    pose = prediction.pose((width, height))
    others = {task: _landmarks_record(landmarks) for task, landmarks in prediction.others.items()}
    return {
        "source": source.label,
        "frame": frame.number,
        "time": round(frame.time, 4),
        "width": width,
        "height": height,
        "face": None if prediction.face is None else _landmarks_record(prediction.face),
        "pose": None if pose is None else {name: _plain(value, 1) for name, value in pose._asdict().items()},
        "ears": {side: _landmarks_record(ear) for side, ear in prediction.ears.items()},
        **({"others": others} if others else {}),
    }


def _landmarks_record(landmarks: Landmarks) -> dict:
    low, high = np.nanmin(landmarks.points, axis=0), np.nanmax(landmarks.points, axis=0)
    return {
        "scheme": landmarks.scheme.task,
        "score": _plain(landmarks.score, 3),
        "box": [_plain(value) for value in (*low, *high)],
        "crop": [[_plain(value) for value in corner] for corner in landmarks.corners],
        "landmarks": list(landmarks.indices),
        "points": [[_plain(value) for value in point] for point in landmarks.points],
        "confidence": [_plain(value, 3) for value in landmarks.confidence],
    }


def _plain(value: float, digits: int = 2) -> float | None:
    """A number as JSON holds it: rounded, None where it is not finite."""
    return round(float(value), digits) if math.isfinite(value) else None
