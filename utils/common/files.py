"""Files that are whole or not there: written beside, then renamed."""

from __future__ import annotations

import contextlib
import csv
import functools
import json
import math
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from utils.common.cli import InputError
from utils.common.foreign import describe_foreign_file

LONG_NAME = 220  # bytes
LARGEST_JSON = 32 << 20  # bytes: a run of 100,000 epochs has 20 MB, a record of a million images as much
LEFT_OVER = 24 * 3600  # seconds: a temporary file that nobody has written to for so long is a killed run's


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to, and rename it to `path` if nothing went wrong.

    The temporary file is there already, empty, under a name that nobody can foresee, with the permissions of `path`.
    Its name ends like `path`, since many writers choose the format by it. Whatever the reason for a failure (an error,
    a full disk, Ctrl-C), `path` is then as it was. What killed runs left in the folder a day ago goes. Raises
    `InputError` where the folder cannot be written.
    """
    path = Path(path)
    # A name may have as many bytes as the file system takes, and the temporary one has more.
    name = path.name if len(os.fsencode(path.name)) <= LONG_NAME else path.name[-LONG_NAME // 5 :]
    part = path.with_name(f".part-{secrets.token_hex(8)}-{name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_left_over(path.parent)
        with open(part, "xb"):  # "x" follows no link that somebody has put there
            pass
        if path.is_file():
            part.chmod(stat.S_IMODE(path.stat().st_mode))
        yield part
        with open(part, "r+b") as written:  # Windows syncs no file that is open for reading alone
            os.fsync(written.fileno())  # a power cut must not leave the new name on an empty file
        os.replace(part, path)
    except OSError as problem:
        raise InputError(f"{path}: cannot be written: {problem.strerror or problem}") from problem
    finally:
        with contextlib.suppress(OSError):  # gone by now, or never there
            part.unlink()


@functools.cache  # once a folder: a listing for every file would take quadratic time
def _clear_left_over(folder: Path) -> None:
    """Remove the temporary files of killed runs."""
    for part in folder.glob(".part-*"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > LEFT_OVER:
                part.unlink()


def check_new_folder(flag: str, folder: Path) -> None:
    """Raise an `InputError` that names `flag` for a folder that holds anything, is a file or cannot be written."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{flag} {folder}: is there already; name a new folder")
    check_writable(flag, folder)


def check_writable(flag: str, folder: Path) -> None:
    """Raise an `InputError` that begins with `flag` if no files can be made in a folder, there already or not."""
    above = next(each for each in (folder, *folder.parents) if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError(f"{flag} {folder}: cannot be written ({above} is no folder that you may write to)")


def write_json(path: str | os.PathLike, content: object) -> None:
    """Write JSON beside and rename. Numbers that are none (NaN, infinite) become null, which JSON has."""
    with replacing(path) as part:
        part.write_text(json.dumps(_plain(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _plain(content: object) -> object:
    if isinstance(content, dict):
        return {name: _plain(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_plain(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def write_csv(path: str | os.PathLike, rows: Iterable[Sequence]) -> None:
    """Write rows as CSV beside and rename. Names of files in it need not be text."""
    with replacing(path) as part, open(part, "w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        csv.writer(stream, lineterminator="\n").writerows([_without_formula(cell) for cell in row] for row in rows)


def _without_formula(cell: object) -> object:
    """A file's name that a spreadsheet would take for a formula, as the path `./NAME`, which is the same file."""
    return f"./{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell


def read_json(path: str | os.PathLike, meaning: str, most: int = LARGEST_JSON) -> dict:
    """The JSON in a file. Raises an `InputError` that begins with `meaning` if it is missing, corrupt or ambiguous.

    A file of more than `most` bytes is refused before it is read.
    """
    try:
        if Path(path).stat().st_size > most:
            raise InputError(f"{meaning} ({path} has more than {most >> 20} MB)")
        return json.loads(Path(path).read_text(encoding="utf-8-sig"), object_pairs_hook=_without_repeats)
    except OSError as problem:
        what = "is missing" if isinstance(problem, FileNotFoundError) else f"cannot be read: {problem.strerror}"
        raise InputError(f"{meaning} ({path} {what})") from problem
    except (ValueError, RecursionError) as problem:
        line = f" at line {problem.lineno}" if isinstance(problem, json.JSONDecodeError) else ""
        foreign = describe_foreign_file(path)
        raise InputError(f"{meaning} ({path} is {foreign or f'corrupt{line}'})") from problem


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return dict(pairs)
