import json

import pytest

from data.schemes import FACE
from models.cpm import build_network, preset_settings
from models.weights import save_network
from tests.pictures import write_faces
from utils import evaluate


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Two untrained networks with two landmarks each."""
    folder = tmp_path_factory.mktemp("weights")
    settings = preset_settings("tiny", {"face": (36, 45)}, stages=1, input_size=32)
    for name in ("one", "two"):
        save_network(folder / f"{name}.keras", build_network(settings), settings, {})
    return folder / "one.keras", folder / "two.keras"


def run(monkeypatch, *flags):
    monkeypatch.setattr("sys.argv", ["evaluate", *map(str, flags), "--precision", "float32"])
    evaluate.main()


def test_several_weights_read_the_photos_once_and_a_limit_counts_photos_of_the_part(weights, tmp_path, monkeypatch):
    write_faces(tmp_path / "data", 40, size=48)
    read = []

    def find_samples(*options):
        read.append(options)
        return evaluate_find_samples(*options)

    evaluate_find_samples = evaluate.find_samples
    monkeypatch.setattr(evaluate, "find_samples", find_samples)
    run(monkeypatch, *weights, tmp_path / "data", "--limit", 3, "--out", tmp_path / "out")
    assert [options[1] for options in read] == [FACE]
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert [score["photos"] for score in scores.values()] == [3, 3]
