"""Landmark maps: where the landmarks of one scheme lie among the points of another, or of a template.

Each is a JSON file of `data/maps/`, or one of your own; its "format" says what an entry may be.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline

from data.schemes import SCHEMES, Scheme, read_scheme
from utils.common.cli import InputError
from utils.common.files import read_json

FOLDER = Path(__file__).parent / "maps"

Place = int | list[int]  # a point of the source, or the mean of some


@dataclass(frozen=True)
class LandmarkMap:
    """Where the landmarks of `scheme` lie among `points` others: those of the scheme `source`, or of a template (None).

    `places`: for each landmark a curve's points and the fraction (0 to 1) of its length; a single point is a curve.
    """

    name: str
    source: Scheme | None
    points: int
    scheme: Scheme
    places: tuple[tuple[list[Place], float], ...]

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """The landmarks (count, 2) for others (points, 2), pixels; NaN where a point that one needs is NaN."""
        return np.array([_on_curve(np.array([_mean(points, p) for p in curve]), at) for curve, at in self.places])


def _mean(points: np.ndarray, place: Place) -> np.ndarray:
    return points[place] if isinstance(place, int) else points[place].mean(axis=0)


def _on_curve(knots: np.ndarray, fraction: float) -> np.ndarray:
    """The place (2,) on a smooth curve through `knots` (n, 2): a cubic spline over the length of its chords."""
    if np.isnan(knots).any():
        return np.full(2, np.nan)
    steps = np.linalg.norm(np.diff(knots, axis=0), axis=1)
    knots = knots[np.concatenate([[True], steps > 0])]  # a shut mouth: points that lie on each other
    if len(knots) == 1:
        return knots[0]
    chord = np.concatenate([[0.0], np.cumsum(steps[steps > 0])])
    return CubicSpline(chord, knots)(fraction * chord[-1])


def read_map(name: str | os.PathLike) -> LandmarkMap:
    """The map in a JSON file, or one of `data/maps/` by its name ("wflw98-to-face68").

    Raises `InputError`, with file and landmark, for a file that is none.
    """
    name = os.fspath(name)
    shipped = sorted(path.stem for path in FOLDER.glob("*.json"))
    path = FOLDER / f"{name}.json" if name in shipped else Path(name)
    if not path.is_file():
        raise InputError(f"--map {name}: no such file, and none of {', '.join(shipped)}")
    content = read_json(path, f"{path}: no map of landmarks")
    points = content.get("points") if isinstance(content, dict) else None
    if not isinstance(points, int) or isinstance(points, bool) or points < 1:
        raise InputError(f"{path}: 'points' is not how many points the source has")
    scheme, source = (_scheme_of(path, content, key) for key in ("scheme", "source_scheme"))
    if scheme is None:
        raise InputError(f"{path}: 'scheme' is missing: the scheme that the landmarks are of")
    if source is not None and source.count != points:
        raise InputError(f"{path}: 'points' is {points}, but source_scheme {source.task} has {source.count}")
    entries = content.get("landmarks")
    if not isinstance(entries, list) or len(entries) != scheme.count:
        raise InputError(f"{path}: 'landmarks' is not a list of {scheme.count} entries")
    places = []
    for number, entry in enumerate(entries):
        entry = entry if isinstance(entry, dict) else {}
        curve = [entry["at"]] if "at" in entry else entry.get("curve")
        fraction = 0 if "at" in entry else entry.get("fraction")
        if not isinstance(curve, list) or not curve or not all(_is_place(place, points) for place in curve):
            raise InputError(
                f"{path}: landmark {number}: needs 'at' or 'curve', of indices from 0 to {points - 1} or lists of them"
            )
        if not isinstance(fraction, (int, float)) or not 0 <= fraction <= 1:
            raise InputError(f"{path}: landmark {number}: 'fraction' is not a number from 0 to 1")
        places.append((curve, float(fraction)))
    return LandmarkMap(name, source, points, scheme, tuple(places))


def target_of(landmark_map: LandmarkMap, scheme: str | None) -> Scheme:
    """The scheme that a map's landmarks are of. Raises `InputError` if `--scheme`, where it is given, is another."""
    if scheme is not None and read_scheme(scheme) != landmark_map.scheme:
        raise InputError(
            f"--scheme {scheme}: --map {landmark_map.name} gives {landmark_map.scheme.task}; leave one out"
        )
    return landmark_map.scheme


def _scheme_of(path: Path, content: dict, key: str) -> Scheme | None:
    """The scheme that a map names by its file beside it, by its name or by its task; None where the key is missing."""
    name = content.get(key)
    if name is None:
        return None
    if not isinstance(name, str):
        raise InputError(f"{path}: {key!r} is no name of a scheme")
    beside = path.parent / name
    return SCHEMES.get(name) or read_scheme(str(beside) if beside.is_file() else name, f"{path}: {key}")


def _is_place(place: object, points: int) -> bool:
    """Whether a value of a map is an index or a list of some."""
    indices = place if isinstance(place, list) else [place]
    return bool(indices) and all(type(index) is int and 0 <= index < points for index in indices)
