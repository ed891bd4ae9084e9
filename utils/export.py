"""Write weights for another place: `python -m utils.export WEIGHTS --out FILE`.

  python -m utils.export weights/face2ear-lite.keras --out face2ear.onnx
  python -m utils.export weights/face2ear-lite.keras --format saved_model --out face2ear/
  python -m utils.export runs/face2ear/best.keras --out mine.keras --threshold face=0.65 --threshold lone_ear=0.8

A file of ONNX, LiteRT (.tflite) or OpenVINO (.xml), or a SavedModel, takes images (batch, height, width, 3) uint8 RGB.
It answers for each task (batch, landmarks, 3): x, y in pixels of the image, and the confidence. It is run at once in
its own runtime, and compared with Keras; exit status 1 says that they differ. A `.keras` file is the same file again
with its arrays as float16: half the size. Thresholds are noted in the file, as `python -m utils.detection` told.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from data.schemes import SCHEMES
from models.description import describe, public_record
from utils.common.cli import CommandLine, InputError, network_size, printable, run_main, unit_interval
from utils.common.files import check_writable
from utils.common.keras_runtime import start_keras
from utils.demo.detections import Thresholds
from utils.demo.engines import keras_run
from utils.exporting.formats import FORMATS, OUTPUTS, PRECISIONS, Job
from utils.exporting.packages import check_there
from utils.exporting.runtimes import open_exported

KERAS = "keras"
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
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write (a folder for saved_model)")
    parser.add_argument("--format", choices=(KERAS, *FORMATS), help="what to write (default: as --out ends)")
    parser.add_argument("--outputs", choices=OUTPUTS, default=OUTPUTS[0], help="what it answers (default: points)")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="float16: the arrays alone, half the size; int8: faster and less exact (default: float32, .keras float16)",
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
    parser.add_argument("--terms", metavar="TEXT", help="note under which terms the file may be used")
    args = parser.parse_args(argv)
    suffix = Path(args.out).suffix.lower()
    by_suffix = {".keras": KERAS} | {each.suffix: name for name, each in FORMATS.items() if each.suffix}
    args.format = args.format or by_suffix.get(suffix)
    if args.format is None:
        raise InputError(f"--out {args.out}: give a name that ends in {', '.join(by_suffix)}, or say the --format")
    wanted = ".keras" if args.format == KERAS else FORMATS[args.format].suffix
    if suffix != wanted:
        raise InputError(f"--out {args.out}: {args.format} files end in {wanted or 'nothing: it is a folder'}")
    if args.format == KERAS and (args.calibrate or args.size or args.terms or args.precision not in (None, "float16")):
        raise InputError(f"--out {args.out}: a .keras file has float16 arrays, --threshold is all that it takes")
    if args.format != KERAS and FORMATS[args.format].int8 is None and args.precision not in (None, PRECISIONS[0]):
        raise InputError(f"--precision {args.precision}: {args.format} is float32; leave it out")
    check_writable("--out", Path(args.out).absolute().parent)
    return args


def main(argv: list[str] | None = None) -> int:
    """Flags -> weights -> file -> what it answers beside Keras."""
    args = parse_flags(argv)
    source, out = Path(args.weights), Path(args.out)
    if not source.is_file():
        raise InputError(f"{source}: no such weights file")
    if out.exists() and (out.is_dir() or out.samefile(source)):
        raise InputError(f"--out {out}: is there already; name another")
    thresholds = dict(args.threshold)
    if args.format == KERAS:
        start_keras()
        from models.weights import write_half

        write_half(source, out, thresholds)
        before, after = (path.stat().st_size / 1e6 for path in (source, out))
        print(f"{printable(out)}: {after:.1f} MB (before: {before:.1f} MB)")
        return 0
    file = FORMATS[args.format]
    more = (file.int8 or ()) if args.precision == "int8" else ()
    for package in (*file.packages, *more):  # before the seconds that TensorFlow takes
        check_there(package)
    start_keras()
    return export(args, source, out, thresholds)


def export(args: argparse.Namespace, source: Path, out: Path, thresholds: dict[str, float]) -> int:
    """Write a file of another runtime and compare it with Keras: 0, or 1 if they differ."""
    from models.weights import load_network
    from utils.exporting.graph import export_function
    from utils.exporting.parity import compare, draw_crops, lines_of, milliseconds, read_crops

    loaded = load_network(source)
    size, precision = args.size or loaded.config.input_size, args.precision or PRECISIONS[0]
    crops = read_crops(Path(args.calibrate), loaded.config, size) if args.calibrate else draw_crops(loaded.config, size)
    function, config = export_function(loaded, args.outputs)
    content = describe(replace(config, input_size=size), public_record(loaded.record, thresholds))
    content["schemes"] = {task: SCHEMES[task].to_json() for task in config.heads}
    content["export"] = {"outputs": args.outputs, "precision": precision, "terms": args.terms}
    file = FORMATS[args.format]
    file.write(Job(function, json.dumps(content), precision, np.concatenate([*crops.values()])), out)

    exported, keras = open_exported(out).run, keras_run(loaded, args.outputs)
    differences = compare(keras, exported, crops, args.outputs, config.decode_offset)
    took = milliseconds({"Keras": keras, "exported": exported}, next(iter(crops.values())))
    print(f"{printable(out)}: {file.title}, {precision}, {file.size(out) / 1e6:.1f} MB")
    print(f"  {took['exported']:.1f} ms a crop of {size} px, three at once; Keras in float32 {took['Keras']:.1f} ms")
    print(*lines_of(differences, precision), sep="\n")
    return int(any(each.beyond(precision) for each in differences))


if __name__ == "__main__":
    run_main(main)
