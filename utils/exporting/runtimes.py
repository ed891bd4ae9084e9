"""Exported files, run by their own runtimes and without TensorFlow.

Nothing in such a file is code: an operator that the runtime does not bring along is refused when the file is opened,
and so are arrays that lie in other files. The runtimes themselves read them, so take files of strangers no more lightly
than any other program's.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.config import ModelConfig
from models.description import ENTRY, Described, parse_description
from utils.common.cli import InputError
from utils.common.files import LARGEST_JSON
from utils.common.foreign import reading
from utils.common.keras_runtime import quiet_stderr, thread_count
from utils.exporting.formats import KEY, POINTS
from utils.exporting.packages import need

if TYPE_CHECKING:
    from models.trainer import LandmarkReader

WHAT = "exported network"


@dataclass(frozen=True)
class ExportedNetwork(Described):
    """A network in a file of another runtime.

    - `run`: images (batch, height, width, 3) uint8 to a dict of float32 arrays by task, as `export_function` says.
    - `config` and `record` are those of the weights that it was made of. `outputs`: "points" or "heatmaps".
    - `precision`: "float32", "float16" (of the arrays) or "int8".
    """

    run: Callable[[np.ndarray], dict[str, np.ndarray]]
    outputs: str
    precision: str

    def read(self, images: np.ndarray, tasks: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Points and confidences of images by task, as `LandmarkReader` names them.

        Where `tasks` names the task of each image, each task has those of its own images alone. Raises `InputError` for
        a file that answers with heatmaps.
        """
        if self.outputs != POINTS:
            raise InputError(f"{self.path}: answers with heatmaps; export it with --outputs points")
        found: dict[str, np.ndarray] = {}
        for task, answer in self.run(images).items():
            own = answer if tasks is None else answer[[k for k, each in enumerate(tasks) if each == task]]
            found |= {f"{task}_points": own[..., :2], f"{task}_confidence": own[..., 2]}
        return found


@dataclass(frozen=True)
class ExportedReader:
    """An exported network in the place of a `LandmarkReader` of one task."""

    exported: ExportedNetwork
    tasks: tuple[str, ...]

    @property
    def config(self) -> ModelConfig:
        """That of the network."""
        return self.exported.config

    def predict_on_batch(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Points and confidences of images (batch, height, width, 3) uint8."""
        return self.exported.read(images)


def is_exported(path: str | os.PathLike) -> bool:
    """Whether a file's name says that it is of another runtime."""
    return Path(path).suffix.lower() in OPENERS


def open_exported(path: str | os.PathLike) -> ExportedNetwork:
    """A file that `utils.export` wrote. Raises `InputError` in one line for any other, or without its package."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such weights file")
    with reading(path, WHAT), quiet_stderr():
        text, run = (_open_saved_model if path.is_dir() else OPENERS[path.suffix.lower()])(path)
        if text is None or len(text) > LARGEST_JSON:
            raise InputError(f"{path}: does not say what it is; write it with python -m utils.export")
        content = parse_description(path, text)
        export = content["export"]
        config = ModelConfig.from_json(content["model"])
        outputs, precision = str(export["outputs"]), str(export["precision"])
    return ExportedNetwork(path, config, content["record"], run, outputs, precision)


def open_weights(weights: str) -> tuple[Described, Callable[[str], LandmarkReader | ExportedReader]]:
    """What a weights file, exported or not, says of itself, and what makes a reader of one of its tasks."""
    if is_exported(weights):
        exported = open_exported(weights)
        return exported, lambda task: ExportedReader(exported, (task,))
    from models.trainer import LandmarkReader
    from models.weights import load_network

    loaded = load_network(weights)
    return loaded, lambda task: LandmarkReader(loaded.network, loaded.config, (task,))


def _open_onnx(path: Path) -> tuple[str | None, Callable]:
    runtime = need("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    options.log_severity_level = 3
    # From its bytes: arrays that lie in other files are not looked for.
    session = runtime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    (source,), names = session.get_inputs(), [output.name for output in session.get_outputs()]

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, {source.name: images}), strict=True))

    return session.get_modelmeta().custom_metadata_map.get(KEY), run


def _open_litert(path: Path) -> tuple[str | None, Callable]:
    runtime = need("ai_edge_litert.interpreter")
    text = None
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(ENTRY).file_size <= LARGEST_JSON:
                text = archive.read(ENTRY).decode("utf-8")
    interpreter = runtime.Interpreter(str(path), num_threads=thread_count())
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner("serving_default")
    (name,) = runner.get_input_details()

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        return runner(**{name: images})

    return text, run


def _open_openvino(path: Path) -> tuple[str | None, Callable]:
    openvino = need("openvino")
    core = openvino.Core()
    model = core.read_model(path)
    text = model.get_rt_info([KEY]).astype(str) if model.has_rt_info([KEY]) else None
    threads = {"INFERENCE_NUM_THREADS": thread_count(), "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(model, "CPU", threads)
    names = [output.get_any_name() for output in compiled.outputs]

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        answers = compiled(images)
        return {name: answers[k] for k, name in enumerate(names)}

    return text, run


def _open_saved_model(path: Path) -> tuple[str | None, Callable]:
    import tensorflow as tf

    text = (path / "assets.extra" / ENTRY).read_text(encoding="utf-8")
    loaded = tf.saved_model.load(str(path))
    answer = loaded.signatures["serving_default"]

    def run(images: np.ndarray, held: object = loaded) -> dict[str, np.ndarray]:  # the graph lives as long as it
        return {name: value.numpy() for name, value in answer(images=tf.constant(images)).items()}

    return text, run


OPENERS = {".onnx": _open_onnx, ".tflite": _open_litert, ".xml": _open_openvino}
