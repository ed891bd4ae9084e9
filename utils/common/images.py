"""Image files: which are images, whether one is whole, reading and writing them as RGB arrays."""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np

from utils.common.cli import InputError
from utils.common.complaints import listen
from utils.common.files import replacing
from utils.common.foreign import describe_foreign_file
from utils.common.video import mp4_boxes

READS_AVIF = cv2.haveImageWriter("x.avif")  # a build that reads it writes it; the other question wants a file
READS_HEIC = importlib.util.find_spec("pillow_heif") is not None  # optional
HEIC_SUFFIXES = (".heic", ".heif")
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff"),
    *([".avif"] if READS_AVIF else []),
    *(HEIC_SUFFIXES if READS_HEIC else []),
)
# What would read other images.
_MENDS = {
    **dict.fromkeys(HEIC_SUFFIXES, "pip install pillow-heif"),
    ".avif": "pip install --upgrade opencv-python",
    **dict.fromkeys(
        (".jp2", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2", ".orf", ".psd", ".ppm", ".pgm"),
        "save as .jpg or .png",
    ),
}
LARGEST_IMAGE = 150_000_000  # pixels: 0.45 GB once decoded; a file of 1 KB can claim gigabytes
NO_IMAGE = "not a JPEG, PNG, BMP, WebP, TIFF, AVIF or HEIC image"
UNDECODABLE = "cannot be decoded; it is corrupt or no image: replace it or take it away"


def decode_image(path: str | os.PathLike) -> np.ndarray:
    """The image as displayed: (height, width, 3) uint8 RGB.

    EXIF rotation is applied, gray becomes RGB, alpha is dropped and 16 bits become 8. Raises `InputError` if the file
    cannot be decoded, if its decoder complains of damage, or if it has more than `LARGEST_IMAGE` pixels.
    """
    try:
        with open(path, "rb") as stream:
            header = _read_header(stream, path)
            if header.width * header.height > LARGEST_IMAGE:
                raise InputError(
                    f"{path}: {header.width} x {header.height} pixels, more than {LARGEST_IMAGE // 10**6} million; "
                    "make it smaller"
                )
            stream.seek(0)
            # Not cv2.imread: it cannot open every path on Windows, and warns in its own words where a file is missing.
            data = np.frombuffer(stream.read(), dtype=np.uint8)
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {problem.strerror}") from problem
    if header.heic:
        _require_heic(path)
        return _decode_heic(data, path)
    try:
        image, complaint = listen(lambda: cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION))
    except cv2.error as problem:
        raise InputError(f"{path}: cannot be decoded ({problem.err})") from problem
    if image is None:
        raise InputError(f"{path}: {UNDECODABLE}")
    if complaint:  # and what it could not decode is gray
        raise InputError(f"{path}: damaged inside ({complaint}); copy it again or take it away")
    return _turned(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), header.turn)


def _require_heic(path: str | os.PathLike) -> None:
    if not READS_HEIC:
        raise InputError(f"{path}: a HEIC image; {_MENDS['.heic']} to read it, or save it as .jpg")


def _decode_heic(data: np.ndarray, path: str | os.PathLike) -> np.ndarray:
    """As `decode_image`; the library turns the image itself."""
    heif = importlib.import_module("pillow_heif")
    try:
        image = np.asarray(heif.open_heif(io.BytesIO(data.tobytes()), convert_hdr_to_8bit=True))
    except Exception as problem:  # whatever a library that need not be there raises
        raise InputError(f"{path}: {UNDECODABLE}") from problem
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else np.ascontiguousarray(image[..., :3])


def skipped_images(paths: Iterable[str | os.PathLike]) -> str:
    """One line about images that cannot be read here, by their suffix: how many, and what would read them; "" for none.

    For example "3 files skipped: 2 .heic (pip install pillow-heif), 1 .psd (save as .jpg or .png)".
    """
    suffixes = (Path(path).suffix.lower() for path in paths)
    counts = Counter(suffix for suffix in suffixes if suffix in _MENDS and suffix not in IMAGE_SUFFIXES)
    if not counts:
        return ""
    parts = ", ".join(f"{count} {suffix} ({_MENDS[suffix]})" for suffix, count in counts.most_common())
    return f"{counts.total()} file{'s' * (counts.total() > 1)} skipped: {parts}"


def image_size(path: str | os.PathLike) -> tuple[int, int]:
    """Width and height in pixels as displayed (EXIF orientation applied), from the header alone.

    Raises `InputError` if the file cannot be read or is no image of a known format.
    """
    try:
        with open(path, "rb") as stream:
            header = _read_header(stream, path)
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {problem.strerror}") from problem
    return header.width, header.height


# --- headers ----------------------------------------------------------------------------------------------------------


