"""What `train_face2ear.py` and `utils.compare` share: flags, the faces to measure forgetting on, and the table."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from data.annotation import Annotation, stack_annotations
from data.augment import crop_warp, warp_image
from data.datasets import PARTS, Sample, find_samples, split_samples
from data.drawing import contact_sheet, overlay, write_label
from data.layouts import FACE_FOLDERS
from data.pipeline import Batch, EvaluationPipeline, PairedPipeline, Targets
from data.schemes import EAR, FACE
from utils.common.cli import InputError, network_size, non_negative_float, non_negative_int, positive_float
from utils.common.files import read_json, write_json
from utils.common.images import decode_image, save_image
from utils.evaluation.scoring import Scores, refuse_trained_images, score_samples
from utils.training.config import RunFolder, parse_flags, recipe, training_flags, validation_nme

if TYPE_CHECKING:
    from models.config import ModelConfig
    from models.distiller import Distiller
    from models.strategies import Strategy
    from models.weights import LoadedModel

# Those of `models.distiller.STRATEGIES`, whose import would make --help wait for TensorFlow; a test holds them equal.
STRATEGY_NAMES = ("separate", "joint", "frozen", "finetune", "distill", "distill-at")
TABLE = "forgetting.json"
# The flags that `student_config` fills in where they are not given.
FOLLOWS_FROM_TEACHER = ("preset", "norm", "input_size", "learning_rate")
# Their pull on the trunk should be within a factor of ten of the ear loss's (design: after the first 100 steps). The
# softened cross-entropy pulls some 500 times harder than the squared error.
DISTILLATION_WEIGHT = 30.0
SOFTENED_WEIGHT = 0.06
ATTENTION_WEIGHT = 1.0
MUCH = 0.5  # points of face NME that are worth a note when they are forgotten

# --- flags -----------------------------------------------------------------------------------------------------------


def student_flags(description: str) -> argparse.ArgumentParser:
    """The flags of the training scripts with the defaults of a student, and those that only a student has."""
    parser = training_flags(
        "face2ear",
        description,
        points=None,
        stage_input=None,
        sigma=None,
        preset={
            "default": None,
            "help": "network size (default: the teacher's); another starts from scratch or --init",
        },
        norm={
            "help": "normalisation (default: of the kernels, where the teacher's allow it; from scratch the preset's)"
        },
        input_size={"help": "the student's input in pixels, a multiple of 8 (default: the teacher's)"},
        coarse_size={"help": "size of the images in the coarse epochs (default: half of --input-size)"},
        epochs={"default": 30, "help": "each sees every ear image --repeats times (default: %(default)s)"},
        learning_rate={"help": "Adam's peak rate (default: half of what the other scripts give the preset)"},
    )
    add = parser.add_argument_group("teaching").add_argument
    add(
        "--teacher",
        default="weights/face.keras",
        metavar="FILE",
        help="face weights, old ones too (default: %(default)s)",
    )
    add(
        "--teacher-size",
        type=network_size,
        metavar="PX",
        help="the teacher's input in pixels (default: as it was trained); the student's saves time",
    )
    add(
        "--strategy",
        choices=STRATEGY_NAMES,
        default="distill-at",
        help="separate: an ear network beside the face network; joint: one network from scratch on both datasets; "
        "frozen: only ear heads learn; finetune: no teacher; distill; distill-at: and attention transfer (default)",
    )
    add(
        "--faces",
        action="append",
        metavar="DIR",
        help="face images to measure forgetting on (default: the --data folders that hold AFW/ and the like)",
    )
    add("--face-split", metavar="FILE", help="CSV (name, part) to split the faces by, as the teacher's split.csv")
    add(
        "--extra-epochs",
        type=non_negative_int,
        default=0,
        metavar="N",
        help="epochs on top of --epochs, for what starts from scratch (utils.compare gives the face network's)",
    )
    add("--replay", action="append", metavar="DIR", help="mix these face images into training (joint: default --faces)")
    add("--ear-weight", type=non_negative_float, default=1.0, help="factor of the ear loss (default: 1)")
    add(
        "--face-weight",
        type=non_negative_float,
        default=1.0,
        help="factor of the loss on the points of replayed faces (default: 1; 0: only the teacher says where they are)",
    )
    add(
        "--distillation-weight",
        type=non_negative_float,
        help="factor of the error between the student's and the teacher's face heatmaps "
        f"(default: {DISTILLATION_WEIGHT:g}, with --temperature {SOFTENED_WEIGHT:g})",
    )
    add(
        "--attention-weight",
        type=non_negative_float,
        default=ATTENTION_WEIGHT,
        help="factor of the attention-transfer loss (default: %(default)s)",
    )
    add(
        "--boundary-weight",
        type=non_negative_float,
        default=0.0,
        help="factor of an activation-boundary loss on feature_map (default: 0, not computed)",
    )
    add(
        "--temperature",
        type=positive_float,
        metavar="T",
        help="distil softened spatial softmaxes at this temperature, 2 for one (default: squared error)",
    )
    add(
        "--attention-layers",
        type=lambda text: text.split(","),
        metavar="LIST",
        help="layers that hand on attention, such as feature_map,stage3_features (default: feature_map and all stages)",
    )
    return parser


def parse_student_flags(parser: argparse.ArgumentParser, arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse and check the flags, before TensorFlow is imported. Raises `InputError`."""
    args = parse_flags(parser, EAR, arguments)
    if not args.resume:
        args.epochs += args.extra_epochs
    if args.distillation_weight is None:
        args.distillation_weight = SOFTENED_WEIGHT if args.temperature else DISTILLATION_WEIGHT
    if not Path(args.teacher).is_file():
        raise InputError(f"--teacher {args.teacher}: no such weights file; train it first: python train_face.py")
    for flag in ("faces", "replay"):
        for folder in getattr(args, flag) or []:
            if not Path(folder).is_dir():
                raise InputError(f"--{flag} {folder}: no such folder")
    if args.strategy == "joint" and not (args.replay or face_folders(args)):
        raise InputError("--strategy joint: trains on faces too; name their folder with --replay DIR")
    if args.strategy in ("separate", "frozen") and args.init:
        raise InputError(f"--init {args.init}: --strategy {args.strategy} keeps the teacher's weights; leave it out")
    if args.face_split and not Path(args.face_split).is_file():
        raise InputError(f"--face-split {args.face_split}: no such file")
    if not args.ear_weight:
        raise InputError("--ear-weight 0: then no ear is learned; give a number above 0")
    if args.strategy == "joint" and not args.face_weight:
        raise InputError("--face-weight 0: --strategy joint learns faces from their points; give a number above 0")
    return args


