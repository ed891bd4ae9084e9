"""Flags and config files of the training scripts: read, checked, and combined into one config.

A value comes from the flag, else from the file of `--config`, else from the config's default. A resumed run takes all
of them from its own `config.json`. A value in a file passes the same checks as on the command line.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from data.datasets import PROTOCOL_300W
from data.landmark_map import read_map
from data.layouts import face_folders, where_to_get
from data.schemes import EAR, FACE, Scheme, parse_landmarks, register
from models.config import KINDS, NORMS, STAGE_INPUTS
from models.strategies import STARTING_TERMS, STRATEGIES, TEACHER_TERMS
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
from utils.common.files import check_writable, read_json
from utils.common.hosts import find_hosts
from utils.common.keras_runtime import PRECISIONS
from utils.common.schema import check_values
from utils.training.config import DEFAULTS, RunOptions, StudentConfig, TrainConfig

Config = TypeVar("Config", bound=TrainConfig)
LOSSES = ("combined", "weighted", "squared", "awing")  # of models.losses, whose import would wait for Keras
TASKS = ("face", "ear", "face2ear")  # each has a script
CONFIG_FILE = "config.json"
# Folders whose images a resumed run knows again elsewhere.
MOVABLE = ("data", "points_dir", "faces", "ears", "replay", "negatives", "face_negatives")
# Flags that are no part of a config.
RUN_OPTIONS = ("config", "run", "resume", "workers", "devices", "coordinator", "hosts", "host")


# --- the scripts' calls -----------------------------------------------------------------------------------------------


def read_train_config(
    scheme: Scheme, description: str, argv: list[str] | None = None
) -> tuple[TrainConfig, RunOptions]:
    """The config of `train_face.py` or `train_ear.py`, resolved but for its precision, before Keras is imported.

    Raises `InputError` for flags and files that are wrong or contradict each other, and for an existing run folder.
    """
    defaults = {"task": scheme.task, "out": f"weights/{scheme.task}.keras"}
    config, options = _read(TrainConfig, train_parser(scheme, description), defaults, argv)
    for flag, value in (("--scheme", config.scheme), ("--map", config.map)):
        if value is not None and config.task != FACE.task:
            raise InputError(f"{flag} {value}: train_{config.task}.py has its own landmarks; use train_face.py")
    _register_scheme(config)
    check_config(config, options)
    return config.resolved(), options


def read_student_config(description: str, argv: list[str] | None = None) -> tuple[StudentConfig, RunOptions]:
    """The config of `train_face2ear.py`, before Keras is imported; its teacher resolves it later.

    Raises `InputError` as `read_train_config` does.
    """
    defaults = {"task": "face2ear", "out": "weights/face2ear.keras"}
    config, options = _read(StudentConfig, student_parser(description), defaults, argv)
    _register_scheme(config)
    check_config(config, options)
    check_student_config(config, options)
    return config, options


def _register_scheme(config: TrainConfig) -> None:
    """Make the scheme that a config learns known. Raises `InputError` for one that cannot be told from another."""
    try:
        register(config.landmark_scheme)
    except ValueError as problem:
        raise InputError(f"--scheme {config.scheme}: {problem}") from problem


# --- flags ------------------------------------------------------------------------------------------------------------


class _Flags:
    """Adds flags in groups. A flag that is not given leaves no value, so that its origin is known."""

    def __init__(self, parser: argparse.ArgumentParser, kind: type[TrainConfig]):
        self.defaults = {each.name: None if each.default is MISSING else each.default for each in fields(kind)}
        self.parser = parser
        self.group: Any = parser

    def begin(self, title: str) -> None:
        """Start a group of `--help`."""
        self.group = self.parser.add_argument_group(title)

    def __call__(self, flag: str, help: str, **options: Any) -> None:
        """Add a flag; `{default}` in its help stands for the config's default."""
        default = self.defaults.get(flag.removeprefix("--").replace("-", "_"))
        if isinstance(default, tuple):
            default = " ".join(default)
        shown = f"{default:g}" if isinstance(default, float) else default
        self.group.add_argument(flag, help=help.format(default=shown), default=argparse.SUPPRESS, **options)


