"""Small drawn images with exact landmarks, in the real datasets' layouts: learned in seconds, for tests.

  python -m tests.images --out runs/cartoons --faces 200 --ears 100

Cartoons, not heads: enough to see a network learn, no more. An image depends only on its number and the seed.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from data.formats import write_300w_lp, write_pts
from data.schemes import EAR, FACE, Scheme, reference_shape
from utils.common.cli import CommandLine, non_negative_int, positive_int, run_main
from utils.common.images import save_image

SHIFT = 3  # fixed-point bits of OpenCV's drawing functions: points stay exact to an eighth of a pixel


def drawn_image(
    scheme: Scheme, size: int, rng: np.random.Generator, extent: tuple[float, float] = (0.45, 0.75)
) -> tuple[np.ndarray, np.ndarray]:
    """An image (size, size, 3) uint8 RGB and its landmarks (count, 2) in pixels.

    The longer side of the shape is a random fraction of the image's, from `extent`. The shape is turned, stretched and
    bent a little, and lies wholly inside.
    """
    shape = reference_shape(scheme) - reference_shape(scheme).mean(axis=0)
    if scheme is EAR and rng.random() < 0.5:
        shape = shape * (-1, 1)  # a right ear
    bend = rng.normal(0, 0.06, (2, 2))
    shape = shape * rng.uniform(0.85, 1.15, 2) + np.sin(3 * shape @ rng.normal(0, 1, (2, 2))) @ bend * 0.3
    turn = np.radians(rng.normal(0, 10))
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shape = shape @ linear.T
    shape *= rng.uniform(*extent) * size / np.ptp(shape, axis=0).max()
    low, high = 3 - shape.min(axis=0), size - 4 - shape.max(axis=0)
    points = shape + rng.uniform(low, np.maximum(high, low + 1e-3))
    skin = rng.uniform([120, 70, 50], [250, 205, 180])
    image = _background(size, rng)
    (_draw_face if scheme is FACE else _draw_ear)(image, points, skin, rng)
    return cv2.GaussianBlur(image, (0, 0), 0.5), points.astype(np.float32)


def _background(size: int, rng: np.random.Generator) -> np.ndarray:
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.round(np.asarray(points) * (1 << SHIFT)).astype(np.int32)


def _fill(image: np.ndarray, points: np.ndarray, colour) -> None:
    cv2.fillPoly(image, [_fixed(points)], [int(c) for c in colour], cv2.LINE_AA, SHIFT)


def _line(image: np.ndarray, points: np.ndarray, colour, thickness: int) -> None:
    cv2.polylines(image, [_fixed(points)], False, [int(c) for c in colour], thickness, cv2.LINE_AA, SHIFT)


def _draw_face(image: np.ndarray, points: np.ndarray, skin: np.ndarray, rng: np.random.Generator) -> None:
    size = max(1, round(np.ptp(points, axis=0).max() / 60))
    up = points[27] - points[8]
    forehead = np.array([points[16] + 0.45 * up, points[27] + 0.75 * up, points[0] + 0.45 * up])
    hair = rng.uniform(10, 120, 3)
    _fill(image, np.concatenate([points[:17], forehead]) + 0.12 * up, hair)
    _fill(image, np.concatenate([points[:17], forehead]), skin)
    for brow in (points[17:22], points[22:27]):
        _line(image, brow, hair, 2 * size)
    _line(image, points[27:31], skin * 0.8, size)
    _line(image, points[31:36], skin * 0.55, size)
    for eye in (points[36:42], points[42:48]):
        _fill(image, eye, (245, 245, 245))
        radius = np.ptp(eye, axis=0).max() / 6
        cv2.circle(image, _fixed(eye.mean(axis=0)).tolist(), int(radius * 8), (40, 30, 20), -1, cv2.LINE_AA, SHIFT)
    _fill(image, points[48:60], (190, 80, 90))
    _fill(image, points[60:68], (70, 10, 20))


def _draw_ear(image: np.ndarray, points: np.ndarray, skin: np.ndarray, rng: np.random.Generator) -> None:
    size = max(1, round(np.ptp(points, axis=0).max() / 60))
    forward = points[35] - points[8]
    head = np.concatenate([points[0] + np.outer([0, 3, 3, 0], forward), points[19] + np.outer([0, 2], forward)])
    _fill(image, head[[0, 1, 5, 4]], skin * 0.92)
    _fill(image, points[:20], skin)
    _line(image, points[:20], skin * 0.6, size)
    _line(image, points[20:35], skin * 0.7, size)
    _fill(image, points[35:50], skin * 0.55)
    _line(image, points[50:55], np.minimum(skin * 1.2, 255), 2 * size)


def write_faces(folder: Path, count: int, size: int = 128, seed: int = 0) -> None:
    """Write `count` faces as the predecessor laid out 300W-LP: `AFW/NAME.jpg` and `AFW_landmark/NAME_pts.mat`."""
    for k in range(count):
        image, points = drawn_image(FACE, size, np.random.default_rng((seed, 0, k)))
        save_image(folder / "AFW" / f"face_{k:05d}.jpg", image)
        write_300w_lp(folder / "AFW_landmark" / f"face_{k:05d}_pts.mat", points, points)


def write_ears(folder: Path, count: int, size: int = 128, seed: int = 0) -> None:
    """Write `count` ears as ibug-ears has them, every sixth in `CollectionA/test`, the others in `.../train`."""
    for k in range(count):
        image, points = drawn_image(EAR, size, np.random.default_rng((seed, 1, k)), extent=(0.3, 0.6))
        stem = folder / "CollectionA" / ("test" if k % 6 == 5 else "train") / f"ear_{k:05d}"
        save_image(stem.with_suffix(".png"), image)
        write_pts(stem.with_suffix(".pts"), points)


def main() -> None:
    """The command line."""
    parser = CommandLine(prog="python -m tests.images", description="Draw small images with exact landmarks.")
    parser.add_argument("--out", required=True, help="folder for AFW/ and CollectionA/")
    parser.add_argument("--faces", type=non_negative_int, default=200, help="how many faces (default: 200)")
    parser.add_argument("--ears", type=non_negative_int, default=100, help="how many ears (default: 100)")
    parser.add_argument("--size", type=positive_int, default=128, help="pixels a side (default: 128)")
    parser.add_argument("--seed", type=non_negative_int, default=0)
    args = parser.parse_args()
    write_faces(Path(args.out), args.faces, args.size, args.seed)
    write_ears(Path(args.out), args.ears, args.size, args.seed)
    print(f"{args.faces} faces and {args.ears} ears in {args.out}")


if __name__ == "__main__":
    run_main(main)
