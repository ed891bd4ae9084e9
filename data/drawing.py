"""Drawing on images: landmarks, labels, heatmaps, squares, and contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np

from data.augment import Warp, apply_matrix, invert_matrix, matrix_of_part, warp_image
from data.schemes import Scheme, reference_shape
from utils.common.fonts import drawable, text_coverage

Colour: TypeAlias = tuple[int, int, int]  # RGB, 0 to 255
# Points (landmarks, 2), which landmarks of the scheme they are (None: all), and one colour (None: the groups' own).
Layer: TypeAlias = tuple[np.ndarray, Sequence[int] | None, Colour | None]


def paint_landmarks(
    image: np.ndarray,
    points: np.ndarray,
    scheme: Scheme,
    landmarks: Sequence[int] | None = None,
    numbers: bool = False,
    colour: Colour | None = None,
) -> np.ndarray:
    """The image with a scheme's points and lines, sized after the points' box; drawn in place.

    `points` (landmarks, 2) in pixels of the image; `landmarks` says which of the scheme they are (default: all).
    Points that are NaN are left out, and the lines to them. `colour` (RGB) replaces the groups' own.
    """
    landmarks = range(scheme.count) if landmarks is None else landmarks
    seen = np.isfinite(points).all(axis=1)
    if not seen.any():
        return image
    box = np.ptp(points[seen], axis=0).max()
    radius = max(1, round(box / (200 if numbers else 130)))
    shift = 4  # OpenCV draws with fixed-point coordinates: 4 bits below the pixel
    fixed = np.clip(np.round(points[seen] * (1 << shift)), -(2**30), 2**30).astype(int).tolist()
    shown = [index for index, is_seen in zip(landmarks, seen, strict=True) if is_seen]
    place = dict(zip(shown, map(tuple, fixed), strict=True))

    for group in scheme.groups:
        run = list(group.indices)
        for one, other in zip(run, run[1:] + run[:1] if group.closed else run[1:], strict=False):
            if one in place and other in place:
                shade = colour or group.colour
                cv2.line(image, place[one], place[other], shade, max(1, radius // 2), cv2.LINE_AA, shift)
    for group in scheme.groups:
        for index in group.indices:
            if index in place:
                cv2.circle(image, place[index], radius << shift, colour or group.colour, -1, cv2.LINE_AA, shift)
    if numbers:
        for index, point in zip(shown, points[seen], strict=True):
            at = tuple(int(value) for value in point + np.array([radius + 1, -radius]))
            cv2.putText(image, str(index), at, cv2.FONT_HERSHEY_SIMPLEX, box / 1500, (255, 255, 255), 1, cv2.LINE_AA)
    return image


def draw_scheme(scheme: Scheme, size: int = 900) -> np.ndarray:
    """The scheme's typical shape with every landmark numbered (0-based): (size, ..., 3) uint8 RGB."""
    shape = reference_shape(scheme)
    margin = size // 12
    points = shape * (size - 2 * margin) + margin
    width = int(points[:, 0].max()) + margin
    return paint_landmarks(np.full((size, width, 3), 32, np.uint8), points, scheme, numbers=True)