def train_parser(scheme: Scheme, description: str) -> argparse.ArgumentParser:
    """The command line of `train_face.py` and `train_ear.py`."""
    parser = CommandLine(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = _Flags(parser, TrainConfig)
    _add_data(add, scheme)
    if scheme is FACE:
        add(
            "--scheme",
            metavar="FILE",
            help="learn other landmarks: a scheme's JSON file, or a name of data/schemes/ such as wflw98 (default: the "
            "68 of face68)",
        )
        add(
            "--map",
            metavar="FILE",
            help="learn landmarks that a map makes of the points of --data: its JSON file, or a name of data/maps/, "
            "such as wflw98-to-face68",
        )
        add(
            "--points",
            choices=("2d", "3d"),
            help="face points of .mat files: jaw on the visible outline (2d) or on the head (3d) (default: {default})",
        )
    _add_network(
        add,
        preset="network size: the published one (full), one for laptops (lite), smaller ones (small, nano), "
        "one for tests (tiny) (default: {default})",
        norm=f"normalisation of the kernels (weight: folded away when saved), of features (batch, group) or none "
        f"(default: {_by_preset('norm')})",
        input_size="network input in pixels, a multiple of 8 (default: the preset's); smaller is faster and coarser",
    )
    add(
        "--stage-input",
        choices=STAGE_INPUTS,
        help="what a stage hands to the next: features or, as in the paper, heatmaps (default: {default})",
    )
    add("--sigma", type=positive_float, help="width of the targets in heatmap cells (default: {default})")
    _add_training(
        add,
        learning_rate="Adam's peak rate, after a warm-up and before a cosine decay to 0 "
        f"(default: {_by_preset('learning_rate')})",
    )
    _add_run(add, scheme.task)
    return parser


def student_parser(description: str) -> argparse.ArgumentParser:
    """The command line of `train_face2ear.py`."""
    parser = CommandLine(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = _Flags(parser, StudentConfig)
    _add_data(add, EAR)
    add(
        "--scheme",
        metavar="FILE",
        help="teach these landmarks instead of ears, beside what the teacher knows: a scheme's JSON file, or a name of "
        "data/schemes/",
    )
    add(
        "--faces",
        action="append",
        metavar="DIR",
        help="face images to measure forgetting on (default: the --data folders that hold AFW/ and the like)",
    )
    add(
        "--face-split",
        metavar="FILE",
        help=f"CSV (name, part) to split the faces by, as the teacher's split.csv, or '{PROTOCOL_300W}' as of --split",
    )
    add(
        "--ears",
        action="append",
        metavar="DIR",
        help="ear images to measure forgetting on, where --scheme is taught to a teacher of ears",
    )
    add(
        "--replay",
        action="append",
        metavar="DIR",
        help="mix these face images and their points into training (joint: default --faces)",
    )
    add(
        "--no-replay",
        action="store_true",
        help="learn from ear images alone (default: with a teacher the faces to train on are replayed, without points)",
    )
    add(
        "--face-negatives",
        action="append",
        metavar="DIR",
        help="mix crops of these images, which show no face, into the replayed faces (--negatives teach ears alone)",
    )
    _add_network(
        add,
        preset="network size (default: the teacher's); another starts from scratch or --init",
        norm="normalisation (default: of the kernels, where the teacher's allow it; from scratch the preset's)",
        input_size="the student's input in pixels, a multiple of 8 (default: the teacher's)",
    )
    _add_teaching(add)
    _add_training(
        add,
        learning_rate="Adam's peak rate (default: half of what the other scripts give the preset; 4 times it where new "
        "layers alone learn)",
    )
    _add_run(add, "face2ear")
    return parser


def _add_data(add: _Flags, scheme: Scheme) -> None:
    add.begin("data")
    face = scheme is FACE
    add(
        "--data",
        action="append",
        metavar="DIR",
        help="folder that holds AFW/ or CollectionA/, or images with .pts (default: {default}); repeatable",
    )
    add("--points-dir", metavar="DIR", help="the points of --data lie in this folder, under the images' names")
    add("--landmarks", metavar="LIST", help="train a subset only, such as 36-47,60 (0-based; default: all)")
    protocol = f", or '{PROTOCOL_300W}': its own protocol, for 300-W as it is handed out" if face else ""
    add(
        "--split",
        metavar="FILE",
        help=f"CSV (name, part) to split by, as a run's split.csv{protocol} (default: by name, fixed)",
    )
    add("--limit", type=positive_int, metavar="N", help="use only N images of each folder, to try things out")
    add("--skip-bad", action="store_true", help="leave out unusable images and list them, instead of stopping")
    add(
        "--negatives",
        action="append",
        metavar="DIR",
        help=f"mix in crops of these images, which show no {'face' if face else 'ear'}: "
        + ("synthetic ears will do" if face else "hair over ears, hands, backgrounds"),
    )


def _add_network(add: _Flags, preset: str, norm: str, input_size: str) -> None:
    add.begin("network")
    add("--preset", choices=tuple(DEFAULTS), help=preset)
    add("--norm", choices=NORMS, help=norm)
    add("--input-size", type=network_size, metavar="PX", help=input_size)
    add(
        "--init",
        metavar="FILE",
        help="start from weights that fit (a student's too; the trunk alone if they lack the heads), from a file of "
        "VGG-19 or OpenPose, or 'imagenet'",
    )
    add(
        "--freeze",
        type=int,
        choices=range(5),
        metavar="N",
        help="keep the weights of the trunk's first N of 4 blocks, for faster steps from --init or a teacher "
        "(default: {default})",
    )


def _add_teaching(add: _Flags) -> None:
    # The weights' values follow from the gradients on the trunk: utils.training.students.
    add.begin("teaching")
    add("--teacher", metavar="FILE", help="weights that know faces, the predecessor's too (default: {default})")
    add(
        "--teacher-size",
        type=network_size,
        metavar="PX",
        help="the teacher's input in pixels (default: as it was trained); the student's saves time",
    )
    add(
        "--strategy",
        choices=tuple(STRATEGIES),
        help="separate: a network for it beside the teacher's; joint: one network learns both datasets; "
        "frozen: only new heads learn; adapters: and small convolutions of its own; finetune: no teacher; l2-sp, ewc: "
        "and weights stay near where they were, or those that faces need; distill; distill-at: and attention transfer "
        "(default: {default})",
    )
    add("--ear-weight", type=non_negative_float, help="factor of the loss of ears, or of --scheme (default: {default})")
    add(
        "--face-weight",
        type=non_negative_float,
        help="factor of the loss on the points of replayed faces (default: {default}; 0: the teacher alone says where)",
    )
    add(
        "--distillation-weight",
        type=non_negative_float,
        help="factor of the error between the student's and the teacher's heatmaps (default: 1, with "
        "--temperature 0.06)",
    )
    add(
        "--attention-weight",
        type=non_negative_float,
        help="factor of the attention-transfer loss (default: 0.1 beside replayed faces, else 1)",
    )
    add(
        "--boundary-weight",
        type=non_negative_float,
        help="factor of an activation-boundary loss on feature_map (default: {default}, not computed)",
    )
    add("--ewc-weight", type=non_negative_float, help="factor of the penalty of --strategy ewc (default: {default})")
    add(
        "--l2-sp-weight", type=non_negative_float, help="factor of the penalty of --strategy l2-sp (default: {default})"
    )
    add(
        "--temperature",
        type=positive_float,
        metavar="T",
        help="distil softened spatial softmaxes at this temperature, 2 for one (default: the stage loss of --loss)",
    )
    add(
        "--attention-layers",
        type=lambda text: text.split(","),
        metavar="LIST",
        help="layers that hand on attention, such as feature_map,stage3_features (default: feature_map and all stages)",
    )


def _add_training(add: _Flags, learning_rate: str) -> None:
    add.begin("training")
    add("--epochs", type=positive_int, help="each sees every image --repeats times (default: {default})")
    add(
        "--repeats",
        type=positive_int,
        metavar="N",
        help="how often an epoch sees every image: more means fewer scores and checkpoints (default: {default})",
    )
    add("--batch-size", type=positive_int, help="images a step; less needs less memory (default: {default})")
    add("--learning-rate", type=positive_float, help=learning_rate)
    add("--loss", choices=LOSSES, help="stage loss; combined adds a spatial cross-entropy (default: {default})")
    add(
        "--augment",
        type=non_negative_float,
        metavar="STRENGTH",
        help="strength of random warps and colours: 0 none, 1 as tuned (default: {default})",
    )
    add(
        "--flip-probability",
        type=unit_interval,
        metavar="P",
        help="of a mirrored training crop (default: {default}); 0 for points that do not lie alike on both sides",
    )
    add("--seed", type=int, help="of weights, order and augmentation; never of the split (default: {default})")
    add(
        "--precision",
        choices=PRECISIONS,
        help="auto measures whether bfloat16 or float16 is faster here, else float32 (default: {default})",
    )
    add("--deterministic", action="store_true", help="same losses to the last bit on every run; slower")


def _add_run(add: _Flags, name: str) -> None:
    add.begin("run")
    add("--config", metavar="FILE", help="JSON with any of these settings, as a run's config.json; flags override it")
    add("--out", metavar="FILE", help=f"weights file to write (default: weights/{name}.keras)")
    add("--run", metavar="DIR", help=f"new folder for curves, scores and checkpoints (default: runs/{name})")
    add("--resume", action="store_true", help="continue the run in --run where it stopped, with its own config")
    add(
        "--workers",
        type=non_negative_int,
        metavar="N",
        help="processes that make the batches, about one a core where a GPU waits for them (default: threads)",
    )
    add(
        "--devices",
        type=_devices,
        metavar="N",
        help="devices of each host that share each batch (default: auto, all GPUs); without a GPU N parts of the CPU, "
        "to try it out",
    )
    add(
        "--hosts",
        type=positive_int,
        metavar="N",
        help="processes on one machine or several that train together, on the JAX backend; all run this command "
        "(default: those that SLURM or Open MPI started, else 1)",
    )
    add("--host", type=non_negative_int, metavar="K", help="which of them this is; host 0 alone prints and writes")
    add("--coordinator", metavar="HOST:PORT", help="where they meet: the address of host 0, and a port that is free")


def _devices(text: str) -> int | None:
    """An argparse type: a number, or None for "auto"."""
    return None if text == "auto" else positive_int(text)


def _by_preset(name: str) -> str:
    return ", ".join(f"{getattr(row, name)} for {preset}" for preset, row in DEFAULTS.items())


# --- flags and files together -----------------------------------------------------------------------------------------


def _read(
    kind: type[Config], parser: argparse.ArgumentParser, defaults: dict[str, str], argv: list[str] | None
) -> tuple[Config, RunOptions]:
    given = vars(parser.parse_args(argv))
    task = defaults["task"]
    if "scheme" in given:  # weights and run of the face network keep their places
        name = Path(given["scheme"]).stem if task == FACE.task else f"face2{Path(given['scheme']).stem}"
    else:
        name = read_map(given["map"]).scheme.task if "map" in given else task
    if name != task:
        defaults = defaults | {"out": f"weights/{name}.keras"}
    options = RunOptions(
        Path(given.pop("run", f"runs/{name}")),
        given.pop("resume", False),
        given.pop("workers", 0),
        given.pop("devices", None),
        find_hosts(given.pop("coordinator", None), given.pop("hosts", None), given.pop("host", None)),
    )
    if not options.hosts.leads:
        sys.stdout = io.StringIO()  # host 0 says it
    file = given.pop("config", None)
    if options.resume:
        if not holds_a_run(options.folder):
            raise InputError(f"--resume: {options.folder} holds no run to continue; leave the flag out to start one")
        if file is not None:
            raise InputError(f"--config {file}: a resumed run has a config of its own; leave the flag out")
        config = _from_values(
            kind, defaults | read_config_file(options.folder / CONFIG_FILE, kind, parser, task, resume=True)
        )
        _check_agreement(config, given)
        moved = {name: value for name, value in given.items() if name in (*MOVABLE, "epochs")}
        return _from_values(kind, vars(config) | moved), options
    if holds_a_run(options.folder):
        raise InputError(
            f"--run {options.folder}: already there; continue it with --resume, or name another run folder"
        )
    values = read_config_file(Path(file), kind, parser, task) if file is not None else {}
    return _from_values(kind, defaults | values | given), options


def holds_a_run(folder: Path) -> bool:
    """Whether there is anything in a run folder but what a run leaves that was killed before it had written a file."""
    return folder.exists() and (
        not folder.is_dir() or any(not path.name.startswith(".part") for path in folder.iterdir())
    )


def _from_values(kind: type[Config], values: dict[str, Any]) -> Config:
    """A config from values of flags or JSON: lists become tuples."""
    known: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return kind(**known)


def read_config_file(
    path: Path, kind: type[TrainConfig], parser: argparse.ArgumentParser, task: str, resume: bool = False
) -> dict[str, Any]:
    """The values in a JSON file, checked as the flags of `parser` are; null leaves a setting to its default.

    `resume`: the file is that of a run to continue.

    Raises `InputError` that names the file and the key, for a key that is no field of `kind` and for a value that no
    flag takes.
    """
    values = read_json(path, f"--resume: {path.parent} is no run folder" if resume else f"--config {path}")
    flag = f"--resume: {path}" if resume else f"--config {path}"
    if not isinstance(values, dict):
        raise InputError(f"{flag}: must hold one JSON object, of settings by name")
    if values.get("task", task) not in TASKS:
        raise InputError(f"{flag}: task is {values['task']!r}; it must be one of {', '.join(TASKS)}")
    if values.get("task", task) != task:
        raise InputError(f"{flag}: is of train_{values['task']}.py, not of train_{task}.py")
    actions = {action.dest: action for action in parser._actions if action.dest not in ("help", *RUN_OPTIONS)}
    unknown = sorted(set(values) - {each.name for each in fields(kind)})
    if unknown:
        raise InputError(f"{flag}: there is no setting {unknown[0]!r}; --help lists them")
    for name, value in values.items():
        empty = value is None or value == []  # as a run writes what was not given
        if name in actions and not empty:
            _check_value(flag, name, value, actions[name])
        elif name in KINDS and not empty:  # a setting of the network that this script has no flag for
            try:
                check_values(values, {name: KINDS[name]})
            except ValueError as problem:
                raise InputError(f"{flag}: {problem}") from problem
    return {name: value for name, value in values.items() if value is not None and value != []}


def _check_value(flag: str, name: str, value: Any, action: argparse.Action) -> None:
    """Raise an `InputError` unless the flag of `action` could have given a value of JSON."""
    wanted = ""
    if isinstance(action, argparse._StoreTrueAction):
        wanted = "" if isinstance(value, bool) else "true or false"
    elif isinstance(action, argparse._AppendAction) or name == "attention_layers":
        texts = isinstance(value, list) and all(map(_is_text, value))
        wanted = "" if texts else "a list of texts"
    elif action.choices is not None:
        wanted = (
            ""
            if value in action.choices and not isinstance(value, bool)
            else f"one of {', '.join(map(str, action.choices))}"
        )
    elif action.type is None:
        wanted = "" if _is_text(value) else "a text"
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        wanted = "a number"
    else:
        convert: Callable = action.type  # type: ignore[assignment]  # argparse also takes the name of a registered type
        try:
            convert(str(value))
        except (argparse.ArgumentTypeError, ValueError) as problem:
            wanted = str(problem).partition(" is not ")[2] or "a whole number"
    if wanted:
        raise InputError(f"{flag}: {name} is {value!r}; it must be {wanted}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != "" and "\0" not in value


def _check_agreement(config: TrainConfig, given: dict[str, Any]) -> None:
    """Raise an `InputError` for a flag that says something else than the run that is resumed.

    Its images may have moved, and it may get more epochs.
    """
    for name, value in given.items():
        known = getattr(config, name)
        same = (tuple(value) if isinstance(value, list) else value) == known
        if same or (name == "precision" and value == "auto"):  # the run keeps what it measured then
            continue
        if (name in MOVABLE and known) or (name == "epochs" and value > known):
            continue
        was = "without it" if known is None or known is False or known == () else f"with {known}"
        flag = f"--{name.replace('_', '-')}"
        shown = "" if value is True else f" {' '.join(value) if isinstance(value, list) else value}"
        raise InputError(
            f"{flag}{shown}: the run was started {was}; a resumed run keeps its config: leave the flag out"
        )


# --- checks that need no Keras ----------------------------------------------------------------------------------------


def check_config(config: TrainConfig, options: RunOptions) -> None:
    """Raise an `InputError` for missing folders and files, and for places that cannot be written to."""
    if config.points_dir is not None and len(config.data) > 1:
        raise InputError("--points-dir: holds the points of one --data; name one folder of images")
    for folder in config.data:
        if not Path(folder).exists():
            raise InputError(
                f"--data {folder}: no such folder; {_moved(options) or where_to_get(config.landmark_scheme)}"
            )
    for folder in config.negatives:
        if not Path(folder).is_dir():
            raise InputError(f"--negatives {folder}: no such folder{_moved(options, '; ')}")
    if Path(config.out).suffix != ".keras" or Path(config.out).is_dir():
        raise InputError(f"--out {config.out}: weights are written as .keras; give a name that ends so")
    begun = options.resume and (options.folder / "best.keras").exists() and (options.folder / "state.json").exists()
    if config.init not in (None, "imagenet") and not begun:
        _check_file("--init", config.init)
    if not (options.resume and (options.folder / "split.csv").exists()):
        for flag, split in (("--split", config.split), ("--face-split", getattr(config, "face_split", None))):
            if split != PROTOCOL_300W:
                _check_file(flag, split)
    shares = options.hosts.count * (options.devices or 1)
    if config.batch_size % shares:
        what = f"{options.hosts.count} hosts" if options.devices is None else f"{shares} devices"
        raise InputError(f"--batch-size {config.batch_size}: cannot be shared out to {what}; take a multiple")
    if not 0 <= config.seed < 2**32:
        raise InputError(f"--seed {config.seed}: must be from 0 to 2^32 - 1")
    if config.landmarks is not None:
        parse_landmarks(config.landmarks, config.landmark_scheme.count)
    check_writable("--run", options.folder)
    check_writable("--out", Path(config.out).parent)


def _moved(options: RunOptions, before: str = "") -> str:
    """What to do about images that a run to resume no longer finds; nothing for a new run."""
    return f"{before}if it has moved, say where it is now, all such folders again" if options.resume else ""


def check_student_config(config: StudentConfig, options: RunOptions) -> None:
    """Raise an `InputError` for a student's settings that cannot work together, and for missing files."""
    if not Path(config.teacher).is_file():
        raise InputError(f"--teacher {config.teacher}: no such weights file; train it first: python train_face.py")
    for flag, folders in (
        ("faces", config.faces),
        ("ears", config.ears),
        ("replay", config.replay),
        ("face-negatives", config.face_negatives),
    ):
        for folder in folders:
            if not Path(folder).is_dir():
                raise InputError(f"--{flag} {folder}: no such folder{_moved(options, '; ')}")
    if config.strategy == "joint" and not (config.replay or config.faces or face_folders(config.data)):
        raise InputError("--strategy joint: trains on faces too; name their folder with --replay DIR")
    if config.face_negatives and not ((config.replay or config.strategy == "joint") and config.face_weight):
        raise InputError(
            "--face-negatives: the loss on replayed faces learns from them; give --replay DIR, and no --face-weight 0"
        )
    if config.no_replay and (config.replay or config.strategy == "joint"):
        what = f"--replay {config.replay[0]}" if config.replay else "--strategy joint, which learns faces from images"
        raise InputError(f"--no-replay: contradicts {what}; leave one of them out")
    plan = STRATEGIES[config.strategy]
    if config.init and (plan.trains != "all" or plan.stays_near):
        raise InputError(
            f"--init {config.init}: --strategy {config.strategy} keeps the teacher's weights; leave it out"
        )
    if config.strategy == "ewc" and not (config.faces or face_folders(config.data)):
        raise InputError(
            "--strategy ewc: measures on face images which weights matter; name their folder with --faces, or take "
            "--strategy l2-sp"
        )
    for flag, kept in (("replay", config.replay), ("boundary-weight", config.boundary_weight)):
        if kept and plan.trains != "all":
            raise InputError(f"--{flag}: --strategy {config.strategy} leaves the face's network as it is; leave it out")
    own = [name for name in plan.terms if name in TEACHER_TERMS | STARTING_TERMS]
    nothing = own and all(getattr(config, f"{name.replace('-', '_')}_weight") == 0 for name in own)
    if nothing and not (config.boundary_weight or config.replay):
        raise InputError(f"--{own[0]}-weight 0: then --strategy {config.strategy} is finetune; give a number above 0")
    if not config.ear_weight:
        raise InputError("--ear-weight 0: then nothing new is learned; give a number above 0")
    if config.strategy == "joint" and not config.face_weight:
        raise InputError("--face-weight 0: --strategy joint learns faces from their points; give a number above 0")


def _check_file(flag: str, path: str | None) -> None:
    if path is not None and not Path(path).is_file():
        raise InputError(f"{flag} {path}: no such file")
