"""The flags of `utils.export`, checked as far as that goes without reading the weights."""

from __future__ import annotations

import argparse
from dataclasses import fields
from functools import partial
from pathlib import Path

from models.description import NEIGHBOUR
from utils.common.cli import CommandLine, InputError, network_size, unit_interval
from utils.common.files import check_writable
from utils.demo.detections import Thresholds
from utils.demo.site import check_runtime, write_site
from utils.exporting.formats import FORMATS, OUTPUTS, PRECISIONS, Format

KERAS, WEB = "keras", "web"
NAMES = [field.name for field in fields(Thresholds)]


def _threshold(text: str) -> tuple[str, float]:
    """An argparse type: the name of a threshold and its score."""
    name, _, score = text.partition("=")
    if name not in NAMES:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=SCORE with one of the names")
    return name, unit_interval(score)


def parse_flags(argv: list[str] | None) -> argparse.Namespace:
    """The flags, checked as far as that goes without reading the weights."""
    parser = CommandLine(prog="python -m utils.export", description="Write weights for another place.")
    parser.add_argument("weights", metavar="WEIGHTS", help="a weights file")
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="the file to write (a folder for saved_model and web)"
    )
    parser.add_argument("--format", choices=(KERAS, *FORMATS, WEB), help="what to write (default: as --out ends)")
    parser.add_argument("--outputs", choices=OUTPUTS, default=OUTPUTS[0], help="what it answers (default: points)")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="float16: the arrays alone, half the size; int8: faster and less exact (default: float32; keras and web: "
        "float16)",
    )
    parser.add_argument(
        "--calibrate",
        metavar="DIR",
        help="a dataset whose crops set the ranges of int8 and are compared (default: synthetic heads, drawn now)",
    )
    parser.add_argument(
        "--size",
        type=network_size,
        metavar="PX",
        help="pixels of the crops that it is for (default: as it was trained)",
    )
    parser.add_argument(
        "--threshold",
        action="append",
        default=[],
        type=_threshold,
        metavar="NAME=SCORE",
        help=f"note a threshold in the file, repeatable; names: {', '.join(NAMES)}",
    )
    parser.add_argument(
        "--searcher",
        metavar="NAME",
        help="note in a .keras the name of a smaller weights file, beside --out, that searches images with it",
    )
    parser.add_argument(
        "--runtime",
        type=Path,
        metavar="DIR",
        default=Path("node_modules/onnxruntime-web/dist"),
        help="of web: the files of onnxruntime-web (default: %(default)s)",
    )
    parser.add_argument("--terms", metavar="TEXT", help="note under which terms the file may be used")
    args = parser.parse_args(argv)
    suffix = Path(args.out).suffix.lower()
    by_suffix = {".keras": KERAS} | {each.suffix: name for name, each in FORMATS.items() if each.suffix}
    args.format = args.format or by_suffix.get(suffix)
    if args.format is None:
        raise InputError(f"--out {args.out}: give a name that ends in {', '.join(by_suffix)}, or say the --format")
    wanted = ".keras" if args.format == KERAS else format_of(args).suffix
    if suffix != wanted:
        raise InputError(f"--out {args.out}: {args.format} files end in {wanted or 'nothing: it is a folder'}")
    if args.format == KERAS and (args.calibrate or args.size or args.terms or args.precision not in (None, "float16")):
        raise InputError(
            f"--out {args.out}: a .keras file has float16 arrays; of these flags it takes --threshold and --searcher"
        )
    if args.searcher is not None:
        check_searcher(args.searcher, Path(args.out), args.format)
    if args.format != KERAS and format_of(args).int8 is None and args.precision not in (None, PRECISIONS[0]):
        raise InputError(f"--precision {args.precision}: {args.format} is float32; leave it out")
    if args.format == WEB:
        if args.outputs != OUTPUTS[0]:
            raise InputError(f"--outputs {args.outputs}: the page draws points; leave it out")
        check_runtime(args.runtime)
    check_writable("--out", Path(args.out).absolute().parent)
    return args


def check_searcher(name: str, out: Path, kind: str) -> None:
    """Raise an `InputError` unless `--searcher` can be noted in the file `out`: it lies beside it and is another."""
    if kind != KERAS:
        raise InputError(f"--searcher {name}: is noted in .keras files alone; leave it out")
    if not NEIGHBOUR.fits(name):
        raise InputError(f"--searcher {name}: must be {NEIGHBOUR.words}; it lies beside --out")
    if name == out.name or not (out.parent / name).is_file():
        raise InputError(f"--searcher {name}: no other weights file beside --out {out} has this name")


def format_of(args: argparse.Namespace) -> Format:
    """How the flags ask a file of another runtime, or a page, to be written."""
    if args.format == WEB:
        return Format("", "web page", partial(write_site, runtime=args.runtime), FORMATS["onnx"].packages)
    return FORMATS[args.format]
