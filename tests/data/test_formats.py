import io
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data.formats import read_300w_lp, read_pts, said_count, write_300w_lp, write_pts
from tests.conftest import input_error
from utils.common.cli import InputError

GENUINE = Path(__file__).resolve().parents[3] / "shared" / "format_samples" / "300w_lp"

points_68 = arrays(np.float32, (68, 2), elements=st.floats(-500, 5000, width=32))
flat_68 = np.arange(136, dtype=np.float32).reshape(68, 2)

GOOD_PTS = "version: 1\nn_points: 3\n{\n1 1\n101.25 40.5\n-3 0.5\n}\n"
GOOD_POINTS = [[0, 0], [100.25, 39.5], [-4, -0.5]]  # worked out by hand: the file counts from 1


def saved(path, **arrays_by_key):
    scipy.io.savemat(path, arrays_by_key)
    return path


@pytest.mark.parametrize(
    "text",
    [
        GOOD_PTS,
        GOOD_PTS.replace("\n", "\r\n"),
        GOOD_PTS.replace(": ", ":"),
        GOOD_PTS.replace(": ", " :  "),
        GOOD_PTS.replace(" 40.5", "\t  40.5  "),
        GOOD_PTS.replace("{\n", "{\n\n").replace("\n}", "\n\n}"),
        GOOD_PTS.replace("{", "  { ").rstrip(),
        "\ufeff" + GOOD_PTS,
        GOOD_PTS.replace("\n", "\r"),
        GOOD_PTS.upper(),
        GOOD_PTS.replace("{\n", "{").replace("n_points: 3\n", "n_points: 3 "),
        "# by {hand}\n" + GOOD_PTS.replace("{\n", "{\n// jaw }\n").replace("1 1", "1 1 # the first"),
        GOOD_PTS.replace("1 1", "1, 1").replace("101.25 40.5", "101.25,40.5").replace("-3 ", "-3 ,"),
        GOOD_PTS.replace("\n", " "),
    ],
    ids=[
        "plain",
        "windows line ends",
        "no blank after the colon",
        "blanks before the colon",
        "extra blanks in a line",
        "empty lines",
        "blanks round the brace, no last line end",
        "byte order mark",
        "old Mac's line ends",
        "capitals",
        "points on the brace's line",
        "comments",
        "commas between numbers",
        "all on one line",
    ],
)
def test_pts_files_count_from_one_however_they_are_laid_out(tmp_path, text):
    path = tmp_path / "ear.pts"
    path.write_bytes(text.encode())
    points = read_pts(path, 3)
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points, GOOD_POINTS)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_pts_that_powershell_wrote_is_read(tmp_path, encoding):
    path = tmp_path / "ear.pts"
    path.write_bytes(("\ufeff" + GOOD_PTS).encode(encoding))
    np.testing.assert_array_equal(read_pts(path, 3), GOOD_POINTS)


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ("101,25 40,5", "'101,25 40,5'"),
        ("101,25, 40,5", "'101,25, 40,5'"),
        ("43,58", "'43,58'"),
        ("101.25 40.5 1", "'101.25 40.5 1'"),
        ("101.25", "'101.25'"),
        ("1_0 4", "'1_0 4'"),
        ("1 \x1b]0;title", r"'1 \x1b]0;title'"),
        ("x" * 1000, "x" * 40 + "'"),
    ],
)
def test_line_that_is_not_two_numbers_is_shown_with_its_number(tmp_path, row, shown):
    path = tmp_path / "ear.pts"
    path.write_text(GOOD_PTS.replace("101.25 40.5", row))
    with input_error(path, "line 5", shown):
        read_pts(path, 3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 1\n2 2\n3 3\n", "'1 1'"),
        ("3\n1 1\n2 2\n3 3\n", "'3'"),
        (GOOD_PTS.rstrip("}\n"), "cut off"),
        ("version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("<html>404 {n_points}</html>", "web page"),
        (GOOD_PTS + " " * 1_000_000, "1 MB"),
    ],
    ids=["no header", "a number for a header", "cut off", "pointer", "web page", "large"],
)
def test_what_is_no_pts_file_is_named_for_what_it_is(tmp_path, text, says):
    path = tmp_path / "ear.pts"
    path.write_text(text)
    with input_error(path, says):
        read_pts(path, 3)


