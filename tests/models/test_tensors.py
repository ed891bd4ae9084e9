import cv2
import numpy as np
import pytest

from models.tensors import resized


def test_maps_that_fit_are_left_alone():
    maps = np.zeros((1, 2, 3, 1), np.float32)
    assert resized(maps, 2, 3) is maps


@pytest.mark.parametrize("size", [(12, 20), (5, 7), (16, 6)])
def test_a_ramp_stays_a_ramp_in_half_pixel_coordinates(size):
    """Resizing by a factor f maps x to (x + 0.5) f - 0.5 (away from the border, where there is nothing beyond)."""
    height, width = 8, 14
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    answer = np.asarray(resized(np.stack([x, y], axis=-1)[None], *size))[0]
    v, u = np.mgrid[0 : size[0], 0 : size[1]]
    expected = np.stack([(u + 0.5) * width / size[1] - 0.5, (v + 0.5) * height / size[0] - 0.5], axis=-1)
    edge = (slice(2, -2), slice(2, -2))
    # A triangle sampled at whole pixels keeps a ramp to a twentieth of one where the ratio is no whole number.
    assert np.allclose(answer[edge], expected[edge], atol=0.05)


def test_growing_is_bilinear_as_opencv_does_it():
    maps = np.random.default_rng(0).normal(size=(6, 5, 3)).astype(np.float32)
    expected = cv2.resize(maps, (11, 9), interpolation=cv2.INTER_LINEAR)
    assert np.allclose(np.asarray(resized(maps[None], 9, 11))[0], expected, atol=1e-4)


def test_shrinking_averages_and_does_not_alias():
    stripes = np.tile(np.float32([0, 1]), 32).reshape(1, 1, 64, 1) * np.ones((1, 8, 1, 1), np.float32)
    answer = np.asarray(resized(stripes, 2, 16))
    assert np.allclose(answer[:, :, 1:-1], 0.5, atol=0.02)
