"""What the training scripts share: flags, optimiser, run folder and the training loop."""

from __future__ import annotations

import argparse
import math
import os
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from data.datasets import DatasetListing, Sample, read_split, split_rows, write_split
from data.layouts import WHERE_TO_GET
from data.pipeline import TrainingPipeline
from data.schemes import Scheme, parse_landmarks
from utils.common.cli import (
    CommandLine,
    InputError,
    network_size,
    non_negative_float,
    non_negative_int,
    positive_float,
    positive_int,
    unit_interval,
)
from utils.common.files import check_writable, read_json, replacing, write_csv, write_json
from utils.common.keras_runtime import PRECISIONS
from utils.evaluation.reports import write_report
from utils.evaluation.scoring import Scores, score_samples

if TYPE_CHECKING:
    import keras

    from models.config import ModelConfig
    from models.trainer import LandmarkReader


@dataclass(frozen=True)
class Recipe:
    """How a preset is trained unless flags say otherwise: normalisation, and Adam's peak learning rate."""

    norm: str
    learning_rate: float


# Standardised kernels learn fastest in a network of 28 layers. In the 46 of full each of them also stirs the signal a
# little more (nearby inputs part by 1.47 a layer, by 1 under plain He initialisation), and it hardly starts to learn.
RECIPES = {"full": Recipe("none", 1e-4), "lite": Recipe("weight", 1e-3), "tiny": Recipe("weight", 1e-3)}


def recipe(preset: str) -> Recipe:
    """The recipe of a preset; that of `full`, the most careful one, for networks that are none of ours."""
    return RECIPES.get(preset, RECIPES["full"])


# --- flags -----------------------------------------------------------------------------------------------------------


