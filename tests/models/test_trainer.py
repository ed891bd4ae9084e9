import keras
import numpy as np
import pytest

from data.annotation import Annotation, stack_annotations
from data.augment import draw_warp
from data.datasets import Sample
from data.pipeline import TrainingPipeline
from data.schemes import EAR, FACE, reference_shape
from models import metrics as training_metrics
from models.config import preset_config
from models.cpm import build_network, freeze_trunk
from models.heatmaps import draw_heatmaps
from models.losses import squared_error
from models.trainer import LandmarkReader, StageTrainer, shows_points, stages_loss
from tests.images import drawn_image
from utils.common.images import save_image
from utils.evaluation import metrics
from utils.evaluation.scoring import score_samples
from utils.training.config import preset_defaults
from utils.training.start import make_optimizer


def drawn_samples(folder, scheme, count, size=112):
    samples = []
    for k in range(count):
        image, points = drawn_image(scheme, size, np.random.default_rng(k), extent=(0.5, 0.6))
        save_image(folder / f"{k}.png", image)
        samples.append(Sample(f"{k}.png", folder / f"{k}.png", Annotation.of(scheme, points), str(k)))
    return samples


def target_of(scheme, points, others=None):
    """What a loss takes of a batch: all landmarks of points (batch, landmarks, 2), `others` for each image alike."""
    return stack_annotations([Annotation.of(scheme, each, others) for each in points])


@pytest.mark.slow
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
    pipeline = TrainingPipeline(samples, FACE, size=config.input_size, batch_size=8, augment=0.05)
    assert any(draw_warp(FACE, samples[0].points, np.random.default_rng(k), 0.05).flip for k in range(8))
    trainer.fit(pipeline.batches(), steps_per_epoch=steps, epochs=1, verbose=0, shuffle=False)
    scores = score_samples(LandmarkReader(network, config, ("face",)), samples)
    assert scores.summary["nme"] < 1.0


def test_the_loss_is_the_sum_over_stages_of_the_stage_loss():
    config = preset_config("tiny", {"face": (3, 30)}, stages=2)
    points = np.random.default_rng(0).uniform(10, 50, (2, 68, 2)).astype(np.float32)
    drawn = np.asarray(draw_heatmaps(points[:, None, [3, 30]], np.ones((2, 1, 2), bool), 8, 8, config.sigma))
    outputs = {"stage1_face": drawn + 0.1, "stage2_face": drawn - 0.3}
    loss = stages_loss(target_of(FACE, points), outputs, "face", config, squared_error)
    assert float(loss) == pytest.approx(0.01 + 0.09, rel=1e-4)