def face_folders(args: argparse.Namespace) -> list[str]:
    """Where the faces are that forgetting is measured on."""
    return args.faces or [
        folder for folder in args.data if any((Path(folder) / name).is_dir() for name in FACE_FOLDERS)
    ]


def find_faces(
    args: argparse.Namespace, teacher: LoadedModel
) -> tuple[dict[str, list[Sample]], list[Sample], list[str]]:
    """Face images by part, those of them or of `--replay` to train on, and what was left out.

    All are empty where there are none: ears can be learned without, but then nobody knows what was forgotten. Images of
    `--replay` that forgetting is measured on, wherever they lie, are not trained on.

    Raises `InputError` if none of `--replay` is left, or if the teacher was trained on images that forgetting would be
    measured on.
    """
    problems: list[str] = []

    def read(folders: list[str]) -> list[Sample]:
        found = find_samples(folders, FACE, teacher.config.points, args.skip_bad, args.limit, progress=True)
        problems.extend(found.problems)
        return found.samples

    folders = face_folders(args)
    parts = split_samples(read(folders), args.face_split) if folders else {part: [] for part in PARTS}
    refuse_trained_images(
        args.teacher,
        teacher.record,
        parts["validation"] + parts["test"],
        "split the faces as then: --face-split RUN/split.csv",
    )
    replayed = parts["train"] if args.strategy == "joint" else []
    if args.replay:
        try:
            images = read(args.replay)
        except InputError as problem:
            raise InputError(f"--replay: {problem} (points for faces: python -m utils.annotate --faces)") from problem
        scored = {sample.image_id for sample in parts["validation"] + parts["test"]}
        replayed = [image for image in images if image.part != "test" and image.image_id not in scored]
        if not replayed:
            raise InputError(f"--replay {args.replay[0]}: forgetting is measured on all of its images; give others")
    print(f"faces:    {len(replayed)} to train on, {len(parts['validation'])} validation, {len(parts['test'])} test")
    return parts, replayed, problems


