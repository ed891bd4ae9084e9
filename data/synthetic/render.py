"""A z-buffer renderer in NumPy and OpenCV: perspective camera, sky and lamp with a shadow, textured skin, hair.

Pixel (0, 0) is the centre of the top-left pixel. Colours are 0..1; light is added in linear values and turned into
display values at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np

from data.synthetic.head import HeadModel

GAMMA = 2.2
TILE = 512  # texels of the noise tiles, a power of two
CACHED = 1 << 15  # samples worked on at once: their arrays stay in the processor's cache


@dataclass(frozen=True)
class Camera:
    """A perspective camera that looks along -Z at the turned head.

    - `turn` (3, 3): head axes -> camera axes (X right, Y up, Z towards the camera).
    - `target` (3,): the head place (decimetres) that lands on pixel `centre` (x, y).
    - `scale`: pixels a decimetre at the target; `distance`: decimetres from camera to target.
    """

    turn: np.ndarray
    target: np.ndarray
    centre: tuple[float, float]
    scale: float
    distance: float

    def project(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Head places (n, 3) -> pixels (n, 2) and nearness (n,): `distance` / depth, 1 at the target."""
        relative = (places - self.target) @ self.turn.T.astype(np.float32)
        near = self.distance / np.maximum(self.distance - relative[:, 2], 0.05)
        x = self.centre[0] + relative[:, 0] * near * self.scale
        y = self.centre[1] - relative[:, 1] * near * self.scale
        return np.stack([x, y], axis=1).astype(np.float32), near.astype(np.float32)

    def pixels(self, places: np.ndarray) -> np.ndarray:
        """Head places (n, 3) -> pixels (n, 2)."""
        return self.project(places)[0]

    def finer(self, times: float) -> Camera:
        """The same view on a grid `times` finer: pixel x lands at (x + 0.5) times - 0.5."""
        x, y = ((c + 0.5) * times - 0.5 for c in self.centre)
        return Camera(self.turn, self.target, (x, y), self.scale * times, self.distance)


@dataclass
class Buffer:
    """What each pixel sees: `near` (h, w) nearness (0: nothing), `triangle` (h, w) index (-1: nothing) and `weights`
    (h, w, 3) of the triangle's corners, corrected for perspective.
    """

    near: np.ndarray
    triangle: np.ndarray
    weights: np.ndarray

    @classmethod
    def empty(cls, height: int, width: int) -> Buffer:
        """A buffer that sees nothing."""
        return cls(
            np.zeros((height, width), np.float32),
            np.full((height, width), -1, np.int32),
            np.zeros((height, width, 3), np.float32),
        )


