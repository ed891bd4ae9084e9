"""What only a student's run needs: images to measure forgetting on, its network, its loss terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import keras
import numpy as np
from tqdm import tqdm

from data.annotation import Annotation, stack_annotations
from data.datasets import PARTS, Sample, find_samples, split_samples
from data.layouts import face_folders
from data.pipeline import Batch, EvaluationPipeline, Pipeline, Targets, TrainingPipeline
from data.schemes import EAR, FACE, Scheme
from models.config import PRESETS, ModelConfig
from models.distiller import Distiller
from models.losses import STAGE_LOSSES
from models.starting_point import StartingPoint, fisher_diagonal
from models.strategies import STRATEGIES, kept_tasks, with_task
from models.tensors import device_count, host_rows, replica_count
from models.trainer import stages_loss
from models.weights import LoadedModel, holds_standardised
from utils.common.cli import InputError
from utils.evaluation.scoring import refuse_trained_images
from utils.training.config import StudentConfig, preset_defaults
from utils.training.run_folder import RunFolder

# Their pull on the trunk should be within a factor of ten of the ear loss's (design: after the first 100 steps). The
# softened cross-entropy pulls harder than the stage loss.
DISTILLATION_WEIGHT, SOFTENED_WEIGHT = 1.0, 0.06
# Where faces are replayed the teacher's heatmaps of them keep the faces, and a strong pull on attention costs ears.
ATTENTION_WEIGHT, ATTENTION_WEIGHT_WITH_FACES = 1.0, 0.1
# Times the preset's learning rate, by what is trained: half where a network could forget what it knows, more where new
# layers alone learn. With adapters the ear NME is 4.60 instead of 6.40 %, with heads alone 16.3 instead of 18.1 %.
RATES = {"adapters": 4.0, "heads": 4.0}
FISHER_IMAGES = 200  # whose gradients say which weights matter to faces


def find_faces(
    config: StudentConfig, run: RunFolder, teacher: LoadedModel
) -> tuple[dict[str, list[Sample]], list[Sample], list[str]]:
    """Face images by part, those of them or of `--replay` to train on, and what was left out.

    All are empty where there are none: ears can be learned without, but then what was forgotten is not known. Images of
    `--replay` that forgetting is measured on, wherever they lie, are not trained on. Without `--replay` those are the
    training part of the faces, where `joint` learns from them or a teacher says where they are.

    Raises `InputError` if none of `--replay` is left, or if the teacher was trained on images that forgetting would be
    measured on.
    """
    problems: list[str] = []

    def read(folders: tuple[str, ...]) -> list[Sample]:
        listing = find_samples(folders, FACE, teacher.config.points, config.skip_bad, config.limit, progress=True)
        problems.extend(listing.problems)
        return listing.samples

    folders = config.faces or face_folders(config.data)
    parts = split_samples(read(folders), run.split_file(config.face_split)) if folders else {part: [] for part in PARTS}
    refuse_trained_images(
        config.teacher,
        teacher.record,
        parts["validation"] + parts["test"],
        "split the faces as then: --face-split RUN/split.csv",
    )
    replayed = parts["train"] if config.strategy == "joint" or config.replays_unlabelled else []
    if config.replay:
        try:
            samples = read(config.replay)
        except InputError as problem:
            raise InputError(f"--replay: {problem} (points for faces: python -m utils.annotate --faces)") from problem
        scored = {sample.image_id for sample in parts["validation"] + parts["test"]}
        replayed = [sample for sample in samples if sample.part != "test" and sample.image_id not in scored]
        if not replayed:
            raise InputError(f"--replay {config.replay[0]}: forgetting is measured on all of its images; give others")
    how = " without their points (--no-replay leaves them out)" if replayed and config.replays_unlabelled else ""
    print(
        f"faces:    {len(replayed)} to train on{how}, {len(parts['validation'])} validation, {len(parts['test'])} test"
    )
    return parts, replayed, problems


def find_kept_ears(config: StudentConfig, teacher: LoadedModel) -> tuple[dict[str, list[Sample]], list[str]]:
    """Ear images by part to measure forgetting on, of a teacher of ears that learns something else; what was left out.

    They are split as always; `--split` is of what is learned. All parts are empty without `--ears`. Raises `InputError`
    where no ears are kept, and if the teacher was trained on images that forgetting would be measured on.
    """
    keeps_ears = EAR.task in kept_tasks(teacher.config, config.landmark_scheme)
    if config.ears and not keeps_ears:
        raise InputError("--ears: for a teacher of ears and a --scheme beside them; name ears to learn with --data")
    if not config.ears:
        if keeps_ears:
            print("ears:     none to measure forgetting on; name their folder with --ears")
        return {part: [] for part in PARTS}, []
    listing = find_samples(config.ears, EAR, skip_bad=config.skip_bad, limit=config.limit, progress=True)
    parts = split_samples(listing.samples, None)
    refuse_trained_images(config.teacher, teacher.record, parts["validation"] + parts["test"], "name other --ears")
    print(f"ears:     {len(parts['validation'])} validation, {len(parts['test'])} test")
    return parts, listing.problems


def starts_as_teacher(config: StudentConfig, teacher: LoadedModel) -> bool:
    """Whether the student starts with the teacher's weights and new heads: unless it has another size, or `--init`.

    New heads beside stages that read heatmaps change what these read, so that `joint` starts from scratch then.
    """
    same = config.preset in (None, teacher.config.preset)
    disturbed = config.strategy == "joint" and teacher.config.stage_input == "heatmaps"
    return same and not disturbed and not config.init


def resolve(config: StudentConfig, teacher: LoadedModel) -> StudentConfig:
    """The config with what it leaves to its teacher, its preset and its strategy filled in.

    Raises `InputError` where a strategy, or `--freeze`, needs weights to start from and they cannot be had.
    """
    plan, base, scheme = STRATEGIES[config.strategy], teacher.config, config.landmark_scheme
    preset = config.preset or base.preset
    if scheme is not EAR and scheme.task in base.heads:
        raise InputError(f"--scheme {config.scheme}: the teacher knows {scheme.task} already; give another scheme")
    kept = kept_tasks(base, scheme)
    if config.strategy == "joint" and len(kept) > 1:
        raise InputError(f"--strategy joint: learns from labels alone, and nothing labels {kept[1]} here")
    if (plan.trains != "all" or plan.stays_near) and preset != base.preset:
        raise InputError(
            f"--preset {config.preset}: --strategy {config.strategy} keeps the teacher's network ({base.preset})"
        )
    as_teacher = starts_as_teacher(config, teacher)
    config.refuse_frozen_start(as_teacher or config.init is not None)
    if as_teacher and base.stage_input == "heatmaps":
        raise InputError(
            f"--teacher {config.teacher}: its stages read heatmaps, so new heads would change its faces; train the "
            "face network with --stage-input features, or use --strategy joint"
        )
    norm = config.norm
    if norm is None and not as_teacher:
        norm = preset_defaults(preset).norm
    elif norm is None:
        # What is not trained is kept to the last bit.
        norm = base.norm if plan.trains in ("heads", "adapters") or not holds_standardised(teacher) else "weight"
    weight = config.distillation_weight
    if weight is None:
        weight = SOFTENED_WEIGHT if config.temperature else DISTILLATION_WEIGHT
    size = base.input_size if preset == base.preset else PRESETS[preset].input_size
    return replace(
        config,
        preset=preset,
        norm=norm,
        input_size=config.input_size or size,
        learning_rate=config.learning_rate or preset_defaults(preset).learning_rate * RATES.get(plan.trains, 0.5),
        distillation_weight=weight,
        points=base.points,
        stage_input=base.stage_input if preset == base.preset else "features",
        sigma=base.sigma,
    )


def resolve_attention(config: StudentConfig, replayed: bool) -> StudentConfig:
    """The config with the weight of attention filled in, now that it is known whether faces are `replayed`."""
    if config.attention_weight is not None:
        return config
    return replace(config, attention_weight=ATTENTION_WEIGHT_WITH_FACES if replayed else ATTENTION_WEIGHT)


def student_model_config(config: StudentConfig, teacher: LoadedModel) -> ModelConfig:
    """The student's network, of a resolved config: the teacher's with a new head at every stage, or another preset."""
    base = teacher.config
    if config.preset != base.preset:
        small = PRESETS[str(config.preset)]
        shift = base.decode_offset * small.input_size / base.input_size  # its maps mean the teacher's places
        base = replace(
            small,
            heads=base.heads,
            schemes=base.schemes,
            points=base.points,
            sigma=base.sigma,
            decode_offset=shift,
        )
    base = replace(base, norm=str(config.norm), input_size=config.input_size or base.input_size)
    return with_task(config.strategy, base, config.landmark_scheme, config.landmark_indices)


def term_weights(config: StudentConfig) -> dict[str, float]:
    """Loss term -> its factor, of the terms that the strategy and the flags ask for; of a resolved config.

    Raises `InputError` if none of them would learn from the images of `--replay`.
    """
    learned = config.landmark_scheme.task
    factors = {
        learned: config.ear_weight,
        "face": config.face_weight,
        "distillation": config.distillation_weight or 0.0,
        "attention": config.attention_weight or 0.0,
        "ewc": config.ewc_weight,
        "l2-sp": config.l2_sp_weight,
    }
    chosen = {name: factors[name] for name in (learned, *STRATEGIES[config.strategy].terms)}
    if config.replay:
        chosen["face"] = config.face_weight
    if config.boundary_weight:
        chosen["boundary"] = config.boundary_weight
    chosen = {name: factor for name, factor in chosen.items() if factor}
    if config.replay and set(chosen) == {learned}:
        raise InputError(f"--face-weight 0: then nothing in --strategy {config.strategy} learns from --replay")
    return chosen


def find_start(
    config: StudentConfig, student: keras.Model, model_config: ModelConfig, teacher: LoadedModel, faces: list[Sample]
) -> StartingPoint | None:
    """What the strategies `ewc` and `l2-sp` hold a student to that has just started as its teacher; else None.

    For `ewc` the points of some `faces` say which weights matter: of training crops, the same for the same seed.
    Raises `InputError` if there are none.
    """
    if not STRATEGIES[config.strategy].stays_near:
        return None
    known = {layer.name for layer in teacher.network.layers}
    variables = [v for layer in student.layers if layer.name in known for v in layer.trainable_variables]
    if config.strategy == "l2-sp":
        return StartingPoint.of(variables)
    if not faces:
        raise InputError("--strategy ewc: the --faces have no image to train on, which would say what weights matter")
    pipeline = TrainingPipeline(
        faces,
        FACE,
        size=model_config.input_size,
        batch_size=1,
        seed=config.seed,
        augment=config.augment,
        flip_probability=config.flip_probability,
    )
    steps = tqdm(range(FISHER_IMAGES), desc="weights", unit="image", leave=False)
    importance = fisher_diagonal(
        student,
        variables,
        lambda outputs, targets: stages_loss(
            targets[FACE.task], outputs, FACE.task, model_config, STAGE_LOSSES[config.loss]
        ),
        (pipeline.batch(step) for step in steps),
    )
    return StartingPoint.of(variables, importance)


class ValidationTerms(keras.callbacks.Callback):
    """Adds every loss term on validation images of what is learned to the logs of an epoch, unweighted (`crop`)."""

    def __init__(self, trainer: Distiller, samples: list[Sample], batch_size: int):
        super().__init__()
        self.trainer, self.samples, self.batch_size = trainer, samples, batch_size

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Add `val_ear`, `val_distillation` and so on."""
        if logs is not None:
            logs.update(validation_terms(self.trainer, self.samples, self.batch_size))