# --- the student ------------------------------------------------------------------------------------------------------


def student_config(args: argparse.Namespace, teacher: LoadedModel) -> tuple[ModelConfig, bool]:
    """The student's network, and whether it starts as the teacher: with its weights, and new heads.

    It is the teacher's network with an ear head at every stage, but for what the flags say; what they leave open is
    written into `args`, so that a resumed run builds the same. Raises `InputError` where a strategy needs the teacher's
    weights and they cannot be had.
    """
    from models.config import PRESETS
    from models.strategies import STRATEGIES, with_ears
    from models.weights import holds_standardised

    plan, base = STRATEGIES[args.strategy], teacher.config
    same = args.preset in (None, base.preset)
    starts_as_face = plan.from_face and same and not args.init
    if plan.from_face and plan.trains != "all" and not same:
        raise InputError(
            f"--preset {args.preset}: --strategy {args.strategy} keeps the teacher's network ({base.preset})"
        )
    if starts_as_face and base.stage_input == "heatmaps":
        raise InputError(
            f"--teacher {args.teacher}: its stages read heatmaps, so ear heads would change its faces; train the face "
            "network with --stage-input features, or use --strategy joint"
        )
    if not same:
        small = PRESETS[args.preset]
        shift = base.decode_offset * small.input_size / base.input_size  # its maps mean the teacher's places
        base = replace(small, heads=base.heads, points=base.points, sigma=base.sigma, decode_offset=shift)
    if args.norm is None and not starts_as_face:
        args.norm = recipe(base.preset).norm
    elif args.norm is None:
        kept = plan.trains == "heads"  # what is not trained is kept to the last bit
        args.norm = base.norm if kept or not holds_standardised(teacher) else "weight"
    args.preset, args.input_size = base.preset, args.input_size or base.input_size
    args.learning_rate = args.learning_rate or recipe(base.preset).learning_rate / 2
    base = replace(base, norm=args.norm, input_size=args.input_size, delayed_heads=())
    return with_ears(args.strategy, base, args.landmark_indices), starts_as_face


def term_weights(args: argparse.Namespace, plan: Strategy) -> dict[str, float]:
    """Loss term -> its factor, of the terms that the strategy and the flags ask for.

    Raises `InputError` if none of them would learn from the images of `--replay`.
    """
    factors = {
        "ear": args.ear_weight,
        "face": args.face_weight,
        "distillation": args.distillation_weight,
        "attention": args.attention_weight,
    }
    chosen = {name: factors[name] for name in plan.terms}
    if args.replay:
        chosen["face"] = args.face_weight
    if args.boundary_weight:
        chosen["boundary"] = args.boundary_weight
    chosen = {name: factor for name, factor in chosen.items() if factor}
    if args.replay and set(chosen) == {"ear"}:
        raise InputError(f"--face-weight 0: then nothing in --strategy {args.strategy} learns from --replay")
    return chosen


