"""Image files: what their headers say, what is decoded, and what is refused."""

from __future__ import annotations

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import input_error, packed, with_exif
from utils.common.cli import InputError
from utils.common.images import (
    IMAGE_SUFFIXES,
    LARGEST_IMAGE,
    READS_AVIF,
    READS_HEIC,
    check_image_is_whole,
    decode_image,
    image_size,
    skipped_images,
)

NOISE = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
TIFF = b"MM\0*\0\0\0\x08"


def exif(orientation: int) -> bytes:
    """A directory that holds an orientation alone, as PNG and WebP have it."""
    return TIFF + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)


def png_with_exif(png: bytes, orientation: int, late: bool = False) -> bytes:
    content = exif(orientation)
    chunk = struct.pack(">I4s", len(content), b"eXIf") + content + struct.pack(">I", zlib.crc32(b"eXIf" + content))
    at = png.index(b"IEND") - 4 if late else 33
    return png[:at] + chunk + png[at:]


def webp_with_exif(webp: bytes, orientation: int, begins: bytes = b"") -> bytes:
    size = struct.pack("<HBHB", NOISE.shape[1] - 1, 0, NOISE.shape[0] - 1, 0)
    content = begins + exif(orientation)
    body = b"WEBPVP8X" + struct.pack("<IB3x", 10, 0x08) + size + webp[12:]
    body += b"EXIF" + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff_with_orientation(orientation: int) -> bytes:
    """A little-endian TIFF of `NOISE`, its directory behind the pixels."""
    height, width = NOISE.shape[:2]
    entries = [(256, 3, width), (257, 3, height), (258, 3, 8), (262, 3, 2), (273, 4, 8), (274, 3, orientation)]
    entries += [(277, 3, 3), (278, 3, height), (279, 4, NOISE.size)]
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    begins = b"II*\0" + struct.pack("<I", 8 + NOISE.size)
    return begins + NOISE.tobytes() + struct.pack("<H", len(entries)) + directory + bytes(4)


TURNED = {
    "jpg": lambda orientation: with_exif(packed(NOISE), orientation),
    "png": lambda orientation: png_with_exif(packed(NOISE, ".png"), orientation),
    "png, EXIF behind the data": lambda orientation: png_with_exif(packed(NOISE, ".png"), orientation, late=True),
    "webp": lambda orientation: webp_with_exif(packed(NOISE, ".webp"), orientation),
    "webp, EXIF as in a JPEG": lambda orientation: webp_with_exif(packed(NOISE, ".webp"), orientation, b"Exif\0\0"),
    "tif": tiff_with_orientation,
    "avif": lambda orientation: (Path(__file__).parent / "photos" / "exif6.avif").read_bytes(),
}


