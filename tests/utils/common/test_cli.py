import argparse
import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import input_error
from utils.common.cli import (
    CommandLine,
    InputError,
    network_size,
    non_negative_float,
    non_negative_int,
    positive_float,
    positive_int,
    printable,
    run_main,
    shard,
    take_shard,
    unit_interval,
)


@pytest.mark.parametrize("flags", [["--out", ""], ["a", ""]])
def test_an_empty_text_is_no_folder(flags):
    parser = CommandLine()
    parser.add_argument("--out", default="x")
    parser.add_argument("names", nargs="*")
    with input_error("empty"):
        parser.parse_args(flags)
    assert parser.parse_args(["a"]).out == "x"


def test_flags_are_not_abbreviated():
    parser = CommandLine()
    parser.add_argument("--learning-rate")
    with input_error("--learning"):
        parser.parse_args(["--learning", "1"])


def raising(problem):
    def main():
        raise problem

    return main


@pytest.mark.parametrize(
    ("main", "status", "words"),
    [
        (lambda: None, 0, ""),
        (lambda: 1, 1, ""),
        (raising(InputError("--epochs 0: too few")), 2, "error: --epochs 0: too few\n"),
        (raising(OSError(errno.ENOSPC, "No space left", "a.png")), 2, "error: a.png: No space left\n"),
        (raising(KeyboardInterrupt()), 130, "interrupted\n"),
    ],
)
def test_a_script_ends_with_a_status_and_at_most_one_line(main, status, words, capsys):
    with pytest.raises(SystemExit) as end:
        run_main(main)
    assert end.value.code == status
    assert capsys.readouterr() == ("", words)


def test_an_error_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_main(raising(ZeroDivisionError()))


@given(st.integers(-5000, 5000))
def test_whole_numbers_are_taken_in_their_range(value):
    for convert, fits in (
        (positive_int, value >= 1),
        (non_negative_int, value >= 0),
        (network_size, value in range(32, 2049, 8)),
    ):
        if fits:
            assert convert(str(value)) == value
        else:
            with pytest.raises(argparse.ArgumentTypeError, match="is not"):
                convert(str(value))


@given(st.floats())
def test_numbers_are_taken_in_their_range(value):
    for convert, fits in (
        (positive_float, 0 < value < float("inf")),
        (non_negative_float, 0 <= value < float("inf")),
        (unit_interval, 0 <= value <= 1),
    ):
        if fits:
            assert convert(repr(value)) == value
        else:
            with pytest.raises(argparse.ArgumentTypeError, match="is not"):
                convert(repr(value))


@pytest.mark.parametrize("text", ["", "many", "1.5", "0x10", "1e3"])
def test_what_is_no_whole_number_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a whole number"):
        positive_int(text)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nerror: b", r"a\nerror: b"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\u202egpj.b", r"a\u202egpj.b"),
        ("a\u2028b\r\x85", r"a\u2028b\r\x85"),
        ("홍길동 ü $x", "홍길동 ü $x"),
    ],
)
def test_no_name_commands_the_terminal_or_adds_a_line(name, shown):
    assert printable(name) == shown
    assert str(InputError(f"{name}: is bad")) == f"{shown}: is bad"


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "-1/2", "1/2/3", ""])
def test_a_share_is_one_of_its_number(text):
    with pytest.raises(argparse.ArgumentTypeError, match="share"):
        shard(text)


@given(st.lists(st.integers(), min_size=1), st.integers(1, 9))
def test_shares_are_as_large_as_each_other_and_are_all_together(items, count):
    count = min(count, len(items))
    shares = [take_shard(items, shard(f"{k}/{count}")) for k in range(1, count + 1)]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert [shares[k % count][k // count] for k in range(len(items))] == items
    assert take_shard(items, None) == items


def test_an_empty_share_is_one_line():
    with input_error("--shard 3/4: there are 2 images"):
        take_shard([1, 2], (3, 4))
