"""Readers and writers of landmark files: `.pts` and the `.mat` files of 300W-LP.

Points are float32 arrays (landmarks, 2), x then y, in pixels of the image as displayed, 0-based: (0, 0) is the
centre of the top-left pixel.
"""

from __future__ import annotations

import codecs
import io
import os
import re

import numpy as np
import scipy.io

from data.matfile import read_mat
from utils.common.cli import InputError
from utils.common.files import replacing
from utils.common.foreign import describe_foreign_file

# A `.pts` file counts pixels from 1 (menpo's reader does the same): subtracted on reading, added on writing.
PTS_ORIGIN = 1.0
LARGEST_PTS = 1_000_000  # bytes: 68 points take two thousand
MOST_KEYS = 12  # of a .mat file that a message names


def check_points(points: np.ndarray, count: int, source: object, partly: bool = False) -> np.ndarray:
    """`points` as (count, 2) float32, or an `InputError` naming `source`: wrong number, or not finite.

    `partly`: a point whose x and y are both NaN is missing, and stays so.
    """
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"{source}: expected {count} points of x and y, found an array of shape {points.shape}")
    if len(points) != count:
        raise InputError(f"{source}: holds {len(points)} points, {count} are needed")
    with np.errstate(over="ignore", invalid="ignore"):
        points = points.astype(np.float32)
    good = np.isfinite(points).all(axis=1) | (np.isnan(points).all(axis=1) & partly)
    if not good.all():
        bad = int(np.flatnonzero(~good)[0])
        raise InputError(f"{source}: point {bad} is not a number (NaN or infinite); correct it or leave the image out")
    return points


def read_pts(path: str | os.PathLike, count: int) -> np.ndarray:
    """Points (count, 2) of a `.pts` file, 0-based pixels (the file counts from 1). A missing point is `nan nan`.

    Takes every line end, UTF-8 and UTF-16 with a byte order mark, any case, extra blanks, a missing blank after a
    colon, comments after # or //, a comma and a blank between x and y, and all points on one line. Raises `InputError`,
    with the line where there is one, if the file is no `.pts` file, holds anything else than two numbers a point, says
    another number than it holds, or holds another than `count`.
    """
    said, rows = None, []
    header, inside, closed = "", False, False
    for number, line in enumerate(_lines(path, LARGEST_PTS), start=1):
        if not inside:
            before, brace, line = line.partition("{")
            header += f"{before}\n"
            said, inside = _said_count(header) if brace else None, bool(brace)
            if brace and said is None:
                break
        if inside:
            line, end, _ = line.partition("}")
            if line.strip():
                rows.append((number, line.strip()))
            if end:
                closed = True
                break
    if said is None:
        begin = f"it begins {_begin(header.strip().partition(chr(10))[0])}"
        what = describe_foreign_file(path) or f"not a .pts file (no 'n_points: N' and brace before the points): {begin}"
        raise InputError(f"{path}: {what}")
    if not closed:
        raise InputError(f"{path}: ends before its closing brace; it was cut off: copy it again")
    points = np.array(_points(path, rows, said), dtype=np.float64).reshape(-1, 2)
    if len(points) != said:
        raise InputError(f"{path}: says n_points: {said} but holds {len(points)} points")
    return check_points(points - PTS_ORIGIN, count, path, partly=True)


def said_count(path: str | os.PathLike) -> int | None:
    """How many points a `.pts` file says that it holds; None if it does not begin as such a file does."""
    try:
        return _said_count("\n".join(_lines(path, 4096, whole=False)))
    except InputError:
        return None


def _said_count(header: str) -> int | None:
    said = re.search(r"n_points\s*:\s*(\d{1,6})(?!\d)", header, re.IGNORECASE)
    return int(said[1]) if said else None


def _lines(path: str | os.PathLike, most: int, whole: bool = True) -> list[str]:
    """The lines of a text file without their comments; of the first `most` bytes if it needs not be the `whole`."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(most + 1)
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {problem.strerror}") from problem
    if whole and len(data) > most:
        raise InputError(f"{path}: larger than {most // 1_000_000} MB, so no .pts file")
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # PowerShell's `>` writes so
    text = data.decode("utf-16" if utf16 else "utf-8-sig", errors="replace")
    return re.split("\r\n|\r|\n", re.sub("(?:#|//)[^\r\n]*", "", text))


def _begin(text: str) -> str:
    """The first words of a text, for a message: what is no letter is escaped."""
    return repr(text.strip()[:40])


def _points(path: str | os.PathLike, rows: list[tuple[int, str]], said: int) -> list[list[float]]:
    """The numbers of the lines between the braces, two a line; all on one line if they are as many as is `said`."""
    points = []
    for number, line in rows:
        try:
            # A comma with a blank parts numbers, and so does one between decimal points. In `43,8` it may be a decimal.
            parts = line.split()
            if "," in line:
                words = re.sub(r",(?=\s)|(?<=\s),", " ", line).split()
                parts = [part for word in words for part in (word.split(",") if word.count(".") == 2 else [word])]
            values = [float(part) for part in parts if "_" not in part]
        except ValueError:
            values = []
        if len(values) == len(parts) == 2 * said and len(rows) == 1:
            return [values[k : k + 2] for k in range(0, len(values), 2)]
        if len(values) != 2 or len(parts) != 2:
            raise InputError(f"{path}: line {number} is not 'x y' with decimal points: {_begin(line)}")
        points.append(values)
    return points


def write_pts(path: str | os.PathLike, points: np.ndarray) -> None:
    """Write points (landmarks, 2), 0-based pixels, as a `.pts` file (it counts from 1); `nan nan` if missing."""
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
    content = read_mat(path)
    pairs, rows = {"2d": ("pts_2d", "pt2d"), "3d": ("pts_3d", "pt3d_68")}[points]
    key = pairs if pairs in content else rows
    if key not in content:
        keys = ", ".join(sorted(_begin(name)[1:-1] for name in content)[:MOST_KEYS]) or "nothing"
        raise InputError(f"{path}: no '{pairs}' or '{rows}' in it (found: {keys})")
    found = content[key]
    if found is None or found.ndim != 2 or not found.size:
        raise InputError(f"{path}: its points are not an array of numbers")
    if key == pairs and len(found) < 4 and found.shape[1] == count:
        raise InputError(f"{path}: '{key}' is transposed; it needs {count} rows of x and y")
    found = (found if key == pairs else found.T)[:, :2]
    if points == "2d" and len(found) != count and "pt3d_68" in content:
        raise InputError(f"{path}: its 2d points are {len(found)}, not {count} (AFLW2000-3D); use --points 3d")
    return check_points(found, count, path, partly=True)


def write_300w_lp(path: str | os.PathLike, pts_2d: np.ndarray, pts_3d: np.ndarray) -> None:
    """Write a `*_pts.mat` file with `pts_2d` and `pts_3d`, each (landmarks, 2) pixels, 0-based, as float32."""
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"pts_2d": np.float32(pts_2d), "pts_3d": np.float32(pts_3d)}, do_compression=True)
    stream.seek(0)
    stream.write(b"MATLAB 5.0 MAT-file".ljust(116))  # SciPy writes the time here: the same points, the same bytes
    with replacing(path) as part:
        part.write_bytes(stream.getvalue())
