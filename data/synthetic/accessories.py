"""What people wear on their heads, as meshes: glasses, earrings, hats, headphones."""

from __future__ import annotations

import numpy as np

from data.synthetic.hair import CENTRE, Skull, unit
from data.synthetic.head import SIDES, HeadModel
from data.synthetic.render import Mesh


def _grid(points: np.ndarray, colour, gloss: float, close_rows: bool = False, close_columns: bool = False) -> Mesh:
    """A surface through a grid of places (rows, columns, 3)."""
    rows, columns = points.shape[:2]
    r, c = np.arange(rows if close_rows else rows - 1), np.arange(columns if close_columns else columns - 1)
    r, c = (a.ravel() for a in np.meshgrid(r, c, indexing="ij"))
    corner = [(r + i) % rows * columns + (c + j) % columns for i, j in ((0, 0), (0, 1), (1, 1), (1, 0))]
    triangles = np.concatenate(
        [np.stack([corner[0], corner[1], corner[2]], 1), np.stack([corner[0], corner[2], corner[3]], 1)]
    )
    flat = points.reshape(-1, 3).astype(np.float32)
    a, b, c = (flat[triangles[:, k]] for k in range(3))
    normals = np.zeros_like(flat)
    for k in range(3):
        np.add.at(normals, triangles[:, k], np.cross(b - a, c - a))
    outward = unit(normals)
    if ((flat - flat.mean(axis=0)) * outward).sum() < 0:
        outward = -outward
    colours = np.broadcast_to(np.asarray(colour, np.float32), flat.shape).astype(np.float32)
    return Mesh(flat, triangles, colours, outward, gloss)


def tube(path: np.ndarray, radius, colour, gloss: float = 0.3, closed: bool = False, sides: int = 6) -> Mesh:
    """A tube of `radius` decimetres round a path (n, 3)."""
    along = unit(np.roll(path, -1, 0) - np.roll(path, 1, 0)) if closed else unit(np.gradient(path, axis=0))
    guide = np.array([0.3, 0.9, 0.2])
    first = unit(np.cross(along, guide))
    second = np.cross(along, first)
    turn = np.arange(sides) * 2 * np.pi / sides
    ring = np.cos(turn)[:, None] * first[:, None] + np.sin(turn)[:, None] * second[:, None]
    radius = np.broadcast_to(radius, len(path))[:, None, None]
    mesh = _grid(path[:, None] + ring * radius, colour, gloss, close_rows=closed, close_columns=True)
    return Mesh(mesh.vertices, mesh.triangles, mesh.colours, ring.reshape(-1, 3).astype(np.float32), gloss)


def ball(centre: np.ndarray, radius: float, colour, gloss: float = 0.5) -> Mesh:
    """A sphere."""
    theta, phi = np.meshgrid(np.linspace(0, np.pi, 7), np.arange(10) * 2 * np.pi / 10, indexing="ij")
    ray = np.stack([np.sin(theta) * np.cos(phi), np.cos(theta), np.sin(theta) * np.sin(phi)], axis=-1)
    return _grid(centre + radius * ray, colour, gloss, close_columns=True)


