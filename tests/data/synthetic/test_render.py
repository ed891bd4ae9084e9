import numpy as np
import pytest

from data.head_pose import rotation
from data.synthetic import accessories
from data.synthetic.head import head_model
from data.synthetic.render import Buffer, Camera, Light, Scene, lamp_shadow, rasterise, render, trace, visible
from data.synthetic.scene import draw_appearance

SQUARE = np.eye(3)


def camera_of(turn=SQUARE, target=(0, 0, 0), centre=(10.0, 20.0), scale=30.0, distance=4.0):
    return Camera(np.asarray(turn), np.array(target, np.float32), centre, scale, distance)


def test_places_are_projected_as_by_hand():
    camera = camera_of(target=(1, 2, 3))
    pixels, near = camera.project(
        np.array([(1, 2, 3), (1.5, 2, 3), (1, 2.5, 3), (1.5, 2.5, 5), (1.5, 2, -1)], np.float32)
    )
    # The target lands on `centre`; half a decimetre is 15 pixels there, twice that at half the distance (2 nearer),
    # half of it at twice the distance (4 farther). Up in space is up in the image, where y counts down.
    np.testing.assert_allclose(pixels, [(10, 20), (25, 20), (10, 5), (40, -10), (17.5, 20)], atol=1e-4)
    np.testing.assert_allclose(near, [1, 1, 1, 2, 0.5], rtol=1e-6)
    np.testing.assert_array_equal(camera.pixels(np.ones((1, 3), np.float32)), camera.project(np.ones((1, 3)))[0])


def test_a_finer_grid_keeps_the_images_edges():
    """Pixel centres are whole numbers: the left edge of the image is at -0.5 on every grid."""
    camera = camera_of(centre=(0.0, 2.5))
    fine = camera.finer(2)
    assert fine.centre == (0.5, 5.5)
    assert fine.scale == 60
    places = np.random.default_rng(0).normal(size=(20, 3))
    np.testing.assert_allclose(fine.pixels(places), (camera.pixels(places) + 0.5) * 2 - 0.5, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("angles", "forward", "up"),
    [
        ((90, 0, 0), (1, 0, 0), (0, 1, 0)),  # the face to image right
        ((0, 90, 0), (0, -1, 0), (0, 0, 1)),  # nods down, the crown towards the camera
        ((0, 0, 90), (0, 0, 1), (-1, 0, 0)),  # counterclockwise: the crown to image left
        ((90, 90, 0), (1, 0, 0), (0, 0, 1)),  # yaw first
        ((90, 0, 90), (0, 1, 0), (-1, 0, 0)),
    ],
)
def test_rotation_turns_nods_and_rolls(angles, forward, up):
    turn = rotation(*angles)
    np.testing.assert_allclose(turn @ (0, 0, 1), forward, atol=1e-12)
    np.testing.assert_allclose(turn @ (0, 1, 0), up, atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)


# Seen from the front the corners of a triangle run counterclockwise; in pixels, where y counts down: 0, 1, 2.
CORNERS = np.array([(1, 5), (5, 5), (1, 1)], np.float32)
COVERED = [[0, 0, 0, 0, 0, 0, 0]] + [[0] + [1] * n + [0] * (6 - n) for n in (1, 2, 3, 4, 5)] + [[0, 0, 0, 0, 0, 0, 0]]


def drawn(pixels, near, triangles, size=7, **options):
    buffer = Buffer.empty(size, size)
    rasterise(buffer, np.asarray(pixels, np.float32), np.asarray(near, np.float32), np.asarray(triangles), **options)
    return buffer


def test_a_triangle_covers_the_pixels_whose_centres_it_holds():
    buffer = drawn(CORNERS, [1, 1, 1], [(0, 1, 2)], first=40)
    np.testing.assert_array_equal(buffer.triangle, np.where(COVERED, 40, -1))
    np.testing.assert_array_equal(buffer.near, COVERED)
    np.testing.assert_allclose(buffer.weights[5, 1], (1, 0, 0), atol=1e-6)
    np.testing.assert_allclose(buffer.weights[3, 2], (0.25, 0.25, 0.5), atol=1e-6)
    between = drawn(CORNERS + np.array([0.3, 0.4]), [1, 1, 1], [(0, 1, 2)])  # x >= 1.3, y <= 5.4, x - y <= -0.1
    assert {tuple(at) for at in np.argwhere(between.triangle >= 0)} == {
        (y, x) for y in range(7) for x in range(7) if x >= 2 and y <= 5 and x <= y - 0.1
    }


