import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.heatmaps import (
    annotated_region,
    decode_heatmaps,
    draw_heatmaps,
    rescale_points,
    to_cells,
    to_pixels,
)
from models.weights import OLD_DECODE_OFFSET


def draw(points, height=12, width=12, sigma=1.15, present=True):
    """Maps (height, width, landmarks) of one image: points (landmarks, 2), or (instances, landmarks, 2)."""
    points = np.float32(points).reshape(1, -1, len(points[0]) if np.ndim(points) == 3 else len(points), 2)
    mask = np.broadcast_to(present, points.shape[:3])
    return np.asarray(draw_heatmaps(points, mask, height, width, sigma))[0]


def decode(maps, **options):
    return [np.asarray(array) for array in decode_heatmaps(maps, **options)]


def test_the_first_cell_has_its_centre_between_pixels_3_and_4():
    assert to_pixels(0) == 3.5
    assert to_pixels(2) == 19.5
    assert to_cells(3.5) == 0


def test_half_the_size_puts_the_centre_of_four_pixels_on_one():
    """Pixels 0 and 1 become pixel 0: their common border 0.5 becomes its centre."""
    points = np.float32([[0.5, 0.5], [2.5, 6.5], [-0.5, 0]])
    assert np.asarray(rescale_points(points, 0.5)).tolist() == [[0, 0], [1, 3], [-0.5, -0.25]]


def test_a_landmark_on_a_cell_centre_peaks_there_at_one_and_falls_off_by_the_formula():
    maps = draw([[8 * 5 + 3.5, 8 * 2 + 3.5]])
    assert np.unravel_index(maps[..., 0].argmax(), maps.shape[:2]) == (2, 5)
    assert maps[2, 5, 0] == pytest.approx(1.0)
    assert maps[2, 6, 0] == pytest.approx(np.exp(-1 / 1.15**2), abs=1e-6)  # one cell away
    assert maps[4, 6, 0] == pytest.approx(np.exp(-5 / 1.15**2), abs=1e-6)  # sqrt(5) cells away


def test_a_landmark_outside_or_not_present_leaves_its_map_empty():
    maps = draw([[-60.0, 20.0], [30.0, 20.0], [20.0, 500.0]], present=[True, False, True])
    assert maps[..., [0, 2]].max() < 1e-9
    assert not maps[..., 1].any()


def test_a_map_holds_the_maximum_of_what_is_present():
    """Two instances of one landmark, 3 cells apart: between them the nearer one counts, not their sum."""
    pair = [[[8 * 2 + 3.5, 8 * 5 + 3.5]], [[8 * 5 + 3.5, 8 * 5 + 3.5]]]
    row = draw(pair)[5, :, 0]
    near = np.exp(-1 / 1.15**2)
    assert row[2:6] == pytest.approx([1, near, near, 1], abs=1e-6)
    alone = draw(pair, present=[[[True], [False]]])[5, :, 0]
    assert alone[2:6] == pytest.approx(np.exp(-(np.arange(4.0) ** 2) / 1.15**2), abs=1e-6)


def test_nothing_is_known_beyond_three_sides_round_the_annotated_box():
    points = np.float32([[[52, 44], [68, 52], [0, 0]]])  # box 16 x 8 px round (60, 48): reach 24 px, 3 cells
    region = np.asarray(annotated_region(points, np.array([[True, True, False]]), 16, 16, 3.0))[0, ..., 0]
    # Cell centres lie at 3.5, 11.5 ...: x from 36 to 84 holds cells 5 to 10, y from 24 to 72 cells 3 to 8.
    expected = np.zeros((16, 16))
    expected[3:9, 5:11] = 1
    assert np.array_equal(region, expected)
    assert not np.asarray(annotated_region(points, np.zeros((1, 3), bool), 16, 16, 3.0)).any()


@settings(max_examples=30, deadline=None)
@given(st.floats(8, 103), st.floats(8, 63), st.floats(0.8, 2.5))
def test_decoding_gives_back_the_point_that_was_drawn_between_cells(x, y, sigma):
    maps = draw([[x, y]], height=9, width=14, sigma=sigma)  # not square: rows and columns must not be mixed up
    points, confidence = decode(maps[None])
    assert np.abs(points[0, 0] - (x, y)).max() < 0.05
    assert 0.4 < confidence[0, 0] <= 1


def test_a_peak_on_the_border_stays_at_its_cell():
    points, _ = decode(draw([[0.0, 20.0]])[None])
    assert points[0, 0, 0] == 3.5
    assert points[0, 0, 1] == pytest.approx(20, abs=0.05)


def test_an_empty_map_decodes_to_a_finite_point_without_confidence():
    points, confidence = decode(np.zeros((1, 6, 6, 2), np.float32))
    assert np.isfinite(points).all()
    assert (confidence == 0).all()


def test_the_predecessors_maps_are_read_by_its_own_convention():
    """It compares its 46 cells, resized to 100, with targets whose cell is x * 100 / 368."""
    for x in (60.0, 181.3, 300.9):
        wanted = x * 100 / 368
        cell = (wanted + 0.5) * 46 / 100 - 0.5  # where 46 cells must peak for the resized map to peak at `wanted`
        grid = np.arange(46)
        profile = np.exp(-(((grid - cell) / 1.15) ** 2)).astype(np.float32)
        resized = cv2.resize(profile[None], (100, 1), interpolation=cv2.INTER_CUBIC)[0]
        assert abs(resized.argmax() - wanted) <= 1
        maps = (profile[:, None] * profile[None])[None, ..., None]
        points, _ = decode(maps, offset=OLD_DECODE_OFFSET)
        assert points[0, 0] == pytest.approx((x, x), abs=0.05)
    assert pytest.approx(-1.34) == OLD_DECODE_OFFSET
