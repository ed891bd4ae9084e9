import io
import struct

import numpy as np
import pytest
import scipy.io

from data import matfile
from data.formats import read_300w_lp
from data.matfile import read_mat
from tests.conftest import input_error
from utils.common.cli import InputError

FLAT = np.arange(136, dtype=np.float32).reshape(68, 2)
NUMBERS = ("f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")


def packed_mat(compressed=False, **arrays):
    stream = io.BytesIO()
    scipy.io.savemat(stream, arrays, do_compression=compressed)
    return stream.getvalue()


def put(path, content):
    path.write_bytes(content)
    return path


def by_hand(order, dims=(2, 2), name=b"pts_2d", values=(1.0, 2.0, 3.0, 4.0), kind=9):
    """A file of one double array, written out by the format's description in either byte order."""

    def element(kind, content):
        return struct.pack(f"{order}II", kind, len(content)) + content + bytes(-len(content) % 8)

    content = element(6, struct.pack(f"{order}II", 6, 0)) + element(5, struct.pack(f"{order}{len(dims)}i", *dims))
    content += element(1, name) + element(kind, struct.pack(f"{order}{len(values)}d", *values))
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{order}H", 0x0100) + struct.pack(f"{order}H", 0x4D49)
    return head + element(14, content)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("shape", [(68, 2), (2, 68), (1, 1), (3, 4, 2), (0, 0), (0, 2)])
def test_arrays_are_those_that_scipy_reads(tmp_path, compressed, shape):
    values = np.random.default_rng(0).uniform(0, 100, shape)
    arrays = {name: values.astype(name) for name in NUMBERS}
    path = put(tmp_path / "a.mat", packed_mat(compressed, **arrays))
    for name, array in scipy.io.loadmat(path).items():
        if name in NUMBERS:
            np.testing.assert_array_equal(read_mat(path)[name], array)


@pytest.mark.parametrize("order", "<>")
def test_either_byte_order_is_read_column_by_column(tmp_path, order):
    path = put(tmp_path / "a.mat", by_hand(order))
    assert read_mat(path)["pts_2d"].tolist() == [[1, 3], [2, 4]]
    np.testing.assert_array_equal(read_mat(path)["pts_2d"], scipy.io.loadmat(path)["pts_2d"])


def test_what_is_no_array_of_real_numbers_is_listed_without_values(tmp_path):
    other = {"text": "a", "cell": np.array([{"a": 1}], dtype=object), "complex": np.ones(2) * 1j, "struct": {"a": 1}}
    assert read_mat(put(tmp_path / "a.mat", packed_mat(**other))) == dict.fromkeys(other)


@pytest.mark.parametrize("compressed", [False, True])
def test_no_single_wrong_byte_ends_in_anything_but_an_array_or_one_line(tmp_path, compressed):
    """SciPy's reader ends the process at some of them."""
    data, path = packed_mat(compressed, pts_2d=FLAT[:3]), tmp_path / "a_pts.mat"
    refused = 0
    for at in range(100, len(data)):  # before that is a text that says nothing
        for value in {0, 15, 0x80, data[at] ^ 1} - {data[at]}:
            path.write_bytes(data[:at] + bytes([value]) + data[at + 1 :])
            try:
                assert read_300w_lp(path, 3).shape == (3, 2)
            except InputError as problem:
                assert str(path) in str(problem) and "\n" not in str(problem)
                refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (by_hand("<", dims=(2, 3)), "2 x 3"),
        (by_hand("<", dims=(-2, -2)), "32 bytes"),
        (by_hand("<", dims=(0, 2**31 - 1, 2**31 - 1, 2**31 - 1), values=()), "0 bytes"),
        (by_hand("<", dims=(4,)), "dimensions"),
        (by_hand("<", dims=(1,) * 33), "dimensions"),
        (by_hand("<", kind=0), "type 0"),
        (by_hand("<", kind=14), "type 14"),
        (by_hand("<")[:-8], "ends early"),
        (by_hand("<") + b"more", "ends early"),
        (packed_mat(True, pts_2d=FLAT)[:-8], "ends early"),
        (by_hand("<")[:128] + struct.pack("<II", 15, 4) + b"none", "packed"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\x02IM" + bytes(400), "MATLAB 7.3"),
        (b"", "empty"),
        (b"hello", "not a .mat file"),
    ],
)
def test_file_that_contradicts_itself_or_is_another_is_named_for_what_it_is(tmp_path, content, says):
    path = put(tmp_path / "a_pts.mat", content)
    with input_error(path, says):
        read_mat(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_no_more_is_read_or_unpacked_than_the_limit(tmp_path, monkeypatch, compressed):
    path = put(tmp_path / "a.mat", packed_mat(compressed, a=np.zeros(500), b=np.zeros(500)))
    assert set(read_mat(path)) == {"a", "b"}
    monkeypatch.setattr(matfile, "LARGEST", 5000)
    with input_error(path, "MB"):
        read_mat(path)


def test_names_in_a_file_are_escaped_in_messages_and_not_all_listed(tmp_path):
    content = by_hand("<", name=b"a\x1b]0;b\n") + b"".join(by_hand("<", name=b"k%d" % k)[128:] for k in range(50))
    path = put(tmp_path / "a.mat", content)
    with input_error(path, r"a\x1b]0;b"):
        read_300w_lp(path)
    with pytest.raises(InputError) as caught:
        read_300w_lp(path)
    assert "\x1b" not in str(caught.value) and len(str(caught.value)) < len(str(path)) + 200
