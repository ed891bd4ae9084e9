"""Boxes round ears: a CSV that says where every ear of an image is, without landmarks."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np

from data.layouts import plain_name
from utils.common.cli import LARGEST, InputError
from utils.common.tables import read_table

EDGES = ("left", "top", "right", "bottom")
COLUMNS = ("photo", *EDGES)

# (4,): left, top, right, bottom in pixels, the edges of the outer pixels (-0.5 is an image's edge).
Box: TypeAlias = np.ndarray


def read_boxes(path: Path) -> dict[str, list[Box]]:
    """The boxes of a CSV with the columns `photo,left,top,right,bottom`, whole pixels, both ends included.

    By the file name of the image. Raises `InputError` that names a wrong line.
    """
    boxes: dict[str, list[Box]] = {}
    for where, row in read_table("--boxes", path, COLUMNS, COLUMNS):
        try:
            left, top, right, bottom = (int(row[edge]) for edge in EDGES)
        except ValueError as problem:
            raise InputError(f"{where}: the box must be four whole numbers, in pixels") from problem
        if not (0 <= left < right < LARGEST and 0 <= top < bottom < LARGEST):
            raise InputError(f"{where}: is no box; write left, top, right, bottom, in pixels from 0")
        box = np.array([left, top, right + 1, bottom + 1], np.float64) - 0.5
        boxes.setdefault(plain_name(row["photo"]), []).append(box)
    if not boxes:
        raise InputError(f"--boxes {path}: holds no box; write a line for each ear")
    return boxes


def box_of(points: np.ndarray) -> Box:
    """Left, top, right, bottom of points (landmarks, 2); those that are NaN are missing."""
    return np.concatenate([np.nanmin(points, axis=0), np.nanmax(points, axis=0)])


def overlap_of(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    inner = np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None).prod()
    union = (one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - inner
    return float(inner / union) if union > 0 else 0.0
