"""The callbacks of a run, in the order in which a script has them, on a model whose losses are known."""

import json
import math

import keras
import numpy as np
import pytest

from data.datasets import find_samples
from data.schemes import FACE
from models.config import preset_config
from models.cpm import build_network
from models.trainer import LandmarkReader
from tests.conftest import input_error
from utils.common.cli import InputError
from utils.training.callbacks import (
    BestNetwork,
    Checkpoint,
    LossWatch,
    ProgressBar,
    Restore,
    Validation,
    clear_errors,
)
from utils.training.config import RunOptions
from utils.training.run_folder import RunFolder

CONFIG = preset_config("tiny", {"face": (36, 45)}, stages=1, input_size=32)


class GivenLosses(keras.Model):
    """A model whose loss is its input: what `fit` tells the callbacks is as in a real run."""

    def __init__(self):
        super().__init__()
        self.weight = self.add_weight(shape=())
        self.built = True

    def call(self, x, training=None):
        return x + 0.0 * self.weight

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(y_pred)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return self.get_metrics_result() | {"nme": 0.5}


class GivenValidation(keras.callbacks.Callback):
    """Adds NMEs that are given, fractions by name, an epoch after the other."""

    def __init__(self, answers):
        super().__init__()
        self.answers = iter(answers)

    def on_epoch_end(self, epoch, logs=None):
        logs.update(next(self.answers))


class Batches:
    """A pipeline's counts, as the progress bar reads them."""

    batch_size, problem = 1, None

    def __init__(self, steps):
        self.steps = steps


def train(folder, epochs, answers=None, resume=False):
    """Train on epochs of step losses; returns the run folder."""
    run = RunFolder(RunOptions(folder / "run", resume=resume, workers=0))
    answers = [{"val_nme": 0.05}] * len(epochs) if answers is None else answers
    model = GivenLosses()
    model.compile(optimizer="sgd")
    losses = np.float32(epochs).reshape(-1, 1)
    model.fit(
        losses,
        losses,
        batch_size=1,
        steps_per_epoch=len(epochs[0]),
        initial_epoch=run.state.epoch,
        epochs=len(epochs),
        shuffle=False,
        callbacks=[
            GivenValidation(answers),
            BestNetwork(run, build_network(CONFIG), CONFIG, {}),
            Restore(run),
            Checkpoint(run),
            ProgressBar(run, Batches(len(epochs[0])), len(epochs)),
            LossWatch(),
        ],
        verbose=0,
    )
    return run


def test_steps_whose_loss_jumps_are_counted_once_an_epoch(tmp_path, capsys):
    calm = list(np.random.default_rng(0).uniform(0.5, 2, 40) * np.linspace(8, 0.1, 40))
    jumping = [*calm[:10], 3e3, *calm[11:20], 2e6, *calm[21:]]
    train(tmp_path / "jumping", [calm + jumping])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0].startswith("epoch   1")
    assert "2 of 80 steps" in lines[1]
    train(tmp_path / "calm", [calm])
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run_in_one_line(tmp_path, lost):
    with input_error("step 3", "--learning-rate"):
        train(tmp_path, [[1.0, 2.0, lost, 1.0]])


def test_without_validation_images_the_last_epoch_is_kept_and_the_lines_say_so(tmp_path, capsys):
    run = train(tmp_path, [[1.0, 1.0]] * 2, [{"val_nme": math.nan}] * 2)
    assert run.state.best_epoch == 2 and run.state.best_nme is None
    said = capsys.readouterr().out
    assert "no validation images" in said and "nan" not in said


def test_a_run_without_validation_images_resumes_with_its_history(tmp_path):
    train(tmp_path, [[1.0]], [{"val_nme": math.nan}])
    run = train(tmp_path, [[1.0], [1.0]], [{"val_nme": math.nan}], resume=True)
    assert [row["epoch"] for row in run.state.history] == [1, 2]


def test_of_two_tasks_the_epoch_with_the_lowest_sum_is_kept_and_losses_do_not_count(tmp_path, capsys):
    figures = [(0.05, 0.04, 1.0), (0.06, 0.025, 9.0), (0.04, 0.05, 0.0)]
    names = ("val_ear_nme", "val_face_nme", "val_attention")
    run = train(tmp_path, [[1.0]] * 3, [dict(zip(names, each, strict=True)) for each in figures])
    assert run.state.best_epoch == 2 and run.state.best_nme == pytest.approx(8.5)
    assert "validation ear NME 6.00 %, face NME 2.50 %" in capsys.readouterr().out
    assert [row["val_attention"] for row in run.state.history] == [1.0, 9.0, 0.0]


