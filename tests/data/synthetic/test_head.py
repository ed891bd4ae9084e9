import cv2
import numpy as np
import pytest

from data.head_pose import rotation
from data.schemes import EAR, reference_shape
from data.synthetic.head import CLICKED_OUTSIDE, SIDES, ear_as_clicked, head_model, subdivision
from data.synthetic.render import Camera


def triangles_of(quads):
    return np.array([corner for a, b, c, d in quads for corner in ([a, b, c], [a, c, d])])


def place_of(matrix, vertices, place):
    """The rows of the fine mesh that lie at a place."""
    return np.flatnonzero(np.abs(matrix @ vertices - place).max(axis=1) < 1e-6)


# Corner k of the cube lies at its bits: x + 2 y + 4 z, from 0 to 1.
CUBE = np.array([[k & 1, k >> 1 & 1, k >> 2] for k in range(8)], dtype=np.float64)
CUBE_QUADS = [(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)]


def test_one_step_on_a_cube_gives_the_points_of_catmull_and_clark():
    matrix, triangles = subdivision(triangles_of(CUBE_QUADS), 8)
    fine = matrix @ CUBE
    assert fine.shape == (8 + 12 + 6, 3)
    assert triangles.shape == (6 * 8, 3)
    # Corner (0, 0, 0): the mean of the three faces' middles round it is 1/3 each way, of its edges' middles 1/6; n = 3,
    # so the corner itself has no weight: (1/3 + 2/6 + 0) / 3 = 2/9.
    np.testing.assert_allclose(fine[:8], np.where(CUBE == 0, 2 / 9, 7 / 9), atol=1e-6)
    # Edge from (0, 0, 0) to (1, 0, 0): the mean of its ends and of the faces y = 0 and z = 0, whose middles are
    # (1/2, 0, 1/2) and (1/2, 1/2, 0): (1/2, 1/8, 1/8).
    assert len(place_of(matrix, CUBE, (1 / 2, 1 / 8, 1 / 8))) == 1
    assert len(place_of(matrix, CUBE, (7 / 8, 7 / 8, 1 / 2))) == 1
    for middle in ((0.5, 0.5, 0), (0.5, 0.5, 1), (0, 0.5, 0.5), (1, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 1, 0.5)):
        assert len(place_of(matrix, CUBE, middle)) == 1


def test_a_lone_quad_keeps_its_rim_a_curve_of_its_own():
    square = np.array([[0, 0, 0], [4, 0, 0], [4, 4, 0], [0, 4, 8]], dtype=np.float64)
    matrix, triangles = subdivision(triangles_of([(0, 1, 2, 3)]), 4)
    fine = matrix @ square
    assert triangles.shape == (8, 3)
    # A corner: 1/8 of each neighbour on the rim and 3/4 of itself. An edge: its middle.
    np.testing.assert_allclose(fine[0], (0.5, 0.5, 1))
    np.testing.assert_allclose(fine[2], (3.5, 3.5, 1))
    np.testing.assert_allclose(fine[3], (0.5, 3.5, 6))
    for place in ((2, 0, 0), (4, 2, 0), (2, 4, 4), (0, 2, 4), (2, 2, 2)):
        assert len(place_of(matrix, square, place)) == 1


def test_an_inner_vertex_of_four_quads_and_a_vertex_of_no_quad():
    grid = np.array([[x, y, 0] for y in range(3) for x in range(3)] + [[9, 9, 9]], dtype=np.float64)
    grid[4, 2] = 16
    quads = [(k, k + 1, k + 4, k + 3) for k in (0, 1, 3, 4)]
    fine = subdivision(triangles_of(quads), 10)[0] @ grid
    # Q = 16/4, R = 16/2, n = 4: (4 + 2 * 8 + 1 * 16) / 4 = 9.
    np.testing.assert_allclose(fine[4], (1, 1, 9))
    np.testing.assert_allclose(fine[9], (9, 9, 9))


