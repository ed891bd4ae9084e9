"""Pictures: landmarks on photos, contact sheets, curves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from data.augment import Warp, apply_matrix, invert_matrix, warp_photo
from data.schemes import Scheme
from utils.errors import InputError
from utils.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def save_picture(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Write a (height, width, 3) uint8 RGB picture; the suffix chooses the format. Raises `InputError` if it can't."""
    with replacing(path) as part:
        ok, packed = cv2.imencode(part.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        if not ok:
            raise InputError(f"{path}: cannot be encoded")
        part.write_bytes(packed.tobytes())  # ndarray.tofile does not notice a full disk


def paint_landmarks(
    picture: np.ndarray,
    points: np.ndarray,
    scheme: Scheme,
    landmarks: Sequence[int] | None = None,
    numbers: bool = False,
    colour: tuple[int, int, int] | None = None,
) -> np.ndarray:
    """The picture with a scheme's points and lines, sized after the points' box; drawn in place.

    `points` (landmarks, 2) in pixels of the picture; `landmarks` says which of the scheme they are (default: all).
    Points that are NaN are left out, and the lines to them. `colour` (RGB) replaces the groups' own.
    """
    landmarks = range(scheme.count) if landmarks is None else landmarks
    place = {index: point for index, point in zip(landmarks, points, strict=True) if np.isfinite(point).all()}
    if not place:
        return picture
    box = np.ptp(np.array(list(place.values())), axis=0).max()
    radius = max(1, round(box / (200 if numbers else 130)))
    shift = 4  # OpenCV draws with fixed-point coordinates: 4 bits below the pixel

    def fixed(point: np.ndarray) -> tuple[int, int]:
        return tuple(int(value) for value in np.clip(np.round(point * (1 << shift)), -(2**30), 2**30))

    for group in scheme.groups:
        run = list(group.indices)
        for one, other in zip(run, run[1:] + run[:1] if group.closed else run[1:], strict=False):
            if one in place and other in place:
                ends = fixed(place[one]), fixed(place[other])
                cv2.line(picture, *ends, colour or group.colour, max(1, radius // 2), cv2.LINE_AA, shift)
    for index, point in place.items():
        shade = colour or scheme.group_of(index).colour
        cv2.circle(picture, fixed(point), radius << shift, shade, -1, cv2.LINE_AA, shift)
        if numbers:
            at = tuple(int(value) for value in point + np.array([radius + 1, -radius]))
            cv2.putText(picture, str(index), at, cv2.FONT_HERSHEY_SIMPLEX, box / 1500, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


def write_label(picture: np.ndarray, text: str) -> np.ndarray:
    """The picture with a line of text in its lower left corner, white on a dark strip; drawn in place.

    The letters shrink until the text is as narrow as the picture, but not beyond what can be read.
    """
    height, width = picture.shape[:2]
    scale = height / 420
    while True:
        (wide, tall), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        if wide + tall <= width or scale < 0.25:
            break
        scale *= 0.95
    picture[height - 2 * tall :] //= 3
    at = (tall // 2, height - tall // 2)
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


def write_lines(picture: np.ndarray, lines: Sequence[str], lower: bool = False) -> np.ndarray:
    """The picture with lines of text on a dark panel in its upper left corner, or its lower; drawn in place.

    The letters follow the picture's size and shrink until everything fits, but not beyond what can be read.
    """
    height, width = picture.shape[:2]
    scale = max(min(height, width) / 1100, 0.25)
    while True:
        sizes = [cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0] for line in lines]
        wide, step = max(size[0] for size in sizes), 2 * max(size[1] for size in sizes)
        if (wide + step <= width and step * (len(lines) + 1) <= height) or scale <= 0.25:
            break
        scale = max(0.95 * scale, 0.25)
    high = step * len(lines) + step // 2
    top = max(height - high, 0) if lower else 0
    picture[top : top + high, : wide + step] //= 4
    for k, line in enumerate(lines):
        at = (step // 2, top + step * (k + 1))
        cv2.putText(picture, line, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


def crop_with_landmarks(
    photo: np.ndarray,
    warp: Warp,
    layers: Sequence[tuple[np.ndarray, Sequence[int] | None, tuple[int, int, int] | None]],
    scheme: Scheme,
    size: int = 256,
) -> np.ndarray:
    """A (size, size, 3) cut of a photo with several sets of points drawn over it.

    Each of `layers` is (points in photo pixels, landmarks or None for all, colour or None for the groups' own).
    """
    matrix = warp.matrix(size)
    picture = warp_photo(photo, matrix, size)
    for points, landmarks, colour in layers:
        paint_landmarks(picture, apply_matrix(matrix, points), scheme, landmarks, colour=colour)
    return picture


def overlay(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A picture (height, width, 3) uint8 under a map (any height, width; 0..1) in false colours."""
    height, width = picture.shape[:2]
    levels = (255 * np.clip(heat, 0, 1)).astype(np.uint8)
    colours = cv2.applyColorMap(cv2.resize(levels, (width, height), interpolation=cv2.INTER_CUBIC), cv2.COLORMAP_TURBO)
    return cv2.addWeighted(picture, 0.5, cv2.cvtColor(colours, cv2.COLOR_BGR2RGB), 0.5, 0)


def paint_map(picture: np.ndarray, heat: np.ndarray, square: Warp) -> np.ndarray:
    """The picture with a map (cells, cells; 0..1) in false colours over the square that it was read in; in place."""
    height, width = picture.shape[:2]
    cells = len(heat)
    matrix = square.matrix(cells)  # pixels to cells
    corners = apply_matrix(invert_matrix(matrix), np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * cells - 0.5)
    left, top = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)) + 1, (width, height)).astype(int)
    if right <= left or bottom <= top:
        return picture
    part = picture[top:bottom, left:right]
    inside = np.zeros(part.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, np.round(corners - (left, top)).astype(np.int32), 1)
    matrix = matrix @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], dtype=np.float64)
    spread = cv2.warpAffine(
        heat.astype(np.float32),
        matrix,
        inside.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    cv2.copyTo(overlay(part, spread), inside, part)
    return picture


def paint_square(picture: np.ndarray, corners: np.ndarray, text: str) -> np.ndarray:
    """The picture with a square's outline, `corners` (4, 2) in pixels, and words at the first; drawn in place."""
    height, width = picture.shape[:2]
    outline = np.round(np.clip(corners, -(2**15), 2**15)).astype(np.int32)
    thickness = max(1, round(min(height, width) / 400))
    for colour, wider in (((0, 0, 0), 2), ((255, 255, 255), 0)):  # to be seen on white too
        cv2.polylines(picture, [outline], True, colour, thickness + wider, cv2.LINE_AA)
    scale = max(min(height, width) / 1200, 0.3)
    (wide, tall), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    left, bottom = max(min(int(outline[0, 0]), width - wide - tall), 0), max(int(outline[0, 1]), 2 * tall)
    picture[bottom - 2 * tall : bottom, left : left + wide + tall] //= 4
    at = (left + tall // 2, bottom - tall // 2)
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


def contact_sheet(pictures: Sequence[np.ndarray], columns: int = 4, gap: int = 4) -> np.ndarray:
    """Pictures of one size in rows of `columns`, on dark gray."""
    height, width = pictures[0].shape[:2]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 40, np.uint8)
    for k, picture in enumerate(pictures):
        top, left = gap + (k // columns) * (height + gap), gap + (k % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def plot_history(path: str | os.PathLike, history: Sequence[dict], title: str) -> None:
    """Loss and NME over epochs as a PNG.

    Each row of `history` has epoch, loss and nme (per cent); it may have `val_nme`, `val_ear_nme` ... and other losses.
    """
    others = ("epoch", "input_size", "learning_rate", "minutes")
    figure, (left, right) = new_figure(title, 2)
    epochs = [row["epoch"] for row in history]
    for name in (name for name in history[-1] if name not in others and not name.endswith("nme")):
        left.plot(epochs, [row[name] for row in history], label="training loss" if name == "loss" else name)
    left.set(xlabel="epoch", ylabel="loss", yscale="log")
    right.plot(epochs, [row["nme"] for row in history], label="training views")
    for name in (name for name in history[-1] if name.startswith("val_") and name.endswith("nme")):
        if any(np.isfinite(row[name]) for row in history):
            task = name.removeprefix("val_").removesuffix("nme").replace("_", " ")
            right.plot(epochs, [row[name] for row in history], label=f"{task}validation photos".strip())
    right.set(xlabel="epoch", ylabel="NME (%)", yscale="log")
    for axes in (left, right):
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    write_figure(path, figure)


def plot_ced(path: str | os.PathLike, curves: dict[str, np.ndarray], limit: float, title: str) -> None:
    """Cumulative error distributions as a PNG: name -> errors of its photos (fractions); x runs to 1.5 x `limit`."""
    from utils.metrics import cumulative_distribution

    figure, (axes,) = new_figure(title, 1)
    grid = np.linspace(0, 1.5 * limit, 400)
    for name, errors in curves.items():
        axes.plot(100 * grid, 100 * cumulative_distribution(errors, grid), label=name)
    axes.axvline(100 * limit, color="gray", linestyle=":", label=f"failure above {100 * limit:g} %")
    axes.set(xlabel="NME (%)", ylabel="photos (%)", xlim=(0, 150 * limit), ylim=(0, 100))
    axes.grid(alpha=0.3)
    axes.legend()
    write_figure(path, figure)


def new_figure(title: str, panels: int, width: float = 5.5, height: float = 4.0) -> tuple[Figure, list[Axes]]:
    """A matplotlib figure with panels side by side, each `width` x `height` inches."""
    # The object interface: pyplot would look for a display and keep every figure alive.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * panels, height), layout="constrained")
    if title:
        figure.suptitle(title)
    return figure, [figure.add_subplot(1, panels, k + 1) for k in range(panels)]


def write_figure(path: str | os.PathLike, figure: Figure) -> None:
    """Write a figure beside `path` and rename."""
    with replacing(path) as part:
        figure.savefig(part, dpi=110)
