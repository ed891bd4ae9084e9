import numpy as np
import pytest

from data.synthetic import scene
from data.synthetic.head import SIDES
from data.synthetic.scene import draw_photo

NAMES = {"face": 68, "face_3d": 68, "ear_left": 55, "ear_right": 55}


@pytest.fixture(scope="module")
def ear_photos():
    return [draw_photo(np.random.default_rng((1, k)), "ear", 64, True) for k in range(30)]


@pytest.fixture(scope="module")
def face_photos():
    return [draw_photo(np.random.default_rng((2, k)), "face", 64, True) for k in range(30)]


@pytest.mark.parametrize("kind", ["face", "ear", "both"])
@pytest.mark.parametrize(("size", "draft"), [(64, True), (65, False)])
def test_a_photo_is_a_picture_with_points_and_what_is_seen_of_them(kind, size, draft):
    for seed in range(3):
        photo = draw_photo(np.random.default_rng(seed), kind, size, draft)
        assert photo.picture.shape == (size, size, 3)
        assert photo.picture.dtype == np.uint8
        assert photo.picture.std() > 5
        assert photo.points.keys() == photo.seen.keys() == NAMES.keys()
        for name, count in NAMES.items():
            points, seen = photo.points[name], photo.seen[name]
            assert points.shape == (count, 2)
            assert points.dtype == np.float32
            assert np.isfinite(points).all()
            assert seen.shape == (count,)
            assert seen.dtype == bool
            assert ((points[seen] >= -0.5) & (points[seen] <= size - 0.5)).all()
        assert len(photo.pose) == 3
        assert all(type(angle) is float for angle in photo.pose)  # they become JSON


@pytest.mark.parametrize("kind", ["face", "ear", "both"])
def test_a_photo_depends_on_its_generator_alone(kind):
    one, same, other = (draw_photo(np.random.default_rng(seed), kind, 64, True) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one.picture, same.picture)
    for name in NAMES:
        np.testing.assert_array_equal(one.points[name], same.points[name])
        np.testing.assert_array_equal(one.seen[name], same.seen[name])
    assert one.pose == same.pose
    assert (one.picture != other.picture).mean() > 0.5


def test_half_of_an_ear_at_least_is_seen_in_an_ear_photo(ear_photos):
    for photo in ear_photos:
        assert max(photo.seen[f"ear_{side}"].mean() for side in SIDES) > 0.5


def test_ear_photos_show_left_and_right_ears_of_many_sizes(ear_photos):
    shown = [max(SIDES, key=lambda side: photo.seen[f"ear_{side}"].sum()) for photo in ear_photos]
    assert 8 <= shown.count("left") <= 22
    heights = [np.ptp(photo.points[f"ear_{side}"][:, 1]) / 64 for photo, side in zip(ear_photos, shown, strict=True)]
    assert min(heights) < 0.2
    assert max(heights) > 0.4
    assert max(heights) < 0.75


def test_an_ear_is_seen_from_its_own_side(ear_photos):
    """A positive yaw turns the face to image right and shows the subject's right ear."""
    for photo in ear_photos:
        if 40 < abs(photo.pose[0]) < 140:
            near, far = ("right", "left") if photo.pose[0] > 0 else ("left", "right")
            assert photo.seen[f"ear_{near}"].sum() > photo.seen[f"ear_{far}"].sum()
            # Face and ear: the nose lies on the side that the face is turned to.
            nose, ear = photo.points["face"][30], photo.points[f"ear_{near}"].mean(axis=0)
            turn = np.radians(photo.pose[2])
            assert (nose - ear) @ (np.cos(turn), -np.sin(turn)) * np.sign(photo.pose[0]) > 0


def test_faces_look_both_ways_and_are_mostly_seen(face_photos):
    yaws = [photo.pose[0] for photo in face_photos]
    assert min(yaws) < -20
    assert max(yaws) > 20
    assert np.abs(yaws).max() <= 90
    for photo in face_photos:
        assert photo.seen["face"].mean() > 1 / 3
    shares = [np.ptp(photo.points["face"], axis=0).max() / 64 for photo in face_photos]
    assert min(shares) > 0.25
    assert max(shares) < 0.95
    assert np.ptp(shares) > 0.2


def test_the_jaw_on_the_outline_differs_in_turned_heads_only(face_photos):
    for photo in face_photos:
        moved = np.abs(photo.points["face"] - photo.points["face_3d"])
        assert moved[17:].max() == 0
        if abs(photo.pose[0]) > 35:
            assert moved[:17].max() > 0.01 * np.ptp(photo.points["face"][:, 1])


def test_points_behind_a_thing_in_front_of_the_face_are_not_seen(monkeypatch):
    events = []
    background = scene.backdrop.background

    def begin(*options):
        events.append("background")
        return background(*options)

    def cover_a_stripe(linear, points, skin, rng):
        events.append("covered")
        amount = np.zeros(linear.shape[:2], np.float32)
        amount[:, 30:34] = 1
        return linear * (1 - amount[..., None]), amount

    monkeypatch.setattr(scene.backdrop, "background", begin)
    monkeypatch.setattr(scene.backdrop, "occlude", cover_a_stripe)
    covered = 0
    for seed in range(100):
        photo = draw_photo(np.random.default_rng((3, seed)), "face", 64, True)
        if events[-1] == "covered":
            covered += 1
            for name in NAMES:
                x = photo.points[name][:, 0]
                assert not photo.seen[name][(x > 29.6) & (x < 33.4)].any()
            assert photo.seen["face"].any()
        if covered == 3:
            return
    pytest.fail("too few photos were covered")


def test_a_thing_in_front_changes_the_picture_where_it_says_so_and_there_only():
    picture = np.full((64, 64, 3), 0.3, np.float32)
    points = np.random.default_rng(0).uniform(20, 44, (68, 2))
    shares = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        covered, cover = scene.backdrop.occlude(picture.copy(), points, np.array([0.8, 0.6, 0.5]), rng)
        assert cover.shape == (64, 64)
        assert 0 <= cover.min() <= cover.max() <= 1
        np.testing.assert_array_equal(covered[cover == 0], picture[cover == 0])
        shares.append((cover > 0.5).mean())
    assert 0.005 < np.mean(shares) < 0.5


def test_a_photo_whose_ear_is_hidden_is_not_painted(monkeypatch):
    """Painting takes half of the time of a photo, and a fifth of the ear photos are not kept."""
    traced, painted = [], []
    trace, paint = scene.trace, scene.paint
    monkeypatch.setattr(scene, "trace", lambda *them: (traced.append(1), trace(*them))[1])
    monkeypatch.setattr(scene, "paint", lambda *them: (painted.append(1), paint(*them))[1])
    photo = draw_photo(np.random.default_rng((7, 30)), "ear", 48, draft=True)
    assert max(photo.seen[f"ear_{side}"].mean() for side in SIDES) > 0.5
    assert len(traced) > 1 and len(painted) == 1
