"""The demo's window: shows frames at their time, listens to keys, saves and records what it shows."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from data.drawing import write_lines
from utils.common.cli import InputError, printable
from utils.common.images import save_image
from utils.demo.sources import USUAL_RATE, Frame, Source
from utils.demo.view import HELP, KEYS, View
from utils.demo.writers import VideoFile

TITLE = "Face and ear landmarks"
LARGEST = (1280, 800)  # pixels: larger images are shown smaller, so that the window fits a laptop's screen
SMALLEST = 480  # pixels of the longer side: smaller images are shown larger, so that the words can be read
KEPT = Path("runs/demo")  # what the keys save and record
ESCAPE = 27
NOTHING = np.zeros((480, 640, 3), np.uint8)  # in sight before a source's first frame


def require_display() -> None:
    """Raise an `InputError` if no window can be opened here.

    Where OpenCV's window toolkit finds no display it ends the process, so another process tries first.
    """
    mend = "; use --no-window, with --save out.mp4 (or out.png, or a folder) or --json out.jsonl to keep what is found"
    if sys.platform.startswith("linux"):
        shown_on = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if not shown_on:
            raise InputError(f"no display to open a window on{mend}")
        attempt = "import cv2; cv2.namedWindow('x'); cv2.destroyAllWindows()"
        tried = subprocess.run([sys.executable, "-c", attempt], capture_output=True, stdin=subprocess.DEVNULL)
        if tried.returncode:
            raise InputError(f"no window can be opened on display {shown_on}{mend}")


@dataclass
class Shown:
    """What the window shows: a frame as it was drawn, (height, width, 3) uint8 RGB, and how to draw it again."""

    source: Source
    frame: Frame
    rate: float | None
    drawn: np.ndarray
    redraw: Callable[[], np.ndarray]


class Window:
    """A window with the view's keys. `with Window(view) as window: ...` closes it, and a recording, at the end."""

    def __init__(self, view: View):
        self.view = view
        self._recording: VideoFile | None = None
        self._shown: Shown | None = None
        self._start: tuple[Source, float] | None = None  # source and the clock's time at its time 0
        self._lost = ""  # what the last picture says of its source
        self._screen = np.empty(0, np.uint8)  # what is shown, of every frame anew

    def __enter__(self) -> Window:
        """Open."""
        os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")  # Qt's page on fonts; nothing here uses any
        try:
            cv2.namedWindow(TITLE, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)  # no toolbar
        except cv2.error as problem:  # an OpenCV without windows (opencv-python-headless)
            raise InputError("this OpenCV opens no windows; pip install opencv-python, or use --no-window") from problem
        return self

    def __exit__(self, *problem: object) -> None:
        """Close."""
        self._stop_recording()
        with contextlib.suppress(cv2.error):  # the user has closed it already
            cv2.destroyAllWindows()

    def idle(self, source: Source, lost: str = "") -> bool:
        """Answer keys while a source has no new frame, about its last one; False if the user quits.

        `lost` is written over the last one: what is wrong with the source, "" for nothing.
        """
        action = self._action(1)
        if action == "quit":
            return False
        shown = self._shown if self._shown is not None and self._shown.source == source else None
        if action and shown is None:  # what comes will look so
            self.view.press(action)
        elif action and shown is not None:
            self._obey(action, shown, stays=True)
        if (action and shown is not None) or (lost and lost != self._lost):
            self._show(NOTHING if shown is None else shown.drawn, lost, paused=False)
        self._lost = lost
        return True

    def present(
        self,
        source: Source,
        frame: Frame,
        rate: float | None,
        drawn: np.ndarray,
        redraw: Callable[[], np.ndarray],
        status: str,
    ) -> bool:
        """Show a frame as it was drawn, (height, width, 3) uint8 RGB, until its time is over, or an image file until a
        key; False if the user quits. Where a key changes the view of what stays in sight, `redraw` draws it again.
        """
        if self._recording is not None and self._recording.source.name != source.name:
            self._stop_recording()
        if self._recording is not None:
            self._recording.write(drawn, frame.time)
        self._lost = ""
        shown = self._shown = Shown(source, frame, rate, drawn, redraw)
        paused = still = source.kind == "image"
        while True:
            self._show(shown.drawn, status, paused and not still)
            action = self._action(30 if paused else self._wait(source, frame))
            if action == "quit":
                return False
            if action == "pause":
                if still:
                    return True
                paused, self._start = not paused, None
            else:
                self._obey(action, shown, stays=paused)
            if not paused:
                return True

    def _obey(self, action: str, shown: Shown, stays: bool) -> None:
        """Do what a key means for the frame in sight; draw it again if it changes the view, and `stays`."""
        if action == "save":
            path = KEPT / f"{shown.source.stem}-{shown.frame.number:06d}.png"
            save_image(path, shown.drawn)
            print(f"saved {printable(path)}", flush=True)
        elif action == "record":
            self._record(shown.source, shown.rate)
        elif self.view.press(action) and stays:
            shown.drawn = shown.redraw()

    def _wait(self, source: Source, frame: Frame) -> int:
        """Milliseconds until a video's next frame is due; 1 where it is late, or of a camera."""
        now = time.monotonic()
        if source.kind == "live":
            return 1
        if self._start is None or self._start[0] != source:
            self._start = (source, now - frame.time)
        return max(1, round(1000 * (self._start[1] + frame.time - now)))

    def _show(self, drawn: np.ndarray, status: str, paused: bool) -> None:
        height, width = drawn.shape[:2]
        factor = min(LARGEST[0] / width, LARGEST[1] / height, max(1.0, SMALLEST / max(width, height)))
        size = max(1, round(width * factor)), max(1, round(height * factor))
        if self._screen.shape != (*size[::-1], 3):
            self._screen = np.empty((*size[::-1], 3), np.uint8)
        interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        shown = cv2.resize(drawn, size, dst=self._screen, interpolation=interpolation)
        if self.view.help:
            write_lines(shown, HELP)
        state = ["PAUSED"] * paused + ["RECORDING"] * (self._recording is not None) + ["h: help"]
        write_lines(shown, [part for part in (status, "  ".join(state)) if part], lower=True)
        cv2.imshow(TITLE, cv2.cvtColor(shown, cv2.COLOR_RGB2BGR, dst=shown))

    def _action(self, wait: int) -> str:
        """What the key that is pressed within `wait` milliseconds means; "" for none."""
        key = cv2.waitKeyEx(wait)
        if key == -1:
            try:
                closed = cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1
            except cv2.error:
                closed = True
            return "quit" if closed else ""
        if key & 0xFF == ESCAPE:
            return "quit"
        if key & 0xFF00:  # an arrow or a function key, whose lower half looks like a letter
            return ""
        return KEYS.get(chr(key & 0xFF).lower(), ("", ""))[0]

    def _record(self, source: Source, rate: float | None) -> None:
        if self._recording is not None:
            self._stop_recording()
            return
        if source.kind == "image":
            print("an image is not recorded; s saves it", flush=True)
            return
        path = KEPT / f"{source.stem}-{time.strftime('%Y%m%d-%H%M%S')}.mp4"
        # As of a camera: by the clock, and without the sound, which belongs to the whole.
        self._recording = VideoFile(path, replace(source, kind="live"), rate or USUAL_RATE)

    def _stop_recording(self) -> None:
        if self._recording is not None and self._recording.frames:
            self._recording.close()
            print(f"recorded {printable(self._recording.path)}", flush=True)
        self._recording = None
