"""What Windows and macOS do differently, as far as it can be acted out on Linux."""

import contextlib
import errno
import fcntl
import os
from pathlib import Path

import numpy as np
import pytest

from data.formats import write_pts
from data.schemes import FACE
from tests.conftest import SMALL, run_process, run_script
from tests.images import drawn_image
from utils.common.images import save_image
from utils.demo.sources import Source
from utils.demo.writers import plan_saves

TALK = "홍길동 ü"


@pytest.fixture
def windows(monkeypatch, tmp_path):
    """Below `tmp_path` the file system of Windows: an open file is neither renamed nor removed, and one that is open
    for reading is not synced. What a program tries all the same is refused, and noted in the list.
    """
    sync, replace, unlink = os.fsync, os.replace, os.unlink
    wrong = []

    def refuse(what, path):
        wrong.append(f"{what} {path}")
        raise PermissionError(errno.EACCES, "Access is denied", str(path))

    def check_closed(what, *paths):
        wanted = {real for path in paths if (real := os.path.realpath(path)).startswith(str(tmp_path))}
        for number in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # the listing itself was open
                if str(number.readlink()) in wanted and number.is_file():
                    refuse(what, number.readlink())

    def fsync(descriptor):
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            wrong.append("sync")
            raise OSError(errno.EBADF, "Bad file descriptor")
        sync(descriptor)

    def renamed(source, target, **options):
        check_closed("rename", source, target)
        replace(source, target, **options)

    def removed(path, **options):
        if not options:  # shutil removes by folder handles, which Windows does not have
            check_closed("remove", path)
        unlink(path, **options)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", renamed)
    monkeypatch.setattr(os, "unlink", removed)
    monkeypatch.setattr(os, "remove", removed)
    return wrong


@pytest.mark.slow
def test_files_are_closed_before_they_are_renamed_and_synced_where_they_were_written(
    windows, images, trained, tmp_path
):
    for flags in (
        ["data.synthetic", "--out", tmp_path / "heads", "--faces", 1, "--both", 1, "--size", 64, "--draft"],
        ["data.check", images, "--limit", 4, "--out", tmp_path / "check"],
        ["train_face.py", *SMALL, "--data", images, "--limit", 24, "--epochs", 2, "--run", tmp_path / "run",
         "--out", tmp_path / "face.keras"],
        ["utils.export", tmp_path / "face.keras", "--out", tmp_path / "half.keras"],
        ["utils.evaluate", tmp_path / "half.keras", images, "--task", "face", "--limit", 3, "--allow-trained",
         "--out", tmp_path / "scores"],
        ["demo_multi.py", tmp_path / "heads" / "Both", "--weights", tmp_path / "half.keras", "--no-window",
         "--save", tmp_path / "drawn", "--json", tmp_path / "a.jsonl"],
    ):  # fmt: skip
        done = run_script(*flags)
        assert done.returncode == 0, done.stderr
    assert windows == []


@pytest.mark.parametrize("encoding", ["ascii", "cp949", "cp1252"])
def test_a_console_of_any_encoding_takes_any_name(encoding, tmp_path):
    folder = tmp_path / TALK
    for k, name in enumerate((f"{TALK}.jpg", "bad\udcff.jpg")):
        image, points = drawn_image(FACE, 64, np.random.default_rng(k))
        save_image(folder / name, image)
        write_pts(folder / Path(name).with_suffix(".pts"), points)
    (folder / "lost.pts").write_text("no points")
    done = run_process(
        "data.check",
        folder,
        "--out",
        tmp_path / "sheets",
        encoding=encoding,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )
    assert done.returncode == 1 and "lost.pts" in done.stdout
    assert "Traceback" not in done.stderr


def test_names_that_differ_in_case_alone_are_written_apart(tmp_path):
    """On Windows and macOS `A.png` and `a.png` are one file."""
    names = ("A.jpg", "a.jpg", "b/a.png")
    targets = plan_saves(str(tmp_path), [Source(name, "image") for name in names]).values()
    assert len({target.name.lower() for target in targets}) == 3
