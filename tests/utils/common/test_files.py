import errno
import fcntl
import os
import secrets
import time

import pytest

from tests.conftest import input_error
from utils.common.files import LARGEST_JSON, read_json, replacing, write_csv, write_json


@pytest.mark.parametrize("name", ["a" * 250 + ".json", "ü" * 125 + ".json", "short.json"])
def test_the_longest_names_that_a_disk_takes_can_be_written(tmp_path, name):
    """Linux takes names of 255 bytes; the temporary name beside it is longer than the final one."""
    write_json(tmp_path / name, {"a": 1})
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "kept.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as part:
        part.write_text("new")
        assert part.suffix == ".txt" and part.parent == tmp_path
        raise ZeroDivisionError
    assert path.read_text() == "old" and [left.name for left in tmp_path.iterdir()] == ["kept.txt"]


def test_a_name_that_is_too_long_is_one_line(tmp_path):
    with input_error("cannot be written"):
        write_json(tmp_path / ("b" * 300), {})


def test_the_permissions_of_a_file_that_is_written_again_stay(tmp_path):
    path = tmp_path / "secret.json"
    write_json(path, {"a": 1})
    usual = (tmp_path / "usual").open("w").fileno() and (tmp_path / "usual").stat().st_mode
    assert path.stat().st_mode == usual
    path.chmod(0o600)
    with replacing(path) as part:
        assert part.stat().st_mode & 0o777 == 0o600  # while it is written too
        part.write_text("{}")
    assert path.stat().st_mode & 0o777 == 0o600 and path.read_text() == "{}"


def test_the_temporary_name_cannot_be_foreseen_and_no_link_is_followed(tmp_path, monkeypatch):
    path, victim = tmp_path / "a.txt", tmp_path / "victim"
    victim.write_text("kept")
    names = set()
    for _ in range(5):
        with replacing(path) as part:
            names.add(part.name)
            part.write_text("new")
    assert len(names) == 5
    monkeypatch.setattr(secrets, "token_hex", lambda _: "foreseen")
    (tmp_path / ".part-foreseen-a.txt").symlink_to(victim)
    with input_error("a.txt", "cannot be written"), replacing(path) as part:
        part.write_text("stolen")
    assert victim.read_text() == "kept" and path.read_text() == "new"


def test_a_written_file_is_synced_by_the_handle_that_wrote(tmp_path, monkeypatch):
    """Windows syncs no file that is open for reading alone."""
    sync = os.fsync

    def as_on_windows(descriptor):
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", as_on_windows)
    write_json(tmp_path / "a.json", {})
    assert (tmp_path / "a.json").exists()


def test_what_killed_runs_left_a_day_ago_goes_and_what_is_being_written_stays(tmp_path):
    old, fresh = tmp_path / ".part-1-old.json", tmp_path / ".part-2-fresh.json"
    old.write_text("")
    fresh.write_text("")
    os.utime(old, (time.time() - 25 * 3600,) * 2)
    write_json(tmp_path / "a.json", {})
    assert not old.exists() and fresh.exists()


def test_a_name_in_a_table_is_no_formula_for_a_spreadsheet(tmp_path):
    write_csv(tmp_path / "a.csv", [("name", "part"), ("=1+1.jpg", "train"), ("@a.jpg", -1.5), ("b=.jpg", "test")])
    assert (tmp_path / "a.csv").read_text().splitlines() == [
        "name,part",
        "./=1+1.jpg,train",
        "./@a.jpg,-1.5",
        "b=.jpg,test",
    ]


def test_json_that_is_too_large_is_refused_before_it_is_read(tmp_path):
    with open(tmp_path / "a.json", "wb") as stream:
        stream.truncate(LARGEST_JSON + 1)
    with input_error("the notes", "a.json", "32 MB"):
        read_json(tmp_path / "a.json", "the notes cannot be read")
