"""`visible` reads the z-buffer; here every landmark's ray is followed through all opaque triangles instead."""

from __future__ import annotations

import numpy as np
import pytest

from data.head_pose import rotation
from data.synthetic.head import SIDES, head_model
from data.synthetic.render import Camera, Scene, strand_mask, trace, visible
from data.synthetic.scene import draw_appearance, draw_light, draw_meshes

TOLERANCE = 0.035  # decimetres: what lies less in front of a landmark does not hide it


def met(eye, places, corners, two_sided):
    """Hits of the rays from `eye` to `places` (n, 3) with triangles `corners` (t, 3, 3), after Moeller and Trumbore.

    Returns which ray and triangle, the share of the way, and the weights of the corners (hits, 3).
    """
    a, one, other = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    rays = places - eye
    from_corner = eye - a
    q = np.cross(from_corner, one)
    along = (other * q).sum(axis=1)
    found = []
    for k, ray in enumerate(rays):
        p = np.cross(ray, other)
        determinant = (one * p).sum(axis=1)
        facing = np.abs(determinant) > 1e-9 if two_sided else determinant > 1e-9
        scale = 1 / np.where(facing, determinant, 1)
        v, w, t = (from_corner * p).sum(axis=1) * scale, q @ ray * scale, along * scale
        hit = np.flatnonzero(facing & (v >= 0) & (w >= 0) & (v + w <= 1) & (t > 0))
        found += [(k, triangle, t[triangle], (1 - v - w)[triangle], v[triangle], w[triangle]) for triangle in hit]
    table = np.array(found).reshape(-1, 6)
    return table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2], table[:, 3:]


def in_the_open(model, scene, head, places):
    """Which places (n, 3) nothing hides from the camera, and lie in front of it."""
    camera = scene.camera
    eye = camera.target + camera.turn.T @ (0, 0, camera.distance)
    depth = camera.distance - (places - camera.target) @ camera.turn[2]
    hidden = np.zeros(len(places), bool)
    lashes = [model.part_id["lash_upper"]]
    skin = model.triangles if scene.appearance.lashes else model.triangles[~np.isin(model.part, lashes)]
    meshes = [(head[skin], False, None)]
    meshes += [(p.vertices[p.triangles], True, p) for p in scene.meshes if p.alpha >= 1 and len(p.triangles)]
    for corners, two_sided, mesh in meshes:
        ray, triangle, share, weights = met(eye, places, corners.astype(np.float64), two_sided)
        nearer = (1 - share) * depth[ray] > TOLERANCE
        if mesh is not None and mesh.strand is not None and len(ray):
            nearer &= strand_mask(mesh, mesh.strand)(triangle, weights.astype(np.float32))
        hidden[ray[nearer]] = True
    return ~hidden


def compare(seed, dressed, landmarks=10, size=192, samples=288):
    """Answers of both for one random head: bool (n,) each."""
    model, rng = head_model(), np.random.default_rng((77, seed))
    person = model.draw_person(rng)
    appearance = draw_appearance(rng, person)
    meshes = draw_meshes(rng, model, person, appearance, bool(rng.random() < 0.5), True) if dressed else []
    pose = rng.uniform(-100, 100), rng.uniform(-30, 30), rng.uniform(-30, 30)
    places = np.concatenate([model.face.on(person.vertices), *(model.ears[s].on(person.vertices) for s in SIDES)])
    middle = (size - 1) / 2
    camera = Camera(rotation(*pose), places.mean(axis=0), (middle, middle), 0.4 * size, rng.uniform(5.5, 22))
    scene = Scene(person.vertices, person.eyes, appearance, draw_light(rng), camera, meshes)
    view = trace(model, scene, size, samples)
    pixels = camera.pixels(places)
    inside = ((pixels > -0.5) & (pixels < size - 0.5)).all(axis=1)
    places = rng.permutation(places[inside])[:landmarks]
    return visible(view, places), in_the_open(model, scene, view.skin, places)


@pytest.mark.parametrize("dressed", [False, True], ids=["bare", "dressed"])
def test_what_is_said_to_be_visible_is_what_the_rays_reach(dressed):
    reported, true = (
        np.concatenate(answers) for answers in zip(*(compare(seed, dressed) for seed in range(100)), strict=True)
    )
    assert 0.2 < true.mean() < 0.8
    assert (reported == true).mean() >= 0.97
