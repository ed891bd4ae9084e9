import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.augment import Warp, apply_matrix
from data.schemes import EAR, FACE, reference_shape
from tests.charts import draw_chart, place, save_chart_network
from utils.demo.predictor import (
    SIDES,
    LandmarkPredictor,
    Landmarks,
    Prediction,
    Thresholds,
    _believable,
    _better_alone,
    agreeing,
    ear_square,
    is_ear,
    is_face,
    side_of,
    square_round,
    tilt,
    whole_image,
)


def turned(points, degrees):
    """Points turned clockwise on the screen (y points down) about their middle."""
    a = np.radians(degrees)
    middle = points.mean(axis=0)
    return (points - middle) @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) + middle


def seen(scheme, points, score=1.0):
    return Landmarks(scheme, tuple(range(scheme.count)), points, np.full(scheme.count, score), Warp((0, 0), 100.0))


def believable(with_face, ear_alone):
    return _believable(with_face, ear_alone, Thresholds())


FRONT = reference_shape(FACE) * 100 + (200, 150)


class TestSquares:
    def test_an_upright_face_is_not_turned_and_a_tilted_one_is_turned_back(self):
        assert tilt(FRONT) == pytest.approx(0, abs=1)
        assert tilt(turned(FRONT, 30)) == pytest.approx(tilt(FRONT) - 30, abs=1e-3)

    @given(st.floats(-180, 180), st.floats(0.3, 5))
    def test_the_square_holds_the_face_upright_in_its_middle_at_1_6_times_its_size(self, degrees, scale):
        face = turned(FRONT * scale, degrees)
        inside = apply_matrix(square_round(seen(FACE, face)).matrix(160), face)
        low, high = inside.min(axis=0), inside.max(axis=0)
        assert (low + high) / 2 == pytest.approx([79.5, 79.5], abs=0.1)
        assert (high - low).max() == pytest.approx(100, abs=0.1)
        assert inside[36:48, 1].mean() < inside[48:68, 1].mean()
        assert tilt(inside) == pytest.approx(0, abs=0.01)

    @given(st.floats(-90, 90))
    def test_ears_are_looked_for_on_their_sides_of_the_head(self, degrees):
        face = seen(FACE, turned(FRONT, degrees))
        upright = square_round(face).matrix(160)
        for side, sign in (("left", 1), ("right", -1)):  # the subject's left is on the right of the image
            square = ear_square(face, side)
            place = apply_matrix(upright, np.array([square.centre]))[0]
            assert sign * (place[0] - 79.5) > 45
            assert 30 < place[1] < 90
            assert square.angle == pytest.approx(tilt(face.whole))

    def test_corners_are_those_of_the_square(self):
        corners = Landmarks(FACE, (0,), np.zeros((1, 2)), np.ones(1), Warp((50, 40), 20)).corners
        assert corners == pytest.approx(np.array([[40, 30], [60, 30], [60, 50], [40, 50]]))


class TestWholeImage:
    @pytest.mark.parametrize("quarter", [0, 1, 2, 3])
    @pytest.mark.parametrize("shape", [(120, 200), (333, 90), (64, 64)])
    def test_a_bright_spot_lands_where_the_matrix_says(self, shape, quarter):
        image = np.zeros((*shape, 3), np.uint8)
        image[40:44, 60:64] = 255
        matrix, canvas = whole_image(image, 128, quarter)
        assert canvas.shape[0] % 32 == canvas.shape[1] % 32 == 0
        bright = canvas[..., 0].astype(float)
        across, down = np.meshgrid(np.arange(canvas.shape[1]), np.arange(canvas.shape[0]))
        found = np.array([(across * bright).sum(), (down * bright).sum()]) / bright.sum()
        assert found == pytest.approx(apply_matrix(matrix, np.array([[61.5, 41.5]]))[0], abs=0.3)

    def test_one_pixel_is_a_image(self):
        _, canvas = whole_image(np.zeros((1, 1, 3), np.uint8), 128)
        assert canvas.shape == (128, 128, 3)


