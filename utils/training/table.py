"""The table of strategies, a row for each run of `train_face2ear.py`."""

from __future__ import annotations

import math
from pathlib import Path

from models.strategies import STRATEGIES
from utils.common.cli import InputError
from utils.common.files import read_json

TABLE = "forgetting.json"  # a finished run's row

COLUMNS = {
    "strategy": "strategy",
    "seeds": "seeds",
    "face_before": "face NME before (%)",
    "face_after": "face NME after (%)",
    "forgetting": "forgetting (points)",
    "ear": "{task} NME (%)",
    "parameters": "parameters (run)",
    "gflop": "GFLOP of a face crop, of one of {task}",
    "speed": "images/s (teacher)",
    "ear_images": "{task} images trained on",
    "replayed": "face images replayed",
    "minutes": "minutes",
}


def markdown_table(rows: list[dict]) -> str:
    """Rows as a Markdown table; what is not known is a dash.

    The value `ear` of a row is the NME of what was learned, whatever its `task` is.
    """

    def cell(name: str, row: dict) -> str:
        value = row.get(name)
        if name == "strategy":
            return variant(row)
        if name == "seeds":
            return str(value or 1)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return "-"
        if name == "parameters":
            return f"{value:,} ({row.get('parameters_run', value):,})"
        if name == "gflop" and "gflop_face" in row:
            return f"{row['gflop_face']:.2f}, {row['gflop_learned']:.2f}"
        if name in ("ear_images", "replayed"):
            return f"{value:,}"
        spread = f" ± {row[f'{name}_spread']:.2f}" if f"{name}_spread" in row else ""
        if name == "forgetting":
            return f"{value:+.2f}{spread}"
        if name == "speed":
            return f"{value:.1f} ({row['teacher_speed']:.1f})"
        return f"{value:.2f}{spread}" if isinstance(value, float) else str(value)

    learned = " or ".join(sorted({row.get("task", "ear") for row in rows}))
    titles = [title.format(task=learned) for title in COLUMNS.values()]
    scored: list[dict] = next((row["scored"] for row in rows if row.get("scored")), [])
    titles += [f"{each['name']}: {each['task']} NME (%)" for each in scored]
    lines = ["| " + " | ".join(titles) + " |", "| " + " | ".join("---" for _ in titles) + " |"]
    for row in rows:
        cells = [cell(name, row) for name in COLUMNS] + [_scored_cell(each) for each in row.get("scored") or []]
        lines.append("| " + " | ".join([*cells, *["-"] * (len(titles) - len(cells))]) + " |")
    return "\n".join(lines)


def _scored_cell(scored: dict) -> str:
    """The NME on another test set, and what it was before."""
    spread = f" ± {scored['nme_spread']:.2f}" if "nme_spread" in scored else ""
    before = f" (before {scored['before']:.2f})" if "before" in scored else ""
    return f"{scored['nme']:.2f}{spread}{before}"


def variant(row: dict) -> str:
    """What a row is called beside others: its strategy, and whether a teacher showed it faces; merged rows say it."""
    if "variant" in row:
        return row["variant"]
    shown = STRATEGIES[row["strategy"]].asks_teacher and row.get("replayed")
    return f"{row['strategy']} + replay" if shown else row["strategy"]


def read_row(run: str | Path) -> dict:
    """The table row of a finished run. Raises `InputError` if it has none."""
    row = read_json(Path(run) / TABLE, f"{run}: not a finished run of train_face2ear.py")
    if not isinstance(row, dict) or row.get("strategy") not in STRATEGIES or not {"forgetting", "ear"} <= set(row):
        raise InputError(f"{Path(run) / TABLE}: is not what train_face2ear.py writes; train the run again")
    return row