def test_every_layer_of_every_stage_learns():
    import tensorflow as tf

    config = preset_config("tiny", {"ear": tuple(range(55))}, norm="weight", stages=3)
    trainer = StageTrainer(build_network(config), config, EAR)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    points = np.random.default_rng(1).uniform(10, 50, (2, 55, 2)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = trainer.compute_loss(images, {"ear": target_of(EAR, points)}, trainer(images, training=True))
    gradients = tape.gradient(loss, trainer.trainable_variables)
    dead = [v.path for v, g in zip(trainer.trainable_variables, gradients, strict=True) if not np.abs(g).max() > 0]
    assert not dead


def test_frozen_blocks_keep_their_weights_while_the_others_learn(tmp_path):
    config = preset_config("tiny", {"face": (30, 33)}, norm="weight")
    network = build_network(config)
    freeze_trunk(network, 2)
    before = {layer.name: layer.get_weights() for layer in network.layers if layer.get_weights()}
    trainer = StageTrainer(network, config, FACE)
    trainer.compile(optimizer="adam", jit_compile=False)
    pipeline = TrainingPipeline(drawn_samples(tmp_path, FACE, 2), FACE, size=64, batch_size=2)
    trainer.fit(pipeline.batches(), steps_per_epoch=2, epochs=1, verbose=0, shuffle=False)
    kept = {
        name
        for name, arrays in before.items()
        if all(map(np.array_equal, arrays, network.get_layer(name).get_weights()))
    }
    assert kept == {f"trunk{block}_conv{k}" for block in (1, 2) for k in (1, 2)}


def test_a_subset_of_landmarks_trains_and_scores_in_the_whole_schemes_unit(tmp_path):
    samples = drawn_samples(tmp_path, FACE, 4)
    eyes = tuple(range(36, 48))
    config = preset_config("tiny", {"face": eyes})
    network = build_network(config)
    trainer = StageTrainer(network, config, FACE)
    trainer.compile(optimizer="adam", jit_compile=False)
    pipeline = TrainingPipeline(samples, FACE, size=96, batch_size=4)
    trainer.fit(pipeline.batches(), steps_per_epoch=2, epochs=1, verbose=0, shuffle=False)
    scores = score_samples(LandmarkReader(network, config, ("face",)), samples)
    assert scores.predicted.shape == (4, 12, 2)
    assert set(scores.summary["nme_by_part"]) == {"right_eye", "left_eye"}
    truth = np.stack([sample.points for sample in samples])
    distance = np.linalg.norm(scores.predicted - truth[:, 36:48], axis=-1).mean(axis=1)
    assert scores.errors == pytest.approx(distance / np.linalg.norm(truth[:, 36] - truth[:, 45], axis=-1), rel=1e-4)


@pytest.mark.parametrize("scheme", [FACE, EAR])
def test_only_crops_that_show_points_count_in_the_tracked_nme(scheme):
    """Where nothing is present an error is 0 / 0, which must not reach the mean."""
    config = preset_config("tiny", {scheme.task: tuple(range(scheme.count))})
    trainer = StageTrainer(build_network(config), config, scheme)
    images = np.zeros((4, 64, 64, 3), np.uint8)
    points = np.random.default_rng(0).uniform(5, 60, (scheme.count, 2)).astype(np.float32)
    shown, background = Annotation.of(scheme, points), Annotation.of(scheme, points + 200)
    batch = stack_annotations([shown, Annotation.absent(scheme), Annotation.unknown(scheme), background])
    outputs = trainer(images)
    one = {name: array[:1] for name, array in batch.items()}
    alone = trainer.compute_metrics(images[:1], {scheme.task: one}, {k: v[:1] for k, v in outputs.items()})["nme"]
    alone = float(alone)
    trainer.reset_metrics()
    assert float(trainer.compute_metrics(images, {scheme.task: batch}, outputs)["nme"]) == pytest.approx(
        alone, rel=1e-5
    )
    assert 0 < alone < 100


def test_a_false_face_is_an_error_anywhere_and_an_ear_that_nobody_looked_for_is_none():
    images = np.zeros((1, 128, 128, 3), np.uint8)
    points = np.float32(np.random.default_rng(1).uniform(10, 30, (1, 68, 2)))  # a small box in one corner
    for scheme, free in ((EAR, True), (FACE, False)):
        config = preset_config("tiny", {scheme.task: tuple(range(scheme.count))})
        outputs = build_network(config)(images)
        target = target_of(scheme, points[:, : scheme.count])
        known = float(stages_loss(target, outputs, scheme.task, config, squared_error))
        far = np.zeros((1, 16, 16, 1), np.float32)
        far[:, 12:, 12:] = 1.0
        second = {name: maps + far for name, maps in outputs.items()}
        changed = float(stages_loss(target, second, scheme.task, config, squared_error)) != known
        assert changed is not free


class TestMasks:
    """One landmark of an ear, a map of 16 x 16 cells, an empty answer but for one wrong cell: all by hand."""

    CONFIG = preset_config("tiny", {"ear": (0,)}, stages=1)
    EAR_POINTS = np.random.default_rng(1).uniform(10, 40, (55, 2)).astype(np.float32)
    ALONE = np.zeros((0, 55, 2), np.float32)

    def gaussian(self, point):
        down, across = np.mgrid[0:16, 0:16]
        x, y = (point + 0.5) / 8 - 0.5
        return np.float32(np.exp(-((across - x) ** 2 + (down - y) ** 2) / self.CONFIG.sigma**2))

    def loss(self, annotation, answer):
        outputs = {"stage1_ear": answer[None, ..., None]}
        return float(stages_loss(stack_annotations([annotation]), outputs, "ear", self.CONFIG, squared_error))

    def far(self, *places):
        """Wrong by 1 in cells beyond three sides of the ear."""
        wrong = np.zeros((16, 16), np.float32)
        for row, column in places:
            wrong[row, column] = 1
        return wrong

    def test_a_negative_has_an_empty_target_and_weight_everywhere(self):
        empty = np.zeros((16, 16), np.float32)
        assert self.loss(Annotation.absent(EAR), empty) == 0
        for row, column in ((0, 0), (0, 15), (8, 3), (15, 15)):
            assert self.loss(Annotation.absent(EAR), self.far((row, column))) == pytest.approx(1 / 256)

    def test_what_nobody_looked_for_has_no_weight_at_all(self):
        assert self.loss(Annotation.unknown(EAR), np.ones((16, 16), np.float32)) == 0

    def test_where_nobody_looked_for_a_second_ear_only_what_is_near_the_first_counts(self):
        annotation = Annotation.of(EAR, self.EAR_POINTS)
        target = self.gaussian(self.EAR_POINTS[0])
        assert self.loss(annotation, target) == pytest.approx(0, abs=1e-9)
        assert self.loss(annotation, target + self.far((0, 15), (15, 15))) == pytest.approx(0, abs=1e-9)
        # The box is about 30 px wide round (25, 25), and three sides of it reach to about 70 px: cell 3 is within.
        assert self.loss(annotation, target + self.far((3, 3), (15, 15))) == pytest.approx(1 / 256, abs=1e-6)

    def test_where_there_is_no_second_ear_everything_counts(self):
        annotation = Annotation.of(EAR, self.EAR_POINTS, others=self.ALONE)
        target = self.gaussian(self.EAR_POINTS[0])
        assert self.loss(annotation, target) == pytest.approx(0, abs=1e-9)
        assert self.loss(annotation, target + self.far((0, 15), (15, 15))) == pytest.approx(2 / 256, abs=1e-6)

    def test_a_second_ear_is_in_the_target_and_everything_counts(self):
        """Cao et al., equation 7: the maximum of the two."""
        second = self.EAR_POINTS + 60
        annotation = Annotation.of(EAR, self.EAR_POINTS, others=second[None])
        target = np.maximum(self.gaussian(self.EAR_POINTS[0]), self.gaussian(second[0]))
        assert self.loss(annotation, target) == pytest.approx(0, abs=1e-9)
        assert self.loss(annotation, target + self.far((0, 15))) == pytest.approx(1 / 256, abs=1e-6)
        first = self.gaussian(self.EAR_POINTS[0])
        assert self.loss(annotation, first) == pytest.approx(float(np.square(target - first).mean()), rel=1e-4)

    def test_a_landmark_that_is_not_annotated_changes_no_weight(self):
        config = preset_config("tiny", {"ear": tuple(range(55))})
        images = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
        outputs = build_network(config)(images)
        target = target_of(EAR, self.EAR_POINTS[None])
        for name in ("annotated", "present"):
            target[name][0, 0, 7] = False
        before = stages_loss(target, outputs, "ear", config, squared_error)
        wild = {name: maps + 100.0 * (np.arange(55) == 7) for name, maps in outputs.items()}
        after = stages_loss(target, wild, "ear", config, squared_error)
        assert float(before) > 0
        assert float(after) == pytest.approx(float(before), rel=1e-5)


def test_crops_of_background_show_no_points():
    points = np.full((4, 68, 2), 500, np.float32)
    points[0], points[1, 5], points[3] = 20, (63.4, 0), 20
    points[2, :, 0] = 10  # beside the crop, though half of each place is inside
    present = np.ones((4, 68), bool)
    present[3, 8] = False
    assert np.asarray(shows_points(points, present, 64)).tolist() == [True, True, False, False]


@pytest.mark.parametrize("scheme", [FACE, EAR], ids=["face", "ear"])
def test_the_nme_of_training_is_that_of_the_scores(scheme):
    rng = np.random.default_rng(3)
    truth = (90 * reference_shape(scheme) + rng.normal(0, 3, (5, scheme.count, 2))).astype(np.float32)
    predicted = truth + rng.normal(0, 2, truth.shape).astype(np.float32)
    lengths = metrics.normaliser_length(truth, scheme)
    ours = training_metrics.normaliser_length(truth, scheme)
    assert np.asarray(ours) == pytest.approx(lengths, rel=1e-5)
    tracked = training_metrics.nme(truth, predicted, ours)
    assert np.asarray(tracked) == pytest.approx(metrics.nme(truth, predicted, lengths), rel=1e-5)


def test_batches_of_the_pipeline_go_into_every_way_of_keras(tmp_path):
    samples = drawn_samples(tmp_path, EAR, 4)
    config = preset_config("tiny", {"ear": tuple(range(55))}, input_size=32)
    trainer = StageTrainer(build_network(config), config, EAR)
    trainer.compile(optimizer=keras.optimizers.SGD(0.0), jit_compile=False)
    pipeline = TrainingPipeline(samples, EAR, size=32, batch_size=4)
    fitted = trainer.fit(pipeline.batches(), steps_per_epoch=1, verbose=0, shuffle=False).history
    evaluated = trainer.evaluate(pipeline.batches(), steps=1, verbose=0, return_dict=True)
    trainer.reset_metrics()
    trained = trainer.train_on_batch(*pipeline.batch(0), return_dict=True)
    for name in ("loss", "nme"):
        assert fitted[name][0] == pytest.approx(float(trained[name]), rel=1e-4)
        assert float(evaluated[name]) == pytest.approx(float(trained[name]), rel=1e-4)


def test_a_reader_answers_for_its_tasks_and_its_halves_give_the_whole():
    config = preset_config("tiny", {"face": (36, 45), "ear": (0, 20, 40)}, stages=1)
    network = build_network(config, with_features=True)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 48, 3), dtype=np.uint8)
    reader = LandmarkReader(network, config, with_maps=True)
    whole = reader.predict_on_batch(images)
    assert {name: array.shape for name, array in whole.items()} == {
        "face_points": (2, 2, 2), "face_confidence": (2, 2), "face_heat": (2, 8, 6),
        "ear_points": (2, 3, 2), "ear_confidence": (2, 3), "ear_heat": (2, 8, 6), "attention": (2, 8, 6),
    }  # fmt: skip
    halves = reader.decode(reader.heatmaps(images))
    alone = LandmarkReader(network, config, ("ear",)).predict_on_batch(images)
    assert set(alone) == {"ear_points", "ear_confidence"}
    for name in alone:
        np.testing.assert_allclose(alone[name], whole[name], atol=1e-4)
        np.testing.assert_allclose(halves[name], whole[name], atol=1e-4)


@pytest.mark.slow
def test_full_starts_to_learn_under_its_preset_defaults(tmp_path):
    """With the recipe of lite, standardised kernels and ten times the rate, its loss leaps to a thousand times."""
    keras.utils.set_random_seed(0)
    how = preset_defaults("full")
    config = preset_config("full", {"face": tuple(range(68))}, norm=how.norm, input_size=64)
    trainer = StageTrainer(build_network(config), config, FACE)
    trainer.compile(optimizer=make_optimizer(how.learning_rate, steps=60))
    pipeline = TrainingPipeline(drawn_samples(tmp_path, FACE, 16), FACE, size=config.input_size, batch_size=4)
    batches = iter(pipeline.batches())
    losses = []
    for _ in range(20):
        trainer.reset_metrics()
        losses.append(float(trainer.train_on_batch(*next(batches), return_dict=True)["loss"]))
    assert max(losses) < 1.2 * losses[0]
    assert min(losses[-5:]) < 0.9 * losses[0]
