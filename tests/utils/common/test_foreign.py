"""A file that is something else than its name says is told by its first bytes, with what to do about it."""

import gzip
import io
import pickle
import zipfile

import numpy as np
import pytest

from utils.common.foreign import describe_foreign_file


def zipped(**entries):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def array():
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
        (b"<!DOCTYPE html>Google Drive", "web page"),
        (b"\xef\xbb\xbf\n <HTML>", "web page"),
        (b'<?xml version="1.0"?><Error/>', "web page"),
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon", "MATLAB 7.3"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "PyTorch"),
        (zipped(**{"archive/data.pkl": b"\x80\x02}q\x00."}), "PyTorch"),
        (pickle.dumps({"a": 1}), "pickle"),
        (pickle.dumps({"a": 1}, protocol=2), "pickle"),
        (array(), "NumPy"),
        (gzip.compress(b"version: 1", mtime=0), "unpack"),
        (b"", "empty"),
        (zipped(a="a" * 5000)[:3000], "cut off"),
    ],
)
def test_what_is_none_of_ours_is_named(tmp_path, content, says):
    (tmp_path / "face.bin").write_bytes(content)
    assert says in describe_foreign_file(tmp_path / "face.bin")


def test_a_pytorch_name_is_enough_for_a_damaged_zip(tmp_path):
    (tmp_path / "net.pth").write_bytes(b"PKxxxxxxxxxx")
    assert "PyTorch" in describe_foreign_file(tmp_path / "net.pth")


@pytest.mark.parametrize(
    "content", [b"version: 1\nn_points: 68\n{\n", b"MATLAB 5.0 MAT-file", zipped(a="b"), b"\x89HDF\r\n\x1a\n", b"1,2"]
)
def test_what_may_be_ours_is_left_to_its_reader(tmp_path, content):
    (tmp_path / "a.mat").write_bytes(content)
    assert describe_foreign_file(tmp_path / "a.mat") is None


def test_what_cannot_be_opened_is_left_to_its_reader(tmp_path):
    assert describe_foreign_file(tmp_path / "missing") is None
    assert describe_foreign_file(tmp_path) is None
