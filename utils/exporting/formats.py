"""Files of other runtimes, written: ONNX, LiteRT, OpenVINO, SavedModel."""

from __future__ import annotations

import io
import logging
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from models.description import ENTRY
from utils.common.files import replacing
from utils.common.keras_runtime import quiet_stderr
from utils.exporting.packages import need

if TYPE_CHECKING:
    import tensorflow as tf

KEY = "landmarks"  # of the metadata of ONNX and OpenVINO
INPUT = "images"
POINTS, HEATMAPS = OUTPUTS = ("points", "heatmaps")
OPSET = 18  # the newest that tf2onnx writes
# OpenVINO's operations that a network is made of; points are decoded by others.
IN_INT8 = {"Convolution", "Add", "Relu", "MaxPool", "Concat", "Parameter", "Constant", "Result"}
FULL, HALF, INT8 = PRECISIONS = ("float32", "float16", "int8")


@dataclass(frozen=True)
class Job:
    """What is written: the `function`, its `description` (JSON), the `precision`, and crops to calibrate int8 with.

    `crops` (images, size, size, 3) uint8.
    """

    function: tf.types.experimental.GenericFunction
    description: str
    precision: str
    crops: np.ndarray


def write_onnx(job: Job, path: Path) -> None:
    """ONNX, opset 18. float16: arrays alone, cast back when it is loaded, so that nothing is computed in float16."""
    onnx, tf2onnx = need("onnx"), need("tf2onnx")
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with quiet_stderr():
        model, _ = tf2onnx.convert.from_function(job.function, job.function.input_signature, opset=OPSET)
    _name_outputs(model, sorted(job.function.get_concrete_function().structured_outputs))
    if job.precision == HALF:
        _store_half(onnx, model)
    if job.precision == INT8:
        model = _quantise_onnx(onnx, model, job.crops)
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, job.description
    with replacing(path) as part:
        part.write_bytes(model.SerializeToString())


def _name_outputs(model: Any, names: Sequence[str]) -> None:
    """Name the dimensions of an ONNX model's outputs, which tf2onnx leaves unnamed."""
    for dimension, name in zip(
        model.graph.input[0].type.tensor_type.shape.dim[:3], ("batch", "height", "width"), strict=True
    ):
        dimension.dim_param = name
    for output in model.graph.output:
        if output.name not in names:
            raise ValueError(f"output {output.name} is none of {', '.join(names)}")
        output.type.tensor_type.shape.dim[0].dim_param = "batch"


