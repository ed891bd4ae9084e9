"""What an exported file answers, beside what Keras answers in float32."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from data.datasets import find_samples, spread
from data.layouts import NoSuchImagesError
from data.pipeline import EvaluationPipeline
from data.schemes import EAR, FACE, SCHEMES
from data.synthetic.generate import Plan, generate
from models.config import ModelConfig
from models.heatmaps import decode_heatmaps
from utils.common.cli import InputError
from utils.common.workers import cpu_count
from utils.exporting.formats import HEATMAPS

CROPS = 16  # of each task
DRAWN_AT = 192  # pixels a side
AT_ONCE = 3  # crops, as the demo reads face and both ears
MOST_FLOAT = 0.05  # pixels of the crop: the largest difference of any point
MOST_INT8 = 0.5  # pixels of the crop: the mean difference

Run = Callable[[np.ndarray], dict[str, np.ndarray]]


def draw_crops(config: ModelConfig, size: int) -> dict[str, np.ndarray]:
    """Crops (images, size, size, 3) uint8 of synthetic heads by task, the same each time.

    Raises `InputError` for a network of neither faces nor ears.
    """
    with TemporaryDirectory() as folder:
        plan = Plan(CROPS, CROPS, 0, DRAWN_AT, seed=9, draft=False)
        for _ in generate(Path(folder), plan, cpu_count()):
            pass
        return read_crops(Path(folder), config, size)


def read_crops(folder: Path, config: ModelConfig, size: int) -> dict[str, np.ndarray]:
    """The same of the images in a dataset, evenly spread. Raises `InputError` if it has none of the network's tasks."""
    crops = {}
    for task in config.heads:
        try:
            samples = spread(find_samples([folder], SCHEMES[task], skip_bad=True).samples, CROPS)
        except NoSuchImagesError:
            continue
        pipeline = EvaluationPipeline(samples, SCHEMES[task], size=size, batch_size=CROPS)
        crops[task] = np.concatenate([images for _, images, _ in pipeline.batches()])
    if not crops:
        tasks = " or ".join(config.heads)
        known = {FACE.task, EAR.task} & set(config.heads)
        hint = "" if known else " (none are drawn of these landmarks: name images with --calibrate)"
        raise InputError(f"{folder}: no images with points of {tasks} in it{hint}")
    return crops


@dataclass(frozen=True)
class Difference:
    """How far points of a task lie from those of Keras, in pixels of the crop: their mean and the largest distance."""

    task: str
    mean: float
    largest: float

    def beyond(self, precision: str) -> bool:
        """Whether it is more than a file of this precision should differ."""
        return not (self.mean <= MOST_INT8 if precision == "int8" else self.largest <= MOST_FLOAT)


def compare(keras: Run, exported: Run, crops: dict[str, np.ndarray], outputs: str, offset: float) -> list[Difference]:
    """The differences of each task on its own crops. `offset`: the network's `decode_offset`, for heatmaps."""

    def points(run: Run, task: str) -> np.ndarray:
        answer = np.asarray(run(crops[task])[task])
        return np.asarray(decode_heatmaps(answer, offset=offset)[0]) if outputs == HEATMAPS else answer[..., :2]

    found = []
    for task in crops:
        apart = np.linalg.norm(points(exported, task) - points(keras, task), axis=-1)
        found.append(Difference(task, float(apart.mean()), float(apart.max())))
    return found


def milliseconds(runs: dict[str, Run], crops: np.ndarray, seconds: float = 2.0) -> dict[str, float]:
    """The shortest time of a crop, `AT_ONCE` at once, of each of several; taken in turns, under one load."""
    crops = crops[:AT_ONCE]
    best = dict.fromkeys(runs, math.inf)
    for run in runs.values():
        run(crops)
    until = time.perf_counter() + seconds * len(runs)
    while time.perf_counter() < until:
        for name, run in runs.items():
            start = time.perf_counter()
            run(crops)
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: 1000 * took / len(crops) for name, took in best.items()}


def lines_of(differences: Sequence[Difference], precision: str) -> Iterator[str]:
    """What the command says of them."""
    for each in differences:
        yield f"  {each.task}: {each.mean:.3f} px from Keras in the mean, {each.largest:.3f} px at most"
    if wrong := [each.task for each in differences if each.beyond(precision)]:
        yield f"  {' and '.join(wrong)}: differs more than a file of {precision} should; do not use it"