def glasses(model: HeadModel, vertices: np.ndarray, rng: np.random.Generator) -> list[Mesh]:
    """Two rims, a bridge, arms to the ears, and lenses: clear, tinted or dark."""
    points = model.face.on(vertices)
    ears = {side: model.ears[side].on(vertices) for side in SIDES}
    eyes = {"right": points[36:42].mean(axis=0), "left": points[42:48].mean(axis=0)}
    apart = np.linalg.norm(eyes["left"] - eyes["right"])
    front = max(points[27][2], points[36:48, 2].max()) + rng.uniform(0.05, 0.12)
    half_wide, half_high = apart * rng.uniform(0.37, 0.44), apart * rng.uniform(0.22, 0.4)
    roundness = rng.choice([2.0, 2.6, 4.0])
    frame = rng.choice(["metal", "dark", "colour", "rimless"], p=[0.35, 0.4, 0.15, 0.1])
    colour = {"metal": (0.55, 0.5, 0.42), "dark": (0.05, 0.045, 0.04), "rimless": (0.6, 0.6, 0.6)}.get(
        frame, tuple(rng.uniform(0.1, 0.6, 3))
    )
    thick = {"metal": 0.010, "dark": rng.uniform(0.015, 0.035), "rimless": 0.004}.get(frame, 0.022)
    wrap, drop = rng.uniform(0.05, 0.2), rng.uniform(-0.06, 0.04)
    kind = rng.choice(["clear", "tinted", "dark"], p=[0.74, 0.1, 0.16])
    alpha = {"clear": rng.uniform(0.02, 0.12), "tinted": rng.uniform(0.25, 0.5), "dark": rng.uniform(0.85, 0.99)}[kind]
    tint = (0.75, 0.8, 0.85) if kind == "clear" else rng.uniform(0.02, 0.3, 3) * (0.5 if kind == "dark" else 1)
    turn = np.arange(28) * 2 * np.pi / 28
    meshes = []
    middle = (eyes["left"] + eyes["right"]) / 2
    outer = {}
    for side, sign in (("left", 1), ("right", -1)):
        cos, sin = np.cos(turn), np.sin(turn)
        x = np.sign(cos) * np.abs(cos) ** (2 / roundness) * half_wide
        y = np.sign(sin) * np.abs(sin) ** (2 / roundness) * half_high
        rim = np.stack([eyes[side][0] + x, np.full_like(y, middle[1] + drop) + y, np.zeros_like(x)], axis=1)
        rim[:, 2] = front - wrap * np.abs(rim[:, 0] - middle[0])
        meshes.append(tube(rim, thick, colour, closed=True))
        hub = rim.mean(axis=0)
        lens = _grid(np.stack([np.broadcast_to(hub, rim.shape), rim]), tint, rng.beta(1, 3) * 1.2, close_columns=True)
        lens.alpha = float(alpha)
        meshes.append(lens)
        edge = rim[np.argmax(rim[:, 0] * sign)] + [0, half_high * 0.4, 0]
        outer[side] = edge
        root = ears[side][0]  # the helix root: the arm rests between it and the head
        end = root + np.array([-sign * 0.02, 0.05, 0.02])
        behind = end + np.array([-sign * 0.02, -0.12, -0.22])
        arm = np.stack([edge, edge + (end - edge) * 0.5, end, end + [0, 0, -0.12], behind])
        meshes.append(tube(arm, np.array([1, 1, 1, 1.1, 1.2]) * max(thick, 0.012), colour))
    right, left = eyes["right"][0] + half_wide, eyes["left"][0] - half_wide
    across = np.linspace(right, left, 7)
    arch = np.sin(np.linspace(0, np.pi, 7)) * 0.03
    bridge = np.stack([across, middle[1] + drop + half_high * 0.25 + arch, np.full(7, front + 0.01) + arch * 0.6], 1)
    meshes.append(tube(bridge, max(thick, 0.008), colour))
    return meshes


def earrings(model: HeadModel, vertices: np.ndarray, rng: np.random.Generator) -> list[Mesh]:
    """Studs, hoops or drops on the lobes, and now and then a stud on the helix."""
    colour = [(0.85, 0.7, 0.35), (0.8, 0.8, 0.82), (0.9, 0.88, 0.85), (0.1, 0.1, 0.12), (0.6, 0.1, 0.2)][
        rng.integers(5)
    ]
    kind = rng.choice(["stud", "hoop", "drop"])
    size = {"stud": rng.uniform(0.018, 0.045), "hoop": rng.uniform(0.05, 0.25), "drop": rng.uniform(0.05, 0.25)}[kind]
    meshes = []
    for side, sign in (("left", 1), ("right", -1)):
        ear = model.ears[side].on(vertices)
        lobe = ear[[15, 16, 17, 39]].mean(axis=0) + [sign * 0.03, 0, 0]
        if kind == "stud":
            meshes.append(ball(lobe, size, colour))
        elif kind == "hoop":
            turn = np.arange(18) * 2 * np.pi / 18
            ring = np.stack(
                [np.sin(turn) * size * 0.25 * sign, np.cos(turn) * size - size, np.sin(turn) * size], axis=1
            )
            meshes.append(tube(lobe + ring, rng.uniform(0.006, 0.016), colour, 0.6, closed=True, sides=5))
        else:
            length = np.linspace(0, size * 2, 5)
            meshes.append(tube(lobe - length[:, None] * [0, 1, 0], 0.006, colour, 0.6))
            meshes.append(ball(lobe - [0, size * 2, 0], size * 0.4, colour))
        if rng.random() < 0.15:
            spot = ear[rng.integers(3, 12)] + [sign * 0.015, 0, 0]
            meshes.append(ball(spot, 0.016, colour))
    return meshes


