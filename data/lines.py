"""Directions along the lines that landmarks form, and across them."""

from __future__ import annotations

import numpy as np

from data.schemes import Scheme


def line_directions(points: np.ndarray, scheme: Scheme) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (images, landmarks, 2) along each group's line, and across it, outwards.

    `points` (images, landmarks, 2) are those of a whole scheme. Outwards is away from the middle of all of them, and
    for a closed line away from its own.
    """
    along, across = np.zeros_like(points), np.zeros_like(points)
    for group in scheme.groups:
        own = list(group.indices)
        line = points[:, own]
        step = np.roll(line, -1, axis=1) - np.roll(line, 1, axis=1) if group.closed else np.gradient(line, axis=1)
        step /= np.maximum(np.linalg.norm(step, axis=-1, keepdims=True), 1e-9)
        normal = np.stack([step[..., 1], -step[..., 0]], axis=-1)
        # A mirrored image turns the normals round: each line's are turned outwards together.
        centre = line.mean(axis=1, keepdims=True) if group.closed else points.mean(axis=1, keepdims=True)
        outwards = np.sign(((line - centre) * normal).sum(axis=(1, 2)))
        along[:, own], across[:, own] = step, normal * outwards[:, None, None]
    return along, across