class TestPlausible:
    def test_points_that_lie_apart_from_the_others_are_left_out(self):
        points = np.concatenate([FRONT, [[900, 20], [5, 700]]])
        kept = agreeing(points, np.ones(70))
        assert kept[:68].all()
        assert not kept[68:].any()

    def test_noise_is_no_face_and_faces_from_any_side_are(self):
        rng = np.random.default_rng(0)
        assert not any(is_face(rng.uniform(0, 100, (68, 2))) for _ in range(50))
        for squeeze in (1.0, 0.6, 0.3):
            for degrees in (-60, 0, 120):
                assert is_face(turned(FRONT * (squeeze, 1), degrees) + rng.normal(0, 2, (68, 2)))

    def test_an_ear_has_a_size_that_goes_with_the_face(self):
        face = seen(FACE, FRONT)
        ear = reference_shape(EAR)
        assert is_ear(seen(EAR, ear * 35 + (300, 170)), face)
        assert not is_ear(seen(EAR, ear * 5 + (300, 170)), face)
        assert not is_ear(seen(EAR, ear * 90 + (300, 170)), face)
        tangled = np.random.default_rng(0).permutation(ear) * 35 + (300, 170)
        assert not is_ear(seen(EAR, tangled), face) and not is_ear(seen(EAR, tangled), None)

    @given(st.floats(-60, 60))
    def test_the_turn_of_the_helix_tells_the_side(self, degrees):
        left = turned(reference_shape(EAR), degrees)
        assert side_of(left) == "left"
        assert side_of(left * (-1, 1)) == "right"

    def test_an_ear_amid_a_face_or_too_large_for_it_is_believed_if_it_scores_higher(self):
        face = Prediction(seen(FACE, FRONT, 0.5))
        beside, amid, large = (
            Prediction(None, {"left": seen(EAR, reference_shape(EAR) * size + place, 0.7)})
            for size, place in ((35, (300, 170)), (35, FRONT[30] - 15), (90, (300, 170)))
        )
        assert believable(face, beside) is face
        assert believable(face, amid) is amid and believable(face, large) is large
        sure = Prediction(seen(FACE, FRONT, 0.72))
        assert believable(sure, amid) is sure
        assert believable(face, Prediction()) is face and believable(Prediction(), amid) is amid

    def test_a_sure_ear_near_a_face_without_one_is_its_own(self):
        def ear(x, score):
            return Prediction(None, {"left": seen(EAR, reference_shape(EAR) * 35 + (x, 170), score)})

        face = Prediction(seen(FACE, FRONT, 0.5))
        both = believable(face, ear(330, 0.8))
        assert both.face is face.face and set(both.ears) == {"left"} and not face.ears
        assert believable(face, ear(330, 0.7)) is face  # in doubt
        wrong_side, below = (
            ear(120, 0.8),
            Prediction(None, {"left": seen(EAR, reference_shape(EAR) * 35 + (250, 320), 0.8)}),
        )
        for elsewhere in (ear(700, 0.8), wrong_side, below):  # somebody else's, or that is no face
            assert believable(Prediction(seen(FACE, FRONT, 0.65)), elsewhere).ears == {}
            assert believable(face, elsewhere) is elsewhere
        with_ears = Prediction(face.face, ear(290, 0.66).ears)
        assert believable(with_ears, ear(330, 0.8)) is with_ears

    def test_an_ear_within_an_ear_is_a_fold_of_it_whatever_its_score(self):
        shape = reference_shape(EAR)
        large = Prediction(None, {"right": seen(EAR, shape * 200 + 100, 0.80)})
        fold = Prediction(None, {"left": seen(EAR, shape * 30 + 120, 0.82)})
        beside = Prediction(None, {"left": seen(EAR, shape * 30 + 400, 0.82)})
        for one, other, better in ((large, fold, large), (fold, large, large), (large, beside, beside)):
            assert _better_alone(one, other) is better
            assert _better_alone(Prediction(), other) is other and _better_alone(one, Prediction()) is one

    def test_two_ears_without_a_face_count_as_the_better_of_them(self):
        ears = {
            side: seen(EAR, reference_shape(EAR) * (sign * 35, 35) + (x, 170), score)
            for side, sign, x, score in (("left", 1, 300, 0.7), ("right", -1, 120, 0.8))
        }
        both, face = Prediction(None, ears), Prediction(seen(FACE, FRONT, 0.9))
        assert _better_alone(both, Prediction(None, {"left": ears["left"]})) is both
        assert believable(Prediction(), both) is both
        assert believable(face, both).face is face.face and set(believable(face, both).ears) == {"right"}

    def test_without_a_face_an_ear_is_believed_once_for_each_side(self, predictor):
        one, other = (seen(EAR, reference_shape(EAR) * 35 + (x, 170), score) for x, score in ((300, 0.8), (80, 0.7)))
        found = predictor._judge({"left": one, "right": other})
        assert found.face is None and found.ears == {"left": one}
        mirrored = seen(EAR, reference_shape(EAR) * (-35, 35) + (120, 170), 0.7)
        both = predictor._judge({"left": mirrored, "right": one})  # their own shape tells the sides
        assert both.ears == {"left": one, "right": mirrored}
        assert set(predictor._judge({"face": seen(FACE, FRONT), "left": one, "right": other}).ears) == {"left", "right"}

    def test_nothing_in_view_is_false(self):
        assert not Prediction()
        assert Prediction(None, {"left": seen(EAR, reference_shape(EAR))})


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    """A predictor whose network reads charts, without training."""
    weights = save_chart_network(tmp_path_factory.mktemp("weights") / "chart.keras")
    return LandmarkPredictor(weights, precision="float32")


