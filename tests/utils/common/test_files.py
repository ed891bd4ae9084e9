import pytest

from tests.conftest import input_error
from utils.common.files import replacing, write_json


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
