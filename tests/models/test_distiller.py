"""What a student learns and keeps: strategies, pairing, freezing and forgetting."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from data.annotation import Annotation, stack_annotations
from data.augment import Warp
from data.schemes import EAR, FACE, read_scheme, register
from models import distiller
from models.config import preset_config
from models.cpm import build_network, fold_adapters
from models.distiller import Distiller, choose_trainable, paired_stage
from models.losses import distillation
from models.strategies import STRATEGIES, taught_tasks, with_task
from models.weights import LoadedModel, continue_from, load_network, save_network
from tests.conftest import input_error
from utils.demo.predictor import LandmarkPredictor
from utils.training.students import gradient_norms

FACE_HEAD = {"face": tuple(range(68))}
EAR_HEAD = tuple(range(55))


def face_network(tmp_path, **changes):
    """A face network as a file holds it, with random weights."""
    keras.utils.set_random_seed(1)
    config = preset_config("tiny", FACE_HEAD, input_size=64, norm="weight", **changes)
    network = build_network(config)
    for stage in range(1, config.stages + 1):  # heads that answer something
        head = network.get_layer(f"stage{stage}_face")
        head.set_weights([np.random.default_rng(stage).normal(0, 0.3, w.shape) for w in head.get_weights()])
    path = tmp_path / "face.keras"
    save_network(path, network, config, {})
    return load_network(path, with_features=True)


def student(teacher, strategy, norm="weight", **changes):
    from dataclasses import replace

    config = with_task(strategy, replace(teacher.config, norm=norm, **changes), EAR, EAR_HEAD)
    network = build_network(config, with_features=True)
    if not changes:
        continue_from(network, teacher, config.separate_tasks)
    choose_trainable(network, config, strategy, STRATEGIES[strategy].terms)
    return network, config


def batch(size=64, count=4, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    ears = rng.uniform(0.2 * size, 0.8 * size, (count, 55, 2)).astype(np.float32)
    known = stack_annotations([Annotation.of(EAR, points) for points in ears])
    return images, {"ear": known, "face": unknown(FACE, count)}


def unknown(scheme, count):
    return stack_annotations([Annotation.unknown(scheme)] * count)


def trainer_of(teacher, strategy, weights, **options):
    network, config = student(teacher, strategy)
    trainer = Distiller(network, config, weights, teacher, **options)
    trainer.compile(optimizer=keras.optimizers.Adam(1e-3))
    return trainer


def bytes_of(network):
    return b"".join(weight.tobytes() for weight in network.get_weights())


def test_a_student_that_starts_as_the_face_network_answers_the_same(tmp_path):
    teacher = face_network(tmp_path)
    images, _ = batch()
    network, _ = student(teacher, "distill-at")
    ours, theirs = network(images), teacher.network(images)
    for name in theirs:
        assert np.allclose(ours[name], theirs[name], atol=2e-3), name


def test_the_teacher_never_changes_and_the_student_does(tmp_path):
    teacher = face_network(tmp_path)
    trainer = trainer_of(teacher, "distill-at", {"ear": 1.0, "distillation": 1.0, "attention": 1.0})
    before, own = bytes_of(teacher.network), bytes_of(trainer.network)
    for _ in range(3):
        trainer.train_on_batch(*batch())
    assert bytes_of(teacher.network) == before
    assert bytes_of(trainer.network) != own


def test_every_term_is_tracked_under_its_own_name_and_the_loss_is_their_weighted_sum(tmp_path):
    teacher = face_network(tmp_path)
    weights = {"ear": 2.0, "distillation": 3.0, "attention": 0.5, "boundary": 0.25}
    trainer = trainer_of(teacher, "distill-at", weights)
    logs = trainer.train_on_batch(*batch(), return_dict=True)
    assert logs["loss"] == pytest.approx(sum(weight * logs[name] for name, weight in weights.items()), rel=1e-4)


def test_a_term_of_weight_zero_is_not_computed(tmp_path, monkeypatch):
    teacher = face_network(tmp_path)
    computed = []
    for name in ("stages_loss", "distillation", "attention_transfer", "activation_boundary"):
        real = getattr(distiller, name)
        monkeypatch.setattr(distiller, name, lambda *given, name=name, real=real: computed.append(name) or real(*given))
    monkeypatch.setattr(
        Distiller, "teach", lambda self, images, real=Distiller.teach: computed.append("teacher") or real(self, images)
    )

    def run(**weights):
        computed.clear()
        trainer = trainer_of(teacher, "distill-at", weights)
        images, targets = batch()
        trainer.loss_terms(images, targets, trainer(images))
        return computed

    assert run(ear=1.0, distillation=0.0, attention=0.0, boundary=0.0) == ["stages_loss"]
    assert run(ear=1.0, distillation=1.0, attention=0.0) == ["stages_loss", "teacher", "distillation"]
    everything = ["stages_loss", "teacher", "distillation", "attention_transfer", "activation_boundary"]
    assert run(ear=1.0, distillation=1.0, attention=1.0, boundary=1.0) == everything


def test_a_gradient_of_every_term_reaches_every_stage(tmp_path):
    import tensorflow as tf

    teacher = face_network(tmp_path)
    for name in ("ear", "distillation", "attention"):
        trainer = trainer_of(teacher, "distill-at", {name: 1.0})
        for layer in trainer.network.layers:  # away from the teacher, where distillation has no gradient
            if layer.weights:
                rng = np.random.default_rng(0)
                layer.set_weights([w + 0.05 * rng.standard_normal(w.shape) for w in layer.get_weights()])
        images, targets = batch()
        names = ["trunk1_conv1", "feature_map", "stage1_features", "stage2_conv1", "stage2_features"]
        kernels = {each: trainer.network.get_layer(each).kernel.value for each in names}
        with tf.GradientTape() as tape:
            loss = trainer.loss_terms(images, targets, trainer(images, training=True))[name]
        gradients = tape.gradient(loss, kernels)
        assert all(float(tf.norm(gradient)) > 0 for gradient in gradients.values()), name


@pytest.mark.parametrize("temperature", [None, 2.0])
def test_where_nobody_is_a_teacher_that_sees_a_face_is_not_believed(tmp_path, temperature):
    """The teacher's answers to two images of noise, of which one is known to show no face, are anything but 0."""
    trainer = trainer_of(face_network(tmp_path), "distill-at", {"distillation": 1.0}, temperature=temperature)
    images, targets = batch(count=2)
    absent = stack_annotations([Annotation.absent(FACE), Annotation.unknown(FACE)])
    outputs, taught = trainer(images), trainer.teach(images)
    stages = trainer.config.stages
    last = np.array(taught[f"stage{stages}_face"])
    assert np.abs(last[0]).max() > 0.1
    last[0] = 0
    maps = [outputs[f"stage{stage}_face"] for stage in range(1, stages + 1)]
    term = trainer.loss_terms(images, targets | {"face": absent}, outputs)["distillation"]
    assert float(term) == pytest.approx(float(distillation(maps, last, temperature, trainer.stage_loss)), rel=1e-5)
    believed = trainer.loss_terms(images, targets, outputs)["distillation"]
    assert abs(float(believed) - float(term)) > 1e-3 * float(term)


