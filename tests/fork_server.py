"""Runs of one script, each in a fork of a process that has imported TensorFlow already, which takes seconds.

`python -m tests.fork_server train_face` reads command lines from its input, each a JSON list of flags, and answers each
with the run's process number, then with its exit status. TensorFlow is imported here and started by the forks alone:
its threads would not survive.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys

import keras  # noqa: F401 - so that forks need not import it

from utils.common.cli import run_main


def main() -> None:
    """Fork, wait and answer until the input ends."""
    module = importlib.import_module(sys.argv[1])
    for line in sys.stdin:
        flags = json.loads(line)
        number = os.fork()
        if number == 0:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            run_main(functools.partial(module.main, flags))
        print(number, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
