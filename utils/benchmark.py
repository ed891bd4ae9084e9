"""How fast this machine trains: `python -m utils.benchmark`.

Measures, in one run: the input pipeline alone, the training step alone, both together, and what share of this machine's
own convolution speed (one 7x7 layer, same precision) the step reaches. Images are drawn JPEGs of 256 px unless --data
names real ones. Memory is the growth of the process over the last steps.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from data.annotation import Annotation
from data.datasets import Sample, find_samples
from data.pipeline import TrainingPipeline
from data.schemes import FACE, reference_shape
from models.config import NORMS, preset_config
from utils.common.cli import CommandLine, network_size, non_negative_int, positive_int, run_main
from utils.common.keras_runtime import PRECISIONS, convolution_speed, start_keras
from utils.common.workers import cpu_count
from utils.training.config import DEFAULTS, preset_defaults

if sys.platform != "win32":
    import resource


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = CommandLine(prog="python -m utils.benchmark", description="Measure training speed on this machine.")
    parser.add_argument("--preset", choices=tuple(DEFAULTS), default="lite", help="network (default: lite)")
    parser.add_argument("--input-size", type=network_size, help="network input in pixels (default: the preset's)")
    parser.add_argument("--batch-size", type=positive_int, default=16, help="images a step (default: 16)")
    parser.add_argument("--steps", type=positive_int, default=20, help="steps of each measurement (default: 20)")
    parser.add_argument(
        "--norm",
        choices=NORMS,
        help="normalisation (default: the preset's in training)",
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="auto (default): the fastest here")
    parser.add_argument(
        "--workers", type=non_negative_int, default=0, help="processes that make the batches (default: threads)"
    )
    parser.add_argument("--data", help="dataset folder with faces (default: drawn JPEGs of 256 px)")
    parser.add_argument("--points", choices=("2d", "3d"), default="2d", help="which points of .mat files (default: 2d)")
    args = parser.parse_args(argv)

    with tempfile.TemporaryDirectory() as folder:
        samples = find_samples([args.data], FACE, args.points, True).samples if args.data else _noise(Path(folder))
        _measure(args, samples)


def _noise(folder: Path, count: int = 64, size: int = 256) -> list[Sample]:
    """JPEGs of structured noise with a face-shaped set of points: costs what an image of that size costs."""
    rng = np.random.default_rng(0)
    points = (0.6 * reference_shape(FACE) + 0.2) * size
    samples = []
    for k in range(count):
        path = folder / f"{k}.jpg"
        coarse = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        cv2.imwrite(str(path), cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC))
        samples.append(Sample(path.name, path, Annotation.of(FACE, points), str(k)))
    return samples


def _measure(args: argparse.Namespace, samples: list[Sample]) -> None:
    precision = start_keras(args.precision, seed=0)
    from models.cpm import build_network, count_flop
    from models.trainer import StageTrainer
    from utils.training.start import make_optimizer

    heads = {FACE.task: tuple(range(FACE.count))}
    norm = args.norm or preset_defaults(args.preset).norm
    config = preset_config(args.preset, heads=heads, input_size=args.input_size, norm=norm)
    trainer = StageTrainer(build_network(config), config, FACE)
    trainer.compile(optimizer=make_optimizer(learning_rate=1e-4, steps=10_000))
    pipeline = TrainingPipeline(samples, FACE, size=config.input_size, batch_size=args.batch_size, workers=args.workers)
    flop = 3 * count_flop(config)  # forward, gradient of the inputs, gradient of the kernels

    print(f"{args.preset}, {config.input_size} px, batch {args.batch_size}, norm {norm}, {precision}")
    ahead = pipeline.batches()
    for _ in range(2 * (args.workers or cpu_count())):  # the pipeline works ahead: what waits already takes no time
        next(ahead)
    _report("pipeline alone", _speed(lambda batch: None, ahead, args))
    del ahead  # ends its threads or processes
    batch = pipeline.batch(0)
    trainer.train_on_batch(*batch)
    alone = _speed(lambda batch: trainer.train_on_batch(*batch), iter(lambda: batch, None), args)
    _report("step alone", alone)
    batches = pipeline.batches()
    for _ in range(1 + args.steps // 10):
        trainer.train_on_batch(*next(batches))
    before = _memory()
    together = _speed(lambda batch: trainer.train_on_batch(*batch), batches, args)
    _report("both together", together, f"{100 * together / alone:.0f} % of the step alone")
    print(f"memory         grew by {_memory() - before:.0f} MB over the last {args.steps} steps")
    own = convolution_speed(precision)
    print(
        f"arithmetic     {alone * flop / 1e9:.0f} GFLOP/s in the step, {own / 1e9:.0f} in one 7x7 convolution: "
        f"{100 * alone * flop / own:.0f} %"
    )


def _speed(work: Callable, batches: Iterator, args: argparse.Namespace) -> float:
    """Images a second of `work` over `--steps` batches, the first not counted."""
    work(next(batches))
    start = time.perf_counter()
    for _ in range(args.steps):
        work(next(batches))
    return args.steps * args.batch_size / (time.perf_counter() - start)


def _report(what: str, speed: float, note: str = "") -> None:
    print(f"{what:14s} {speed:8.2f} images/s  {note}")


def _memory() -> float:
    """Peak memory of this process so far, in MB; 0 on Windows, which has no such count."""
    if sys.platform == "win32":
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # macOS counts bytes, Linux kilobytes


if __name__ == "__main__":
    run_main(main)
