"""Tables that people fill in: CSV files as spreadsheets write them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from utils.common.cli import InputError


def read_table(flag: str, path: Path, columns: Sequence[str], needed: Sequence[str]) -> Iterator[tuple[str, dict]]:
    """The lines of a table as (what to name in a complaint, value by column), those without any value left out.

    Takes what spreadsheets make of a CSV: commas, semicolons or tabs between the columns, capitals, empty lines. Raises
    `InputError` that begins with `flag` where it cannot be read, or its first line lacks a `needed` one of `columns`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"{flag} {path}: cannot be read; save it as CSV in UTF-8") from problem
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=separator))
    except csv.Error as problem:
        raise InputError(f"{flag} {path}: cannot be read as a table: {problem}") from problem
    names = [name.strip().lower() for name in rows[0]] if rows else []
    if not set(needed) <= set(names):
        raise InputError(f"{flag} {path}: its first line must name the columns {', '.join(columns)}")
    for line, values in enumerate(rows[1:], start=2):
        row = dict.fromkeys(needed, "") | {name: v.strip() for name, v in zip(names, values, strict=False)}
        if any(row.values()):
            yield f"{flag} {path}, line {line}", row
