"""The table of strategies, a row for each run of `train_face2ear.py`."""

from __future__ import annotations

import math
from pathlib import Path

from utils.common.files import read_json

TABLE = "forgetting.json"  # a finished run's row

COLUMNS = {
    "strategy": "strategy",
    "seeds": "seeds",
    "face_before": "face NME before (%)",
    "face_after": "face NME after (%)",
    "forgetting": "forgetting (points)",
    "ear": "{task} NME (%)",
    "parameters": "parameters",
    "gflop": "GFLOP",
    "speed": "images/s (teacher)",
    "ear_images": "{task} images trained on",
    "extra_steps": "steps on top",
    "minutes": "minutes",
}


def markdown_table(rows: list[dict]) -> str:
    """Rows as a Markdown table; what is not known is a dash.

    The value `ear` of a row is the NME of what was learned, whatever its `task` is.
    """

    def cell(name: str, row: dict) -> str:
        value = row.get(name)
        if name == "seeds":
            return str(value or 1)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return "-"
        if name in ("parameters", "ear_images", "extra_steps"):
            return f"{value:,}"
        spread = f" ± {row[f'{name}_spread']:.2f}" if f"{name}_spread" in row else ""
        if name == "forgetting":
            return f"{value:+.2f}{spread}"
        if name == "speed":
            return f"{value:.1f} ({row['teacher_speed']:.1f})"
        return f"{value:.2f}{spread}" if isinstance(value, float) else str(value)

    learned = " or ".join(sorted({row.get("task", "ear") for row in rows}))
    titles = [title.format(task=learned) for title in COLUMNS.values()]
    lines = ["| " + " | ".join(titles) + " |", "| " + " | ".join("---" for _ in COLUMNS) + " |"]
    lines += ["| " + " | ".join(cell(name, row) for name in COLUMNS) + " |" for row in rows]
    return "\n".join(lines)


def read_row(run: str | Path) -> dict:
    """The table row of a finished run. Raises `InputError` if it has none."""
    return read_json(Path(run) / TABLE, f"{run}: not a finished run of train_face2ear.py")
