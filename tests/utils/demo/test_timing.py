import time

import pytest

from utils.demo.timing import StepTimer


def test_steps_are_measured_and_their_shares_sum_to_all():
    steps = StepTimer()
    for _ in steps.each("read", range(4)):
        with steps("find"):
            time.sleep(0.02)
        with steps("find"):
            time.sleep(0.01)
        time.sleep(0.01)
        steps.frame_done()
    assert steps.frames == 4
    assert 0.12 <= steps.totals["find"] < 0.2
    assert steps.totals["read"] < 0.01
    assert 0.16 <= steps.seconds < 0.3
    assert steps.summary.endswith("%)") and "find 3" in steps.summary and "other 1" in steps.summary
    shares = [int(part.split("(")[1].split(" ")[0]) for part in steps.summary.split(", ")[0:]]
    assert sum(shares) == pytest.approx(100, abs=2)
    assert "frames/s" in steps.line and "find" in steps.line


def test_no_frames_is_no_division_by_zero():
    assert StepTimer().summary == "no frames" and StepTimer().line == ""


def test_a_step_inside_another_is_counted_once():
    steps = StepTimer()
    with steps("find"):
        time.sleep(0.01)
        with steps("network"):
            time.sleep(0.03)
            with steps("decode"):
                time.sleep(0.02)
    steps.frame_done()
    assert 0.01 <= steps.totals["find"] < 0.025
    assert 0.03 <= steps.totals["network"] < 0.045
    assert 0.02 <= steps.totals["decode"] < 0.035
    assert sum(steps.totals.values()) <= steps.seconds
