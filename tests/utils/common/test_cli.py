import pytest

from tests.conftest import input_error
from utils.common.cli import CommandLine


@pytest.mark.parametrize("flags", [["--out", ""], ["a", ""]])
def test_an_empty_text_is_no_folder(flags):
    parser = CommandLine()
    parser.add_argument("--out", default="x")
    parser.add_argument("names", nargs="*")
    with input_error("empty"):
        parser.parse_args(flags)
    assert parser.parse_args(["a"]).out == "x"
