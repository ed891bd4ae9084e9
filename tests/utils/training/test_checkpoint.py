"""A checkpoint holds all that a run needs to go on, and what is wrong with it is one line."""

import gc
import io
import zipfile

import h5py
import keras
import numpy as np
import pytest

from tests.conftest import files_of_at_most, input_error
from utils.training.checkpoint import read_checkpoint, write_checkpoint


def trained(units=3, seed=0):
    """A model after a few steps of Adam."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(units)(keras.layers.BatchNormalization()(inputs)))
    model.compile("adam", "mse")
    x = np.random.default_rng(seed).normal(size=(8, 4)).astype(np.float32)
    model.fit(x, np.ones((8, units)), epochs=2, batch_size=4, verbose=0)
    return model


def values(model):
    return [variable.numpy() for variable in [*model.weights, *model.optimizer.variables]]


@pytest.fixture(scope="module")
def model():
    return trained()


@pytest.fixture
def checkpoint(model, tmp_path):
    write_checkpoint(tmp_path / "checkpoint-0001.npz", model)
    return tmp_path / "checkpoint-0001.npz"


def test_weights_and_optimiser_come_back_to_the_last_bit(model, checkpoint):
    other = trained(seed=1)
    read_checkpoint(checkpoint, other)
    for ours, theirs in zip(values(model), values(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    fresh = keras.models.clone_model(model)  # whose optimiser has no variables yet
    fresh.compile("adam", "mse")
    read_checkpoint(checkpoint, fresh)
    assert int(fresh.optimizer.iterations.numpy()) == 4


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def test_damage_is_one_line_and_changes_nothing(model, checkpoint):
    good = checkpoint.read_bytes()
    before = values(model)
    with np.load(checkpoint) as archive:
        arrays = dict(archive)
    flipped = bytearray(good)
    flipped[good.index(arrays["0004"].tobytes())] ^= 1  # of a number, which only the checksum shows
    damaged = {
        "cut": good[:-40],
        "empty": b"",
        "flipped": bytes(flipped),
        "text": b"no checkpoint",
        "array": b"\x93NUMPY\x01\x00",
        "fewer": npz(**{name: arrays[name] for name in list(arrays)[1:]}),
        "shape": npz(**arrays | {"0000": arrays["0000"][:2]}),
        "type": npz(**arrays | {"0000": arrays["0000"].astype(int)}),
        "objects": npz(**arrays | {"0000": np.array([{}])}),
        "large": npz(**arrays | {"0000": np.zeros(2**20)}),
    }
    random = np.random.default_rng(0)
    for k in range(200):
        content = bytearray(good)
        for place in random.integers(0, len(good), 1 + k % 4):
            content[place] = random.integers(256)
        damaged[f"random{k}"] = bytes(content)
    held = 0
    for content in damaged.values():
        checkpoint.write_bytes(content)
        try:
            with input_error(checkpoint):
                read_checkpoint(checkpoint, model)
        except pytest.fail.Exception:
            held += 1  # a byte that nobody reads, such as a date
    assert held < 60
    for ours, theirs in zip(before, values(model), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_array_that_claims_more_than_there_is_takes_no_memory(model, checkpoint):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**44,)})
    with np.load(checkpoint) as archive:
        arrays = dict(archive)
    checkpoint.write_bytes(npz(**{name: array for name, array in arrays.items() if name != "0000"}))
    with zipfile.ZipFile(checkpoint, "a") as archive:
        archive.writestr("0000.npy", header.getvalue())
    with input_error(checkpoint):
        read_checkpoint(checkpoint, model)


def test_an_hdf5_file_that_reaches_for_another_file_is_refused_as_none(model, tmp_path):
    path = tmp_path / "checkpoint-0001.npz"
    with h5py.File(path, "w") as file:
        file["0000"] = h5py.ExternalLink("/etc/hostname", "/")
    with input_error(path, "cannot be resumed"):
        read_checkpoint(path, model)


@pytest.mark.parametrize("size", [0, 100, 1000, 3000])
def test_a_full_disk_is_one_line_and_leaves_the_checkpoint_before(model, checkpoint, size, capfd):
    before = checkpoint.read_bytes()
    assert len(before) > 3000
    with input_error(checkpoint, "cannot be written", "large"), files_of_at_most(size):
        write_checkpoint(checkpoint, model)
    gc.collect()
    assert capfd.readouterr() == ("", "")
    assert checkpoint.read_bytes() == before
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]