def _store_half(onnx: ModuleType, model: Any) -> None:
    """Store the kernels of an ONNX model as float16, each with a Cast to float32 behind it."""
    graph, casts = model.graph, []
    for array in graph.initializer:
        if array.data_type == onnx.TensorProto.FLOAT and np.prod(array.dims) > 64:
            values = onnx.numpy_helper.to_array(array)
            name = array.name
            half = onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}_half")
            array.CopyFrom(half)
            casts.append(onnx.helper.make_node("Cast", [half.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _quantise_onnx(onnx: ModuleType, model: Any, crops: np.ndarray) -> Any:
    """An ONNX model whose convolutions are computed in int8; ranges by the crops."""
    quantization = need("onnxruntime.quantization")
    name = model.graph.input[0].name

    class Crops(quantization.CalibrationDataReader):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self.batches = iter(crops)

        def get_next(self) -> dict[str, np.ndarray] | None:
            crop = next(self.batches, None)
            return None if crop is None else {name: crop[None]}

    with quiet_stderr(), TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(model.SerializeToString())
        quantization.quantize_static(
            source,
            target,
            Crops(),
            op_types_to_quantize=["Conv", "MaxPool", "Concat"],
            per_channel=True,
            reduce_range=True,  # else sums of products overflow on processors without VNNI
        )
        return onnx.load(target)


@contextmanager
def saved_model(function: tf.types.experimental.GenericFunction) -> Iterator[Path]:
    """A SavedModel of an `export_function` in a temporary folder, for as long as the context lasts."""
    import tensorflow as tf

    module = tf.Module()
    module.answer = function
    with TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": function})
        yield Path(folder)


def write_litert(job: Job, path: Path) -> None:
    """LiteRT (`.tflite`), with its description in a ZIP at its end, as LiteRT's own metadata has its files."""
    import tensorflow as tf

    with saved_model(job.function) as folder, quiet_stderr():
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=["serving_default"])
        if job.precision != FULL:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if job.precision == HALF:
            converter.target_spec.supported_types = [tf.float16]
        content = converter.convert()
    packed = io.BytesIO(content)
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(ENTRY, job.description)
    with replacing(path) as part:
        part.write_bytes(packed.getvalue())


def write_openvino(job: Job, path: Path) -> None:
    """OpenVINO's `.xml` and, beside it, `.bin`."""
    openvino = need("openvino")
    with quiet_stderr():
        model = openvino.convert_model(job.function.get_concrete_function())
        if job.precision == INT8:
            model = _quantise_openvino(model, job.crops)
    model.set_rt_info(job.description, [KEY])
    with TemporaryDirectory() as name:
        folder = Path(name)
        openvino.save_model(model, folder / "network.xml", compress_to_fp16=job.precision == HALF)
        with replacing(path.with_suffix(".bin")) as arrays, replacing(path) as graph:
            shutil.copyfile(folder / "network.bin", arrays)
            shutil.copyfile(folder / "network.xml", graph)


def _quantise_openvino(model: Any, crops: np.ndarray) -> Any:
    """An OpenVINO model whose convolutions are computed in int8; ranges by the crops."""
    nncf = need("nncf")
    found = {node.get_type_name() for node in model.get_ordered_ops()}
    # A heatmap's peak is seen in few cells: nncf's own ranges, means of the crops' largest values, cut it off.
    largest = nncf.quantization.range_estimator.RangeEstimatorParametersSet.MINMAX
    return nncf.quantize(
        model,
        nncf.Dataset([crop[None] for crop in crops]),
        ignored_scope=nncf.IgnoredScope(types=sorted(found - IN_INT8)),  # what decodes points, for one
        advanced_parameters=nncf.AdvancedQuantizationParameters(activations_range_estimator_params=largest),
    )


def write_saved_model(job: Job, path: Path) -> None:
    """A folder that TensorFlow Serving and `tf.saved_model.load` take, its description in `assets.extra/`."""
    with saved_model(job.function) as folder:
        extra = folder / "assets.extra"
        extra.mkdir()
        (extra / ENTRY).write_text(job.description, encoding="utf-8")
        with TemporaryDirectory(prefix=".part-", dir=path.absolute().parent) as beside:
            shutil.copytree(folder, Path(beside) / "model").rename(path)


@dataclass(frozen=True)
class Format:
    """A format of files: what they end with, its name for people, what writes it, and the packages that takes.

    `int8`: the packages that int8 takes on top; None where it cannot be, nor float16.
    """

    suffix: str
    title: str
    write: Callable[[Job, Path], None]
    packages: tuple[str, ...]
    int8: tuple[str, ...] | None = ()

    def size(self, path: Path) -> int:
        """Bytes of what it wrote as `path`."""
        files = (
            path.rglob("*") if path.is_dir() else [path, *([path.with_suffix(".bin")] if path.suffix == ".xml" else [])]
        )
        return sum(file.stat().st_size for file in files if file.is_file())


FORMATS = {
    "onnx": Format(".onnx", "ONNX", write_onnx, ("onnx", "tf2onnx", "onnxruntime")),
    "litert": Format(".tflite", "LiteRT", write_litert, ("ai_edge_litert",)),
    "openvino": Format(".xml", "OpenVINO", write_openvino, ("openvino",), ("nncf",)),
    "saved_model": Format("", "SavedModel", write_saved_model, (), None),
}
