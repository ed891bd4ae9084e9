"""The ways to teach a face network ears, or another task. Free of Keras, so that `--help` need not wait for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from data.schemes import EAR, FACE, Scheme
from models.config import ModelConfig


@dataclass(frozen=True)
class Strategy:
    """One way to add ears, or another task, to a network that knows faces.

    - `from_teacher`: the student starts from the teacher's weights.
    - `trains`: "all" layers, the new "heads" alone, or the new task's "body" (trunk, stages and heads of its own).
    - `terms`: names of the loss terms that it uses beside that of the new task.
    """

    from_teacher: bool
    trains: str
    terms: tuple[str, ...]

    @property
    def from_scratch(self) -> bool:
        """Whether what learns the new task knows nothing at the start."""
        return not self.from_teacher or self.trains == "body"


STRATEGIES = {
    "separate": Strategy(True, "body", ()),
    "joint": Strategy(False, "all", ("face",)),
    "frozen": Strategy(True, "heads", ()),
    "finetune": Strategy(True, "all", ()),
    "distill": Strategy(True, "all", ("distillation",)),
    "distill-at": Strategy(True, "all", ("distillation", "attention")),
}


def kept_tasks(base: ModelConfig, scheme: Scheme) -> tuple[str, ...]:
    """What a network knows and is to keep while it learns a scheme: the face first."""
    return (FACE.task, *(task for task in base.heads if task not in (FACE.task, scheme.task)))


def with_task(strategy: str, base: ModelConfig, scheme: Scheme, landmarks: tuple[int, ...]) -> ModelConfig:
    """The config of the network that a strategy trains: the teacher's, with heads for these landmarks of a scheme."""
    kept = kept_tasks(base, scheme)
    own = (scheme.task,) if STRATEGIES[strategy].trains == "body" else ()
    schemes = {task: stored for task, stored in base.schemes.items() if task in kept}
    return replace(
        base,
        heads={task: base.heads[task] for task in kept} | {scheme.task: landmarks},
        separate_tasks=(*(task for task in base.separate_tasks if task in kept), *own),
        delayed_heads=tuple(task for task in base.delayed_heads if task in kept),
        schemes=schemes if scheme is EAR else schemes | {scheme.task: scheme.to_json()},
    )