class _Header(NamedTuple):
    """Pixels as displayed, and the EXIF orientation (1 to 8) that the decoder leaves to be applied."""

    width: int
    height: int
    turn: int
    heic: bool = False


def _read_header(stream: BinaryIO, path: str | os.PathLike) -> _Header:
    head = stream.read(16)
    if not head:
        raise InputError(f"{path}: empty file")
    read = _heif_header if _is_heif(head) else None
    read = read or next((reader for begins, reader in _READERS.items() if head.startswith(begins)), None)
    if read is None or (read is _webp_header and head[8:12] != b"WEBP"):
        raise InputError(f"{path}: {describe_foreign_file(path) or NO_IMAGE}")
    try:
        width, height, orientation = read(stream)
    except (struct.error, KeyError, IndexError) as problem:
        raise InputError(f"{path}: {UNDECODABLE}") from problem
    if not width or not height:
        raise InputError(f"{path}: {UNDECODABLE}")
    if orientation >= 5:
        width, height = height, width
    if read is _tiff_header:  # OpenCV turns it whatever it is told
        orientation = 1
    return _Header(width, height, orientation, read is _heif_header and not _is_avif(stream))


def _jpeg_header(stream: BinaryIO) -> tuple[int, int, int]:
    """Width and height as stored, and the orientation, as of each format."""
    width, height, orientation = 0, 0, 1
    for mark, start in _jpeg_segments(stream):
        if 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):  # tables share these numbers with the sizes
            height, width = struct.unpack(">xHH", stream.read(5))
        elif mark == 0xE1 and stream.read(6) == b"Exif\0\0":
            orientation = _orientation(stream, start + 6)
    return width, height, orientation


def _jpeg_segments(stream: BinaryIO) -> Iterator[tuple[int, int]]:
    """The mark of each segment up to the image's data, and where its content starts; the stream stands there."""
    stream.seek(2)
    while True:
        begins, mark = stream.read(1), stream.read(1)
        while mark == b"\xff":  # fill bytes: any number of them may precede a mark
            mark = stream.read(1)
        length = stream.read(2)
        if begins != b"\xff" or len(length) < 2:
            return
        start = stream.tell()
        yield mark[0], start
        if mark == b"\xda":  # the image's data begin
            return
        stream.seek(start + int.from_bytes(length, "big") - 2)


def _png_header(stream: BinaryIO) -> tuple[int, int, int]:
    stream.seek(16)
    width, height = struct.unpack(">II", stream.read(8))
    stream.seek(8)
    for kind, start in _chunks(stream, png=True):
        if kind == b"eXIf":
            return width, height, _orientation(stream, start)
    return width, height, 1


def _webp_header(stream: BinaryIO) -> tuple[int, int, int]:
    stream.seek(12)
    width, height = 0, 0
    for kind, start in _chunks(stream, png=False):
        if kind == b"EXIF":
            return width, height, _orientation(stream, start + 6 * (stream.read(6) == b"Exif\0\0"))
        if width:  # of the canvas, which comes first
            continue
        if kind == b"VP8X":
            flags, *sides = struct.unpack("<B3xHBHB", stream.read(10))
            width, height = (low + (high << 16) + 1 for low, high in (sides[:2], sides[2:]))
            if not flags & 0x08:  # it has no EXIF
                break
        elif kind == b"VP8L":
            bits = int.from_bytes(stream.read(5)[1:], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, 1
        elif kind == b"VP8 ":
            width, height = (side & 0x3FFF for side in struct.unpack("<6xHH", stream.read(10)))
            break
    return width, height, 1


def _chunks(stream: BinaryIO, png: bool) -> Iterator[tuple[bytes, int]]:
    """The kind of each chunk of a PNG or WebP, and where its content starts; the stream stands there.

    Raises `struct.error` for one that is longer than the file: OpenCV takes as much memory as a chunk says.
    """
    size = os.fstat(stream.fileno()).st_size
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head) if png else struct.unpack("<4sI", head)[::-1]
        start = stream.tell()
        if start + length > size:
            raise struct.error(f"a chunk of {length} bytes")
        yield kind, start
        stream.seek(start + length + (4 if png else length % 2))  # a checksum; a byte that makes the length even


def _bmp_header(stream: BinaryIO) -> tuple[int, int, int]:
    stream.seek(14)
    old = int.from_bytes(stream.read(4), "little") == 12
    width, height = struct.unpack("<HH", stream.read(4)) if old else struct.unpack("<ii", stream.read(8))
    return abs(width), abs(height), 1  # rows from the top down are a negative height


def _tiff_header(stream: BinaryIO) -> tuple[int, int, int]:
    tags = _tiff_tags(stream, 0)
    return tags[256], tags[257], _orientation(stream, 0)


def _is_heif(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS


def _is_avif(stream: BinaryIO) -> bool:
    """Whether one of the kinds that the file is by its own words is AVIF."""
    stream.seek(0)
    length = min(int.from_bytes(stream.read(4), "big"), 1024)
    return b"avif" in stream.read(length - 4 if length > 4 else 0)


def _heif_header(stream: BinaryIO) -> tuple[int, int, int]:
    """Of the primary image of a HEIC or AVIF file. EXIF in it does not count, by the format's standard."""
    top = dict(mp4_boxes(stream, 0, stream.seek(0, os.SEEK_END)))
    start, end = top[b"meta"]
    meta = dict(mp4_boxes(stream, start + 4, end))
    stream.seek(meta[b"pitm"][0])
    version, primary = struct.unpack(">B3xH", stream.read(6))
    if version:
        primary = primary << 16 | int.from_bytes(stream.read(2), "big")
    kinds = dict(mp4_boxes(stream, *meta[b"iprp"]))
    properties = list(mp4_boxes(stream, *kinds[b"ipco"]))
    stream.seek(kinds[b"ipma"][0])
    version, flags, count = struct.unpack(">BxxBI", stream.read(8))
    chosen: list[int] = []
    for _ in range(count):
        item, held = struct.unpack(">IB" if version else ">HB", stream.read(5 if version else 3))
        packed = stream.read(held * (1 + (flags & 1)))
        if item == primary:
            chosen = [number & 0x7FFF for number, in struct.iter_unpack(">H", packed)] if flags & 1 else [
                number & 0x7F for number in packed
            ]  # fmt: skip
            break
    width, height, angle, mirror = 0, 0, 0, -1
    for number in chosen:
        kind, (start, _) = properties[number - 1]
        stream.seek(start)
        if kind == b"ispe":
            width, height = struct.unpack(">4xII", stream.read(12))
        elif kind == b"irot":
            angle = stream.read(1)[0] & 3
        elif kind == b"imir":
            mirror = stream.read(1)[0] & 1
    return width, height, _HEIF_TURNS[mirror][angle]


def _orientation(stream: BinaryIO, start: int) -> int:
    """The orientation that EXIF at `start` holds; 1, upright, where it holds none."""
    orientation = _tiff_tags(stream, start).get(274, 1)
    return orientation if 1 <= orientation <= 8 else 1


def _tiff_tags(stream: BinaryIO, start: int) -> dict[int, int]:
    """The whole numbers in the first directory of a TIFF; EXIF is written as one."""
    stream.seek(start)
    head = stream.read(8)
    if not head.startswith((b"II*\0", b"MM\0*")):
        return {}
    order = "<" if head.startswith(b"II") else ">"
    stream.seek(start + struct.unpack(f"{order}4xI", head)[0])
    (count,) = struct.unpack(f"{order}H", stream.read(2))
    entries = stream.read(12 * count)
    found: dict[int, int] = {}
    for tag, kind, value in struct.iter_unpack(f"{order}HH4x4s", entries[: len(entries) // 12 * 12]):
        if kind in (3, 4):  # of 16 or 32 bits
            found.setdefault(tag, *struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", value))
    return found


_HEIF_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
# EXIF orientations of 0 to 3 quarters anticlockwise, and then not mirrored, top to bottom (0) or left to right (1).
_HEIF_TURNS = {-1: (1, 8, 3, 6), 0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}
_READERS = {
    b"\xff\xd8": _jpeg_header,
    b"\x89PNG\r\n\x1a\n": _png_header,
    b"BM": _bmp_header,
    b"RIFF": _webp_header,
    b"II*\0": _tiff_header,
    b"MM\0*": _tiff_header,
}


def _turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """An image as it is displayed by its EXIF orientation."""
    if orientation >= 5:
        image = cv2.transpose(image)
    if orientation in (2, 3, 6, 7):  # left is right
        image = cv2.flip(image, 1)
    return cv2.flip(image, 0) if orientation in (3, 4, 7, 8) else image


# --- whole files ------------------------------------------------------------------------------------------------------


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
    elif _is_heif(head):
        with open(path, "rb") as stream:
            whole = max((end for _, (_, end) in mp4_boxes(stream, 0, size)), default=size + 1) <= size
            if not _is_avif(stream):
                _require_heic(path)
    else:
        raise InputError(f"{path}: {describe_foreign_file(path) or NO_IMAGE}")
    if not whole:
        raise InputError(f"{path}: truncated image (its end is missing); copy it again")


def _jpeg_is_whole(path: Path) -> bool:
    """Whether the image's own end mark follows its data: a thumbnail in a header has an end mark of its own."""
    with open(path, "rb") as stream:
        if 0xDA not in (mark for mark, _ in _jpeg_segments(stream)):
            return False
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