def test_a_resumed_run_goes_on_from_its_epoch_with_its_best_network(tmp_path, capsys):
    train(tmp_path, [[1.0]] * 2, [{"val_nme": 0.03}, {"val_nme": 0.05}])
    run = train(tmp_path, [[1.0]] * 3, [{"val_nme": 0.04}], resume=True)
    assert (run.state.epoch, run.state.best_epoch) == (3, 1)
    assert len(list(run.path.glob("checkpoint-*"))) == 1
    capsys.readouterr()
    train(tmp_path, [[1.0]] * 3, resume=True)
    assert "has all of its 3 epochs" in capsys.readouterr().out


def test_a_run_that_cannot_be_resumed_is_named(tmp_path):
    run = train(tmp_path, [[1.0]])
    (run.path / run.state.checkpoint).write_bytes(b"no checkpoint")
    with input_error(run.state.checkpoint, "cannot be resumed"):
        train(tmp_path, [[1.0]] * 2, resume=True)
    (run.path / run.state.checkpoint).unlink()
    with input_error(run.state.checkpoint, "missing"):
        train(tmp_path, [[1.0]] * 2, resume=True)
    run.best.unlink()
    with input_error("best.keras", "missing"):
        train(tmp_path, [[1.0]] * 2, resume=True)
    state = json.loads((run.path / "state.json").read_text())
    for spoilt in (
        {},
        [],
        *({name: value for name, value in state.items() if name != left_out} for left_out in state),
        *(state | {"history": value} for value in ([1], [[]], False, math.inf, -1, 0, None, [{"loss": "1"}])),
        *(state | {"epoch": value} for value in ("x", -1, 10**12, 1.0, True)),
        *(state | {"checkpoint": value} for value in (5, [], "../../secret.npz", "checkpoint-0001.weights.h5")),
        *(state | {name: value} for name in ("minutes", "best_nme", "best_epoch") for value in ("1", [], math.nan)),
    ):
        (run.path / "state.json").write_text(json.dumps(spoilt))
        with input_error("state.json"):
            train(tmp_path, [[1.0]] * 2, resume=True)


class LostReader(LandmarkReader):
    """A reader whose network has lost its numbers: every point is NaN."""

    def predict_on_batch(self, images):
        answer = super().predict_on_batch(images)
        return answer | {"face_points": np.full_like(answer["face_points"], np.nan)}


def test_a_network_that_answers_no_numbers_never_counts_as_the_best(faces):
    samples = find_samples([faces], FACE).samples[:2]
    logs = {}
    with input_error("--learning-rate"):
        Validation({"val_nme": (LostReader(build_network(CONFIG), CONFIG), samples)}, 2).on_epoch_end(0, logs)
    assert logs == {}
    Validation({"val_nme": (LostReader(build_network(CONFIG), CONFIG), [])}, 2).on_epoch_end(0, logs)
    assert math.isnan(logs["val_nme"])


def test_what_stopped_the_pipeline_is_told_in_its_own_words(tmp_path):
    run = RunFolder(RunOptions(tmp_path / "run", resume=False, workers=0))
    batches = Batches(1)
    batches.problem = InputError("a.jpg: empty file")
    with input_error("a.jpg: empty file"), clear_errors(run, batches):
        raise RuntimeError("pages of words")
    batches.problem = None
    with pytest.raises(RuntimeError, match="pages of words"), clear_errors(run, batches):
        raise RuntimeError("pages of words")


def test_a_run_without_its_state_is_not_begun_anew_over_later_epochs(tmp_path):
    """A kill in the first epoch leaves a checkpoint and no state; later ones never do."""
    (tmp_path / "checkpoint-0001.npz").write_bytes(b"")
    assert RunFolder(RunOptions(tmp_path, resume=True, workers=0)).state.epoch == 0
    (tmp_path / "checkpoint-0002.npz").write_bytes(b"")
    with input_error("--resume", "state.json is missing"):
        RunFolder(RunOptions(tmp_path, resume=True, workers=0))