def learned_ears(tmp_path, teacher, network, config):
    """The images of three steps on ears alone, and the network as its file holds it then."""
    trainer = Distiller(network, config, {"ear": 1.0}, teacher)
    trainer.compile(optimizer=keras.optimizers.Adam(1e-2))
    images, targets = batch()
    for _ in range(3):
        trainer.train_on_batch(images, targets)
    save_network(tmp_path / "student.keras", network, config, {})
    return images, load_network(tmp_path / "student.keras", with_features=True)


def test_frozen_keeps_every_face_answer_to_the_last_bit_and_learns_ears(tmp_path):
    teacher = face_network(tmp_path)
    network, config = student(teacher, "frozen", norm="none")
    heads = [network.get_layer(f"stage{stage}_ear").get_weights()[0].copy() for stage in (1, 2)]
    images, saved = learned_ears(tmp_path, teacher, network, config)
    for stage, head in zip((1, 2), heads, strict=True):
        name = f"stage{stage}_face"
        assert np.array_equal(saved.network(images)[name], teacher.network(images)[name])
        assert not np.array_equal(network.get_layer(f"stage{stage}_ear").get_weights()[0], head)


def test_beside_replayed_faces_the_teacher_is_asked_about_those_alone(tmp_path):
    trainer = trainer_of(face_network(tmp_path), "distill-at", {"ear": 1.0, "distillation": 1.0, "attention": 1.0})
    moved = trainer.network.get_layer("trunk1_conv1")  # so that it no longer looks where its teacher looks
    moved.set_weights([weight + 0.1 for weight in moved.get_weights()])
    images, targets = batch()
    outputs = trainer(images)
    every, last = trainer.loss_terms(images, targets, outputs), trainer.loss_terms(images, targets, outputs, 3)
    alone = trainer.loss_terms(
        images[3:],
        {task: {name: array[3:] for name, array in target.items()} for task, target in targets.items()},
        {name: output[3:] for name, output in outputs.items()},
    )
    for name in ("distillation", "attention"):
        assert float(last[name]) == pytest.approx(float(alone[name]), rel=1e-5) != float(every[name])
    assert float(last["ear"]) == float(every["ear"])


