import re
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from models.config import preset_config
from models.cpm import TRUNK, build_network
from models.foreign_weights import (
    OPENPOSE,
    VGG,
    VGG_MEAN_BGR,
    ForeignWeights,
    fold_input,
    read_foreign,
    start_from_foreign,
    start_from_imagenet,
    weights_of,
)
from models.weights import load_network, read_record
from tests.conftest import input_error, run_script
from utils.common.cli import InputError

FACE_HEAD = {"face": tuple(range(68))}
# Kernels (height, width, in, out) of the first layers, as the files have them, and one that fits nowhere.
VGG_LAYERS = {"block1_conv1": (3, 3, 3, 64), "block1_conv2": (3, 3, 64, 64), "block5_conv1": (3, 3, 512, 512)}
BODY_LAYERS = {
    "conv1_1": (3, 3, 3, 64),
    "conv1_2": (3, 3, 64, 64),
    "conv4_2": (3, 3, 512, 512),
    "conv4_3_CPM": (3, 3, 512, 256),
    "conv4_4_CPM": (3, 3, 256, 128),
    "conv5_4_CPM_L1": (1, 1, 128, 512),
    "conv5_4_CPM_L2": (1, 1, 128, 512),
    "Mconv1_stage2_L2": (7, 7, 185, 128),
    "Mconv2_stage2_L2": (7, 7, 128, 128),
    "Mconv6_stage2_L2": (1, 1, 128, 128),
    "Mconv7_stage2_L2": (1, 1, 128, 19),
}
FACE_LAYERS = {"conv1_1": (3, 3, 3, 64), "conv5_2": (3, 3, 512, 512), "conv5_3_CPM": (3, 3, 512, 128)}


def full(**changes):
    config = preset_config("full", FACE_HEAD, **changes)
    return build_network(config), config


def numbers(shapes):
    """Kernel and bias of each layer, all different."""
    random = np.random.default_rng(0)
    return {
        name: (random.normal(size=shape).astype("f4"), random.normal(size=shape[3:]).astype("f4"))
        for name, shape in shapes.items()
    }


def write_keras2(path, layers, names=("{}/kernel:0", "{}/bias:0"), root="/"):
    with h5py.File(path, "w") as file:
        group = file.require_group(root)
        group.attrs["layer_names"] = [*layers, "input_1", "fc1"]
        group.create_group("input_1")
        group["fc1/fc1/kernel:0"], group["fc1/fc1/bias:0"] = np.zeros((4, 2), "f4"), np.zeros(2, "f4")
        for name, arrays in layers.items():
            for array, place in zip(arrays, names, strict=True):
                group[f"{name}/{place.format(name)}"] = array
    return path


def write_keras3(path, layers):
    with h5py.File(path, "w") as file:
        for k, (name, arrays) in enumerate(layers.items()):
            group = file.create_group(f"layers/conv2d{f'_{k}' if k else ''}/vars")
            group.attrs["name"] = name
            group["0"], group["1"] = arrays
    return path


def write_keras_archive(path, layers):
    """A model that Keras 3 saved."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("metadata.json", "{}")
        archive.write(write_keras3(path.with_suffix(".weights.h5"), layers), "model.weights.h5")
    return path


def write_chainer(path, layers):
    """(out, in, height, width), as Chainer's `save_npz` writes them."""
    arrays = {name: value for layer, (w, b) in layers.items() for name, value in ((f"{layer}/W", w), (f"{layer}/b", b))}
    np.savez(path, **{name: a.transpose(3, 2, 0, 1) if a.ndim == 4 else a for name, a in arrays.items()})
    return path


def test_every_layout_gives_the_same_layers_in_our_order_of_axes(tmp_path):
    vgg, body = numbers(VGG_LAYERS), numbers(BODY_LAYERS)
    for kind, layers, path in (
        (VGG, vgg, write_keras2(tmp_path / "w1.h5", vgg, ("{}_W_1:0", "{}_b_1:0"))),
        (VGG, vgg, write_keras2(tmp_path / "kernel.h5", vgg)),
        (VGG, vgg, write_keras2(tmp_path / "twice.h5", vgg, ("{}/kernel", "{}/bias"), "model_weights")),
        (VGG, vgg, write_keras3(tmp_path / "vgg.weights.h5", vgg)),
        (VGG, vgg, write_keras_archive(tmp_path / "saved.keras", vgg)),
        (OPENPOSE, body, write_keras2(tmp_path / "model.h5", body, ("{}/kernel:0", "{}/bias:0"))),
        (OPENPOSE, body, write_chainer(tmp_path / "coco.npz", body)),
    ):
        foreign = read_foreign(path)
        assert (foreign.kind, set(foreign.layers)) == (kind, set(layers)), path
        for name, arrays in layers.items():
            assert all(np.array_equal(*pair) for pair in zip(foreign.layers[name], arrays, strict=True))
        with input_error(path, "--init takes them"):
            load_network(path)
        assert read_record(path) == {}


