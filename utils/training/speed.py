"""How fast this machine trains: pipeline, step, and both together."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from data.annotation import Annotation
from data.datasets import Sample
from data.pipeline import TrainingPipeline
from data.schemes import FACE, reference_shape
from models.config import preset_config
from utils.common.keras_runtime import convolution_speed, start_keras
from utils.common.workers import cpu_count
from utils.training.config import preset_defaults

if sys.platform != "win32":
    import resource

PIPELINE_STEPS = 20  # at least, of each thread or process: it works ahead of those that are measured


@dataclass(frozen=True)
class TrainingLoad:
    """What is measured: a network, its batches, `steps` of each measurement. What is None follows from the preset."""

    preset: str
    input_size: int | None
    norm: str | None
    precision: str
    batch_size: int
    steps: int
    workers: int


def draw_noise(folder: Path, count: int = 64, size: int = 256) -> list[Sample]:
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


def measure_training(load: TrainingLoad, samples: list[Sample]) -> None:
    """Print images a second, the growth of memory, and the share of this machine's own convolution speed."""
    precision = start_keras(load.precision, seed=0)
    from models.cpm import build_network, count_flop
    from models.trainer import StageTrainer
    from utils.training.start import make_optimizer

    heads = {FACE.task: tuple(range(FACE.count))}
    norm = load.norm or preset_defaults(load.preset).norm
    config = preset_config(load.preset, heads=heads, input_size=load.input_size, norm=norm)
    trainer = StageTrainer(build_network(config), config, FACE)
    trainer.compile(optimizer=make_optimizer(learning_rate=1e-4, steps=10_000))
    pipeline = TrainingPipeline(samples, FACE, size=config.input_size, batch_size=load.batch_size, workers=load.workers)
    flop = 3 * count_flop(config)  # forward, gradient of the inputs, gradient of the kernels

    print(f"{load.preset}, {config.input_size} px, batch {load.batch_size}, norm {norm}, {precision}")
    ahead, busy = pipeline.batches(), load.workers or cpu_count()
    for _ in range(2 * busy):  # the pipeline works ahead: what waits already takes no time
        next(ahead)
    reading = _speed(lambda batch: None, ahead, replace(load, steps=max(load.steps, PIPELINE_STEPS * busy)))
    each = reading / min(busy, cpu_count())
    _report("pipeline alone", reading, f"{each:.0f} a core")
    del ahead  # ends its threads or processes
    batch = pipeline.batch(0)
    trainer.train_on_batch(*batch)
    alone = _speed(lambda batch: trainer.train_on_batch(*batch), iter(lambda: batch, None), load)
    _report("step alone", alone, f"wants {max(1, math.ceil(alone / each))} cores for the pipeline")
    batches = pipeline.batches()
    for _ in range(1 + load.steps // 10):
        trainer.train_on_batch(*next(batches))
    before = _memory()
    together = _speed(lambda batch: trainer.train_on_batch(*batch), batches, load)
    _report("both together", together, f"{100 * together / alone:.0f} % of the step alone")
    print(f"memory         grew by {_memory() - before:.0f} MB over the last {load.steps} steps")
    own = convolution_speed(precision)
    print(
        f"arithmetic     {alone * flop / 1e9:.0f} GFLOP/s in the step, {own / 1e9:.0f} in one 7x7 convolution: "
        f"{100 * alone * flop / own:.0f} %"
    )


def _speed(work: Callable, batches: Iterator, load: TrainingLoad) -> float:
    """Images a second of `work` over the load's steps, the first not counted."""
    work(next(batches))
    start = time.perf_counter()
    for _ in range(load.steps):
        work(next(batches))
    return load.steps * load.batch_size / (time.perf_counter() - start)


def _report(what: str, speed: float, note: str = "") -> None:
    print(f"{what:14s} {speed:8.2f} images/s  {note}")


def _memory() -> float:
    """Peak memory of this process so far, in MB; 0 on Windows, which has no such count."""
    if sys.platform == "win32":
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # macOS counts bytes, Linux kilobytes
