"""Where the time goes: milliseconds a frame, by step."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
MEMORY = 0.9  # share of the past in what is shown while running: the last ten frames or so


class StepTimer:
    """Measures named steps of a loop, shown while it runs and summed up at its end.

    `with steps("draw"): ...` measures a step, `for x in steps.each("read", stream)` what a stream takes, and
    `steps.frame_done()` ends a frame. The time of a step inside another is not the other's.
    """

    def __init__(self):
        self.frames, self.seconds = 0, 0.0
        self.totals: dict[str, float] = {}
        self._now: dict[str, float] = {}
        self._recent: dict[str, float] = {}
        self._inside = [0.0]  # seconds of the steps inside each step that is being measured
        self._frame = 0.0
        self._last: float | None = None  # end of the frame before; of the first, its begin

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Measure what is done inside."""
        start = time.perf_counter()
        if self._last is None:
            self._last = start
        self._inside.append(0.0)
        try:
            yield
        finally:
            took = time.perf_counter() - start
            self._now[step] = self._now.get(step, 0.0) + took - self._inside.pop()
            self._inside[-1] += took

    def each(self, step: str, stream: Iterable[Item]) -> Iterator[Item]:
        """The items of a stream; waiting for them is measured as `step`."""
        iterator = iter(stream)
        while True:
            with self(step):
                item = next(iterator, self)
            if item is self:
                return
            yield item

    def frame_done(self) -> None:
        """Close a frame: what was measured since the last one is its time."""
        now = time.perf_counter()
        if self._last is None:
            self._last = now
        share = MEMORY if self.frames else 0.0
        self._frame = share * self._frame + (1 - share) * (now - self._last)
        self._recent = {
            step: share * self._recent.get(step, seconds) + (1 - share) * seconds for step, seconds in self._now.items()
        }
        for step, seconds in self._now.items():
            self.totals[step] = self.totals.get(step, 0.0) + seconds
        self.seconds += now - self._last
        self.frames, self._now, self._last = self.frames + 1, {}, now

    @property
    def line(self) -> str:
        """Frames a second and milliseconds by step of the last frames."""
        rate = f"{1 / self._frame:.1f} frames/s" if self._frame > 0 else ""
        return "  ".join([rate, *(f"{step} {1000 * seconds:.1f} ms" for step, seconds in self._recent.items())]).strip()

    @property
    def summary(self) -> str:
        """Frames a second and, by step, milliseconds a frame and share of the time, of the whole loop."""
        if not self.frames:
            return "no frames"
        parts = self.totals | {"other": max(self.seconds - sum(self.totals.values()), 0.0)}
        shares = ", ".join(
            f"{step} {1000 * seconds / self.frames:.1f} ms ({100 * seconds / self.seconds:.0f} %)"
            for step, seconds in parts.items()
        )
        return f"{self.frames / self.seconds:.1f} frames/s; a frame took {shares}"
