"""One random image of one random person: everything is drawn from one random generator, and labelled exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from data.drawing import contact_sheet
from data.head_pose import rotation
from data.synthetic import accessories, background, camera_effects, hair
from data.synthetic.head import SIDES, HeadModel, Person, ear_as_clicked, head_model
from data.synthetic.render import (
    Appearance,
    Camera,
    Light,
    Mesh,
    Rendering,
    Scene,
    paint,
    render,
    trace,
    visible,
)

SAMPLES_PER_PIXEL = 1.5  # samples a pixel, each way: enough to soften edges, at half the time of 2
DRAFT_SAMPLES_PER_PIXEL = 0.65  # in a draft

# Display colours, light to dark, between which a skin lies (decided by eye from portraits of many origins).
SKINS = np.array(
    [(0.95, 0.80, 0.72), (0.91, 0.73, 0.62), (0.84, 0.64, 0.51), (0.74, 0.53, 0.40), (0.58, 0.39, 0.28),
     (0.42, 0.28, 0.20), (0.28, 0.18, 0.13)]
)  # fmt: skip
HAIRS = np.array(
    [(0.05, 0.045, 0.045), (0.10, 0.07, 0.055), (0.20, 0.13, 0.09), (0.36, 0.24, 0.15), (0.56, 0.42, 0.26),
     (0.75, 0.62, 0.42), (0.45, 0.20, 0.10)]
)  # fmt: skip
IRISES = np.array(
    [
        (0.22, 0.13, 0.07),
        (0.30, 0.20, 0.10),
        (0.12, 0.08, 0.05),
        (0.35, 0.45, 0.58),
        (0.36, 0.43, 0.32),
        (0.45, 0.48, 0.5),
    ]
)


@dataclass(frozen=True)
class SyntheticImage:
    """A finished image and all that is known about it.

    - `pixels` (size, size, 3) uint8 RGB.
    - `points`: "face" (68, 2) with the jaw on the visible outline, "face_3d" (68, 2) with the jaw on the head,
      "ear_left", "ear_right" (55, 2); float32 pixels, 0-based.
    - `visible`: for the same names, bool (n,): inside the pixels and hidden by nothing.
    - `pose`: yaw, pitch, roll in degrees.
    """

    pixels: np.ndarray
    points: dict[str, np.ndarray]
    visible: dict[str, np.ndarray]
    pose: tuple[float, float, float]


def _between(colours: np.ndarray, fraction: float) -> np.ndarray:
    """The colour at a fraction (0..1) of the way along a list of colours."""
    at = fraction * (len(colours) - 1)
    low = min(int(at), len(colours) - 2)
    return colours[low] * (low + 1 - at) + colours[low + 1] * (at - low)


def draw_appearance(rng: np.random.Generator, person: Person) -> Appearance:
    """Colours and paint that suit a person's gender and age."""
    female, adult = person.gender < 0, person.age > -0.3
    skin = _between(SKINS, rng.beta(1.0, 1.4)) * np.exp(rng.normal(0, 0.04, 3))
    dark = skin.mean() < 0.45
    tone = HAIRS[rng.integers(0, 3)] if dark or rng.random() < 0.4 else HAIRS[rng.integers(len(HAIRS))]
    tone = tone * np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.05, 3))
    gray = np.clip((person.age - 0.45) * 2, 0, 1) * rng.uniform(0, 1.2) if person.age > 0.45 else 0.0
    if rng.random() < 0.05:
        gray = rng.uniform(0.5, 1)
    silver = np.array([0.72, 0.71, 0.70]) * rng.uniform(0.6, 1.1)
    colour = tone + min(gray, 1.0) * (silver - tone)
    brow = colour * rng.uniform(0.5, 0.95) if colour.mean() > 0.2 else colour
    shaven = 0 if female or not adult else max(0.0, rng.uniform(-0.5, 0.9))
    whiskers = "none" if female or not adult else rng.choice(
        ["none", "full", "moustache", "goatee"], p=[0.62, 0.18, 0.1, 0.1]
    )  # fmt: skip
    thick = rng.uniform(0.4, 1.0)
    made_up = female and adult and rng.random() < 0.6
    natural = skin * np.array([0.86, 0.62, 0.62])
    lips = natural if not made_up else np.clip(rng.uniform((0.45, 0.05, 0.1), (0.9, 0.45, 0.5)), 0, 1)
    bald = not female and adult and rng.random() < 0.14
    receding = 0.0 if female else max(0.0, rng.normal(0, 0.05 + 0.05 * max(person.age, 0)))
    return Appearance(
        skin=skin.astype(np.float32),
        hair=np.clip(colour, 0.02, 0.95).astype(np.float32),
        brow_colour=np.clip(brow, 0.02, 0.8).astype(np.float32),
        iris=IRISES[rng.integers(0, 3) if dark else rng.integers(len(IRISES))].astype(np.float32),
        hairline=2.0 if bald and rng.random() < 0.5 else 0.5 + rng.normal(0, 0.03) + receding + 0.18 * bald,
        scalp_cover=rng.uniform(0.4, 0.9) if bald else 1.0,
        lift=0.0 if bald else rng.uniform(0.0, 0.16),
        beard=thick if whiskers == "full" else 0.0,
        moustache=thick if whiskers in ("moustache", "goatee") else 0.0,
        goatee=thick if whiskers == "goatee" else 0.0,
        stubble=shaven,
        brow=rng.uniform(0.2, 0.9),
        brow_width=rng.uniform(0.022, 0.036) if female else rng.uniform(0.03, 0.052),
        lips=lips.astype(np.float32),
        lip_paint=rng.uniform(0.4, 0.85) if made_up else rng.uniform(0.25, 0.7),
        eye_shadow=rng.uniform(0, 0.6) if made_up else 0.0,
        eye_liner=rng.uniform(0.6, 1.4) if made_up else rng.uniform(0.3, 1.0),
        lashes=bool(rng.random() < (0.7 if made_up else 0.3)),
        redness=rng.uniform(0.1, 0.8),
        freckles=max(0.0, rng.uniform(-2, 1)),
        wrinkles=np.clip(person.age * rng.uniform(0.3, 1.2), 0, 1),
        mottle=rng.uniform(0.4, 1.6),
        shine=rng.uniform(0.3, 1.6),
        collar=rng.uniform(1.15, 1.6),
        cloth=rng.uniform(0.03, 0.95, 3).astype(np.float32) * rng.choice([0.3, 1.0]),
        cloth_pattern=float(rng.choice([0, 0, 0.5])),
        shirt=np.clip(rng.uniform(0.6, 1) + rng.normal(0, 0.06, 3), 0, 1).astype(np.float32),
        tie=rng.uniform(0.03, 0.7, 3).astype(np.float32),
        suit=float(rng.choice([0, 0.25, 0.45], p=[0.6, 0.2, 0.2])),
        seed=int(rng.integers(1 << 30)),
    )