@pytest.mark.parametrize("quads", [CUBE_QUADS, [(0, 1, 2, 3), (3, 2, 4, 5)]], ids=["closed", "open"])
def test_the_rows_sum_to_one_and_each_quad_is_cut_into_eight_that_face_as_it_did(quads):
    count = 1 + max(max(quad) for quad in quads)
    matrix, triangles = subdivision(triangles_of(quads), count)
    np.testing.assert_allclose(matrix @ np.ones(count), 1, atol=1e-6)
    vertices = CUBE if count == 8 else np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 2, 0], [0, 2, 0]])
    fine = matrix @ vertices

    def facing(points, corners):
        a, b, c = (points[corners[:, k]] for k in range(3))
        return np.cross(b - a, c - a)

    coarse = np.repeat(facing(vertices, triangles_of(quads))[::2], 8, axis=0)
    assert ((facing(fine, triangles) * coarse).sum(axis=1) > 0).all()


def test_the_head_has_68_and_twice_55_points_on_its_surface():
    model = head_model()
    np.testing.assert_allclose(model.refine @ np.ones(len(model.vertices)), 1, atol=1e-5)
    person = model.draw_person(np.random.default_rng(5))
    assert model.face.on(person.vertices).shape == (68, 3)
    for marks in (model.face, *model.ears.values(), *model.jaw_paths):
        assert np.isfinite(marks.on(person.vertices)).all()
        np.testing.assert_allclose(marks.weights.sum(axis=1), 1, atol=1e-3)
        assert (marks.weights >= 0).all()
    for side in SIDES:
        assert model.ears[side].on(person.vertices).shape == (55, 3)


def test_left_and_right_of_the_neutral_head_mirror_each_other():
    model = head_model()
    left, right = (model.ears[side].on(model.rest) for side in SIDES)
    np.testing.assert_allclose(left, right * (-1, 1, 1), atol=1e-3)
    assert (left[:, 0] > 0).all()
    face = model.face.on(model.rest)
    pairs = [(k, 16 - k) for k in range(17)] + [(k, 43 - k) for k in range(17, 27)] + [(36, 45), (48, 54), (31, 35)]
    for one, other in pairs:
        np.testing.assert_allclose(face[one], face[other] * (-1, 1, 1), atol=0.03)
    assert face[16, 0] > 0  # jaw point 16 is the subject's left
    assert face[33, 2] > left[:, 2].max()  # the nose is in front of the ears, the chin below the brows
    assert face[8, 1] < face[24, 1]


def frontal_shape():
    """The landmarks of the neutral head from the front: outer-eye distances from the middle of the eyes, y down."""
    model = head_model()
    camera = Camera(rotation(0), np.array([0, 0, 0.5], np.float32), (0, 0), 60.0, 12.0)
    points = camera.pixels(model.face.on(model.rest))
    return (points - (points[36] + points[45]) / 2) / np.linalg.norm(points[45] - points[36])


def test_the_nose_bridge_is_spread_as_in_300w():
    """Means of 205 near-frontal faces: 27 lies 2 % above the outer eye corners, 28 to 30 evenly below it."""
    bridge = frontal_shape()[27:31, 1]
    assert bridge[0] == pytest.approx(-0.02, abs=0.015)
    fractions = (bridge - bridge[0]) / (bridge[-1] - bridge[0])
    np.testing.assert_allclose(fractions[1:3], (1 / 3, 2 / 3), atol=0.02)


def test_the_jaw_is_spaced_as_in_300w():
    for side in (slice(0, 9), slice(16, 7, -1)):
        steps = np.linalg.norm(np.diff(frontal_shape()[side], axis=0), axis=1)
        course = np.cumsum(steps) / steps.sum()
        np.testing.assert_allclose(course, (0.133, 0.263, 0.390, 0.515, 0.638, 0.761, 0.881, 1), atol=0.02)
        assert 0 < frontal_shape()[side][0, 1] < 0.06  # it begins at the eyes' height, a little below the corners


def test_the_ends_of_the_brows_lie_on_their_painted_hair():
    """`render` paints a brow between 0.05 and 0.6 dm from the middle."""
    model = head_model()
    face = model.face.on(model.rest)
    for inner, outer in ((21, 17), (22, 26)):
        assert 0.07 < abs(face[inner, 0]) < 0.12
        assert 0.5 < abs(face[outer, 0]) < 0.6


def test_the_far_jaw_slides_from_where_the_landmark_is():
    model = head_model()
    starts = np.array([path.on(model.rest)[0] for path in model.jaw_paths])
    np.testing.assert_array_equal(starts, model.face.on(model.rest)[:17])


