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
from data.schemes import EAR, FACE, reference_shape


def black(height, width):
    return np.zeros((height, width, 3), np.uint8)


def colour_at(image, point):
    x, y = np.round(point).astype(int)
    return tuple(image[y, x].tolist())


class TestLandmarks:
    POINTS = reference_shape(FACE) * 200 + 40

    def test_every_landmark_and_line_has_the_colour_of_its_group(self):
        image = paint_landmarks(black(280, 280), self.POINTS, FACE)
        for group in FACE.groups:
            for one, other in zip(group.indices, group.indices[1:], strict=False):
                assert colour_at(image, self.POINTS[one]) == group.colour, one
                middle = (self.POINTS[one] + self.POINTS[other]) / 2
                assert max(colour_at(image, middle)) > 0.6 * max(group.colour), (one, other)

    def test_one_colour_replaces_those_of_the_groups(self):
        image = paint_landmarks(black(280, 280), self.POINTS, FACE, colour=(255, 255, 255))
        assert all(colour_at(image, point) == (255, 255, 255) for point in self.POINTS)
        assert (np.ptp(image.astype(int), axis=2) == 0).all()

    def test_points_that_are_not_known_are_left_out_with_their_lines(self):
        points = self.POINTS.copy()
        points[27:31] = np.nan  # the bridge of the nose
        image = paint_landmarks(black(280, 280), points, FACE)
        assert colour_at(image, self.POINTS[28]) == (0, 0, 0)
        assert colour_at(image, self.POINTS[8]) == FACE.group_of(8).colour
        assert not paint_landmarks(black(9, 9), np.full((68, 2), np.nan), FACE).any()

    def test_a_subset_is_drawn_as_what_it_is(self):
        """Points 10 and 11 of an ear are neighbours on its rim: a line joins them. 10 and 30 have none between them."""
        two = np.float32([[20, 50], [80, 50]])
        joined, apart = (paint_landmarks(black(100, 100), two, EAR, chosen) for chosen in ((10, 11), (10, 30)))
        assert joined[50, 50].any() and not apart[50, 50].any()
        assert colour_at(joined, two[1]) == EAR.group_of(11).colour
        assert colour_at(apart, two[1]) == EAR.group_of(30).colour

    def test_a_crop_shows_the_points_where_the_image_went(self):
        image = black(200, 300)
        image[60:81, 140:161] = (0, 0, 255)
        warp = Warp(centre=(150, 70), side=100)
        drawn = crop_with_landmarks(image, warp, [(np.float32([[150, 70]]), [36], (255, 0, 0))], FACE, size=200)
        assert drawn.shape == (200, 200, 3)
        assert drawn[99, 99, 0] > 180 and drawn[99, 99, 2] < 100  # the point lies mid-crop
        assert tuple(drawn[85, 85].tolist()) == (0, 0, 255)  # the square of 20 pixels is 40 wide now
        assert not drawn[70, 70].any()


class TestText:
    @pytest.mark.parametrize("text", ["4.2 %  a", "123.4 %  HELEN_2345678901_1_12_abc", "W" * 40])
    def test_a_label_is_not_cut_at_the_images_edge(self, text):
        size = 256
        image = write_label(black(size, size), text)
        columns = np.flatnonzero(image.max(axis=(0, 2)))
        wider = write_label(black(size, 8 * size), text)
        assert columns.max() < size - 1
        if np.flatnonzero(wider.max(axis=(0, 2))).max() < size - 12:  # it fits as it is
            assert np.array_equal(image, wider[:, :size])

    @pytest.mark.parametrize("lower", [False, True])
    def test_lines_stand_on_a_darker_panel_in_their_corner(self, lower):
        gray = np.full((200, 400, 3), 100, np.uint8)
        image = write_lines(gray.copy(), ["one line", "and another"], lower)
        changed = (image != 100).any(axis=2)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        assert columns[0] == 0 and columns[-1] < 399
        assert (rows[-1] == 199 and rows[0] > 100) if lower else (rows[0] == 0 and rows[-1] < 100)
        panel = image[rows[0] : rows[-1] + 1, : columns[-1] + 1]
        assert panel.max() > 200 and panel.min() == 25


class TestMaps:
    def test_false_colours_run_from_blue_to_red_over_a_dimmed_image(self):
        heat = np.float32([[0, 1]])
        image = overlay(np.full((40, 80, 3), 100, np.uint8), heat)
        left, right = image[20, 4].astype(int), image[20, 76].astype(int)
        assert right[0] > left[0] + 20 and left.min() >= 50 and right.min() >= 50  # half of the 100 stays

    def test_a_map_is_painted_over_its_square_alone_and_turned_with_it(self):
        heat = np.zeros((8, 8), np.float32)
        heat[0, :] = 1  # the upper edge of the square
        gray = np.full((100, 100, 3), 100, np.uint8)
        for angle, hot, cold in ((0, (50, 33), (50, 67)), (90, (33, 50), (67, 50))):
            image = paint_map(gray.copy(), heat, Warp(centre=(50, 50), side=40, angle=angle))
            assert (image[:25] == 100).all() and (image[:, :25] == 100).all() and (image[75:] == 100).all()
            assert colour_at(image, hot)[0] > colour_at(image, cold)[0] + 20

    def test_a_square_beside_the_image_changes_nothing(self):
        gray = np.full((50, 50, 3), 100, np.uint8)
        assert (paint_map(gray.copy(), np.ones((8, 8), np.float32), Warp((300, 20), 40)) == 100).all()

    def test_a_square_is_outlined_and_named(self):
        corners = np.float32([[30, 40], [130, 40], [130, 140], [30, 140]])
        image = paint_square(np.full((200, 200, 3), 100, np.uint8), corners, "ear")
        for x, y in ((80, 140), (30, 100), (130, 100)):
            assert min(colour_at(image, (x, y))) > 220
        assert (image[60:120, 50:110] == 100).all()
        assert image[20:40, 30:60].min() < 50  # the panel of its name


def test_a_contact_sheet_lays_images_out_in_rows():
    images = [np.full((10, 20, 3), level, np.uint8) for level in (100, 150, 200)]
    sheet = contact_sheet(images, columns=2, gap=4)
    assert sheet.shape == (2 * 14 + 4, 2 * 24 + 4, 3)
    assert (sheet[4:14, 4:24] == 100).all() and (sheet[4:14, 28:48] == 150).all() and (sheet[18:28, 4:24] == 200).all()
    assert (sheet[18:28, 28:48] == 40).all() and (sheet[:4] == 40).all()
    assert contact_sheet(images[:1]).shape == (18, 28, 3)