def draw_light(rng: np.random.Generator) -> Light:
    """A sky of uneven brightness and colour, and a lamp from anywhere in front or beside, above mostly."""
    sky = np.zeros((9, 3))
    base = rng.uniform(0.12, 0.7)
    tint = np.exp(rng.normal(0, 0.08, 3))
    sky[0] = base * tint
    sky[1] = base * rng.uniform(0.0, 0.4) * tint  # brighter from above
    sky[2:4] = base * rng.normal(0, 0.25, (2, 1)) * tint
    sky[4:] = base * rng.normal(0, 0.05, (5, 1))
    sky[1:4] += base * rng.normal(0, 0.08, (3, 3))
    direction = rng.normal(0, 1, 3) * (0.9, 0.5, 0.5) + (0, 0.45, 0.6)
    if rng.random() < 0.08:
        direction[2] = -abs(direction[2])  # from behind: a bright rim
    direction /= np.linalg.norm(direction)
    strength = rng.uniform(0.1, 1.3) * (1.1 - base)
    warm = rng.normal(0, 0.12)
    colour = strength * np.array([1 + warm, 1, 1 - warm]) * np.exp(rng.normal(0, 0.04, 3))
    return Light(
        sky.astype(np.float32), direction.astype(np.float32), colour.astype(np.float32), rng.uniform(0.3, 0.95)
    )


def draw_meshes(
    rng: np.random.Generator, model: HeadModel, person: Person, appearance: Appearance, ear_image: bool, draft: bool
) -> list[Mesh]:
    """Clothes, hair and accessories."""
    meshes = [accessories.torso(model, person.vertices, appearance.cloth)]
    highest = 9.0
    if rng.random() < (0.07 if ear_image else 0.1):
        worn, highest = accessories.hat(model, person.vertices, rng)
        meshes += worn
        appearance.lift = min(appearance.lift, 0.03)  # hair lies flat under a hat
    style = hair.draw_style(rng, person.gender, ear_image)
    if style is not None and appearance.hairline < 0.62:
        detail = 0.3 if draft else 1.0
        meshes.append(
            hair.grow(model, person.vertices, style, appearance.hair, appearance.hairline, rng, detail, highest)
        )
    if rng.random() < (0.2 if ear_image else 0.22):
        meshes += accessories.glasses(model, person.vertices, rng)
    if rng.random() < (0.35 if person.gender < 0 else 0.05):
        meshes += accessories.earrings(model, person.vertices, rng)
    if rng.random() < 0.035:
        meshes += accessories.headphones(model, person.vertices, rng)
    return meshes


