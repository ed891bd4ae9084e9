"""Warp and jitter: plain functions of one image, a random generator and the strength of the augmentation.

A warp (OpenCV's word, as in `warpAffine`) is one affine map from image pixels to network-input pixels: crop, scale,
squeeze, rotation, shift and flip then cost a single resample. Pixel centres are at whole numbers; scaling by f
therefore maps x to (x + 0.5) f - 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from data.schemes import Scheme

# Fractions of the training crops. Most look like the `crop` protocol, as a tracking crop does. The rest span the scales
# of the scheme evenly (in log scale), since the demo first looks at the whole frame.
ANY_SCALE_FRACTION = 0.2
ANY_ANGLE_FRACTION = 0.1
# Background crops teach that there may be no face: a network trained on faces alone finds them in ears and curtains.
BACKGROUND_FRACTION = 0.08
# Close-ups show a part, large: a network trained on whole ears alone finds small ones inside an ear.
CLOSE_UP_FRACTION = 0.06
# Faces with a mask drawn over mouth and nose: their labels are known, those of photos with masks are not.
FACE_MASK_FRACTION = 0.15
# Images cut close to the landmarks or through them: in a portrait the crop reaches over the picture's edge.
TIGHT_FRAME_FRACTION = 0.2


@dataclass(frozen=True)
class Warp:
    """A square crop of an image, from `centre` (x, y) and `side` in image pixels.

    It is turned by `angle` degrees (positive turns the content clockwise on the screen), then narrowed by `squeeze_x`
    and `squeeze_y` (1: not at all), then mirrored if `flip`.
    """

    centre: tuple[float, float]
    side: float
    angle: float = 0.0
    squeeze_x: float = 1.0
    squeeze_y: float = 1.0
    flip: bool = False

    def matrix(self, size: int) -> np.ndarray:
        """The map (2, 3) from image pixels to pixels of a `size` x `size` input."""
        turn = math.radians(self.angle)
        rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        scale = np.diag([self.squeeze_x * (-1 if self.flip else 1), self.squeeze_y]) * (size / self.side)
        linear = scale @ rotation
        middle = (size - 1) / 2  # the centre of the cut lands on the centre of the input
        return np.column_stack([linear, middle - linear @ np.asarray(self.centre, dtype=np.float64)])


def apply_matrix(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., 2) through an affine map (2, 3); float32."""
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def invert_matrix(matrix: np.ndarray) -> np.ndarray:
    """The inverse (2, 3) of an affine map (2, 3)."""
    return cv2.invertAffineTransform(np.asarray(matrix, dtype=np.float64))


def matrix_of_part(matrix: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
    """The same map (2, 3) for a part of the image alone, whose first pixel lies at `corner` (x, y) of the image."""
    left, top = corner
    return matrix @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], dtype=np.float64)


