"""The ways to teach a face network ears. Free of Keras, so that `--help` need not wait for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from data.schemes import EAR, FACE
from models.config import ModelConfig


@dataclass(frozen=True)
class Strategy:
    """One way to add ears to a face network.

    - `from_teacher`: the student starts from the face network's weights.
    - `trains`: "all" layers, the "heads" of the ear alone, or the ear's "body" (trunk, stages and heads of its own).
    - `terms`: names of the loss terms that it uses.
    """

    from_teacher: bool
    trains: str
    terms: tuple[str, ...]

    @property
    def from_scratch(self) -> bool:
        """Whether what learns ears knows nothing at the start."""
        return not self.from_teacher or self.trains == "body"


STRATEGIES = {
    "separate": Strategy(True, "body", ("ear",)),
    "joint": Strategy(False, "all", ("ear", "face")),
    "frozen": Strategy(True, "heads", ("ear",)),
    "finetune": Strategy(True, "all", ("ear",)),
    "distill": Strategy(True, "all", ("ear", "distillation")),
    "distill-at": Strategy(True, "all", ("ear", "distillation", "attention")),
}


def with_ears(strategy: str, base: ModelConfig, landmarks: tuple[int, ...]) -> ModelConfig:
    """The config of the network that a strategy trains: the face network's with heads for these ear landmarks."""
    own = (EAR.task,) if STRATEGIES[strategy].trains == "body" else ()
    return replace(base, heads={FACE.task: base.heads[FACE.task], EAR.task: landmarks}, separate_tasks=own)
