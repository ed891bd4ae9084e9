"""Halve a weights file: `python -m utils.export WEIGHTS OUT`.

  python -m utils.export runs/face2ear/best.keras weights/face2ear-lite.keras
  python -m utils.export runs/face2ear/best.keras mine.keras --threshold face=0.65 --threshold lone_ear=0.8

Writes the same `.keras` file with its arrays as float16; every reader, ours and plain Keras, takes them as float32.
Score both with `python -m utils.evaluate` to see that nothing is lost. The second notes in the file from which scores
on its faces and ears count, as `python -m utils.detection` told. The demo then goes by them.
"""

from __future__ import annotations

import argparse
import zipfile
from dataclasses import fields
from pathlib import Path

from utils.common.cli import CommandLine, InputError, printable, run_main, unit_interval
from utils.common.foreign import describe_foreign_file
from utils.common.keras_runtime import start_keras
from utils.demo.detections import Thresholds

NAMES = [field.name for field in fields(Thresholds)]


def _threshold(text: str) -> tuple[str, float]:
    """An argparse type: the name of a threshold and its score."""
    name, _, score = text.partition("=")
    if name not in NAMES:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=SCORE with one of the names")
    return name, unit_interval(score)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = CommandLine(prog="python -m utils.export", description="Write a weights file with float16 arrays.")
    parser.add_argument("weights", metavar="WEIGHTS", help="a .keras file of this repository")
    parser.add_argument("out", metavar="OUT", help="the .keras file to write")
    parser.add_argument(
        "--threshold",
        action="append",
        default=[],
        type=_threshold,
        metavar="NAME=SCORE",
        help=f"note a threshold in the file, repeatable; names: {', '.join(NAMES)}",
    )
    args = parser.parse_args(argv)
    source, out = Path(args.weights), Path(args.out)
    if not zipfile.is_zipfile(source):
        what = describe_foreign_file(source) or "export takes a .keras file of this repository, and this is none"
        raise InputError(f"{source}: {what}")
    if out.exists() and out.samefile(source):
        raise InputError(f"{out}: is the file to be exported; name another")
    start_keras()
    from models.weights import write_half

    write_half(args.weights, args.out, dict(args.threshold))
    before, after = (Path(path).stat().st_size / 1e6 for path in (args.weights, args.out))
    print(f"{printable(args.out)}: {after:.1f} MB (before: {before:.1f} MB)")


if __name__ == "__main__":
    run_main(main)
