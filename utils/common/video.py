"""Video files: opening one as nothing else, whether its end is there."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2

# FFmpeg's readers of files that hold their pictures. Others (hls, concat, sdp, dash) open what a text file names.
_FORMATS = "mov,matroska,avi,mpeg,mpegvideo,mpegts,asf,flv,ogg,gif,mjpeg,jpeg_pipe,m4v"
_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"  # OpenCV reads this variable at each opening
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # begins an object that says how long the file is


def open_video(path: str | os.PathLike) -> cv2.VideoCapture:
    """A video file opened; `isOpened()` says whether it could be. Its name and content lead to no other file."""
    before = os.environ.get(_OPTIONS)
    os.environ[_OPTIONS] = f"protocol_whitelist;file|format_whitelist;{_FORMATS}"
    try:
        # Absolute: of "concat:a.mp4" FFmpeg would take the beginning for a protocol. No other backend: one takes
        # "%d" in a name for a number.
        return cv2.VideoCapture(str(Path(path).absolute()), cv2.CAP_FFMPEG)
    finally:
        if before is None:
            del os.environ[_OPTIONS]
        else:
            os.environ[_OPTIONS] = before


@contextlib.contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV and FFmpeg from writing their own lines about videos and cameras; ours name the mend."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    logging = getattr(cv2.utils, "logging", cv2)  # OpenCV 4 has it at its top
    before = logging.setLogLevel(0)
    try:
        yield
    finally:
        logging.setLogLevel(before)  # of images OpenCV's complaints are heard


def video_ends_early(path: str | os.PathLike) -> bool:
    """Whether a video file is shorter than its own structure says: a download or copy that broke off.

    False where its format has no such words (MPEG program streams), or is unknown. Raises OSError.
    """
    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        head = stream.read(4096)
        stream.seek(max(0, size - 65536))
        tail = stream.read()
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
            boxes = dict(mp4_boxes(stream, 0, size))
            return b"moov" not in boxes or max(end for _, end in boxes.values()) > size
    if head.startswith(b"\x1a\x45\xdf\xa3"):  # Matroska, WebM
        at = head.find(b"\x18\x53\x80\x67") + 4
        length, end = _vint(head, at) if at > 3 else (None, 0)
        return length is not None and end + length > size
    if head.startswith(b"RIFF"):
        return int.from_bytes(head[4:8], "little") + 8 > size
    if head.startswith(b"OggS"):
        page = tail[max(0, tail.rfind(b"OggS")) :]
        parts = page[26] if len(page) > 26 else 255
        return not page[5:6] > b"\3" or len(page) < 27 + parts + sum(page[27 : 27 + parts])  # 4: the last one
    if head.startswith(b"FLV"):
        length = int.from_bytes(tail[-4:], "big")
        return int.from_bytes(tail[-4 - length :][1:4], "big") + 11 != length
    if _ASF_FILE in head:
        return int.from_bytes(head[head.find(_ASF_FILE) + 40 :][:8], "little") > size
    if head.startswith(b"GIF8"):
        return not tail.rstrip(b"\0").endswith(b";")
    if head.startswith(b"\xff\xd8"):
        return not tail.rstrip(b"\0").endswith(b"\xff\xd9")
    for packet, at in ((188, 0), (192, 4)):  # transport streams; of Blu-ray each packet has a time before it
        if head[at::packet][:4] == b"GGGG":
            return size % packet != 0
    return False


def mp4_seconds(path: str | os.PathLike) -> float | None:
    """How long an MP4 lasts by its header, which knows of parts that were cut out; None where it does not say."""
    with open(path, "rb") as stream:
        boxes = dict(mp4_boxes(stream, 0, os.fstat(stream.fileno()).st_size))
        inner = dict(mp4_boxes(stream, *boxes[b"moov"])) if b"moov" in boxes else {}
        if b"mvhd" not in inner:
            return None
        stream.seek(inner[b"mvhd"][0])
        long = stream.read(4)[:1] == b"\1"
        packed = stream.read(28 if long else 16)
    if len(packed) < (28 if long else 16):
        return None
    scale, length = struct.unpack(">16xIQ" if long else ">8xII", packed)
    return length / scale if scale and length else None


def mp4_boxes(stream: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """The kind of each box of an MP4 (HEIC and AVIF are built alike), and where its content begins and ends."""
    while start + 8 <= stop:
        stream.seek(start)
        head = stream.read(16)
        length, begins = int.from_bytes(head[:4], "big"), 8
        if length == 1:
            length, begins = int.from_bytes(head[8:16], "big"), 16
        elif length == 0:
            length = stop - start
        if length < begins:  # no box: bytes that somebody added
            return
        yield head[4:8], (start + begins, start + length)
        start += length


def _vint(data: bytes, at: int) -> tuple[int | None, int]:
    """A number of Matroska's, None for "unknown", and the place behind it."""
    first = data[at] if at < len(data) else 0
    length = 9 - first.bit_length()
    if not first or len(data) < at + length:
        return None, at
    value = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
    return (None if value == (1 << 7 * length) - 1 else value), at + length
