import cmath
import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.annotation import Annotation
from data.augment import (
    Warp,
    apply_matrix,
    crop_warp,
    cut_tight_frame,
    draw_background_warp,
    draw_close_up_warp,
    draw_warp,
    invert_matrix,
    jitter_image,
    matrix_of_part,
    warp_image,
)
from data.datasets import Sample
from data.pipeline import training_example
from data.schemes import EAR, FACE, SCHEMES, reference_shape
from tests.conftest import input_error, packed, with_exif
from tests.images import drawn_image
from utils.common.cli import InputError
from utils.common.images import decode_image

SIZE = 128
BORDERS = (cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101)
NOISE = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
both = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
seeds = st.integers(0, 2**32 - 1)


def landing_place(warp, point, size):
    """Where a point lands by the words of the docstrings: turned clockwise, squeezed, mirrored, scaled, centred."""
    turned = complex(*(np.asarray(point) - warp.centre)) * cmath.exp(1j * math.radians(warp.angle))
    x = turned.real * warp.squeeze_x * (-1 if warp.flip else 1)
    return np.array([x, turned.imag * warp.squeeze_y]) * size / warp.side + (size - 1) / 2


def centring(point, target, scale, **options):
    """The warp that enlarges `scale` times and brings `point` of the image to `target` of the input."""
    offset = landing_place(Warp((0, 0), SIZE / scale, **options), (0, 0), SIZE) - target
    linear = Warp((0, 0), SIZE / scale, **options).matrix(SIZE)[:, :2]
    centre = np.asarray(point) + np.linalg.solve(linear, offset)
    return Warp(tuple(centre.tolist()), SIZE / scale, **options)


def blob(shape, point, sigma):
    y, x = np.mgrid[: shape[0], : shape[1]]
    bright = 250 * np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * sigma**2))
    return np.repeat(np.round(bright).astype(np.uint8)[..., None], 3, axis=2)


def centroid(image):
    weight = image[..., 0].astype(np.float64)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


