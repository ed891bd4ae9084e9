"""Average two networks of one family: `python -m utils.average FIRST SECOND OUT`.

  python -m utils.average weights/face.keras weights/face2ear.keras kept.keras --alpha 0.85

The weights are (1 - alpha) x FIRST + alpha x SECOND. Between a student that forgot and its teacher lie networks that
have forgotten less and know ears less well. Of two networks of one training, the middle is often better than either.
Choose alpha by scores on validation images (`python -m utils.evaluate`). It costs no training.
"""

from __future__ import annotations

from pathlib import Path

from utils.common.cli import CommandLine, InputError, printable, run_main, unit_interval
from utils.common.files import check_writable
from utils.common.keras_runtime import start_keras


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = CommandLine(prog="python -m utils.average", description="Average the weights of two networks.")
    parser.add_argument("first", metavar="FIRST", help="weights file; a student's teacher, for one")
    parser.add_argument("second", metavar="SECOND", help="one that started from it, or from the same weights")
    parser.add_argument("out", metavar="OUT", help="the .keras file to write")
    parser.add_argument(
        "--alpha", type=unit_interval, default=0.5, help="weight of SECOND, from 0 to 1 (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    out = Path(args.out)
    if out.suffix != ".keras":
        raise InputError(f"{out}: weights are written as .keras; give a name that ends so")
    if out.exists() and any(Path(source).exists() and out.samefile(source) for source in (args.first, args.second)):
        raise InputError(f"{out}: is one of the two to be averaged; name another file")
    check_writable(args.out, out.parent)
    start_keras("float32")
    from models.weights import average_networks, load_network, save_network

    average = average_networks(load_network(args.first), load_network(args.second), args.alpha)
    save_network(args.out, average.network, average.config, average.record)
    first, second = printable(args.first), printable(args.second)
    print(f"{printable(args.out)}: {1 - args.alpha:g} x {first} + {args.alpha:g} x {second}")


if __name__ == "__main__":
    run_main(main)
