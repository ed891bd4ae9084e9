"""A narrower network out of a wider one."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from models.config import PRESETS, preset_config
from models.cpm import build_network
from models.pruning import fit, narrowed, spanning_columns
from models.weights import load_network, save_network
from tests.conftest import input_error, run_script
from tests.images import write_ears, write_faces

HEADS = {"face": tuple(range(68)), "ear": tuple(range(55))}
WIDE = replace(PRESETS["tiny"], heads=HEADS, norm="weight")


@pytest.fixture(scope="module")
def images():
    """Textures rather than noise, of which a network's deeper layers see nothing."""
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (6, 12, 12, 3), np.uint8)
    return np.repeat(np.repeat(small, 8, axis=1), 8, axis=2)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    return save(tmp_path_factory.mktemp("weights") / "wide.keras", WIDE)


def save(path, config):
    keras.utils.set_random_seed(3)
    save_network(path, build_network(config), config, {"training_images": ["a"], "test": {"nme": 1.0}})
    return path


def test_fit_finds_the_weights_that_made_the_answers():
    rng = np.random.default_rng(0)
    inputs, weights = rng.normal(size=(4000, 6)), rng.normal(size=(6, 2))
    found, bias, explained = fit(inputs, inputs @ weights + (3, -1))
    np.testing.assert_allclose(found, weights, atol=0.01)
    np.testing.assert_allclose(bias, (3, -1), atol=0.01)
    assert explained > 0.999


def test_fit_finds_weights_of_mean_zero_where_they_are_asked_for():
    rng = np.random.default_rng(0)
    inputs, weights = rng.normal(size=(4000, 6)) + 5, rng.normal(size=(6, 2))
    weights -= weights.mean(axis=0)
    found, _, explained = fit(inputs, inputs @ weights + (3, -1), zero_mean=True)
    np.testing.assert_allclose(found, weights, atol=0.01)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-6)
    assert explained > 0.999


def test_spanning_columns_leave_out_what_the_others_tell():
    rng = np.random.default_rng(0)
    one, two, three = rng.normal(size=(3, 1000)) * [[5], [3], [2]]
    columns = np.stack([0.1 * one, one, one + two, three, np.full(1000, 9.0)], axis=1)
    assert spanning_columns(columns, 3).tolist() == [1, 2, 3]


def test_a_network_of_the_same_width_stays_what_it_is(wide, images):
    source = load_network(wide)
    same, explained = narrowed(source, replace(WIDE, norm="none"), images)
    assert min(explained.values()) > 0.99
    one, other = source.network(images), same(images)
    for name in one:
        scale = float(np.std(one[name]))
        np.testing.assert_allclose(one[name], other[name], atol=0.3 * scale)


def test_a_narrower_network_answers_more_alike_than_a_fresh_one(wide, images):
    source = load_network(wide)
    config = replace(WIDE, width=WIDE.width / 2)
    small, explained = narrowed(source, config, images)
    assert set(explained) == {layer.name for layer in small.layers if layer.weights}
    wanted = np.array(source.network(images)["stage2_face"])

    def apart(network):
        return np.square(np.array(network(images)["stage2_face"]) - wanted).mean()

    assert apart(small) < 0.9 * np.var(wanted) < apart(build_network(config))


@pytest.mark.parametrize(
    ("changes", "says"), [({"stages": 3}, "stage3_conv1"), ({"width": 0.25}, "trunk1_conv1 is narrower already")]
)
def test_what_is_not_smaller_is_refused(wide, images, changes, says):
    with input_error(wide, says):
        narrowed(load_network(wide), replace(WIDE, **changes), images)


def test_layers_that_normalise_are_refused(tmp_path, images):
    path = save(tmp_path / "batch.keras", replace(WIDE, norm="batch"))
    with input_error(path, "--norm weight or none"):
        narrowed(load_network(path), WIDE, images)


def test_the_command_writes_a_start_and_tells_what_it_explains(tmp_path):
    wide = save(tmp_path / "wide.keras", replace(WIDE, width=0.25))
    write_faces(tmp_path / "faces", 12)
    write_ears(tmp_path / "ears", 12)
    out = tmp_path / "start.keras"
    flags = ["--preset", "tiny", "--data", tmp_path / "faces", "--data", tmp_path / "ears", "--images", 2]
    done = run_script("utils.prune", wide, out, *flags)
    assert done.returncode == 0, done.stderr
    assert "% of the variance explained" in done.stdout and "note:" not in done.stdout
    made = load_network(out)
    assert made.config == replace(preset_config("tiny", HEADS), norm="none")
    assert made.record["pruned_from"] == "wide.keras" and "test" not in made.record
    assert "a" in made.record["training_images"] and len(made.record["training_images"]) == 1 + 2 * 2
    for arguments, says in (
        ([wide, wide, *flags], "is the large network"),
        ([wide, tmp_path / "start.h5", *flags], ".keras"),
        ([tmp_path / "none.keras", out, *flags], "no such weights file"),
        ([wide, out, "--data", tmp_path / "nothing"], "nothing"),
    ):
        refused = run_script("utils.prune", *arguments)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1) and says in refused.stderr
