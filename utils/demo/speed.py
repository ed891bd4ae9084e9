"""How fast the demo is here: several weights files on one film of a synthetic head, in turns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from data.schemes import FACE
from data.synthetic.film import frames
from utils.common.cli import InputError, printable
from utils.demo.detections import Thresholds
from utils.demo.engines import KERAS
from utils.demo.predictor import LandmarkPredictor
from utils.demo.timing import StepTimer
from utils.demo.tracker import Tracker
from utils.demo.view import View
from utils.exporting.runtimes import is_exported

WIDTH, HEIGHT, SEED = 1280, 720, 11  # of the film: pixels, and who is in it
ROUNDS = 3  # of the film by each weights file, after one that is not counted

Film = list[tuple[np.ndarray, np.ndarray]]  # frames (height, width, 3) uint8 RGB, and the face's true points (68, 2)


@dataclass
class Measurement:
    """A weights file that reads the film: what it took, and how far its faces lie from the truth (0.04: 4 %)."""

    weights: str
    predictor: LandmarkPredictor
    timer: StepTimer
    processor_seconds: float = 0.0
    errors: list[float] = field(default_factory=list)


def measure_demo(
    weights: Sequence[str], count: int, precision: str, size: int | None, engines: Sequence[str] = (KERAS,)
) -> None:
    """Film a head in `count` frames, track it with each of the weights, and print their speeds.

    Weights of Keras are run by each of the `engines`.

    Each round goes through all weights, so that a machine which becomes slower does so for all. Raises `InputError` as
    `LandmarkPredictor` does.
    """
    measured = []
    for each in weights:
        for engine in (KERAS,) if is_exported(each) else engines:
            timer = StepTimer()
            predictor = LandmarkPredictor(each, size, precision, timer=timer, engine=engine)
            measured.append(Measurement(each, predictor, timer))
            if FACE.task not in predictor.tasks:
                raise InputError(f"{each}: knows no faces, which the film is of")
    film = [(image, np.array(truth["face"]["points"])) for image, truth in frames(count, WIDTH, HEIGHT, SEED)]
    for one in measured:  # shapes are compiled
        track(film[: len(film) // 2 + 1], one.predictor)
        one.timer.start()
    for _ in range(ROUNDS):
        for one in measured:
            began = time.process_time()
            one.errors += track(film, one.predictor, one.timer)
            one.processor_seconds += time.process_time() - began
    print(f"{count} frames of {WIDTH} x {HEIGHT}, {ROUNDS} times each in turns, after the first; no file, no window")
    for one in measured:
        found = np.isfinite(one.errors)
        nme = f"face error {100 * np.mean(np.array(one.errors)[found]):.2f} % of its size" if found.any() else "no face"
        how = f"{one.predictor.size} px, {one.predictor.computed}"
        print(f"{printable(one.weights)} ({how}): {one.timer.summary}")
        print(
            f"  {1000 * one.processor_seconds / one.timer.frames:.1f} ms of all processors a frame; {nme}, "
            f"found in {found.sum()} of {found.size} frames"
        )


def track(film: Film, predictor: LandmarkPredictor, timer: StepTimer | None = None) -> list[float]:
    """Follow the head through the film and draw it, as the demo does; the face's mean error in each
    frame in longer sides of its box, NaN without one.

    The first frame, in which it is searched for, is not measured.
    """
    tracker, view = Tracker(predictor), View(Thresholds.landmark)
    timer = timer or StepTimer()
    errors = []
    tracker(film[0][0])
    timer.drop_frame()
    for image, truth in film[1:]:
        came = time.monotonic()
        with timer("find"):
            prediction = tracker(image)
        with timer("draw"):
            view.draw(image, prediction, predictor)
        timer.drawn(came)
        timer.frame_done()
        errors.append(np.nan)
        if prediction.face is not None:
            distance = np.linalg.norm(prediction.face.whole - truth, axis=1)
            errors[-1] = float(np.nanmean(distance) / np.ptp(truth, axis=0).max())
    timer.drop_frame()  # time that passes until the next film is nobody's
    return errors