def test_separate_gives_the_ear_a_body_of_its_own_in_one_file(tmp_path):
    teacher = face_network(tmp_path)
    network, config = student(teacher, "separate")
    trainable = {layer.name for layer in network.layers if layer.trainable_weights}
    assert "ear_trunk1_conv1" in trainable and "stage2_ear" in trainable
    assert not trainable & {"trunk1_conv1", "stage2_conv1", "stage2_face"}
    for name in ("trunk1_conv1", "feature_map", "stage2_conv1"):  # which starts as the face's
        theirs, copied = network.get_layer(name).get_weights(), network.get_layer(f"ear_{name}").get_weights()
        assert all(np.array_equal(*pair) for pair in zip(theirs, copied, strict=True))
    save_network(tmp_path / "pair.keras", network, config, {})
    loaded = load_network(tmp_path / "pair.keras")
    images, _ = batch()
    assert np.allclose(loaded.network(images)["stage2_ear"], network(images)["stage2_ear"], atol=2e-3)
    faces = build_network(teacher.config).count_params()
    assert loaded.network.count_params() > 1.9 * faces


def test_adapters_keep_every_face_answer_to_the_last_bit_and_learn_ears(tmp_path):
    teacher = face_network(tmp_path)
    network, config = student(teacher, "adapters", norm="none")
    images, saved = learned_ears(tmp_path, teacher, network, config)
    assert saved.config.adapter_tasks == ("ear",)
    folded, _ = fold_adapters(saved.network, saved.config)
    for stage in (1, 2):
        name = f"stage{stage}_face"
        for each in (saved.network, folded):
            assert np.array_equal(each(images)[name], teacher.network(images)[name])
        name = f"stage{stage}_ear"
        assert np.allclose(saved.network(images)[name], network(images)[name], atol=1e-5)
    adapter = network.get_layer("ear_adapter_stage2_conv3").get_weights()[0]
    assert np.abs(adapter).max() > 0
    extra = network.count_params() / teacher.network.count_params() - 1
    assert 0.05 < extra < 0.2
    predictor = LandmarkPredictor(tmp_path / "student.keras", precision="float32")
    alone = LandmarkPredictor(tmp_path / "face.keras", precision="float32")
    square = Warp((32, 32), 64)
    both = predictor.read_crops(images[0], {"face": square, "left": square, "right": square})
    assert np.array_equal(both["face"].points, alone.read_crops(images[0], {"face": square})["face"].points)
    assert np.array_equal(both["left"].points, both["right"].points)


def test_a_student_costs_the_face_network_and_its_ear_heads_only(tmp_path):
    teacher = face_network(tmp_path)
    network, config = student(teacher, "distill-at", norm="none")
    heads = sum(network.get_layer(f"stage{stage}_ear").count_params() for stage in range(1, config.stages + 1))
    assert network.count_params() == teacher.network.count_params() + heads