def test_a_triangle_that_reaches_out_of_the_image_is_cut_at_its_edges():
    buffer = drawn([(-100, 100), (100, 100), (-100, -100)], [1, 1, 1], [(0, 1, 2)], size=3)
    np.testing.assert_array_equal(buffer.triangle, np.where(np.tri(3), 0, -1))
    assert (drawn(CORNERS + 50, [1, 1, 1], [(0, 1, 2)]).triangle == -1).all()
    assert (drawn(CORNERS - 50, [1, 1, 1], [(0, 1, 2)]).triangle == -1).all()


def test_triangles_that_share_an_edge_leave_no_gap():
    rng = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0)), axis=-1) * 5 - 3
    grid[1:-1, 1:-1] += rng.uniform(-1.5, 1.5, (4, 4, 2))
    a = (np.arange(5)[:, None] * 6 + np.arange(5)).ravel()
    triangles = np.concatenate([np.stack([a, a + 6, a + 1], 1), np.stack([a + 1, a + 6, a + 7], 1)])
    assert (drawn(grid.reshape(-1, 2), np.ones(36), triangles, size=19).triangle >= 0).all()


def test_the_nearer_triangle_wins_in_either_order_and_in_parts():
    pixels = np.concatenate([CORNERS, CORNERS])
    for near, winner in (([1, 1, 1, 2, 2, 2], 1), ([2, 2, 2, 1, 1, 1], 0)):
        together = drawn(pixels, near, [(0, 1, 2), (3, 4, 5)])
        np.testing.assert_array_equal(together.triangle, np.where(COVERED, winner, -1))
        apart = drawn(pixels, near, [(0, 1, 2)])
        rasterise(apart, pixels, np.array(near, np.float32), np.array([(3, 4, 5)]), first=1)
        np.testing.assert_array_equal(apart.triangle, together.triangle)
    # One that leans through the other is nearer at its first corner only.
    lean = drawn(pixels, [1, 1, 1, 2, 0.5, 0.5], [(0, 1, 2), (3, 4, 5)]).triangle
    assert lean[5, 1] == 1
    assert lean[5, 5] == lean[1, 1] == 0


def test_triangles_turned_away_are_skipped_unless_they_have_two_sides():
    assert (drawn(CORNERS, [1, 1, 1], [(0, 2, 1)]).triangle == -1).all()
    both = drawn(CORNERS, [1, 1, 1], [(0, 2, 1)], two_sided=True)
    np.testing.assert_array_equal(both.triangle, np.where(COVERED, 0, -1))
    np.testing.assert_allclose(both.weights[3, 2], (0.25, 0.5, 0.25), atol=1e-6)
    flat = drawn([(1, 1), (3, 3), (5, 5)], [1, 1, 1], [(0, 1, 2)], two_sided=True)
    assert (flat.triangle == -1).all()


def test_keep_drops_pixels_which_then_show_what_lies_behind():
    def keep(numbers, weights):
        np.testing.assert_array_equal(numbers, np.zeros(len(weights)))
        return weights[:, 1] > 0.4  # towards corner 1

    buffer = drawn(CORNERS, [1, 1, 1], [(0, 1, 2)])
    rasterise(buffer, CORNERS, np.full(3, 2, np.float32), np.array([(0, 1, 2)]), 7, True, keep)
    kept = {tuple(at) for at in np.argwhere(buffer.triangle == 7)}
    assert kept == {(3, 3), (4, 3), (4, 4), (5, 3), (5, 4), (5, 5)}  # x >= 3
    assert (buffer.triangle == 0).sum() == 15 - len(kept)
    assert buffer.near[5, 1] == 1
    assert buffer.near[5, 5] == 2


