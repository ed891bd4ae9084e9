"""Each rule alone, then the choices that are made of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.schemes import EAR
from tests.utils.demo.heads import EAR_SHAPE, FRONT, alone, ear, face, landmarks, turned
from utils.demo.detections import (
    Thresholds,
    are_one_ear,
    better_ears,
    detection_score,
    fills_crop,
    filter_detections,
    fits_face_in_length,
    is_ear,
    is_ear_shaped,
    is_face,
    is_fold,
    lies_amid,
    lies_beside,
    select_detections,
)
from utils.demo.prediction import Prediction

THRESHOLDS = Thresholds()


def select(with_face, ear_alone):
    return select_detections(with_face, ear_alone, THRESHOLDS)


class TestRules:
    def test_noise_is_no_face_and_faces_from_any_side_are(self):
        rng = np.random.default_rng(0)
        assert not any(is_face(face(rng.uniform(0, 100, (68, 2)))) for _ in range(50))
        for squeeze in (1.0, 0.6, 0.3):
            for degrees in (-60, 0, 120):
                assert is_face(face(turned(FRONT * (squeeze, 1), degrees) + rng.normal(0, 2, (68, 2))))

    @given(st.integers(0, 1000))
    def test_ear_points_in_disorder_have_no_ears_shape(self, seed):
        assert is_ear_shaped(EAR_SHAPE * 35)
        assert not is_ear_shaped(np.random.default_rng(seed).permutation(EAR_SHAPE) * 35)

    @pytest.mark.parametrize(("length", "fills"), [(10, False), (20, True), (60, True), (90, True), (99, False)])
    def test_an_ear_fills_its_crop_of_100_pixels(self, length, fills):
        assert fills_crop(ear((0, 0), length)) is fills

    @pytest.mark.parametrize(("length", "fits"), [(5, False), (20, True), (35, True), (60, True), (90, False)])
    def test_an_ears_length_goes_with_a_face_of_100_pixels(self, length, fits):
        assert fits_face_in_length(ear((300, 170), length), face()) is fits
        assert is_ear(ear((300, 170), length), face()) is (fits and length > 15)
        assert is_ear(ear((300, 170), length), None) is (15 < length < 95)

    def test_an_ear_over_the_nose_lies_amid_the_face_and_one_at_the_jaw_does_not(self):
        assert lies_amid(ear(tuple(FRONT[30] - 15)), face())
        assert not lies_amid(ear((300, 170)), face())

    @pytest.mark.parametrize(
        ("corner", "beside"),
        [((290, 170), True), ((330, 170), True), ((120, 170), False), ((700, 170), False), ((250, 320), False)],
    )
    def test_a_left_ear_lies_beside_its_face_on_its_own_side_near_and_about_as_high(self, corner, beside):
        assert lies_beside(ear(corner), face()) is beside
        mirrored = landmarks(EAR, ear(corner).points * (-1, 1) + (2 * FRONT[:, 0].mean(), 0))
        assert lies_beside(mirrored, face()) is beside

    def test_ears_within_half_a_length_are_one(self):
        assert are_one_ear(ear((300, 170)), ear((310, 170)))
        assert not are_one_ear(ear((300, 170)), ear((320, 170)))

    def test_a_fold_is_a_small_ear_inside_a_large_one(self):
        large = ear((100, 100), 200)
        assert is_fold(ear((120, 120), 30), large)
        assert not is_fold(ear((400, 120), 30), large)
        assert not is_fold(ear((105, 105), 150), large)

    def test_the_score_is_the_faces_or_else_the_best_ears(self):
        assert detection_score(Prediction()) == 0
        assert detection_score(alone(ear((0, 0), score=0.7), ear((9, 9), score=0.8))) == pytest.approx(0.8)
        assert detection_score(Prediction(face(score=0.5), {"left": ear((0, 0), score=0.9)})) == pytest.approx(0.5)


class TestFilter:
    def filtered(self, **detections):
        return filter_detections(detections, THRESHOLDS)

    def test_faces_and_ears_below_their_thresholds_are_left_out(self):
        assert not self.filtered(face=face(score=0.24), left=ear((300, 170), score=0.64))
        kept = self.filtered(face=face(score=0.26), left=ear((300, 170), score=0.66))
        assert kept.face is not None and set(kept.ears) == {"left"}

    def test_an_ear_that_suits_no_face_is_left_out_beside_one_and_kept_without(self):
        long = ear((300, 170), 80)
        assert self.filtered(face=face(), left=long).ears == {}
        assert self.filtered(left=long).ears == {"left": long}

    def test_of_two_ears_in_one_place_the_better_is_kept(self):
        good, bad = ear((300, 170), score=0.8), ear((305, 170), score=0.7)
        assert self.filtered(face=face(), left=bad, right=good).ears == {"right": good}

    def test_without_a_face_an_ear_is_kept_once_for_each_side_that_its_shape_tells(self):
        one, other = ear((300, 170), score=0.8), ear((80, 170), score=0.7)
        assert self.filtered(left=one, right=other).ears == {"left": one}
        mirrored = ear((120, 170), score=0.7, side="right")
        assert self.filtered(left=mirrored, right=one).ears == {"left": one, "right": mirrored}
        assert set(self.filtered(face=face(), left=one, right=other).ears) == {"left", "right"}


class TestSelect:
    def test_an_ear_amid_a_face_or_too_large_for_it_is_taken_if_it_scores_higher(self):
        doubtful, surer = Prediction(face(score=0.5)), Prediction(face(score=0.72))
        amid, large = alone(ear(tuple(FRONT[30] - 15), score=0.7)), alone(ear((300, 170), 90, 0.7))
        assert select(doubtful, amid) is amid and select(doubtful, large) is large
        assert select(surer, amid) is surer and select(surer, large) is surer

    def test_what_is_alone_is_taken(self):
        one, other = Prediction(face(score=0.5)), alone(ear((0, 0), score=0.7))
        assert select(one, Prediction()) is one and select(Prediction(), other) is other

    def test_a_sure_ear_beside_a_face_without_one_joins_it(self):
        doubtful = Prediction(face(score=0.5))
        both = select(doubtful, alone(ear((330, 170), score=0.8)))
        assert both.face is doubtful.face and set(both.ears) == {"left"} and not doubtful.ears
        assert select(doubtful, alone(ear((330, 170), score=0.7))) is doubtful  # the ear is not sure
        with_ears = Prediction(doubtful.face, {"left": ear((290, 170), score=0.66)})
        assert select(with_ears, alone(ear((330, 170), score=0.8))) is with_ears

    @pytest.mark.parametrize("corner", [(700, 170), (120, 170), (250, 320)])
    def test_a_sure_ear_elsewhere_takes_the_place_of_a_doubtful_face_alone(self, corner):
        elsewhere = alone(ear(corner, score=0.8))
        doubtful, surer = Prediction(face(score=0.5)), Prediction(face(score=0.65))
        assert select(doubtful, elsewhere) is elsewhere
        assert select(surer, elsewhere) is surer

    def test_beside_a_jaw_without_a_face_no_ear_is_judged(self):
        points = FRONT.copy()
        points[17:] = np.nan
        jaw = Prediction(face(points, 0.5))
        assert select(jaw, alone(ear((700, 170), score=0.8))) is jaw


class TestBetterEars:
    def test_an_ear_within_an_ear_is_a_fold_of_it_whatever_its_score(self):
        large = alone(ear((100, 100), 200, 0.80), sides=("right",))
        fold, beside = alone(ear((120, 120), 30, 0.82)), alone(ear((400, 400), 30, 0.82))
        for one, other, better in ((large, fold, large), (fold, large, large), (large, beside, beside)):
            assert better_ears(one, other) is better
            assert better_ears(Prediction(), other) is other and better_ears(one, Prediction()) is one

    def test_two_ears_count_as_the_better_of_them(self):
        left, right = ear((300, 170), score=0.7), ear((120, 170), score=0.8, side="right")
        both = alone(left, right)
        assert better_ears(both, alone(left)) is both
        found = select(Prediction(face(score=0.9)), both)
        assert found.face is not None and set(found.ears) == {"right"}