def checkerboard(size):
    y, x = np.mgrid[:size, :size]
    return np.repeat(((x + y) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)


class TestMatrix:
    @given(
        st.tuples(st.floats(-500, 5000), st.floats(-500, 5000)),
        st.floats(1, 5000),
        st.floats(-180, 180),
        st.booleans(),
        st.integers(8, 512),
    )
    def test_centre_of_the_cut_lands_on_the_centre_of_the_input(self, centre, side, angle, mirror, size):
        matrix = Warp(centre, side, angle, 0.5, 0.8, mirror).matrix(size)
        assert matrix @ [*centre, 1] == pytest.approx([(size - 1) / 2] * 2, abs=1e-6)

    @pytest.mark.parametrize(("side", "size"), [(100, 200), (100, 50), (64, 64), (30, 128)])
    def test_scaling_by_f_maps_x_to_x_plus_a_half_times_f_minus_a_half(self, side, size):
        factor = size / side
        points = np.array([[0, 0], [side - 1, 3], [-0.5, side - 0.5], [7.25, 11.5]])
        mapped = apply_matrix(Warp(((side - 1) / 2,) * 2, side).matrix(size), points)
        np.testing.assert_allclose(mapped, (points + 0.5) * factor - 0.5, atol=1e-4)

    def test_mirror_maps_x_to_width_minus_1_minus_x(self):
        mapped = apply_matrix(Warp((49.5, 49.5), 100, flip=True).matrix(100), np.array([[0, 5], [99, 6], [20.25, 7]]))
        np.testing.assert_allclose(mapped, [[99, 5], [0, 6], [78.75, 7]], atol=1e-4)

    def test_positive_angle_turns_clockwise_on_the_screen(self):
        mapped = apply_matrix(Warp((50, 50), 101, angle=90).matrix(101), np.array([[60, 50], [50, 60]]))
        np.testing.assert_allclose(mapped, [[50, 60], [40, 50]], atol=1e-4)  # right of the centre -> below it -> left

    def test_squeeze_narrows_along_the_axes_of_the_input(self):
        matrix = Warp((50, 50), 101, angle=90, squeeze_x=0.25, squeeze_y=0.5).matrix(101)
        np.testing.assert_allclose(apply_matrix(matrix, np.array([[60, 50], [50, 60]])), [[50, 55], [47.5, 50]], 1e-5)

    @given(seeds)
    def test_inverse_matrix_brings_points_back(self, seed):
        rng = np.random.default_rng(seed)
        points = rng.uniform(-100, 400, (20, 2))
        matrix = draw_warp(FACE, reference_shape(FACE) * 200, rng, 1.0).matrix(SIZE)
        np.testing.assert_allclose(apply_matrix(invert_matrix(matrix), apply_matrix(matrix, points)), points, atol=0.01)

    def test_points_that_are_not_annotated_stay_so(self):
        mapped = apply_matrix(Warp((5, 5), 10).matrix(10), np.array([[1, 2], [np.nan, np.nan]]))
        assert np.isfinite(mapped[0]).all() and np.isnan(mapped[1]).all()


class TestWarpImage:
    @pytest.mark.parametrize(
        ("warp", "size", "expected"),
        [
            (Warp((47.5, 47.5), 96), 96, NOISE),
            (Warp((47.5, 47.5), 96, flip=True), 96, NOISE[:, ::-1]),
            (Warp((47.5, 47.5), 96, angle=90), 96, np.rot90(NOISE, -1)),
            (Warp((47.5, 47.5), 96, angle=180), 96, np.rot90(NOISE, 2)),
            (Warp((29.5, 35.5), 40), 40, NOISE[16:56, 10:50]),
            (Warp((47.5, 47.5), 96), 24, NOISE.reshape(24, 4, 24, 4, 3).mean(axis=(1, 3))),
            (Warp((47.5, 47.5), 96), 12, NOISE.reshape(12, 8, 12, 8, 3).mean(axis=(1, 3))),
        ],
        ids=["identity", "mirror", "quarter turn", "half turn", "crop", "4 times smaller", "8 times smaller"],
    )
    def test_whole_pixel_warps_are_what_numpy_makes_of_them(self, warp, size, expected):
        warped = warp_image(NOISE, warp.matrix(size), size)
        assert np.abs(warped - expected.astype(np.float64)).max() <= 1

    @pytest.mark.parametrize(
        ("scale", "options"),
        [
            (1, {}),
            (1, {"flip": True}),
            (1, {"angle": 37}),
            (1, {"angle": -60, "flip": True}),
            (1, {"squeeze_x": 0.25}),
            (0.3, {}),
            (0.3, {"angle": 20, "flip": True}),
            (0.3, {"squeeze_x": 0.3, "angle": 10}),
            (0.45, {"squeeze_y": 0.5}),
            (0.499, {}),
            (0.5, {}),
            (0.501, {}),
            (2.5, {"squeeze_x": 0.4, "angle": 15}),
            (6, {}),
            (6, {"angle": -25, "flip": True}),
        ],
    )
    def test_bright_pixel_stays_under_its_label(self, scale, options):
        point = (91.3, 67.8)
        warp = centring(point, (70.6, 58.2), scale, **options)
        image = blob((140, 180), point, max(1.5, 1.5 / scale))
        self.check_label(image, warp, point, (70.6, 58.2))

    @given(
        st.floats(0.3, 6),
        st.floats(-60, 60),
        st.floats(0.4, 1),
        st.floats(0.8, 1),
        st.booleans(),
        st.tuples(st.floats(50, 78), st.floats(50, 78)),
        st.tuples(st.floats(60, 120), st.floats(60, 80)),
    )
    def test_bright_pixel_stays_under_its_label_through_any_warp(
        self, scale, angle, narrow, low, mirror, target, point
    ):
        warp = centring(point, target, scale, angle=angle, squeeze_x=narrow, squeeze_y=low, flip=mirror)
        self.check_label(blob((140, 180), point, max(1.5, 2 / scale)), warp, point, target)

    @staticmethod
    def check_label(image, warp, point, target):
        matrix = warp.matrix(SIZE)
        (label,) = apply_matrix(matrix, np.array([point]))
        assert label == pytest.approx(target, abs=1e-3)
        assert label == pytest.approx(landing_place(warp, point, SIZE), abs=1e-3)
        # 0.1 px where it shrinks; enlarged, OpenCV's steps of 1/32 px of the image count up to 6 times.
        tolerance = 0.1 if warp.side >= SIZE else 0.3
        assert np.abs(centroid(warp_image(image, matrix, SIZE)) - label).max() < tolerance

    # At a factor of exactly 2 nothing is averaged yet, and a turned board keeps up to 50 levels.
    @given(st.floats(2.01, 9), st.floats(-90, 90), st.floats(-3, 3))
    def test_fine_checkerboard_becomes_gray_when_it_is_shrunk(self, shrink, angle, shift):
        warp = Warp((199.5 + shift, 199.5), 30 * shrink, angle=angle)
        warped = warp_image(checkerboard(400), warp.matrix(30), 30)
        assert np.abs(warped - 127.5).max() < 30

    def test_fine_checkerboard_shrunk_4_times_is_gray_to_a_level(self):
        warped = warp_image(checkerboard(256), Warp((127.5, 127.5), 256).matrix(64), 64)
        assert np.abs(warped - 127.5).max() <= 1

    @pytest.mark.parametrize("mirror", [False, True])
    def test_fine_checkerboard_under_a_squeeze_of_a_quarter_is_gray(self, mirror):
        warp = Warp((127.5, 127.5), 64, squeeze_x=0.25, flip=mirror)
        warped = warp_image(checkerboard(256), warp.matrix(64), 64)
        assert np.abs(warped - 127.5).max() < 10

    @pytest.mark.parametrize("centre", [(-500, 48), (48, -500), (600, 600), (1e6, -1e6)])
    @pytest.mark.parametrize("side", [20, 96, 400])
    def test_cut_wholly_outside_the_image_is_only_fill(self, centre, side):
        warped = warp_image(NOISE, Warp(centre, side, angle=10).matrix(32), 32, fill=(10, 20, 30))
        assert warped.shape == (32, 32, 3) and (warped == (10, 20, 30)).all()

    def test_cut_half_outside_the_image_is_half_fill(self):
        warped = warp_image(NOISE, Warp((-0.5, 47.5), 40).matrix(40), 40, fill=(10, 20, 30))
        assert (warped[:, :20] == (10, 20, 30)).all()
        np.testing.assert_array_equal(warped[:, 20:], NOISE[28:68, :20])

    def test_border_modes_continue_the_edge_of_the_image(self):
        matrix = Warp((-0.5, 47.5), 40).matrix(40)
        replicated = warp_image(NOISE, matrix, 40, cv2.BORDER_REPLICATE)
        np.testing.assert_array_equal(replicated[:, :20], np.repeat(NOISE[28:68, :1], 20, axis=1))
        reflected = warp_image(NOISE, matrix, 40, cv2.BORDER_REFLECT_101)
        np.testing.assert_array_equal(reflected[:, :20], NOISE[28:68, 20:0:-1])

    @pytest.mark.parametrize(
        "warp",
        [Warp((47.5, 47.5), 96, 10), Warp((40, 50), 300), Warp((47, 47), 96, squeeze_x=0.25), Warp((900, 900), 20)],
        ids=["turned", "shrunk", "squeezed", "outside"],
    )
    def test_an_array_that_is_given_is_filled_with_the_same(self, warp):
        batch = np.full((3, 32, 32, 3), 77, np.uint8)
        warp_image(NOISE, warp.matrix(32), 32, out=batch[1])
        np.testing.assert_array_equal(batch[1], warp_image(NOISE, warp.matrix(32), 32))
        assert (batch[[0, 2]] == 77).all()

    @given(
        st.tuples(st.integers(1, 150), st.integers(1, 150)),
        st.tuples(st.floats(-300, 450), st.floats(-300, 450)),
        st.floats(1, 2000),
        st.floats(-180, 180),
        st.floats(0.25, 1),
        st.booleans(),
        st.sampled_from(BORDERS),
        st.integers(8, 64),
    )
    def test_image_of_one_colour_on_that_colour_stays_it_under_any_warp(
        self, shape, centre, side, angle, narrow, mirror, border, size
    ):
        colour = (200, 100, 50)
        image = np.full((*shape, 3), colour, np.uint8)
        warped = warp_image(image, Warp(centre, side, angle, narrow, 1, mirror).matrix(size), size, border, colour)
        assert warped.shape == (size, size, 3) and warped.dtype == np.uint8
        assert np.abs(warped - np.array(colour, float)).max() <= 1


class TestDecodeImage:
    @pytest.mark.parametrize(
        ("stored", "expected"),
        [
            (NOISE, NOISE[..., ::-1]),
            (NOISE[..., 0], np.repeat(NOISE[..., :1], 3, axis=2)),
            (np.dstack([NOISE, NOISE[..., 0]]), NOISE[..., ::-1]),
            (NOISE.astype(np.uint16) * 256 + 7, NOISE[..., ::-1]),
            (NOISE[..., 0].astype(np.uint16) * 256 + 7, np.repeat(NOISE[..., :1], 3, axis=2)),
        ],
        ids=["BGR", "gray", "with alpha", "16 bits", "gray of 16 bits"],
    )
    def test_any_png_becomes_rgb_of_8_bits(self, tmp_path, stored, expected):
        (tmp_path / "image.png").write_bytes(packed(stored, ".png"))
        image = decode_image(tmp_path / "image.png")
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, expected)

    @pytest.mark.parametrize("gray", [False, True])
    def test_jpeg_becomes_rgb(self, tmp_path, gray):
        red = np.full((16, 24, 3), (0, 0, 255), np.uint8)
        (tmp_path / "image.jpg").write_bytes(packed(red[..., 2] if gray else red))
        image = decode_image(tmp_path / "image.jpg")
        assert image.shape == (16, 24, 3)
        assert np.abs(image - np.array((255, 255, 255) if gray else (255, 0, 0), float)).max() <= 3

    def test_jpeg_turned_by_exif_comes_as_displayed(self, tmp_path):
        stored = np.zeros((32, 48, 3), np.uint8)
        stored[:16, :16] = (0, 0, 255)  # red at the top left as stored; orientation 6 turns it to the top right
        (tmp_path / "image.jpg").write_bytes(with_exif(packed(stored), 6))
        image = decode_image(tmp_path / "image.jpg")
        assert image.shape == (48, 32, 3)
        assert image[3, 28] == pytest.approx((255, 0, 0), abs=10)
        assert image[3, 3] == pytest.approx((0, 0, 0), abs=10)

    @pytest.mark.parametrize(
        "content", [None, b"", b"hello", packed(NOISE)[:20], b"\xff\xd8" + bytes(500), packed(NOISE, ".png")[:30]]
    )
    def test_file_that_is_no_image_is_named_in_one_line(self, tmp_path, content):
        path = tmp_path / "image.jpg"
        if content is not None:
            path.write_bytes(content)
        with input_error(path):
            decode_image(path)

    @given(st.sampled_from([".jpg", ".png", ".bmp"]), st.floats(0, 1), st.binary(max_size=8))
    def test_damaged_file_gives_a_image_or_an_input_error(self, tmp_path_factory, suffix, share, garbage):
        whole, path = packed(NOISE, suffix), tmp_path_factory.getbasetemp() / "damaged"
        at = int(share * len(whole))
        path.write_bytes(whole[:at] + garbage)
        try:
            assert decode_image(path).shape[2] == 3
        except InputError as problem:
            assert str(path) in str(problem) and "\n" not in str(problem)


