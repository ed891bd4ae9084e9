"""Whether a video's end is there, by what its own structure says."""

import struct

import pytest

from utils.common.video import mp4_seconds, video_ends_early


def box(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content) + 8) + kind + content


MVHD = box(b"mvhd", bytes(12) + struct.pack(">II", 1000, 2800))
LONG_MVHD = box(b"mvhd", b"\1" + bytes(19) + struct.pack(">IQ", 1000, 2800))
LONG_BOX = struct.pack(">I4sQ", 1, b"mdat", 16 + 50) + bytes(50)
TAG = b"\x09" + (5).to_bytes(3, "big") + bytes(7 + 5) + struct.pack(">I", 16)
ASF = b"\x30\x26\xb2\x75" + bytes(26) + bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365") + bytes(24)
FILES = {
    "mp4": box(b"ftyp") + box(b"moov", MVHD) + box(b"mdat", bytes(50)),
    "mp4, its index last": box(b"ftyp") + LONG_BOX + box(b"moov", MVHD),
    "mkv": b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x41\x00" + bytes(256),
    "avi": b"RIFF" + struct.pack("<I", 104) + b"AVI " + bytes(100),
    "ogv": b"OggS\0\2" + bytes(60) + b"OggS\0\4" + bytes(20) + b"\2\x64\x05" + bytes(105),
    "flv": b"FLV\1" + bytes(9) + TAG + TAG,
    "wmv": ASF + struct.pack("<Q", len(ASF) + 58) + bytes(50),
    "gif": b"GIF89a" + bytes(50) + b";",
    "mjpg": b"\xff\xd8" + bytes(60) + b"\xff\xd9\xff\xd8" + bytes(60) + b"\xff\xd9",
    "ts": (b"G" + bytes(187)) * 9,
    "m2ts": (bytes(4) + b"G" + bytes(187)) * 9,
}


@pytest.mark.parametrize("kind", FILES)
def test_a_whole_file_is_told_from_each_of_its_beginnings(tmp_path, kind):
    path = tmp_path / "video"
    path.write_bytes(FILES[kind])
    assert not video_ends_early(path)
    for cut in (1, 7, len(FILES[kind]) // 3 + 1):
        path.write_bytes(FILES[kind][:-cut])
        assert video_ends_early(path), cut


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"no video" * 100, b"FLV", b"OggS"[:3], b"\x1a\x45\xdf\xa3", b"\xff\xd8\xff\xd9"]
)
def test_of_an_unknown_file_nothing_is_said(tmp_path, content):
    (tmp_path / "video").write_bytes(content)
    assert not video_ends_early(tmp_path / "video") or content == b"FLV"
    assert mp4_seconds(tmp_path / "video") is None


@pytest.mark.parametrize(
    ("header", "seconds"), [(MVHD, 2.8), (LONG_MVHD, 2.8), (box(b"mvhd", bytes(40)), None), (b"", None)]
)
def test_seconds_of_an_mp4(tmp_path, header, seconds):
    (tmp_path / "video.mp4").write_bytes(box(b"ftyp") + box(b"moov", header))
    assert mp4_seconds(tmp_path / "video.mp4") == seconds


def test_a_matroska_of_unknown_length_is_a_recording(tmp_path):
    (tmp_path / "live.mkv").write_bytes(b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01" + b"\xff" * 7 + bytes(60))
    assert not video_ends_early(tmp_path / "live.mkv")
