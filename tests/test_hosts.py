"""Several hosts that train together: they must learn what one process does, and none may wait for one that is lost."""

import csv
import importlib.util
import itertools
import os
import re
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from data.datasets import find_samples
from data.pipeline import PairedPipeline, TrainingPipeline
from data.schemes import EAR, FACE
from tests.conftest import ROOT, run_process, shared_folder
from tests.images import write_ears, write_faces
from utils.common.cli import InputError
from utils.common.hosts import Hosts, find_hosts

ALIKE = 1e-5  # relative, of float32
EPOCHS = 5
SOON = 60  # seconds
needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="wants jax")

# A training script that also writes the weights it has at the end, whichever host it is.
SCRIPT = """
import sys
import keras, numpy as np
from utils.common.cli import run_main
from utils.training import callbacks
import {script} as script

class Weights(keras.callbacks.Callback):
    def on_train_end(self, logs=None):
        np.savez(sys.argv[1], *[variable.numpy() for variable in self.model.weights])

usual = callbacks.run_callbacks
callbacks.run_callbacks = lambda *arguments: [*usual(*arguments), Weights()]
run_main(lambda: script.main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_faces(folder, 40, size=64)
    write_ears(folder, 40, size=64)  # of which two are for validation
    return folder


class TestWhichHostThisIs:
    def test_a_process_by_itself(self):
        assert find_hosts(None, None, None, {}) == find_hosts(None, 1, None, {}) == Hosts(1, 0, None)

    def test_flags(self):
        assert find_hosts("node1:4321", 4, 3, {}) == Hosts(4, 3, "node1:4321")
        assert find_hosts("[::1]:4321", 2, 0, {}) == Hosts(2, 0, "[::1]:4321")
        assert Hosts(4, 0).leads and not Hosts(4, 3).leads

    @pytest.mark.parametrize(
        ("count", "index"),
        [("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"), ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK")],
    )
    def test_a_launcher_says_it_unless_flags_do(self, count, index):
        launched = {count: "8", index: "5"}
        of_machine = {"SLURM_LOCALID": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}
        assert find_hosts(None, None, None, launched) == Hosts(8, 5, None)
        assert find_hosts("node1:4321", None, None, launched | of_machine) == Hosts(8, 5, "node1:4321", gpu=1)
        assert find_hosts("node1:4321", None, None, launched) == Hosts(8, 5, "node1:4321")
        assert find_hosts(None, 1, None, launched) == Hosts()
        assert find_hosts("node1:4321", 2, 1, launched) == Hosts(2, 1, "node1:4321")
        assert find_hosts(None, None, None, {count: "1", index: "0"}) == Hosts()

    @pytest.mark.parametrize(
        ("coordinator", "count", "index", "flag"),
        [
            ("node1", 2, 0, "--coordinator"),
            ("node1:70000", 2, 0, "--coordinator"),
            ("node1:0", 2, 0, "--coordinator"),
            ("node1:4321", None, None, "--coordinator"),
            ("node1:4321", 2, None, "--hosts"),
            (None, 2, 0, "--hosts"),
            (None, 2, None, "--hosts"),
            ("node1:4321", 2, 2, "--host"),
            (None, None, 1, "--host"),
            (None, 1, 3, "--host"),
        ],
    )
    def test_what_is_missing_or_wrong_is_named(self, coordinator, count, index, flag):
        with pytest.raises(InputError, match=f"^{flag} "):
            find_hosts(coordinator, count, index, {})


def together(parts):
    """The batches of several hosts as the one that they make."""
    images, targets = zip(*parts, strict=True)
    return np.concatenate(images), {
        (task, name): np.concatenate([each[task][name] for each in targets])
        for task, arrays in targets[0].items()
        for name in arrays
    }


def assert_hosts_make(whole, hosts):
    """Each of `hosts` made its rows of the batches of `whole`, and nothing else."""
    for images, targets in itertools.islice(whole.batches(), 3):
        rows = [next(each) for each in hosts]
        assert {len(part[0]) for part in rows} == {len(images) // len(hosts)}
        shared, shared_targets = together(rows)
        np.testing.assert_array_equal(shared, images)
        for (task, name), values in shared_targets.items():
            np.testing.assert_array_equal(values, targets[task][name])


def test_hosts_make_rows_of_one_batch(data):
    def pipeline(rows=slice(None)):
        return TrainingPipeline(find_samples([data], FACE).samples, FACE, size=32, batch_size=6, rows=rows)

    assert_hosts_make(pipeline(), [pipeline(slice(k, k + 2)).batches() for k in (0, 2, 4)])


@pytest.mark.parametrize("count", [2, 3, 4])
def test_hosts_make_rows_of_a_paired_batch(data, count):
    """Of two hosts one makes ears, one faces; of three the second makes both."""

    def pipeline(rows=slice(None)):
        ears = TrainingPipeline(find_samples([data], EAR).samples, EAR, size=32, batch_size=6)
        faces = TrainingPipeline(find_samples([data], FACE).samples, FACE, size=32, batch_size=6)
        return PairedPipeline(ears, faces, "face", rows=rows)

    share = 12 // count
    hosts = [pipeline(slice(k * share, (k + 1) * share)) for k in range(count)]
    assert {each.steps for each in hosts} == {pipeline().steps} and {each.batch_size for each in hosts} == {12}
    assert_hosts_make(pipeline(), [each.batches() for each in hosts])


@pytest.mark.parametrize("launched", [False, True])
def test_tensorflow_refuses_several_hosts(data, tmp_path, launched):
    flags = () if launched else ("--hosts", 2, "--host", 0, "--coordinator", "localhost:4321")
    started = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"} if launched else {}
    done = run_process(
        "train_face.py",
        *("--data", data, "--preset", "tiny", "--run", tmp_path / "run", *flags),
        env=os.environ | started | {"KERAS_BACKEND": "tensorflow"},
    )
    assert done.returncode == 2 and "KERAS_BACKEND=jax" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_batch_that_hosts_cannot_share_is_refused(data, tmp_path):
    where = ("--hosts", 3, "--host", 0, "--coordinator", "localhost:4321")
    done = run_process("train_face.py", *("--data", data, "--preset", "tiny", "--run", tmp_path / "run", *where))
    assert done.returncode == 2 and "--batch-size 16: cannot be shared out to 3 hosts" in done.stderr


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """Runs of the same network need not compile it again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
        yield


