"""How fast this machine is: `python -m utils.benchmark`.

  python -m utils.benchmark --preset lite                                        # training
  python -m utils.benchmark --demo weights/face2ear-lite.keras student.tflite    # the demo, with each of these weights
  python -m utils.benchmark --demo weights/face2ear-lite.keras --engine keras openvino

Training: in one run, the input pipeline alone, the training step alone, both together, and what share of this machine's
own convolution speed (one 7x7 layer, same precision) the step reaches. Images are drawn JPEGs of 256 px unless --data
names real ones. Memory is the growth of the process over the last steps.

Demo: a film of a synthetic head is tracked and drawn, by each weights file in turns. No window, no file.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from data.datasets import find_samples
from data.schemes import FACE
from models.config import NORMS
from utils.common.cli import CommandLine, InputError, network_size, non_negative_int, positive_int, run_main
from utils.common.keras_runtime import PRECISIONS
from utils.demo.engines import ENGINES, KERAS
from utils.demo.speed import measure_demo
from utils.training.config import DEFAULTS
from utils.training.speed import TrainingLoad, draw_noise, measure_training


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = CommandLine(
        prog="python -m utils.benchmark", description="Measure the speed of training, or of the demo, on this machine."
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="auto (default): the fastest here")
    parser.add_argument("--input-size", type=network_size, help="network input in pixels (default: the preset's)")
    training = parser.add_argument_group("training")
    training.add_argument("--preset", choices=tuple(DEFAULTS), default="lite", help="network (default: lite)")
    training.add_argument("--batch-size", type=positive_int, default=16, help="images a step (default: 16)")
    training.add_argument("--steps", type=positive_int, default=20, help="steps of each measurement (default: 20)")
    training.add_argument("--norm", choices=NORMS, help="normalisation (default: the preset's in training)")
    training.add_argument(
        "--workers", type=non_negative_int, default=0, help="processes that make the batches (default: threads)"
    )
    training.add_argument("--data", help="dataset folder with faces (default: drawn JPEGs of 256 px)")
    training.add_argument(
        "--points", choices=("2d", "3d"), default="2d", help="which points of .mat files (default: 2d)"
    )
    demo = parser.add_argument_group("demo")
    demo.add_argument("--demo", nargs="+", metavar="WEIGHTS", help="weights files to track the head of a film with")
    demo.add_argument(
        "--engine", choices=ENGINES, nargs="+", default=[KERAS], help="what runs them, in turns (default: keras)"
    )
    demo.add_argument("--frames", type=positive_int, default=100, help="of the film (default: 100)")
    args = parser.parse_args(argv)
    if args.demo:
        if args.frames < 2:
            raise InputError("--frames 1: the first frame is only searched; give 2 or more")
        for weights in args.demo:
            if not Path(weights).is_file():
                raise InputError(f"--demo {weights}: no such weights file")
        measure_demo(args.demo, args.frames, args.precision, args.input_size, args.engine)
    elif args.engine != [KERAS]:
        raise InputError("--engine: is what runs the weights of --demo; leave it out")
    else:
        _measure_training(args)


def _measure_training(args: argparse.Namespace) -> None:
    load = TrainingLoad(
        args.preset, args.input_size, args.norm, args.precision, args.batch_size, args.steps, args.workers
    )
    with tempfile.TemporaryDirectory() as folder:
        samples = find_samples([args.data], FACE, args.points, True).samples if args.data else draw_noise(Path(folder))
        measure_training(load, samples)


if __name__ == "__main__":
    run_main(main)
