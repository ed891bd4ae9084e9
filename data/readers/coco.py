"""COCO keypoints: one JSON file for many images (https://cocodataset.org/#format-data, "Keypoint Detection").

A keypoint is x, y and a visibility: 0 is not annotated, 1 annotated though hidden, 2 annotated and visible. Pixels are
0-based. Training takes hidden and visible points alike; scores tell them apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.readers.entry import Entry
from utils.common.cli import InputError
from utils.common.schema import TEXT, Kind, check_values

HIDDEN, VISIBLE = 1, 2  # visibility of a point that is annotated

_LIST = Kind("a list of objects", lambda value: isinstance(value, list) and all(isinstance(v, dict) for v in value))
_ID = Kind("a whole number or a text", lambda value: type(value) in (int, str))


def is_coco(path: Path, content: object) -> bool:
    """Whether the JSON of a file is meant as COCO."""
    return isinstance(content, dict) and not {"images", "annotations"}.isdisjoint(content)


def read_coco(path: Path, content: dict) -> Iterator[Entry]:
    """An entry for each annotation with keypoints; a crowd, and one without any visible, has none.

    Raises `InputError`, with the key, for a file without images or annotations.
    """
    where = str(path)
    try:
        check_values(content, {"images": _LIST, "annotations": _LIST}, required=("images", "annotations"))
        names = {}
        for number, image in enumerate(content["images"]):
            where = f"{path}: images[{number}]"
            check_values(image, {"id": _ID, "file_name": TEXT}, required=("id", "file_name"))
            if image["id"] in names:
                raise ValueError(f"id {image['id']!r} is that of another image too")
            names[image["id"]] = image["file_name"]
    except ValueError as problem:
        raise InputError(f"{where}: {problem}") from problem
    for number, annotation in enumerate(content["annotations"]):
        where = f"{path}: annotations[{number}]"
        image_id = annotation.get("image_id")
        if annotation.get("iscrowd") in (1, True) or "keypoints" not in annotation:
            continue
        if type(image_id) not in (int, str) or image_id not in names:
            raise InputError(f"{where}: image_id {image_id!r:.40} is none of the images")
        points = _points(where, annotation["keypoints"])
        if isinstance(points, InputError) or np.isfinite(points).any():
            hidden = None if isinstance(points, InputError) else np.array(annotation["keypoints"][2::3]) == HIDDEN
            yield Entry(where, names[image_id], points, hidden)


def _points(where: str, values: object) -> np.ndarray | InputError:
    if not isinstance(values, list) or not values or len(values) % 3:
        return InputError(f"{where}: keypoints is no list of x, y and visibility for each point")
    points = np.full((len(values) // 3, 2), np.nan)
    for k in range(len(points)):
        x, y, visibility = values[3 * k : 3 * k + 3]
        if visibility not in (0, 1, 2):
            return InputError(f"{where}: keypoint {k}: its visibility {visibility!r:.20} is none of 0, 1 and 2")
        if visibility:
            if not all(type(value) in (int, float) and math.isfinite(value) for value in (x, y)):
                return InputError(f"{where}: keypoint {k}: {x!r:.20}, {y!r:.20} are not two numbers")
            points[k] = x, y
    return points
