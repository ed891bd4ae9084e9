"""Locks of hair: ribbons that grow from the scalp, follow a style, fall with gravity and lie on the head.

Cropped hair is paint and a lift of the scalp itself (`Look`); what is longer is made here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.synthetic.head import HeadModel
from data.synthetic.render import Mesh

CENTRE = np.array([0.0, 0.32, -0.12], np.float32)  # of the skull, decimetres
KINDS = ("none", "short", "fringe", "swept", "long", "long_parted", "tied", "curly", "afro")


@dataclass(frozen=True)
class Style:
    """How hair falls.

    - `length` and `width` of a lock, decimetres; `locks`: how many.
    - `comb` (3,): the direction it is combed to, none for hair that stands out; `parting`: the X that it is
      combed away from; `tied`: to a knot at the back.
    - `gravity`, `wave`, `lift`: 0..1, how much it falls, curls and stands off the head.
    - `ears`: how free the left and the right ear stay (1: hair is tucked behind it, 0: it hangs over it).
    """

    length: float
    comb: np.ndarray
    parting: float | None
    gravity: float
    wave: float
    lift: float
    locks: int
    ears: tuple[float, float]
    tied: bool = False
    width: float = 0.16


def draw_style(rng: np.random.Generator, gender: float, ear_image: bool) -> Style | None:
    """A random style, longer for women mostly; None for cropped or no hair. Ear images leave the ear free mostly."""
    female = gender < 0
    weights = (
        np.array([0.10, 0.14, 0.10, 0.10, 0.17, 0.15, 0.14, 0.06, 0.04])
        if female
        else np.array([0.36, 0.24, 0.16, 0.14, 0.03, 0.01, 0.02, 0.02, 0.02])
    )
    kind = rng.choice(KINDS, p=weights / weights.sum())
    if kind == "none":
        return None
    side = rng.choice([-1.0, 1.0])
    parting = float(rng.uniform(-0.35, 0.35))
    free = float(rng.choice([1.0, 0.6, 0.3, 0.0], p=[0.8, 0.14, 0.06, 0.0] if ear_image else [0.45, 0.1, 0.1, 0.35]))
    ears = (free, free) if rng.random() < 0.75 else (free, float(rng.choice([0.0, 1.0])))
    ears = ears if rng.random() < 0.5 else ears[::-1]
    loose = rng.uniform(0, 0.6)

    def style(length, comb, gravity, wave, lift, locks, **more):
        return Style(length, np.asarray(comb, np.float32), gravity=gravity, wave=wave, lift=lift, locks=locks, **more)

    if kind == "short":
        comb = (rng.normal(0, 0.6), rng.uniform(-0.2, 0.4), rng.uniform(-1, 1))
        return style(rng.uniform(0.15, 0.6), comb, 0.15, loose * 0.6, rng.uniform(0.1, 0.6), 260, parting=None,
                     ears=(1.0, 1.0))  # fmt: skip
    if kind == "fringe":
        comb = (side * rng.uniform(0, 0.9), -0.2, 1.0)
        return style(rng.uniform(0.3, 0.85), comb, 0.35, loose * 0.5, rng.uniform(0.05, 0.4), 230, parting=None,
                     ears=ears if female else (1.0, 1.0))  # fmt: skip
    if kind == "swept":
        comb = (side * rng.uniform(0, 1), 0.2, -1.0)
        return style(rng.uniform(0.4, 1.0), comb, 0.35, loose * 0.5, rng.uniform(0.1, 0.5), 240, parting=None,
                     ears=(1.0, 1.0))  # fmt: skip
    if kind == "tied":
        return style(rng.uniform(0.9, 1.4), (0, 0.1, -1.0), 0.05, 0.1, 0.05, 240, parting=parting, ears=(1.0, 1.0),
                     tied=True)  # fmt: skip
    if kind == "afro":
        return style(rng.uniform(0.35, 1.1), (0, 0, 0), 0.0, 1.0, 1.0, 360, parting=None, ears=(0.7, 0.7), width=0.2)
    if kind == "curly":
        return style(rng.uniform(0.8, 2.2), (0, 0.2, -0.2), 0.7, 1.0, 0.6, 260, parting=parting, ears=ears, width=0.19)
    length = rng.uniform(1.2, 3.4)
    forward = rng.uniform(-0.7, 0.05)
    part = parting if kind == "long_parted" else None
    comb = (0, -0.2, forward) if part is not None else (side * rng.uniform(0, 0.4), -0.2, forward)
    return style(
        length, comb, rng.uniform(0.8, 1.0), loose * 0.7, rng.uniform(0.05, 0.35), 230, parting=part, ears=ears
    )


class Skull:
    """How far the head reaches from `CENTRE` in every direction, so that hair, hats and bands lie on it."""

    def __init__(self, model: HeadModel, vertices: np.ndarray, with_ears: bool):
        chosen = np.isin(model.part, [model.part_id[name] for name in ("skin", "eyelid", "lips")])
        if with_ears:
            chosen |= model.part == model.part_id["ear"]
        ray = vertices[np.unique(model.triangles[chosen])] - CENTRE
        ray = ray[ray[:, 1] > -1.3]  # the shoulders are no part of the skull
        self.reach = np.zeros((33, 64), np.float32)
        distance = np.linalg.norm(ray, axis=1)
        row, column = self._cell(ray, distance)
        np.maximum.at(self.reach, (np.round(row).astype(int), np.round(column).astype(int) % 64), distance)
        for _ in range(3):  # cells that no vertex fell into
            wide = np.pad(np.pad(self.reach, ((1, 1), (0, 0)), mode="edge"), ((0, 0), (1, 1)), mode="wrap")
            near = np.maximum.reduce([wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:]])
            self.reach = np.where(self.reach > 0, self.reach, near)
        self.reach[0] = self.reach[0].mean()

    @staticmethod
    def _cell(ray: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        row = np.arccos(np.clip(ray[..., 1] / np.maximum(distance, 1e-6), -1, 1)) / np.pi * 32
        column = (np.arctan2(ray[..., 0], ray[..., 2]) / (2 * np.pi) * 64) % 64
        return row, column

    def at(self, ray: np.ndarray) -> np.ndarray:
        """Reach (...,) in decimetres along rays (..., 3) from the centre, interpolated between cells."""
        row, column = self._cell(ray, np.linalg.norm(ray, axis=-1))
        r, c = np.minimum(row.astype(int), 31), column.astype(int)
        fr, fc = row - r, column - c
        grid = self.reach
        top = grid[r, c] * (1 - fc) + grid[r, (c + 1) % 64] * fc
        low = grid[r + 1, c] * (1 - fc) + grid[r + 1, (c + 1) % 64] * fc
        return top * (1 - fr) + low * fr


def unit(v: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) of length 1 in the directions of these."""
    return v / (np.linalg.norm(v, axis=-1, keepdims=True) + 1e-9)


