"""WFLW: a line for each face, in `list_98pt_rect_attr_train.txt` and the like (https://wywu.github.io/projects/LAB/).

A line holds x and y of 98 points, then the box (4 numbers), 6 attributes (0 or 1) and the image's name. The older list
`list_98pt_test.txt` has neither box nor attributes. Pixels are 0-based. A missing point is `nan nan` or `-1 -1`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data.readers.entry import Entry
from data.schemes import Scheme
from utils.common.cli import InputError
from utils.common.foreign import describe_foreign_file

COUNT = 98
ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")  # in the order of a line
BESIDES = (0, 4 + len(ATTRIBUTES))  # numbers that may follow the points


def is_wflw(path: Path, lines: Sequence[str]) -> bool:
    """Whether a text file is meant as a list of WFLW: by its name, or the length of one of its first lines."""
    lengths = {len(line.split()) for line in lines[:20]}
    return path.name.lower().startswith("list_98pt") or bool(lengths & {2 * COUNT + n + 1 for n in BESIDES})


def read_wflw(path: Path, lines: Sequence[str], scheme: Scheme) -> Iterator[Entry]:
    """An entry for each line. Raises `InputError` for a file that is no list at all, such as a web page."""
    if foreign := describe_foreign_file(path):
        raise InputError(f"{path}: {foreign}")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{path}: line {number}"
            *numbers, name = line.split()
            attributes = tuple(a for a, flag in zip(ATTRIBUTES, numbers[2 * COUNT + 4 :], strict=False) if flag == "1")
            yield Entry(where, name, _points(where, numbers), attributes=attributes)


def _points(where: str, words: Sequence[str]) -> np.ndarray | InputError:
    if len(words) - 2 * COUNT not in BESIDES:
        return InputError(
            f"{where}: holds {len(words)} numbers before the image's name; {2 * COUNT} for {COUNT} points are needed, "
            "or 10 more for box and attributes"
        )
    try:
        points = np.array([float(word) for word in words], np.float64)[: 2 * COUNT].reshape(COUNT, 2)
    except ValueError:
        wrong = next(word for word in words if not _is_number(word))
        return InputError(f"{where}: {wrong[:20]!r} is not a number")
    points[(points == -1).all(axis=1)] = np.nan
    return points


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