def hat(model: HeadModel, vertices: np.ndarray, rng: np.random.Generator) -> tuple[list[Mesh], float]:
    """A beanie, a cap with a peak or a hat with a brim, and the height (decimetres) of its lowest edge."""
    skull = Skull(model, vertices, with_ears=False)
    kind = rng.choice(["beanie", "cap", "brim"])
    colour = rng.uniform(0.03, 0.8, 3)
    edge = {"beanie": rng.uniform(0.3, 0.6), "cap": rng.uniform(0.4, 0.7), "brim": rng.uniform(0.45, 0.7)}[kind]
    slant = rng.uniform(-0.1, 0.5)  # the edge sinks towards the neck
    turn = np.arange(40) * 2 * np.pi / 40
    # Rows from the edge to the crown: the edge is a slanted plane, the rest lies on the skull, a little off it.
    ray = np.stack([np.sin(turn), np.zeros_like(turn), np.cos(turn)], axis=1)
    rim_height = edge - CENTRE[1] - slant * 0.5 * (1 - ray[:, 2])
    rows = []
    for fraction in np.linspace(0, 1, 9):
        up = (1 - fraction) * np.arctan2(rim_height, 0.85) + fraction * np.pi / 2
        direction = np.stack([ray[:, 0] * np.cos(up), np.sin(up), ray[:, 2] * np.cos(up)], axis=1)
        room = 0.07 + (0.25 * fraction if kind == "brim" else 0.08 * np.sin(np.pi * fraction))
        rows.append(CENTRE + direction * (skull.at(direction) + room)[:, None])
    crown = np.stack(rows)
    meshes = [_grid(crown, colour, 0.05, close_columns=True)]
    base = crown[0]
    if kind == "cap":
        front = np.flatnonzero(ray[:, 2] > 0.3)
        front = front[np.argsort(np.arctan2(ray[front, 0], ray[front, 2]))]
        reach = rng.uniform(0.4, 0.75) * np.sqrt(np.clip((ray[front, 2] - 0.3) / 0.7, 0, 1))
        outer = base[front] + np.stack([ray[front, 0] * 0, -0.25 * reach, reach], axis=1)
        meshes.append(_grid(np.stack([base[front], outer]), rng.choice([1.0, 0.4]) * colour, 0.05))
    elif kind == "brim":
        outer = base + ray * rng.uniform(0.3, 0.8) + [0, -0.05, 0]
        meshes.append(_grid(np.stack([base, outer]), colour, 0.05, close_columns=True))
    else:
        fold = base + ray * 0.05
        meshes.append(_grid(np.stack([fold, fold + [0, 0.22, 0]]), colour * 0.85, 0.03, close_columns=True))
    return meshes, float(base[:, 1].min())


def headphones(model: HeadModel, vertices: np.ndarray, rng: np.random.Generator) -> list[Mesh]:
    """Cups over the ears, or a buds-sized plug in the concha, and a band over the crown."""
    colour = rng.uniform(0.03, 0.9) * np.ones(3) + rng.normal(0, 0.05, 3)
    meshes = []
    small = rng.random() < 0.4
    ends = []
    for side, sign in (("left", 1), ("right", -1)):
        ear = model.ears[side].on(vertices)
        if small:
            meshes.append(ball(ear[[36, 44]].mean(axis=0) + [sign * 0.01, 0, 0], rng.uniform(0.04, 0.07), colour))
            continue
        middle = ear.mean(axis=0) + [sign * 0.02, 0, 0]
        radius, thick = rng.uniform(0.28, 0.42), rng.uniform(0.1, 0.2)
        turn = np.arange(24) * 2 * np.pi / 24
        disc = np.stack([np.zeros(24), np.cos(turn), np.sin(turn) * 0.85], axis=1)
        profile = ((-0.05, 1.0), (thick, 1.0), (thick + 0.03, 0.8), (thick + 0.03, 0.0))
        cup = np.stack([middle + [sign * out, 0, 0] + disc * radius * wide for out, wide in profile])
        meshes.append(_grid(cup, colour, 0.2, close_columns=True))
        ends.append(middle + [sign * 0.08, radius * 0.6, 0])
    if not small:
        skull = Skull(model, vertices, with_ears=False)
        tilt = np.linspace(0.1, np.pi - 0.1, 21)
        ray = np.stack([np.cos(tilt), np.sin(tilt), np.full(21, rng.uniform(-0.1, 0.1))], axis=1)
        arc = CENTRE + ray * (skull.at(ray) + 0.12)[:, None]
        meshes.append(tube(np.concatenate([ends[:1], arc, ends[1:]]), 0.05, colour))
    return meshes


def torso(model: HeadModel, vertices: np.ndarray, colour: np.ndarray) -> Mesh:
    """A body below the shoulders, where the head's mesh ends."""
    bust = vertices[(model.rest[:, 1] < -1.9) & (np.abs(model.rest[:, 0]) < 1.95)]
    low, high = bust.min(axis=0), bust.max(axis=0)
    middle, half = (low + high) / 2, (high - low) / 2
    turn = np.arange(32) * 2 * np.pi / 32
    rows = []
    for height, wide in ((-1.95, 0.80), (-2.15, 0.94), (-2.4, 1.0), (-3.0, 1.03), (-4.5, 1.0), (-8.0, 1.0)):
        ring = np.stack([np.sin(turn) * half[0] * wide, np.full(32, height), np.cos(turn) * half[2] * wide], axis=1)
        rows.append(ring + [middle[0], 0, middle[2]])
    return _grid(np.stack(rows), colour, 0.02, close_columns=True)
