"""What a training run is: `TrainConfig`, and `StudentConfig` for a student of several tasks.

A config is read once, from flags and a JSON file (`utils.training.flags`), completed once by its preset, its teacher
and this machine's precision, and then never changed. A run folder holds it as `config.json`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from data.landmark_map import LandmarkMap, read_map, target_of
from data.schemes import EAR, FACE, SCHEMES, Scheme, parse_landmarks, read_scheme
from models.config import PRESETS, ModelConfig, preset_config
from models.strategies import STRATEGIES
from utils.common.cli import InputError
from utils.common.hosts import ALONE, Hosts


@dataclass(frozen=True)
class PresetDefaults:
    """How a preset is trained unless flags say otherwise: normalisation, and Adam's peak learning rate."""

    norm: str
    learning_rate: float


# Standardised kernels learn fastest in a network of 28 layers. In the 46 of full each of them also stirs the signal a
# little more (nearby inputs part by 1.47 a layer, by 1 under plain He initialisation), and it hardly starts to learn.
DEFAULTS = {
    "full": PresetDefaults("none", 1e-4),
    "lite": PresetDefaults("weight", 1e-3),
    "small": PresetDefaults("weight", 1e-3),
    "nano": PresetDefaults("weight", 1e-3),
    "tiny": PresetDefaults("weight", 1e-3),
}


def preset_defaults(preset: str) -> PresetDefaults:
    """The defaults of a preset; those of `full`, the most careful ones, for a network that is none of ours."""
    return DEFAULTS.get(preset, DEFAULTS["full"])


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that makes a training run what it is. Each field is a flag of the script, which says what it means.

    `norm`, `learning_rate` and `input_size` may be None until `resolved` gives them the preset's values.
    """

    task: str
    out: str
    data: tuple[str, ...] = ("data",)
    points: str = "2d"
    scheme: str | None = None
    map: str | None = None
    points_dir: str | None = None
    landmarks: str | None = None
    split: str | None = None
    limit: int | None = None
    skip_bad: bool = False
    negatives: tuple[str, ...] = ()
    preset: str | None = "full"
    norm: str | None = None
    stage_input: str = "features"
    input_size: int | None = None
    sigma: float = 1.15
    init: str | None = None
    freeze: int = 0
    epochs: int = 60
    repeats: int = 1
    batch_size: int = 16
    learning_rate: float | None = None
    loss: str = "combined"
    augment: float = 1.0
    flip_probability: float = 0.5
    seed: int = 0
    precision: str = "auto"
    deterministic: bool = False

    @cached_property
    def landmark_scheme(self) -> Scheme:
        """The scheme of what is learned. Raises `InputError` as `read_scheme` does."""
        if self.landmark_map is not None:
            return target_of(self.landmark_map, self.scheme)
        return SCHEMES[self.task] if self.scheme is None else read_scheme(self.scheme)

    @cached_property
    def landmark_map(self) -> LandmarkMap | None:
        """What makes landmarks of the points of another scheme, if anything. Raises `InputError` as `read_map` does."""
        return None if self.map is None else read_map(self.map)

    @property
    def landmark_indices(self) -> tuple[int, ...]:
        """The scheme's landmarks that are learned, 0-based."""
        if self.landmarks is None:
            return tuple(range(self.landmark_scheme.count))
        return parse_landmarks(self.landmarks, self.landmark_scheme.count)

    def refuse_frozen_start(self, started: bool) -> None:
        """Raise an `InputError` for `--freeze` where the network is not `started` from weights that it could keep."""
        if self.freeze and not started:
            raise InputError(f"--freeze {self.freeze}: this network starts from random weights; give --init FILE too")

    def resolved(self) -> TrainConfig:
        """The config with what it leaves to its preset filled in. Raises `InputError` as `refuse_frozen_start` does."""
        self.refuse_frozen_start(self.init is not None)
        preset = self.preset or "full"
        defaults = preset_defaults(preset)
        return replace(
            self,
            preset=preset,
            norm=self.norm or defaults.norm,
            learning_rate=self.learning_rate or defaults.learning_rate,
            input_size=self.input_size or PRESETS[preset].input_size,
        )

    def model_config(self) -> ModelConfig:
        """The network that a resolved config describes."""
        scheme = self.landmark_scheme
        return preset_config(
            self.preset or "full",
            heads={scheme.task: self.landmark_indices},
            schemes={} if scheme in (FACE, EAR) else {scheme.task: scheme.to_json()},
            input_size=self.input_size,
            norm=self.norm,
            stage_input=self.stage_input,
            sigma=self.sigma,
            points=self.points,
        )

    def to_json(self) -> dict:
        """The config as plain JSON values; `utils.training.flags` reads it back."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class StudentConfig(TrainConfig):
    """A run of `train_face2ear.py`: what is None here follows from the teacher (`utils.training.students.resolve`).

    `points`, `stage_input` and `sigma` are always the teacher's.
    """

    preset: str | None = None
    epochs: int = 30
    teacher: str = "weights/face.keras"
    teacher_size: int | None = None
    strategy: str = "distill-at"
    faces: tuple[str, ...] = ()
    face_split: str | None = None
    ears: tuple[str, ...] = ()
    replay: tuple[str, ...] = ()
    no_replay: bool = False
    face_negatives: tuple[str, ...] = ()
    ear_weight: float = 1.0
    face_weight: float = 1.0
    distillation_weight: float | None = None
    attention_weight: float | None = None
    boundary_weight: float = 0.0
    ewc_weight: float = 0.1
    l2_sp_weight: float = 0.1
    temperature: float | None = None
    attention_layers: tuple[str, ...] | None = None

    @cached_property
    def landmark_scheme(self) -> Scheme:
        """The scheme of what is learned: ears, or that of `--scheme`. Raises `InputError` as `read_scheme` does."""
        return EAR if self.scheme is None else read_scheme(self.scheme)

    @property
    def replays_unlabelled(self) -> bool:
        """Whether the faces to train on are replayed without their points, where nobody says what to replay."""
        return STRATEGIES[self.strategy].asks_teacher and not self.replay and not self.no_replay


@dataclass(frozen=True)
class RunOptions:
    """Where and how a run runs, which does not change what it learns.

    Its folder, `--resume`, `--workers`, `--devices` (None: all GPUs, or the one device that there is), and the hosts
    that train together.
    """

    folder: Path
    resume: bool
    workers: int
    devices: int | None = None
    hosts: Hosts = ALONE
