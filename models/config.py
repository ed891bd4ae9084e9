"""What a network is, as numbers: `ModelConfig` and the presets. Free of Keras: `--help` need not wait for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

NORMS = ("none", "weight", "batch", "group")
STAGE_INPUTS = ("features", "heatmaps")


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

    def to_json(self) -> dict:
        """The config as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict) -> ModelConfig:
        """ModelConfig from what `to_json` gave. Raises TypeError or ValueError for anything else."""
        heads = {str(task): tuple(int(k) for k in landmarks) for task, landmarks in values["heads"].items()}
        lists = {name: tuple(values.get(name, ())) for name in ("delayed_heads", "separate_tasks")}
        return cls(**{**values, **lists, "heads": heads})


PRESETS = {
    "full": ModelConfig(preset="full", width=1.0, stages=6, input_size=368),
    "lite": ModelConfig(preset="lite", width=0.5, stages=3, input_size=256),
    "tiny": ModelConfig(preset="tiny", width=0.125, stages=2, input_size=96),
}


def preset_config(preset: str, heads: dict[str, tuple[int, ...]], **changes) -> ModelConfig:
    """A preset's row with these heads; `changes` that are None leave the row as it is."""
    return replace(
        PRESETS[preset], heads=heads, **{name: value for name, value in changes.items() if value is not None}
    )
