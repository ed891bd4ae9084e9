"""Runs of every strategy and seed, trained where they are missing, and what they come to together."""

from __future__ import annotations

import functools
import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.datasets import Sample, choose_part, find_samples
from data.layouts import face_folders
from data.schemes import SCHEMES
from models.strategies import STRATEGIES, TEACHER_TERMS
from utils.common.cli import InputError
from utils.common.files import read_json, write_json
from utils.evaluation.plots import new_figure, write_figure
from utils.evaluation.scoring import refuse_trained_images, score_samples
from utils.training.config import StudentConfig
from utils.training.flags import CONFIG_FILE, holds_a_run, read_student_config
from utils.training.table import variant

# What a run fills in where no flag says it, what always is the teacher's, and what may differ between equal runs.
RESOLVED = {"preset", "norm", "input_size", "learning_rate", "distillation_weight", "attention_weight"}
NOT_COMPARED = {"out", "precision", "points", "stage_input", "sigma"}
SCORED = "scored.json"  # of a run: its network on other test sets
SPREAD_FROM = 3  # seeds: a spread of fewer says nothing


def merge_seeds(rows: list[dict], runs: Sequence[Path]) -> list[dict]:
    """One row for the rows of runs that differ in their seed alone: the mean, and of at least three seeds the spread of
    the NMEs. Where several rows would have the same name, the run's folder is added to it.
    """
    groups: dict[str, list[tuple[dict, Path, int]]] = {}
    for row, run in zip(rows, runs, strict=True):
        values = read_json(run / CONFIG_FILE, f"{run}: not a run of train_face2ear.py")
        unused = {f"{term}_weight" for term in TEACHER_TERMS - set(STRATEGIES[row["strategy"]].terms)}
        same = {name: value for name, value in values.items() if name not in {*NOT_COMPARED, *unused, "seed"}}
        key = json.dumps([variant(row), same], sort_keys=True)
        seed = values.get("seed", 0)
        while any(known == seed for *_, known in groups.get(key, [])):  # the same run twice is no second seed
            key += " again"
        groups.setdefault(key, []).append((row, run, seed))
    merged = []
    names = Counter(variant(group[0][0]) for group in groups.values())
    for group in groups.values():
        own = [row for row, *_ in group]
        row = dict(own[0])
        for name in ("face_after", "forgetting", "ear", "speed", "teacher_speed", "minutes"):
            row |= _mean(name, [each[name] for each in own])
        row["scored"] = [
            scored[0] | _mean("nme", [each.get("nme") for each in scored])
            for scored in zip(*(each.get("scored", []) for each in own), strict=True)
        ]
        way = variant(row)
        row |= {"variant": way if names[way] == 1 else f"{way} ({group[0][1].name})", "seeds": len(own)}
        merged.append(row)
    return merged


def _mean(name: str, values: list[float | None]) -> dict[str, float | None]:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return {name: None}
    spread: dict[str, float | None] = (
        {f"{name}_spread": float(np.std(known, ddof=1))} if len(known) >= SPREAD_FROM else {}
    )
    return spread | {name: float(np.mean(known))}


@dataclass(frozen=True)
class ScoringSet:
    """Images that every network of a comparison is scored on: the `part` of a `folder`, or "all" of it."""

    task: str
    folder: str
    part: str

    @property
    def name(self) -> str:
        """What its column is called."""
        return Path(self.folder).name

    def samples(self) -> list[Sample]:
        """Its images. Raises `InputError` if there is none."""
        return choose_part(find_samples([self.folder], SCHEMES[self.task]).samples, self.part, self.folder)


def score_run(run: Path, sets: Sequence[ScoringSet], batch_size: int = 16) -> list[dict]:
    """NMEs (`crop`, per cent) of a run's network on test sets, and its teacher's at the same input size.

    They are kept in the run folder, and read there for the same weights and images. Raises `InputError` for images that
    either was trained on.
    """
    known = run / SCORED
    found = [each.samples() for each in sets]
    asked = {
        "weights": hashlib.sha256((run / "best.keras").read_bytes()).hexdigest(),
        "sets": [
            vars(each) | {"ids": [s.image_id for s in samples]} for each, samples in zip(sets, found, strict=True)
        ],
    }
    if known.exists():
        before = read_json(known, f"{known}: cannot be read; delete it")
        if isinstance(before, dict) and before.get("asked") == asked:
            return before["scored"]
    from models.trainer import LandmarkReader
    from models.weights import check_task, load_network

    student = load_network(run / "best.keras")
    teacher = read_json(run / CONFIG_FILE, f"{run}: not a run of train_face2ear.py")["teacher"]
    scored = []
    for each, samples in zip(sets, found, strict=True):
        size = student.config.input_size
        refuse_trained_images(run, student.record, samples, "score others")
        check_task(student, each.task)
        reader = LandmarkReader(student.network, student.config, (each.task,))
        nme = {"nme": score_samples(reader, samples, batch_size, size).summary["nme"]}
        of_teacher = _score_teacher(teacher, each, size, batch_size)
        nme |= {} if of_teacher is None else {"before": of_teacher}
        scored.append(vars(each) | {"name": each.name, "images": len(samples)} | nme)
    write_json(known, {"asked": asked, "scored": scored})
    return scored