@pytest.fixture(scope="module")
def ears_only(tmp_path_factory):
    """The same of a network without a face head."""
    weights = save_chart_network(tmp_path_factory.mktemp("weights") / "ear.keras", tasks=("ear",))
    return LandmarkPredictor(weights, precision="float32")


def face_error(found, truth):
    """NME of the face, per cent."""
    return 100 * np.linalg.norm(found.face.points - truth, axis=1).mean() / np.linalg.norm(truth[36] - truth[45])


@pytest.mark.parametrize(
    "wrong", [np.zeros((40, 40), np.uint8), np.zeros((40, 40, 4), np.uint8), np.zeros((40, 40, 3))]
)
def test_what_is_no_image_is_refused(predictor, wrong):
    with pytest.raises(ValueError, match="uint8 RGB"):
        predictor(wrong)


class TestSearch:
    @pytest.mark.parametrize("length", [30, 60, 150, 300])
    def test_heads_of_all_sizes_are_found(self, predictor, length):
        image, points = draw_chart(360, 640, place((400.0, 180.0), length))
        found = predictor(image)
        assert face_error(found, points["face"]) < 4
        if length < 300:  # its ears are in the image
            assert set(found.ears) == {"left", "right"}
            for side, ear in found.ears.items():
                miss = np.linalg.norm(ear.points - points[side], axis=1).mean()
                assert miss < 0.05 * np.linalg.norm(np.ptp(points[side], axis=0))

    @pytest.mark.parametrize("degrees", [-60, -30, 30, 60, 90, -90, 180])
    def test_turned_heads_are_found_and_read_upright(self, predictor, degrees):
        image, points = draw_chart(300, 300, place((150.0, 150.0), 110, degrees))
        found = predictor(image)
        assert face_error(found, points["face"]) < 4
        apart = found.face.crop.angle - tilt(points["face"])
        assert (apart + 180) % 360 - 180 == pytest.approx(0, abs=4)

    @pytest.mark.parametrize("degrees", [90, 180, -90])
    def test_an_ear_alone_is_found_turned(self, predictor, degrees):
        image, points = draw_chart(200, 200, place((-90.0, 130.0), 260))  # nothing but an ear
        quarters = degrees // 90 % 4
        found = predictor(np.ascontiguousarray(np.rot90(image, -quarters)))
        assert found.face is None and len(found.ears) == 1
        turned = points["left"] - 99.5
        for _ in range(quarters):  # clockwise
            turned = np.column_stack([-turned[:, 1], turned[:, 0]])
        (ear,) = found.ears.values()
        miss = np.linalg.norm(ear.points - (turned + 99.5), axis=1).mean()
        assert miss < 0.08 * np.linalg.norm(np.ptp(points["left"], axis=0))

    def test_a_face_at_the_border_is_found(self, predictor):
        image, points = draw_chart(240, 320, place((30.0, 120.0), 110))
        assert face_error(predictor(image), points["face"]) < 12  # its points beyond the border are guesses

    def test_an_empty_image_shows_nobody(self, predictor):
        for shape in ((1, 1), (7, 300), (240, 320)):
            assert not predictor(np.zeros((*shape, 3), np.uint8))


class TestEarsAlone:
    """Weights without a face head."""

    @staticmethod
    def misses(found, points):
        """Mean error of each ear that was found, in diagonals of its box."""
        return [
            np.linalg.norm(ear.points - points[side], axis=1).mean() / np.linalg.norm(np.ptp(points[side], axis=0))
            for side, ear in found.ears.items()
        ]

    @pytest.mark.parametrize("degrees", [0, 90])
    def test_both_ears_of_a_head_are_found(self, ears_only, degrees):
        image, points = draw_chart(400, 400, place((200.0, 200.0), 160, degrees))
        found = ears_only(image)
        assert found.face is None and set(found.ears) == set(SIDES)
        assert max(self.misses(found, points)) < 0.08

    def test_of_one_ear_no_second_is_made(self, ears_only):
        image, points = draw_chart(240, 320, place((150.0, 120.0), 110))
        image[:, :200] = 0
        found = ears_only(image)
        assert set(found.ears) == {"left"} and max(self.misses(found, points)) < 0.08

    def test_in_a_video_the_other_ear_is_seen_when_it_comes(self, ears_only):
        image, points = draw_chart(240, 320, place((150.0, 120.0), 110))
        profile = image.copy()
        profile[:, :200] = 0
        now = Prediction()
        for _ in range(3):
            now = ears_only(profile, now)
        assert set(now.ears) == {"left"}
        for _ in range(16):
            now = ears_only(image, now)
        assert set(now.ears) == set(SIDES) and max(self.misses(now, points)) < 0.08


