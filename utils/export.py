"""Write weights for another place: `python -m utils.export WEIGHTS --out FILE`.

  python -m utils.export weights/face2ear-lite.keras --out face2ear.onnx
  python -m utils.export weights/face2ear-lite.keras --format saved_model --out face2ear/
  python -m utils.export runs/face2ear/best.keras --out mine.keras --threshold face=0.65 --threshold lone_ear=0.8
  python -m utils.export weights/face2ear-lite.keras --format web --out site/     # wants: npm install onnxruntime-web

A file of ONNX, LiteRT (.tflite) or OpenVINO (.xml), or a SavedModel, takes images (batch, height, width, 3) uint8 RGB.
It answers for each task (batch, landmarks, 3): x, y in pixels of the image, and the confidence. It is run at once in
its own runtime, and compared with Keras; exit status 1 says that they differ. A `.keras` file is the same file again
with its arrays as float16: half the size. Thresholds are noted in the file, as `python -m utils.detection` told. So are
smaller weights that search images for it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from models.description import public_record
from utils.common.cli import InputError, printable, run_main
from utils.common.keras_runtime import start_keras
from utils.demo import LandmarkPredictor
from utils.demo.engines import keras_run
from utils.demo.export_flags import KERAS, WEB, format_of, parse_flags
from utils.demo.site import NETWORK
from utils.exporting.formats import FULL, HALF
from utils.exporting.packages import check_there
from utils.exporting.runtimes import open_exported


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

        if args.searcher:  # opens both, and refuses what does not go together
            LandmarkPredictor(source, precision="float32", searcher=out.parent / args.searcher)
        write_half(source, out, thresholds, args.searcher)
        before, after = (path.stat().st_size / 1e6 for path in (source, out))
        print(f"{printable(out)}: {after:.1f} MB (before: {before:.1f} MB)")
        return 0
    file = format_of(args)
    more = (file.int8 or ()) if args.precision == "int8" else ()
    for package in (*file.packages, *more):  # before the seconds that TensorFlow takes
        check_there(package)
    start_keras()
    return export(args, source, out, thresholds)


def export(args: argparse.Namespace, source: Path, out: Path, thresholds: dict[str, float]) -> int:
    """Write a file of another runtime and compare it with Keras: 0, or 1 if they differ."""
    from models.weights import load_network
    from utils.exporting.graph import export_job
    from utils.exporting.parity import compare, draw_crops, lines_of, milliseconds, read_crops

    loaded = load_network(source)
    size = args.size or loaded.config.input_size
    precision = args.precision or (HALF if args.format == WEB else FULL)
    crops = read_crops(Path(args.calibrate), loaded.config, size) if args.calibrate else draw_crops(loaded.config, size)
    job = export_job(
        loaded,
        size,
        public_record(loaded.record, thresholds),
        outputs=args.outputs,
        precision=precision,
        terms=args.terms,
        crops=np.concatenate([*crops.values()]),
    )
    file = format_of(args)
    file.write(job, out)

    exported = open_exported(out / NETWORK if args.format == WEB else out).run
    keras = keras_run(loaded, args.outputs)
    differences = compare(keras, exported, crops, args.outputs, loaded.config.decode_offset)
    took = milliseconds({"Keras": keras, "exported": exported}, next(iter(crops.values())))
    print(f"{printable(out)}: {file.title}, {precision}, {file.size(out) / 1e6:.1f} MB")
    print(f"  {took['exported']:.1f} ms a crop of {size} px, three at once; Keras in float32 {took['Keras']:.1f} ms")
    print(*lines_of(differences, precision), sep="\n")
    return int(any(each.beyond(precision) for each in differences))


if __name__ == "__main__":
    run_main(main)