@functools.cache  # the same for every run of a comparison
def _score_teacher(teacher: str, scored: ScoringSet, size: int, batch_size: int) -> float | None:
    """The NME (per cent) of a teacher on a test set at the student's input size; None where it lacks the task."""
    from models.trainer import LandmarkReader
    from models.weights import load_network

    loaded = load_network(teacher)
    if scored.task not in loaded.config.heads:
        return None
    reader = LandmarkReader(loaded.network, loaded.config, (scored.task,))
    return score_samples(reader, scored.samples(), batch_size, size).summary["nme"]


def plot_strategies(path: Path, rows: list[dict]) -> None:
    """Forgetting (points of face NME) against ear NME, one point a strategy, as a PNG."""
    figure, (axes,) = new_figure("Learning ears against forgetting faces", 1, width=6.5)
    known = [row for row in rows if row["forgetting"] is not None and row["ear"] is not None]
    for row in sorted(known, key=lambda row: row["forgetting"], reverse=True):  # the legend's order is the picture's
        axes.errorbar(row["ear"], row["forgetting"], xerr=row.get("ear_spread"), yerr=row.get("forgetting_spread"),
                      fmt="o", label=variant(row))  # fmt: skip
    if known:
        axes.legend(loc="upper right", fontsize=8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.axhline(0, color="gray", linewidth=0.8)
    axes.set_yscale("symlog", linthresh=1)  # some forget a little and some everything
    axes.margins(0.15)
    axes.set(xlabel="ear NME (%): lower is better", ylabel="face NME after - before (points): lower is better")
    axes.grid(alpha=0.3)
    write_figure(path, figure)


def variants(config: StudentConfig) -> dict[str, list[str]]:
    """What is compared under these settings: names, and the flags that make them.

    Every strategy learns without replayed faces, unless the settings name what to replay, and the default with them
    too. What needs face images is left out where there are none.
    """
    faces = bool(config.faces or face_folders(config.data))
    found = {}
    for strategy, plan in STRATEGIES.items():
        learns_faces = strategy == "joint" or "ewc" in plan.terms
        if (learns_faces and not faces) or (strategy == "joint" and config.no_replay):
            print(f"left out: {strategy}, which wants face images with points")
            continue
        alone = plan.asks_teacher and faces and not config.replay
        found[strategy] = ["--strategy", strategy, *(["--no-replay"] if alone else [])]
        if alone and strategy == StudentConfig.strategy and not config.no_replay:
            found[f"{strategy}-replay"] = ["--strategy", strategy]
    return found


def plan_runs(base: Path, seeds: int, flags: list[str]) -> list[tuple[Path, list[str]]]:
    """Run folder and flags of every one of `variants` and seed; `flags` are checked as the script would check them."""
    probe = [*flags, "--run", str(base / "probe"), "--out", str(base / "probe.keras")]
    config, _ = read_student_config("", probe)
    planned, compared = [], variants(config)
    for seed in range(seeds):
        for name, own in compared.items():
            run = base / (name if seed == 0 else f"{name}-seed{seed}")
            own = [*own, "--run", str(run), "--out", str(base / "weights" / f"{run.name}.keras")]
            own = [*flags, *own, "--seed", str(config.seed + seed)]
            read_student_config("", [*own, "--run", str(base / "probe")])
            planned.append((run, own))
    return planned


def check_same(run: Path, flags: list[str]) -> None:
    """Raise an `InputError` if a run that is there was started with other flags than these."""
    known = read_json(run / CONFIG_FILE, f"{run}: not a run of train_face2ear.py")
    config, _ = read_student_config("", [*flags, "--run", str(run.with_name("probe"))])
    wanted = json.loads(json.dumps(config.to_json()))  # tuples become the lists of JSON
    for name in sorted(set(known) & set(wanted) - NOT_COMPARED):
        if known[name] != wanted[name] and not (wanted[name] is None and name in RESOLVED):
            flag = "--" + name.replace("_", "-")
            was = f"with {flag} {known[name]}" if known[name] else f"without {flag}"
            raise InputError(f"{run}: was trained {was}; delete it, or name another --base")


def train(run: Path, flags: list[str]) -> None:
    """Train one student, or go on with it. Raises `InputError` if that fails."""
    begun = (run / CONFIG_FILE).exists()
    if not begun and holds_a_run(run):
        raise InputError(f"{run}: is there already and no run of a comparison; move it, or name another --base")
    script = Path(__file__).parents[2] / "train_face2ear.py"
    own = ["--run", str(run), "--resume"] if begun else flags
    status = subprocess.run([sys.executable, str(script), *own], check=False).returncode
    if status:
        raise InputError(f"{run}: training stopped with status {status}; mend it and run this again")