def validate_both(
    trainer: Distiller, pipeline: PairedPipeline, args: argparse.Namespace, ears: list[Sample], faces: list[Sample]
) -> Callable[[int], dict[str, float]]:
    """What `fit` asks for after every epoch: NME of ears and faces, and every loss term on the ears' crops.

    The first time it prints how hard each weighted term pulls on the trunk: weights that differ by more than a factor
    of ten in that want another look.
    """
    import keras

    from models.trainer import LandmarkReader

    told = []

    def tell_gradients() -> None:
        told.append(True)
        if keras.backend.backend() == "tensorflow":
            images, targets = pipeline.batch(0)
            few = slice(0, pipeline.batch_size, max(1, pipeline.batch_size // 8))  # of both kinds, where there are two
            some = {task: {name: array[few] for name, array in target.items()} for task, target in targets.items()}
            lengths = gradient_norms(trainer, images[few], some)
            print(
                "pull of each term on the trunk: " + ", ".join(f"{name} {size:.3g}" for name, size in lengths.items())
            )

    readers = {task: LandmarkReader(trainer.network, trainer.config, (task,)) for task in (EAR.task, FACE.task)}

    def validate(size: int) -> dict[str, float]:
        if not told:
            tell_gradients()
        values = {"val_ear_nme": validation_nme(readers[EAR.task], ears, args, size)}
        if faces:
            values["val_face_nme"] = validation_nme(readers[FACE.task], faces, args, size)
        return values | validation_terms(trainer, ears, args.batch_size, size)

    return validate


def gradient_norms(trainer: Distiller, images: np.ndarray, targets: Targets) -> dict[str, float]:
    """Length of the gradient of every weighted term on the trunk, for one batch (TensorFlow backend)."""
    import tensorflow as tf

    trunk = [layer for layer in trainer.network.layers if "trunk" in layer.name or "feature_map" in layer.name]
    kernels = [variable.value for layer in trunk for variable in layer.trainable_variables if variable.name == "kernel"]

    @tf.function
    def lengths(images, targets):
        found = {}
        for name in trainer.term_weights:
            with tf.GradientTape() as tape:
                outputs = trainer(images, training=False)
                value = trainer.term_weights[name] * trainer.loss_terms(images, targets, outputs)[name]
            gradients = [tf.cast(g, tf.float32) for g in tape.gradient(value, kernels) if g is not None]
            found[name] = tf.linalg.global_norm(gradients) if gradients else tf.constant(0.0)
        return found

    return {name: float(length) for name, length in lengths(images, targets).items()}


def validation_terms(trainer: Distiller, ears: list[Sample], batch_size: int, size: int) -> dict[str, float]:
    """Every loss term on the ear images under the `crop` protocol, unweighted: name -> mean over batches."""
    if not ears:
        return {}

    def batches() -> Iterator[Batch]:
        pipeline = EvaluationPipeline(ears, EAR, size=trainer.pipeline_size(), batch_size=batch_size)
        for samples, images, matrices in pipeline.batches():
            crops = zip(samples, matrices, strict=True)
            known = [Annotation.of(EAR, sample.points).warped(matrix) for sample, matrix in crops]
            unknown = [Annotation.unknown(FACE)] * len(samples)
            yield images, {EAR.task: stack_annotations(known), FACE.task: stack_annotations(unknown)}

    steps = -(-len(ears) // batch_size)
    values = trainer.evaluate(batches(), steps=steps, verbose=0, return_dict=True)
    return {f"val_{name}": value for name, value in values.items() if name in trainer.term_weights}


# --- the table --------------------------------------------------------------------------------------------------------

COLUMNS = {
    "strategy": "strategy",
    "seeds": "seeds",
    "face_before": "face NME before (%)",
    "face_after": "face NME after (%)",
    "forgetting": "forgetting (points)",
    "ear": "ear NME (%)",
    "parameters": "parameters",
    "gflop": "GFLOP",
    "speed": "images/s (face network)",
    "ear_images": "ear images seen",
    "extra_steps": "steps on top",
    "minutes": "minutes",
}


def report(
    run: RunFolder,
    args: argparse.Namespace,
    teacher: LoadedModel,
    faces: list[Sample],
    scores: dict[str, Scores],
    ear_images: int,
) -> None:
    """Print and save the table that matters, and draw attention maps of teacher and student.

    `ear_images`: how many a pass has. The teacher is scored at the student's input size, so that the difference is
    forgetting and not resolution; `face_before_own_size` in the JSON is its score at its own.
    """
    from models.weights import load_network

    best = load_network(run.best, with_features=True)
    row = measure(args, teacher, best, faces, scores) | {
        "ear_images": ear_images * args.repeats * (args.epochs - args.extra_epochs),
        "extra_steps": args.extra_epochs * args.repeats * -(-ear_images // args.batch_size),
        "minutes": run.state["minutes"],
    }
    write_json(run.path / TABLE, row)
    print(markdown_table([row]))
    print(f"table:    {run.path / TABLE}")
    if not args.replay and args.strategy != "joint" and (row["forgetting"] or 0) > MUCH:
        print(
            "note:     images of people keep the faces, with labels or without: --replay (README, What keeps the faces)"
        )
    scheme = FACE if FACE.task in scores else EAR
    if scheme.task in scores:
        save_image(run.path / "attention.png", draw_attention(teacher, best, scores[scheme.task].samples[:4], scheme))
        print(f"looks:    {run.path / 'attention.png'}, what teacher and student attend to")


def measure(
    args: argparse.Namespace, teacher: LoadedModel, best: LoadedModel, faces: list[Sample], scores: dict[str, Scores]
) -> dict:
    """One row of the table: what the student can do, what the teacher could, and what it costs."""
    from models.cpm import count_flop
    from models.trainer import LandmarkReader

    before = own = None
    size = best.config.input_size
    if faces:
        reader = LandmarkReader(teacher.network, teacher.config, (FACE.task,))
        own = score_samples(reader, faces, args.batch_size).summary["nme"]
        before = score_samples(reader, faces, args.batch_size, size).summary["nme"]
    after = scores[FACE.task].summary["nme"] if FACE.task in scores else None
    speed = inference_speed({"student": best, "face": teacher}, size)
    return {
        "strategy": args.strategy,
        "seed": args.seed,
        "face_before": before,
        "face_before_own_size": own,
        "face_after": after,
        "forgetting": None if before is None or after is None else after - before,
        "ear": scores[EAR.task].summary["nme"] if EAR.task in scores else None,
        "parameters": sum(int(np.prod(weight.shape)) for weight in best.network.weights),
        "gflop": count_flop(best.config) / 1e9,
        "speed": speed["student"],
        "face_network_speed": speed["face"],
        "input_size": size,
        "weights": args.out,
    }


def markdown_table(rows: list[dict]) -> str:
    """Rows as a Markdown table; what is not known is a dash."""

    def cell(name: str, row: dict) -> str:
        value = row.get(name)
        if name == "seeds":
            return str(value or 1)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return "-"
        if name in ("parameters", "ear_images", "extra_steps"):
            return f"{value:,}"
        spread = f" ± {row[f'{name}_spread']:.2f}" if f"{name}_spread" in row else ""
        if name == "forgetting":
            return f"{value:+.2f}{spread}"
        if name == "speed":
            return f"{value:.1f} ({row['face_network_speed']:.1f})"
        return f"{value:.2f}{spread}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(COLUMNS.values()) + " |", "| " + " | ".join("---" for _ in COLUMNS) + " |"]
    lines += ["| " + " | ".join(cell(name, row) for name in COLUMNS) + " |" for row in rows]
    return "\n".join(lines)


def read_row(run: str | Path) -> dict:
    """The table row of a finished run. Raises `InputError` if it has none."""
    return read_json(Path(run) / TABLE, f"{run}: not a finished run of train_face2ear.py")


def inference_speed(
    networks: dict[str, LoadedModel], size: int, batch: int = 8, seconds: float = 2.0
) -> dict[str, float]:
    """Images/s of each network at one input size, every head decoded; taken in turns, so that all share the weather."""
    from models.trainer import LandmarkReader

    images = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    readers = {name: LandmarkReader(loaded.network, loaded.config) for name, loaded in networks.items()}
    best = dict.fromkeys(readers, math.inf)
    for reader in readers.values():
        reader.predict_on_batch(images)
    until = time.perf_counter() + seconds * len(readers)
    while time.perf_counter() < until:
        for name, reader in readers.items():
            start = time.perf_counter()
            reader.predict_on_batch(images)
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: batch / took for name, took in best.items()}


def draw_attention(teacher: LoadedModel, student: LoadedModel, samples: list[Sample], scheme) -> np.ndarray:
    """Images in rows: the crop, the teacher's attention map of `feature_map` on it, the student's."""
    from keras import ops

    from models.losses import attention_vector

    images = []
    for sample in samples:
        for title, loaded in (("image", None), ("teacher", teacher), ("student", student)):
            size = (loaded or student).config.input_size
            crop = warp_image(decode_image(sample.image), crop_warp(scheme, sample.points).matrix(size), size)
            if loaded is not None:
                features = loaded.network(crop[None])["feature_map"]
                cells = ops.convert_to_numpy(attention_vector(features))[0].reshape(size // 8, size // 8)
                crop = overlay(crop, cells / cells.max())
            images.append(write_label(cv2.resize(crop, (256, 256), interpolation=cv2.INTER_AREA), title))
    return contact_sheet(images, columns=3)