def warp_image(
    image: np.ndarray,
    matrix: np.ndarray,
    size: int | tuple[int, int],
    border: int = cv2.BORDER_CONSTANT,
    fill: tuple[float, float, float] = (0, 0, 0),
    out: np.ndarray | None = None,
) -> np.ndarray:
    """The image (height, width, 3) through `matrix` (2, 3): (size, size, 3) uint8, without aliasing.

    `size` may be a width and a height. Bilinear sampling skips pixels where the map shrinks more than 2 times, so the
    image is first shrunk by a whole number with area averaging. An axis that a squeeze shrinks further is sampled more
    densely and averaged. Outside the image the result is `fill`, or what the OpenCV `border` mode makes of the
    edge. `out`, if given, is a contiguous array of the result's shape, which is filled and returned.
    """
    wide, high = (size, size) if isinstance(size, int) else size
    if out is None:
        out = np.empty((high, wide, 3), np.uint8)
    corners = apply_matrix(invert_matrix(matrix), np.array([[0, 0], [wide, 0], [0, high], [wide, high]]) - 0.5)
    shrink = max(1, int(1 / np.linalg.norm(matrix[:, :2], 2)))
    height, width = image.shape[:2]
    # Only the part that the result shows, with room for the interpolation, on the grid of the shrink.
    left, top = (max(0, int(low) // shrink * shrink) for low in corners.min(0) - 2 * shrink)
    right, bottom = (
        min(length, int(high)) for length, high in zip((width, height), corners.max(0) + 2 * shrink + 1, strict=True)
    )
    if right <= left or bottom <= top:
        out[:] = fill
        return out
    image = image[top:bottom, left:right]
    matrix = matrix_of_part(matrix, (left, top))
    if shrink > 1:
        down, across = -image.shape[0] % shrink, -image.shape[1] % shrink
        image = cv2.copyMakeBorder(image, 0, down, 0, across, cv2.BORDER_REPLICATE)
        image = cv2.resize(image, (image.shape[1] // shrink, image.shape[0] // shrink), interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.array([[shrink, 0, (shrink - 1) / 2], [0, shrink, (shrink - 1) / 2], [0, 0, 1]])
    dense = [max(1, int(1 / max(float(np.linalg.norm(row)), 1 / 16))) for row in matrix[:, :2]]
    matrix = np.array(
        [[n * row[0], n * row[1], n * row[2] + (n - 1) / 2] for n, row in zip(dense, matrix, strict=True)]
    )
    sampled = (wide * dense[0], high * dense[1])
    warped = cv2.warpAffine(
        image,
        matrix,
        sampled,
        dst=out if max(dense) == 1 else None,
        flags=cv2.INTER_LINEAR,
        borderMode=border,
        borderValue=fill,
    )
    return cv2.resize(warped, (wide, high), dst=out, interpolation=cv2.INTER_AREA) if max(dense) > 1 else warped


def crop_warp(scheme: Scheme, points: np.ndarray) -> Warp:
    """The `crop` protocol: a square on the centre of the points' box, `scheme.crop_side` times its longer side."""
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    longer = max(float((high - low).max()), 1.0)
    return Warp(tuple(((low + high) / 2).tolist()), scheme.crop_side * longer)


def draw_warp(
    scheme: Scheme, points: np.ndarray, rng: np.random.Generator, strength: float, flip_probability: float = 0.5
) -> Warp:
    """A random warp for training; `strength` scales every spread (1: as tuned, 0: exactly `crop_warp`).

    `flip_probability` is that of a mirrored warp. Where a dataset's points all lie a little to one side, mirrored
    copies contradict it, and a network learns the middle.
    """
    base = crop_warp(scheme, points)
    if strength == 0:
        return base
    longer = base.side / scheme.crop_side
    tight, wide = scheme.train_sides
    if rng.random() < ANY_SCALE_FRACTION:
        side = math.exp(rng.uniform(math.log(tight), math.log(wide)))
    else:
        side = float(np.clip(scheme.crop_side * math.exp(rng.normal(0, 0.12 * strength)), tight, wide))
    # A tight crop moves a little; in a wide one the head is anywhere, as long as its points stay inside.
    room = max(0.06 * side, (side - scheme.crop_side) / 2)
    shift = np.clip(rng.uniform(-room, room, 2) * strength, -side / 2, side / 2) * longer
    if rng.random() < ANY_ANGLE_FRACTION:
        angle = rng.uniform(-60, 60) * min(strength, 1.5)
    else:
        angle = rng.normal(0, 12 * strength)
    squeeze = [1.0, 1.0]
    if rng.random() < 0.4:
        narrowest = scheme.train_squeeze[0] ** min(strength, 1.0)
        squeeze[0] = math.exp(rng.uniform(math.log(narrowest), 0))
    elif rng.random() < 0.2:
        squeeze[1] = rng.uniform(0.85, 1.0)
    return Warp(
        centre=(base.centre[0] + shift[0], base.centre[1] + shift[1]),
        side=side * longer,
        angle=angle,
        squeeze_x=squeeze[0],
        squeeze_y=squeeze[1],
        flip=bool(rng.random() < flip_probability),
    )


def draw_close_up_warp(
    scheme: Scheme, points: np.ndarray, rng: np.random.Generator, flip_probability: float = 0.5
) -> Warp:
    """A random square that shows a part only: its side is 0.35 of the longer side of the points' box and more, up to
    the tightest of `draw_warp`, its centre anywhere in the box.
    """
    base = crop_warp(scheme, points)
    longer = base.side / scheme.crop_side
    return Warp(
        centre=tuple((np.asarray(base.centre) + rng.uniform(-0.5, 0.5, 2) * longer).tolist()),
        side=math.exp(rng.uniform(math.log(0.35), math.log(scheme.train_sides[0]))) * longer,
        angle=rng.normal(0, 20),
        flip=bool(rng.random() < flip_probability),
    )


def draw_background_warp(
    scheme: Scheme,
    points: np.ndarray,
    everyone: np.ndarray,
    shape: tuple[int, ...],
    rng: np.random.Generator,
    tries: int = 10,
) -> Warp | None:
    """A random square of an image of this `shape` (height, width, ...) that shows none of `everyone`, or None.

    `points` (landmarks, 2) set its scale, `everyone` (n, 2) are those and the points of other ears. Its side is 0.25 to
    1.5 times the longer side of the points' box: an ear, a hand, a shoulder, a piece of background.
    """
    base = crop_warp(scheme, points)
    for _ in range(tries):
        side = math.exp(rng.uniform(math.log(0.25), math.log(1.5))) * base.side / scheme.crop_side
        warp = _draw_square(shape, side, 0.0, rng)
        at = apply_matrix(warp.matrix(1), everyone)  # in a crop of one pixel: from -0.5 to 0.5
        if not (np.abs(at) <= 0.5).all(axis=-1).any():
            return warp
    return None


def draw_image_warp(shape: tuple[int, ...], rng: np.random.Generator) -> Warp:
    """A random square of an image of this `shape` (height, width, ...), 0.35 to 1.1 times its shorter side."""
    return _draw_square(shape, math.exp(rng.uniform(math.log(0.35), math.log(1.1))) * min(shape[:2]), 0.15, rng)


def _draw_square(shape: tuple[int, ...], side: float, margin: float, rng: np.random.Generator) -> Warp:
    """A square of this side anywhere in an image; its centre keeps `margin` of the image's length from the edges."""
    return Warp(
        centre=tuple((rng.uniform(margin, 1 - margin, 2) * (shape[1], shape[0])).tolist()),
        side=side,
        angle=rng.normal(0, 20),
        flip=bool(rng.random() < 0.5),
    )


def cut_tight_frame(
    image: np.ndarray, points: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[int, int]]:
    """The part of an image (height, width, 3) that a tight picture of `points` (landmarks, 2) shows, and its corner.

    Each edge lies between 0.15 of the longer side of the points' box inside that box and 0.4 outside of it. The corner
    (x, y) is that of the part in the image, in whole pixels. Without 8 pixels each way, the image stays whole.
    """
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    room = rng.uniform(-0.15, 0.4, (2, 2)) * (high - low).max()
    height, width = image.shape[:2]
    left, top = np.clip((low - room[0]).astype(int), 0, (width, height)).tolist()
    right, bottom = np.clip((high + room[1]).astype(int) + 1, 0, (width, height)).tolist()
    if right - left < 8 or bottom - top < 8:
        return image, (0, 0)
    return image[top:bottom, left:right], (left, top)


def jitter_image(image: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Occlusion, colour, gray, blur, low resolution, noise and JPEG jitter of a (height, width, 3) uint8 image.

    `strength` scales the spreads and the chances; 0 returns the image unchanged.
    """
    if strength == 0:
        return image
    size = image.shape[0]
    if rng.random() < 0.25 * strength:
        image = _occlude(image, rng)
    image = _jitter_colour(image, rng, strength)
    if rng.random() < 0.1 * strength:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.2 * strength:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, max(0.3, 0.011 * size)))
    if rng.random() < 0.3 * strength:  # down to a face of 15 pixels in a crop of 160
        small = max(16, int(size * math.exp(rng.uniform(math.log(0.15), math.log(0.9)))))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.15 * strength:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(2, 12)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.15 * strength:
        _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(20, 80))])
        image = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
    return image


def _jitter_colour(image: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Gamma, contrast, brightness and colour cast in one table look-up a channel."""
    levels = np.linspace(0, 1, 256)[:, None] ** math.exp(rng.normal(0, 0.2 * strength))
    contrast = math.exp(rng.normal(0, 0.2 * strength))
    cast = rng.normal(0, 0.03 * strength, 3) + rng.normal(0, 0.08 * strength)
    table = (levels - 0.5) * contrast * np.exp(rng.normal(0, 0.05 * strength, 3)) + 0.5 + cast
    return cv2.LUT(image, (np.clip(table, 0, 1) * 255).astype(np.uint8)[:, None, :])


def _occlude(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cover a part with a turned rectangle or ellipse, of one colour or of another part of the image."""
    size = image.shape[0]
    centre = rng.uniform(0, size, 2)
    axes = np.exp(rng.uniform(math.log(0.06), math.log(0.45), 2)) * size
    angle = rng.uniform(0, 180)
    mask = np.zeros((size, size), np.uint8)
    if rng.random() < 0.5:
        cv2.ellipse(mask, tuple(map(int, centre)), tuple(map(int, axes / 2)), angle, 0, 360, 255, -1)
    else:
        corners = cv2.boxPoints((tuple(map(float, centre)), tuple(map(float, axes)), float(angle)))
        cv2.fillConvexPoly(mask, corners.astype(np.int32), 255)
    if rng.random() < 0.5:
        cover = np.broadcast_to(rng.integers(0, 256, 3, dtype=np.uint8), image.shape)
    else:
        cover = np.roll(image, tuple(rng.integers(0, size, 2)), axis=(0, 1))
    return np.where(mask[..., None] > 0, cover, image)
