"""What stands behind a head and in front of it: random backgrounds and occluders.

Images are (height, width, 3) float32, linear light.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from data.synthetic.render import GAMMA


def _colour(rng: np.random.Generator) -> np.ndarray:
    """A random colour, muted more often than gaudy."""
    gray = rng.beta(0.9, 1.1)
    return np.clip(gray + rng.normal(0, rng.choice([0.02, 0.06, 0.12, 0.3]), 3), 0, 1)


def draw_background(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A made-up place: a gradient with walls, panes, blobs, lines and letters, blurred as if out of focus."""
    kind = rng.choice(["plain", "scene", "busy", "dark"], p=[0.15, 0.45, 0.25, 0.15])
    corners = np.stack([_colour(rng) for _ in range(4)]).reshape(2, 2, 3)
    if kind in ("plain", "dark"):
        corners = corners[:1, :1] * 0.75 + corners * 0.25
    image: np.ndarray = cv2.resize(corners.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    if kind == "dark":
        image = image * rng.uniform(0.05, 0.35)
    canvas = np.ascontiguousarray(image * 255).astype(np.uint8)  # letters are drawn on bytes only
    size = max(height, width)
    for _ in range({"plain": 1, "dark": 4}.get(kind, int(rng.integers(6, 40)))):
        colour = (_colour(rng) * 255 * (0.4 if kind == "dark" else 1)).tolist()
        at = (rng.uniform(-0.1, 1.1, 2) * (width, height)).astype(int)
        span = (np.exp(rng.uniform(math.log(0.02), math.log(0.7), 2)) * size).astype(int) + 1
        shape = rng.choice(["pane", "blob", "line", "letters", "poly"])
        if shape == "pane":
            corner = tuple((at + span).tolist())
            cv2.rectangle(canvas, tuple(at.tolist()), corner, colour, -1 if rng.random() < 0.8 else 3)
        elif shape == "blob":
            cv2.ellipse(
                canvas, tuple(at.tolist()), tuple((span // 2).tolist()), rng.uniform(0, 180), 0, 360, colour, -1
            )
        elif shape == "line":
            end = at + rng.normal(0, size * 0.6, 2).astype(int)
            cv2.line(canvas, tuple(at.tolist()), tuple(end.tolist()), colour, int(rng.integers(1, max(2, size // 24))))
        elif shape == "letters":
            text = "".join(chr(rng.integers(65, 91)) for _ in range(rng.integers(2, 9)))
            scale = rng.uniform(0.2, 2.0) * size / 256
            cv2.putText(canvas, text, tuple(at.tolist()), int(rng.integers(0, 8)), scale, colour,
                        max(1, int(scale * rng.uniform(1, 4))), cv2.LINE_AA)  # fmt: skip
        else:
            hull = (at + rng.normal(0, span.mean(), (int(rng.integers(3, 7)), 2))).astype(np.int32)
            cv2.fillPoly(canvas, [hull], colour, cv2.LINE_AA)
    place: np.ndarray = canvas.astype(np.float32)
    if rng.random() < 0.5:
        cells = int(rng.integers(4, 40))
        mottle = cv2.resize(rng.normal(0, rng.uniform(2, 18), (cells, cells)).astype(np.float32), (width, height))
        place = place + mottle[..., None]
    place = np.clip(place, 0, 255)
    blur = rng.choice([0.4, rng.uniform(0.8, 3), rng.uniform(3, 12)]) * size / 256
    place = cv2.GaussianBlur(place, (0, 0), float(blur))
    return np.clip(place / 255, 0, 1) ** GAMMA


def occlude(
    image: np.ndarray, points: np.ndarray, skin: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Put something in front of some of the `points` (n, 2): a microphone, fingers or a thing of one colour.

    Returns the image and what the thing covers, (height, width) 0..1.
    """
    height, width = image.shape[:2]
    cover = np.zeros((height, width), np.uint8)
    tint = np.zeros((height, width, 3), np.float32)
    span = float(np.ptp(points, axis=0).max())
    target = points[rng.integers(len(points))] + rng.normal(0, 0.08, 2) * span
    shift = 4  # fixed-point bits

    def fixed(p):
        return tuple(np.round(np.asarray(p) * (1 << shift)).astype(int).tolist())

    kind = rng.choice(["microphone", "fingers", "thing"], p=[0.35, 0.3, 0.35])
    if kind == "microphone":
        head = span * rng.uniform(0.08, 0.22)
        away = np.array([rng.normal(0, 0.7), rng.uniform(0.5, 1)])
        away /= np.linalg.norm(away)
        colour = rng.uniform(0.0, 0.25) * np.ones(3) if rng.random() < 0.7 else rng.uniform(0, 0.8, 3)
        cv2.line(
            cover, fixed(target), fixed(target + away * span * 3), 255, max(1, int(head * 0.9)), cv2.LINE_AA, shift
        )
        cv2.circle(cover, fixed(target), int(head * (1 << shift)), 255, -1, cv2.LINE_AA, shift)
        tint[:] = colour
        grille = rng.normal(1, 0.2, (height, width)).astype(np.float32)
        tint *= grille[..., None]
    elif kind == "fingers":
        away = np.array([rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 1), rng.uniform(0.2, 1.2)])
        away /= np.linalg.norm(away)
        beside = np.array([-away[1], away[0]])
        thick = span * rng.uniform(0.09, 0.14)
        shade = np.zeros((height, width), np.uint8)
        for k in range(int(rng.integers(1, 5))):
            tip = target + beside * thick * 1.05 * k + away * span * rng.uniform(0, 0.12)
            bend = tip + away * span * rng.uniform(0.3, 0.5) + beside * rng.normal(0, 0.05) * span
            wrist = target + away * span * 1.6 + beside * thick * 1.5
            for start, end in ((tip, bend), (bend, wrist)):
                cv2.line(cover, fixed(start), fixed(end), 255, max(1, int(thick)), cv2.LINE_AA, shift)
                cv2.line(shade, fixed(start), fixed(end), 255, max(1, int(thick * 0.5)), cv2.LINE_AA, shift)
        soft = cv2.GaussianBlur(shade, (0, 0), max(0.5, thick * 0.25)).astype(np.float32) / 255
        tint[:] = skin
        tint *= (0.55 + 0.45 * soft)[..., None]
    else:
        colour = _colour(rng)
        size = span * np.exp(rng.uniform(math.log(0.1), math.log(0.6), 2))
        if rng.random() < 0.5:
            box = cv2.boxPoints((tuple(map(float, target)), tuple(map(float, size)), float(rng.uniform(0, 180))))
            cv2.fillConvexPoly(cover, box.astype(np.int32), 255, cv2.LINE_AA)
        else:
            half = tuple(map(int, size / 2 + 1))
            cv2.ellipse(cover, tuple(map(int, target)), half, rng.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA)
        left, right = rng.uniform(0.6, 1.3, 2)
        ramp = np.linspace(left, right, width, dtype=np.float32)[None, :, None]
        tint[:] = colour * ramp
    amount = cover.astype(np.float32)[..., None] / 255
    light = np.clip(image.mean() * 2.2, 0.15, 1.2)
    return image * (1 - amount) + amount * np.clip(tint, 0, 1) ** GAMMA * light, amount[..., 0]
