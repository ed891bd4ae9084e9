"""Readers and writers of landmark files: `.pts` and the `.mat` files of 300W-LP.

Points are float32 arrays (landmarks, 2), x then y, in pixels of the image as displayed, 0-based: (0, 0) is the
centre of the top-left pixel.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import numpy as np
import scipy.io

from utils.common.cli import InputError
from utils.common.files import replacing

# A `.pts` file counts pixels from 1 (menpo's reader does the same): subtracted on reading, added on writing.
PTS_ORIGIN = 1.0


def check_points(points: np.ndarray, count: int, source: object) -> np.ndarray:
    """`points` as (count, 2) float32, or an `InputError` naming `source`: wrong number, or not finite."""
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"{source}: expected {count} points of x and y, found an array of shape {points.shape}")
    if len(points) != count:
        raise InputError(f"{source}: holds {len(points)} points, {count} are needed")
    with np.errstate(over="ignore"):
        points = points.astype(np.float32)
    if not np.isfinite(points).all():
        bad = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise InputError(f"{source}: point {bad} is not a number (NaN or infinite); correct it or leave the image out")
    return points


def read_pts(path: str | os.PathLike, count: int) -> np.ndarray:
    """Points (count, 2) of a `.pts` file, 0-based pixels (the file counts from 1).

    Takes Windows line ends, extra blanks and a missing blank after a colon, as files of ibug-ears have them. Raises
    `InputError` if the file is no `.pts` file, says another number than it holds, or holds another than `count`.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {problem.strerror}") from problem
    match = re.search(r"n_points\s*:\s*(\d{1,6})\s*\{(.*?)\}", text, re.DOTALL)
    if not match:
        raise InputError(f"{path}: not a .pts file (no 'n_points: N' followed by {{ ... }})")
    try:
        rows = [[float(value) for value in line.split()] for line in match[2].splitlines() if line.strip()]
        points = np.array([(x, y) for x, y in rows], dtype=np.float64).reshape(-1, 2)
    except ValueError as problem:
        raise InputError(f"{path}: a line between the braces is not 'x y'") from problem
    if len(points) != int(match[1]):
        raise InputError(f"{path}: says n_points: {match[1]} but holds {len(points)} points")
    return check_points(points - PTS_ORIGIN, count, path)


def write_pts(path: str | os.PathLike, points: np.ndarray) -> None:
    """Write points (landmarks, 2), 0-based pixels, as a `.pts` file (which counts from 1)."""
    lines = "".join(f"{x:.6f} {y:.6f}\n" for x, y in np.asarray(points, dtype=np.float64) + PTS_ORIGIN)
    with replacing(path) as part:
        part.write_text(f"version: 1\nn_points: {len(points)}\n{{\n{lines}}}\n", encoding="utf-8")


def read_300w_lp(path: str | os.PathLike, count: int = 68, points: str = "2d") -> np.ndarray:
    """Points (count, 2) of a 300W-LP or AFLW2000-3D `.mat` file, pixels, taken as 0-based as they stand.

    The files come from MATLAB, where the first pixel is 1: originals may be off by one pixel at most, which cannot be
    told from the images. `points` chooses "2d" (`pts_2d` of `*_pts.mat`, `pt2d` of an image's own file: the jaw on the
    visible outline) or "3d" (`pts_3d`, or x and y of `pt3d_68`: the jaw on the head). Raises `InputError` for a
    corrupt file, a missing key (naming those that are there) and a wrong number of points: `pt2d` of AFLW2000-3D
    holds 21 points, its 68 are "3d".
    """
    try:
        content = scipy.io.loadmat(os.fspath(path))
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {problem.strerror or problem}") from problem
    except Exception as problem:  # scipy raises whatever its parser stumbles on: ValueError, TypeError, zlib.error ...
        raise InputError(f"{path}: not a readable .mat file ({type(problem).__name__})") from problem
    pairs, rows = {"2d": ("pts_2d", "pt2d"), "3d": ("pts_3d", "pt3d_68")}[points]
    try:
        if pairs in content:
            found = np.asarray(content[pairs], dtype=np.float64)[:, :2]
        elif rows in content:
            found = np.asarray(content[rows], dtype=np.float64)[:2].T
        else:
            keys = ", ".join(sorted(key for key in content if not key.startswith("__"))) or "nothing"
            raise InputError(f"{path}: no '{pairs}' or '{rows}' in it (found: {keys})")
    except (ValueError, TypeError, IndexError) as problem:
        raise InputError(f"{path}: its points are not an array of numbers") from problem
    if points == "2d" and len(found) != count and "pt3d_68" in content:
        raise InputError(f"{path}: its 2d points are {len(found)}, not {count} (AFLW2000-3D); use --points 3d")
    return check_points(found, count, path)


def write_300w_lp(path: str | os.PathLike, pts_2d: np.ndarray, pts_3d: np.ndarray) -> None:
    """Write a `*_pts.mat` file with `pts_2d` and `pts_3d`, each (landmarks, 2) pixels, 0-based, as float32."""
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"pts_2d": np.float32(pts_2d), "pts_3d": np.float32(pts_3d)}, do_compression=True)
    stream.seek(0)
    stream.write(b"MATLAB 5.0 MAT-file".ljust(116))  # SciPy writes the time here: the same points, the same bytes
    with replacing(path) as part:
        part.write_bytes(stream.getvalue())
