"""Writing MP4 files."""

from __future__ import annotations

import math
from pathlib import Path

import cv2

from utils.common.cli import InputError


def begin_video(part: Path, rate: float, size: tuple[int, int], name: Path) -> cv2.VideoWriter:
    """A writer of an MP4 of `size` (width, height) at `part`. Raises `InputError` with `name` in it."""
    # MPEG-4 counts time in at most 65,535 parts of a second: a rate of 119.9873 has too many digits.
    rate = round(rate, max(0, min(3, int(math.log10(65535 / rate)))))
    writer = cv2.VideoWriter(str(part), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
    if not writer.isOpened():
        raise InputError(f"{name}: a video of {size[0]} x {size[1]} pixels cannot be written here")
    return writer


def close_video(writer: cv2.VideoWriter, part: Path, frames: int, name: Path) -> None:
    """Close it. Raises `InputError`, which says `name`, unless `part` holds so many frames."""
    writer.release()
    check = cv2.VideoCapture(str(part))
    held = int(check.get(cv2.CAP_PROP_FRAME_COUNT)) if check.isOpened() else 0
    check.release()
    if held < frames:  # OpenCV does not say so when a write fails
        raise InputError(f"{name}: cannot be written whole; make room on the disk or name another place")
