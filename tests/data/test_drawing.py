"""Drawing, pixel by pixel: what must be where is worked out by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from data.augment import Warp
from data.drawing import (
    contact_sheet,
    crop_with_landmarks,
    overlay,
    paint_landmarks,
    paint_map,
    paint_square,
    write_label,
    write_lines,
)
from data.schemes import EAR, FACE

SIZE = 64
RED = (255, 0, 0)


def black(height=SIZE, width=SIZE):
    return np.zeros((height, width, 3), np.uint8)


def ear_points(**places):
    """55 points of which only the named ones are there: `p3=(x, y)` is landmark 3."""
    points = np.full((EAR.count, 2), np.nan, np.float32)
    for name, place in places.items():
        points[int(name[1:])] = place
    return points


def bounds(image):
    """The box (left, top, right, bottom), inclusive, of what is not black."""
    rows, columns = np.nonzero(image.any(axis=2))
    return columns.min(), rows.min(), columns.max(), rows.max()


def centroid(image):
    """The centre (x, y) of an image's light."""
    light = image.sum(axis=2).astype(float)
    rows, columns = np.mgrid[: light.shape[0], : light.shape[1]]
    return (columns * light).sum() / light.sum(), (rows * light).sum() / light.sum()


# --- landmarks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("landmark", [0, 19, 20, 34, 35, 50])
def test_a_point_is_drawn_at_its_pixel_in_the_colour_of_its_group(landmark):
    image = paint_landmarks(black(), ear_points(**{f"p{landmark}": (20, 41)}), EAR)
    assert tuple(image[41, 20]) == EAR.group_of(landmark).colour
    left, top, right, bottom = bounds(image)
    assert 18 <= left <= 20 <= right <= 22 and 39 <= top <= 41 <= bottom <= 43  # a dot of one pixel's radius
    assert centroid(image) == pytest.approx((20, 41), abs=0.05)


def test_a_point_between_pixels_is_drawn_between_them():
    """A pixel's centre is at a whole number: a quarter of a pixel to the right moves the dot's light by that much."""
    places = [(30.0, 30.0), (30.25, 30.0), (30.5, 30.0), (30.0, 30.75)]
    drawn = [centroid(paint_landmarks(black(), ear_points(p0=place), EAR, colour=RED)) for place in places]
    for place, light in zip(places, drawn, strict=True):
        assert light == pytest.approx(place, abs=0.13)  # 1/16 pixel of OpenCV's, and its anti-aliasing
    assert drawn[0][0] < drawn[1][0] < drawn[2][0]


def test_neighbours_of_a_group_are_joined_and_a_missing_point_leaves_out_both_its_lines():
    whole = paint_landmarks(black(), ear_points(p0=(8, 32), p1=(32, 32), p2=(56, 32)), EAR)
    parted = paint_landmarks(black(), ear_points(p0=(8, 32), p2=(56, 32)), EAR)
    for x in (20, 44):  # between the points
        np.testing.assert_allclose(whole[32, x], EAR.groups[0].colour, rtol=0.1)  # a line is smoothed
        assert not parted[:, x].any()
    assert not parted[32, 32].any()
    assert parted[32, 8].any() and parted[32, 56].any()


def test_groups_are_not_joined_with_each_other():
    image = paint_landmarks(black(), ear_points(p19=(8, 32), p20=(56, 32)), EAR)  # last of the helix, first of the next
    assert not image[:, 20:45].any()


@pytest.mark.parametrize(("first", "last", "closed"), [(36, 41, True), (0, 16, False)])
def test_a_closed_group_ends_where_it_began(first, last, closed):
    points = np.full((FACE.count, 2), np.nan)
    points[first], points[last] = (10, 20), (50, 20)
    image = paint_landmarks(black(), points, FACE)
    assert bool(image[20, 30].any()) is closed


def test_a_subset_of_landmarks_keeps_its_own_groups_and_lines():
    landmarks = (18, 19, 20)
    image = paint_landmarks(black(), np.array([(10, 10), (30, 10), (50, 10)], np.float32), EAR, landmarks)
    np.testing.assert_allclose(image[10, 20], EAR.groups[0].colour, rtol=0.1)  # 18 to 19
    assert not image[10, 40].any()  # 19 to 20 is the step to another group
    assert tuple(image[10, 50]) == EAR.groups[1].colour
    with pytest.raises(ValueError, match="zip"):
        paint_landmarks(black(), np.zeros((2, 2)), EAR, landmarks)


