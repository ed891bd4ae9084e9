"""What several tests share: images on disk, EXIF by hand, and the shape that every error must have."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import hypothesis
import numpy as np
import pytest

from tests.images import write_ears, write_faces
from utils.common.cli import InputError

hypothesis.settings.register_profile("repository", max_examples=40, deadline=None)
hypothesis.settings.load_profile("repository")


@contextmanager
def input_error(*parts: object) -> Iterator[None]:
    """Expect an `InputError` of one line that holds each of `parts`."""
    with pytest.raises(InputError) as caught:
        yield
    message = str(caught.value)
    assert message and "\n" not in message
    for part in parts:
        assert str(part) in message


def packed(image: np.ndarray, suffix: str = ".jpg") -> bytes:
    """The bytes of an image file; `image` in OpenCV's channel order, of any type that the format takes."""
    return cv2.imencode(suffix, image)[1].tobytes()


def with_exif(jpeg: bytes, orientation: int = 1, thumbnail: bytes = b"") -> bytes:
    """A JPEG with an EXIF segment that holds an orientation and, where given, a thumbnail (a JPEG of its own)."""
    directory = struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 26 if thumbnail else 0)
    tiff = b"MM\x00\x2a" + struct.pack(">I", 8) + directory
    if thumbnail:
        tiff += struct.pack(">HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(thumbnail), 0) + thumbnail
    segment = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 12 drawn faces (`AFW/`, `AFW_landmark/`); not to be changed."""
    folder = tmp_path_factory.mktemp("faces")
    write_faces(folder, 12, size=96)
    return folder


@pytest.fixture(scope="session")
def ears(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 12 drawn ears (`CollectionA/`, 10 to train and 2 to test); not to be changed."""
    folder = tmp_path_factory.mktemp("ears")
    write_ears(folder, 12, size=96)
    return folder
