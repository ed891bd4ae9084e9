"""What runs the network for a `LandmarkPredictor`: Keras's backend, TensorFlow as a rule, or another runtime.

Another runtime runs a file that `utils.export` wrote. It also runs weights of Keras, which are then converted first.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from models.config import ModelConfig
from utils.common.cli import InputError
from utils.common.keras_runtime import POLICIES, PRECISIONS, resolve_precision
from utils.demo.timing import StepTimer
from utils.exporting.formats import FORMATS, HEATMAPS
from utils.exporting.packages import check_there
from utils.exporting.runtimes import ExportedNetwork, is_exported, open_exported

if TYPE_CHECKING:
    from models.tensors import Tensor
    from models.trainer import LandmarkReader
    from models.weights import LoadedModel


KERAS, AUTO = "keras", "auto"
RUNTIMES = tuple(name for name, file in FORMATS.items() if file.suffix)
ENGINES = (KERAS, *RUNTIMES, AUTO)  # what --engine takes
ArrayKind = tuple[tuple[int | None, ...], str]  # shape and dtype
IMAGES: ArrayKind = ((None, None, None, 3), "uint8")
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
ENGINE_HELP = (
    "what runs the network: keras (default), or a runtime that is installed, which takes seconds to convert the "
    "weights; auto measures all that are"
)


class Engine(Protocol):
    """A network that reads crops: its config, the record of its training, who computes, and in which precision.

    `took`: what those took that "auto" measured, milliseconds for three crops by title; else empty.
    """

    config: ModelConfig
    record: dict
    title: str
    precision: str
    took: dict[str, float]

    def read(self, images: np.ndarray, tasks: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Points (batch, landmarks, 2) in pixels of the images and confidences (batch, landmarks) by task.

        They are named `face_points`, `face_confidence`, ... Images are (batch, height, width, 3) uint8. All are read by
        every head or, where `tasks` names the task of each, each by its own head alone; those of a task lie side by
        side.
        """
        ...

    def maps(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The highest heatmap at each cell, by task as `face_heat`, and `attention`: (batch, height / 8, width / 8)."""
        ...


def open_engine(
    weights: str | os.PathLike, precision: str, timer: StepTimer, engine: str = KERAS, size: int | None = None
) -> Engine:
    """The engine of this name for a weights file; an exported file has its own. The timer measures "network".

    `size`: pixels a side of the crops that "auto" is timed with (default: as the network was trained).
    Raises `InputError` for weights, a precision or an engine that cannot be used.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision {precision!r}: there are {', '.join(PRECISIONS)}")
    if engine not in ENGINES:
        raise InputError(f"engine {engine!r}: there are {', '.join(ENGINES)}")
    if Path(weights).is_dir():
        raise InputError(f"{weights}: is a folder; a SavedModel is for other programs, take a weights file")
    if is_exported(weights):
        if engine != KERAS:
            raise InputError(f"--engine {engine}: {weights} has a runtime of its own; leave it out")
        if precision in ("bfloat16", "float16"):
            raise InputError(f"--precision {precision}: {weights} computes as it was exported; leave it out")
        return ExportedEngine(open_exported(weights), timer)
    if engine != KERAS and precision in ("bfloat16", "float16"):
        raise InputError(f"--precision {precision}: --engine {engine} computes in float32; leave it out")
    if engine == AUTO:
        return _fastest_engine(weights, precision, timer, size)
    return KerasEngine(weights, precision, timer) if engine == KERAS else ConvertedEngine(weights, engine, timer)


def _fastest_engine(weights: str | os.PathLike, precision: str, timer: StepTimer, size: int | None) -> Engine:
    """The engine of those installed that reads three crops fastest here, measured in turns."""
    engines: dict[str, Engine] = {KERAS: KerasEngine(weights, precision, timer)}
    import keras

    from utils.exporting.parity import AT_ONCE, milliseconds

    for name in RUNTIMES if keras.backend.backend() == "tensorflow" else ():
        with contextlib.suppress(InputError):  # a package is missing, or the runtime cannot run it
            engines[name] = ConvertedEngine(weights, name, timer)
    size = size or engines[KERAS].config.input_size
    crops = np.random.default_rng(0).integers(0, 256, (AT_ONCE, size, size, 3), np.uint8)
    took = milliseconds({name: engine.read for name, engine in engines.items()}, crops, seconds=0.5)
    timer.drop_frame()
    order = sorted(took, key=lambda name: took[name])
    fastest = engines[order[0]]
    fastest.took = {engines[name].title: AT_ONCE * took[name] for name in order}
    return fastest


class KerasEngine:
    """A weights file of Keras. Adapters are folded; on TensorFlow the graph has constants for weights."""

    def __init__(self, weights: str | os.PathLike, precision: str, timer: StepTimer):
        self.precision = resolve_precision(precision)
        import keras

        from models.cpm import body_tasks, fold_adapters
        from models.weights import dtype_policy, load_network

        with dtype_policy(POLICIES[self.precision]):
            loaded = load_network(weights, with_features=True)
            self._network, self.config = fold_adapters(loaded.network, loaded.config, with_features=True)
        self.record, self.title = loaded.record, BACKENDS.get(keras.backend.backend(), "Keras")
        self.took: dict[str, float] = {}
        self._timer = timer
        self._bodies = {tasks: _point_reader(self._reader(tasks)) for tasks in body_tasks(self.config)}

    def read(self, images: np.ndarray, tasks: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """As `Engine` has it. A body reads the images of its own tasks only."""
        answers = {}
        for task, landmarks in self.config.heads.items():
            answers[f"{task}_points"] = np.zeros((0, len(landmarks), 2), np.float32)
            answers[f"{task}_confidence"] = np.zeros((0, len(landmarks)), np.float32)
        for body, read in self._bodies.items():
            rows = [k for k in range(len(images)) if tasks is None or tasks[k] in body]
            spans = np.zeros((len(body), 2), np.int32)
            for task, span in zip(body, spans, strict=True):
                own = [k for k, row in enumerate(rows) if tasks is None or tasks[row] == task]
                span[:] = (own[0], own[-1] + 1) if own else 0
            if rows:
                with self._timer("network"):
                    answers |= _to_numpy(read(images if len(rows) == len(images) else images[rows], spans))
        return answers

    def maps(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """As `Engine` has it."""
        with self._timer("network"):
            return _to_numpy(self._read_maps(images))

    @cached_property
    def _read_maps(self) -> Callable[[np.ndarray], dict[str, Tensor]]:
        return _frozen(self._reader(with_maps=True), IMAGES)

    def _reader(self, tasks: tuple[str, ...] | None = None, with_maps: bool = False) -> LandmarkReader:
        """A reader of these tasks, by the layers that they need alone; of all without `tasks`."""
        from models.cpm import part_of_network
        from models.trainer import LandmarkReader
        from models.weights import dtype_policy

        with dtype_policy(POLICIES[self.precision]):
            network = self._network if tasks is None else part_of_network(self._network, self.config, tasks)
            return LandmarkReader(network, self.config, tasks, with_maps)


class ExportedEngine:
    """A file of `utils.export`, run by its own runtime. It answers with points, so there are no maps to draw."""

    def __init__(self, exported: ExportedNetwork, timer: StepTimer):
        self._exported, self._timer = exported, timer
        self.took: dict[str, float] = {}
        self.config, self.record, self.precision = exported.config, exported.record, exported.precision
        self.title = next(file.title for file in FORMATS.values() if file.suffix == exported.path.suffix.lower())

    def read(self, images: np.ndarray, tasks: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """As `Engine` has it. Points are decoded in the file."""
        with self._timer("network"):
            return self._exported.read(images, tasks)

    def maps(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Raises `InputError`: it has none."""
        raise InputError(f"{self._exported.path}: an exported file has no heatmaps to draw; take its .keras for that")


class ConvertedEngine(ExportedEngine):
    """A weights file of Keras that another runtime runs, in float32; Keras still makes the maps."""

    def __init__(self, weights: str | os.PathLike, runtime: str, timer: StepTimer):
        file = FORMATS[runtime]
        for package in file.packages:
            check_there(package)
        resolve_precision()
        import keras

        if keras.backend.backend() != "tensorflow":
            raise InputError(f"--engine {runtime}: TensorFlow converts the weights; unset KERAS_BACKEND")
        from models.weights import dtype_policy, load_network
        from utils.exporting.graph import export_job

        self._weights = weights
        with dtype_policy("float32"):
            loaded = load_network(weights)
            job = export_job(loaded, loaded.config.input_size, loaded.record)
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Windows keeps files that are mapped
            path = Path(folder) / f"network{file.suffix}"
            try:
                file.write(job, path)
                super().__init__(open_exported(path), timer)
                self.read(np.zeros((1, 64, 64, 3), np.uint8))
            except Exception as problem:  # converters raise whatever they like
                why = " ".join(str(problem).split())[:200]
                raise InputError(f"--engine {runtime}: cannot run {weights} ({why}); leave it out") from problem
        timer.drop_frame()

    def maps(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """As `Engine` has it."""
        return self._drawn_by.maps(images)

    @cached_property
    def _drawn_by(self) -> KerasEngine:
        return KerasEngine(self._weights, "float32", self._timer)


def keras_run(loaded: LoadedModel, outputs: str) -> Callable[[np.ndarray], dict[str, Any]]:
    """What an exported file is compared with: the network as the demo runs it, in float32."""
    if outputs == HEATMAPS:
        from models.trainer import LandmarkReader

        return LandmarkReader(loaded.network, loaded.config).heatmaps
    engine = KerasEngine(loaded.path, "float32", StepTimer())

    def points(images: np.ndarray) -> dict[str, np.ndarray]:
        answers = engine.read(images)
        return {task: answers[f"{task}_points"] for task in engine.config.heads}

    return points


def _point_reader(reader: LandmarkReader) -> Callable[[np.ndarray, np.ndarray], dict[str, Tensor]]:
    """What makes points of images (batch, height, width, 3) uint8 and of the rows whose heatmaps each task decodes.

    The rows (tasks, 2) int32 are the first of each task and the one after its last.
    """
    import keras

    compiled = keras.backend.backend() == "tensorflow"

    def read(images: Tensor, spans: Tensor) -> dict[str, Tensor]:
        heatmaps = reader.heatmaps(images)
        own = {task: heatmaps[task][spans[k, 0] : spans[k, 1]] for k, task in enumerate(reader.tasks)}
        # JAX takes nothing out of an empty array.
        return reader.decode({task: maps for task, maps in own.items() if compiled or len(maps)})

    return _frozen(read, IMAGES, ((len(reader.tasks), 2), "int32"))


def _frozen(function: Callable[..., dict[str, Tensor]], *arrays: ArrayKind) -> Callable[..., dict[str, Tensor]]:
    """A function of arrays of these kinds, the network's weights frozen into constants where TensorFlow can do so.

    Shapes are compiled when they first come. Constants let TensorFlow lay the kernels out once for all calls.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    specs = [tf.TensorSpec(shape, dtype) for shape, dtype in arrays]
    traced = tf.function(lambda *given: function(*given)).get_concrete_function(*specs)
    frozen = convert_variables_to_constants_v2(traced)
    order = sorted(traced.structured_outputs)
    return lambda *given: dict(zip(order, frozen(*map(tf.constant, given)), strict=True))


def _to_numpy(answers: dict[str, Tensor]) -> dict[str, np.ndarray]:
    import keras

    return {name: keras.ops.convert_to_numpy(value) for name, value in answers.items()}
