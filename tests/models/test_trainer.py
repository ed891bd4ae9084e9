import keras
import numpy as np
import pytest

from data.augment import draw_warp
from data.datasets import Sample
from data.pipeline import NOWHERE, TrainingPipeline
from data.schemes import EAR, FACE
from models.config import preset_config
from models.cpm import build_network
from models.heatmaps import draw_heatmaps
from models.losses import squared_error
from models.trainer import LandmarkReader, StageTrainer, in_view, stages_loss
from tests.images import drawn_image
from utils.common.images import save_image
from utils.evaluation.scoring import score_samples
from utils.training.config import make_optimizer, recipe


def drawn_samples(folder, scheme, count, size=112):
    samples = []
    for k in range(count):
        image, points = drawn_image(scheme, size, np.random.default_rng(k), share=(0.5, 0.6))
        save_image(folder / f"{k}.png", image)
        samples.append(Sample(f"{k}.png", folder / f"{k}.png", points, str(k)))
    return samples


def test_a_network_overfits_eight_images_to_an_nme_below_one_per_cent(tmp_path, monkeypatch):
    """The proof that coordinates, stride, decoding and mirror agree, from the files to pixels of the originals."""
    monkeypatch.setattr("data.augment.ANY_SCALE_FRACTION", 0.0)
    monkeypatch.setattr("data.augment.ANY_ANGLE_FRACTION", 0.0)
    keras.utils.set_random_seed(0)
    samples = drawn_samples(tmp_path, FACE, 8)
    config = preset_config("tiny", {"face": tuple(range(68))}, norm="weight", stages=1, input_size=128)
    network = build_network(config)
    trainer = StageTrainer(network, config, FACE)
    steps = 350
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    trainer.compile(optimizer=keras.optimizers.Adam(schedule, clipnorm=1.0), jit_compile=False)
    # A little augmentation, mirror included: the same crop in every step would hide an error of half a cell.
    pipeline = TrainingPipeline(samples, FACE, config.input_size, 8, strength=0.05)
    assert any(draw_warp(FACE, samples[0].points, np.random.default_rng(k), 0.05).flip for k in range(8))
    trainer.fit(pipeline.batches(), steps_per_epoch=steps, epochs=1, verbose=0, shuffle=False)
    scores = score_samples(LandmarkReader(network, config, "face"), samples)
    assert scores.summary["nme"] < 1.0


def test_the_loss_is_the_sum_over_stages_of_the_stage_loss():
    config = preset_config("tiny", {"face": (3, 30)}, stages=2)
    points = np.random.default_rng(0).uniform(10, 50, (2, 68, 2)).astype(np.float32)
    target = np.asarray(draw_heatmaps(points[:, [3, 30]], 8, 8, config.sigma))
    outputs = {"stage1_face": target + 0.1, "stage2_face": target - 0.3}
    loss = stages_loss(points, outputs, "face", config, squared_error)
    assert float(loss) == pytest.approx(0.01 + 0.09, rel=1e-4)