class GradientNorms(keras.callbacks.Callback):
    """Prints after the first epoch how hard each weighted term pulls on the trunk (TensorFlow backend).

    Weights that differ by more than a factor of ten in that want another look.
    """

    def __init__(self, trainer: Distiller, pipeline: Pipeline):
        super().__init__()
        self.trainer, self.pipeline = trainer, pipeline

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Wait for the first epoch of this process."""
        self.printed = keras.backend.backend() != "tensorflow"

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Measure on some images of the first batch (its first share), of both kinds where there are two."""
        if self.printed:
            return
        self.printed = True
        images, targets = self.pipeline.batch(0)
        share = self.pipeline.batch_size // replica_count()
        every = max(1, share // 8)
        few, taught_from = slice(0, share, every), -(-self.trainer.taught_from // every)
        some = {task: {name: array[few] for name, array in target.items()} for task, target in targets.items()}
        norms = gradient_norms(self.trainer, images[few], some, taught_from)
        tqdm.write("gradient of each term on the trunk: " + ", ".join(f"{n} {norm:.3g}" for n, norm in norms.items()))


def gradient_norms(trainer: Distiller, images: np.ndarray, targets: Targets, taught_from: int = 0) -> dict[str, float]:
    """Length of the gradient of every weighted term on the trunk, for one batch (TensorFlow backend).

    The teacher is asked about images[taught_from:].
    """
    import tensorflow as tf

    trunk = [layer for layer in trainer.network.layers if "trunk" in layer.name or "feature_map" in layer.name]
    kernels = [variable.value for layer in trunk for variable in layer.trainable_variables if variable.name == "kernel"]

    @tf.function
    def lengths(images, targets):
        found = {}
        for name in trainer.term_weights:
            with tf.GradientTape() as tape:
                outputs = trainer(images, training=False)
                value = trainer.term_weights[name] * trainer.loss_terms(images, targets, outputs, taught_from)[name]
            gradients = [tf.cast(g, tf.float32) for g in tape.gradient(value, kernels) if g is not None]
            found[name] = tf.linalg.global_norm(gradients) if gradients else tf.constant(0.0)
        return found

    strategy = tf.distribute.get_strategy()
    found = strategy.run(lengths, args=(images, targets))  # alike on all devices
    return {name: float(strategy.experimental_local_results(length)[0]) for name, length in found.items()}


def validation_terms(trainer: Distiller, samples: list[Sample], batch_size: int) -> dict[str, float]:
    """Every loss term on images of what is learned under `crop`, unweighted: name -> mean over batches.

    Where devices share batches, a few images are left out, so that all have equal shares.
    """
    samples = samples[: len(samples) // device_count() * device_count()]
    if not samples:
        return {}
    scheme: Scheme = trainer.scheme

    def batches() -> Iterator[Batch]:
        pipeline = EvaluationPipeline(samples, scheme, size=trainer.pipeline_size(), batch_size=batch_size)
        for shown, images, matrices in pipeline.batches():
            rows = host_rows(len(shown))
            crops = zip(shown[rows], matrices[rows], strict=True)
            known = [Annotation.of(scheme, sample.points).warped(matrix) for sample, matrix in crops]
            unknown = [Annotation.unknown(FACE)] * len(known)
            yield images[rows], {scheme.task: stack_annotations(known), FACE.task: stack_annotations(unknown)}

    steps = -(-len(samples) // batch_size)
    values = trainer.evaluate(batches(), steps=steps, verbose=0, return_dict=True)
    terms = set(trainer.term_weights) - {FACE.task}  # nobody annotated faces in these images
    return {f"val_{name}": value for name, value in values.items() if name in terms}
