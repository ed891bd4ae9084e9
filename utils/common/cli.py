"""One way to say that the input is wrong: one line, exit status 2."""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

Item = TypeVar("Item")
LARGEST = 10**9  # of a count: more is a slip, and more than TensorFlow counts


# What a terminal obeys instead of showing it: control characters, other line ends, turns of the direction of writing.
_COMMANDS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: object) -> str:
    """A text in one line that no terminal obeys: names of files, and what files hold, may have been made to deceive."""
    return _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


class InputError(Exception):
    """Something the user gave is wrong; the message names it and says how to mend it, in one line."""

    def __str__(self) -> str:
        """The message, `printable`."""
        return printable(super().__str__())


class CommandLine(argparse.ArgumentParser):
    """An argument parser whose errors are one line, like every other `InputError`; flags are never abbreviated."""

    def __init__(
        self,
        prog: str | None = None,
        description: str | None = None,
        formatter_class: type[argparse.HelpFormatter] = argparse.HelpFormatter,
    ):
        super().__init__(prog, description=description, formatter_class=formatter_class, allow_abbrev=False)

    def parse_args(  # type: ignore[override]  # the overloads of argparse, for namespaces of other types, are not used
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse as usual, and refuse empty texts: as a path they would mean the current folder."""
        parsed = super().parse_args(args, namespace)
        for name, value in vars(parsed).items():
            if value == "" or (isinstance(value, list) and "" in value):
                self.error(f"{name.replace('_', '-')}: is empty; name a file or folder, or leave it out")
        return parsed

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage, which for 25 flags buries the message."""
        raise InputError(f"{message} (see --help)")


def run_main(main: Callable[[], int | None]) -> None:
    """Run a script's ``main`` and exit with its status: 2 and one line for bad input or files, 130 for Ctrl-C."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    try:
        status = main()
    except InputError as problem:
        print(f"error: {problem}", file=sys.stderr)
        status = 2
    except OSError as problem:
        if isinstance(problem, BrokenPipeError):  # the reader of our output (head, less) has gone
            sys.stderr.close()
            sys.exit(1)
        print(
            f"error: {printable(problem.filename or 'a file or the output')}: {printable(problem.strerror or problem)}",
            file=sys.stderr,
        )
        status = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    sys.exit(status or 0)


def positive_int(text: str) -> int:
    """An argparse type: a whole number from 1 to `LARGEST`."""
    return _number(text, int, f"a whole number from 1 to {LARGEST}", lambda value: 1 <= value <= LARGEST)


def non_negative_int(text: str) -> int:
    """An argparse type: a whole number of at least 0."""
    return _number(text, int, "a whole number of at least 0", lambda value: value >= 0)


def network_size(text: str) -> int:
    """An argparse type: pixels a side of a network's input."""
    return _number(text, int, "a multiple of 8 from 32 to 2048", lambda value: value % 8 == 0 and 32 <= value <= 2048)


def frame_size(text: str) -> tuple[int, int]:
    """An argparse type: width and height in pixels, as in "1280x720"."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})[xX]([1-9][0-9]{0,4})", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a width and height in pixels such as 1280x720")
    return int(found[1]), int(found[2])


def shard(text: str) -> tuple[int, int]:
    """An argparse type: which of how many shares, as in "2/4"; the first is 1."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", text)
    if found is None or int(found[1]) > int(found[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a share such as 2/4, the second of four")
    return int(found[1]), int(found[2])


def add_shard(parser: argparse.ArgumentParser) -> None:
    """Give a command the flag `--shard`, for `take_shard`."""
    words = (
        "take every Nth image alone, from the Kth on, such as 2/4: N runs share them and need not know of each other"
    )
    parser.add_argument("--shard", type=shard, metavar="K/N", help=words)


def add_batch(parser: argparse.ArgumentParser) -> None:
    """Give a command the flag `--batch`, for searches of many images."""
    words = "images that are searched at once, their crops read in one batch (default: 8); less needs less memory"
    parser.add_argument("--batch", type=positive_int, default=8, metavar="N", help=words)


def add_searcher(parser: argparse._ActionsContainer) -> None:
    """Give a command the flag `--searcher`, which a `LandmarkPredictor` takes as it is."""
    words = (
        "weights of a smaller network that searches whole images, and reads the ears of still ones too; none: it works "
        "by itself (default: as the weights note it, else none)"
    )
    parser.add_argument("--searcher", type=_searcher, default=True, metavar="FILE", help=words)


def _searcher(text: str) -> str | bool:
    return text != "none" and text


def take_shard(items: Sequence[Item], share: tuple[int, int] | None) -> list[Item]:
    """The items of a share (k, n), every nth from the kth on; without one all. Raises `InputError` if it is empty."""
    k, n = share or (1, 1)
    taken = list(items[k - 1 :: n])
    if items and not taken:
        raise InputError(f"--shard {k}/{n}: there are {len(items)} images, so this share is empty; take fewer shares")
    return taken


def positive_float(text: str) -> float:
    """An argparse type: a finite number above 0."""
    return _number(text, float, "a number above 0", lambda value: 0 < value < float("inf"))


def non_negative_float(text: str) -> float:
    """An argparse type: a finite number of at least 0."""
    return _number(text, float, "a number of at least 0", lambda value: 0 <= value < float("inf"))


def unit_interval(text: str) -> float:
    """An argparse type: a number from 0 to 1."""
    return _number(text, float, "a number from 0 to 1", lambda value: 0 <= value <= 1)


Number = TypeVar("Number", int, float)


def _number(text: str, convert: Callable[[str], Number], wanted: str, fits: Callable[[Number], bool]) -> Number:
    try:
        value = convert(text)
    except ValueError:
        pass
    else:
        if fits(value):
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