class TestDrawWarp:
    @pytest.mark.parametrize(("scheme", "side"), [(FACE, 64), (EAR, 100)])
    def test_crop_protocol_is_a_square_on_the_centre_of_the_points_box(self, scheme, side):
        points = np.array([[10, 20], [50, 30], [20, 40], [np.nan, np.nan]])  # a box of 40 x 20
        warp = crop_warp(scheme, points)
        assert warp.centre == (30, 30) and warp.side == pytest.approx(side)
        assert warp == Warp(warp.centre, warp.side)  # not turned, not squeezed, not mirrored

    @both
    @pytest.mark.parametrize("seed", range(5))
    def test_strength_0_is_the_crop_protocol(self, scheme, seed):
        points = reference_shape(scheme) * 77 + 5
        assert draw_warp(scheme, points, np.random.default_rng(seed), 0) == crop_warp(scheme, points)

    @both
    @given(seed=seeds, strength=st.floats(0.01, 2))
    def test_drawn_warp_stays_within_the_ranges_of_the_scheme(self, scheme, seed, strength):
        points = reference_shape(scheme) * 100 + 20
        base = crop_warp(scheme, points)
        warp = draw_warp(scheme, points, np.random.default_rng(seed), strength)
        assert warp == draw_warp(scheme, points, np.random.default_rng(seed), strength)
        tight, wide = scheme.train_sides
        assert tight * 100 - 1e-3 <= warp.side <= wide * 100 + 1e-3
        assert np.abs(np.subtract(warp.centre, base.centre)).max() <= warp.side / 2
        assert scheme.train_squeeze[0] - 1e-9 <= warp.squeeze_x <= 1 and 0.85 <= warp.squeeze_y <= 1

    @both
    def test_training_sees_mirrored_turned_squeezed_and_far_heads(self, scheme):
        points = reference_shape(scheme) * 100 + 20
        warps = [draw_warp(scheme, points, np.random.default_rng(seed), 1.0) for seed in range(300)]
        assert 0.4 < np.mean([warp.flip for warp in warps]) < 0.6
        assert min(warp.angle for warp in warps) < -30 and max(warp.angle for warp in warps) > 30
        assert min(warp.squeeze_x for warp in warps) < scheme.train_squeeze[0] + 0.05
        sides = [warp.side / 100 for warp in warps]
        assert np.median(sides) == pytest.approx(scheme.crop_side, rel=0.1)
        assert max(sides) > 0.8 * scheme.train_sides[1]