def _draw_pose(rng: np.random.Generator, kind: str) -> tuple[float, float, float]:
    if kind == "ear":  # mostly from the side, sometimes from the front, now and then from behind
        yaw = rng.choice([-1, 1]) * np.clip(rng.normal(72, 28), 5, 135)
        return float(yaw), float(rng.normal(0, 10)), float(rng.normal(0, 14))
    frontal = 0.6 if kind == "face" else 0.3
    yaw = rng.normal(0, 24) if rng.random() < frontal else rng.uniform(-90, 90)
    return float(np.clip(yaw, -90, 90)), float(np.clip(rng.normal(4, 14), -45, 45)), float(rng.normal(0, 10))


def _draw_camera(
    rng: np.random.Generator, kind: str, size: int, turn: np.ndarray, face: np.ndarray, ears: dict[str, np.ndarray]
) -> Camera:
    """Frame the face, an ear or the head. `face` (68, 3) and `ears` (55, 3) are places on the head."""
    distance = float(math.exp(rng.uniform(math.log(5.5), math.log(22))))
    if kind == "ear":
        towards = {side: (places @ turn.T)[:, 2].mean() for side, places in ears.items()}
        subject = ears[max(towards, key=lambda side: towards[side])]
        fraction = math.exp(rng.uniform(math.log(0.08), math.log(0.6)))
        room = 0.5 * (1 - fraction) * rng.uniform(-0.75, 0.75, 2)
    else:
        subject = face if kind == "face" else np.concatenate([face, *ears.values()])
        fraction = math.exp(rng.uniform(math.log(0.28), math.log(0.72)))
        room = 0.5 * (1 - fraction) * rng.uniform(-0.7, 0.7, 2)
    turned = (subject - subject.mean(axis=0)) @ turn.T
    extent = np.ptp(turned[:, 1]) if kind == "ear" else np.ptp(turned[:, :2], axis=0).max()
    middle = subject.mean(axis=0)
    if kind == "ear" and fraction < 0.2:  # the whole head is in such an image: keep it there
        middle = middle * fraction / 0.2 + np.array([0, 0.1, 0.3]) * (1 - fraction / 0.2)
    centre = (size - 1) / 2 + room * size
    return Camera(
        turn, middle.astype(np.float32), (float(centre[0]), float(centre[1])), fraction * size / extent, distance
    )


def draw_image(rng: np.random.Generator, kind: str, size: int, draft: bool = False) -> SyntheticImage:
    """A random image: `kind` "face" (head and shoulders), "ear" (the head around an ear), "both" (all of the head) or
    "no_ear" (the head around an ear that is hidden, as the other is).

    `draft` takes fewer samples than pixels, a third of the hair and a quarter of the triangles: faster and coarser.
    Where hair hides most of the face, or of the more visible ear of an ear image, another image is drawn: nobody
    would annotate that one.
    """
    while True:
        image = _draw_image(rng, kind, size, draft)
        if image is not None and _shows_enough(kind, image.visible):
            return image


def _shows_enough(kind: str, visibility: dict[str, np.ndarray]) -> bool:
    """Whether somebody would annotate what an image shows of its subject; of "no_ear", whether there is nothing to."""
    if kind in ("ear", "no_ear"):
        most = max(visibility[f"ear_{side}"].mean() for side in SIDES)
        return most > 0.5 if kind == "ear" else most == 0
    # Points of a turned head hide each other: those that look at the camera are 30 of 68 at least.
    return visibility["face"].mean() * 1.5 > 0.5