def write_label(image: np.ndarray, text: str) -> np.ndarray:
    """The image with a line of text in its lower left corner, white on a dark strip; drawn in place.

    The letters shrink until the text is as narrow as the image, but not beyond what can be read.
    """
    height, width = image.shape[:2]
    scale = height / 420
    while True:
        wide, tall = _text_size(text, scale)
        if wide + tall <= width or scale < 0.25:
            break
        scale *= 0.95
    image[height - 2 * tall :] //= 3
    at = (tall // 2, height - tall // 2)
    _write(image, text, at, scale)
    return image


def write_lines(image: np.ndarray, lines: Sequence[str], lower: bool = False) -> np.ndarray:
    """The image with lines of text on a dark panel in its upper left corner, or its lower; drawn in place.

    The letters follow the image's size and shrink until everything fits, but not beyond what can be read.
    """
    height, width = image.shape[:2]
    scale = max(min(height, width) / 1100, 0.25)
    while True:
        sizes = [_text_size(line, scale) for line in lines]
        wide, step = max(size[0] for size in sizes), 2 * max(size[1] for size in sizes)
        if (wide + step <= width and step * (len(lines) + 1) <= height) or scale <= 0.25:
            break
        scale = max(0.95 * scale, 0.25)
    high = step * len(lines) + step // 2
    top = max(height - high, 0) if lower else 0
    image[top : top + high, : wide + step] //= 4
    for k, line in enumerate(lines):
        at = (step // 2, top + step * (k + 1))
        _write(image, line, at, scale)
    return image


LETTER = 30  # pixels: the height of a font's line that matches OpenCV's own letters of scale 1


def _text_size(text: str, scale: float) -> tuple[int, int]:
    """Width and height in pixels of a line of text."""
    text, font = drawable(text)
    (wide, tall), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    return (wide, tall) if font is None else (text_coverage(text, font, _letter(scale))[0].shape[1], tall)


def _write(image: np.ndarray, text: str, at: tuple[int, int], scale: float) -> None:
    """Draw a line of text in white, its baseline's left end at `at`; what lies outside the image is cut off."""
    text, font = drawable(text)
    if font is None:
        cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
        return
    covered, below = text_coverage(text, font, _letter(scale))
    left, top = max(at[0], 0), max(at[1] + below - len(covered), 0)
    part = image[top : top + len(covered), left : left + covered.shape[1]]
    share = covered[: part.shape[0], : part.shape[1], None] / np.float32(255)
    part[:] = (part + (255 - part) * share).astype(np.uint8)


def _letter(scale: float) -> int:
    return max(6, round(LETTER * scale))


def crop_with_landmarks(
    image: np.ndarray,
    warp: Warp,
    layers: Sequence[Layer],
    scheme: Scheme,
    size: int = 256,
) -> np.ndarray:
    """A (size, size, 3) cut of an image with several sets of points drawn over it.

    The points of `layers` are in pixels of the image.
    """
    matrix = warp.matrix(size)
    crop = warp_image(image, matrix, size)
    for points, landmarks, colour in layers:
        paint_landmarks(crop, apply_matrix(matrix, points), scheme, landmarks, colour=colour)
    return crop


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """An image (height, width, 3) uint8 under a map (any height, width; 0..1) in false colours."""
    height, width = image.shape[:2]
    levels = (255 * np.clip(heat, 0, 1)).astype(np.uint8)
    colours = cv2.applyColorMap(cv2.resize(levels, (width, height), interpolation=cv2.INTER_CUBIC), cv2.COLORMAP_TURBO)
    return cv2.addWeighted(image, 0.5, cv2.cvtColor(colours, cv2.COLOR_BGR2RGB), 0.5, 0)


def paint_map(image: np.ndarray, heat: np.ndarray, square: Warp) -> np.ndarray:
    """The image with a map (cells, cells; 0..1) in false colours over the square that it was read in; in place."""
    height, width = image.shape[:2]
    cells = len(heat)
    matrix = square.matrix(cells)  # pixels to cells
    corners = apply_matrix(invert_matrix(matrix), np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * cells - 0.5)
    left, top = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)) + 1, (width, height)).astype(int)
    if right <= left or bottom <= top:
        return image
    part = image[top:bottom, left:right]
    inside = np.zeros(part.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, np.round(corners - (left, top)).astype(np.int32), 1)
    matrix = matrix_of_part(matrix, (left, top))
    spread = cv2.warpAffine(
        heat.astype(np.float32),
        matrix,
        inside.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    cv2.copyTo(overlay(part, spread), inside, part)
    return image


def paint_square(image: np.ndarray, corners: np.ndarray, text: str) -> np.ndarray:
    """The image with a square's outline, `corners` (4, 2) in pixels, and words at the first; drawn in place."""
    height, width = image.shape[:2]
    outline = np.round(np.clip(corners, -(2**15), 2**15)).astype(np.int32)
    thickness = max(1, round(min(height, width) / 400))
    for colour, wider in (((0, 0, 0), 2), ((255, 255, 255), 0)):  # to be seen on white too
        cv2.polylines(image, [outline], True, colour, thickness + wider, cv2.LINE_AA)
    scale = max(min(height, width) / 1200, 0.3)
    wide, tall = _text_size(text, scale)
    left, bottom = max(min(int(outline[0, 0]), width - wide - tall), 0), max(int(outline[0, 1]), 2 * tall)
    image[bottom - 2 * tall : bottom, left : left + wide + tall] //= 4
    at = (left + tall // 2, bottom - tall // 2)
    _write(image, text, at, scale)
    return image


def paint_axes(image: np.ndarray, ends: np.ndarray, text: str) -> np.ndarray:
    """The image with three axes, and words below; drawn in place. `ends` (4, 2), pixels: their origin, then their tips.

    X is red, Y green and Z blue; the last is drawn over the others, since of a face in view it points this way.
    """
    height, width = image.shape[:2]
    thickness = max(1, round(min(height, width) / 150))
    ends = np.round(np.clip(ends, -(2**15), 2**15)).astype(int)
    for tip, colour in zip(ends[1:], ((230, 60, 60), (60, 200, 60), (70, 110, 255)), strict=True):
        cv2.line(image, ends[0].tolist(), tip.tolist(), (0, 0, 0), thickness + 2, cv2.LINE_AA)
        cv2.line(image, ends[0].tolist(), tip.tolist(), colour, thickness, cv2.LINE_AA)
    return write_lines(image, [text], lower=True)


def contact_sheet(images: Sequence[np.ndarray], columns: int = 4, gap: int = 4) -> np.ndarray:
    """Images of one size in rows of `columns`, on dark gray."""
    height, width = images[0].shape[:2]
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 40, np.uint8)
    for k, image in enumerate(images):
        top, left = gap + (k // columns) * (height + gap), gap + (k % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet
