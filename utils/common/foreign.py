"""Files that are not what their name says, or damaged: what a download or a copy often leaves of a file."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from utils.common.cli import InputError

LOOKED_AT = 1024  # bytes at the start, enough for every mark below
PYTORCH = "a PyTorch file, which nothing here reads"
CUT = "cut off before its end"
MEND = "copy or download it again"
MARKS = (  # the first bytes of a file, and what it is
    (rb"version https://git-lfs", "a Git LFS pointer, not the file itself: run git lfs pull"),
    (rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|\?xml|!--)", "a web page, not the file itself: download it again"),
    (rb"MATLAB 7\.3", "a MATLAB 7.3 file, damaged or not the one meant: copy it again"),
    (rb"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.", PYTORCH),
    (rb"\x80[\x02-\x05][\x8a\x95}\]cq(K]", "a Python pickle, which nothing here reads"),
    (rb"\x93NUMPY", "a NumPy array, which nothing here reads"),
    (rb"#EXTM3U|ffconcat|\[playlist\]", "a playlist, which names other files: give those"),
    (rb"\x1f\x8b|\xfd7zXZ\0|BZh[1-9]1AY|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|\x28\xb5\x2f\xfd", "packed: unpack it first"),
    (rb"\xff\xd8\xff|\x89PNG\r\n", "a picture, not the file itself: download it again"),
)


def describe_foreign_file(path: str | os.PathLike) -> str | None:
    """What a file is by its first bytes, with the mend, where it is nothing that this repository reads; else None.

    The words go on from "FILE: ". Files that cannot be opened are None too: their reader says why.
    """
    try:
        with open(path, "rb") as stream:
            start = stream.read(LOOKED_AT)
        if not start:
            return "an empty file: copy or download it again"
        for mark, meaning in MARKS:
            if re.match(mark, start, re.IGNORECASE):
                return meaning
        if start.startswith(b"PK"):
            return _describe_zip(path)
    except OSError:
        pass
    return None


@contextmanager
def reading(path: str | os.PathLike, kind: str, mend: str = MEND) -> Iterator[None]:
    """Read a file of another library's format: whatever that raises becomes one `InputError` that names the file.

    A damaged file can make a reader raise anything. `kind` is what the file should be, such as "weights file". Only
    what reads and parses stands inside: an error of anything else would be taken for damage.
    """
    try:
        yield
    except InputError:
        raise
    except MemoryError as problem:
        raise InputError(f"{path}: needs more memory than there is, or is corrupt") from problem
    except Exception as problem:
        if isinstance(problem, OSError) and problem.errno is not None and problem.strerror:
            hint = "" if mend == MEND else f"; {mend}"
            raise InputError(f"{path}: cannot be read: {problem.strerror}{hint}") from problem
        meaning = describe_foreign_file(path)
        if "truncated file" in str(problem) or (meaning or "").startswith(CUT):  # the first as HDF5 says it
            meaning = f"{CUT}: {mend}"
        if meaning is None:
            meaning = f"corrupt {kind}, or not one of ours ({first_line(problem)}): {mend}"
        raise InputError(f"{path}: {meaning}") from problem


def first_line(problem: Exception) -> str:
    """The first line of an error's message, cut to 120 characters, or its kind where it has none."""
    text = str(problem).strip().splitlines()
    return text[0][:120] if text else type(problem).__name__


def _describe_zip(path: str | os.PathLike) -> str | None:
    if Path(path).suffix.lower() in (".pt", ".pth"):
        return PYTORCH
    if not zipfile.is_zipfile(path):
        return f"{CUT}: {MEND}"
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # a directory of damaged bytes raises anything
        return None
    return PYTORCH if any(name.endswith("data.pkl") for name in names) else None