def rasterise(
    buffer: Buffer,
    pixels: np.ndarray,
    near: np.ndarray,
    triangles: np.ndarray,
    first: int = 0,
    two_sided: bool = False,
    keep: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> None:
    """Draw triangles into `buffer` where they are nearer than what it holds.

    `pixels` (n, 2) and `near` (n,) as `Camera.project` gives them, `triangles` (t, 3); triangle k is stored as
    `first` + k. One-sided triangles turned away are skipped. `keep` (triangle numbers, weights) -> bool
    may drop pixels.
    """
    height, width = buffer.near.shape
    corners = pixels[triangles]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    low = np.maximum(np.ceil(np.minimum(np.minimum(a, b), c)), 0)
    high = np.minimum(np.floor(np.maximum(np.maximum(a, b), c)), (width - 1, height - 1))
    faces = np.abs(area) > 1e-6 if two_sided else area < -1e-6  # y points down: a front face runs clockwise
    live = np.flatnonzero(faces & (high[:, 0] >= low[:, 0]) & (high[:, 1] >= low[:, 1]))
    if not len(live):
        return
    low, extent = low[live].astype(np.int32), (high - low)[live].astype(np.int32) + 1
    a, b, c, area = a[live] - low, b[live] - low, c[live] - low, area[live, None]
    # Weights are linear on the screen: value = x * cx + y * cy + c0 from the box's corner.
    second = np.stack([c[:, 1] - a[:, 1], a[:, 0] - c[:, 0]], axis=1) / area
    third = np.stack([a[:, 1] - b[:, 1], b[:, 0] - a[:, 0]], axis=1) / area
    s0, t0 = (-(edge[:, 0] * a[:, 0] + edge[:, 1] * a[:, 1]) for edge in (second, third))
    plane = np.stack([second[:, 0], second[:, 1], s0, third[:, 0], third[:, 1], t0]).astype(np.float32)
    depth = near[triangles[live]].T
    corner = low[:, 1] * width + low[:, 0]
    count = extent[:, 0] * extent[:, 1]
    ends = np.cumsum(count)
    cuts = np.unique(np.searchsorted(ends, np.arange(CACHED, ends[-1], CACHED)))
    nearest, shown, barycentric = buffer.near.reshape(-1), buffer.triangle.reshape(-1), buffer.weights.reshape(-1, 3)
    for start, end in zip([0, *cuts], [*cuts, len(live)], strict=True):
        if start == end:
            continue
        few = slice(start, end)
        row = np.repeat(np.arange(start, end, dtype=np.int32), count[few])
        first_step = ends[few] - count[few]
        step = np.arange(len(row), dtype=np.int32) - np.repeat(first_step - first_step[0], count[few]).astype(np.int32)
        wide = extent[row, 0]
        down = step // wide
        along = step - down * wide
        x, y = along.astype(np.float32), down.astype(np.float32)
        w1 = plane[0, row] * x + plane[1, row] * y + plane[2, row]
        w2 = plane[3, row] * x + plane[4, row] * y + plane[5, row]
        inside = np.flatnonzero((np.minimum(w1, w2) >= -1e-5) & (w1 + w2 <= 1 + 1e-5))
        row, w1, w2 = row[inside], w1[inside], w2[inside]
        pixel = corner[row] + down[inside] * width + along[inside]
        z1, z2 = w1 * depth[1, row], w2 * depth[2, row]
        z0 = (1 - w1 - w2) * depth[0, row]
        nearness = z0 + z1 + z2
        ahead = np.flatnonzero(nearness > nearest[pixel])
        row, pixel, nearness = row[ahead], pixel[ahead], nearness[ahead]
        weights = np.stack([z0[ahead], z1[ahead], z2[ahead]], axis=1) / nearness[:, None]
        if keep is not None:
            kept = np.flatnonzero(keep(live[row], weights))
            row, pixel, nearness, weights = row[kept], pixel[kept], nearness[kept], weights[kept]
        np.maximum.at(nearest, pixel, nearness)
        won = np.flatnonzero(nearness >= nearest[pixel])
        shown[pixel[won]] = first + live[row[won]]
        barycentric[pixel[won]] = weights[won]


@dataclass
class Mesh:
    """A triangle mesh beside the head, of clothes, hair or an accessory, with a colour for each vertex.

    - `vertices` (n, 3) head places, `triangles` (t, 3), `colours` (n, 3), `normals` (n, 3) unit.
    - `strand` (n, 3): across (-1..1) and along (0..1) a lock of hair, whose edges and end fray, and the lock's number;
      None: solid.
    - `alpha`: below 1 it is see-through (a lens) and hides nothing.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    colours: np.ndarray
    normals: np.ndarray
    gloss: float = 0.2
    strand: np.ndarray | None = None
    alpha: float = 1.0


@dataclass
class Light:
    """`sky` (9, 3): irradiance as second-order spherical harmonics a channel (Ramamoorthi and Hanrahan, 2001), plus a
    lamp: unit `direction` (camera axes), `colour` (3,), and how dark its shadow is.
    """

    sky: np.ndarray
    direction: np.ndarray
    colour: np.ndarray
    shadow: float


@dataclass
class Appearance:
    """Colours and make-up of one person: (3,) display values; amounts are 0..1 unless said otherwise."""

    skin: np.ndarray
    hair: np.ndarray
    brow_colour: np.ndarray
    iris: np.ndarray
    hairline: float  # value of the hairline mask where hair begins; above 1: bald
    scalp_cover: float
    lift: float  # decimetres that hair stands off the scalp
    beard: float
    moustache: float
    goatee: float
    stubble: float
    brow: float
    brow_width: float  # decimetres
    lips: np.ndarray
    lip_paint: float
    eye_shadow: float
    eye_liner: float
    lashes: bool
    redness: float
    freckles: float
    wrinkles: float
    mottle: float
    shine: float
    collar: float
    cloth: np.ndarray
    cloth_pattern: float
    suit: float  # decimetres that a shirt shows on either side of the tie; 0: no suit
    shirt: np.ndarray
    tie: np.ndarray
    seed: int = 0


@cache
def noise_tile(kind: str) -> np.ndarray:
    """A tileable (512, 512) float32 image of mean 0 and deviation 1: "cloud" (1/f), "grain", "spots" or "strands"."""
    rng = np.random.default_rng(sum(map(ord, kind)))
    white = np.fft.rfft2(rng.standard_normal((TILE, TILE)))
    fy, fx = np.fft.fftfreq(TILE)[:, None] * TILE, np.fft.rfftfreq(TILE)[None] * TILE
    radius = np.hypot(fx, fy)
    shape = {
        "cloud": 1 / np.maximum(radius, 2) ** 1.3,
        "grain": radius**0.5 * np.exp(-((radius / 120) ** 2)),
        "spots": np.exp(-(((radius - 25) / 12) ** 2)),
        "strands": np.exp(-((fy / 6) ** 2)) * np.exp(-((fx / 110) ** 2)) * (fx > 3),
    }[kind]
    tile = np.fft.irfft2(white * shape, s=(TILE, TILE))
    return ((tile - tile.mean()) / tile.std()).astype(np.float32)


def sample_noise(kind: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Noise (n,) at texels (u, v), each (n,), wrapped round the tile's edges, linearly interpolated."""
    wide = 1024  # cv2.remap takes no row of more than 32,767
    rows = max(1, -(-len(u) // wide))
    grid = np.zeros((2, rows * wide), np.float32)
    grid[0, : len(u)], grid[1, : len(v)] = np.mod(u, TILE), np.mod(v, TILE)
    found = cv2.remap(
        noise_tile(kind), grid[0].reshape(rows, wide), grid[1].reshape(rows, wide), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )  # fmt: skip
    return found.reshape(-1)[: len(u)]


def sky_light(light: Light, normals: np.ndarray) -> np.ndarray:
    """Light (n, 3) that the sky gives to surfaces with these unit normals (n, 3), camera axes."""
    x, y, z = normals.T
    basis = np.stack([np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], axis=1)
    return np.maximum(basis @ light.sky.astype(np.float32), 0.02)


@dataclass
class Scene:
    """Everything that one image shows in three dimensions."""

    vertices: np.ndarray  # (F, 3) of the head, hair lift not yet added
    eyes: list
    appearance: Appearance
    light: Light
    camera: Camera
    meshes: list[Mesh] = field(default_factory=list)


# Columns of the table of vertex attributes.
NORMAL, LIT, PLACE = slice(0, 3), slice(3, 6), slice(6, 9)
OPEN, LIPS, EAR, HAIRLINE, BEARD, WIDTH = 9, 10, 11, 12, 13, 14
LOCK, SOLID = 100, 101  # part numbers beside the asset's own


@dataclass
class View:
    """What the samples of an image see, before any light: enough to tell what is hidden.

    - `size`: pixels a side of the image; `buffer` and `camera` are those of the sample grid.
    - `skin` (F, 3): the head's vertices with the hair's lift, `normals` (F, 3) theirs.
    - `triangles` (t, 3), `parts` (t,), `gloss` (t,): what the buffer's triangle numbers mean; their corners are rows of
      the head's vertices and, after them, those of the `solid` meshes.
    """

    size: int
    buffer: Buffer
    camera: Camera
    skin: np.ndarray
    normals: np.ndarray
    solid: list[Mesh]
    triangles: np.ndarray
    parts: np.ndarray
    gloss: np.ndarray


@dataclass
class Rendering:
    """`colour` (h, w, 3) linear, multiplied by `cover` (h, w); `view`: what the samples see."""

    colour: np.ndarray
    cover: np.ndarray
    view: View


def render(model: HeadModel, scene: Scene, size: int, samples: int) -> Rendering:
    """Draw the scene as (size, size) pixels, from a grid of `samples` x `samples` that may be finer or coarser."""
    return paint(model, scene, trace(model, scene, size, samples))


def trace(model: HeadModel, scene: Scene, size: int, samples: int) -> View:
    """Find what each of `samples` x `samples` samples of a (size, size) image sees."""
    appearance = scene.appearance
    camera = scene.camera.finer(samples / size)
    masks = model.masks
    scalp = np.clip((masks["hairline"] - appearance.hairline) / 0.06 + 0.5, 0, 1) * masks["hair_lift"]
    normals = model.normals(scene.vertices)
    head = scene.vertices + normals * (scalp * appearance.lift)[:, None]
    if appearance.lift > 0:
        normals = model.normals(head)

    buffer = Buffer.empty(samples, samples)
    pixels, near = camera.project(head)
    kept = np.arange(len(model.part))
    if not appearance.lashes:
        kept = np.flatnonzero(model.part != model.part_id["lash_upper"])
    rasterise(buffer, pixels, near, model.triangles[kept])
    triangles, parts, gloss, start = [model.triangles[kept]], [model.part[kept]], [np.zeros(len(kept))], len(head)
    solid = [mesh for mesh in scene.meshes if mesh.alpha >= 1]
    for mesh in solid:
        pixels, near = camera.project(mesh.vertices)
        keep = None if mesh.strand is None else strand_mask(mesh, mesh.strand)
        rasterise(buffer, pixels, near, mesh.triangles, sum(map(len, triangles)), True, keep)
        triangles.append(mesh.triangles + start)
        parts.append(np.full(len(mesh.triangles), SOLID if mesh.strand is None else LOCK, np.uint8))
        gloss.append(np.full(len(mesh.triangles), mesh.gloss))
        start += len(mesh.vertices)
    corners, part, shine = (np.concatenate(each) for each in (triangles, parts, gloss))
    return View(size, buffer, camera, head, normals, solid, corners, part, shine.astype(np.float32))


def paint(model: HeadModel, scene: Scene, view: View) -> Rendering:
    """Light and colour what a view sees."""
    masks, head, solid, buffer = model.masks, view.skin, view.solid, view.buffer
    turn = view.camera.turn
    lit = _lighting(scene, view.normals, head, model.openness * model.cavities(scene.vertices, view.normals), solid)
    table = np.zeros((len(head) + sum(len(mesh.vertices) for mesh in solid), WIDTH), np.float32)
    own = table[: len(head)]
    own[:, NORMAL], own[:, LIT], own[:, PLACE] = view.normals @ turn.T, lit[: len(head)], model.rest
    for column, name in ((OPEN, "occlusion"), (LIPS, "lips"), (EAR, "ear"), (HAIRLINE, "hairline")):
        own[:, column] = masks[name]
    own[:, BEARD] = masks["beard"]
    for (centre, radius, gaze), mine in zip(scene.eyes, model.fine_eyes, strict=True):
        side = np.cross([0.0, 1.0, 0.0], gaze)
        side /= np.linalg.norm(side)
        ray = (scene.vertices[mine] - centre) / radius
        own[mine, PLACE] = ray @ np.stack([side, np.cross(gaze, side), gaze], axis=1)
    start = len(head)
    for mesh in solid:
        rows = slice(start, start + len(mesh.vertices))
        table[rows, NORMAL], table[rows, LIT] = mesh.normals @ turn.T, lit[rows]
        table[rows, PLACE], table[rows, OPEN] = mesh.colours, 1.0
        if mesh.strand is not None:
            table[rows, 10:13] = mesh.strand
        start += len(mesh.vertices)

    colour = _shade(model, scene, view, table)
    cover = (buffer.triangle >= 0).astype(np.float32)
    for mesh in scene.meshes:
        if mesh.alpha < 1:
            _glaze(colour, cover, buffer, view.camera, mesh, scene.light)
    size, samples = view.size, len(cover)
    if samples != size:
        way = cv2.INTER_AREA if samples > size else cv2.INTER_LINEAR
        colour = cv2.resize(colour, (size, size), interpolation=way).astype(np.float32, copy=False)
        cover = cv2.resize(cover, (size, size), interpolation=way).astype(np.float32, copy=False)
    return Rendering(colour, cover, view)


def strand_mask(mesh: Mesh, strand: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Which pixels of a mesh with `strand` are hair: all along a lock's middle, ever fewer towards edges and end."""

    def keep(triangle: np.ndarray, weights: np.ndarray) -> np.ndarray:
        first, second, third = (strand[mesh.triangles[triangle, k]] * weights[:, k, None] for k in range(3))
        across, along, lock = (first + second + third).T
        hair = _strands(across, along, lock)
        return hair * 0.55 + 1.25 - np.abs(across) * 1.2 - np.maximum(along - 0.45, 0) * 2.0 > 0

    return keep


def _strands(across: np.ndarray, along: np.ndarray, lock: np.ndarray) -> np.ndarray:
    """The pattern (n,) of single hairs at places on locks."""
    lock = np.round(lock)
    return sample_noise("strands", across * 26 + lock * 37.7, along * 60 + lock * 11.3)


def _lighting(
    scene: Scene, normals: np.ndarray, head: np.ndarray, occlusion: np.ndarray, solid: list[Mesh]
) -> np.ndarray:
    """Light (n, 3) that falls on every vertex of the head and the solid meshes: sky plus lamp, with its shadow."""
    turn = scene.camera.turn.astype(np.float32)
    places = np.concatenate([head, *(mesh.vertices for mesh in solid)]).astype(np.float32)
    facing = np.concatenate([normals, *(mesh.normals for mesh in solid)]).astype(np.float32) @ turn.T
    opened = np.concatenate([occlusion, *(np.full(len(mesh.vertices), 0.85, np.float32) for mesh in solid)])
    light = scene.light
    toward = (facing @ light.direction).astype(np.float32)
    shade = 1 - light.shadow * lamp_shadow(places @ turn.T, toward, light.direction, len(head))
    # Skin lets red light through at the edge of the shadow: red wraps further round than blue.
    wrap = np.array([0.25, 0.12, 0.08], np.float32)
    lamp = np.clip((toward[:, None] + wrap) / (1 + wrap), 0, None)
    lamp *= (shade * np.clip(opened * 1.5 - 0.2, 0, 1))[:, None]
    return sky_light(light, facing) * opened[:, None] + lamp * light.colour.astype(np.float32)


def lamp_shadow(
    places: np.ndarray, toward: np.ndarray, direction: np.ndarray, head: int, cells: int = 96
) -> np.ndarray:
    """How much (0..1) of each place (n, 3; camera axes) other places hide from the lamp: a depth map of splats.

    `toward` (n,): cosine between the surface there and the lamp. The first `head` places span the map.
    """
    side = np.cross(direction, [0.0, 1.0, 0.0] if abs(direction[1]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    frame = np.stack([side, np.cross(direction, side), direction], axis=1).astype(np.float32)
    relative = places @ frame
    low, high = relative[:head, :2].min(axis=0), relative[:head, :2].max(axis=0)
    step = (high - low).max() / (cells - 3)
    cell = np.clip(((relative[:, :2] - low) / step + 1).astype(np.int32), 0, cells - 1)
    nearest: np.ndarray = np.full((cells, cells), -1e3, np.float32)
    np.maximum.at(nearest, (cell[:, 1], cell[:, 0]), relative[:, 2])
    nearest = cv2.dilate(nearest, np.ones((3, 3), np.uint8))
    # Blurred, a smooth surface stays where it is and casts nothing on itself, and the shadow's edge is soft.
    known = (nearest > -1e2).astype(np.float32)
    pair = cv2.GaussianBlur(np.stack([nearest * known, known], axis=-1), (0, 0), 1.3)
    depth = pair[..., 0] / np.maximum(pair[..., 1], 1e-3)
    ahead = depth[cell[:, 1], cell[:, 0]] - relative[:, 2]
    # On a slope the dilation alone brings cells forward.
    bias = 0.06 + step * np.minimum(np.sqrt(np.maximum(1 - toward**2, 0)) / np.maximum(toward, 0.2), 4)
    return np.clip((ahead - bias) / 0.15, 0, 1)


def _shade(model: HeadModel, scene: Scene, view: View, table: np.ndarray) -> np.ndarray:
    """Linear colours (h, w, 3) of the pixels that see something; black elsewhere."""
    numbers, barycentric = view.buffer.triangle.reshape(-1), view.buffer.weights.reshape(-1, 3)
    image = np.zeros((len(numbers), 3), np.float32)
    relative = np.flatnonzero(numbers >= 0)
    for start in range(0, len(relative), CACHED):
        few = relative[start : start + CACHED]
        triangle, weights = numbers[few], barycentric[few]
        corner = view.triangles[triangle]
        value = table[corner[:, 0]] * weights[:, :1]
        value += table[corner[:, 1]] * weights[:, 1:2]
        value += table[corner[:, 2]] * weights[:, 2:]
        image[few] = _colours(model, scene, value, view.parts[triangle], view.gloss[triangle])
    return image.reshape(*view.buffer.near.shape, 3)


def _colours(model: HeadModel, scene: Scene, value: np.ndarray, part: np.ndarray, shine: np.ndarray) -> np.ndarray:
    """Linear colours (n, 3) of places with these attributes (n, WIDTH), parts (n,) and gloss (n,)."""
    appearance = scene.appearance
    normal = value[:, NORMAL]
    normal /= np.sqrt(np.einsum("ij,ij->i", normal, normal))[:, None] + 1e-9

    albedo = np.empty((len(part), 3), np.float32)
    ids = model.part_id
    flesh = np.flatnonzero(np.isin(part, [ids[name] for name in ("skin", "ear", "lips", "eyelid")]))
    albedo[flesh], shine[flesh] = _skin(appearance, value[flesh])
    plain = {
        "mouth_inside": ((0.30, 0.10, 0.10), 0.1),
        "tongue": ((0.62, 0.28, 0.27), 0.25),
        "teeth": ((0.88, 0.85, 0.77), 0.3),
        "lash_upper": ((0.05, 0.04, 0.04), 0.0),
    }
    for name, (colour, gleam) in plain.items():
        mine = part == ids[name]
        albedo[mine], shine[mine] = colour, gleam
    eyes = np.flatnonzero(part == ids["eye"])
    albedo[eyes], shine[eyes] = _eye(appearance, value[eyes, PLACE]), 0.6
    value[eyes, LIT] *= 0.92
    worn = part == SOLID
    albedo[worn] = value[worn, PLACE]
    locks = np.flatnonzero(part == LOCK)
    if len(locks):
        strand = _strands(*value[locks, 10:13].T)
        depth = 0.75 + 0.25 * np.clip(value[locks, 11] * 2, 0, 1)  # roots lie in each other's shade
        albedo[locks] = value[locks, PLACE] * np.clip(depth * (0.92 + 0.2 * strand), 0.2, 1.6)[:, None]

    lit = value[:, LIT]
    half = scene.light.direction + np.array([0, 0, 1.0])
    half = (half / np.linalg.norm(half)).astype(np.float32)
    facing = np.clip(normal @ half, 0, 1)
    sharp = np.where(shine > 0.45, 90, 18).astype(np.float32)
    glow = shine * facing**sharp * (0.3 + 0.7 * value[:, OPEN])
    rim = shine * 0.25 * (1 - np.clip(normal[:, 2], 0, 1)) ** 3
    brightness = (lit[:, 0] + lit[:, 1] + lit[:, 2]) / 3
    linear = np.clip(albedo, 0, 1) ** GAMMA * lit
    linear += ((glow + rim) * np.minimum(brightness, 1.2))[:, None] * scene.light.colour.astype(np.float32) * 0.5
    return linear


def _blend(base: np.ndarray, amount: np.ndarray, colour) -> np.ndarray:
    return base + np.clip(amount, 0, 1)[:, None] * (np.asarray(colour, np.float32) - base)


def _skin(appearance: Appearance, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Painted skin, brows, lips, beard, cropped hair and cloth: colours (n, 3) and gloss (n,)."""
    rest = value[:, PLACE]
    x, y, z = rest.T
    side = np.abs(x)
    # Texels along a cylinder round the head: decimetres of arc and of height.
    arc = np.arctan2(x, z + 0.15) * 0.8
    shift = appearance.seed % 997
    cloud = sample_noise("cloud", arc * 160 + shift, y * 160 + shift * 3)
    grain = sample_noise("grain", arc * 420 + shift * 5, (y + 0.35 * z) * 420)
    colour = appearance.skin * (1 + (0.05 * cloud + 0.035 * grain) * appearance.mottle)[:, None]

    front = np.clip((z - 0.5) * 6, 0, 1)
    cheek = np.exp(-((side - 0.42) ** 2 + (y + 0.2) ** 2) / 0.05) * front
    nose = np.exp(-(side**2 / 0.02 + (y + 0.12) ** 2 / 0.03)) * front
    red = (value[:, EAR] * 0.8 + cheek * 0.8 + nose * 0.7 + 0.15 * cloud) * appearance.redness
    colour *= 1 - np.clip(red, 0, 0.6)[:, None] * np.array([0.02, 0.24, 0.2], np.float32)
    under_eye = np.exp(-(((side - 0.28) / 0.14) ** 2) - ((y - 0.1) / 0.045) ** 2) * front
    colour *= 1 - (0.14 * under_eye * (0.4 + appearance.wrinkles))[:, None]
    if appearance.freckles > 0:
        spots = sample_noise("spots", arc * 330 + shift, y * 330)
        colour *= 1 - (np.clip(spots - 1.6, 0, 1) * appearance.freckles * front)[:, None] * np.array(
            [0.25, 0.4, 0.45], "f4"
        )
    if appearance.wrinkles > 0:
        waver = cloud * 0.012
        forehead = np.clip(np.sin((y + waver) * 75) - 0.55, 0, 1) * np.clip((y - 0.45) * 10, 0, 1) * front
        fold = np.exp(-(((side - 0.19 - (-0.22 - y) * 0.38 + waver) / 0.018) ** 2))
        fold *= np.clip((-0.1 - y) * 8, 0, 1) * np.clip((y + 0.52) * 8, 0, 1) * front
        crow = np.clip(np.sin((y * 0.9 + (side - 0.5) * 0.5 * np.sign(y - 0.2) + waver) * 95) - 0.5, 0, 1)
        crow *= np.exp(-(((side - 0.53) / 0.06) ** 2) - ((y - 0.19) / 0.1) ** 2)
        colour *= 1 - ((forehead * 0.3 + fold * 0.4 + crow * 0.3) * appearance.wrinkles)[:, None]
    socket = np.exp(-(((side - 0.28) / 0.15) ** 2) - ((y - 0.265) / 0.05) ** 2) * front
    if appearance.eye_shadow > 0:
        colour = _blend(colour, socket * appearance.eye_shadow, appearance.lips * 0.5)
    # The roots of the lashes: a dark line on the edge of the upper lid, a faint one on the lower.
    bow = np.sqrt(np.clip(1 - ((side - 0.295) / 0.14) ** 2, 0, 1))
    upper_lid = np.exp(-(((y - 0.19 - 0.043 * bow) / 0.013) ** 2)) * (bow > 0) * front
    lower_lid = np.exp(-(((y - 0.19 + 0.022 * bow) / 0.010) ** 2)) * (bow > 0) * front
    colour *= 1 - np.clip((upper_lid * 0.6 + lower_lid * 0.2) * appearance.eye_liner, 0, 0.85)[:, None]

    lips = value[:, LIPS]
    colour = _blend(colour, lips * appearance.lip_paint, appearance.lips * (1 + 0.05 * cloud)[:, None])
    seam = np.exp(-(((y + 0.475) / 0.012) ** 2)) * lips * np.clip((0.26 - side) * 20, 0, 1)
    colour *= 1 - 0.35 * seam[:, None]
    nostril = np.exp(-(((side - 0.075) / 0.035) ** 2) - ((y + 0.215) / 0.025) ** 2) * np.clip((z - 0.95) * 20, 0, 1)
    colour *= 1 - 0.45 * nostril[:, None]

    fine = sample_noise("strands", (y * 0.6 + arc) * 900, (arc * 0.7 - y) * 300 + shift)
    hair = appearance.hair * np.clip(0.85 + 0.25 * fine, 0.3, 1.4)[:, None]
    dark = appearance.brow_colour * np.clip(0.9 + 0.2 * fine, 0.3, 1.4)[:, None]
    beard = value[:, BEARD]
    whiskers = np.clip(beard * 1.3 + 0.12 * cloud, 0, 1) * (beard > 0.02)
    upper = np.clip((y + 0.46) * 30, 0, 1) * np.clip((0.32 - side) * 12, 0, 1)
    chin = np.clip((0.24 - side) * 12, 0, 1)
    amount = np.maximum(
        appearance.beard, np.maximum(appearance.moustache * upper, appearance.goatee * np.maximum(chin, upper))
    )
    if appearance.stubble > 0:
        colour = _blend(
            colour, whiskers * appearance.stubble * (0.6 + 0.25 * grain), appearance.hair * 0.5 + appearance.skin * 0.25
        )
    colour = _blend(colour, np.clip(whiskers * amount * (1 + 0.25 * fine), 0, 1), dark * 0.9)

    ridge = np.interp(side, (0.05, 0.12, 0.20, 0.33, 0.45, 0.57), (0.330, 0.345, 0.362, 0.380, 0.366, 0.300))
    taper = np.interp(side, (0.11, 0.16, 0.28, 0.45, 0.58), (0.7, 1.0, 1.0, 0.75, 0.15))
    across = (y - ridge) / (appearance.brow_width * taper + 1e-6)
    hairs = sample_noise("strands", (arc * 0.8 - y) * 700 * np.sign(x), y * 200 + shift)
    brow = (
        np.clip(1.2 - across**2 * 0.9 + 0.3 * hairs, 0, 1)
        * np.clip((side - 0.05) * 30, 0, 1)
        * (side < 0.6)
        * (z > 0.45)
    )
    colour = _blend(colour, brow * appearance.brow, dark)

    edge = value[:, HAIRLINE] + 0.012 * cloud + 0.008 * fine - appearance.hairline
    scalp = np.clip(edge / 0.035 + 0.5, 0, 1) * appearance.scalp_cover * (value[:, EAR] < 0.5)
    colour = _blend(colour, scalp, hair)
    neckline = appearance.collar + 0.35 * np.clip(1 - side, 0, 1) * np.clip(2 * z, 0, 1)
    cloth = np.clip((-y - neckline) / 0.02, 0, 1)
    weave = 1 + 0.05 * grain + appearance.cloth_pattern * np.sign(np.sin(arc * 40)) * 0.25
    fabric = appearance.cloth * weave[:, None]
    if appearance.suit > 0:
        below = -y - neckline
        fabric = _blend(fabric, np.clip((appearance.suit - 0.3 * below - side) * 30, 0, 1) * (z > 0), appearance.shirt)
        fabric = _blend(fabric, np.clip((0.05 + 0.03 * below - side) * 40, 0, 1) * (z > 0), appearance.tie)
    colour = _blend(colour, cloth, fabric)
    gloss = (
        appearance.shine * (0.10 + 0.12 * nose + 0.06 * front + 0.2 * lips * appearance.lip_paint) * (1 + 0.25 * grain)
    )
    gloss = np.clip(gloss, 0, 0.4) * (1 - cloth * 0.8) * (1 - brow * 0.7)
    return np.clip(colour, 0, 1), gloss


def _eye(appearance: Appearance, ray: np.ndarray) -> np.ndarray:
    """Colours (n, 3) of an eyeball, from unit rays whose third axis is the gaze."""
    angle = np.degrees(np.arccos(np.clip(ray[:, 2] / (np.linalg.norm(ray, axis=1) + 1e-6), -1, 1)))
    turn = np.arctan2(ray[:, 1], ray[:, 0])
    iris = 24.0
    fibre = sample_noise("strands", turn * 80 + appearance.seed % 211, angle * 2)
    colour = (
        appearance.iris * (1 + 0.2 * fibre)[:, None] * np.clip(1.25 - 0.9 * (angle / iris) ** 6, 0.35, 1.3)[:, None]
    )
    white = np.array([0.76, 0.73, 0.71], np.float32) * (1 - 0.0022 * np.clip(angle - iris, 0, 60))[:, None]
    colour = _blend(colour, (angle - iris) / 2 + 0.5, white)
    colour = _blend(colour, (9.5 - angle) / 1.5 + 0.5, (0.02, 0.02, 0.02))
    spark = np.hypot(np.sin(turn) * angle - 6, np.cos(turn) * angle + 5)
    return _blend(colour, (3.2 - spark) / 1.0, (1.0, 1.0, 1.0)).astype(np.float32)


def _glaze(colour: np.ndarray, cover: np.ndarray, buffer: Buffer, camera: Camera, mesh: Mesh, light: Light) -> None:
    """Lay a see-through mesh over what lies behind it, in place."""
    glass = Buffer.empty(*buffer.near.shape)
    pixels, near = camera.project(mesh.vertices)
    rasterise(glass, pixels, near, mesh.triangles, two_sided=True)
    mask = (glass.triangle >= 0) & (glass.near > buffer.near)
    tint = mesh.colours[mesh.triangles[glass.triangle[mask], 0]] ** GAMMA
    rows = np.nonzero(mask)[0]
    sheen = mesh.gloss * np.clip(
        1 - (rows - rows.min(initial=0)) / (0.6 * max(1, np.ptp(rows) if len(rows) else 1)), 0, 1
    )
    colour[mask] = colour[mask] * (1 - mesh.alpha) + mesh.alpha * tint + (sheen**2)[:, None] * light.colour * 0.35
    cover[mask] = np.maximum(cover[mask], mesh.alpha)


def visible(view: View, places: np.ndarray, tolerance: float = 0.035) -> np.ndarray:
    """Which places (n, 3) nothing hides: bool (n,), from the z-buffer; those outside the image are hidden.

    A place counts as visible if nothing lies more than `tolerance` decimetres in front of it.
    """
    camera, buffer = view.camera, view.buffer
    pixels, near = camera.project(places)
    height, width = buffer.near.shape
    column, line = np.round(pixels).astype(int).T
    within = (column >= 0) & (line >= 0) & (column < width) & (line < height)
    front = buffer.near[np.clip(line, 0, height - 1), np.clip(column, 0, width - 1)]
    depth = np.where(front > 0, camera.distance / np.maximum(front, 1e-6), np.inf)
    return within & (depth > camera.distance / near - tolerance)