def _draw_image(rng: np.random.Generator, kind: str, size: int, draft: bool) -> SyntheticImage | None:
    """An image, or None where hair hides too much of the subject, which is known before anything is painted."""
    framed = "ear" if kind == "no_ear" else kind
    model = head_model(fine=not draft)
    person = model.draw_person(rng)
    appearance = draw_appearance(rng, person)
    meshes = draw_meshes(rng, model, person, appearance, framed == "ear", draft)
    pose = _draw_pose(rng, framed)
    turn = rotation(*pose)
    places = {"face_3d": model.face.on(person.vertices)} | {
        f"ear_{side}": model.ears[side].on(person.vertices) for side in SIDES
    }
    ears = {side: places[f"ear_{side}"] for side in SIDES}
    camera = _draw_camera(rng, framed, size, turn, places["face_3d"], ears)
    places["face"] = model.jaw_on_outline(person.vertices, camera.pixels)
    places |= {f"ear_{side}": model.ear_on_outline(side, person.vertices, camera.pixels) for side in SIDES}
    scene = Scene(person.vertices, person.eyes, appearance, draw_light(rng), camera, meshes)
    view = trace(model, scene, size, round(size * (DRAFT_SAMPLES_PER_PIXEL if draft else SAMPLES_PER_PIXEL)))
    visibility = {name: visible(view, place) for name, place in places.items()}
    if not _shows_enough(kind, visibility):
        return None
    points = clicked_points(places, camera)
    for name, at in points.items():
        visibility[name] &= ((np.round(at) >= 0) & (np.round(at) < size)).all(axis=1)
    rendering = paint(model, scene, view)
    behind = background.draw_background(size, size, rng)
    if kind == "face" and rng.random() < 0.08:
        behind = _draw_bystander(rng, model, behind, size, camera, places["face_3d"])
    linear = compose(rendering, behind)
    if rng.random() < 0.12:
        target = points["face"] if framed != "ear" else np.concatenate([points["ear_left"], points["ear_right"]])
        linear, cover = background.occlude(linear, target, appearance.skin, rng)
        for name, at in points.items():
            column, line = np.clip(np.round(at), 0, size - 1).astype(int).T
            visibility[name] = visibility[name] & (cover[line, column] < 0.5)
    extent = float(np.ptp(points["ear_left" if framed == "ear" else "face"], axis=0).max())
    image = camera_effects.degrade(camera_effects.expose(linear, rendering.cover, rng), rng, extent)
    return SyntheticImage(image, points, visibility, pose)


def clicked_points(places: dict[str, np.ndarray], camera: Camera) -> dict[str, np.ndarray]:
    """Landmarks (n, 2) in pixels by name, where annotators would click them, of places (n, 3) on a head."""
    points = {name: camera.pixels(place) for name, place in places.items()}
    return points | {f"ear_{side}": ear_as_clicked(points[f"ear_{side}"]) for side in SIDES}


def _draw_bystander(
    rng: np.random.Generator, model: HeadModel, behind: np.ndarray, size: int, camera: Camera, face: np.ndarray
) -> np.ndarray:
    """Somebody else, smaller and beside the subject's `face` (68, 3), before a linear image: nobody's landmarks."""
    person = model.draw_person(rng)
    appearance = draw_appearance(rng, person)
    meshes = draw_meshes(rng, model, person, appearance, False, True)
    pixels = camera.pixels(face)
    middle, wide = pixels.mean(axis=0), np.ptp(pixels[:, 0])
    scale = camera.scale * rng.uniform(0.35, 0.85)
    apart = rng.choice([-1, 1]) * (0.5 * wide + scale * rng.uniform(0.3, 1.6))
    centre = (float(middle[0] + apart), float(middle[1] + rng.normal(0, 0.25) * wide))
    turn = rotation(rng.uniform(-70, 70), rng.normal(0, 10), rng.normal(0, 10))
    target = model.face.on(person.vertices).mean(axis=0)
    other = Camera(turn, target, centre, scale, rng.uniform(8, 22))
    rendering = render(
        model, Scene(person.vertices, person.eyes, appearance, draw_light(rng), other, meshes), size, size
    )
    linear = compose(rendering, behind)
    return cv2.GaussianBlur(linear, (0, 0), rng.uniform(0.3, 0.012 * size)) if rng.random() < 0.6 else linear


def draw_sheet(kind: str, count: int = 64, size: int = 160, seed: int = 0) -> np.ndarray:
    """A contact sheet of random images of one kind, eight in a row: uint8 RGB."""
    images = [draw_image(np.random.default_rng((seed, k)), kind, size).pixels for k in range(count)]
    return contact_sheet(images, columns=8)


def compose(rendering: Rendering, behind: np.ndarray) -> np.ndarray:
    """The rendering in front of a linear image of the same size."""
    return rendering.colour + (1 - rendering.cover[..., None]) * behind
