"""Boxes round ears: a CSV that says where every ear of an image is, without landmarks."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from utils.common.cli import InputError

COLUMNS = ("photo", "left", "top", "right", "bottom")


def read_boxes(path: Path) -> dict[Path, np.ndarray]:
    """Image -> boxes (n, 4) float32 of left, top, right, bottom, in the order of the file.

    A line has a `photo`, relative to the file's folder, and whole pixels, both ends included. Pixel centres are at
    whole numbers, so an edge lies half a pixel beyond them. Raises `InputError` for another file, a box that is none,
    or an image that is not there.
    """
    wanted = f"{path}: not a readable CSV file in UTF-8 with the columns {', '.join(COLUMNS)}"
    found: dict[Path, list[tuple[float, ...]]] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            if not set(COLUMNS).issubset(reader.fieldnames or ()):
                raise InputError(wanted)
            for number, row in enumerate(reader, start=2):
                image = path.parent / (row["photo"] or "")
                try:
                    left, top, right, bottom = (int(row[name]) for name in COLUMNS[1:])
                except (TypeError, ValueError):
                    raise InputError(
                        f"{path}: line {number} needs whole numbers for {', '.join(COLUMNS[1:])}"
                    ) from None
                if right < left or bottom < top:
                    raise InputError(f"{path}: line {number} is no box: right < left or bottom < top")
                if image not in found and not image.is_file():
                    raise InputError(f"{path}: line {number} names {row['photo']}, which is not beside it")
                found.setdefault(image, []).append((left - 0.5, top - 0.5, right + 0.5, bottom + 0.5))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise InputError(wanted) from problem
    if not found:
        raise InputError(f"{path}: holds no box")
    return {image: np.array(boxes, np.float32) for image, boxes in found.items()}
