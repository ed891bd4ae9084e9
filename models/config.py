"""What a network is, as numbers: `ModelConfig` and the presets. Free of Keras: `--help` need not wait for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace

from data.schemes import SCHEMES, Scheme, register
from utils.common.schema import OBJECT, TEXT, Kind, check_values, list_of, mapping_of, number, one_of, whole

NORMS = ("none", "weight", "batch", "group")
STAGE_INPUTS = ("features", "heatmaps")


def _are_heads(value: object) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and set(value) <= set(SCHEMES)
        and all(isinstance(head, (list, tuple)) and len(head) > 0 for head in value.values())
        and all(whole(0, SCHEMES[task].count - 1).fits(k) for task, head in value.items() for k in head)
        and all(len(set(head)) == len(head) for head in value.values())
    )


# What each value may be, from a file too: a network at all these limits has some 250 million parameters a task.
KINDS = {
    "preset": TEXT,
    "width": number(1 / 64, 2),
    "stages": whole(1, 10),
    "input_size": whole(32, 2048, step=8),
    "heads": Kind(f"landmarks of {' or '.join(SCHEMES)} or of a scheme in the file, each once", _are_heads),
    "norm": one_of(*NORMS),
    "stage_input": one_of(*STAGE_INPUTS),
    "sigma": number(1e-3, 1e3),
    "decode_offset": number(-1e3, 1e3),
    "points": one_of("2d", "3d"),
    "delayed_heads": list_of(one_of(*SCHEMES)),
    "separate_tasks": list_of(one_of(*SCHEMES)),
    "adapter_tasks": list_of(one_of(*SCHEMES)),
    "schemes": mapping_of(OBJECT),
    "first_block": whole(0, 256),
}


@dataclass(frozen=True)
class ModelConfig:
    """Everything that is needed to build a network again, and to read its answers.

    - `width`: factor on every channel count; `stages`: how many; `input_size`: pixels it was trained at.
    - `heads`: task -> landmark indices within the task's scheme, one heatmap each, in that order.
    - `norm`: "none", "weight" (kernels standardised: `StandardisedConv2D`), "batch" or "group" (layers after each
      convolution); `stage_input`: what a stage hands to the next.
    - `sigma`: of the targets, in heatmap cells; `decode_offset`: added to decoded points, input pixels.
    - `points`: "2d" or "3d", the annotation that the face was trained on.
    - `delayed_heads`: tasks whose head k reads the features of stage k - 1 (stage 0: `feature_map`), as the
      predecessor's ear heads do.
    - `separate_tasks`: tasks with a trunk and stages of their own, whose layers are named `ear_trunk1_conv1`, ...: two
      networks side by side in one.
    - `adapter_tasks`: tasks that read the shared network with a 1x1 convolution of their own beside each of its
      convolutions, layers named `ear_adapter_trunk1_conv1`, ... (the parallel adapters of Rebuffi et al., CVPR 2018,
      arXiv 1803.10082). Other tasks do not see them.
    - `schemes`: task -> `Scheme.to_json` of each head that is neither face nor ear, so that the file needs no other.
    - `first_block`: channels of the trunk's first block, whatever the width; 0: as the width has it.
    """

    preset: str
    width: float
    stages: int
    input_size: int
    heads: dict[str, tuple[int, ...]] = field(default_factory=dict)
    norm: str = "none"
    stage_input: str = "features"
    sigma: float = 1.15
    decode_offset: float = 0.0
    points: str = "2d"
    delayed_heads: tuple[str, ...] = ()
    separate_tasks: tuple[str, ...] = ()
    adapter_tasks: tuple[str, ...] = ()
    schemes: dict[str, dict] = field(default_factory=dict)
    first_block: int = 0

    def to_json(self) -> dict:
        """The config as plain JSON values; without what files did not have before, where it is empty."""
        later = ("schemes", "adapter_tasks", "first_block")
        return {name: value for name, value in asdict(self).items() if value or name not in later}

    def check(self) -> None:
        """Raise a ValueError, in one line, for values that no network has (`KINDS`)."""
        check_values(self.to_json(), KINDS)
        if self.adapter_tasks and set(self.heads) <= {*self.adapter_tasks, *self.separate_tasks}:
            raise ValueError("adapters stand beside the network of another task, and there is none")
        if self.adapter_tasks and self.stage_input == "heatmaps":
            raise ValueError("adapters want stages that read features; heatmaps of two tasks differ in number")
        if not {*self.adapter_tasks, *self.separate_tasks} <= set(self.heads):
            raise ValueError("only what has a head has adapters or a body of its own")

    @classmethod
    def from_json(cls, values: object) -> ModelConfig:
        """ModelConfig from what `to_json` gave. Raises a ValueError, in one line, for anything else.

        The schemes in it are registered: heads of theirs are known from then on.
        """
        check_values(values, {"schemes": KINDS["schemes"]})
        assert isinstance(values, dict)
        for task, stored in values.get("schemes", {}).items():
            scheme = Scheme.from_json(stored)
            if scheme.task != task:
                raise ValueError(f"its scheme {task!r} is of task {scheme.task}")
            register(scheme)
        check_values(values, KINDS, required=("preset", "width", "stages", "input_size", "heads"))
        unknown = sorted(set(values) - {each.name for each in fields(cls)})
        if unknown:
            raise ValueError(f"there is no setting {unknown[0]!r} of a network")
        heads = {task: tuple(landmarks) for task, landmarks in values["heads"].items()}
        lists = {name: tuple(values.get(name, ())) for name in ("delayed_heads", "separate_tasks", "adapter_tasks")}
        return cls(**{**values, **lists, "heads": heads})


PRESETS = {
    "full": ModelConfig(preset="full", width=1.0, stages=6, input_size=368),
    "lite": ModelConfig(preset="lite", width=0.5, stages=3, input_size=256),
    "small": ModelConfig(preset="small", width=0.1875, stages=3, input_size=128),
    "nano": ModelConfig(preset="nano", width=0.1875, stages=1, input_size=112, first_block=8),
    "tiny": ModelConfig(preset="tiny", width=0.125, stages=2, input_size=96),
}


def preset_config(preset: str, heads: dict[str, tuple[int, ...]], **changes) -> ModelConfig:
    """A preset's row with these heads; `changes` that are None leave the row as it is."""
    return replace(
        PRESETS[preset], heads=heads, **{name: value for name, value in changes.items() if value is not None}
    )
