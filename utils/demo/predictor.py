"""Landmarks on an image of any size, by one network, or with a small one that searches for it; no other detector.

    from utils.demo import LandmarkPredictor
    predictor = LandmarkPredictor("weights/face2ear-lite.keras")
    prediction = predictor(image)               # (height, width, 3) uint8 RGB
    if prediction.face is not None:
        print(prediction.face.points)           # (68, 2), pixels of the image
    print(prediction.ears)                      # {"left": ..., "right": ...}, the ears that are in view

The image is searched coarse to fine (`search`), and what is credible is kept (`detections`). A video is followed from
frame to frame by a `Tracker`.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from data.augment import Warp, apply_matrix, invert_matrix, warp_image
from data.schemes import EAR, FACE, SCHEMES, Scheme
from utils.common.cli import InputError, printable
from utils.common.images import check_rgb
from utils.common.keras_runtime import POLICIES
from utils.demo.detections import Thresholds, thresholds_of
from utils.demo.engines import KERAS, Engine, open_engine
from utils.demo.geometry import side_of
from utils.demo.prediction import SIDES, Landmarks, Prediction
from utils.demo.search import average_ears, search, search_sizes, whole_image
from utils.demo.timing import StepTimer
from utils.exporting.runtimes import is_exported


class LandmarkPredictor:
    """Face and ear landmarks of images, with the weights of a file.

    - `size`: pixels a side of the crops that the network reads (default: as it was trained).
    - `precision`: "float32", "bfloat16", "float16" or "auto", the fastest of them here; the attribute says which. The
      process's dtype policy stays as it is.
    - `thresholds`: scores from which on a detection counts (default: those that the file notes, else `Thresholds()`).
    - `timer` measures how long the steps "crop" and "network" take; points are decoded in the network's.
    - `engine`: what runs the network: "keras", "onnx", "litert", "openvino" or "auto", the fastest that is installed;
      the attribute is its name for people, such as "TensorFlow".
    - `searcher`: weights of a smaller network that searches images, and reads the ears of still ones too. True
      (default): those that the file notes, if they lie beside it; an exported file needs no second runtime. False:
      none. The attribute is their predictor, or this.

    Weights without a face head find ears, those without an ear head faces, and those of another scheme what it is of,
    in the place of the face: `first` is the scheme that is found first, None for ears. What a network of faces knows
    beside faces and ears (`others`, schemes by task) is looked for where its face is. Every call uses the same arrays:
    one predictor for each thread. Raises `InputError` for weights, a size, a precision or an engine that cannot be
    used.
    """

    def __init__(
        self,
        weights: str | os.PathLike,
        size: int | None = None,
        precision: str = "auto",
        thresholds: Thresholds | None = None,
        timer: StepTimer | None = None,
        engine: str = KERAS,
        searcher: str | os.PathLike | bool = True,
    ):
        if size is not None and (size < 32 or size % 8):
            raise InputError(f"size {size}: crops have a multiple of 8 pixels a side, at least 32")
        self._timer = timer or StepTimer()
        self.weights = Path(weights)
        self._engine = open_engine(weights, precision, self._timer, engine, size)
        self.config, self.record, self.precision = self._engine.config, self._engine.record, self._engine.precision
        self.engine = self._engine.title
        self.size = size or self.config.input_size
        self.thresholds = thresholds or thresholds_of(self.record, weights)
        self.tasks = tuple(self.config.heads)
        if FACE.task not in self.tasks and len(self.tasks) > 1:
            raise InputError(f"{weights}: knows {', '.join(self.tasks)}; images are searched by one, or by faces")
        schemes = [FACE] if FACE.task in self.tasks else [SCHEMES[task] for task in self.tasks if task != EAR.task]
        self.first = schemes[0] if schemes else None
        self.others = {task: SCHEMES[task] for task in self.tasks if SCHEMES[task] not in (self.first, EAR)}
        most = 1 + len(SIDES) + len(self.others)
        self._crops = np.empty((most, self.size, self.size, 3), np.uint8)  # written anew by each reading
        if searcher is True:
            noted = self.weights.parent / self.record.get("searcher", "")
            searcher = noted.is_file() and not is_exported(weights) and noted
        self.searcher = self._open_searcher(searcher, engine) if searcher else self

    def __call__(self, image: np.ndarray) -> Prediction:
        """Landmarks of an image (height, width, 3) uint8 RGB: `search`, then `average_ears`.

        Raises ValueError for an array of another kind.
        """
        check_rgb(image)
        return average_ears(self, image, search(self, image))

    def _open_searcher(self, weights: str | os.PathLike, engine: str) -> LandmarkPredictor:
        """A predictor for searching. Raises `InputError` where it looks for other landmarks than this one."""
        engine = KERAS if is_exported(weights) or is_exported(self.weights) else engine
        precision = self.precision if self.precision in POLICIES and not is_exported(weights) else "auto"
        searcher = type(self)(weights, precision=precision, timer=self._timer, engine=engine, searcher=False)
        if (searcher.first, EAR.task in searcher.tasks) != (self.first, EAR.task in self.tasks):
            own, other = (" and ".join(each.tasks) for each in (self, searcher))
            raise InputError(f"{weights}: searches for {other}, and {self.weights} knows {own}; take another searcher")
        return searcher

    @property
    def readers(self) -> list[LandmarkPredictor]:
        """Whose networks read an image: this predictor and, if it has one, its searcher."""
        return [self] if self.searcher is self else [self, self.searcher]

    @property
    def searched_by(self) -> str:
        """What to print behind its name: ", searched by FILE", or nothing without a searcher."""
        return "" if self.searcher is self else f", searched by {printable(self.searcher.weights)}"

    @property
    def computed(self) -> str:
        """Who computes in which precision, who searches, and what those took that the engine "auto" measured."""
        times = ", ".join(f"{title} {took:.1f}" for title, took in self._engine.took.items())
        return f"{self.engine} in {self.precision}{self.searched_by}" + (times and f"; ms for three crops: {times}")

    def beside(self, shared: Callable[[Engine], Engine]) -> LandmarkPredictor:
        """The same for another thread: `shared` gives what threads share of an engine."""
        other = copy.copy(self)
        other._engine, other._crops, other._timer = shared(self._engine), np.empty_like(self._crops), StepTimer()
        other.searcher = other if self.searcher is self else self.searcher.beside(shared)
        return other

    def coarse(self, image: np.ndarray) -> Prediction:
        """The best face and the best ear of the search's first step alone: the whole image, upright, at any size.

        That step is the searcher's.
        """
        check_rgb(image)
        readings = [self.searcher.read_image(image, size) for size in search_sizes(image)]
        best = {task: max((each[task] for each in readings), key=lambda seen: seen.score) for task in readings[0]}
        face = None if self.first is None else best[self.first.task]
        ear = best.get(EAR.task)
        return Prediction(face, {} if ear is None else {side_of(ear.whole): ear})

    def read_image(self, image: np.ndarray, size: int, quarter: int = 0) -> dict[str, Landmarks]:
        """What each head reads in the whole image, scaled to `size` and turned by quarters: by task."""
        with self._timer("crop"):
            matrix, canvas = whole_image(image, size, quarter)
        answers, back = self._engine.read(canvas[None]), invert_matrix(matrix)
        no_crop = Warp((0.0, 0.0), 1.0, angle=-90.0 * quarter)
        return {
            task: Landmarks(
                SCHEMES[task],
                self.config.heads[task],
                apply_matrix(back, answers[f"{task}_points"][0]),
                answers[f"{task}_confidence"][0],
                no_crop,
            )
            for task in self.tasks
        }

    def read_crops(self, image: np.ndarray, squares: dict[str, Warp]) -> dict[str, Landmarks]:
        """What the network reads in squares named "face", "left", "right" and by the tasks of `others`; one batch.

        They come in this order. What is read is credible or not.
        """
        if not squares:
            return {}
        matrices = {name: square.matrix(self.size) for name, square in squares.items()}
        with self._timer("crop"):
            for crop, matrix in zip(self._crops, matrices.values(), strict=False):
                warp_image(image, matrix, self.size, out=crop)
        schemes = [self.others.get(name, self.first if name == "face" and self.first else EAR) for name in squares]
        answers = self._engine.read(self._crops[: len(squares)], [scheme.task for scheme in schemes])
        rows = {task: zip(answers[f"{task}_points"], answers[f"{task}_confidence"], strict=True) for task in self.tasks}
        detections = {}
        for scheme, (name, matrix) in zip(schemes, matrices.items(), strict=True):
            points, confidence = next(rows[scheme.task])
            detections[name] = Landmarks(
                scheme,
                self.config.heads[scheme.task],
                apply_matrix(invert_matrix(matrix), points),
                confidence,
                squares[name],
            )
        return detections

    def read_squares(self, scheme: Scheme, squares: Sequence[tuple[np.ndarray, Warp]]) -> list[Landmarks]:
        """What the head of a scheme reads in squares of images, each (height, width, 3) uint8 RGB; one batch.

        It is credible or not. A square may be mirrored: the points are in the scheme's order all the same, for which
        the head must have all of them.
        """
        matrices = [square.matrix(self.size) for _, square in squares]
        crops = np.empty((len(squares), self.size, self.size, 3), np.uint8)
        with self._timer("crop"):
            for (image, _), crop, matrix in zip(squares, crops, matrices, strict=True):
                warp_image(image, matrix, self.size, out=crop)
        answers = self._engine.read(crops, [scheme.task] * len(crops))
        detections, indices = [], self.config.heads[scheme.task]
        rows = zip(answers[f"{scheme.task}_points"], answers[f"{scheme.task}_confidence"], strict=True)
        for (_, square), matrix, (points, confidence) in zip(squares, matrices, rows, strict=True):
            if square.flip:
                points, confidence = points[list(scheme.flip_order)], confidence[list(scheme.flip_order)]
            points = apply_matrix(invert_matrix(matrix), points)
            detections.append(Landmarks(scheme, indices, points, confidence, square))
        return detections

    def maps(self, image: np.ndarray, square: Warp) -> dict[str, np.ndarray]:
        """The network's maps of a square, for drawing: (size / 8, size / 8) in 0..1.

        Their names are "face_heat", "ear_heat" (the highest heatmap at each cell) and "attention".
        """
        with self._timer("crop"):
            crop = warp_image(image, square.matrix(self.size), self.size)
        answers = self._engine.maps(crop[None])
        return {name: answers[name][0] for name in ("attention", *(f"{task}_heat" for task in self.tasks))}