@pytest.mark.parametrize("text", ["n_points:1{", "{", "n_points:1{1 ", "n_points:1{1,", "n_points : ", "1", "\n"])
def test_time_to_refuse_a_pts_file_grows_no_faster_than_the_file(tmp_path, text):
    path = tmp_path / "ear.pts"
    path.write_text(text * (220_000 // len(text)))  # 32 seconds, when a pattern was sought in the whole text
    begun = time.process_time()
    with input_error(path):
        read_pts(path, 3)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(("text", "said"), [(GOOD_PTS, 3), (GOOD_PTS.upper(), 3), ("hello", None), ("", None)])
def test_count_that_a_pts_file_says_is_known_from_its_header(tmp_path, text, said):
    path = tmp_path / "ear.pts"
    path.write_text(text, encoding="utf-16")
    assert said_count(path) == said
    assert said_count(tmp_path / "none.pts") is None


def test_written_pts_counts_from_one_and_names_version_and_number(tmp_path):
    write_pts(tmp_path / "ear.pts", np.array([[0, 0], [9.5, 19.25]]))
    words = (tmp_path / "ear.pts").read_text().split()
    assert words[:5] == ["version:", "1", "n_points:", "2", "{"] and words[-1] == "}"
    assert [float(word) for word in words[5:-1]] == [1, 1, 10.5, 20.25]


@given(points_68)
def test_pts_written_and_read_gives_the_same_points(tmp_path_factory, points):
    path = tmp_path_factory.getbasetemp() / "round_trip.pts"
    write_pts(path, points)
    np.testing.assert_allclose(read_pts(path, 68), points, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "\x00\xff\xd8\x01",
        "version: 1\n{\n1 1\n2 2\n3 3\n}\n",
        GOOD_PTS.replace("n_points: 3", "n_points: 4"),
        GOOD_PTS.replace("n_points: 3", "n_points: 2"),
        GOOD_PTS.replace("n_points: 3", "n_points: many"),
        GOOD_PTS.replace("40.5", "nan"),
        GOOD_PTS.replace("40.5", "inf"),
        GOOD_PTS.replace("40.5", "1e39"),
        GOOD_PTS.replace("40.5", "forty"),
        GOOD_PTS.replace("40.5", ""),
        GOOD_PTS.replace("40.5", "40.5 7"),
        GOOD_PTS.replace("}", ""),
        "n_points: 3\n{\n}\n",
        "n_points: 3\n{\n1 2 3\n4 5 6\n}\n",
    ],
    ids=[
        "empty file",
        "text",
        "binary",
        "no n_points",
        "n_points too high",
        "n_points too low",
        "n_points no number",
        "NaN",
        "infinite",
        "infinite as float32",
        "a word for a number",
        "y is missing",
        "three numbers in one line",
        "no closing brace",
        "no points",
        "three numbers in every line",
    ],
)
def test_bad_pts_is_refused_in_one_line_that_names_the_file(tmp_path, text):
    path = tmp_path / "ear.pts"
    path.write_text(text, encoding="utf-8")
    with input_error(path):
        read_pts(path, 3)


def test_pts_with_another_number_than_needed_says_both_numbers(tmp_path):
    path = tmp_path / "ear.pts"
    path.write_text(GOOD_PTS)
    with input_error(path, 3, 55):
        read_pts(path, 55)


@pytest.mark.parametrize("reader", [read_pts, read_300w_lp])
@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir], ids=["missing", "a folder"])
def test_file_that_cannot_be_opened_is_named_in_one_line(tmp_path, reader, make):
    path = tmp_path / "face_pts.mat"
    make(path)
    with input_error(path):
        reader(path, 68)


@given(st.binary(max_size=300))
def test_any_bytes_as_pts_or_mat_end_in_points_or_an_input_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "garbage.mat"
    path.write_bytes(content)
    for reader in (read_pts, read_300w_lp):
        with input_error(path):
            reader(path, 68)


@given(points_68, points_68)
def test_mat_written_and_read_gives_the_same_points_bit_for_bit(tmp_path_factory, flat, solid):
    path = tmp_path_factory.getbasetemp() / "round_trip_pts.mat"
    write_300w_lp(path, flat, solid)
    np.testing.assert_array_equal(read_300w_lp(path), flat)
    np.testing.assert_array_equal(read_300w_lp(path, points="3d"), solid)


def test_written_mat_holds_x_and_y_per_row_under_the_names_of_300w_lp(tmp_path):
    write_300w_lp(tmp_path / "face_pts.mat", flat_68, flat_68 + 1000)
    content = scipy.io.loadmat(tmp_path / "face_pts.mat")
    np.testing.assert_array_equal(content["pts_2d"], flat_68)
    np.testing.assert_array_equal(content["pts_3d"], flat_68 + 1000)


def test_pt2d_holds_x_in_row_0_and_y_in_row_1(tmp_path):
    path = saved(tmp_path / "image.mat", pt2d=flat_68.T.astype(np.float64))
    points = read_300w_lp(path)
    assert points.shape == (68, 2) and points.dtype == np.float32
    assert points[5].tolist() == [10, 11]


def test_pt3d_68_holds_x_y_and_z_in_rows_and_z_is_dropped(tmp_path):
    path = saved(tmp_path / "image.mat", pt3d_68=np.vstack([flat_68.T, np.full(68, -99, np.float32)]))
    assert read_300w_lp(path, points="3d")[67].tolist() == [134, 135]


