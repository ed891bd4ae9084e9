"""Points -> heatmaps and heatmaps -> points, side by side.

Pixel centres are at whole numbers, so scaling an image by f maps x to (x + 0.5) f - 0.5. Cell u of a map with stride s
has its centre at (u + 0.5) s - 0.5 input pixels. `rescale_points` is the only place in `models` where that is written.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from keras import ops

from models.tensors import Tensor

STRIDE = 8  # input pixels a heatmap cell: three 2x2 poolings
# Gaussians are compared in the log domain to find the peak between cells; below this value a cell is background.
FLOOR = 0.02


def rescale_points(points: Tensor, factor: float) -> Tensor:
    """Pixels of an image -> pixels of the image scaled by `factor`; any array, elementwise."""
    return (points + 0.5) * factor - 0.5


def to_cells(pixels: Tensor, stride: float = STRIDE) -> Tensor:
    """Input pixels -> heatmap cells; any array, elementwise."""
    return rescale_points(pixels, 1 / stride)


def to_pixels(cells: Tensor, stride: float = STRIDE) -> Tensor:
    """Heatmap cells -> input pixels; any array, elementwise."""
    return rescale_points(cells, stride)


def draw_heatmaps(
    points: Tensor, present: Tensor, height: int, width: int, sigma: float, stride: float = STRIDE
) -> Tensor:
    """The target maps of points: (batch, height, width, landmarks) float32, peak 1.

    The value of an instance at cell p is exp(-|p - x|^2 / sigma^2), x the landmark and sigma in cells (Cao et al., CVPR
    2017, section 2.2, equation 6; others divide by 2 sigma^2). A map holds the maximum over instances (equation 7).
    `points` (batch, instances, landmarks, 2) are input pixels. One that is not `present` (batch, instances, landmarks)
    draws nothing; one outside the input leaves what of its Gaussian falls inside.
    """
    cells, drawn = to_cells(points, stride), ops.cast(present, "float32")
    instances = []
    for k in range(points.shape[1]):
        across = _profile(cells[:, k, :, 0], width, sigma) * drawn[:, k, None]
        down = _profile(cells[:, k, :, 1], height, sigma)
        instances.append(ops.expand_dims(down, 2) * ops.expand_dims(across, 1))
    return functools.reduce(ops.maximum, instances)


def _profile(centres: Tensor, length: int, sigma: float) -> Tensor:
    """exp(-(k - centre)^2 / sigma^2) for k = 0..length-1: (batch, length, landmarks)."""
    grid = ops.reshape(ops.arange(length, dtype="float32"), (1, -1, 1))
    return ops.exp(-ops.square((grid - ops.expand_dims(centres, 1)) / sigma))


def annotated_region(
    points: Tensor, present: Tensor, height: int, width: int, sides: float, stride: float = STRIDE
) -> Tensor:
    """Which cells lie near an instance's points, (batch, height, width, 1) float32: 1 near, 0 elsewhere.

    Near is within a square on the centre of the box of the `present` (batch, landmarks) points (batch, landmarks, 2),
    input pixels; its side is `sides` times the box's longer one. Where no point is present, no cell is near.
    """
    cells, known = to_cells(points, stride), ops.expand_dims(present, -1)
    low = ops.min(ops.where(known, cells, 1e6), axis=1)
    high = ops.max(ops.where(known, cells, -1e6), axis=1)
    reach = sides / 2 * ops.max(high - low, axis=-1)

    def near(axis: int, length: int) -> Tensor:
        distance = ops.abs(ops.arange(length, dtype="float32")[None] - (low + high)[:, axis, None] / 2)
        return ops.cast(distance <= reach[:, None], "float32")

    return near(1, height)[:, :, None, None] * near(0, width)[:, None, :, None]


def decode_heatmaps(
    heatmaps: Tensor, stride: float = STRIDE, offset: float = 0.0, argmax: Callable = ops.argmax
) -> tuple[Tensor, Tensor]:
    """Points (batch, landmarks, 2) in input pixels and confidences (batch, landmarks), the peak values.

    The highest cell, then along each axis the peak of the parabola through the logarithms of it and its two neighbours.
    That is exact for a Gaussian (Zhang et al., "Distribution-Aware Coordinate Representation", CVPR 2020, section 3.2,
    without the mixed term). A peak on the border of the map stays at its cell along that axis. `offset`
    (input pixels) is added; weights trained to another convention carry theirs. `argmax` finds the highest cell, called
    as `ops.argmax` is.
    """
    heatmaps = ops.cast(ops.convert_to_tensor(heatmaps), "float32")
    shape = ops.shape(heatmaps)
    height, width, landmarks = shape[1], shape[2], shape[3]
    cells = height * width
    peak = ops.cast(argmax(ops.reshape(heatmaps, (-1, cells, landmarks)), axis=1), "int32")
    row, column = peak // width, peak % width

    steps = (-1, 1, -width, width)
    around = ops.stack([peak, *(ops.clip(peak + step, 0, cells - 1) for step in steps)])
    first = ops.arange(shape[0])[:, None] * cells  # of each image, in the flat list of all cells
    place = (first + around) * landmarks + ops.arange(landmarks)
    levels = ops.take(ops.reshape(heatmaps, (-1,)), place)
    confidence = levels[0]
    centre, left, right, up, down = ops.unstack(ops.log(ops.maximum(levels, FLOOR)), num=5)

    def shift(position, last, before, after):
        bend = before - 2 * centre + after
        inside = ops.logical_and(position > 0, position < last)
        usable = ops.logical_and(inside, bend < -1e-3)
        return ops.where(usable, 0.5 * (before - after) / ops.where(usable, bend, -1.0), 0.0)

    x = ops.cast(column, "float32") + shift(column, width - 1, left, right)
    y = ops.cast(row, "float32") + shift(row, height - 1, up, down)
    return to_pixels(ops.stack([x, y], axis=-1), stride) + offset, confidence