def grow(
    model: HeadModel,
    vertices: np.ndarray,
    style: Style,
    colour: np.ndarray,
    hairline: float,
    rng: np.random.Generator,
    detail: float = 1.0,
    highest: float = 9.0,
) -> Mesh:
    """The locks of one style on one head, as a mesh of ribbons.

    `detail` below 1 grows fewer; none rises above `highest` decimetres, where a hat begins.
    """
    skull = Skull(model, vertices, with_ears=min(style.ears) < 0.5)
    scalp = np.flatnonzero((model.masks["hairline"] > hairline - 0.01) & (model.masks["ear"] < 0.2))
    height = vertices[scalp, 1]
    scalp = scalp[(height > -0.75) & (height < highest)]
    if not len(scalp):
        return _ribbons(np.zeros((0, 2, 3), np.float32), np.zeros(0), colour, rng)
    count = max(40, int(style.locks * detail))
    roots = rng.choice(scalp, count)
    root = vertices[roots] + rng.normal(0, 0.02, (count, 3))
    outward = unit(root - CENTRE)
    steps = 10
    length = style.length * rng.uniform(0.75, 1.15, count)
    comb = np.broadcast_to(style.comb, (count, 3)).copy()
    if style.parting is not None and not style.tied:
        comb[:, 0] += np.sign(root[:, 0] - style.parting) * 1.1
    if style.tied:  # towards a knot at the back
        knot = np.array([0, rng.uniform(-0.1, 0.7), -1.25])
        length = np.linalg.norm(knot - root, axis=1) + rng.uniform(0.0, 1.2) * rng.uniform(0.8, 1.1, count)
    comb = unit(comb) * (np.linalg.norm(comb, axis=1, keepdims=True) > 0)
    comb += rng.normal(0, 0.12 + 0.3 * style.wave, (count, 3))
    path = np.empty((count, steps, 3), np.float32)
    path[:, 0] = root
    place = root.copy()
    height = 0.03 + 0.35 * style.lift * rng.uniform(0.2, 1, count)
    phase, rate = rng.uniform(0, 2 * np.pi, (2, count)), rng.uniform(0.5, 1.4, count)
    for step in range(1, steps):
        along_lock = step / (steps - 1)
        out = unit(place - CENTRE)
        down = np.array([0.0, -1.0, 0.0])
        fall = style.gravity * min(1.0, 0.3 + 1.2 * along_lock)
        heading = comb * (1 - 0.8 * fall) + down * fall * 1.5
        if style.tied:  # to the knot, and down from it
            left = knot - place
            heading = np.where(np.linalg.norm(left, axis=1, keepdims=True) < 0.2, down, unit(left))
        if style.comb.any() or style.tied:
            inward = np.minimum((heading * out).sum(axis=1, keepdims=True), 0)
            heading = unit(heading - inward * out) + out * style.lift * 0.4 * (1 - along_lock)
        else:
            heading = outward + rng.normal(0, 0.25, (count, 3))
        if style.wave > 0:
            swing = np.sin(phase[0] + step * rate * 2.2)[:, None] * np.cross(out, unit(heading))
            bounce = np.cos(phase[1] + step * rate * 2.2)[:, None] * out
            heading = unit(heading) + style.wave * (0.8 * swing + 0.5 * bounce)
        place = place + unit(heading) * (length / (steps - 1))[:, None]
        ray = place - CENTRE
        distance = np.linalg.norm(ray, axis=1)
        least = skull.at(ray) + np.minimum(height, 0.02 + 0.1 * step * height + 0.02 * step)
        within = (distance < least) & (place[:, 1] > -1.0)
        place[within] = CENTRE + ray[within] / distance[within, None] * least[within, None]
        path[:, step] = place

    keep = path[..., 1].max(axis=1) < highest
    for side, free in zip((1, -1), style.ears, strict=True):
        # An oval round the ear that its locks stay out of: those that would cross it are tucked away, or cut.
        shift = (1 - free) * 0.35
        oval = ((path[..., 1] + shift) / 0.40) ** 2 + ((path[..., 2] - 0.02) / 0.27) ** 2
        crosses = ((oval < 1) & (path[..., 0] * side > 0.5)).any(axis=1)
        keep &= ~crosses | (rng.random(count) > (1.0 if free > 0.2 else 0.0))
    # The face stays free, but for a fringe's ends.
    face = (np.abs(path[..., 0]) < 0.5) & (path[..., 1] < rng.uniform(0.2, 0.5)) & (path[..., 2] > 0.55)
    cheek = (np.abs(path[..., 0]) < 0.72) & (path[..., 1] < 0.25) & (path[..., 2] > rng.uniform(0.15, 0.6))
    face = (face | cheek) & (path[..., 1] > -0.9)
    keep &= ~face.any(axis=1) | (rng.random(count) < 0.05)
    return _ribbons(path[keep], style.width * rng.uniform(0.6, 1.4, count)[keep], colour, rng)