def test_pts_3d_with_a_third_column_gives_x_and_y(tmp_path):
    path = saved(tmp_path / "image_pts.mat", pts_3d=np.column_stack([flat_68, np.ones(68)]))
    assert read_300w_lp(path, points="3d")[1].tolist() == [2, 3]


def test_21_points_of_aflw2000_are_refused_with_the_flag_that_helps(tmp_path):
    path = saved(tmp_path / "image00050.mat", pt2d=np.ones((2, 21)), pt3d_68=np.ones((3, 68)))
    with input_error(path, 21, "--points 3d"):
        read_300w_lp(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"roi": np.ones((1, 4)), "Pose_Para": np.ones((1, 7))}, "Pose_Para, roi"),
        ({"pts_3d": flat_68}, "pts_3d"),
        ({"pts_2d": flat_68[:67]}, "67"),
        ({"pts_2d": flat_68.T}, "transposed"),
        ({"pts_2d": np.where(np.arange(136).reshape(68, 2) == 9, np.nan, flat_68)}, "point 4"),
        ({"pts_2d": np.full((68, 2), 1e39)}, "point 0"),
        ({"pts_2d": "none"}, "points"),
        ({"pts_2d": np.array([{"a": 1}], dtype=object)}, "points"),
        ({"pts_2d": np.zeros((0, 0))}, "points"),
        ({"pt2d": flat_68[:1].T}, "68"),
    ],
    ids=[
        "no points, keys are listed",
        "only the other kind",
        "67 points",
        "rows for columns",
        "NaN",
        "infinite as float32",
        "text",
        "a struct",
        "empty array",
        "one point",
    ],
)
def test_mat_without_68_good_points_is_refused_in_one_line_that_names_the_file(tmp_path, content, says):
    path = saved(tmp_path / "image_pts.mat", **content)
    with input_error(path, says):
        read_300w_lp(path)


@pytest.mark.parametrize("compressed", [True, False])
def test_mat_cut_anywhere_gives_whole_points_or_an_input_error(tmp_path, compressed):
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"pts_2d": flat_68, "pts_3d": flat_68}, do_compression=compressed)
    whole, path = stream.getvalue(), tmp_path / "cut_pts.mat"
    refused = 0
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        for kind in ("2d", "3d"):
            try:
                np.testing.assert_array_equal(read_300w_lp(path, points=kind), flat_68)
            except InputError as problem:
                assert str(path) in str(problem) and "\n" not in str(problem)
                refused += kind == "3d"
    assert refused > 0.9 * len(whole) / 7  # the 3d points come last: nearly every cut loses some of them


@pytest.mark.parametrize("write", [write_pts, lambda path, points: write_300w_lp(path, points, points)])
@pytest.mark.parametrize("blocked", ["the folder is a file", "the target is a folder"])
def test_writer_that_cannot_write_says_so_and_leaves_nothing_behind(tmp_path, write, blocked):
    path = tmp_path / "place" / "face.pts"
    if blocked == "the folder is a file":
        path.parent.write_text("in the way")
    else:
        path.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with input_error(path):
        write(path, flat_68)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("write", [write_pts, lambda path, points: write_300w_lp(path, points, points)])
def test_writer_that_fails_half_way_leaves_the_old_file_as_it_was(tmp_path, write):
    path = tmp_path / "face.pts"
    path.write_text("old")
    with pytest.raises(ValueError):
        write(path, [["no", "number"]])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not GENUINE.is_dir(), reason=f"the genuine 300W-LP samples are not at {GENUINE}")
class TestGenuineFiles:
    # The expected numbers were printed from the files with scipy alone; the images are 450 x 450.
    def test_300w_lp_image_has_its_68_points_in_pt2d(self):
        points = read_300w_lp(GENUINE / "IBUG_image_008_1_0.mat")
        assert points[0] == pytest.approx([136.70251, 240.11451], abs=1e-4)
        assert points[45] == pytest.approx([306.29033, 237.71463], abs=1e-4)

    @pytest.mark.parametrize(
        ("name", "first", "eye_corner"),
        [
            ("image00050", (125.84849, 209.62408), (294.18880, 221.00035)),
            ("image00251", (102.82554, 262.59497), (243.96169, 226.34085)),
        ],
    )
    def test_aflw2000_image_has_its_68_points_in_pt3d_68(self, name, first, eye_corner):
        points = read_300w_lp(GENUINE / f"{name}.mat", points="3d")
        assert points[0] == pytest.approx(first, abs=1e-4)
        assert points[45] == pytest.approx(eye_corner, abs=1e-4)

    @pytest.mark.parametrize("name", ["image00050", "image00081", "image00251", "image00430"])
    def test_21_points_of_aflw2000_are_not_taken_for_68(self, name):
        path = GENUINE / f"{name}.mat"
        with input_error(path, "--points 3d"):
            read_300w_lp(path)