def within(points, size):
    """Which points (n, 2) lie inside a crop of `size` pixels."""
    return ((points > -0.5) & (points < size - 0.5)).all(axis=-1)


class TestDrawBackgroundWarp:
    @given(st.integers(0, 2**32 - 1))
    def test_it_shows_none_of_the_points_and_a_part_of_the_image(self, seed):
        points = reference_shape(FACE) * 60 + (70, 50)
        warp = draw_background_warp(FACE, points, points, (200, 260, 3), np.random.default_rng(seed))
        assert warp is not None
        inside = apply_matrix(warp.matrix(64), points)
        assert not ((inside > -0.5) & (inside < 63.5)).all(axis=1).any()
        assert 0 <= warp.centre[0] <= 260 and 0 <= warp.centre[1] <= 200
        assert 15 <= warp.side <= 90

    def test_a_face_that_fills_the_image_leaves_no_room(self):
        points = np.stack(np.meshgrid(np.linspace(0, 50, 9), np.linspace(0, 50, 8)), axis=-1).reshape(-1, 2)[:68]
        assert draw_background_warp(FACE, points, points, (51, 51), np.random.default_rng(0)) is None

    def test_a_few_crops_of_faces_show_background_and_none_of_ears(self, tmp_path):
        for scheme, low, high in ((FACE, 0.03, 0.14), (EAR, 0.0, 0.0)):
            image, points = drawn_image(scheme, 96, np.random.default_rng(1), extent=(0.3, 0.35))
            cv2.imwrite(str(tmp_path / "image.png"), image)
            sample = Sample("image.png", tmp_path / "image.png", Annotation.of(scheme, points), "image")
            crops = [training_example(sample, scheme, 32, np.random.default_rng(k), 1.0)[1] for k in range(300)]
            background = np.mean([not within(crop.places, 32).any() for crop in crops])
            assert low <= background <= high

    def test_crops_of_ears_show_background_where_all_ears_are_annotated_and_then_none_of_them(self, tmp_path):
        image, points = drawn_image(EAR, 96, np.random.default_rng(1), extent=(0.3, 0.35))
        cv2.imwrite(str(tmp_path / "image.png"), image)
        for others in (points[None][:0], (points + 30)[None]):
            sample = Sample("image.png", tmp_path / "image.png", Annotation.of(EAR, points, others), "image")
            crops = [training_example(sample, EAR, 32, np.random.default_rng(k), 1.0)[1] for k in range(300)]
            background = [crop for crop in crops if not within(crop.points[0], 32).any()]
            assert 0.03 < len(background) / 300 < 0.14
            assert all(crop.complete and crop.present[1].all() == bool(len(others)) for crop in background)
            assert not any(within(crop.places, 32).any() for crop in background)

    def test_the_second_ear_goes_through_the_same_warp(self, tmp_path):
        image, points = drawn_image(EAR, 96, np.random.default_rng(1), extent=(0.3, 0.35))
        cv2.imwrite(str(tmp_path / "image.png"), image)
        shift = np.float32([12, 5])
        annotation = Annotation.of(EAR, points, others=(points + shift)[None])
        sample = Sample("image.png", tmp_path / "image.png", annotation, "image")
        for k in range(20):
            _, both = training_example(sample, EAR, 32, np.random.default_rng(k), 1.0)
            assert both.present.all()
            apart = both.points[1] - both.points[0]
            np.testing.assert_allclose(apart, np.broadcast_to(apart[0], (55, 2)), atol=1e-3)
            assert np.linalg.norm(apart[0]) > 0.5


