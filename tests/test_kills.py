"""Whatever moment a training run is killed at, it goes on as if nothing had happened."""

import os
import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from data.schemes import EAR, FACE
from tests.conftest import ROOT, SMALL, command, run_process
from tests.test_scripts import losses
from utils.training.flags import read_student_config, read_train_config
from utils.training.run_folder import RunFolder

MOMENTS = 10
FEW = ["--limit", 16, "--epochs", 4, "--batch-size", 4, "--precision", "float32", "--deterministic", "--seed", 3]


def stop_and_copy(process, run, folder):
    """Copies of a run folder, each as a kill -9 at a random moment would leave it, until the run has ended.

    The process is stopped meanwhile: what is on the disk is then what it would be if the process had died.
    """
    copies, pauses = [], random.Random(0)
    while process.poll() is None:
        time.sleep(pauses.uniform(0, 0.6))
        process.send_signal(signal.SIGSTOP)
        try:
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        except ChildProcessError:  # it had ended, and was waited for
            break
        if run.exists():
            copies.append(folder / f"{len(copies):04d}")
            shutil.copytree(run, copies[-1])
        process.send_signal(signal.SIGCONT)
    return copies


@pytest.mark.slow
@pytest.mark.parametrize("script", ["train_face.py", "train_ear.py", "train_face2ear.py"])
def test_a_run_killed_at_ten_random_moments_goes_on_as_if_nothing_had_happened(script, images, trained, tmp_path):
    student = script == "train_face2ear.py"
    flags = [*FEW, *(["--teacher", trained / "face.keras"] if student else SMALL[:4]), "--data", images]
    where = ["--out", tmp_path / "weights.keras", "--run"]
    whole = tmp_path / "whole"
    with subprocess.Popen(
        command(script, *flags, *where, whole), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        copies = stop_and_copy(process, whole, tmp_path / "copies")
        assert process.wait() == 0, process.stderr.read()
    assert len(copies) >= MOMENTS
    chosen = random.Random(1).sample(copies, MOMENTS)

    epochs = []
    for run in chosen:
        resume = [] if not (run / "config.json").exists() else ["--resume"]
        argv = [str(flag) for flag in [*flags, *where, run, *resume]]
        if student:
            _, options = read_student_config("", argv)
        else:
            _, options = read_train_config(FACE if script == "train_face.py" else EAR, "", argv)
        state = RunFolder(options).state
        epochs.append(state.epoch)
        assert [row["epoch"] for row in state.history] == list(range(1, state.epoch + 1))
        assert [row["loss"] for row in state.history] == losses(whole)[: state.epoch]
        if state.checkpoint is not None:
            with np.load(run / state.checkpoint) as arrays:
                assert all(np.isfinite(arrays[name]).all() for name in arrays.files)

    begun = [run for run, epoch in zip(chosen, epochs, strict=True) if 0 < epoch < 4] or copies[-1:]
    goes_on = run_process(script, *flags, *where, begun[0], "--resume")
    assert goes_on.returncode == 0, goes_on.stderr
    assert losses(begun[0]) == pytest.approx(losses(whole), rel=1e-5)
    assert not list(begun[0].glob(".part*"))
