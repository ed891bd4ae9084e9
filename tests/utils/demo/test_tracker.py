"""Following heads through frames, with a network that reads drawn charts of heads."""

import numpy as np
import pytest

from tests.charts import draw_chart, place
from tests.utils.demo.test_search import draw_heads, ear_errors, face_error
from utils.demo import Tracker
from utils.demo.prediction import SIDES
from utils.demo.tracker import search_step, sides_due


@pytest.fixture
def readings(predictor, monkeypatch):
    """What the network is given to read: (size, quarter) of a whole image, the names of crops."""
    given, read_image, read_crops = [], predictor.read_image, predictor.read_crops

    def note_image(image, size, quarter=0):
        given.append((size, quarter))
        return read_image(image, size, quarter)

    def note_crops(image, squares):
        given.append(set(squares))
        return read_crops(image, squares)

    monkeypatch.setattr(predictor, "read_image", note_image)
    monkeypatch.setattr(predictor, "read_crops", note_crops)
    return given


class TestPolicies:
    def test_a_search_begins_with_several_sizes_and_goes_on_with_one_a_frame(self):
        steps = [search_step((128, 256, 512, 1024), number) for number in range(11)]
        assert steps[0] == ((128, 256, 512), 0)
        assert steps[1::2] == [((128,), 0), ((256,), 0), ((512,), 0), ((1024,), 0), ((128,), 0)]
        assert steps[2::2] == [((128,), 1), ((256,), 1), ((128,), 3), ((256,), 3), ((128,), 2)]

    def test_a_hidden_ear_is_looked_for_four_frames_long_then_in_every_fourth_in_turns(self):
        due = [sides_due({"left": count, "right": count}) for count in range(13)]
        assert due[:4] == [SIDES] * 4
        assert due[4:12] == [("left",), (), ("right",), ()] * 2
        assert sides_due({}) == SIDES


class TestTracker:
    def test_a_head_that_moves_is_read_where_it_was_without_a_search(self, predictor, readings):
        tracker = Tracker(predictor)
        tracker(draw_chart(240, 320, place((150.0, 120.0), 90))[0])
        readings.clear()
        image, points = draw_chart(240, 320, place((158.0, 116.0), 93, 5))
        now = tracker(image)
        assert face_error(now, points["face"]) < 4
        assert set(now.ears) == set(SIDES)
        assert readings == [{"face", *SIDES}]
        assert tracker.prediction is now and tracker.hidden_frames == {} and tracker.searched_frames == 0

    def test_frames_of_another_size_begin_a_new_search(self, predictor):
        tracker = Tracker(predictor)
        tracker(draw_chart(240, 320, place((250.0, 200.0), 60))[0])
        image, points = draw_chart(120, 160, place((80.0, 60.0), 45))
        assert face_error(tracker(image), points["face"]) < 4
        assert tracker.searched_frames == 0

    def test_a_head_that_jumps_is_lost_and_found_in_the_same_frame(self, predictor):
        tracker = Tracker(predictor)
        tracker(draw_chart(240, 320, place((70.0, 120.0), 60))[0])
        image, points = draw_chart(240, 320, place((250.0, 120.0), 60))
        assert face_error(tracker(image), points["face"]) < 4

    def test_while_no_head_is_in_view_one_size_a_frame_is_read(self, predictor, readings):
        tracker = Tracker(predictor)
        for _ in range(4):
            assert not tracker(np.zeros((720, 1280, 3), np.uint8))
        whole_images = [reading for reading in readings if isinstance(reading, tuple)]
        assert whole_images == [(128, 0), (256, 0), (512, 0), (128, 0), (128, 1), (256, 0)]
        assert tracker.searched_frames == 4

    def test_an_ear_that_stays_hidden_is_looked_for_now_and_then_and_found_when_it_comes(self, predictor, readings):
        whole, _ = draw_chart(240, 320, place((150.0, 120.0), 100))
        hidden = whole.copy()
        hidden[:, 200:] = 0  # the subject's left ear is gone
        tracker = Tracker(predictor)
        tracker(hidden)
        readings.clear()
        for _ in range(13):
            now = tracker(hidden)
            assert now.face is not None and set(now.ears) == {"right"}
        asked = ["left" in names for names in readings]
        assert all(asked[:4])  # it may only have blinked
        assert sum(asked[4:12]) == 2 and len(asked) == 13
        for _ in range(4):
            now = tracker(whole)
        assert set(now.ears) == set(SIDES) and tracker.hidden_frames == {}
        readings.clear()
        tracker(hidden)
        tracker(hidden)
        assert all("left" in names for names in readings)

    @pytest.mark.parametrize("degrees", [90, 180, -90])
    def test_a_video_of_a_phone_held_sideways_is_read_before_long(self, predictor, degrees):
        image, points = draw_chart(300, 300, place((150.0, 150.0), 110, degrees))
        tracker = Tracker(predictor)
        for _ in range(12):
            now = tracker(image)
        assert face_error(now, points["face"]) < 4

    def test_a_face_behind_a_hand_leaves_both_ears(self, predictor):
        image, points = draw_chart(240, 320, place((150.0, 120.0), 100))
        tracker = Tracker(predictor)
        tracker(image)
        image[:, 105:195] = 0
        for _ in range(3):
            now = tracker(image)
            assert now.face is None and set(now.ears) == set(SIDES)
        assert max(ear_errors(now, points)) < 0.05

    def test_a_face_is_found_while_an_ear_is_tracked(self, predictor):
        whole, points = draw_chart(240, 320, place((150.0, 120.0), 100))
        image = whole.copy()
        image[:, :200] = 0  # the subject's left ear is all that is left
        tracker = Tracker(predictor)
        for _ in range(12):
            alone = tracker(image)
        assert alone.face is None and set(alone.ears) == {"left"}
        for _ in range(12):
            both = tracker(whole)
        assert face_error(both, points["face"]) < 4

    def test_the_other_ear_is_found_when_it_comes_by_weights_without_a_face_head(self, ears_only):
        image, points = draw_chart(240, 320, place((150.0, 120.0), 110))
        profile = image.copy()
        profile[:, :200] = 0
        tracker = Tracker(ears_only)
        for _ in range(3):
            now = tracker(profile)
        assert set(now.ears) == {"left"}
        for _ in range(16):
            now = tracker(image)
        assert set(now.ears) == set(SIDES) and max(ear_errors(now, points)) < 0.08

    def test_of_two_heads_the_larger_is_taken_and_kept_while_another_grows_past_it(self, predictor):
        tracker = Tracker(predictor)
        for step in range(12):
            image, points = draw_heads((90, 50 + 8 * step))  # the other ends at 138 pixels
            assert face_error(tracker(image), points[0]["face"]) < 4
        image, points = draw_heads((1, 138))
        assert face_error(tracker(image), points[1]["face"]) < 4  # the first has gone

    def test_trackers_of_one_predictor_do_not_disturb_each_other(self, predictor):
        one, other = Tracker(predictor), Tracker(predictor)
        image, points = draw_chart(240, 320, place((150.0, 120.0), 90))
        one(image)
        assert not other(np.zeros_like(image))
        assert face_error(one(image), points["face"]) < 4
        assert (one.searched_frames, other.searched_frames) == (0, 1)