def test_one_colour_replaces_those_of_the_groups():
    image = paint_landmarks(black(), ear_points(p0=(8, 8), p20=(40, 40), p21=(56, 40)), EAR, colour=RED)
    assert image[..., 0].any() and not image[..., 1:].any()


def test_points_outside_or_missing_leave_the_image_as_it_was():
    for points in (ear_points(), ear_points(p0=(-40, -40), p20=(500, 3)), ear_points(p0=(1e30, -1e30))):
        assert not paint_landmarks(black(), points, EAR).any()


def test_numbers_stand_beside_their_points():
    points = ear_points(p0=(200, 600), p54=(800, 600))
    plain, numbered = (paint_landmarks(black(1000, 1000), points, EAR, numbers=flag) for flag in (False, True))
    words = (numbered == 255).all(axis=2)
    assert not (plain == 255).all(axis=2).any()
    rows, columns = np.nonzero(words)
    assert set(np.unique(np.where(columns < 500, 0, 1))) == {0, 1}
    assert (columns[columns < 500] > 200).all() and (columns[columns > 500] > 800).all()  # to the right
    assert rows.max() < 600  # and above


# --- crops ------------------------------------------------------------------------------------------------------------


def test_a_crops_points_move_with_its_pixels():
    """A square of side 32 round (20.5, 30.5), drawn 64 wide: its centre lands on 31.5, twice as fine."""
    image = black(100, 100)
    image[30, 20] = 255
    warp = Warp((20.5, 30.5), 32.0)
    crop = crop_with_landmarks(image, warp, [], EAR, SIZE)
    painted = crop_with_landmarks(black(100, 100), warp, [(ear_points(p0=(20, 30)), None, RED)], EAR, SIZE)
    by_hand = 31.5 + 2 * (20 - 20.5), 31.5 + 2 * (30 - 30.5)
    assert centroid(crop) == pytest.approx(by_hand, abs=0.05)
    assert centroid(painted) == pytest.approx(by_hand, abs=0.13)


def test_later_layers_lie_over_earlier_ones():
    layers = [(ear_points(p0=(50, 50)), None, RED), (ear_points(p0=(50, 50)), None, (0, 0, 255))]
    crop = crop_with_landmarks(black(100, 100), Warp((49.5, 49.5), 100.0), layers, EAR, 100)
    assert tuple(crop[50, 50]) == (0, 0, 255)


# --- maps -------------------------------------------------------------------------------------------------------------


def test_an_overlay_is_half_image_and_half_false_colour():
    low, high = (
        cv2.applyColorMap(np.full((1, 1), level, np.uint8), cv2.COLORMAP_TURBO)[0, 0, ::-1] for level in (0, 255)
    )
    image = np.full((4, 6, 3), 100, np.uint8)
    for heat, colour in ((0.0, low), (1.0, high), (-3.0, low), (7.0, high)):
        drawn = overlay(image, np.full((2, 2), heat))
        assert drawn.shape == image.shape
        np.testing.assert_allclose(drawn, np.broadcast_to(50 + colour / 2.0, drawn.shape), atol=1)


def test_a_map_is_painted_inside_its_square_only():
    """The square of side 20 round (29.5, 39.5) covers the pixels 20 to 39 by 30 to 49."""
    image = np.full((100, 100, 3), 77, np.uint8)
    paint_map(image, np.ones((8, 8), np.float32), Warp((29.5, 39.5), 20.0))
    rows, columns = np.nonzero((image != 77).any(axis=2))
    assert 19 <= columns.min() <= 20 and 39 <= columns.max() <= 40
    assert 29 <= rows.min() <= 30 and 49 <= rows.max() <= 50
    assert (image[30:50, 20:40] != 77).any(axis=2).all()


@pytest.mark.parametrize("flip", [False, True])
def test_a_maps_peak_lies_where_its_cell_lies(flip):
    """Cell (1, 6) of 8 of a square of side 80 round (49.5, 49.5): its centre is pixel 10 * 6.5 - 0.5 + 10 = 74.5."""
    heat = np.zeros((8, 8), np.float32)
    heat[1, 6] = 1
    image = black(100, 100)
    paint_map(image, heat, Warp((49.5, 49.5), 80.0, flip=flip))
    ground = image[89, 89].astype(int)  # a cell of zeros
    change = np.abs(image.astype(int) - ground).sum(axis=2)[10:90, 10:90]
    y, x = np.add(np.unravel_index(change.argmax(), change.shape), 10)
    x_by_hand = 24.5 if flip else 74.5  # a mirrored square is mirrored about its middle
    assert abs(x - x_by_hand) <= 5 and abs(y - 24.5) <= 5  # within the cell
    rows, columns = np.nonzero(change > 30)
    assert (columns.mean() + 10, rows.mean() + 10) == pytest.approx((x_by_hand, 24.5), abs=1)