def test_a_person_is_the_same_for_a_seed_and_another_for_another():
    model = head_model()
    one, same, other = (model.draw_person(np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.vertices, same.vertices)
    assert (one.gender, one.age) == (same.gender, same.age)
    assert np.abs(one.vertices - other.vertices).max() > 0.02
    ears = [model.ears["left"].on(person.vertices) for person in (one, other)]
    shapes = [(ear - ear.mean(axis=0)) / np.ptp(ear[:, 1]) for ear in ears]
    assert np.abs(shapes[0] - shapes[1]).max() > 0.02


def test_the_shared_model_stays_as_it_was():
    model = head_model()
    before = model.vertices.copy(), model.rest.copy()
    model.draw_person(np.random.default_rng(0))
    np.testing.assert_array_equal(model.vertices, before[0])
    np.testing.assert_array_equal(model.rest, before[1])


def test_eyes_are_balls_that_look_forwards():
    model = head_model()
    for seed in range(4):
        person = model.draw_person(np.random.default_rng(seed))
        for (centre, radius, gaze), mine in zip(person.eyes, model.fine_eyes, strict=True):
            lengths = np.linalg.norm(person.vertices[mine] - centre, axis=1)
            np.testing.assert_allclose(lengths, radius, rtol=1e-4)
            assert 0.08 < radius < 0.2  # decimetres
            assert gaze[2] > 0.5
            assert np.linalg.norm(gaze) == pytest.approx(1)


def camera_at(*pose):
    return Camera(rotation(*pose), np.array([0, 0, 0.5], np.float32), (100, 100), 60.0, 8.0)


def test_the_jaw_of_a_frontal_head_is_where_it_is():
    model, camera = head_model(), camera_at(0)
    for seed in range(4):
        person = model.draw_person(np.random.default_rng(seed), 0.5)
        whole = camera.pixels(model.face.on(person.vertices))
        outline = camera.pixels(model.jaw_on_outline(person.vertices, camera.pixels))
        assert np.abs(outline - whole).max() < 0.03 * np.ptp(whole[:, 0])
        np.testing.assert_array_equal(outline[17:], whole[17:])
        np.testing.assert_array_equal(outline[8], whole[8])


@pytest.mark.parametrize("yaw", [30, 60, 88, 90])
@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (-30, 20), (30, -20)])
def test_the_far_jaw_of_a_turned_head_moves_outwards_and_the_near_one_stays(yaw, pitch, roll):
    model = head_model()
    person = model.draw_person(np.random.default_rng(3), 0.5)
    # A positive yaw turns the face to image right: the subject's left jaw, points 9 to 16, is far.
    for sign, far, near in ((1, slice(9, 17), slice(0, 8)), (-1, slice(0, 8), slice(9, 17))):
        camera = camera_at(sign * yaw, pitch, roll)
        whole = camera.pixels(model.face.on(person.vertices))
        moved = camera.pixels(model.jaw_on_outline(person.vertices, camera.pixels)) - whole
        turn = np.radians(roll)
        outward = moved @ np.array([np.cos(turn), -np.sin(turn)]) * sign  # image right of the head, undone the roll
        assert (outward[far] > -0.5).all()
        assert outward[far].max() > 0.04 * np.ptp(whole[:, 1])
        assert np.abs(moved[near]).max() < 0.1 * outward[far].max()


@pytest.mark.parametrize("yaw", [50, 75, 95])
@pytest.mark.parametrize("side", SIDES)
def test_the_outer_helix_lies_on_the_outline_of_the_ear_and_the_other_points_stay(side, yaw):
    model = head_model()
    camera = camera_at(-yaw if side == "left" else yaw)
    gained = 0.0
    for seed in range(4):
        person = model.draw_person(np.random.default_rng(seed))
        still = camera.pixels(model.ears[side].on(person.vertices))
        points = camera.pixels(model.ear_on_outline(side, person.vertices, camera.pixels))
        np.testing.assert_array_equal(points[[0, *range(18, 55)]], still[[0, *range(18, 55)]])
        rim = model.ear_grids[side][-1 - model.first_ring : 2 - model.first_ring, :12]  # rings -1, 0 and 1, at the back
        pixels = camera.pixels(person.vertices[rim.ravel()])

        def outside(line, pixels=pixels):
            """How far (pixels) the rim reaches over a line of landmarks, and back from the last to the first."""
            loop = line[1:18].astype(np.float32)
            return max(-cv2.pointPolygonTest(loop, tuple(map(float, pixel)), True) for pixel in pixels)

        assert outside(points) < 0.03 * np.ptp(points[:, 1])
        gained += outside(still) - outside(points)
    assert gained > 0