@pytest.mark.parametrize(
    ("stages", "teacher", "pairs"), [(3, 6, [2, 4, 6]), (2, 2, [1, 2]), (6, 3, [1, 1, 2, 2, 3, 3])]
)
def test_student_stages_are_paired_with_teacher_stages_evenly(stages, teacher, pairs):
    assert [paired_stage(stage, stages, teacher) for stage in range(1, stages + 1)] == pairs


def test_a_student_of_another_size_and_depth_learns_from_a_larger_teacher(tmp_path):
    teacher = face_network(tmp_path, stages=3)
    network, config = student(teacher, "distill-at", stages=2, input_size=32, width=0.25)
    weights = {"ear": 1.0, "distillation": 1.0, "attention": 1.0}
    trainer = Distiller(network, config, weights, teacher)
    trainer.compile(optimizer=keras.optimizers.Adam(1e-3))
    assert trainer.pipeline_size() == 64
    assert trainer(batch(64)[0])["stage1_ear"].shape[1:3] == (4, 4)  # 32 pixels
    logs = trainer.train_on_batch(*batch(64), return_dict=True)
    assert all(np.isfinite(value) for value in logs.values())
    with input_error("--boundary-weight"):
        Distiller(network, config, {"ear": 1.0, "boundary": 1.0}, teacher)


def test_a_smaller_student_is_taught_all_that_its_teacher_knows(tmp_path):
    network, config = student(face_network(tmp_path), "distill")
    save_network(tmp_path / "both.keras", network, config, {})
    teacher = load_network(tmp_path / "both.keras", with_features=True)
    small = replace(config, preset="nano", stages=1)
    taught = taught_tasks(teacher.config, small, EAR)
    assert taught == ("face", "ear")
    assert taught_tasks(teacher.config, config, EAR) == ("face",)  # it starts as its teacher, and learns other ears
    assert taught_tasks(teacher.config, replace(small, heads=config.heads | {"ear": (0, 1)}), EAR) == ("face",)
    own = build_network(small, with_features=True)
    trainer = Distiller(own, small, {"ear": 1.0, "distillation": 1.0}, teacher, taught=taught)
    images, targets = batch()
    outputs, theirs = own(images), teacher.network(images)
    parts = [
        float(distillation([outputs[f"stage1_{task}"]], theirs[f"stage2_{task}"], None, trainer.stage_loss))
        for task in taught
    ]
    assert min(parts) > 0
    assert float(trainer.loss_terms(images, targets, outputs)["distillation"]) == pytest.approx(sum(parts), rel=1e-5)


def test_a_teacher_can_look_at_a_smaller_image_than_it_was_trained_on(tmp_path):
    teacher = face_network(tmp_path)
    config = with_task("distill", teacher.config, EAR, EAR_HEAD)
    config = replace(config, input_size=32)
    student = build_network(config, with_features=True)
    trainer = Distiller(student, config, {"ear": 1.0, "distillation": 1.0}, teacher, teacher_size=32)
    assert trainer.pipeline_size() == 32 and teacher.config.input_size == 64
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    assert trainer.teach(images)["stage2_face"].shape[1:3] == (4, 4)


def test_points_are_scaled_with_the_images_that_the_student_sees(tmp_path):
    """A student of half the teacher's size has the same ear loss on an image as alone on the image at half size."""
    teacher = face_network(tmp_path)
    network, config = student(teacher, "distill-at", input_size=32)
    paired = Distiller(network, config, {"ear": 1.0, "distillation": 1.0}, teacher)
    alone = Distiller(network, config, {"ear": 1.0})
    ramp = np.broadcast_to(np.arange(0, 128, 2, dtype=np.uint8)[:, None, None], (64, 64, 3))[None].copy()
    targets = {task: {name: array[:1] for name, array in target.items()} for task, target in batch(64)[1].items()}
    half = {task: target | {"points": (target["points"] + 0.5) / 2 - 0.5} for task, target in targets.items()}
    small = np.broadcast_to(np.arange(1, 129, 4, dtype=np.float32)[:, None, None], (32, 32, 3))[None]
    one = float(paired.loss_terms(ramp, targets, paired(ramp))["ear"])
    two = float(alone.loss_terms(small, half, alone(small))["ear"])
    assert one == pytest.approx(two, rel=0.01)