def _ribbons(path: np.ndarray, width: np.ndarray, colour: np.ndarray, rng: np.random.Generator) -> Mesh:
    """Ribbons (mesh) along paths (locks, steps, 3), `width` (locks,) decimetres wide, flat on the head."""
    locks, steps = path.shape[:2]
    along = unit(np.gradient(path, axis=1)) if locks else np.zeros_like(path)
    out = unit(path - CENTRE)
    across = unit(np.cross(along, out) + rng.normal(0, 0.25, (locks, 1, 3)))
    along_lock = np.linspace(0, 1, steps)
    half = (width[:, None] * (0.5 + 0.5 * np.minimum(1, 4 * along_lock)) * (1 - 0.75 * along_lock**3))[..., None]
    vertices = np.stack([path - across * half, path, path + across * half], axis=2)  # (locks, steps, 3, 3)
    facing = unit(np.cross(across, along))
    facing *= np.sign((facing * out).sum(axis=-1, keepdims=True))
    normals = unit(np.stack([facing - 0.7 * across, facing, facing + 0.7 * across], axis=2) + 0.5 * out[:, :, None])
    strand = np.empty((locks, steps, 3, 3), np.float32)
    strand[..., 0] = (-1, 0, 1)
    strand[..., 1] = along_lock[:, None]
    strand[..., 2] = np.arange(locks)[:, None, None]
    tone = np.exp(rng.normal(0, 0.1, (locks, 1, 1, 1))) * (1 + rng.normal(0, 0.02, (locks, 1, 1, 3)))
    colours = np.broadcast_to(colour * tone, vertices.shape)
    a = (np.arange(locks)[:, None, None] * steps + np.arange(steps - 1)[:, None]) * 3 + np.arange(2)
    quads = np.stack([a, a + 1, a + 4, a + 3], axis=-1).reshape(-1, 4)
    triangles = np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], axis=1).reshape(-1, 3)
    return Mesh(
        vertices.reshape(-1, 3).astype(np.float32),
        triangles,
        np.clip(colours, 0, 1).reshape(-1, 3).astype(np.float32),
        normals.reshape(-1, 3).astype(np.float32),
        gloss=0.22,
        strand=strand.reshape(-1, 3),
    )
