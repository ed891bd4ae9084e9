from dataclasses import replace

import keras
import numpy as np
import pytest

from models.config import NORMS, PRESETS, ModelConfig, preset_config
from models.cpm import StandardisedConv2D, build_network, copy_layers, count_flop, fold_adapters, fold_network
from utils.common.cli import InputError

FACE_HEAD = {"face": tuple(range(68))}
BOTH_HEADS = {"face": tuple(range(68)), "ear": tuple(range(55))}


def tiny(**changes):
    return preset_config("tiny", FACE_HEAD, **changes)


def images(count=2, size=64):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def test_the_full_network_has_the_published_number_of_parameters():
    full = preset_config("full", FACE_HEAD)
    assert full.norm == "none"
    assert build_network(full).count_params() == 42_618_200
    assert build_network(preset_config("full", FACE_HEAD, stage_input="heatmaps")).count_params() == 38_328_152
    assert count_flop(full) == pytest.approx(230.9e9, rel=1e-3)


def test_lite_stays_within_its_budget():
    lite = preset_config("lite", FACE_HEAD)
    assert build_network(lite).count_params() < 7.5e6
    assert count_flop(lite) < 25e9


def test_flop_of_a_convolution_counted_by_hand():
    config = tiny(stages=1)
    # The tiny trunk at 96 px: 8, 16, 32, 64 channels, a map of 16 at the end, a stage of 1x1x64 and 1x1x68.
    trunk = 96**2 * 9 * (3 * 8 + 8 * 8) + 48**2 * 9 * (8 * 16 + 16 * 16) + 24**2 * 9 * (16 * 32 + 3 * 32 * 32)
    trunk += 12**2 * 9 * (32 * 64 + 5 * 64 * 64 + 64 * 16)
    stage = 12**2 * (16 * 64 + 64 * 68)
    assert count_flop(config) == 2 * (trunk + stage)


def test_a_first_block_of_its_own_size_changes_no_other_block():
    config, plain = tiny(stages=1, first_block=4), tiny(stages=1)
    # As above, with 4 channels for 8: what the first block costs, and what it hands to the second.
    less = 96**2 * 9 * (3 * 4 + 8 * 8 - 4 * 4) + 48**2 * 9 * (8 * 16 - 4 * 16)
    assert count_flop(plain) - count_flop(config) == 2 * less
    assert "first_block" not in plain.to_json() and ModelConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_normalised_in_groups(preset):
    network = build_network(preset_config(preset, FACE_HEAD, norm="group"))
    assert any(isinstance(layer, keras.layers.GroupNormalization) for layer in network.layers)


def test_outputs_are_named_by_stage_and_role_at_an_eighth_of_the_input():
    network = build_network(preset_config("tiny", BOTH_HEADS), with_features=True)
    outputs = network(np.zeros((1, 64, 96, 3), np.uint8))
    assert set(outputs) == {
        "feature_map", "feature_map_before_relu", "stage1_features", "stage2_features",
        "stage1_face", "stage1_ear", "stage2_face", "stage2_ear",
    }  # fmt: skip
    assert outputs["stage2_face"].shape == (1, 8, 12, 68)
    assert outputs["stage1_ear"].shape == (1, 8, 12, 55)
    assert outputs["feature_map"].shape == (1, 8, 12, 16)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_each_head_reads_the_features_of_its_own_stage_only(stage):
    network = build_network(tiny(stages=3), with_features=True)
    before = network(images())
    layer = network.get_layer(f"stage{stage}_features")
    layer.bias.assign(layer.bias + 1.0)
    after = network(images())
    changed = {name for name in before if np.abs(before[name] - after[name]).max() > 1e-6}
    assert f"stage{stage}_face" in changed
    assert not any(f"stage{earlier}_face" in changed for earlier in range(1, stage))


def test_a_second_head_leaves_the_first_tasks_heatmaps_untouched():
    one, two = build_network(tiny()), build_network(preset_config("tiny", BOTH_HEADS))
    copy_layers(one, two, [layer.name for layer in one.layers if layer.weights])
    for stage in (1, 2):
        name = f"stage{stage}_face"
        assert np.array_equal(one(images())[name], two(images())[name])


@pytest.mark.parametrize("norm", NORMS)
def test_the_signal_neither_dies_nor_explodes_in_a_fresh_network(norm):
    keras.utils.set_random_seed(0)
    network = build_network(preset_config("lite", FACE_HEAD, norm=norm), with_features=True)
    outputs = network(images(4, 64), training=True)
    for name in ("feature_map", "stage1_features", "stage3_features"):
        assert 0.1 < float(np.std(outputs[name])) < 10, name
    assert float(np.abs(outputs["stage3_face"]).max()) < 3  # maps start near empty


@pytest.mark.parametrize("norm", NORMS)
def test_folding_changes_no_answer(norm):
    keras.utils.set_random_seed(1)
    config = tiny(norm=norm)
    network = build_network(config)
    for layer in network.layers:  # as after training: no array is what it was at the start
        layer.set_weights([w + 0.05 * np.random.default_rng(2).random(w.shape) for w in layer.get_weights()])
    plain, plain_settings = fold_network(network, config)
    assert not any(isinstance(layer, StandardisedConv2D) for layer in plain.layers)
    assert plain_settings.norm == ("none" if norm == "weight" else norm)
    for name, maps in network(images()).items():
        assert np.abs(maps - plain(images())[name]).max() < 1e-4 * max(1, np.abs(maps).max())


