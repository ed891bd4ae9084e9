"""Runs of every strategy and seed, trained where they are missing, and what they come to together."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from data.datasets import find_samples, split_samples
from data.schemes import EAR
from models.strategies import STRATEGIES
from utils.common.cli import InputError
from utils.common.files import read_json
from utils.common.keras_runtime import quiet_stderr
from utils.evaluation.plots import new_figure, write_figure
from utils.training.flags import CONFIG_FILE, read_student_config

# What a run fills in where no flag says it, what always is the teacher's, and what may differ between equal runs.
RESOLVED = {"preset", "norm", "input_size", "learning_rate", "distillation_weight"}
NOT_COMPARED = {"out", "precision", "points", "stage_input", "sigma"}
SPREAD_FROM = 3  # seeds: a spread of fewer says nothing


def merge_seeds(rows: list[dict]) -> list[dict]:
    """One row a strategy: the mean over its seeds, and with at least three of them the spread of the NMEs."""
    merged = []
    for strategy in dict.fromkeys(row["strategy"] for row in rows):
        own = [row for row in rows if row["strategy"] == strategy]
        row = dict(own[0])
        for name in ("face_after", "forgetting", "ear", "speed", "teacher_speed", "minutes"):
            values = [each[name] for each in own]
            row[name] = None if None in values else float(np.mean(values))
            if len(own) >= SPREAD_FROM and row[name] is not None:
                row[f"{name}_spread"] = float(np.std(values, ddof=1))
        row["seeds"] = len(own)
        merged.append(row)
    return merged


def plot_strategies(path: Path, rows: list[dict]) -> None:
    """Forgetting (points of face NME) against ear NME, one point a strategy, as a PNG."""
    figure, (axes,) = new_figure("Learning ears against forgetting faces", 1, width=6.5)
    for row in rows:
        if row["forgetting"] is None or row["ear"] is None:
            continue
        axes.errorbar(row["ear"], row["forgetting"], xerr=row.get("ear_spread"), yerr=row.get("forgetting_spread"),
                      fmt="o")  # fmt: skip
        axes.annotate(row["strategy"], (row["ear"], row["forgetting"]), xytext=(6, 4), textcoords="offset points")
    axes.axhline(0, color="gray", linewidth=0.8)
    axes.set_yscale("symlog", linthresh=1)  # some forget a little and some everything
    axes.margins(0.15)
    axes.set(xlabel="ear NME (%): lower is better", ylabel="face NME after - before (points): lower is better")
    axes.grid(alpha=0.3)
    write_figure(path, figure)


def plan_runs(base: Path, seeds: int, flags: list[str]) -> list[tuple[Path, list[str]]]:
    """Run folder and flags of every strategy and seed; `flags` are checked as the script would check them.

    What starts from scratch gets the face network's steps on top.
    """
    probe = [*flags, "--run", str(base / "probe"), "--out", str(base / "probe.keras")]
    config, _ = read_student_config("", probe)
    samples = find_samples(config.data, EAR, skip_bad=config.skip_bad, limit=config.limit).samples
    steps = -(-len(split_samples(samples, config.split)["train"]) // config.batch_size) * config.repeats
    known = teacher_steps(config.teacher)
    if not known:
        print(
            f"note: {config.teacher} does not say how many steps it took: nothing is added to what starts from scratch"
        )
    extra = -(-known // max(1, steps))
    planned = []
    for seed in range(seeds):
        for strategy, plan in STRATEGIES.items():
            run = base / (strategy if seed == 0 else f"{strategy}-seed{seed}")
            own = ["--strategy", strategy, "--run", str(run), "--out", str(base / "weights" / f"{run.name}.keras")]
            own += ["--seed", str(config.seed + seed), "--extra-epochs", str(extra if plan.from_scratch else 0)]
            planned.append((run, [*flags, *own]))
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
    if run.exists() and not begun:
        shutil.rmtree(run)  # killed before it had written what it was to be
    script = Path(__file__).parents[2] / "train_face2ear.py"
    own = ["--run", str(run), "--resume"] if begun else flags
    status = subprocess.run([sys.executable, str(script), *own], check=False).returncode
    if status:
        raise InputError(f"{run}: training stopped with status {status}; mend it and run this again")


def teacher_steps(teacher: str) -> int:
    """How many steps the teacher was trained for, by its own record; 0 if it does not say."""
    with quiet_stderr():
        from models.weights import read_record
    return read_record(teacher).get("steps", 0)