class TestTrack:
    def test_a_head_that_moves_is_read_where_it_was_without_a_search(self, predictor, monkeypatch):
        image, _ = draw_chart(240, 320, place((150.0, 120.0), 90))
        before = predictor(image)
        monkeypatch.setattr(predictor, "search", None)
        image, points = draw_chart(240, 320, place((158.0, 116.0), 93, 5))
        now = predictor(image, before)
        assert face_error(now, points["face"]) < 4
        assert set(now.ears) == {"left", "right"}

    def test_a_head_that_jumps_is_lost_and_found_in_the_same_frame(self, predictor):
        before = predictor(draw_chart(240, 320, place((70.0, 120.0), 60))[0])
        image, points = draw_chart(240, 320, place((250.0, 120.0), 60))
        assert face_error(predictor(image, before), points["face"]) < 4

    def test_while_nobody_is_there_one_size_a_frame_is_searched(self, predictor, monkeypatch):
        empty, now, asked = np.zeros((720, 1280, 3), np.uint8), Prediction(), []
        search = predictor.search

        def note(image, sizes, quarters):
            asked.append((sizes, *quarters))
            return search(image, sizes, quarters)

        monkeypatch.setattr(predictor, "search", note)
        for _ in range(11):
            now = predictor(empty, now)
        assert not now
        upright, turned = asked[1::2], asked[2::2]
        assert asked[0] == ((128, 256, 512), 0)
        assert upright == [((128,), 0), ((256,), 0), ((512,), 0), ((1024,), 0), ((128,), 0)]
        assert turned == [((128,), 1), ((256,), 1), ((128,), 3), ((256,), 3), ((128,), 2)]

    def test_an_ear_that_stays_hidden_is_looked_for_now_and_then_and_seen_when_it_comes(self, predictor, monkeypatch):
        whole, _ = draw_chart(240, 320, place((150.0, 120.0), 100))
        hidden = whole.copy()
        hidden[:, 200:] = 0  # the subject's left ear is gone
        side = next(iter(set(SIDES) - set(predictor(hidden).ears)))
        now, asked, look = predictor(hidden), [], predictor.look

        def note(image, squares):
            asked.append(side in squares)
            return look(image, squares)

        monkeypatch.setattr(predictor, "look", note)
        for _ in range(13):
            now = predictor(hidden, now)
            assert now.face is not None and side not in now.ears
        assert all(asked[:4])  # it may only have blinked
        assert sum(asked[4:12]) == 2 and len(asked) == 13
        for _ in range(4):
            now = predictor(whole, now)
        assert set(now.ears) == set(SIDES)
        del asked[:]
        now = predictor(hidden, now)
        now = predictor(hidden, now)
        assert all(asked)

    @pytest.mark.parametrize("degrees", [90, 180, -90])
    def test_a_video_of_a_phone_held_sideways_is_read_before_long(self, predictor, degrees):
        image, points = draw_chart(300, 300, place((150.0, 150.0), 110, degrees))
        now = Prediction()
        for _ in range(12):
            now = predictor(image, now)
        assert face_error(now, points["face"]) < 4

    def test_a_face_behind_a_hand_leaves_both_ears(self, predictor):
        image, points = draw_chart(240, 320, place((150.0, 120.0), 100))
        now = predictor(image)
        image[:, 105:195] = 0
        for _ in range(3):
            now = predictor(image, now)
            assert now.face is None and set(now.ears) == set(SIDES)
        for side, ear in now.ears.items():
            miss = np.linalg.norm(ear.points - points[side], axis=1).mean()
            assert miss < 0.05 * np.linalg.norm(np.ptp(points[side], axis=0))

    def test_a_face_is_found_while_an_ear_is_tracked(self, predictor):
        image, points = draw_chart(240, 320, place((150.0, 120.0), 100))
        image[:, :200] = 0  # the subject's left ear is all that is left
        alone = predictor(image)
        assert alone.face is None and set(alone.ears) == {"left"}
        both = predictor(draw_chart(240, 320, place((150.0, 120.0), 100))[0], alone)
        assert face_error(both, points["face"]) < 4