def test_files_that_are_not_foreign_weights_are_left_to_their_reader(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(2))
    (tmp_path / "t.h5").write_text("hello")
    old = Path(__file__).parent / "keras2_h5" / "face.h5"
    assert [read_foreign(path) for path in (tmp_path / "a.npz", tmp_path / "t.h5", tmp_path / "no.h5", old)] == [
        None
    ] * 4


def test_a_damaged_or_dangerous_file_is_one_line(tmp_path):
    layers = numbers({"conv1_1": (3, 3, 3, 64), "conv5_3_CPM": (3, 3, 8, 8)})
    for path in (write_chainer(tmp_path / "a.npz", layers), write_keras2(tmp_path / "a.h5", layers)):
        cut = tmp_path / f"cut{path.suffix}"
        cut.write_bytes(path.read_bytes()[:-600])
        with input_error(cut, "cut off before its end"):
            load_network(cut)
    pickled = {"conv1_1/W": np.array([print]), "conv1_1/b": np.zeros(1), "conv5_3_CPM/W": np.zeros(1)}
    np.savez(tmp_path / "pickled.npz", **pickled)
    np.savez(tmp_path / "half.npz", **{"conv1_1/W": np.zeros((4, 3, 3, 3)), "a_CPM/W": np.zeros(1)})
    np.savez_compressed(tmp_path / "bomb.npz", **{"conv1_1/W": np.zeros((2048, 3, 3, 3)), "a_CPM/W": np.zeros(1)})
    for name, says in (("pickled", "allow_pickle"), ("half", "a_CPM/b"), ("bomb", "larger than the file")):
        with input_error(tmp_path / f"{name}.npz", says):
            read_foreign(tmp_path / f"{name}.npz")


def test_arrays_that_are_not_numbers_are_one_line():
    network, config = full(norm="none")
    layers = numbers(VGG_LAYERS)
    layers["block1_conv2"][0][0, 0, 5, 5] = np.nan
    with pytest.raises(InputError, match=r"--init a.h5: block1_conv2 holds NaN"):
        start_from_foreign(network, config, ForeignWeights(VGG, layers), "a.h5")


def test_a_block_of_random_weights_cannot_be_frozen():
    network, config = full(norm="none")
    foreign = ForeignWeights(VGG, numbers(VGG_LAYERS))
    assert "2 convolutions" in start_from_foreign(network, config, foreign, "a.h5", freeze=1)[0]
    with pytest.raises(
        InputError, match=r"--freeze 2: a.h5 has no weights for trunk2_conv1, trunk2_conv2; freeze fewer"
    ):
        start_from_foreign(network, config, foreign, "a.h5", freeze=2)


@pytest.mark.slow
def test_a_run_starts_from_vgg_and_keeps_its_frozen_blocks(tmp_path, images):
    shapes, wide = {}, 3
    for block, (width, repeats) in enumerate(TRUNK, start=1):
        for k in range(1, min(repeats, 4) + 1):
            shapes[f"block{block}_conv{k}"] = (3, 3, wide, width)
            wide = width
    small = {name: (0.05 * kernel, 0 * bias) for name, (kernel, bias) in numbers(shapes).items()}
    vgg = write_keras2(tmp_path / "vgg19.h5", small)
    flags = ["--data", images, "--limit", 8, "--preset", "full", "--norm", "none", "--input-size", 64, "--epochs", 1]
    flags += ["--batch-size", 4, "--precision", "float32", "--init", vgg, "--out", tmp_path / "face.keras"]
    trained = run_script("train_face.py", *flags, "--freeze", 3, "--run", tmp_path / "run")
    assert trained.returncode == 0, trained.stderr
    assert "12 convolutions of VGG" in trained.stdout
    kernels = {
        layer.name: layer.kernel for layer in load_network(tmp_path / "face.keras").network.layers if layer.weights
    }
    np.testing.assert_allclose(kernels["trunk2_conv1"], small["block2_conv1"][0], atol=1e-6)


def test_the_first_layer_is_folded_as_by_hand():
    """One pixel, RGB (10, 20, 30); a 1x1 kernel that gives blue + 2 green + 4 red, and a bias of 1."""
    kernel, bias = np.array([1, 2, 4], "f4").reshape(1, 1, 3, 1), np.ones(1, "f4")
    pixel = np.array([10, 20, 30]) / 255
    for kind, wanted in (
        (VGG, (30 - 103.939) + 2 * (20 - 116.779) + 4 * (10 - 123.68) + 1),
        (OPENPOSE, (30 / 256 - 0.5) + 2 * (20 / 256 - 0.5) + 4 * (10 / 256 - 0.5) + 1),
    ):
        folded, shifted = fold_input(kernel, bias, kind)
        assert float(pixel @ folded[0, 0, :, 0] + shifted[0]) == pytest.approx(wanted, rel=1e-5)