@pytest.mark.slow
def test_fifty_steps_with_a_huge_ear_weight_forget_and_distillation_keeps(tmp_path):
    teacher = face_network(tmp_path)
    images, _ = batch(seed=9)
    before = np.asarray(teacher.network(images)["stage2_face"])

    def drift(strategy, weights):
        keras.utils.set_random_seed(2)
        trainer = trainer_of(teacher, strategy, weights)
        for step in range(50):
            trainer.train_on_batch(*batch(seed=step))
        return float(np.abs(np.asarray(trainer.network(images)["stage2_face"]) - before).mean())

    spread = float(np.abs(before - before.mean()).mean())
    forgot = drift("finetune", {"ear": 100.0})
    kept = drift("distill", {"ear": 1.0, "distillation": 30.0})
    assert forgot > 0.3 * spread
    assert kept < 0.4 * forgot  # rounding alone moves the ratio: 0.32 with one thread on AVX-512


def test_faces_without_ear_points_do_not_dilute_the_ear_loss(tmp_path):
    trainer = trainer_of(face_network(tmp_path), "finetune", {"ear": 1.0})
    images, targets = batch()
    alone = float(trainer.loss_terms(images, targets, trainer(images))["ear"])
    both = np.concatenate([images, images[::-1]])
    more = unknown(EAR, 4)
    ears = {name: np.concatenate([array, more[name]]) for name, array in targets["ear"].items()}
    mixed = {"ear": ears, "face": unknown(FACE, 8)}
    assert float(trainer.loss_terms(both, mixed, trainer(both))["ear"]) == pytest.approx(alone, rel=1e-4)


def test_negatives_count_in_the_ear_loss_as_images_whose_ears_are_known(tmp_path):
    trainer = trainer_of(face_network(tmp_path), "finetune", {"ear": 1.0})
    images, _ = batch()
    negatives = {"ear": stack_annotations([Annotation.absent(EAR)] * 4), "face": unknown(FACE, 4)}
    nothing = {"ear": unknown(EAR, 4), "face": unknown(FACE, 4)}
    outputs = trainer(images) | {f"stage{stage}_ear": np.full((4, 8, 8, 55), 0.1, np.float32) for stage in (1, 2)}
    assert float(trainer.loss_terms(images, nothing, outputs)["ear"]) == 0
    # Every cell of an empty map is wrong by 0.1 and weighs 1 + 30 x 0.1, at both stages; the spatial part has no place
    # to point to.
    assert float(trainer.loss_terms(images, negatives, outputs)["ear"]) == pytest.approx(2 * 4 * 0.01, rel=1e-4)


def test_checkpoints_hold_the_student_alone(tmp_path):
    teacher = face_network(tmp_path)
    trainer = trainer_of(teacher, "distill-at", {"ear": 1.0, "distillation": 1.0})
    assert trainer.count_params() < 1.2 * teacher.network.count_params()


@pytest.mark.slow
def test_gradient_norms_name_every_term(tmp_path):
    trainer = trainer_of(face_network(tmp_path), "distill-at", {"ear": 1.0, "distillation": 1.0, "attention": 1.0})
    trainer.train_on_batch(*batch())
    lengths = gradient_norms(trainer, *batch())
    assert set(lengths) == {"ear", "distillation", "attention"} and all(length > 0 for length in lengths.values())


def test_a_teacher_of_other_landmarks_and_unknown_layers_are_refused(tmp_path):
    teacher = face_network(tmp_path)
    network, config = student(teacher, "distill-at")
    other = LoadedModel(teacher.path, preset_config("tiny", {"face": (1, 2)}), {}, teacher.network)
    with input_error("other face landmarks"):
        Distiller(network, config, {"ear": 1.0, "distillation": 1.0}, other)
    with input_error("--attention-layers", "stage9_features"):
        Distiller(network, config, {"ear": 1.0, "attention": 1.0}, teacher, attention_layers=("stage9_features",))
    assert EAR.count == len(EAR_HEAD) and FACE.count == 68