def test_a_map_off_the_image_changes_nothing_and_one_at_the_edge_is_cut():
    image = black()
    paint_map(image, np.ones((4, 4)), Warp((-100.0, 30.0), 20.0))
    assert not image.any()
    paint_map(image, np.ones((4, 4)), Warp((-0.5, 31.5), 20.0))
    left, _, right, _ = bounds(image)
    assert left == 0 and 9 <= right <= 10


def test_a_squares_outline_has_its_corners_and_leaves_its_inside():
    corners = np.array([(40, 60), (160, 60), (160, 180), (40, 180)], np.float32)
    image = paint_square(np.full((200, 200, 3), 90, np.uint8), corners, "x")
    for x, y in corners.astype(int):
        assert (image[y, x] > 200).all()
    assert (image[70:170, 60:150] == 90).all()
    assert (image[60, 60:150] > 200).all()
    assert (image[190:] == 90).all() and (image[:, 170:] == 90).all()


# --- words and sheets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["4.2 %  a", "123.4 %  HELEN_2345678901_1_12_abc", "W" * 40])
def test_a_label_is_not_cut_at_the_images_edge(text):
    size = 256
    image = write_label(np.zeros((size, size, 3), np.uint8), text)
    columns = np.flatnonzero(image.max(axis=(0, 2)))
    wider = write_label(np.zeros((size, 8 * size, 3), np.uint8), text)
    assert columns.max() < size - 1
    if np.flatnonzero(wider.max(axis=(0, 2))).max() < size - 12:  # it fits as it is
        assert np.array_equal(image, wider[:, :size])


def test_a_label_lies_on_a_dark_strip_at_the_bottom():
    image = write_label(np.full((256, 256, 3), 200, np.uint8), "ear")
    changed = np.flatnonzero((image != 200).any(axis=(1, 2)))
    assert changed.max() == 255 and changed.min() > 200
    assert image[255, 255].tolist() == [200 // 3] * 3
    assert (image == 255).any()


def test_text_reads_from_left_to_right():
    """The stem of an F is its left edge: a mirrored letter would have it at the right."""
    image = write_lines(black(1200, 1200), ["F"])
    letter = image[..., 0] == 255
    columns = np.flatnonzero(letter.any(axis=0))
    strokes = letter.sum(axis=0)
    assert strokes[columns[: len(columns) // 3]].max() == strokes.max()
    assert strokes[columns[-len(columns) // 3 :]].max() < strokes.max() / 2


def test_lines_of_text_stand_in_the_corner_that_was_asked_for():
    upper, lower = (write_lines(np.full((300, 400, 3), 200, np.uint8), ["one", "two"], flag) for flag in (False, True))
    for image, corner, other in ((upper, (0, 0), (299, 0)), (lower, (299, 0), (0, 0))):
        assert image[corner].tolist() == [50] * 3  # a quarter as bright
        assert image[other].tolist() == [200] * 3
        assert image[0, 399].tolist() == image[299, 399].tolist() == [200] * 3


def test_a_contact_sheet_puts_images_in_rows_with_gaps():
    images = [np.full((5, 7, 3), 100 + k, np.uint8) for k in range(5)]
    sheet = contact_sheet(images, columns=3, gap=2)
    assert sheet.shape == (2 * (5 + 2) + 2, 3 * (7 + 2) + 2, 3)
    for k, (top, left) in enumerate([(2, 2), (2, 11), (2, 20), (9, 2), (9, 11)]):
        assert (sheet[top : top + 5, left : left + 7] == 100 + k).all()
    sheet[sheet >= 100] = 40
    assert (sheet == 40).all()  # gaps, and the place of a sixth


def test_a_contact_sheet_is_no_wider_than_its_images():
    assert contact_sheet([black(10, 10)] * 2, columns=8, gap=4).shape == (18, 32, 3)
