"""Halve a weights file: `python -m utils.export WEIGHTS OUT`.

  python -m utils.export runs/face2ear/best.keras weights/face2ear-lite.keras

Writes the same `.keras` file with its arrays as float16; every reader, ours and plain Keras, takes them as float32.
Score both with `python -m utils.evaluate` to see that nothing is lost.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from utils.common.cli import CommandLine, InputError, printable, run_main
from utils.common.foreign import describe_foreign_file
from utils.common.keras_runtime import start_keras


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = CommandLine(prog="python -m utils.export", description="Write a weights file with float16 arrays.")
    parser.add_argument("weights", metavar="WEIGHTS", help="a .keras file of this repository")
    parser.add_argument("out", metavar="OUT", help="the .keras file to write")
    args = parser.parse_args(argv)
    source, out = Path(args.weights), Path(args.out)
    if not zipfile.is_zipfile(source):
        what = describe_foreign_file(source) or "export takes a .keras file of this repository, and this is none"
        raise InputError(f"{source}: {what}")
    if out.exists() and out.samefile(source):
        raise InputError(f"{out}: is the file to be exported; name another")
    start_keras()
    from models.weights import write_half

    write_half(args.weights, args.out)
    before, after = (Path(path).stat().st_size / 1e6 for path in (args.weights, args.out))
    print(f"{printable(args.out)}: {after:.1f} MB (before: {before:.1f} MB)")


if __name__ == "__main__":
    run_main(main)