class TestCutTightFrame:
    POINTS = np.array([[30.0, 20.0], [50.0, 20.0], [40.0, 60.0]])  # a box of 20 x 40

    @given(seeds)
    def test_it_is_a_part_of_the_image_whose_edges_lie_near_the_box(self, seed):
        part, (left, top) = cut_tight_frame(NOISE, self.POINTS, np.random.default_rng(seed))
        bottom, right = top + part.shape[0], left + part.shape[1]
        np.testing.assert_array_equal(part, NOISE[top:bottom, left:right])
        # 0.15 x 40 = 6 pixels inside the box to 0.4 x 40 = 16 outside of it
        assert 14 <= left <= 36 and 4 <= top <= 26 and 44 <= right <= 67 and 54 <= bottom <= 77

    @given(seeds)
    def test_it_stays_inside_the_image_and_lets_a_face_outside_be(self, seed):
        part, (left, top) = cut_tight_frame(NOISE[:40], self.POINTS, np.random.default_rng(seed))
        np.testing.assert_array_equal(part, NOISE[top:40, left : left + part.shape[1]])
        far, corner = cut_tight_frame(NOISE, self.POINTS + 500, np.random.default_rng(seed))
        assert far is NOISE and corner == (0, 0)

    @given(seeds)
    def test_the_part_through_its_own_matrix_lies_where_it_lay_in_the_image(self, seed):
        part, corner = cut_tight_frame(NOISE, self.POINTS, np.random.default_rng(seed))
        matrix = Warp((39.5, 39.5), 64).matrix(64)  # pixel for pixel
        whole, alone = warp_image(NOISE, matrix, 64), warp_image(part, matrix_of_part(matrix, corner), 64)
        shown = alone.any(axis=-1)
        np.testing.assert_array_equal(alone[shown], whole[shown])
        assert shown.sum() > 200  # 10 x 28 pixels at least

    def test_some_training_crops_show_the_edge_of_the_picture_and_keep_their_points(self, tmp_path, monkeypatch):
        image, points = drawn_image(FACE, 96, np.random.default_rng(1), extent=(0.4, 0.5))
        cv2.imwrite(str(tmp_path / "image.png"), np.maximum(image, 1))
        ears = points[None][:, :55]

        def crops(scheme, fraction, others=None):
            monkeypatch.setattr("data.pipeline.TIGHT_FRAME_FRACTION", fraction)
            known = Annotation.of(scheme, points[: scheme.count], others)
            sample = Sample("image.png", tmp_path / "image.png", known, "image")
            return [training_example(sample, scheme, 64, np.random.default_rng(k), 1.0) for k in range(60)]

        for plain, cut in zip(crops(FACE, 0), crops(FACE, 1), strict=True):
            np.testing.assert_array_equal(plain[1].points, cut[1].points)
        changed = [not np.array_equal(a[0], b[0]) for a, b in zip(crops(FACE, 0), crops(FACE, 1), strict=True)]
        assert sum(changed) > 40
        # An ear that the picture shows too would be cut away, though its landmarks say that it is there.
        for plain, cut in zip(crops(EAR, 0, ears + 20), crops(EAR, 1, ears + 20), strict=True):
            np.testing.assert_array_equal(plain[0], cut[0])


