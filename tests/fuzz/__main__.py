"""Fuzz the readers of files: `python -m tests.fuzz --minutes 10`.

Each reader gets genuine files with damages that follow from --seed, and may accept or refuse them. Anything else (an
exception, the end of its process, too much time or memory) is a fault: the file is kept, and the exit status is 1.
"""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.readers import READERS
from tests.fuzz.runner import ACCEPTED, FAULT, REFUSED, fuzz
from utils.common.cli import CommandLine, non_negative_int, positive_float, run_main


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = CommandLine(prog="python -m tests.fuzz", description="Give damaged files to every reader of files.")
    parser.add_argument("--minutes", type=positive_float, default=1.0, help="for all readers together (default: 1)")
    parser.add_argument("--seed", type=non_negative_int, default=0, help="chooses the damages (default: 0)")
    parser.add_argument("--reader", action="append", metavar="NAME", help="this reader only; repeatable")
    parser.add_argument("--out", default="runs/fuzz", help="folder for files that were faults (default: runs/fuzz)")
    args = parser.parse_args(argv)

    known = {reader.name: reader for reader in READERS}
    names = args.reader or list(known)
    if unknown := [name for name in names if name not in known]:
        parser.error(f"--reader {unknown[0]}: is none of {', '.join(known)}")
    faults: list[str] = []
    print(f"{'reader':12s} {ACCEPTED:>10s} {REFUSED:>10s} {FAULT:>10s}")
    for name in names:
        outcome = fuzz(known[name], args.seed, 60 * args.minutes / len(names), Path(args.out))
        print(
            f"{name:12s} " + " ".join(f"{outcome.counts[kind]:10d}" for kind in (ACCEPTED, REFUSED, FAULT)), flush=True
        )
        faults += outcome.faults
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    run_main(main)
