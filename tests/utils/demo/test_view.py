from dataclasses import replace

import numpy as np
import pytest

from data.augment import Warp
from data.drawing import paint_map, write_lines
from data.schemes import EAR, FACE, reference_shape
from utils.demo.prediction import Landmarks, Prediction
from utils.demo.view import OVERLAYS, View, in_view

IMAGE = np.full((200, 300, 3), 90, np.uint8)


def landmarks(scheme, corner, length, confidence=1.0):
    points = (reference_shape(scheme) * length + corner).astype(np.float32)
    box = Warp(tuple((points.max(axis=0) + points.min(axis=0)) / 2), 1.6 * length)
    return Landmarks(scheme, tuple(range(scheme.count)), points, np.full(scheme.count, confidence), box)


def head():
    return Prediction(
        landmarks(FACE, (100, 40), 100), {"left": landmarks(EAR, (220, 80), 30), "right": landmarks(EAR, (60, 80), 30)}
    )


class Maps:
    """Stands in for a predictor: a map that is high in its left half, and the squares that it was asked for."""

    first = FACE

    def __init__(self):
        self.squares = []

    def maps(self, image, square):
        self.squares.append(square)
        heat = np.zeros((16, 16), np.float32)
        heat[:, :8] = 1
        return {"face_heat": heat, "ear_heat": heat, "attention": heat}


def changed(drawn, image=IMAGE):
    """Columns and rows (first, last) in which a drawing differs from the image."""
    rows, columns = np.nonzero((drawn != image).any(axis=-1))
    return columns.min(), columns.max(), rows.min(), rows.max()


def test_face_and_ears_are_drawn_where_they_are_and_the_image_is_kept():
    before = IMAGE.copy()
    drawn = View(0.1).draw(IMAGE, head(), None)
    assert np.array_equal(IMAGE, before)
    left, right, top, bottom = changed(drawn)
    assert abs(left - 60) <= 3 and abs(top - 40) <= 3
    assert abs(bottom - (40 + 100 * reference_shape(FACE)[:, 1].max())) <= 3
    assert abs(right - (220 + 30 * reference_shape(EAR)[:, 0].max())) <= 3


@pytest.mark.parametrize("mirror", [False, True])
def test_frames_are_drawn_into_one_array_without_a_trace_of_the_last(mirror):
    view = View(0.1, mirror=mirror)
    first = view.draw(IMAGE, head(), None)
    assert (first != IMAGE).any()
    second = view.draw(IMAGE, Prediction(), None)
    assert second is first and np.array_equal(second, IMAGE)
    assert view.draw(IMAGE[:100], Prediction(), None).shape == (100, 300, 3)


def test_every_part_of_an_ear_has_its_colour():
    drawn = View(0.1).draw(IMAGE, Prediction(None, {"left": landmarks(EAR, (100, 40), 120)}), None)
    for group in EAR.groups:
        assert (drawn == group.colour).all(axis=-1).any(), group.name


def test_points_below_the_threshold_are_not_drawn():
    weak = Prediction(landmarks(FACE, (100, 40), 100, confidence=0.2))
    assert np.array_equal(View(0.3).draw(IMAGE, weak, None), IMAGE)
    assert not np.array_equal(View(0.2).draw(IMAGE, weak, None), IMAGE)


def test_the_mirror_swaps_the_drawing_with_the_image():
    shaded = np.tile(np.linspace(0, 80, 300).astype(np.uint8)[None, :, None], (200, 1, 3))
    found = Prediction(landmarks(FACE, (30, 40), 100))
    plain, mirrored = (View(0.1, mirror=mirror).draw(shaded, found, None) for mirror in (False, True))
    assert np.array_equal(mirrored[:, -1], shaded[:, 0])
    assert np.abs(mirrored[:, ::-1].astype(int) - plain).mean() < 0.5


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("overlay", ["heatmaps", "attention"])
def test_a_map_lies_over_its_square(overlay, mirror):
    maps = Maps()
    found = Prediction(landmarks(FACE, (100, 40), 100))
    drawn = View(2.0, overlay, mirror=mirror).draw(IMAGE, found, maps)  # a threshold that hides the points
    assert maps.squares == [found.face.crop]
    left, right, _, _ = changed(drawn)
    centre = found.face.crop.centre[0]
    low, high = centre - 80, centre + 80
    if mirror:
        low, high, centre = 299 - high, 299 - low, 299 - centre
    assert abs(left - low) <= 2 and abs(right - high) <= 2
    inner, outer = drawn[100, round(centre) - 40], drawn[100, round(centre) + 40]
    hot, cold = (outer, inner) if mirror else (inner, outer)
    assert hot[0] > cold[0] + 20  # red, where the map is high


