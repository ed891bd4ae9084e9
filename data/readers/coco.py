"""COCO keypoints: one JSON file for many images (https://cocodataset.org/#format-data, "Keypoint Detection").

A keypoint is x, y and a visibility: 0 is not annotated, 1 annotated though hidden, 2 annotated and visible. Pixels are
0-based. Training takes hidden and visible points alike; scores tell them apart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.readers.entry import Entry, said_size
from data.schemes import Scheme
from utils.common.cli import InputError
from utils.common.schema import TEXT, Kind, check_values

HIDDEN, VISIBLE = 1, 2  # visibility of a point that is annotated

_LIST = Kind("a list of objects", lambda value: isinstance(value, list) and all(isinstance(v, dict) for v in value))
_ID = Kind("a whole number or a text", lambda value: type(value) in (int, str))


def is_coco(path: Path, content: object) -> bool:
    """Whether the JSON of a file is meant as COCO."""
    return isinstance(content, dict) and not {"images", "annotations"}.isdisjoint(content)


def short_name(category: str, count: int) -> str:
    """The task of a scheme that is made of a category of so many keypoints: "My face" of 12 is "myface12"."""
    return re.sub("[^a-z]", "", category.lower())[:20] + str(count)


def read_coco(path: Path, content: dict, scheme: Scheme | None = None) -> Iterator[Entry]:
    """An entry for each annotation with keypoints; a crowd, and one without any visible, has none.

    Of several categories that of the scheme counts, and its keypoints come in the scheme's order if they have its
    names. Without a scheme all annotations count, as they are. Raises `InputError`, with the key, for a file without
    images or annotations, and if it is unclear which category is meant.
    """
    where = str(path)
    try:
        check_values(content, {"images": _LIST, "annotations": _LIST}, required=("images", "annotations"))
        names, sizes = {}, {}
        for number, image in enumerate(content["images"]):
            where = f"{path}: images[{number}]"
            check_values(image, {"id": _ID, "file_name": TEXT}, required=("id", "file_name"))
            if image["id"] in names:
                raise ValueError(f"id {image['id']!r} is that of another image too")
            names[image["id"]] = image["file_name"]
            sizes[image["id"]] = said_size(image.get("width"), image.get("height"))
    except ValueError as problem:
        raise InputError(f"{where}: {problem}") from problem
    category, order = (None, None) if scheme is None else _category_of(path, content, scheme)
    for number, annotation in enumerate(content["annotations"]):
        if category is not None and annotation.get("category_id", category) != category:
            continue
        where = f"{path}: annotations[{number}]"
        image_id = annotation.get("image_id")
        if annotation.get("iscrowd") in (1, True) or "keypoints" not in annotation:
            continue
        if type(image_id) not in (int, str) or image_id not in names:
            raise InputError(f"{where}: image_id {image_id!r:.40} is none of the images")
        points = _points(where, annotation["keypoints"])
        if isinstance(points, InputError):
            yield Entry(where, names[image_id], points)
        elif np.isfinite(points).any():
            hidden = np.array(annotation["keypoints"][2::3]) == HIDDEN
            if order is not None and len(points) == len(order):
                points, hidden = points[order], hidden[order]
            yield Entry(where, names[image_id], points, hidden, size=sizes[image_id])


def _category_of(path: Path, content: dict, scheme: Scheme) -> tuple[int | str | None, list[int] | None]:
    """The id of the scheme's category, None where all annotations may be of it; and where its landmarks stand in it.

    Of the categories that annotations are of, those count that have as many keypoints as the scheme. Of several the one
    with the scheme's names, and then the one that the scheme was made of.
    """
    listed = content.get("categories")
    used = {repr(each.get("category_id")) for each in content["annotations"] if "keypoints" in each}
    known = [
        each
        for each in (listed if isinstance(listed, list) else [])
        if isinstance(each, dict) and isinstance(each.get("keypoints"), list) and repr(each.get("id")) in used
    ]
    fitting = [each for each in known if len(each["keypoints"]) == scheme.count]
    named = [each for each in fitting if scheme.names and set(map(str, each["keypoints"])) == set(scheme.names)]
    meant = [each for each in named or fitting if short_name(str(each.get("name")), scheme.count) == scheme.task]
    chosen = next((several for several in (meant, named, fitting) if len(several) == 1), None)
    if chosen is None:
        if len(fitting) > 1:
            names = " and ".join(str(each.get("name"))[:40] for each in fitting)
            raise InputError(
                f"{path}: categories: {names} have {scheme.count} keypoints each; make a scheme of the one that is "
                "meant: python -m data.scheme new --category"
            )
        return None, None
    (category,) = chosen
    order = [category["keypoints"].index(name) for name in scheme.names] if chosen == named else None
    return category["id"], order


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