def test_a_folded_network_unfolds_to_the_same_answers():
    config = tiny(norm="weight")
    plain, _ = fold_network(build_network(config), config)
    again = build_network(config)
    copy_layers(plain, again, [layer.name for layer in plain.layers if layer.weights])
    for name, maps in plain(images()).items():
        assert np.abs(maps - again(images())[name]).max() < 1e-4


def with_adapters(norm="none"):
    """A network of random weights, whose ears have adapters that do something."""
    keras.utils.set_random_seed(1)
    config = preset_config("tiny", BOTH_HEADS, norm=norm, adapter_tasks=("ear",))
    network = build_network(config)
    for k, layer in enumerate(layer for layer in network.layers if layer.weights):
        rng = np.random.default_rng(k)
        layer.set_weights([w + 0.05 * rng.random(w.shape) for w in layer.get_weights()])
    return network, config


def test_fresh_adapters_change_nothing_and_no_adapter_is_seen_by_faces():
    keras.utils.set_random_seed(1)
    config = preset_config("tiny", BOTH_HEADS, norm="none", adapter_tasks=("ear",))
    network = build_network(config, with_features=True)
    before = network(images())
    assert np.array_equal(before["stage2_features"], before["ear_adapter_stage2_features"])
    for layer in network.layers:
        if layer.weights and "adapter" in layer.name:
            layer.set_weights([w + 0.1 for w in layer.get_weights()])
    after = network(images())
    for stage in (1, 2):
        assert np.array_equal(before[f"stage{stage}_face"], after[f"stage{stage}_face"])
        assert not np.allclose(before[f"stage{stage}_ear"], after[f"stage{stage}_ear"])


def test_an_adapter_adds_its_1x1_convolution_to_that_of_the_face_worked_by_hand():
    network, _ = with_adapters()
    inner = keras.Model(
        network.input,
        [network.get_layer(f"{path}trunk1_conv1_relu").output for path in ("", "ear_adapter_")],
    )
    face, ear = (np.asarray(maps)[0, 5, 7] for maps in inner(images()))
    (kernel, bias), (small, offset) = (
        network.get_layer(f"{path}trunk1_conv1").get_weights() for path in ("", "ear_adapter_")
    )
    pixels = images()[0].astype(np.float64) / 255
    window = np.einsum("yxc,yxco->o", pixels[4:7, 6:9], kernel) + bias
    assert np.allclose(face, np.maximum(window, 0), atol=1e-4)
    assert np.allclose(ear, np.maximum(window + pixels[5, 7] @ small[0, 0] + offset, 0), atol=1e-4)


@pytest.mark.parametrize("norm", NORMS)
def test_folded_adapters_answer_the_same_and_a_crop_costs_what_it_did(norm):
    network, config = with_adapters(norm)
    folded, folded_config = fold_adapters(network, config)
    assert folded_config.separate_tasks == ("ear",) and not folded_config.adapter_tasks
    assert not any("adapter" in layer.name for layer in folded.layers)
    for name, maps in network(images()).items():
        assert np.abs(maps - folded(images())[name]).max() < 1e-4 * max(1, np.abs(maps).max()), name
    alone = tiny(norm=norm)
    assert count_flop(config, task="face") == count_flop(alone)
    ears = preset_config("tiny", {"ear": BOTH_HEADS["ear"]}, norm=norm)
    assert count_flop(config, task="ear") == count_flop(ears)


def test_a_network_without_adapters_is_not_folded():
    config = tiny()
    network = build_network(config)
    assert fold_adapters(network, config) == (network, config)


@pytest.mark.parametrize(
    "changes",
    [
        {"heads": {"ear": (0, 1)}, "adapter_tasks": ("ear",)},
        {"heads": BOTH_HEADS, "adapter_tasks": ("ear",), "stage_input": "heatmaps"},
        {"heads": FACE_HEAD, "adapter_tasks": ("ear",)},
    ],
)
def test_adapters_without_a_network_to_stand_beside_are_refused(changes):
    with pytest.raises(InputError, match="no such network"):
        build_network(replace(tiny(), **changes))


def test_a_checkpoint_of_an_unfolded_network_holds_its_gains(tmp_path):
    network, again = build_network(tiny(norm="weight")), build_network(tiny(norm="weight"))
    layer = network.get_layer("stage2_conv3")
    layer.gain.assign(3 * layer.gain)
    network.save_weights(tmp_path / "x.weights.h5")
    again.load_weights(tmp_path / "x.weights.h5")
    for name, maps in network(images()).items():
        assert np.array_equal(maps, again(images())[name])


def test_heads_answer_in_float32_under_every_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert all(maps.dtype == "float32" for maps in build_network(tiny())(images()).values())
    finally:
        keras.config.set_dtype_policy("float32")


def test_black_borders_and_bright_images_reach_the_network_as_they_are():
    network = build_network(tiny())
    uint8, floats = network(images()), network(images().astype(np.float32))
    assert np.allclose(uint8["stage2_face"], floats["stage2_face"])


@pytest.mark.parametrize(
    "changes",
    [
        {"norm": "layer"},
        {"stage_input": "both"},
        {"input_size": 100},
        {"input_size": 16},
        {"stages": 0},
        {"first_block": -1},
    ],
)
def test_settings_that_name_no_network_are_refused(changes):
    with pytest.raises(InputError):
        build_network(tiny(**changes))


def test_presets_differ_in_numbers_only():
    assert {(row.norm, row.stage_input, row.sigma) for row in PRESETS.values()} == {("none", "features", 1.15)}
