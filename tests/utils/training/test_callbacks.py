import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from models.config import preset_config
from tests.conftest import input_error
from utils.training import config as training
from utils.training.callbacks import EpochLoop


class Bar(list):
    """What a progress bar is asked to say."""

    write = list.append

    def set_postfix(self, **figures):
        pass

    def update(self, count):
        pass


class LossAsTold(keras.Model):
    """A model whose loss is its input: what `fit` tells the callbacks is as in a real run."""

    def __init__(self):
        super().__init__()
        self.weight = self.add_weight(shape=())
        self.config = preset_config("tiny", {"face": (0,)})
        self.built = True

    def call(self, x, training=None):
        return x + 0.0 * self.weight

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(y_pred)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return self.get_metrics_result() | {"nme": 0.5}


def train(epochs, validate=lambda size: {"val_nme": 5.0}):
    """Train on epochs of step losses; returns what was said and the epochs whose network was kept."""
    state = {"epoch": 0, "best_nme": None, "best_epoch": 0, "minutes": 0.0}
    run = SimpleNamespace(state=state, save_epoch=lambda model, row: None)
    pipeline = SimpleNamespace(size=64, steps=len(epochs[0]), batch_size=1)
    said, kept = Bar(), []
    loop = EpochLoop(run, validate, lambda epoch, nme, size: kept.append(epoch), said, pipeline)
    model = LossAsTold()
    model.compile(optimizer="sgd")
    losses = np.float32(epochs).reshape(-1, 1)
    model.fit(
        losses,
        losses,
        batch_size=1,
        steps_per_epoch=len(epochs[0]),
        epochs=len(epochs),
        shuffle=False,
        callbacks=[loop],
        verbose=0,
    )
    return said, kept


def test_steps_whose_loss_jumps_are_counted_and_told_once_an_epoch():
    calm = list(np.random.default_rng(0).uniform(0.5, 2, 40) * np.linspace(8, 0.1, 40))
    jumping = [*calm[:10], 3e3, *calm[11:20], 2e6, *calm[21:]]
    said, _ = train([calm + jumping])
    assert len(said) == 2
    assert "2 of 80 steps" in said[1] and "\n" not in said[1]
    assert len(train([calm])[0]) == 1


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run_in_one_line(lost):
    with input_error("step 3", "--learning-rate"):
        train([[1.0, 2.0, lost, 1.0]])


def test_without_validation_images_the_last_epoch_is_kept_and_the_lines_say_so():
    said, kept = train([[1.0, 1.0]], validate=lambda size: {"val_nme": math.nan})
    assert kept == [1]
    assert "no validation images" in said[0] and "nan" not in said[0]


def test_of_two_tasks_the_epoch_with_the_lowest_sum_is_kept_and_losses_do_not_count():
    answers = iter([(5.0, 4.0, 1.0), (6.0, 2.5, 9.0), (4.0, 5.0, 0.0)])
    names = ("val_ear_nme", "val_face_nme", "val_attention")
    said, kept = train([[1.0]] * 3, validate=lambda size: dict(zip(names, next(answers), strict=True)))
    assert kept == [1, 2]
    assert "validation ear NME 6.00 %, face NME 2.50 %" in said[1]


def test_a_network_that_answers_no_numbers_never_counts_as_the_best(monkeypatch):
    lost = SimpleNamespace(summary={"nme": math.nan})
    monkeypatch.setattr(training, "score_samples", lambda *options: lost)
    args = SimpleNamespace(batch_size=4)
    assert math.isnan(training.validation_nme(None, [], args, 64))
    with input_error("--learning-rate"):
        training.validation_nme(None, ["an image"], args, 64)
