"""What a file of annotations says of one face or ear, whatever the file's format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from utils.common.cli import InputError


@dataclass(frozen=True, eq=False)
class Entry:
    """The points of one face or ear.

    - `where`: the file and the place in it, to begin a message with.
    - `image`: the image's name, as the file has it.
    - `points` (landmarks, 2) float64: pixels, 0-based, NaN for a landmark that is missing; or what is wrong with them.
    - `hidden` (landmarks,) bool: annotated though something hides it; None where the format does not say.
    - `attributes`: what the format says of the whole face or ear, such as "blur".
    - `size`: width and height of the image that was annotated, in pixels; None where the file does not say.
    """

    where: str
    image: str
    points: np.ndarray | InputError
    hidden: np.ndarray | None = None
    attributes: tuple[str, ...] = ()
    size: tuple[int, int] | None = None


def said_size(width: object, height: object) -> tuple[int, int] | None:
    """An image's size as a file of annotations says it, as numbers or text; None for what are not two numbers."""
    try:
        size = int(str(width)), int(str(height))
    except ValueError:
        return None
    return size if min(size) > 0 else None


def landmark_of(label: object, names: Sequence[str]) -> int | None:
    """The landmark that a label means: its place among a scheme's names, else the number that it is, from 0.

    None for a label that is neither.
    """
    if label in names:
        return names.index(str(label))
    return int(label) if isinstance(label, str) and re.fullmatch("[0-9]{1,3}", label) else None


def to_points(pairs: dict[int, tuple[float, float]]) -> np.ndarray:
    """Points (landmarks, 2) up to the highest index given; those without a place are NaN."""
    points = np.full((max(pairs) + 1, 2), np.nan)
    points[list(pairs)] = list(pairs.values())
    return points
