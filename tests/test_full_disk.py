"""Every writer of files on a full disk: one line, and what was there before stays."""

import contextlib
import os
import resource

import numpy as np
import pytest

from data.annotation import Annotation
from data.datasets import Sample, write_split
from data.formats import write_300w_lp, write_pts
from data.schemes import FACE
from tests.conftest import input_error, run_script
from utils.common.files import write_csv, write_json
from utils.common.images import save_image
from utils.demo.sources import Source
from utils.demo.writers import open_target
from utils.evaluation.plots import new_figure, plot_ced, write_figure
from utils.training.config import RunOptions
from utils.training.plots import plot_history
from utils.training.run_folder import RunFolder

POINTS = np.random.default_rng(0).uniform(0, 64, (68, 2)).astype(np.float32)
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
ROW = {"epoch": 1.0, "loss": 0.5, "nme": 10.0, "minutes": 0.1}


@contextlib.contextmanager
def full_disk(room):
    """A write beyond `room` bytes of a file fails, as on a full disk.

    pytest's stderr is a file. A C++ library whose line does not fit there says nothing for the rest of the process, so
    meanwhile stderr is a pipe; what it got is written to stderr afterwards.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    held, (reads, writes) = os.dup(2), os.pipe()
    os.dup2(writes, 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        os.dup2(held, 2)
        for end in (held, writes):
            os.close(end)
        with open(reads, "rb") as stream:
            os.write(2, stream.read())


def write_film(path):
    with open_target(path, Source("clip.mp4", "video"), 10) as file:
        for k in range(60):
            file.write(np.roll(np.tile(NOISE, (3, 4, 1)), k, axis=1), k / 10)


def write_animation(path):
    with open_target(path, Source("clip.mp4", "video"), 10) as file:
        for k in range(8):
            file.write(np.roll(NOISE, k, axis=1), k / 10)


def write_a_split(path):
    samples = [Sample(f"face{k}.jpg", path, Annotation.of(FACE, POINTS), f"g{k}") for k in range(50)]
    write_split(path, {"train": samples, "validation": [], "test": []})


WRITERS = {
    "a.json": lambda path: write_json(path, list(range(500))),
    "a.csv": lambda path: write_csv(path, [("name", "part")] * 300),
    "split.csv": write_a_split,
    "a.pts": lambda path: write_pts(path, POINTS),
    "a_pts.mat": lambda path: write_300w_lp(path, POINTS, POINTS),
    "a.png": lambda path: save_image(path, NOISE),
    "a.jpg": lambda path: save_image(path, NOISE),
    "ced.png": lambda path: plot_ced(path, {"a": np.linspace(0, 0.1, 50)}, 0.08, "title"),
    "curves.png": lambda path: plot_history(path, [ROW], "title"),
    "figure.png": lambda path: write_figure(path, new_figure("title", 1)[0]),
    "film.mp4": write_film,
    "film.webp": write_animation,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_on_a_full_disk_says_so_and_keeps_what_was_there(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"before")
    with full_disk(500), input_error(name, "cannot be written"):
        WRITERS[name](path)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]
    WRITERS[name](path)
    assert path.stat().st_size > 500 and list(tmp_path.iterdir()) == [path]


@pytest.fixture(scope="module")
def trainer():
    from models.config import preset_config
    from models.cpm import build_network
    from models.trainer import StageTrainer
    from utils.training.start import make_optimizer

    config = preset_config("tiny", {"face": tuple(range(68))}, input_size=32)
    trainer = StageTrainer(build_network(config), config, FACE)
    trainer.compile(optimizer=make_optimizer(0.001, 10))
    trainer.optimizer.build(trainer.trainable_variables)
    return trainer


def test_weights_on_a_full_disk(trainer, tmp_path):
    from models.weights import save_network, write_half

    path = tmp_path / "a.keras"
    for room in (100, 200_000):
        path.write_bytes(b"before")
        with full_disk(room), input_error("a.keras", "cannot be written"):
            save_network(path, trainer.network, trainer.config, {})
        assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]
    save_network(path, trainer.network, trainer.config, {})
    with full_disk(200_000), input_error("half.keras", "cannot be written"):
        write_half(path, tmp_path / "half.keras")
    assert list(tmp_path.iterdir()) == [path]


def test_an_epoch_on_a_full_disk_leaves_the_epoch_before(trainer, tmp_path, capfd):
    run = RunFolder(RunOptions(tmp_path / "run", resume=False, workers=0))
    run.save_epoch(trainer, ROW)
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    for room in (100, 100_000):
        with full_disk(room), input_error("checkpoint-0002.npz", "cannot be written"):
            run.save_epoch(trainer, ROW | {"epoch": 2.0})
        assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before
    assert capfd.readouterr().err == ""  # HDF5 has 56 lines to say of it
    run.restore(trainer)


def test_scores_on_a_full_disk(images, trained, tmp_path):
    with full_disk(3000):
        done = run_script("utils.evaluate", trained / "face.keras", images, "--task", "face", "--limit", 3,
                          "--allow-trained", "--out", tmp_path / "scores")  # fmt: skip
    assert done.returncode == 2 and "cannot be written" in done.stderr and done.stderr.count("\n") == 1