def test_a_turned_square_is_mirrored_with_the_image():
    face = replace(landmarks(FACE, (60, 40), 100), crop=Warp((120.0, 90.0), 110.0, angle=30.0))
    plain, mirrored = (View(2.0, "heatmaps", mirror=m).draw(IMAGE, Prediction(face), Maps()) for m in (False, True))
    assert np.abs(mirrored[:, ::-1].astype(int) - plain).mean() < 1
    assert (plain != IMAGE).any(axis=-1).sum() == pytest.approx(110**2, rel=0.05)


@pytest.mark.parametrize("mirror", [False, True])
def test_the_words_of_a_box_begin_at_its_upper_left_corner(mirror):
    found = Prediction(landmarks(FACE, (120, 80), 60))
    drawn = View(2.0, "boxes", mirror=mirror).draw(IMAGE, found, None)
    x, y = found.face.crop.centre
    left, top = (299 - x if mirror else x) - 48, y - 48
    panel = drawn[round(top) - 4, round(left) : round(left) + 30]
    assert (panel < 60).mean() > 0.5
    assert (drawn[round(top) - 4, round(left) + 80 :] == 90).all()


def test_with_no_head_in_view_the_overlay_shows_the_whole_image():
    maps = Maps()
    drawn = View(0.1, "heatmaps").draw(IMAGE, Prediction(), maps)
    assert maps.squares == [Warp((149.5, 99.5), 300.0)]
    assert changed(drawn) == (0, 299, 0, 199)


@pytest.mark.parametrize("overlay", ["boxes", "numbers"])
def test_boxes_and_numbers_add_to_the_drawing(overlay):
    plain, more = View(0.1).draw(IMAGE, head(), None), View(0.1, overlay).draw(IMAGE, head(), None)
    assert (plain != more).any()
    if overlay == "boxes":  # the crop's side is 160, round (.., 90): from row 10 on, its words above
        assert changed(more)[2] <= 12


@pytest.mark.parametrize("mirror", [False, True])
def test_the_pose_is_drawn_as_axes_to_the_left_of_the_head_up_and_out_of_the_face(mirror):
    turned = replace(head().face, points=head().face.points * (0.6, 1) + np.array([60, 0]))
    hidden = View(2.0, "pose", mirror=mirror)  # a threshold that hides the points
    drawn = hidden.draw(IMAGE, Prediction(turned), None)
    middle = turned.points.mean(axis=0)
    if mirror:
        middle[0] = IMAGE.shape[1] - 1 - middle[0]
    reach = np.ptp(turned.points, axis=0).max() / 4
    left = -1 if mirror else 1  # of the head, in the drawing
    for direction, channel in (((left, 0), 0), ((0, -1), 1)):
        x, y = np.round(middle + reach * np.array(direction)).astype(int)
        near = drawn[y - 6 : y + 7, x - 6 : x + 7].reshape(-1, 3).astype(int)
        assert (near[:, channel] - np.delete(near, channel, axis=1).max(axis=1)).max() > 60


def test_a_face_without_a_pose_is_drawn_without_axes():
    line = replace(head().face, points=np.column_stack([np.arange(68.0), np.arange(68.0)]) + 50)
    drawn, plain = (View(0.1, overlay).draw(IMAGE, Prediction(line), None) for overlay in ("pose", "none"))
    assert np.array_equal(drawn, plain)


def test_keys_go_through_overlays_and_ears_and_back():
    view = View(0.1)
    overlays = [view.overlay for _ in OVERLAYS if view.press("overlay")]
    assert overlays == [*OVERLAYS[1:], "none"]
    ears = [view.ears for _ in range(4) if view.press("ears")]
    assert ears == [("left",), ("right",), (), ("left", "right")]
    assert list(in_view(head(), ("right",))) == ["face", "right ear"]
    assert view.press("mirror") and view.mirror and view.press("help") and view.help
    assert not view.press("save") and not view.press("")


def test_a_map_beside_the_image_changes_nothing():
    image = IMAGE.copy()
    paint_map(image, np.ones((8, 8)), Warp((1000.0, 100.0), 50.0))
    assert np.array_equal(image, IMAGE)


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (30, 40), (1080, 1920)])
def test_drawing_works_on_any_size(size):
    image = np.full((*size, 3), 200, np.uint8)
    for overlay in OVERLAYS:
        drawn = View(0.1, overlay).draw(image, head(), Maps())
        assert drawn.shape == image.shape
    assert write_lines(image.copy(), ["18.2 frames/s", "h: help"], lower=True).shape == image.shape


def test_words_grow_with_the_image():
    small, large = (write_lines(np.full((size, size, 3), 200, np.uint8), ["help"]) for size in (400, 2000))
    panels = [np.argmax(image[:, 0, 0] == 200) for image in (small, large)]
    assert 3 < panels[1] / panels[0] < 7
