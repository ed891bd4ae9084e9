"""The ways to teach a face network ears, or another task. Free of Keras, so that `--help` need not wait for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from data.schemes import EAR, FACE, Scheme
from models.config import ModelConfig

TEACHER_TERMS = {"distillation", "attention", "boundary"}  # loss terms that ask the teacher
STARTING_TERMS = {"ewc", "l2-sp"}  # and those that hold the weights near where they started


@dataclass(frozen=True)
class Strategy:
    """One way to add ears, or another task, to a network that knows faces. All start from the weights of that network.

    - `trains`: "all" layers, the new "heads" alone, those and "adapters" beside the face's convolutions, or the new
      task's "body" (a copy of trunk and stages, and heads, of its own).
    - `terms`: names of the loss terms that it uses beside that of the new task.
    """

    trains: str
    terms: tuple[str, ...]

    @property
    def stays_near(self) -> bool:
        """Whether a term holds the weights near those of the teacher, which the student must have at the start."""
        return bool(STARTING_TERMS & set(self.terms))

    @property
    def asks_teacher(self) -> bool:
        """Whether the teacher says where faces are in the images, so that those without points teach something too."""
        return bool(TEACHER_TERMS & set(self.terms))


STRATEGIES = {
    "separate": Strategy("body", ()),
    "joint": Strategy("all", ("face",)),
    "frozen": Strategy("heads", ()),
    "adapters": Strategy("adapters", ()),
    "finetune": Strategy("all", ()),
    "l2-sp": Strategy("all", ("l2-sp",)),
    "ewc": Strategy("all", ("ewc",)),
    "distill": Strategy("all", ("distillation",)),
    "distill-at": Strategy("all", ("distillation", "attention")),
}


def kept_tasks(base: ModelConfig, scheme: Scheme) -> tuple[str, ...]:
    """What a network knows and is to keep while it learns a scheme: the face first."""
    return (FACE.task, *(task for task in base.heads if task not in (FACE.task, scheme.task)))


def taught_tasks(base: ModelConfig, student: ModelConfig, scheme: Scheme) -> tuple[str, ...]:
    """What a teacher with the config `base` tells a student: what is to be kept.

    To a network of another preset, which does not start as its teacher, it tells what it knows of the scheme too.
    """
    task = scheme.task
    both = student.preset != base.preset and base.heads.get(task) == student.heads[task]
    return (*kept_tasks(base, scheme), *((task,) if both else ()))


def with_task(strategy: str, base: ModelConfig, scheme: Scheme, landmarks: tuple[int, ...]) -> ModelConfig:
    """The config of the network that a strategy trains: the teacher's, with heads for these landmarks of a scheme."""
    kept = kept_tasks(base, scheme)
    plan = STRATEGIES[strategy]
    own = (scheme.task,) if plan.trains == "body" else ()
    beside = (scheme.task,) if plan.trains == "adapters" else ()
    schemes = {task: stored for task, stored in base.schemes.items() if task in kept}
    return replace(
        base,
        heads={task: base.heads[task] for task in kept} | {scheme.task: landmarks},
        separate_tasks=(*(task for task in base.separate_tasks if task in kept), *own),
        adapter_tasks=(*(task for task in base.adapter_tasks if task in kept), *beside),
        delayed_heads=tuple(task for task in base.delayed_heads if task in kept),
        schemes=schemes if scheme is EAR else schemes | {scheme.task: scheme.to_json()},
    )
