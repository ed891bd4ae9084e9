import numpy as np
import pytest

from data.synthetic import scene
from data.synthetic.head import SIDES
from data.synthetic.scene import draw_image

NAMES = {"face": 68, "face_3d": 68, "ear_left": 55, "ear_right": 55}


@pytest.fixture(scope="module")
def ear_images():
    return [draw_image(np.random.default_rng((1, k)), "ear", 64, True) for k in range(30)]


@pytest.fixture(scope="module")
def face_images():
    return [draw_image(np.random.default_rng((2, k)), "face", 64, True) for k in range(30)]


@pytest.mark.parametrize("kind", ["face", "ear", "both"])
@pytest.mark.parametrize(("size", "draft"), [(64, True), (65, False)])
def test_an_image_is_an_image_with_points_and_what_is_seen_of_them(kind, size, draft):
    for seed in range(3):
        image = draw_image(np.random.default_rng(seed), kind, size, draft)
        assert image.pixels.shape == (size, size, 3)
        assert image.pixels.dtype == np.uint8
        assert image.pixels.std() > 5
        assert image.points.keys() == image.visible.keys() == NAMES.keys()
        for name, count in NAMES.items():
            points, visible = image.points[name], image.visible[name]
            assert points.shape == (count, 2)
            assert points.dtype == np.float32
            assert np.isfinite(points).all()
            assert visible.shape == (count,)
            assert visible.dtype == bool
            assert ((points[visible] >= -0.5) & (points[visible] <= size - 0.5)).all()
        assert len(image.pose) == 3
        assert all(type(angle) is float for angle in image.pose)  # they become JSON


@pytest.mark.parametrize("kind", ["face", "ear", "both"])
def test_an_image_depends_on_its_generator_alone(kind):
    one, same, other = (draw_image(np.random.default_rng(seed), kind, 64, True) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one.pixels, same.pixels)
    for name in NAMES:
        np.testing.assert_array_equal(one.points[name], same.points[name])
        np.testing.assert_array_equal(one.visible[name], same.visible[name])
    assert one.pose == same.pose
    assert (one.pixels != other.pixels).mean() > 0.5


def test_half_of_an_ear_at_least_is_seen_in_an_ear_image(ear_images):
    for image in ear_images:
        assert max(image.visible[f"ear_{side}"].mean() for side in SIDES) > 0.5


def test_ear_images_show_left_and_right_ears_of_many_sizes(ear_images):
    shown = [max(SIDES, key=lambda side: image.visible[f"ear_{side}"].sum()) for image in ear_images]
    assert 8 <= shown.count("left") <= 22
    heights = [np.ptp(image.points[f"ear_{side}"][:, 1]) / 64 for image, side in zip(ear_images, shown, strict=True)]
    assert min(heights) < 0.2
    assert max(heights) > 0.4
    assert max(heights) < 0.75


def test_an_ear_is_seen_from_its_own_side(ear_images):
    """A positive yaw turns the face to image right and shows the subject's right ear."""
    for image in ear_images:
        if 40 < abs(image.pose[0]) < 140:
            near, far = ("right", "left") if image.pose[0] > 0 else ("left", "right")
            assert image.visible[f"ear_{near}"].sum() > image.visible[f"ear_{far}"].sum()
            # Face and ear: the nose lies on the side that the face is turned to.
            nose, ear = image.points["face"][30], image.points[f"ear_{near}"].mean(axis=0)
            turn = np.radians(image.pose[2])
            assert (nose - ear) @ (np.cos(turn), -np.sin(turn)) * np.sign(image.pose[0]) > 0


def test_faces_look_both_ways_and_are_mostly_seen(face_images):
    yaws = [image.pose[0] for image in face_images]
    assert min(yaws) < -20
    assert max(yaws) > 20
    assert np.abs(yaws).max() <= 90
    for image in face_images:
        assert image.visible["face"].mean() > 1 / 3
    shares = [np.ptp(image.points["face"], axis=0).max() / 64 for image in face_images]
    assert min(shares) > 0.25
    assert max(shares) < 0.95
    assert np.ptp(shares) > 0.2


def test_the_jaw_on_the_outline_differs_in_turned_heads_only(face_images):
    for image in face_images:
        moved = np.abs(image.points["face"] - image.points["face_3d"])
        assert moved[17:].max() == 0
        if abs(image.pose[0]) > 35:
            assert moved[:17].max() > 0.01 * np.ptp(image.points["face"][:, 1])


def test_points_behind_a_thing_in_front_of_the_face_are_not_seen(monkeypatch):
    events = []
    background = scene.background.draw_background

    def begin(*options):
        events.append("background")
        return background(*options)

    def cover_a_stripe(linear, points, skin, rng):
        events.append("covered")
        amount = np.zeros(linear.shape[:2], np.float32)
        amount[:, 30:34] = 1
        return linear * (1 - amount[..., None]), amount

    monkeypatch.setattr(scene.background, "draw_background", begin)
    monkeypatch.setattr(scene.background, "occlude", cover_a_stripe)
    covered = 0
    for seed in range(100):
        image = draw_image(np.random.default_rng((3, seed)), "face", 64, True)
        if events[-1] == "covered":
            covered += 1
            for name in NAMES:
                x = image.points[name][:, 0]
                assert not image.visible[name][(x > 29.6) & (x < 33.4)].any()
            assert image.visible["face"].any()
        if covered == 3:
            return
    pytest.fail("too few images were covered")


def test_a_thing_in_front_changes_the_image_where_it_says_so_and_there_only():
    image = np.full((64, 64, 3), 0.3, np.float32)
    points = np.random.default_rng(0).uniform(20, 44, (68, 2))
    shares = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        covered, cover = scene.background.occlude(image.copy(), points, np.array([0.8, 0.6, 0.5]), rng)
        assert cover.shape == (64, 64)
        assert 0 <= cover.min() <= cover.max() <= 1
        np.testing.assert_array_equal(covered[cover == 0], image[cover == 0])
        shares.append((cover > 0.5).mean())
    assert 0.005 < np.mean(shares) < 0.5


def test_an_image_whose_ear_is_hidden_is_not_painted(monkeypatch):
    """Painting takes half of the time of an image, and a fifth of the ear images are not kept."""
    traced, painted = [], []
    trace, paint = scene.trace, scene.paint
    monkeypatch.setattr(scene, "trace", lambda *them: (traced.append(1), trace(*them))[1])
    monkeypatch.setattr(scene, "paint", lambda *them: (painted.append(1), paint(*them))[1])
    image = draw_image(np.random.default_rng((7, 30)), "ear", 48, draft=True)
    assert max(image.visible[f"ear_{side}"].mean() for side in SIDES) > 0.5
    assert len(traced) > 1 and len(painted) == 1


def test_a_sheet_shows_the_images_of_a_kind_eight_in_a_row():
    sheet = scene.draw_sheet("face", count=2, size=32, seed=5)
    assert sheet.shape == (32 + 2 * 4, 2 * (32 + 4) + 4, 3)
    for k in range(2):
        pixels = draw_image(np.random.default_rng((5, k)), "face", 32).pixels
        np.testing.assert_array_equal(sheet[4:36, 4 + 36 * k : 36 + 36 * k], pixels)