def test_the_table_says_what_is_taken_and_why_the_rest_is_not():
    network, config = full(stages=2)
    untouched = network.get_layer("trunk4_conv3").get_weights()[0]
    layers = numbers(BODY_LAYERS)
    table = start_from_foreign(network, config, ForeignWeights(OPENPOSE, layers), "x.npz")
    rows = [re.split(r"  +", line) for line in table]
    assert rows == [
        ["6 convolutions of OpenPose"],
        ["layer", "source", "taken"],
        ["trunk1_conv1", "conv1_1", "yes"],
        ["trunk1_conv2", "conv1_2", "yes"],
        ["trunk4_conv2", "conv4_2", "yes"],
        ["trunk4_conv3", "conv4_3_CPM", "no: its kernel is 3x3, 512 to 256, ours 3x3, 512 to 512"],
        ["feature_map", "conv4_4_CPM", "no: its kernel is 3x3, 256 to 128, ours 3x3, 512 to 128"],
        ["stage1_features", "conv5_4_CPM_L2", "yes"],
        ["stage2_conv1", "Mconv1_stage2_L2", "no: its kernel is 7x7, 185 to 128, ours 7x7, 640 to 128"],
        ["stage2_conv2", "Mconv2_stage2_L2", "yes"],
        ["stage2_features", "Mconv6_stage2_L2", "yes"],
        ["15 more start at random: trunk2_conv1, trunk2_conv2, trunk3_conv1, trunk3_conv2 ..."],
        ["2 more of the file have no place here: conv5_4_CPM_L1, Mconv7_stage2_L2"],
    ]
    assert np.array_equal(network.get_layer("stage1_features").get_weights()[0], layers["conv5_4_CPM_L2"][0])
    assert np.array_equal(network.get_layer("stage2_conv2").get_weights()[1], layers["Mconv2_stage2_L2"][1])
    assert np.array_equal(network.get_layer("trunk4_conv3").get_weights()[0], untouched)


def test_openposes_face_network_has_our_trunk():
    network, config = full(stages=1)
    layers = numbers(FACE_LAYERS)
    start_from_foreign(network, config, ForeignWeights(OPENPOSE, layers), "x.h5")
    assert np.array_equal(network.get_layer("trunk4_conv6").get_weights()[0], layers["conv5_2"][0])
    assert np.array_equal(network.get_layer("feature_map").get_weights()[0], layers["conv5_3_CPM"][0])


def test_a_preset_or_normalisation_that_takes_nothing_is_one_line():
    foreign = ForeignWeights(VGG, numbers(VGG_LAYERS))
    for changes, says in (
        ({}, r"nothing of VGG .* fits \(preset tiny, width 0.125\); use --preset full"),
        ({"norm": "weight"}, "standardised kernels cannot hold it; add --norm none"),
        ({"norm": "batch"}, "add --norm none"),
    ):
        config = preset_config("tiny", FACE_HEAD, **changes)
        with pytest.raises(InputError, match=f"--init vgg.h5: .*{says}"):
            start_from_foreign(build_network(config), config, foreign, "vgg.h5")


def test_vgg_convolutions_see_the_same_image_after_the_input_convention_is_folded_in():
    vgg = keras.applications.VGG19(include_top=False, weights=None, input_shape=(64, 64, 3))
    for layer in vgg.layers:  # biases too, which Keras starts at zero
        layer.set_weights([w + 0.01 for w in layer.get_weights()])
    network, config = full(stages=1)
    table = start_from_foreign(network, config, weights_of(vgg), "imagenet")
    assert table[0] == "12 convolutions of VGG (keras.applications)"
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    theirs = image[..., ::-1].astype(np.float32) - VGG_MEAN_BGR
    for ours_name, vgg_name in (("trunk1_conv1", "block1_conv1"), ("trunk2_conv2", "block2_conv2")):
        ours = keras.Model(network.input, network.get_layer(f"{ours_name}_relu").output)(image)
        wanted = keras.Model(vgg.input, vgg.get_layer(vgg_name).output)(theirs)
        inside = slice(6, -6)  # the padded border differs: VGG pads with the mean colour, we with black
        ours, wanted = np.asarray(ours)[:, inside, inside], np.asarray(wanted)[:, inside, inside]
        assert np.abs(ours - wanted).max() < 1e-3 * np.abs(wanted).max()


def test_init_imagenet_says_in_one_line_that_there_is_no_network(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    code = (
        "import urllib.request, socket\n"
        "def refuse(*a, **k): raise OSError('no network')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from models.config import preset_config\n"
        "from models.cpm import build_network\n"
        "from models.foreign_weights import start_from_imagenet\n"
        "from utils.common.cli import run_main\n"
        "s = preset_config('full', {'face': tuple(range(68))}, stages=1)\n"
        "run_main(lambda: start_from_imagenet(build_network(s), s) and 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    last = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(last) == 1
    assert "imagenet" in last[0]


def test_init_imagenet_needs_the_full_width():
    config = preset_config("tiny", FACE_HEAD)
    network = build_network(config)
    with pytest.raises(InputError, match="width 1"):
        start_from_imagenet(network, config)
