"""LabelMe: a JSON file beside each image (https://github.com/wkentaro/labelme).

A landmark is a shape of type "point" whose label is its number, from 0, or its name in the scheme. One that is missing
has no shape. Shapes with the same `group_id` are one face or ear; other types of shapes are passed over. LabelMe's
(0, 0) is the corner of the first pixel, so that half a pixel is subtracted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.readers.entry import Entry, landmark_of, said_size, to_points
from data.schemes import Scheme
from utils.common.cli import InputError
from utils.common.schema import TEXT, check_values

CORNER = 0.5


def is_labelme(path: Path, content: object) -> bool:
    """Whether the JSON of a file is meant as LabelMe's."""
    return isinstance(content, dict) and not {"shapes", "imagePath"}.isdisjoint(content)


def read_labelme(path: Path, content: dict, scheme: Scheme) -> Iterator[Entry]:
    """An entry for each group of points, which may have the names of a scheme.

    Raises `InputError` with the key for a file without shapes or image.
    """
    try:
        check_values(content, {"imagePath": TEXT}, required=("imagePath", "shapes"))
    except ValueError as problem:
        raise InputError(f"{path}: {problem}") from problem
    shapes, image = content["shapes"], content["imagePath"]
    if not isinstance(shapes, list):
        raise InputError(f"{path}: shapes is no list")
    size = said_size(content.get("imageWidth"), content.get("imageHeight"))
    groups: dict[str, dict[int, tuple[float, float]]] = {}
    wrong: InputError | None = None
    for number, shape in enumerate(shapes):
        where = f"{path}: shapes[{number}]"
        if not isinstance(shape, dict):
            wrong = wrong or InputError(f"{where} is no object")
        elif shape.get("shape_type", "point") == "point":
            try:
                landmark, place = _point(where, shape, scheme.names)
                group = groups.setdefault(repr(shape.get("group_id")), {})
                if landmark in group:
                    raise InputError(f"{where}: label {shape['label']} stands twice in its group")
                group[landmark] = place
            except InputError as problem:
                wrong = wrong or problem
    if wrong:
        yield Entry(str(path), image, wrong)
    else:
        yield from (Entry(str(path), image, to_points(group), size=size) for group in groups.values())


def _point(where: str, shape: dict, names: Sequence[str]) -> tuple[int, tuple[float, float]]:
    label, points = shape.get("label"), shape.get("points")
    landmark = landmark_of(label, names)
    if landmark is None:
        raise InputError(
            f"{where}: label {label!r:.40} is not the number of a landmark, from 0, nor a name of the scheme"
        )
    point = points[0] if isinstance(points, list) and len(points) == 1 else None
    if not isinstance(point, list) or len(point) != 2 or not all(type(v) in (int, float) for v in point):
        raise InputError(f"{where}: points is not one [x, y]")
    if not all(map(math.isfinite, point)):
        raise InputError(f"{where}: points is not a number (NaN or infinite)")
    return landmark, (point[0] - CORNER, point[1] - CORNER)