def test_every_layer_of_every_stage_learns():
    import tensorflow as tf

    config = preset_config("tiny", {"ear": tuple(range(55))}, norm="weight", stages=3)
    trainer = StageTrainer(build_network(config), config, EAR)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    points = np.random.default_rng(1).uniform(10, 50, (2, 55, 2)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = trainer.compute_loss(images, points, trainer(images, training=True))
    gradients = tape.gradient(loss, trainer.trainable_variables)
    dead = [v.path for v, g in zip(trainer.trainable_variables, gradients, strict=True) if not np.abs(g).max() > 0]
    assert not dead


def test_a_subset_of_landmarks_trains_and_scores_in_the_whole_schemes_unit(tmp_path):
    samples = drawn_samples(tmp_path, FACE, 4)
    eyes = tuple(range(36, 48))
    config = preset_config("tiny", {"face": eyes})
    network = build_network(config)
    trainer = StageTrainer(network, config, FACE)
    trainer.compile(optimizer="adam", jit_compile=False)
    pipeline = TrainingPipeline(samples, FACE, 96, 4)
    trainer.fit(pipeline.batches(), steps_per_epoch=2, epochs=1, verbose=0, shuffle=False)
    scores = score_samples(LandmarkReader(network, config, "face"), samples)
    assert scores.predicted.shape == (4, 12, 2)
    assert set(scores.summary["nme_by_part"]) == {"right_eye", "left_eye"}
    truth = np.stack([sample.points for sample in samples])
    distance = np.linalg.norm(scores.predicted - truth[:, 36:48], axis=-1).mean(axis=1)
    assert scores.errors == pytest.approx(distance / np.linalg.norm(truth[:, 36] - truth[:, 45], axis=-1), rel=1e-4)


@pytest.mark.parametrize("scheme", [FACE, EAR])
def test_views_of_nobody_leave_the_tracked_nme_a_number(scheme):
    """All of their points lie in one far place: their error is 0 / 0, which must not reach the mean."""
    config = preset_config("tiny", {scheme.task: tuple(range(scheme.count))})
    trainer = StageTrainer(build_network(config), config, scheme)
    images = np.zeros((3, 64, 64, 3), np.uint8)
    points = np.random.default_rng(0).uniform(5, 60, (3, scheme.count * scheme.instances, 2)).astype(np.float32)
    outputs = trainer(images)
    alone = float(trainer.compute_metrics(images[:1], points[:1], {k: v[:1] for k, v in outputs.items()})["nme"])
    trainer.reset_metrics()
    points[1], points[2] = NOWHERE, np.nan
    assert float(trainer.compute_metrics(images, points, outputs)["nme"]) == pytest.approx(alone, rel=1e-5)
    assert 0 < alone < 100


def test_a_second_ear_that_nobody_annotated_is_no_error_and_a_false_face_is():
    images = np.zeros((1, 128, 128, 3), np.uint8)
    points = np.float32(np.random.default_rng(1).uniform(10, 30, (1, 68, 2)))  # a small box in one corner
    for task, count, free in (("ear", 55, True), ("face", 68, False)):
        config = preset_config("tiny", {task: tuple(range(count))})
        outputs = build_network(config)(images)
        known = stages_loss(points[:, :count], outputs, task, config, squared_error)
        far = np.zeros((1, 16, 16, 1), np.float32)
        far[:, 12:, 12:] = 1.0
        second = {name: maps + far for name, maps in outputs.items()}
        changed = float(stages_loss(points[:, :count], second, task, config, squared_error)) != float(known)
        assert changed is not free


def test_two_annotated_ears_make_one_target_their_maximum_and_all_of_the_map_is_known():
    """Cao et al., equation 7, by hand: one landmark, two ears, a map of 16 x 16 cells."""
    config = preset_config("tiny", {"ear": (0,)}, stages=1)
    ears = np.random.default_rng(1).uniform(10, 40, (1, 110, 2)).astype(np.float32)
    ears[0, 55:] += 60
    down, across = np.mgrid[0:16, 0:16]
    each = [
        np.exp(-((across - (x + 0.5) / 8 + 0.5) ** 2 + (down - (y + 0.5) / 8 + 0.5) ** 2) / config.sigma**2)
        for x, y in ears[0, [0, 55]]
    ]
    target = np.float32(np.maximum(*each)[None, ..., None])
    loss = float(stages_loss(ears, {"stage1_ear": target}, "ear", config, squared_error))
    assert loss == pytest.approx(0, abs=1e-9)
    far = np.zeros((1, 16, 16, 1), np.float32)
    far[0, 0, 15] = 1.0  # beyond three sides of the first ear
    for second, counted in ((ears[:, 55:], 1), (np.full((1, 55, 2), NOWHERE), 1), (np.full((1, 55, 2), np.nan), 0)):
        points = np.float32(np.concatenate([ears[:, :55], second], axis=1))
        alone = each[0] if second[0, 0, 0] != ears[0, 55, 0] else np.maximum(*each)
        wrong = np.float32(alone[None, ..., None]) + far
        loss = float(stages_loss(points, {"stage1_ear": wrong}, "ear", config, squared_error))
        assert loss == pytest.approx(counted / 256, abs=1e-6)


def test_a_landmark_that_is_not_annotated_changes_no_weight():
    config = preset_config("tiny", {"ear": tuple(range(55))})
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    points = np.random.default_rng(1).uniform(10, 50, (1, 55, 2)).astype(np.float32)
    outputs = build_network(config)(images)
    points[0, 7] = np.nan
    before = stages_loss(points, outputs, "ear", config, squared_error)
    wild = {name: maps + 100.0 * (np.arange(55) == 7) for name, maps in outputs.items()}
    after = stages_loss(points, wild, "ear", config, squared_error)
    assert np.isfinite(float(before))
    assert float(after) == pytest.approx(float(before), rel=1e-5)


def test_views_that_look_away_do_not_count_in_the_error_of_the_training_views():
    points = np.full((3, 68, 2), 500, np.float32)
    points[0], points[1, 5] = 20, (63.4, 0)
    points[2, :, 0] = 10  # beside the view, though half of each place is inside
    assert np.asarray(in_view(points, 64)).tolist() == [1, 1, 0]


def test_full_starts_to_learn_under_its_recipe(tmp_path):
    """With the recipe of lite, standardised kernels and ten times the rate, its loss leaps to a thousand times."""
    keras.utils.set_random_seed(0)
    how = recipe("full")
    config = preset_config("full", {"face": tuple(range(68))}, norm=how.norm, input_size=64)
    trainer = StageTrainer(build_network(config), config, FACE)
    trainer.compile(optimizer=make_optimizer(how.learning_rate, epochs=1, steps=60))
    pipeline = TrainingPipeline(drawn_samples(tmp_path, FACE, 16), FACE, config.input_size, 4)
    batches = iter(pipeline.batches())
    losses = []
    for _ in range(20):
        trainer.reset_metrics()
        losses.append(float(trainer.train_on_batch(*next(batches), return_dict=True)["loss"]))
    assert max(losses) < 1.2 * losses[0]
    assert min(losses[-5:]) < 0.9 * losses[0]
