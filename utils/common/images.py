"""Image files: which are images, whether one is whole, reading and writing them as RGB arrays."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from utils.common.cli import InputError
from utils.common.files import replacing

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def decode_image(path: str | os.PathLike) -> np.ndarray:
    """The image as displayed: (height, width, 3) uint8 RGB.

    EXIF rotation is applied, gray becomes RGB, alpha is dropped and 16 bits become 8. Raises `InputError` if the file
    cannot be decoded.
    """
    try:
        # Not cv2.imread: it cannot open every path on Windows and prints a warning of its own where a file is missing.
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {problem.strerror}") from problem
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error as problem:  # an image above OpenCV's size limit, for one
        raise InputError(f"{path}: cannot be decoded ({problem.err})") from problem
    if image is None:
        raise InputError(f"{path}: cannot be decoded; it is corrupt or no image: replace it or take it away")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def check_image_is_whole(path: Path) -> None:
    """Raise an `InputError` if a file is empty, ends early or is no image of a known format, by a few of its bytes.

    OpenCV fills the missing part of a truncated JPEG with gray and only prints a warning: points would then be trained
    on gray. It refuses to decode a TIFF that ends early, so of that only the place of its directory is checked.
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as stream:
            head = stream.read(16)
            stream.seek(max(0, size - 4096))
            tail = stream.read()
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {problem.strerror}") from problem
    if size == 0:
        raise InputError(f"{path}: empty file")
    if head.startswith(b"\xff\xd8"):
        whole = _jpeg_is_whole(path)
    elif head.startswith(b"\x89PNG\r\n\x1a\n"):
        whole = b"IEND" in tail
    elif head.startswith(b"BM"):
        whole = int.from_bytes(head[2:6], "little") <= size
    elif head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        whole = int.from_bytes(head[4:8], "little") + 8 <= size
    elif head.startswith((b"II*\0", b"MM\0*")):
        whole = int.from_bytes(head[4:8], "little" if head.startswith(b"II") else "big") + 2 <= size
    else:
        raise InputError(f"{path}: not a JPEG, PNG, BMP, WebP or TIFF image")
    if not whole:
        raise InputError(f"{path}: truncated image (its end is missing); copy it again")


def _jpeg_is_whole(path: Path) -> bool:
    """Whether the image's own end mark follows its data: a thumbnail in a header has an end mark of its own."""
    with open(path, "rb") as stream:
        stream.seek(2)
        while True:
            begins, mark = stream.read(1), stream.read(1)
            while mark == b"\xff":  # fill bytes: any number of them may precede a mark
                mark = stream.read(1)
            length = stream.read(2)
            if begins != b"\xff" or len(length) < 2:
                return False
            if mark == b"\xda":  # the image's data begin
                break
            stream.seek(int.from_bytes(length, "big") - 2, 1)
        start, size = stream.tell(), path.stat().st_size
        stream.seek(max(start, size - 4096))
        if b"\xff\xd9" in stream.read():
            return True
        stream.seek(start)  # a phone may have put a film behind the image
        return b"\xff\xd9" in stream.read()


def check_rgb(image: np.ndarray) -> None:
    """Raise ValueError for anything but an image (height, width, 3) uint8 RGB with at least one pixel."""
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        told = f"{image.shape} {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"an image is (height, width, 3) uint8 RGB, not {told}")
    if not image.size:
        raise ValueError(f"an image of {image.shape[1]} x {image.shape[0]} pixels is empty")


def save_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write a (height, width, 3) uint8 RGB image; the suffix chooses the format. Raises `InputError` if it can't."""
    with replacing(path) as part:
        ok, packed = cv2.imencode(part.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        if not ok:
            raise InputError(f"{path}: cannot be encoded")
        part.write_bytes(packed.tobytes())  # ndarray.tofile does not notice a full disk
