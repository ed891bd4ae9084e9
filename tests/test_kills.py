"""Runs that are killed again and again end as a run that nobody disturbed."""

import contextlib
import csv
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from models.weights import load_network
from tests.conftest import ROOT

KILLS = 10
FEW = ["--limit", 24, "--epochs", 4, "--batch-size", 4, "--precision", "float32", "--deterministic", "--seed", 3]
NEW = ["--preset", "tiny", "--input-size", 32]


class Server:
    """`tests.fork_server` of a script: runs that need not import TensorFlow."""

    def __init__(self, script, errors):
        self._errors = errors
        command = [sys.executable, "-m", "tests.fork_server", script]
        with open(errors, "w") as stream:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream, text=True
            )

    def run(self, flags, seconds=None):
        """The exit status of a run; -9 where it was killed after some seconds."""
        self.process.stdin.write(json.dumps([str(flag) for flag in flags]) + "\n")
        self.process.stdin.flush()
        number = int(self.process.stdout.readline())
        if seconds is not None:
            time.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.kill(number, signal.SIGKILL)
        return int(self.process.stdout.readline())

    @property
    def errors(self):
        """What its runs wrote to stderr."""
        return self._errors.read_text()

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


@pytest.fixture
def server(request, tmp_path):
    one = Server(request.param, tmp_path / "errors")
    yield one
    one.close()


def history(run):
    with open(run / "history.csv", newline="") as stream:
        return [{key: float(value) for key, value in row.items() if key != "minutes"} for row in csv.DictReader(stream)]


@pytest.mark.slow
@pytest.mark.parametrize("server", ["train_face", "train_ear", "train_face2ear"], indirect=True)
def test_a_run_killed_at_ten_random_moments_ends_as_one_that_nobody_disturbed(
    server, images, trained, tmp_path, request
):
    script = request.node.callspec.params["server"]
    network = ["--teacher", trained / "face.keras"] if script == "train_face2ear" else NEW
    flags = [*FEW, *network, "--data", images]
    start = time.monotonic()
    whole = tmp_path / "whole"
    assert server.run([*flags, "--run", whole, "--out", whole.with_suffix(".keras")]) == 0, server.errors
    length = time.monotonic() - start

    moments, runs, kills, status = random.Random(0), [], 0, 0
    while kills < KILLS or status != 0:
        if status == 0:
            runs.append(tmp_path / f"parted{len(runs)}")
        resume = ["--resume"] if (runs[-1] / "config.json").exists() else []
        undisturbed = kills == KILLS
        status = server.run(
            [*flags, "--run", runs[-1], "--out", runs[-1].with_suffix(".keras"), *resume],
            None if undisturbed else moments.uniform(0, length),
        )
        assert status in ((0,) if undisturbed else (0, -signal.SIGKILL)), server.errors
        kills += status != 0
    for run in runs:
        for one, other in zip(history(whole), history(run), strict=True):
            assert one == pytest.approx(other, rel=1e-5)
        pair = [load_network(each.with_suffix(".keras")).network.get_weights() for each in (whole, run)]
        for one, other in zip(*pair, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
        assert not list(run.glob(".part*"))
