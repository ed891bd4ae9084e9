"""Where the time goes: milliseconds a frame, by step."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
MOST_DELAYS = 100_000  # that are kept: an hour of frames
MOMENTUM = 0.9  # of the moving averages that are shown while it runs: about the last ten frames


class StepTimer:
    """Measures the named steps of a loop over frames, for a line while it runs and a summary at its end.

    `with timer("draw"): ...` measures a step, and `for x in timer.each("read", stream)` the waiting for a stream's
    items. `timer.frame_done()` ends a frame. The time of a nested step does not count for the outer one.
    `timer.drawn(came)` says that a frame is drawn that came at a moment of `time.monotonic`.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Forget what was measured so far."""
        self.frames, self.seconds = 0, 0.0
        self.totals: dict[str, float] = {}
        self._current: dict[str, float] = {}  # seconds by step of the frame that is being measured
        self._average: dict[str, float] = {}
        self._frame_average = 0.0
        self._nested = [0.0]  # seconds of the steps inside each step that is being measured
        self._frame_start: float | None = None
        self._delays: deque[float] = deque(maxlen=MOST_DELAYS)

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Measure what is done inside."""
        start = time.perf_counter()
        if self._frame_start is None:
            self._frame_start = start
        self._nested.append(0.0)
        try:
            yield
        finally:
            took = time.perf_counter() - start
            self._current[step] = self._current.get(step, 0.0) + took - self._nested.pop()
            self._nested[-1] += took

    def each(self, step: str, stream: Iterable[Item]) -> Iterator[Item]:
        """The items of a stream; waiting for them is measured as `step`."""
        iterator = iter(stream)
        while True:
            with self(step):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def drawn(self, came: float) -> None:
        """Note how long ago the frame came that is drawn now."""
        self._delays.append(time.monotonic() - came)

    def frame_done(self) -> None:
        """Close a frame: what was measured since the last one is its time."""
        now = time.perf_counter()
        took = now - (now if self._frame_start is None else self._frame_start)
        kept = MOMENTUM if self.frames else 0.0
        self._frame_average = kept * self._frame_average + (1 - kept) * took
        self._average = {
            step: kept * self._average.get(step, seconds) + (1 - kept) * seconds
            for step, seconds in self._current.items()
        }
        for step, seconds in self._current.items():
            self.totals[step] = self.totals.get(step, 0.0) + seconds
        self.seconds += took
        self.frames, self._current, self._frame_start = self.frames + 1, {}, now

    def drop_frame(self) -> None:
        """Forget what was measured since the last frame was closed, and the time until the next step begins."""
        self._current, self._frame_start = {}, None

    @property
    def line(self) -> str:
        """Frames a second and milliseconds by step, averages over the last frames."""
        rate = f"{1 / self._frame_average:.1f} frames/s" if self._frame_average > 0 else ""
        steps = (f"{step} {1000 * seconds:.1f} ms" for step, seconds in self._average.items())
        return "  ".join([rate, *steps]).strip()

    @property
    def summary(self) -> str:
        """Frames a second, how late frames were drawn, and, by step, milliseconds a frame and per cent of the time."""
        if not self.frames:
            return "no frames"
        totals = self.totals | {"other": max(self.seconds - sum(self.totals.values()), 0.0)}
        steps = ", ".join(
            f"{step} {1000 * seconds / self.frames:.1f} ms ({100 * seconds / self.seconds:.0f} %)"
            for step, seconds in totals.items()
        )
        late = ""
        if self._delays:
            median, most = 1000 * np.percentile(self._delays, (50, 95))
            late = f" drawn {median:.0f} ms after they came (95 %: {most:.0f} ms at most)"
        return f"{self.frames / self.seconds:.1f} frames/s{late}; a frame took {steps}"
