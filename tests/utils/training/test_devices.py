"""Several devices that share each batch: they must learn what one does. Here they are parts of the CPU."""

import csv
import importlib.util
import os

import numpy as np
import pytest

from tests.conftest import run_process
from tests.images import write_ears, write_faces

ALIKE = 1e-5  # relative, of losses in float32
RATE = 1e-5  # of learning: Adam makes whole steps of differences of rounding, which grow with it
needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="wants jax")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_faces(folder, 12, size=64)
    write_ears(folder, 12, size=64)
    return folder


@pytest.fixture(scope="module")
def train(data, tmp_path_factory):
    """Runs a script on so many devices, its batches a step and an epoch each; the losses, and what it says."""

    def run(script, backend, devices, *flags, batch_size=8, **options):
        folder = tmp_path_factory.mktemp("run")
        done = run_process(
            script,
            *("--data", data, "--input-size", 32, "--limit", 10, "--batch-size", batch_size),
            *("--deterministic", "--precision", "float32", "--learning-rate", RATE, "--devices", devices),
            *("--run", folder / "run", "--out", folder / "out.keras", *flags),
            env=os.environ | {"KERAS_BACKEND": backend},
            **options,
        )
        assert done.returncode == 0, done.stderr
        with open(folder / "run" / "history.csv", newline="") as file:
            losses = [float(row["loss"]) for row in csv.DictReader(file)]
        return losses, done.stdout, folder

    return run


@pytest.mark.parametrize(
    ("backend", "norm"),
    [
        ("tensorflow", "weight"),
        pytest.param("tensorflow", "batch", marks=pytest.mark.slow),
        pytest.param("jax", "weight", marks=[pytest.mark.slow, needs_jax]),
    ],
)
def test_two_devices_learn_what_one_does(train, backend, norm):
    # Twenty steps where it is quick. Normalised features multiply differences of rounding in each: there it is two.
    epochs, steps = {"batch": (4, 2), "weight": (20, 20) if backend == "tensorflow" else (8, 8)}[norm]
    flags = ("--preset", "tiny", "--epochs", epochs, "--norm", norm)
    one, said_of_one, _ = train("train_face.py", backend, 1, *flags)
    two, said_of_two, _ = train("train_face.py", backend, 2, *flags)
    np.testing.assert_allclose(two[:steps], one[:steps], rtol=ALIKE)
    assert len(two) == epochs and len(set(two)) == epochs
    assert "share each batch" in said_of_two and "share each batch" not in said_of_one


@pytest.mark.slow
def test_a_student_of_two_devices_learns_what_one_of_one_does(train, data):
    """On TensorFlow; on JAX two hosts do (`test_hosts`)."""
    backend = "tensorflow"
    _, _, teacher = train("train_face.py", "tensorflow", 1, "--preset", "tiny", "--epochs", 1)
    flags = ("--teacher", teacher / "out.keras", "--faces", data, "--replay", data, "--epochs", 2)
    one, _, _ = train("train_face2ear.py", backend, 1, *flags, batch_size=4)
    two, said, folder = train("train_face2ear.py", backend, 2, *flags, batch_size=4)
    np.testing.assert_allclose(two, one, rtol=ALIKE)
    assert "share each batch" in said
    # Goes on, on another number of devices.
    again = run_process(
        "train_face2ear.py",
        *("--resume", "--run", folder / "run", "--epochs", 3, "--devices", 1),
        env=os.environ | {"KERAS_BACKEND": backend},
    )
    assert again.returncode == 0, again.stderr
    assert (folder / "run" / "history.csv").read_text().splitlines()[-1].startswith("3,")


@pytest.mark.parametrize(
    ("devices", "says"), [(3, "--batch-size 8: cannot be shared out to 3 devices"), (0, "--devices")]
)
def test_what_cannot_be_shared_out_is_one_line(data, tmp_path, devices, says):
    flags = ("--preset", "tiny", "--data", data, "--batch-size", 8, "--run", tmp_path / "run", "--devices", devices)
    done = run_process("train_face.py", *flags)
    assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
