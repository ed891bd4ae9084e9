"""Many thresholds on one image: the answers of a predictor with each, from readings made once."""

from dataclasses import replace

import numpy as np
import pytest

from tests.charts import draw_chart, place, save_chart_network
from utils.demo import LandmarkPredictor
from utils.demo.sweep import SweepingPredictor
from utils.demo.timing import StepTimer


def noisy(height, width, matrix):
    """A chart of a head under noise, so that scores lie between 0 and 1."""
    image, _ = draw_chart(height, width, matrix)
    noise = np.random.default_rng(0).integers(-14, 15, image.shape)
    return np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_chart_network(tmp_path_factory.mktemp("weights") / "chart.keras")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return save_chart_network(tmp_path_factory.mktemp("weights") / "small.keras", size=96)


def same(one, other):
    assert (one.face is None) == (other.face is None) and one.ears.keys() == other.ears.keys()
    pairs = [(one.ears[side], other.ears[side]) for side in one.ears]
    pairs += [] if one.face is None else [(one.face, other.face)]
    for left, right in pairs:
        np.testing.assert_array_equal(left.points, right.points)
        np.testing.assert_array_equal(left.confidence, right.confidence)


@pytest.mark.slow
@pytest.mark.parametrize("searched", [False, True])
def test_at_each_threshold_it_finds_what_a_predictor_with_that_threshold_finds(weights, small, searched):
    own = small if searched else False
    sweeping, plain = (
        kind(weights, precision="float32", searcher=own) for kind in (SweepingPredictor, LandmarkPredictor)
    )
    usual, found = plain.thresholds, set()
    images = [noisy(200, 260, place((120.0, 100.0), 90)), noisy(180, 200, place((90.0, 90.0), 60, 90.0))]
    for image in [*images, images[0]]:
        for face, ear in ((0.2, 0.65), (0.75, 0.65), (0.99, 0.65), (0.25, 0.3), (0.25, 0.99), (0.99, 0.3)):
            plain.thresholds = replace(usual, face=face, ear=ear)
            answer = sweeping.at(image, face, ear)
            same(answer, plain(image))
            found.add((answer.face is not None, len(answer.ears)))
    assert len(found) > 1  # thresholds made a difference
    assert sweeping.thresholds == usual


class CountingTimer(StepTimer):
    """Counts the network's readings."""

    readings = 0

    def __call__(self, step):
        self.readings += step == "network"
        return super().__call__(step)


@pytest.mark.parametrize("searched", [False, True])
def test_more_thresholds_cost_no_more_readings_of_the_same_places(weights, small, searched):
    timer = CountingTimer()
    sweeping = SweepingPredictor(weights, precision="float32", timer=timer, searcher=small if searched else False)
    image = noisy(200, 260, place((120.0, 100.0), 90))
    sweeping.at(image, 0.25, 0.65)
    once = timer.readings
    sweeping.at(image, 0.26, 0.65)
    assert timer.readings == once
    sweeping.at(image[:, ::-1], 0.25, 0.65)
    assert timer.readings > once
