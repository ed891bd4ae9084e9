"""The parametric head: identity, expression, ears, gaze and its 68 + 2 x 55 landmarks.

The asset (`asset/PROVENANCE.md`) is a MakeHuman head of 5,772 vertices with displacement shapes, all CC0. A person is a
weighted sum of shapes, the ears are varied further on their grid of rings and spokes, and one Catmull-Clark step
(Catmull and Clark, 1978) makes the surface smooth. Units: decimetres; X to the subject's left, Y up, Z out of the face.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import scipy.sparse as sparse

from data.lines import line_directions
from data.schemes import EAR, reference_shape

ASSET = Path(__file__).parent / "asset"
SIDES = ("left", "right")  # the subject's own
HIDDEN_PARTS = ("hair_long", "hair_fringe", "lash_lower")  # coarse sheets of the asset: paint and hair.py do better

# Spread of the detail shapes by group: heads differ less from the average than the artists' extremes do.
GROUP_SCALE = {"asym": 0.5, "neck": 0.5, "head": 0.5, "forehead": 0.6}
# Where the average of the drawn heads lies off the asset's: its noses are long, its lower faces short and its lips full
# against 888 near-frontal images of real people (medians of nose base, chin and lips in outer-eye distances).
SHIFTED_MEAN = {"nose/nose-trans-up": 0.4, "nose/nose-scale-vert-decr": 0.25, "chin/chin-height-incr": 0.09,
                "mouth/mouth-scale-vert-decr": 0.4}  # fmt: skip
EAR_OUTLINE = range(1, 18)  # ear landmarks of the rim, from above its root to the lobe
# How far outside their lines annotators click, in diagonals of the ear's box. So far inside the points of five images
# of ibug-ears lay a network that had learned the lines themselves (`python -m utils.offsets`).
CLICKED_OUTSIDE = {"outer_helix": 0.011, "inner_helix": 0.009, "tragus_concha": 0.006}
OUTLINE_RINGS = np.arange(-1, 1.51, 0.25)  # of the ear's grid: over the rim, from behind it to its crest and over
EAR_OUTLINE_SCALE = 0.3  # pointed, square, triangular: at full strength an elf


def subdivision(triangles: np.ndarray, count: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    """One Catmull-Clark step over a mesh of quads, as a matrix.

    `triangles` (2 Q, 3): triangles 2i and 2i + 1 are quad [a, b, c], [a, c, d]. Returns the matrix (F, count) that maps
    coarse vertex columns to fine ones, whose first `count` rows are the old vertices, and the fine triangles (8 Q, 3);
    fine triangle k lies in quad k // 8.
    """
    quads = np.concatenate([triangles[0::2], triangles[1::2, 2:]], axis=1)
    number = len(quads)
    corners = np.stack([quads, np.roll(quads, -1, axis=1)], axis=2)
    edges, edge_of, faces = np.unique(
        np.sort(corners.reshape(-1, 2), axis=1), axis=0, return_inverse=True, return_counts=True
    )
    edge_of = edge_of.reshape(number, 4)

    def matrix(rows, columns, width):
        height = {id(quads): number, id(edges): len(edges)}[id(rows)]
        return sparse.csr_matrix(
            (np.ones(rows.size), (np.repeat(np.arange(height), rows.shape[1]), columns.ravel())), shape=(height, width)
        )

    to_face = matrix(quads, quads, count) / 4
    middle = matrix(edges, edges, count) / 2
    edge_faces = sparse.csr_matrix(
        (np.ones(4 * number), (edge_of.ravel(), np.repeat(np.arange(number), 4))), shape=(len(edges), number)
    )
    rim = faces == 1
    inner_edge = sparse.diags(np.where(rim, 0.0, 0.5))
    to_edge = sparse.diags(np.where(rim, 1.0, 0.5)) @ middle + inner_edge @ (edge_faces @ to_face) / 2

    ends = sparse.csr_matrix(
        (np.ones(edges.size), (edges.ravel(), np.repeat(np.arange(len(edges)), 2))), shape=(count, len(edges))
    )
    faces_round = sparse.csr_matrix(
        (np.ones(quads.size), (quads.ravel(), np.repeat(np.arange(number), 4))), shape=(count, number)
    )
    valence = np.maximum(np.asarray(faces_round.sum(axis=1)).ravel(), 1)
    on_rim = np.zeros(count, dtype=bool)
    on_rim[edges[rim]] = True
    used = np.asarray(faces_round.sum(axis=1)).ravel() > 0
    inside, border, loose = used & ~on_rim, used & on_rim, ~used
    # Inner vertex: (Q + 2 R + (n - 3) P) / n, with Q the mean face point, R the mean edge middle, n the valence.
    inner = sparse.diags(inside / valence) @ (
        sparse.diags(1 / valence) @ faces_round @ to_face
        + 2 * sparse.diags(1 / valence) @ ends @ middle
        + sparse.diags(valence - 3)
    )
    # Vertex on the mesh's rim: half of itself and a quarter of each neighbouring rim edge's middle.
    edge_weight = sparse.diags(rim.astype(float))
    outer = sparse.diags(border * 1.0) @ (sparse.identity(count) / 2 + ends @ edge_weight @ middle / 4)
    to_vertex = inner + outer + sparse.diags(loose * 1.0)

    face_row = count + len(edges) + np.arange(number)
    after = count + edge_of
    before = np.roll(after, 1, axis=1)
    fine = np.stack([quads, after, np.broadcast_to(face_row[:, None], quads.shape), before], axis=2).reshape(-1, 4)
    fine_triangles = np.stack([fine[:, [0, 1, 2]], fine[:, [0, 2, 3]]], axis=1).reshape(-1, 3)
    return sparse.vstack([to_vertex, to_edge, to_face]).tocsr().astype(np.float32), fine_triangles


@dataclass(frozen=True)
class SurfacePoints:
    """Landmarks as surface points: `corners` (n, k) vertex indices and their `weights` (n, k), which sum to 1.

    A triangle (k = 3) gives barycentric weights, a cell of an ear's grid (k = 4) bilinear ones.
    """

    corners: np.ndarray
    weights: np.ndarray

    def on(self, vertices: np.ndarray) -> np.ndarray:
        """Their places (n, 3) on a surface of these vertices."""
        return (vertices[self.corners] * self.weights[..., None]).sum(axis=1)


@dataclass
class Person:
    """One head: fine `vertices` (F, 3) and, for each eye, its centre (3,), radius and gaze direction (3,)."""

    vertices: np.ndarray
    eyes: list[tuple[np.ndarray, float, np.ndarray]]
    gender: float
    age: float


class HeadModel:
    """The asset, its smooth surface and its landmarks. Arrays are shared: do not write to them.

    `fine` False leaves the step of subdivision out of the mesh, but not out of the places of its vertices: a quarter of
    the triangles, for drafts, with landmarks in the same places.
    """

    def __init__(self, fine: bool = True):
        with np.load(ASSET / "head_model.npz", allow_pickle=False) as data:
            self.vertices = data["vertices"]
            self.coarse_triangles = data["triangles"]
            self.eye_vertices = data["eye_vertices"]
            self.identity = data["identity"].astype(np.float32)
            self.identity_names = data["identity_names"].tolist()
            self.identity_axes = data["identity_axes"]
            self.identity_mirror = data["identity_mirror"]
            self.expression = data["expression"].astype(np.float32)
            self.expression_names = data["expression_names"].tolist()
            part_names = data["part_names"].tolist()
            quad_part = data["part"][0::2]
            masks = data["masks"].astype(np.float32).T / 255
            mask_names = data["mask_names"].tolist()
        self.refine, triangles = subdivision(self.coarse_triangles, len(self.vertices))
        if not fine:
            self.refine, triangles = self.refine[: len(self.vertices)], self.coarse_triangles
        part = np.repeat(quad_part, len(triangles) // len(quad_part))
        shown = ~np.isin(part, [part_names.index(name) for name in HIDDEN_PARTS])
        self.triangles, self.part = triangles[shown], part[shown]
        self.part_id = {name: k for k, name in enumerate(part_names)}
        self.rest = self.refine @ self.vertices
        fine_masks = np.clip(self.refine @ masks, 0, 1)
        self.masks = {name: np.ascontiguousarray(fine_masks[:, k]) for k, name in enumerate(mask_names)}
        inside = np.isin(self.part, [self.part_id[name] for name in ("mouth_inside", "teeth", "tongue", "eye")])
        self.openness = self.masks["occlusion"].copy()  # baked with the mouth shut: let some light into an open one
        within = np.unique(self.triangles[inside])
        self.openness[within] = np.maximum(self.openness[within], 0.4)
        corners, faces = self.triangles.ravel(), np.repeat(np.arange(len(self.triangles)), 3)
        self._face_sum = sparse.csr_matrix(
            (np.ones(len(corners), np.float32), (corners, faces)), shape=(len(self.rest), len(self.triangles))
        )
        neighbours = sparse.csr_matrix(
            (np.ones(len(corners), np.float32), (corners, np.roll(self.triangles, 1, axis=1).ravel())),
            shape=(len(self.rest), len(self.rest)),
        )
        neighbours.data[:] = 1
        self._mean = (sparse.diags(1 / np.maximum(np.asarray(neighbours.sum(axis=1)).ravel(), 1)) @ neighbours).tocsr()
        self._mean = self._mean.astype(np.float32)
        self.fine_eyes = [np.unique(triangles[np.isin(triangles[:, 0], eye)]) for eye in self.eye_vertices]

        notes = json.loads((ASSET / "landmarks.json").read_text(encoding="utf-8"))
        self.face = self._surface_points(notes["face68"])
        self.jaw_paths = [self._surface_points(path) for path in notes["jaw_slide"]]
        self.ear_grids = {side: np.array(notes[f"ear_grid_{side}"]) for side in SIDES}
        self.first_ring = notes["ear_grid_first_ring"]
        ear = np.array(notes["ear55_ring_spoke"])
        self.ears = {side: self._on_ear_grid(side, ear) for side in SIDES}
        self._helix_paths = {
            side: [
                self._on_ear_grid(side, np.column_stack([OUTLINE_RINGS, np.full(len(OUTLINE_RINGS), ear[k, 1])]))
                for k in EAR_OUTLINE
            ]
            for side in SIDES
        }

    def _on_ear_grid(self, side: str, places: np.ndarray) -> SurfacePoints:
        """Places (n, 2) of an ear's grid, ring and spoke as in `_vary_ear`, with fractions between its lines."""
        grid = self.ear_grids[side]
        ring, spoke = places[:, 0] - self.first_ring, places[:, 1]
        i, j = np.minimum(ring.astype(int), len(grid) - 2), spoke.astype(int)
        a, b, after = ring - i, spoke - j, (j + 1) % grid.shape[1]
        corners = np.stack([grid[i, j], grid[i + 1, j], grid[i + 1, after], grid[i, after]], axis=1)
        weights = np.stack([(1 - a) * (1 - b), a * (1 - b), a * b, (1 - a) * b], axis=1)
        return SurfacePoints(corners, weights.astype(np.float32))

    def _surface_points(self, entries: list[dict]) -> SurfacePoints:
        corners = self.coarse_triangles[[entry["triangle"] for entry in entries]]
        return SurfacePoints(corners, np.array([entry["bary"] for entry in entries], dtype=np.float32))

    def normals(self, vertices: np.ndarray) -> np.ndarray:
        """Unit normals (F, 3) of the fine surface, area-weighted."""
        a, b, c = (vertices[self.triangles[:, k]] for k in range(3))
        total = self._face_sum @ np.cross(b - a, c - a)
        return total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-12)

    def cavities(self, vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """How open (F,) each vertex lies against its surroundings: below 1 in folds, above 1 on ridges.

        The baked occlusion is the average head's; the folds of this ear and these lids are their own.
        """
        mean, open_ = vertices, np.ones(len(vertices), np.float32)
        for step in range(1, 10):
            mean = self._mean @ mean
            if step in (3, 9):
                depth = ((mean - vertices) * normals).sum(axis=1)
                open_ *= np.clip(1 - depth / (0.03 if step == 3 else 0.06), 0.45, 1.25)
        return open_

    def draw_person(self, rng: np.random.Generator, variety: float = 1.0) -> Person:
        """A random person with a random expression; `variety` scales how far shapes stray from the average."""
        weights, gender, age = self._draw_identity(rng, 0.3 * variety)
        coarse = self.vertices + _weighted_sum(weights, self.identity)
        for side in SIDES:
            self._vary_ear(coarse, side, np.random.default_rng(rng.integers(1 << 31)), variety)
        coarse += _weighted_sum(self._draw_expression(rng), self.expression)
        vertices = (self.refine @ coarse).astype(np.float32)
        eyes = []
        for eye, mine in zip(self.eye_vertices, self.fine_eyes, strict=True):
            shell = coarse[eye]
            centre = (shell.min(axis=0) + shell.max(axis=0)) / 2
            radius = float(np.linalg.norm(shell - centre, axis=1).mean())
            ray = vertices[mine] - centre  # smoothing shrinks a ball of 72 vertices: make it round again
            vertices[mine] = centre + ray / np.linalg.norm(ray, axis=1, keepdims=True) * radius
            front = eye[np.argsort(-self.vertices[eye, 2])[:8]]  # the ring round the gaze axis
            gaze = coarse[front].mean(axis=0) - centre
            eyes.append((centre, radius, gaze / np.linalg.norm(gaze)))
        return Person(vertices, eyes, gender, age)

    def _draw_identity(self, rng: np.random.Generator, spread: float) -> tuple[np.ndarray, float, float]:
        """Weights (shapes,) of the identity shapes, gender in -1..1 (male 1), age in -1 (child) to 1 (old)."""
        names = self.identity_names
        at = {name: k for k, name in enumerate(names)}
        weights = np.zeros(len(names), dtype=np.float32)
        gender = float(np.clip(rng.choice([-0.8, 0.8]) + rng.normal(0, 0.3), -1, 1))
        weights[at["macro/gender"]] = gender
        for race, fraction in zip(("african", "asian", "caucasian"), rng.dirichlet([0.4] * 3), strict=True):
            weights[at[f"macro/{race}"]], weights[at[f"macro/{race}_x_gender"]] = fraction, fraction * gender
        age = float(rng.uniform(0, 1)) if rng.random() < 0.88 else -float(rng.uniform(0, 0.8))
        kind = "old" if age > 0 else "child"
        weights[at[f"macro/{kind}"]] = abs(age) * 0.95
        weights[at[f"macro/{kind}_x_gender"]] = abs(age) * 0.95 * gender
        values = rng.normal(0, spread, len(self.identity_axes))
        for axis, mirror in enumerate(self.identity_mirror):
            if mirror < axis:  # left and right vary together, nearly
                values[axis] = values[mirror] + rng.normal(0, 0.15 * spread)
        for (low, high), value in zip(self.identity_axes, values.clip(-1.3, 1.3), strict=True):
            name = names[high]
            group = name.split("/")[0]
            value += SHIFTED_MEAN.get(name, 0.0) - (SHIFTED_MEAN.get(names[low], 0.0) if low >= 0 else 0.0)
            if group == "macro" and not name.startswith(("macro/weight", "macro/muscle")):
                continue
            value *= EAR_OUTLINE_SCALE if "ear-shape" in name else GROUP_SCALE.get(group, 1.0)
            if value >= 0:
                weights[high] = value
            elif low >= 0:
                weights[low] = -value
        return weights, gender, age

    def _draw_expression(self, rng: np.random.Generator) -> np.ndarray:
        """Weights (units,) in 0..1: a still or talking or smiling face, blinks, and a gaze shared by both eyes."""
        at = {name: k for k, name in enumerate(self.expression_names)}
        weights = np.zeros(len(at), dtype=np.float32)
        skipped = ("eyeBlink", "eyeLook", "mouthClose", "tongueOut", "jaw")
        lively = rng.choice([0.03, 0.1, 0.2])
        for name, k in at.items():
            if not name.startswith(skipped) and rng.random() < lively:
                weights[k] = rng.uniform(0, 0.35 if name.startswith(("eye", "browDown")) else 0.6)
        for left in (name for name in at if name.endswith("Left")):  # mostly symmetric
            right = left.removesuffix("Left") + "Right"
            if right in at and left not in ("mouthLeft", "jawLeft") and rng.random() < 0.75:
                weights[at[right]] = weights[at[left]] * rng.uniform(0.7, 1.1)
        if rng.random() < 0.5:
            weights[at["jawOpen"]] = rng.beta(1, 2.5) * 0.9
        if rng.random() < 0.4:
            weights[at["mouthSmileLeft"]] = weights[at["mouthSmileRight"]] = rng.uniform(0.1, 0.9)
            weights[at["jawOpen"]] = rng.uniform(0, 0.3)  # many a smile shows the teeth
            weights[at["mouthUpperUpLeft"]] = weights[at["mouthUpperUpRight"]] = rng.uniform(0, 0.5)
        if rng.random() < 0.08:  # laughter
            weights[at["jawOpen"]] = rng.uniform(0.3, 0.9)
            weights[at["mouthSmileLeft"]] = weights[at["mouthSmileRight"]] = rng.uniform(0.4, 1.0)
            weights[at["mouthUpperUpLeft"]] = weights[at["mouthUpperUpRight"]] = rng.uniform(0.2, 0.7)
            weights[at["eyeSquintLeft"]] = weights[at["eyeSquintRight"]] = rng.uniform(0.2, 0.9)
        if rng.random() < 0.15:
            weights[at[rng.choice(["jawLeft", "jawRight", "jawForward"])]] = rng.uniform(0, 0.5)
        for one, other in (("mouthLeft", "mouthRight"), ("mouthSmileLeft", "mouthFrownLeft")):
            weights[at[other]] *= weights[at[one]] == 0
        blink = abs(rng.normal(0, 0.12)) if rng.random() < 0.85 else rng.uniform(0, 1)
        across, up = rng.normal(0, 0.3), rng.normal(-0.1, 0.25)
        for side, inward in (("Left", -1), ("Right", 1)):
            weights[at[f"eyeBlink{side}"]] = blink
            weights[at[f"eyeLook{'In' if across * inward > 0 else 'Out'}{side}"]] = min(abs(across), 0.9)
            weights[at[f"eyeLook{'Up' if up > 0 else 'Down'}{side}"]] = min(abs(up), 0.9)
        return weights

    def _vary_ear(self, coarse: np.ndarray, side: str, rng: np.random.Generator, variety: float) -> None:
        """Vary one ear of `coarse` (vertices, 3) in place, on its grid of rings (rim to concha) and spokes (angle).

        Every landmark lies at a (ring, spoke) of this grid and moves with it, so it stays on the ridge that it names.
        """
        grid = self.ear_grids[side]
        rings, spokes = grid.shape
        sign = 1 if side == "left" else -1
        ring = (np.arange(rings) + self.first_ring)[:, None] * np.ones(spokes)
        spoke = np.ones(rings)[:, None] * np.arange(spokes)
        angle = spoke * 2 * np.pi / spokes
        points = coarse[grid]
        centre = points[8 - self.first_ring :].mean(axis=(0, 1))
        size = np.ptp(points[-self.first_ring], axis=0)[1] / 0.55  # 1 for the average ear
        rooted = np.clip((ring - self.first_ring) / (1 - self.first_ring), 0, 1)  # 0 where the ear meets the head

        def draw(low, high):
            middle, half = (low + high) / 2, (high - low) / 2
            return middle + half * np.clip(rng.normal(0, 0.6) * variety, -1.3, 1.3)

        def bump(at_ring, wide, at_spoke, long):
            apart = (spoke - at_spoke + spokes / 2) % spokes - spokes / 2
            return np.exp(-(((ring - at_ring) / wide) ** 2) - (apart / long) ** 2)

        radial = points - centre
        radial[..., 0] = 0
        outline = sum(
            rng.normal(0, 0.055 / order) * variety * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
            for order in (1, 2, 3, 4)
        )
        # Full behind, above and below, as annotated ears are: the base mesh runs straight from there to the lobe.
        outline += draw(0.0, 0.08) * bump(0, 6, 2.2, 1.8) + draw(0.0, 0.16) * bump(0, 6, 9.2, 2.4)
        moved = points + radial * (outline * rooted)[..., None]
        inward = -radial / (np.linalg.norm(radial, axis=-1, keepdims=True) + 1e-6)
        # The helix: how far it folds over, as a whole and along its course.
        course = np.clip(1 + 0.5 * np.cos(angle - rng.uniform(-1, 1)), 0, None)
        fold = draw(-0.012, 0.03) * np.exp(-(((ring - 2) / 1.2) ** 2)) * course * (1 - bump(2, 9, 13, 3))
        moved += inward * (fold * size)[..., None]
        lateral = draw(-0.01, 0.03) * np.exp(-(((ring - 1) / 1.1) ** 2)) * course
        # Folds between helix and concha: scapha, antihelix with its two crura, the hollow between them.
        upper = np.clip(np.cos(angle - 2 * np.pi * 4 / 24) * 0.7 + 0.6, 0, 1)
        lateral += draw(-0.05, 0.015) * np.exp(-(((ring - 3) / 0.9) ** 2)) * upper
        lateral += draw(-0.01, 0.05) * np.exp(-(((ring - 4.8) / 1.3) ** 2)) * upper
        lateral += draw(-0.05, 0.01) * bump(5.8, 1.3, 0.0, 2.2)
        lateral += draw(-0.01, 0.03) * bump(7.5, 1.0, 0.5, 2.5)
        lateral += draw(-0.07, 0.03) * np.clip((ring - 7) / 2, 0, 1)
        # Tragus and antitragus.
        tragus = bump(3.6, 1.6, 16.2, 1.8)
        lateral += draw(-0.01, 0.05) * tragus
        moved[..., 2] -= draw(-0.015, 0.045) * tragus * size
        antitragus = bump(6.0, 1.8, 12.8, 1.6)
        lateral += draw(-0.01, 0.04) * antitragus
        moved[..., 1] += draw(-0.005, 0.03) * antitragus * size
        # The lobe: long or short, free (its end hangs below its root) or grown to the cheek.
        lobe = bump(0.5, 2.5, 12.3, 2.4)
        moved[..., 1] -= draw(-0.07, 0.07) * lobe * size
        attached = draw(-0.02, 0.05)
        moved[..., 2] += attached * bump(0, 2.5, 13.5, 1.8) * size
        moved[..., 1] -= attached * bump(-1, 2, 14.3, 1.3) * size
        for _ in range(6):  # and what has no name
            wave = np.cos(rng.integers(0, 4) * angle + rng.uniform(0.2, 0.7) * ring + rng.uniform(0, 2 * np.pi))
            lateral += rng.normal(0, 0.006) * variety * wave
        # A broad rim, as most ears have: its outer edge lies farther out than its crest and its inner edge.
        broad = draw(0.0, 0.03) * np.exp(-(((ring + 0.2) / 0.9) ** 2)) * (1 - bump(0, 9, 13.5, 3.5))
        moved -= inward * (broad * rooted * size)[..., None]
        moved[..., 0] += sign * lateral * rooted * size
        coarse[grid] = moved

    def jaw_on_outline(self, vertices: np.ndarray, project) -> np.ndarray:
        """The 68 points (68, 3) as 2-D annotators set them: the far jaw of a turned head slides to its visible outline.

        `project` maps places (n, 3) to pixels (n, 2).
        """
        points = self.face.on(vertices)
        down = np.subtract(*project(np.array([[0, -0.5, 0.5], [0, 0.5, 0.5]], np.float32)))
        across = np.array([down[1], -down[0]])  # not from eye to eye: in a profile they lie behind each other
        for k, path in enumerate(self.jaw_paths):
            choice = path.on(vertices)
            outward = project(choice) @ across * (1 if k > 8 else -1)
            points[k] = choice[outward.argmax()]
        return points

    def ear_on_outline(self, side: str, vertices: np.ndarray, project: Callable) -> np.ndarray:
        """An ear's 55 points (55, 3) as 2-D annotators set them: the helix on the ear's outline, whoever looks.

        `project` maps places (n, 3) to pixels (n, 2). Each point of the outline slides over the rim along its spoke.
        """
        points = self.ears[side].on(vertices)
        pixels = project(points)
        line = pixels[: EAR_OUTLINE.stop + 1]
        along = np.gradient(line, axis=0)
        across = np.column_stack([along[:, 1], -along[:, 0]])
        across *= np.sign(((line - pixels.mean(axis=0)) * across).sum())  # outwards
        for k, path in zip(EAR_OUTLINE, self._helix_paths[side], strict=True):
            choice = path.on(vertices)
            points[k] = choice[(project(choice) @ across[k]).argmax()]
        return points


def ear_as_clicked(points: np.ndarray) -> np.ndarray:
    """An ear's points (55, 2) in pixels, moved from the lines of the head to where annotators of ibug-ears click."""
    distances = np.array([CLICKED_OUTSIDE.get(EAR.group_of(k).name, 0.0) for k in range(EAR.count)])
    shapes = np.stack([points, reference_shape(EAR)]).astype(np.float64)
    along, outwards = line_directions(shapes, EAR)
    # Of an ear seen from the front the inner lines hardly say which side is outside: the outer helix does.
    turns = np.sign(along[..., 0] * outwards[..., 1] - along[..., 1] * outwards[..., 0])
    outwards[0] *= (turns[0] * turns[1] * turns[0, 0] * turns[1, 0])[:, None]
    moved = points + outwards[0] * (distances * np.linalg.norm(np.ptp(points, axis=0)))[:, None]
    return moved.astype(points.dtype)


def _weighted_sum(weights: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Sum of shapes (shapes, vertices, 3) by their weights, most of which are 0."""
    used = np.flatnonzero(weights)
    return np.tensordot(weights[used], shapes[used], 1)


@cache
def head_model(fine: bool = True) -> HeadModel:
    """The head model, read once a process."""
    return HeadModel(fine)