def training_flags(name: str, description: str, **changed: dict | None) -> argparse.ArgumentParser:
    """The flags of the training scripts, each with its reason; `name` is that of the default run and weights.

    `changed`: for a script to which a flag means something else, its other options, or None to leave it out.
    """
    parser = CommandLine(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(trains=name)

    def add(flag: str, **options: object) -> None:
        other = changed.get(flag.removeprefix("--").replace("-", "_"), {})
        if other is not None:
            parser.add_argument(flag, **{**options, **other})

    add(
        "--data",
        action="append",
        metavar="DIR",
        help="folder that holds AFW/ or CollectionA/, or images with .pts (default: data); repeat it to mix several",
    )
    add(
        "--points",
        choices=("2d", "3d"),
        default="2d",
        help="face points of .mat files: jaw on the visible outline (2d, default) or on the head (3d)",
    )
    add("--landmarks", metavar="LIST", help="train a subset only, such as 36-47,60 (0-based; default: all)")
    add("--split", metavar="FILE", help="CSV (name, part) to split by, as a run's split.csv (default: by name, fixed)")
    add("--limit", type=positive_int, metavar="N", help="use only N images of each folder, to try things out")
    add("--skip-bad", action="store_true", help="leave out unusable images and list them, instead of stopping")
    add("--out", default=f"weights/{name}.keras", metavar="FILE", help="weights file to write (default: %(default)s)")
    add(
        "--run",
        default=f"runs/{name}",
        metavar="DIR",
        help="run folder for curves, images, scores and checkpoints (default: %(default)s); must be new",
    )
    add("--resume", action="store_true", help="continue the run in --run where it stopped, with its own settings")
    add(
        "--preset",
        choices=tuple(RECIPES),
        default="full",
        help="network size: the published one (full, default), one for laptops (lite), one for tests (tiny)",
    )
    add(
        "--norm",
        choices=("weight", "none", "batch", "group"),
        help="normalisation: of the kernels (weight: learns fastest for its cost, folded away when saved), of features "
        f"(batch, group) or none (default: {_by_preset('norm')})",
    )
    add(
        "--stage-input",
        choices=("features", "heatmaps"),
        default="features",
        help="what a stage hands to the next: features (default) or, as in the paper, heatmaps",
    )
    add(
        "--negatives",
        action="append",
        metavar="DIR",
        help=f"mix in views of these images, which show no {'face' if name == 'face' else 'ear'}: so that the network "
        f"says so ({'synthetic ears will do' if name == 'face' else 'hair over ears, hands, backgrounds'})",
    )
    add(
        "--init",
        metavar="FILE",
        help="start from weights that fit (a student's too; the trunk alone if they lack the heads), or 'imagenet'",
    )
    add(
        "--input-size",
        type=network_size,
        metavar="PX",
        help="network input in pixels, a multiple of 8 (default: the preset's); smaller is faster and coarser",
    )
    add(
        "--coarse-epochs",
        type=non_negative_int,
        default=0,
        metavar="N",
        help="train the first N epochs at --coarse-size: several times faster, and most of what there is to learn",
    )
    add(
        "--coarse-size",
        type=network_size,
        metavar="PX",
        help="network input of the coarse epochs (default: half of --input-size)",
    )
    add("--epochs", type=positive_int, default=60, help="each sees every image --repeats times (default: %(default)s)")
    add(
        "--repeats",
        type=positive_int,
        default=1,
        metavar="N",
        help="let an epoch see every image N times: scores and checkpoints less often, for fast machines (default: 1)",
    )
    add("--batch-size", type=positive_int, default=16, help="images a step; less needs less memory (default: 16)")
    add(
        "--learning-rate",
        type=positive_float,
        help="Adam's peak rate, after a warm-up and before a cosine decay to 0 "
        f"(default: {_by_preset('learning_rate')})",
    )
    add("--sigma", type=positive_float, default=1.15, help="width of the targets in heatmap cells (default: 1.15)")
    add(
        "--loss",
        choices=("combined", "weighted", "squared", "awing"),
        default="combined",
        help="stage loss; combined (default) adds a spatial cross-entropy, which learns soonest",
    )
    add(
        "--augment",
        type=non_negative_float,
        default=1.0,
        metavar="STRENGTH",
        help="strength of random warps and colours: 0 none, 1 as tuned (default)",
    )
    add(
        "--flip-probability",
        type=unit_interval,
        default=0.5,
        metavar="P",
        help="of a mirrored training crop (default: 0.5); 0 for points that do not lie alike on both sides",
    )
    add("--seed", type=int, default=0, help="of weights, order and augmentation; never of the split (default: 0)")
    add(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="auto (default) measures whether bfloat16 or float16 is faster here, else float32",
    )
    add(
        "--workers",
        type=non_negative_int,
        default=0,
        metavar="N",
        help="processes that read and warp images, about one a core where a GPU waits for them (default: threads)",
    )
    add("--deterministic", action="store_true", help="same losses to the last bit on every run; slower")
    return parser


def _by_preset(name: str) -> str:
    return ", ".join(f"{getattr(row, name)} for {preset}" for preset, row in RECIPES.items())


def parse_flags(
    parser: argparse.ArgumentParser, scheme: Scheme, arguments: list[str] | None = None
) -> argparse.Namespace:
    """Parse and check the flags, before TensorFlow is imported.

    With `--resume` the settings are the run's own. Raises `InputError` for flags that cannot work together, an existing
    run folder, missing folders and files.
    """
    args = parser.parse_args(arguments)
    if args.resume:
        # A value that the namespace has already is not replaced by a default: what is not None was given.
        given = parser.parse_args(arguments, argparse.Namespace(**dict.fromkeys(vars(args))))
        _take_settings_of_run(args, {name: value for name, value in vars(given).items() if value is not None})
    elif Path(args.run).exists():
        raise InputError(f"--run {args.run}: already there; continue it with --resume, or name another run folder")
    args.data = args.data or ["data"]
    for folder in args.data:
        if not Path(folder).is_dir():
            raise InputError(f"--data {folder}: no such folder; {WHERE_TO_GET[scheme.task]}")
    if Path(args.out).suffix != ".keras" or Path(args.out).is_dir():
        raise InputError(f"--out {args.out}: weights are written as .keras; give a name that ends so")
    for flag, path in (("--init", args.init), ("--split", args.split)):
        if path and path != "imagenet" and not Path(path).is_file():
            raise InputError(f"{flag} {path}: no such file")
    if args.coarse_epochs >= args.epochs:
        raise InputError(f"--coarse-epochs {args.coarse_epochs}: must be fewer than --epochs ({args.epochs})")
    if not 0 <= args.seed < 2**32:
        raise InputError(f"--seed {args.seed}: must be from 0 to 2^32 - 1")
    args.landmark_indices = (
        parse_landmarks(args.landmarks, scheme.count) if args.landmarks else tuple(range(scheme.count))
    )
    check_writable("--run", Path(args.run))
    check_writable("--out", Path(args.out).parent)
    return args


def _take_settings_of_run(args: argparse.Namespace, given: dict) -> None:
    """Replace `args` by the settings of the run in `--run`; flags that were `given` must say the same.

    What the run folder holds itself is read from there: its split, and once an epoch is done its weights.
    """
    run = Path(args.run)
    config = read_json(run / "config.json", f"--resume: {run} is no run folder")
    flags = config.get("train_config") if isinstance(config, dict) else None
    if isinstance(flags, dict) and flags.get("trains", args.trains) != args.trains:
        raise InputError(f"--resume: {run} is a run of train_{flags['trains']}.py, not of train_{args.trains}.py")
    if not isinstance(flags, dict) or not set(flags) <= set(vars(args)):
        raise InputError(f"--resume: {run}/config.json is not that of a run; start anew in another run folder")
    if given.get("precision") == "auto":
        del given["precision"]  # the run keeps what it measured then
    for name, value in flags.items():
        if given.get(name, value) != value:
            flag = "--" + name.replace("_", "-")
            was = "without it" if value is None or value is False else f"with {value}"
            raise InputError(
                f"{flag} {given[name]}: the run was started {was}; a resumed run keeps its settings: leave the flag out"
            )
        setattr(args, name, value)
    for name in sorted(set(given) - set(flags) - {"run", "resume", "workers", "trains"}):
        raise InputError(f"--{name.replace('_', '-')}: the run was started without it; leave the flag out")
    for name in ("split", "face_split"):
        if getattr(args, name, None) and (run / "split.csv").exists():
            setattr(args, name, str(run / "split.csv"))
    if (run / "state.json").exists() and (run / "best.keras").exists():
        args.init = None


def flags_of(args: argparse.Namespace) -> dict:
    """The flags that make a run what it is, as JSON: all but where and how it runs, and whether it resumes."""
    return {
        name: value
        for name, value in vars(args).items()
        if name not in ("run", "resume", "workers", "landmark_indices")
    }


# --- the network and its optimiser ------------------------------------------------------------------------------------


def make_optimizer(learning_rate: float, epochs: int, steps: int) -> keras.Optimizer:
    """Adam with a linear warm-up and a cosine decay to 0 over all steps; gradients clipped to norm 1 each array."""
    import keras

    total = epochs * steps
    warm_up = min(200, total // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=learning_rate / 100,
        warmup_target=learning_rate,
        warmup_steps=warm_up,
        decay_steps=max(1, total - warm_up),
    )
    return keras.optimizers.Adam(schedule, clipnorm=1.0)


def network_config(args: argparse.Namespace, heads: dict[str, tuple[int, ...]]) -> ModelConfig:
    """The settings of the network that the flags describe, with these heads (task -> landmark indices).

    What the flags leave to the preset's recipe is written into `args`.
    """
    from models.config import preset_config

    args.norm = args.norm or recipe(args.preset).norm
    args.learning_rate = args.learning_rate or recipe(args.preset).learning_rate
    return preset_config(
        args.preset,
        heads,
        input_size=args.input_size,
        norm=args.norm,
        stage_input=args.stage_input,
        sigma=args.sigma,
        points=args.points,
    )


def compile_trainer(trainer: keras.Model, args: argparse.Namespace, steps: int) -> None:
    """Give a trainer its optimiser. Keras's own choice of `jit_compile` leaves XLA off where there is no GPU."""
    trainer.compile(optimizer=make_optimizer(args.learning_rate, args.epochs, steps))


def initialise(network: keras.Model, config: ModelConfig, init: str | None) -> None:
    """Follow `--init`: copy weights into a fresh network, and print what was copied."""
    from models.weights import start_from, start_from_imagenet

    if init == "imagenet":
        print(f"start:    {start_from_imagenet(network, config)}")
    elif init is not None:
        print(f"start:    {start_from(network, config, init)} of {init}")


# --- the run folder --------------------------------------------------------------------------------------------------


class RunFolder:
    """A run on disk: settings, history, the best network and the state to resume from.

    `state.json` is written last in each epoch and names the checkpoint that belongs to it, so that whatever moment a
    kill hits, the folder holds one whole epoch. `best.keras` is the network with the lowest validation NME.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.best = self.path / "best.keras"
        self.state = {"epoch": 0, "best_nme": None, "best_epoch": 0, "minutes": 0.0, "history": [], "checkpoint": None}

    def start(self, args: argparse.Namespace, parts: dict[str, list[Sample]], problems: list[str]) -> None:
        """Write the settings, the split and the list of images that were left out.

        A resumed run has its settings; raises `InputError` if its images are no longer those that it was started with.
        """
        if not args.resume:
            write_json(self.path / "config.json", {"train_config": flags_of(args)})
        elif (self.path / "split.csv").exists() and read_split(self.path / "split.csv") != split_rows(parts):
            raise InputError(f"--resume: the images below {', '.join(args.data)} have changed since {self.path} began")
        for left_over in self.path.glob(".part*"):  # of a run that was killed while it wrote
            left_over.unlink()
        write_split(self.path / "split.csv", parts)
        if problems:
            with replacing(self.path / "left_out.txt") as part:
                part.write_text("\n".join(problems) + "\n", encoding="utf-8")

    def resume(self, trainer: keras.Model) -> int:
        """Load weights, optimiser and history of the last whole epoch; returns how many epochs are done."""
        if not (self.path / "state.json").exists():
            return 0  # stopped within its first epoch
        state = read_json(self.path / "state.json", f"--resume: {self.path} cannot be resumed")
        if not isinstance(state, dict) or not set(self.state) <= set(state):
            raise InputError(f"--resume: {self.path}/state.json is not that of a run; start anew in another run folder")
        self.state = state
        if not self.best.is_file():
            raise InputError(f"--resume: {self.best} is missing; start anew in another run folder")
        checkpoint = self.path / self.state["checkpoint"]
        # Without its variables an optimiser silently skips its part of the file (Keras issue 19389).
        trainer.optimizer.build(trainer.trainable_variables)
        try:
            trainer.load_weights(checkpoint)
        except (OSError, ValueError) as problem:
            raise InputError(f"{checkpoint}: missing or corrupt; this run cannot be resumed") from problem
        return self.state["epoch"]

    def save_epoch(self, trainer: keras.Model, row: dict) -> None:
        """Write the checkpoint, the curves and, last of all, `state.json`; then drop the checkpoint before."""
        from utils.training.plots import plot_history

        name = f"checkpoint-{row['epoch']:04d}.weights.h5"
        before = self.state["checkpoint"]
        with replacing(self.path / name) as part:
            trainer.save_weights(part)
        self.state |= {"epoch": row["epoch"], "minutes": row["minutes"], "checkpoint": name}
        self.state["history"].append(row)
        history = ([epoch[name] for name in row] for epoch in self.state["history"])
        write_csv(self.path / "history.csv", [list(row), *history])
        plot_history(self.path / "curves.png", self.state["history"], str(self.path.name))
        write_json(self.path / "state.json", self.state)
        if before and before != name:
            (self.path / before).unlink(missing_ok=True)


# --- the loop --------------------------------------------------------------------------------------------------------


def print_summary(
    args: argparse.Namespace,
    found: DatasetListing,
    parts: dict[str, list[Sample]],
    pipeline: TrainingPipeline,
    network: keras.Model,
    config: ModelConfig,
) -> None:
    """Print what is about to be trained, on what, and how much of it."""
    for problem in found.problems:
        print(f"left out: {problem}")
    counts = ", ".join(f"{len(samples)} {part}" for part, samples in parts.items())
    landmarks = " and ".join(f"{len(head)} {task} landmarks" for task, head in config.heads.items())
    print(f"images:   {counts} (from {', '.join(args.data)})")
    print(
        f"network:  {config.preset}, {network.count_params():,} parameters, {config.input_size} px, "
        f"{config.stages} stages, {landmarks}, {args.precision}"
    )
    print(f"training: {args.epochs} epochs of {pipeline.steps} steps of {pipeline.batch_size}, run folder {args.run}")
    if not parts["validation"]:
        print("note:     no validation images, so the last epoch counts as the best")


def fit(
    trainer: keras.Model,
    pipeline: TrainingPipeline,
    run: RunFolder,
    args: argparse.Namespace,
    parts: dict[str, list[Sample]],
    validate: Callable[[int], dict[str, float]],
) -> None:
    """Train to `args.epochs` with one progress bar; every epoch validate, keep the best and checkpoint.

    `trainer` is a Keras model with the `network` to keep and its `config`. `validate(size)` returns what an `EpochLoop`
    takes: `validation_nme` by name. Raises `InputError` if an image cannot be read or the loss or
    a prediction is no longer a number.
    """
    import keras
    from tqdm import tqdm

    from models.weights import save_network
    from utils.training.callbacks import EpochLoop

    record = training_record(args, parts, args.epochs * pipeline.steps)

    def keep_best(epoch: int, nme: float, size: int) -> None:
        score = {"epoch": epoch, "validation_nme": None if math.isnan(nme) else nme}
        save_network(run.best, trainer.network, replace(trainer.config, input_size=size), record | score)

    first = run.resume(trainer) if args.resume else 0
    if first >= args.epochs:
        print(f"{run.path} has all of its {args.epochs} epochs")
        return
    images = pipeline.steps * pipeline.batch_size
    bar = tqdm(total=args.epochs * images, initial=first * images, unit="image", dynamic_ncols=True, smoothing=0.1)
    callbacks = [EpochLoop(run, validate, keep_best, bar, pipeline)]
    if keras.backend.backend() == "tensorflow":
        callbacks.append(keras.callbacks.TensorBoard(run.path / "tensorboard", write_graph=False))
    try:
        trainer.fit(
            pipeline.batches(first),
            steps_per_epoch=pipeline.steps,
            initial_epoch=first,
            epochs=args.epochs,
            callbacks=callbacks,
            shuffle=False,  # the pipeline has its own order
            verbose=0,
        )
    except KeyboardInterrupt:
        bar.write(f"stopped in epoch {run.state['epoch'] + 1}; continue with --resume --run {run.path}", sys.stderr)
        raise
    except InputError:
        raise
    except Exception as problem:
        if pipeline.problem:  # in the pipeline's own words, which TensorFlow wraps in a page of its own
            raise pipeline.problem from problem
        raise
    finally:
        bar.close()


def validation_nme(reader: LandmarkReader, samples: list[Sample], args: argparse.Namespace, size: int) -> float:
    """NME in per cent on validation images at an input size, in pixels of the originals; NaN if there are none.

    Raises `InputError` if a network's answers are no longer numbers: it must never count as the best.
    """
    if not samples:
        return math.nan
    nme = score_samples(reader, samples, args.batch_size, size).summary["nme"]
    if not math.isfinite(nme):
        raise InputError("the network's points are no longer numbers on validation images; lower --learning-rate")
    return nme


def training_record(args: argparse.Namespace, parts: dict[str, list[Sample]], steps: int) -> dict:
    """What a weights file says of its training: the flags, and the images that it or its teacher may not be scored on.

    `steps`, of this run, are added to those of the network that it starts from. A resumed run has said so already, in
    its best network, and no longer needs the weights that it started from.
    """
    from models.weights import read_description

    best = Path(args.run) / "best.keras"
    if args.resume and best.exists():
        record = read_description(best)["record"]
        kept = ("train_config", "steps", "training_images", "teacher_training_images")
        return {name: record[name] for name in kept if name in record}
    images = {sample.image_id for sample in parts["train"]}
    if args.init is not None and zipfile.is_zipfile(args.init):  # what starts from a network has seen its images too
        before = read_description(args.init)["record"]
        images.update(before.get("training_images", ()), before.get("teacher_training_images", ()))
        steps += before.get("steps", 0)
    record = {"train_config": flags_of(args), "steps": steps, "training_images": sorted(images)}
    teacher = getattr(args, "teacher", None)
    if teacher is not None and zipfile.is_zipfile(teacher):
        theirs = read_description(teacher)["record"]
        known = {*theirs.get("training_images", ()), *theirs.get("teacher_training_images", ())}
        record["teacher_training_images"] = sorted(known)
    return record


def test_and_export(run: RunFolder, args: argparse.Namespace, tests: dict[str, list[Sample]]) -> dict[str, Scores]:
    """Score the best network once on the test images, draw its predictions, and write it to `--out`.

    `tests`: task -> images. The report of several tasks goes into a folder each. Returns the scores by task.
    """
    from models.trainer import LandmarkReader
    from models.weights import load_network, save_network

    best = load_network(run.best)
    record = best.record | {"minutes": run.state["minutes"]}
    nme = run.state["best_nme"]
    said = "validation NME" if len(tests) == 1 else "sum of the validation NMEs"
    why = "the last: there are no validation images" if nme is None else f"{said} {nme:.2f} %"
    print(f"best:     epoch {run.state['best_epoch']}, {why}")
    results = {}
    for task, test in tests.items():
        named = f"{task} " if len(tests) > 1 else ""
        if not test:
            print(f"test:     no {named}test images, so no score")
            continue
        results[task] = score_samples(LandmarkReader(best.network, best.config, (task,)), test, args.batch_size)
        write_report(run.path / task if named else run.path, results[task], task)
        print(f"test:     {named}{results[task].line}")
    summaries = {task: scores.summary for task, scores in results.items()}
    if summaries:
        record["test"] = summaries if len(tests) > 1 else next(iter(summaries.values()))
    save_network(args.out, best.network, best.config, record)
    print(f"written:  {args.out}; curves, images and scores in {run.path}")
    return results