class TestJitterImage:
    def test_strength_0_returns_the_image_unchanged(self):
        np.testing.assert_array_equal(jitter_image(NOISE.copy(), np.random.default_rng(0), 0), NOISE)

    @given(seeds, st.floats(0.05, 2), st.sampled_from([32, 64, 96]))
    def test_jitter_gives_an_image_of_the_same_kind_and_leaves_the_given_one_alone(self, seed, strength, size):
        image = NOISE[:size, :size].copy()
        jittered = jitter_image(image, np.random.default_rng(seed), strength)
        assert jittered.shape == (size, size, 3) and jittered.dtype == np.uint8
        np.testing.assert_array_equal(image, NOISE[:size, :size])
        np.testing.assert_array_equal(jitter_image(image, np.random.default_rng(seed), strength), jittered)

    @pytest.mark.parametrize("size", [16, 24])
    def test_jitter_takes_the_smallest_inputs(self, size):
        for seed in range(60):
            jittered = jitter_image(NOISE[:size, :size], np.random.default_rng(seed), 1.0)
            assert jittered.shape == (size, size, 3)

    def test_jitter_changes_images_and_not_all_alike(self):
        image = drawn_image(FACE, 96, np.random.default_rng(0))[0]
        jittered = [jitter_image(image, np.random.default_rng(seed), 1.0) for seed in range(20)]
        changes = np.array([np.abs(each - image.astype(float)).mean() for each in jittered])
        assert (changes > 0).all() and changes.max() > 15
        assert np.median(changes) < 40  # an image is still to be recognised