def test_weights_are_those_of_the_place_that_the_ray_meets():
    """Against the solution of origin + t ray = w0 a + w1 b + w2 c in space, for a triangle seen at a slant."""
    camera = camera_of(rotation(35, -20, 10), (0.1, -0.2, 0.3), (15.0, 17.0), 12.0, 3.0)
    places = np.array([(-1.2, -0.9, 0.8), (1.3, -0.7, -0.9), (0.1, 1.2, 0.4)])
    pixels, near = camera.project(places)
    buffer = drawn(pixels, near, [(0, 1, 2)], size=32, two_sided=True)
    spots = np.argwhere(buffer.triangle == 0)
    assert len(spots) > 100
    eye = camera.target + camera.turn.T @ (0, 0, camera.distance)
    for y, x in spots[::7]:
        # Where the pixel's ray crosses the plane through the target, and the place of the triangle that it meets.
        crossing = camera.target + camera.turn.T @ ((x - 15.0) / 12.0, (17.0 - y) / 12.0, 0)
        system = np.zeros((4, 4))
        system[:3, :3], system[:3, 3], system[3, :3] = places.T, eye - crossing, 1
        *weights, length = np.linalg.solve(system, [*eye, 1])
        np.testing.assert_allclose(buffer.weights[y, x], weights, atol=1e-3)
        assert buffer.near[y, x] == pytest.approx(1 / length, rel=1e-3)


def bare_scene(seed, pose, subject, size, share=0.6):
    """A head without hair under an even white sky, framed round "face", "ear_left" or "ear_right", and its marks."""
    model, rng = head_model(), np.random.default_rng(seed)
    person = model.draw_person(rng)
    sky = np.zeros((9, 3), np.float32)
    sky[0] = 1
    light = Light(sky, np.array([0, 0, 1], np.float32), np.zeros(3, np.float32), 0.0)
    marks = model.face if subject == "face" else model.ears[subject.removeprefix("ear_")]
    places = marks.on(person.vertices)
    extent = np.ptp(places[:, 1])
    middle = (size - 1) / 2
    camera = Camera(rotation(*pose), places.mean(axis=0), (middle + 1.3, middle - 0.8), share * size / extent, 6.0)
    return model, Scene(person.vertices, person.eyes, draw_appearance(rng, person), light, camera), places


POSES = pytest.mark.parametrize(
    ("seed", "pose", "subject"),
    [
        (0, (0, 0, 0), "face"),
        (1, (90, 0, 0), "face"),
        (2, (-90, 30, 0), "face"),
        (3, (40, -30, 30), "face"),
        (4, (90, 0, 0), "ear_right"),
        (5, (-90, 0, -25), "ear_left"),
        (6, (60, 30, 15), "ear_right"),
        (7, (-60, -30, 0), "ear_left"),
        (8, (-130, 10, 40), "ear_left"),
    ],
)


@POSES
@pytest.mark.parametrize("finer", [1, 1.5], ids=["draft", "whole"])
def test_a_ball_between_the_eye_of_the_camera_and_a_landmark_is_drawn_round_its_label(seed, pose, subject, finer):
    size, radius = 96, 3.0  # pixels
    model, scene, places = bare_scene(seed, pose, subject, size)
    camera = scene.camera
    points = camera.pixels(places)
    chosen = []
    for k in np.flatnonzero(((points > 5) & (points < size - 6)).all(axis=1)):
        if all(np.hypot(*(points[k] - points[j])) > 3 * radius for j in chosen):
            chosen.append(k)
    assert len(chosen) >= 5
    bare = render(model, scene, size, round(size * finer)).colour
    # Half way to the camera, so that no skin hides a part of the ball.
    eye = camera.target + camera.turn.T @ (0, 0, camera.distance)
    ahead = (places[chosen] + eye) / 2
    near = camera.project(ahead)[1]
    scene.meshes = [
        accessories.ball(place, radius / camera.scale / closer, (0, 1, 0), 0.0)
        for place, closer in zip(ahead, near, strict=True)
    ]
    shown = render(model, scene, size, round(size * finer)).colour
    ball = np.array([0, 0.85, 0])  # what this light makes of pure green on a worn thing
    share = ((shown - bare) * (ball - bare)).sum(axis=2) / ((ball - bare) ** 2).sum(axis=2)
    rows, columns = np.mgrid[0:size, 0:size]
    for k in chosen:
        mine = share * (np.hypot(columns - points[k, 0], rows - points[k, 1]) < 1.4 * radius)
        assert mine.sum() == pytest.approx(np.pi * radius**2, rel=0.25)
        centroid = np.array([(mine * columns).sum(), (mine * rows).sum()]) / mine.sum()
        np.testing.assert_allclose(centroid, points[k], atol=0.3)


