"""dlib's XML, as its tool imglab writes it: images with boxes, and in a box its parts.

A part's name is the number of its landmark, from 0, or its name in the scheme. One that is missing has no part. Pixels
are 0-based. A box without parts, and one that is marked to be ignored, holds no landmarks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from data.readers.entry import Entry, landmark_of, said_size, to_points
from data.schemes import Scheme
from utils.common.cli import InputError


def is_dlib(path: Path, root: Element) -> bool:
    """Whether the XML of a file is dlib's."""
    return root.tag == "dataset"


def read_dlib(path: Path, root: Element, scheme: Scheme) -> Iterator[Entry]:
    """An entry for each box with parts, which may have the names of a scheme.

    Raises `InputError` for a file without images, or an image without a name.
    """
    images = root.find("images")
    if images is None:
        raise InputError(f"{path}: holds no <images>")
    for number, image in enumerate(images.iter("image"), start=1):
        name = image.get("file")
        if not name:
            raise InputError(f"{path}: <image> {number} has no file")
        for place, box in enumerate(image.iter("box"), start=1):
            if box.get("ignore") != "1" and box.find("part") is not None:
                where = f"{path}: {name}, box {place}"
                size = said_size(image.get("width"), image.get("height"))
                yield Entry(where, name, _points(where, box, scheme.names), size=size)


def _points(where: str, box: Element, names: Sequence[str]) -> np.ndarray | InputError:
    pairs: dict[int, tuple[float, float]] = {}
    for part in box.iter("part"):
        name = part.get("name", "")
        landmark = landmark_of(name, names)
        if landmark is None:
            said = f"part {name[:20]!r} is not the number of a landmark, from 0, nor a name of the scheme"
            return InputError(f"{where}: {said}")
        if landmark in pairs:
            return InputError(f"{where}: part {name} stands twice")
        try:
            pairs[landmark] = float(part.get("x", "")), float(part.get("y", ""))
        except ValueError:
            x, y = (str(part.get(axis))[:20] for axis in "xy")
            return InputError(f"{where}: part {name}: x={x!r} y={y!r} are not two numbers")
        if not np.isfinite(pairs[landmark]).all():
            return InputError(f"{where}: part {name} is not a number (NaN or infinite)")
    return to_points(pairs)