class TestTrainingExample:
    RED, BLUE = (255, 0, 0), (0, 0, 255)

    def marked_sample(self, folder, scheme, marks):
        """A drawn image with blobs of colour on some landmarks."""
        image, points = drawn_image(scheme, 160, np.random.default_rng(3))
        for landmark, colour in marks.items():
            cv2.circle(image, np.round(points[landmark]).astype(int).tolist(), 6, colour, -1)
        path = folder / "image.png"
        path.write_bytes(packed(image[..., ::-1], ".png"))
        return Sample("image.png", path, Annotation.of(scheme, points), "image")

    @staticmethod
    def colour_at(image, point):
        x, y = np.round(point).astype(int)
        level = image[y, x].astype(int)
        if level.max() - level.min() < 100:
            return "other"
        return ("red", "green", "blue")[level.argmax()]

    def whole_crops(self, sample, scheme):
        """40 hardly changed crops and their points, without those few that show background or a part."""
        crops = (training_example(sample, scheme, 96, np.random.default_rng(seed), 0.02) for seed in range(60))
        whole = [(image, known.points[0]) for image, known in crops if within(known.places, 96).all()]
        assert len(whole) > 50
        return whole[:40]

    def test_mirrored_face_has_its_left_eye_corner_still_as_landmark_36(self, tmp_path):
        sample = self.marked_sample(tmp_path, FACE, {36: self.RED, 45: self.BLUE})
        corners = []
        for image, points in self.whole_crops(sample, FACE):
            assert points[36, 0] < points[45, 0]  # left in the image, mirrored or not
            corners.append((self.colour_at(image, points[36]), self.colour_at(image, points[45])))
        mirrored = corners.count(("blue", "red"))
        assert mirrored + corners.count(("red", "blue")) == 40
        assert 8 < mirrored < 32

    def test_mirrored_ear_keeps_its_indices(self, tmp_path):
        sample = self.marked_sample(tmp_path, EAR, {0: self.RED, 19: self.BLUE})
        forward = sample.points[19, 0] - sample.points[0, 0]
        mirrored = 0
        for image, points in self.whole_crops(sample, EAR):
            assert self.colour_at(image, points[0]) == "red" and self.colour_at(image, points[19]) == "blue"
            mirrored += (points[19, 0] - points[0, 0]) * forward < 0
        assert 8 < mirrored < 32

    @both
    @given(seed=seeds, strength=st.sampled_from([0.0, 0.3, 1.0, 2.0]))
    def test_example_is_a_square_of_uint8_with_finite_points(self, scheme, tmp_path_factory, seed, strength):
        sample = self.marked_sample(tmp_path_factory.getbasetemp(), scheme, {})
        image, annotation = training_example(sample, scheme, 64, np.random.default_rng(seed), strength)
        assert image.shape == (64, 64, 3) and image.dtype == np.uint8
        assert annotation.points.shape == (scheme.instances, scheme.count, 2)
        assert annotation.points.dtype == np.float32 and np.isfinite(annotation.points).all()
        assert annotation.present[0].all() and not annotation.annotated[1:].any()
        again, same = training_example(sample, scheme, 64, np.random.default_rng(seed), strength)
        np.testing.assert_array_equal(image, again)
        np.testing.assert_array_equal(annotation.points, same.points)


