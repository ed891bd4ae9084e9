"""What `train_face2ear.py` and `utils.compare` share: flags, the faces to measure forgetting on, and the table."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.augment import apply_matrix, crop_warp, decode_photo, warp_photo
from data.datasets import FACE_FOLDERS, PARTS, Sample, find_samples, split_samples
from data.pipeline import EvaluationChain, PairedChain
from data.schemes import EAR, FACE
from utils.drawing import contact_sheet, overlay, save_picture, write_label
from utils.errors import CommandLine, InputError, non_negative_float, positive_float
from utils.evaluate import Scores, score_samples
from utils.files import read_json, write_json
from utils.training import RunFolder, validation_nme

if TYPE_CHECKING:
    from models.cpm import Settings
    from models.distiller import Distiller, Strategy
    from models.weights import Loaded

STRATEGY_NAMES = ("separate", "joint", "frozen", "finetune", "distill", "distill-at")
TABLE = "forgetting.json"
# Chosen so that after 100 steps each term's gradient on the shared trunk is within a factor of 10 of the ear loss's.
DISTILLATION_WEIGHT = 30.0
ATTENTION_WEIGHT = 1.0

# --- flags -----------------------------------------------------------------------------------------------------------


def add_distillation_flags(parser: CommandLine) -> CommandLine:
    """Add what a student needs beyond the flags of the single-task scripts, and change some defaults."""
    add = parser.add_argument_group("teaching").add_argument
    add(
        "--teacher",
        default="weights/face.keras",
        metavar="FILE",
        help="face weights, old ones too (default: %(default)s)",
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
        help="face photos to measure forgetting on (default: the --data folders that hold AFW/ and the like)",
    )
    add("--replay", action="append", metavar="DIR", help="mix these face photos into training (joint: default --faces)")
    add("--ear-weight", type=non_negative_float, default=1.0, help="factor of the ear loss (default: 1)")
    add("--face-weight", type=non_negative_float, default=1.0, help="factor of the loss on replayed faces (default: 1)")
    add(
        "--distillation-weight",
        type=non_negative_float,
        default=DISTILLATION_WEIGHT,
        help="factor of the error between the student's and the teacher's face heatmaps (default: %(default)s)",
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
    parser.set_defaults(preset=None, norm=None, learning_rate=5e-4, epochs=30)
    return parser


def check_distillation_flags(args: argparse.Namespace) -> argparse.Namespace:
    """Check the flags that only a student has, before TensorFlow is imported. Raises `InputError`."""
    if not Path(args.teacher).is_file():
        raise InputError(f"--teacher {args.teacher}: no such weights file; train it first: python train_face.py")
    for flag in ("faces", "replay"):
        for folder in getattr(args, flag) or []:
            if not Path(folder).is_dir():
                raise InputError(f"--{flag} {folder}: no such folder")
    if args.strategy == "joint" and not (args.replay or face_folders(args)):
        raise InputError("--strategy joint: trains on faces too; name their folder with --replay DIR")
    return args


def face_folders(args: argparse.Namespace) -> list[str]:
    """Where the faces are that forgetting is measured on."""
    return args.faces or [
        folder for folder in args.data if any((Path(folder) / name).is_dir() for name in FACE_FOLDERS)
    ]


def face_parts(args: argparse.Namespace, face: Loaded) -> dict[str, list[Sample]]:
    """Face photos by part: "train" from `--replay` (joint: or `--faces`), the others from `--faces`.

    All are empty where there are none: ears can be learned without, but then nobody knows what was forgotten.
    """

    def read(folders: list[str]) -> dict[str, list[Sample]]:
        if not folders:
            return {part: [] for part in PARTS}
        found = find_samples(folders, FACE, face.settings.points, args.skip_bad, args.limit, progress=True)
        return split_samples(found.samples)

    parts = read(face_folders(args))
    replayed = read(args.replay)["train"] if args.replay else parts["train"] if args.strategy == "joint" else []
    print(f"faces:    {len(replayed)} to train on, {len(parts['validation'])} validation, {len(parts['test'])} test")
    return parts | {"train": replayed}


# --- the student ------------------------------------------------------------------------------------------------------


def student_settings(args: argparse.Namespace, face: Loaded) -> Settings:
    """The student's network: the teacher's with an ear head at every stage, but for what the flags say."""
    from models.cpm import PRESETS
    from models.distiller import with_ears
    from models.weights import holds_standardised

    base = face.settings
    if args.preset not in (None, base.preset):
        base = replace(PRESETS[args.preset], heads=base.heads, points=base.points, sigma=args.sigma)
    norm = args.norm
    if norm is None and args.strategy == "frozen":
        norm = base.norm  # what is not trained is kept to the last bit
    elif norm is None:
        from_face = args.strategy != "joint" and base.preset == face.settings.preset and not args.init
        norm = "weight" if not from_face or holds_standardised(face) else base.norm
    base = replace(base, norm=norm, input_size=args.input_size or base.input_size, delayed_heads=())
    return with_ears(args.strategy, base, args.landmark_indices)


def term_weights(args: argparse.Namespace, plan: Strategy) -> dict[str, float]:
    """Loss term -> its factor, of the terms that the strategy and the flags ask for."""
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
    return chosen


def validate_both(
    trainer: Distiller, chain: PairedChain, args: argparse.Namespace, ears: list[Sample], faces: list[Sample]
) -> Callable[[int], dict[str, float]]:
    """What `fit` asks for after every epoch: NME of ears and faces, and every loss term on the ears' crops.

    The first time it prints how hard each weighted term pulls on the trunk: weights that differ by more than a factor
    of ten in that want another look.
    """
    import keras

    from models.distiller import gradient_norms
    from models.trainer import LandmarkReader

    told = []

    def tell_gradients() -> None:
        told.append(True)
        if keras.backend.backend() == "tensorflow":
            lengths = gradient_norms(trainer, *next(iter(chain.batches())))
            print(
                "pull of each term on the trunk: " + ", ".join(f"{name} {size:.3g}" for name, size in lengths.items())
            )

    readers = {task: LandmarkReader(trainer.network, trainer.settings, task) for task in (EAR.task, FACE.task)}

    def validate(size: int) -> dict[str, float]:
        if not told:
            tell_gradients()
        values = {"val_ear_nme": validation_nme(readers[EAR.task], ears, args, size)}
        if faces:
            values["val_face_nme"] = validation_nme(readers[FACE.task], faces, args, size)
        return values | validation_terms(trainer, ears, args.batch_size, size)

    return validate


def validation_terms(trainer: Distiller, ears: list[Sample], batch_size: int, size: int) -> dict[str, float]:
    """Every loss term on the ear photos under the `crop` protocol, unweighted: name -> mean over photos."""
    from utils.heatmaps import STRIDE

    if not ears:
        return {}
    size = round(size * trainer.chain_size() / trainer.settings.input_size / STRIDE) * STRIDE

    def batches() -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        for samples, images, matrices in EvaluationChain(ears, EAR, size, batch_size).batches():
            points = np.stack([apply_matrix(m, sample.points) for m, sample in zip(matrices, samples, strict=True)])
            unknown = np.full((len(samples), FACE.count, 2), np.nan, np.float32)
            yield images, {EAR.task: points, FACE.task: unknown}

    steps = -(-len(ears) // batch_size)
    values = trainer.evaluate(batches(), steps=steps, verbose=0, return_dict=True)
    return {f"val_{name}": value for name, value in values.items() if name in trainer.term_weights}


# --- the table --------------------------------------------------------------------------------------------------------

COLUMNS = {
    "strategy": "strategy",
    "face_before": "face NME before (%)",
    "face_after": "face NME after (%)",
    "forgetting": "forgetting (points)",
    "ear": "ear NME (%)",
    "parameters": "parameters",
    "gflop": "GFLOP",
    "speed": "photos/s (face network)",
    "ear_photos": "ear photos seen",
    "epochs": "epochs",
    "minutes": "minutes",
}


def report(
    run: RunFolder, args: argparse.Namespace, face: Loaded, faces: list[Sample], scores: dict[str, Scores]
) -> None:
    """Print and save the table that matters, and draw attention maps of teacher and student."""
    from models.cpm import count_flop
    from models.weights import load_network

    best = load_network(run.best, with_features=True)
    before = None
    if faces:
        from models.trainer import LandmarkReader

        reader = LandmarkReader(face.network, face.settings, FACE.task)
        before = score_samples(reader, faces, args.batch_size).summary["nme"]
    after = scores[FACE.task].summary["nme"] if FACE.task in scores else None
    speed = inference_speed({"student": best, "face": face}, best.settings.input_size)
    row = {
        "strategy": args.strategy,
        "face_before": before,
        "face_after": after,
        "forgetting": None if before is None or after is None else after - before,
        "ear": scores[EAR.task].summary["nme"] if EAR.task in scores else None,
        "parameters": sum(int(np.prod(w.shape)) for w in best.network.weights),
        "gflop": count_flop(best.settings) / 1e9,
        "speed": speed["student"],
        "face_network_speed": speed["face"],
        "ear_photos": run.state["epoch"] * len_of_epoch(run),
        "minutes": run.state["minutes"],
        "seed": args.seed,
        "epochs": args.epochs,
        "weights": args.out,
    }
    write_json(run.path / TABLE, row)
    print(markdown_table([row]))
    samples = (scores[FACE.task] if FACE.task in scores else scores[EAR.task]).samples if scores else []
    if samples:
        scheme = FACE if FACE.task in scores else EAR
        save_picture(run.path / "attention.png", draw_attention(face, best, samples[:4], scheme))
    print(f"table:    {run.path / TABLE}; attention maps in {run.path / 'attention.png'}")


def len_of_epoch(run: RunFolder) -> int:
    """Ear photos that one epoch of a run showed: those of the training part."""
    import csv

    with open(run.path / "split.csv", newline="", encoding="utf-8") as stream:
        return sum(row["part"] == "train" for row in csv.DictReader(stream))


def markdown_table(rows: list[dict]) -> str:
    """Rows as a Markdown table; what is not known is a dash."""

    def cell(name: str, row: dict) -> str:
        value = row.get(name)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return "-"
        if name in ("parameters", "ear_photos"):
            return f"{value:,}"
        if name == "forgetting":
            return f"{value:+.2f}"
        if name == "speed":
            return f"{value:.1f} ({row['face_network_speed']:.1f})"
        return f"{value:.2f}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(COLUMNS.values()) + " |", "| " + " | ".join("---" for _ in COLUMNS) + " |"]
    lines += ["| " + " | ".join(cell(name, row) for name in COLUMNS) + " |" for row in rows]
    return "\n".join(lines)


def read_row(run: str | Path) -> dict:
    """The table row of a finished run. Raises `InputError` if it has none."""
    return read_json(Path(run) / TABLE, f"{run}: not a finished run of train_face2ear.py")


def inference_speed(networks: dict[str, Loaded], size: int, batch: int = 8, seconds: float = 2.0) -> dict[str, float]:
    """Photos/s of each network's forward pass at one input size, measured in turns so that all share the weather."""
    from models.trainer import LandmarkReader

    images = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    readers = {
        name: LandmarkReader(loaded.network, loaded.settings, next(iter(loaded.settings.heads)))
        for name, loaded in networks.items()
    }
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


def draw_attention(face: Loaded, student: Loaded, samples: list[Sample], scheme) -> np.ndarray:
    """Photos in rows: the crop, the teacher's attention map of `feature_map` on it, the student's."""
    from keras import ops

    from utils.losses import attention_vector

    pictures = []
    for sample in samples:
        for title, loaded in (("photo", None), ("teacher", face), ("student", student)):
            size = (loaded or student).settings.input_size
            crop = warp_photo(decode_photo(sample.image), crop_warp(scheme, sample.points).matrix(size), size)
            if loaded is not None:
                features = loaded.network(crop[None])["feature_map"]
                cells = ops.convert_to_numpy(attention_vector(features))[0].reshape(size // 8, size // 8)
                crop = overlay(crop, cells / cells.max())
            shown = warp_photo(crop, np.array([[256 / size, 0, 0], [0, 256 / size, 0]]), 256)
            pictures.append(write_label(shown, title))
    return contact_sheet(pictures, columns=3)