@POSES
@pytest.mark.parametrize("finer", [1, 1.5], ids=["draft", "whole"])
def test_the_skin_that_is_drawn_at_a_visible_landmark_is_the_skin_that_it_names(seed, pose, subject, finer):
    size = 96
    model, scene, places = bare_scene(seed, pose, subject, size)
    rendering = render(model, scene, size, round(size * finer))
    marks = model.face if subject == "face" else model.ears[subject.removeprefix("ear_")]
    eye = scene.camera.target + scene.camera.turn.T @ (0, 0, scene.camera.distance)
    sight = (eye - places) / np.linalg.norm(eye - places, axis=1)[:, None]
    frontal = (marks.on(model.normals(scene.vertices)) * sight).sum(axis=1) > 0.5  # at a silhouette a pixel decides
    shown = np.flatnonzero(visible(rendering.view, places) & frontal)
    assert len(shown) >= 6
    column, line = np.round((scene.camera.pixels(places[shown]) + 0.5) * finer - 0.5).astype(int).T
    hidden = () if scene.appearance.lashes else [model.part_id["lash_upper"]]
    drawn = model.triangles[~np.isin(model.part, hidden)][rendering.view.buffer.triangle[line, column]]
    met = (rendering.view.skin[drawn] * rendering.view.buffer.weights[line, column][..., None]).sum(axis=1)
    pixel = 1 / (scene.camera.scale * finer)  # decimetres
    apart = np.linalg.norm(met - places[shown], axis=1)
    assert np.median(apart) < pixel
    assert np.percentile(apart, 90) < 2.5 * pixel  # some of a pixel aside, on a surface seen at a slant


@pytest.mark.parametrize("finer", [1, 1.5], ids=["draft", "whole"])
def test_a_thing_worn_hides_what_lies_behind_it_and_a_lens_does_not(finer):
    model, scene, places = bare_scene(0, (0, 0, 0), "face", 64)
    lip = places[57]
    before = visible(trace(model, scene, 64, round(64 * finer)), places)
    assert before[57]
    for alpha, open_ in ((1.0, False), (0.5, True)):
        ball = accessories.ball(lip + np.array([0, 0, 0.4]), 0.15, (1, 0, 0))
        ball.alpha = alpha
        scene.meshes = [ball]
        now = visible(trace(model, scene, 64, round(64 * finer)), places)
        assert now[57] == open_
        np.testing.assert_array_equal(now[27:48], before[27:48])


def test_a_place_outside_the_image_is_not_visible():
    model, scene, places = bare_scene(0, (0, 0, 0), "face", 64, share=3.0)
    points = scene.camera.pixels(places)
    inside = ((points >= -0.5) & (points < 63.5)).all(axis=1)
    shown = visible(trace(model, scene, 64, 64), places)
    assert inside.any()
    assert not inside.all()
    assert not shown[~inside].any()
    assert shown[inside].mean() > 0.8


def test_a_normal_that_rounding_made_longer_than_one_casts_no_broken_shadow():
    places = np.random.default_rng(0).normal(0, 1, (50, 3)).astype(np.float32)
    toward = np.full(50, np.nextafter(np.float32(1), np.float32(2)), np.float32)
    assert np.isfinite(lamp_shadow(places, toward, np.array([0.0, 0.6, 0.8], np.float32), 50)).all()