@pytest.mark.parametrize(("flip_probability", "expected"), [(0.0, {False}), (1.0, {True})])
def test_flips_come_with_the_probability_given_and_change_nothing_else(flip_probability, expected):
    points = reference_shape(FACE) * 100
    warps = [draw_warp(FACE, points, np.random.default_rng(seed), 1.0, flip_probability) for seed in range(40)]
    assert {warp.flip for warp in warps} == expected
    usual = [draw_warp(FACE, points, np.random.default_rng(seed), 1.0) for seed in range(40)]
    assert {warp.flip for warp in usual} == {False, True}
    assert [(w.centre, w.side, w.angle) for w in warps] == [(w.centre, w.side, w.angle) for w in usual]


@pytest.mark.parametrize("scheme", [FACE, EAR], ids=["face", "ear"])
def test_close_ups_show_a_part_of_what_is_annotated_and_larger_than_other_crops(scheme):
    points = reference_shape(scheme) * 90 + (40, 60)
    longer = float(np.ptp(points, axis=0).max())
    warps = [draw_close_up_warp(scheme, points, np.random.default_rng(seed)) for seed in range(200)]
    sides = np.array([warp.side for warp in warps]) / longer
    assert sides.min() >= 0.35 and sides.max() <= scheme.train_sides[0] and np.ptp(sides) > 0.5
    shown = [(np.abs(apply_matrix(warp.matrix(1), points)) <= 0.5).all(axis=1).mean() for warp in warps]
    assert np.mean(np.array(shown) > 0) > 0.9 and np.mean(np.array(shown) == 1) < 0.2
    assert not any(
        draw_close_up_warp(scheme, points, np.random.default_rng(k), flip_probability=0).flip for k in range(20)
    )