def third_task(tmp_path, strategy, weights):
    """A trainer of COFW's 29 landmarks, taught to a network of faces and ears."""
    scheme = read_scheme("cofw29")
    register(scheme)
    network, config = student(face_network(tmp_path), "distill-at")
    for stage in range(1, config.stages + 1):
        head = network.get_layer(f"stage{stage}_ear")
        head.set_weights([np.random.default_rng(10 + stage).normal(0, 0.3, w.shape) for w in head.get_weights()])
    save_network(tmp_path / "both.keras", network, config, {})
    teacher = load_network(tmp_path / "both.keras", with_features=True)
    config = with_task(strategy, replace(teacher.config, norm="weight"), scheme, tuple(range(scheme.count)))
    network = build_network(config, with_features=True)
    continue_from(network, teacher)
    choose_trainable(network, config, strategy, {scheme.task, *STRATEGIES[strategy].terms}, scheme=scheme)
    trainer = Distiller(network, config, weights | {scheme.task: 1.0}, teacher, scheme=scheme)
    trainer.compile(optimizer=keras.optimizers.Adam(1e-3))
    points = np.random.default_rng(0).uniform(10, 50, (4, scheme.count, 2)).astype(np.float32)
    targets = {scheme.task: stack_annotations([Annotation.of(scheme, each) for each in points])}
    return trainer, targets | {"face": unknown(FACE, 4)}, scheme


def test_a_third_task_starts_with_both_others_and_distils_each(tmp_path):
    trainer, targets, scheme = third_task(tmp_path, "distill-at", {"distillation": 1.0, "attention": 1.0})
    assert tuple(trainer.config.heads) == ("face", "ear", scheme.task)
    assert trainer.config.schemes == {scheme.task: scheme.to_json()}
    images, _ = batch()
    outputs, taught = trainer(images), trainer.teach(images)
    for name in ("stage2_face", "stage2_ear"):
        assert np.allclose(outputs[name], taught[name], atol=2e-3), name
    # Away from the teacher: the term is that of the faces and that of the ears, added.
    outputs = outputs | {name: outputs[name] + shift for name, shift in (("stage2_face", 0.3), ("stage1_ear", 0.2))}
    parts = [
        float(
            distillation(
                [outputs[f"stage{k}_{task}"] for k in (1, 2)], taught[f"stage2_{task}"], None, trainer.stage_loss
            )
        )
        for task in ("face", "ear")
    ]
    assert min(parts) > 0
    term = trainer.loss_terms(images, targets, outputs)["distillation"]
    assert float(term) == pytest.approx(sum(parts), rel=1e-5)
    logs = trainer.train_on_batch(images, targets, return_dict=True)
    assert set(logs) == {"loss", "nme", scheme.task, "distillation", "attention"}
    assert all(np.isfinite(value) for value in logs.values())


def test_a_third_task_without_a_teacher_leaves_the_other_heads_as_they_are(tmp_path):
    trainer, targets, scheme = third_task(tmp_path, "finetune", {})
    trainable = {layer.name for layer in trainer.network.layers if layer.trainable_weights}
    assert {"trunk1_conv1", f"stage2_{scheme.task}"} <= trainable
    assert not trainable & {"stage1_face", "stage2_ear"}
    heads = [trainer.network.get_layer(name).get_weights()[0].copy() for name in ("stage2_face", "stage2_ear")]
    trainer.train_on_batch(batch()[0], targets)
    after = [trainer.network.get_layer(name).get_weights()[0] for name in ("stage2_face", "stage2_ear")]
    assert all(np.array_equal(one, two) for one, two in zip(heads, after, strict=True))


def test_ears_learned_anew_are_not_distilled(tmp_path):
    """A teacher that knows faces and ears, and ears to learn: its ears are nothing to keep."""
    network, config = student(face_network(tmp_path), "distill")
    save_network(tmp_path / "both.keras", network, config, {})
    teacher = load_network(tmp_path / "both.keras", with_features=True)
    trainer = trainer_of(teacher, "distill", {"ear": 1.0, "distillation": 1.0})
    assert trainer.taught == ("face",) and tuple(trainer.config.heads) == ("face", "ear")
