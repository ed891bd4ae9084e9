"""Running a command's `main` in this process, as its script would: a new one takes seconds to start."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass

from utils.common.cli import run_main


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit status, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def run_in_process(main: Callable[[list[str]], int | None], *flags: object) -> Done:
    """Run `main` with flags, through `run_main`."""
    printed = io.TextIOWrapper(io.BytesIO(), "utf-8")
    problems = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace")  # as Python opens stderr
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(problems):
        try:
            run_main(lambda: main([str(flag) for flag in flags]))
        except SystemExit as end:
            status = end.code
    texts = []
    for stream in (printed, problems):
        stream.seek(0)
        texts.append(stream.read())
    return Done(int(status or 0), *texts)