def test_annotators_click_outside_the_lines_of_an_ear_by_a_part_of_its_diagonal():
    """Worked out by hand: three lines that stand upright left of the middle and one right of it, 100 px apart."""
    left = [np.column_stack([np.full(count, 0.0), np.linspace(0, 300, count)]) for count in (20, 15, 15)]
    left[2] = left[2][::-1]  # the concha's line is drawn the other way round than the helix's
    right = np.column_stack([np.full(5, 400.0), np.linspace(0, 300, 5)])
    moved = ear_as_clicked(np.concatenate([*left, right]).astype(np.float32))
    diagonal = 500
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved[:20, 0], -CLICKED_OUTSIDE["outer_helix"] * diagonal, rtol=1e-5)
    np.testing.assert_allclose(moved[20:35, 0], -CLICKED_OUTSIDE["inner_helix"] * diagonal, rtol=1e-5)
    np.testing.assert_allclose(moved[35:50, 0], -CLICKED_OUTSIDE["tragus_concha"] * diagonal, rtol=1e-5)
    np.testing.assert_array_equal(moved[50:], right)
    np.testing.assert_allclose(moved[:, 1], np.concatenate([*left, right])[:, 1], atol=1e-4)


@pytest.mark.parametrize("turn", [0, 40, 180])
def test_where_annotators_click_turns_and_mirrors_with_the_ear(turn):
    ear = 200 * reference_shape(EAR).astype(np.float64)
    angle = np.radians(turn)
    linear = 1.7 * np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # mirrored and turned
    np.testing.assert_allclose(ear_as_clicked(ear @ linear.T + 30), ear_as_clicked(ear) @ linear.T + 30, atol=1)
    apart = np.linalg.norm(ear_as_clicked(ear) - ear, axis=1) / np.linalg.norm(np.ptp(ear, axis=0))
    assert {round(float(each), 6) for each in apart} == {0.0, *CLICKED_OUTSIDE.values()}


@pytest.mark.parametrize("narrow", [1, 0.3, 0.1, 0.03])
@pytest.mark.parametrize("shear", [-0.3, 0, 0.3])
def test_all_lines_of_a_narrow_ear_move_the_same_way_as_those_of_a_wide_one(narrow, shear):
    ear = 200 * reference_shape(EAR).astype(np.float64)
    linear = np.array([[narrow, shear * narrow], [0, 1]])
    moved = (ear_as_clicked(ear @ linear.T) - ear @ linear.T) @ np.linalg.inv(linear).T
    wide = ear_as_clicked(ear) - ear
    moving = np.abs(wide).max(axis=1) > 0
    # An affine map does not keep normals, but keeps on which side of a line a point lies.
    assert ((moved * wide).sum(axis=1)[moving] > 0).all()


def test_no_skin_lies_far_outside_of_the_outline_of_a_turned_head():
    """The outline itself, from all vertices at the height of a jaw point, is where the far jaw has moved to."""
    model = head_model()
    person = model.draw_person(np.random.default_rng(4), 0.5)
    camera = camera_at(40)
    points = model.jaw_on_outline(person.vertices, camera.pixels)
    pixels = camera.pixels(points)
    face = np.unique(model.triangles[model.part == model.part_id["skin"]])
    cheek = face[(person.vertices[face, 2] > 0.1) & (person.vertices[face, 0] > 0.2)]
    across = camera.pixels(person.vertices[cheek])
    for k in range(11, 15):
        level = np.abs(across[:, 1] - pixels[k, 1]) < 2
        assert across[level, 0].max() - pixels[k, 0] < 3


def test_a_draft_has_a_quarter_of_the_triangles_and_the_same_landmarks():
    fine, coarse = head_model(), head_model(fine=False)
    assert len(fine.triangles) == 4 * len(coarse.triangles)
    people = [model.draw_person(np.random.default_rng(5)) for model in (fine, coarse)]
    for marks in ("face", *SIDES):
        places = [
            (model.face if marks == "face" else model.ears[marks]).on(person.vertices)
            for model, person in zip((fine, coarse), people, strict=True)
        ]
        np.testing.assert_allclose(*places, atol=1e-5)