@pytest.mark.parametrize("kind", sorted({*TURNED} - {"avif"}))
def test_every_format_comes_as_displayed(tmp_path, kind):
    for orientation, displayed in [
        (1, lambda stored: stored),
        (2, lambda stored: stored[:, ::-1]),
        (3, lambda stored: stored[::-1, ::-1]),
        (4, lambda stored: stored[::-1]),
        (5, lambda stored: stored.transpose(1, 0, 2)),
        (6, lambda stored: np.rot90(stored, -1)),
        (7, lambda stored: stored[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda stored: np.rot90(stored)),
        (0, lambda stored: stored),
        (9, lambda stored: stored),
    ]:
        (tmp_path / "plain").write_bytes(TURNED[kind](1))
        (tmp_path / "turned").write_bytes(TURNED[kind](orientation))
        turned = decode_image(tmp_path / "turned")
        np.testing.assert_array_equal(turned, displayed(decode_image(tmp_path / "plain")))
        assert image_size(tmp_path / "turned") == turned.shape[1::-1]


@pytest.mark.parametrize("suffix", [suffix for suffix in IMAGE_SUFFIXES if cv2.haveImageWriter(f"x{suffix}")])
def test_size_is_read_from_the_header_of_every_format(tmp_path, suffix):
    whole = packed(NOISE, suffix)
    (tmp_path / "image").write_bytes(whole)
    assert image_size(tmp_path / "image") == (64, 40)
    assert decode_image(tmp_path / "image").shape == (40, 64, 3)


PHOTOS = Path(__file__).parent / "photos"  # one drawn head, upright, in several formats
reads_avif = pytest.mark.skipif(not READS_AVIF, reason="this OpenCV reads no AVIF")


@pytest.mark.parametrize(
    "name",
    [
        "x.jfif",
        pytest.param("exif6.avif", marks=reads_avif),
        *(
            pytest.param(name, marks=pytest.mark.skipif(not READS_HEIC, reason="pip install pillow-heif"))
            for name in ("plain.heic", "named_jpg_is_heic.jpg")
        ),
    ],
)
def test_a_photo_of_a_phone_comes_upright(name):
    check_image_is_whole(PHOTOS / name)
    photo, upright = decode_image(PHOTOS / name).astype(int), decode_image(PHOTOS / "x.jfif")
    assert image_size(PHOTOS / name) == (192, 192)
    assert np.abs(photo - upright).mean() < 5


@reads_avif
@pytest.mark.parametrize(
    ("box", "turned"),
    [
        (b"irot\0", lambda stored: stored),
        (b"irot\1", np.rot90),  # anticlockwise
        (b"irot\2", lambda stored: stored[::-1, ::-1]),
        (b"irot\3", lambda stored: np.rot90(stored, 3)),
        (b"imir\0", lambda stored: stored[::-1]),
        (b"imir\1", lambda stored: stored[:, ::-1]),
    ],
)
def test_an_avif_is_turned_as_its_boxes_say(tmp_path, box, turned):
    content = (PHOTOS / "exif6.avif").read_bytes()
    (tmp_path / "stored").write_bytes(content.replace(b"irot\3", b"irot\0"))
    (tmp_path / "turned").write_bytes(content.replace(b"irot\3", box))
    np.testing.assert_array_equal(decode_image(tmp_path / "turned"), turned(decode_image(tmp_path / "stored")))


def test_a_heic_says_what_reads_it(monkeypatch):
    monkeypatch.setattr("utils.common.images.READS_HEIC", False)
    for read in (decode_image, check_image_is_whole):
        with input_error("named_jpg_is_heic.jpg", "HEIC", "pip install pillow-heif"):
            read(PHOTOS / "named_jpg_is_heic.jpg")
    assert image_size(PHOTOS / "plain.heic") == (192, 192)


@reads_avif
def test_an_avif_that_ends_early_is_truncated(tmp_path):
    (tmp_path / "cut.avif").write_bytes((PHOTOS / "exif6.avif").read_bytes()[:3000])
    with input_error("cut.avif", "truncated"):
        check_image_is_whole(tmp_path / "cut.avif")


def test_images_that_cannot_be_read_here_are_counted_with_what_would_read_them(monkeypatch):
    monkeypatch.setattr("utils.common.images.IMAGE_SUFFIXES", (".jpg", ".avif"))
    said = "3 files skipped: 2 .heic (pip install pillow-heif), 1 .cr2 (save as .jpg or .png)"
    assert skipped_images(["a.HEIC", "b/b.heic", "c.CR2", "d.jpg", "e.avif", "notes.txt"]) == said
    assert skipped_images(["c.cr2"]).startswith("1 file skipped: ")
    assert skipped_images(["d.jpg"]) == ""


@pytest.mark.parametrize("content", [None, b"", b"hello", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"RIFF"])
def test_no_image_has_no_size(tmp_path, content):
    if content is not None:
        (tmp_path / "image").write_bytes(content)
    with input_error(tmp_path / "image"):
        image_size(tmp_path / "image")


@given(st.sampled_from(sorted(TURNED)), st.data())
def test_damaged_header_has_a_size_or_is_named(tmp_path_factory, kind, data):
    whole, path = bytearray(TURNED[kind](6)), tmp_path_factory.getbasetemp() / "damaged"
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        assert min(image_size(path)) >= 1
    except InputError as problem:
        assert str(path) in str(problem) and "\n" not in str(problem)


def claiming(suffix: str, width: int, height: int) -> bytes:
    """A small image whose header claims other sides."""
    content = packed(NOISE, suffix)
    places = {".jpg": (">HH", content.find(b"\xff\xc0") + 5), ".png": (">II", 16), ".bmp": ("<ii", 18)}
    layout, at = places[suffix]
    sides = struct.pack(layout, *((height, width) if suffix == ".jpg" else (width, height)))
    return content[:at] + sides + content[at + len(sides) :]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_an_image_bomb_is_refused_by_its_header(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    (tmp_path / "bomb").write_bytes(claiming(suffix, 65500, 16000))
    with input_error(tmp_path / "bomb", "65500 x 16000 pixels", "150 million"):
        decode_image(tmp_path / "bomb")
    assert image_size(tmp_path / "bomb") == (65500, 16000)
    assert LARGEST_IMAGE == 150_000_000


def test_a_chunk_that_claims_gigabytes_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    """OpenCV 5 takes 4 GB for this one."""
    content = packed(NOISE, ".png")
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    (tmp_path / "a.png").write_bytes(content[:33] + b"\xff\xff\x00\x09" + content[37:])
    with input_error("a.png", "cannot be decoded"):
        decode_image(tmp_path / "a.png")


def damaged(suffix: str) -> bytes:
    """An image that is whole at both ends and of which the middle is lost."""
    smooth = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8), (0, 0), 5)
    content = bytearray(packed(smooth, suffix))
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    return bytes(content)


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])
def test_an_image_whose_decoder_complains_is_named_and_nothing_else_is_said(tmp_path, capfd, suffix):
    (tmp_path / "photo").write_bytes(damaged(suffix))
    check_image_is_whole(tmp_path / "photo")
    with input_error(tmp_path / "photo", "cannot be decoded" if suffix == ".png" else "damaged inside"):
        decode_image(tmp_path / "photo")
    assert capfd.readouterr().err == ""


def test_threads_name_each_damaged_image_and_no_other(tmp_path):
    for number in range(40):
        (tmp_path / f"{number}.jpg").write_bytes(damaged(".jpg") if number % 7 == 3 else packed(NOISE))

    def is_good(number: int) -> bool:
        try:
            decode_image(tmp_path / f"{number}.jpg")
        except InputError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(is_good, range(40))) == [number % 7 != 3 for number in range(40)]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"), (b"<!DOCTYPE html>", "web page")],
)
def test_what_stands_in_an_images_place_is_called_what_it_is(tmp_path, content, words):
    (tmp_path / "a.jpg").write_bytes(content * 9)
    for read in (decode_image, image_size, check_image_is_whole):
        with input_error("a.jpg", words):
            read(tmp_path / "a.jpg")
