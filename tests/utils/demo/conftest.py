"""Predictors whose networks read charts, without training."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.charts import save_chart_network
from utils.demo import LandmarkPredictor


@pytest.fixture(scope="session")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> LandmarkPredictor:
    """A predictor of faces and ears."""
    weights = save_chart_network(tmp_path_factory.mktemp("weights") / "chart.keras")
    return LandmarkPredictor(weights, precision="float32")


@pytest.fixture
def searched(tmp_path: Path) -> LandmarkPredictor:
    """The same with a searcher, which reads smaller crops."""
    small = save_chart_network(tmp_path / "small.keras", size=96)
    return LandmarkPredictor(save_chart_network(tmp_path / "chart.keras"), precision="float32", searcher=small)


@pytest.fixture(scope="session")
def ears_only(tmp_path_factory: pytest.TempPathFactory) -> LandmarkPredictor:
    """The same of a network without a face head."""
    weights = save_chart_network(tmp_path_factory.mktemp("weights") / "ear.keras", tasks=("ear",))
    return LandmarkPredictor(weights, precision="float32")
