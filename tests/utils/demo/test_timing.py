"""The clock is the test's own: what is measured does not depend on the machine."""

import pytest

from utils.demo import timing
from utils.demo.timing import StepTimer


@pytest.fixture
def wait(monkeypatch):
    """Lets so many seconds go by."""
    now = [100.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(timing.time, "monotonic", lambda: now[0])

    def wait(seconds):
        now[0] += seconds

    return wait


def test_steps_are_measured_and_their_parts_sum_to_all(wait):
    timer = StepTimer()

    def stream():
        for k in range(4):
            wait(0.005)
            yield k

    for _ in timer.each("read", stream()):
        with timer("find"):
            wait(0.02)
        with timer("find"):
            wait(0.01)
        wait(0.015)
        timer.frame_done()
    assert timer.frames == 4 and timer.seconds == pytest.approx(0.2)
    assert timer.totals == pytest.approx({"read": 0.02, "find": 0.12})
    assert timer.summary == "20.0 frames/s; a frame took read 5.0 ms (10 %), find 30.0 ms (60 %), other 15.0 ms (30 %)"
    assert timer.line == "20.0 frames/s  read 5.0 ms  find 30.0 ms"


def test_the_line_is_a_moving_average(wait):
    timer = StepTimer()
    for seconds in (0.1, 0.2):
        with timer("find"):
            wait(seconds)
        timer.frame_done()
    assert timer.line == f"{1 / 0.11:.1f} frames/s  find 110.0 ms"


def test_delays_are_from_a_frames_arrival_to_its_drawing(wait):
    timer = StepTimer()
    for number in range(20):  # one of twenty comes late
        came = timing.time.monotonic()
        with timer("find"):
            wait(0.2 if number == 7 else 0.02)
        timer.drawn(came)
        wait(0.01)
        timer.frame_done()
    # 19 delays of 20 ms and one of 200: the 95th percentile is 0.05 of the way from the 19th to the 20th.
    assert " frames/s drawn 20 ms after they came (95 %: 29 ms at most); a frame took" in timer.summary


def test_no_frames_is_no_division_by_zero():
    assert StepTimer().summary == "no frames" and StepTimer().line == ""


def test_a_step_inside_another_is_counted_once(wait):
    timer = StepTimer()
    with timer("find"):
        wait(0.01)
        with timer("network"):
            wait(0.03)
            with timer("decode"):
                wait(0.02)
    timer.frame_done()
    assert timer.totals == pytest.approx({"decode": 0.02, "network": 0.03, "find": 0.01})
    assert sum(timer.totals.values()) == pytest.approx(timer.seconds)