def start(script, folder, count, *flags, slurm=False):
    """Start so many processes of a script, by its flags or as SLURM does, which write their weights to `folder`."""
    folder.mkdir(exist_ok=True)
    port, started = free_port(), []
    for k in range(count):
        hosts, launcher = ("--hosts", count, "--host", k, "--coordinator", f"127.0.0.1:{port}"), {}
        if slurm or count == 1:
            hosts = ()
        if slurm:
            launcher = {"SLURM_JOB_ID": port, "SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_NTASKS": count}
            launcher |= {"SLURM_STEP_NUM_TASKS": count, "SLURM_PROCID": k, "SLURM_LOCALID": k}
        program = SCRIPT.format(script=script.removesuffix(".py"))
        line = [sys.executable, "-c", program, folder / f"weights{k}.npz", *flags, *hosts]
        started.append(
            subprocess.Popen(
                [str(each) for each in line],
                cwd=ROOT,
                env=os.environ
                | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
                | {name: str(value) for name, value in launcher.items()},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return started


def finish(processes):
    """What each said, of processes that end well."""
    said = [process.communicate(timeout=300) for process in processes]
    for process, (_, err) in zip(processes, said, strict=True):
        assert process.returncode == 0, err
    return [out for out, _ in said]


def history(run, column="loss"):
    with open(run / "history.csv", newline="") as file:
        return [float(row[column]) for row in csv.DictReader(file)]


def weights(path):
    with np.load(path) as archive:
        return [archive[name] for name in archive.files]


def assert_same_weights(one, two, tolerance):
    for mine, theirs in zip(weights(one), weights(two), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def flags(data):
    return (
        *("--data", data, "--preset", "tiny", "--input-size", 32, "--batch-size", 8),
        *("--precision", "float32", "--learning-rate", 1e-5),
    )


@pytest.fixture(scope="module")
def undisturbed(flags, tmp_path_factory):
    """A run of one process: its folder."""

    def train(folder):
        finish(start("train_face.py", folder, 1, *flags, "--epochs", EPOCHS, *places(folder)))

    return shared_folder(tmp_path_factory, "one_process", train)


def places(folder):
    return ("--run", folder / "run", "--out", folder / "out.keras")


@pytest.mark.slow
@needs_jax
@pytest.mark.parametrize(("lost", "hosts_after"), [(1, 2), (0, 1)])
def test_a_lost_host_ends_the_run_and_it_goes_on_to_what_one_process_learns(
    undisturbed, flags, tmp_path, lost, hosts_after
):
    processes = start("train_face.py", tmp_path, 2, *flags, "--epochs", EPOCHS, *places(tmp_path))
    until = time.monotonic() + 240
    while not (tmp_path / "run" / "state.json").exists() and time.monotonic() < until:
        time.sleep(0.05)
    processes[lost].kill()
    killed = time.monotonic()
    out, err = processes[1 - lost].communicate(timeout=2 * SOON)
    assert time.monotonic() - killed < SOON
    # Of the last line alone: before it stands the bar, which has no end of line.
    assert processes[1 - lost].returncode != 0 and len(re.findall("error: ", err)) == 1
    assert err.endswith("\n") and "--resume" in err.splitlines()[-1] and "Traceback" not in err
    assert (out == "") == (lost == 0)  # host 0 alone prints
    processes[lost].communicate()
    assert 0 < len(history(tmp_path / "run")) < EPOCHS

    said = finish(start("train_face.py", tmp_path, hosts_after, "--resume", "--run", tmp_path / "run"))
    np.testing.assert_allclose(history(tmp_path / "run"), history(undisturbed / "run"), rtol=ALIKE)
    np.testing.assert_allclose(history(tmp_path / "run", "val_nme"), history(undisturbed / "run", "val_nme"), rtol=0.02)
    assert_same_weights(tmp_path / "weights0.npz", undisturbed / "weights0.npz", ALIKE)
    if hosts_after == 2:
        assert_same_weights(tmp_path / "weights0.npz", tmp_path / "weights1.npz", 0)
        assert "2 of 2 hosts share each batch" in said[0] and said[1] == ""
    assert (tmp_path / "out.keras").is_file() and (tmp_path / "run" / "scores.json").is_file()


@pytest.mark.slow
@needs_jax
def test_a_student_of_two_hosts_learns_what_one_of_one_process_does(undisturbed, flags, data, tmp_path):
    teach = ("--teacher", undisturbed / "out.keras", "--faces", data, "--replay", data, "--epochs", 2)
    own = [flag for flag in flags if flag not in ("--preset", "tiny")]
    for count in (1, 2):
        folder = tmp_path / str(count)
        finish(start("train_face2ear.py", folder, count, *own, *teach, *places(folder), slurm=count > 1))
    for column, alike in (("loss", ALIKE), ("distillation", 1e-3), ("attention", 1e-3), ("val_distillation", 1e-3)):
        np.testing.assert_allclose(
            history(tmp_path / "2" / "run", column), history(tmp_path / "1" / "run", column), rtol=alike
        )
    assert_same_weights(tmp_path / "2" / "weights0.npz", tmp_path / "2" / "weights1.npz", 0)
    assert (tmp_path / "2" / "run" / "forgetting.json").is_file()
