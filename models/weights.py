"""Weights files: save, load, describe, start from.

What is read, by content and not by name alone:

- `.keras`, as the scripts write it: an ordinary Keras file (plain `keras.models.load_model` reads it, as float32) with
  one more entry, `landmarks.json`, that holds the network's `ModelConfig` and a record of its training;
- `.weights.h5` of such a network: its config is worked out from the shapes of its arrays;
- a `.keras` that Keras itself saved again, without that entry: the same way. Its record is empty, and its input
  size, sigma and the like, which no shape tells, are the preset's;
- the predecessor's Keras 2 `.h5` (whole model or weights only): its layers are looked up by name.

`models/foreign_weights.py` reads those of other projects, to start from.

Only arrays and JSON are read, never a layer's code: a file from a stranger cannot run anything. What it says is checked
before it is believed: the description (`models.description`), sizes, and where its arrays lie (`open_hdf5`).
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import keras
import numpy as np

from data.schemes import SCHEMES
from models.config import NORMS, PRESETS, STAGE_INPUTS, ModelConfig
from models.cpm import TRUNK, StandardisedConv2D, build_network, copy_layers, fold_network
from models.description import ENTRY, Described, describe, parse_description, public_record
from models.foreign_weights import ARRAYS, keras2_root, read_foreign
from models.tensors import on_one_device
from utils.common.cli import InputError
from utils.common.files import LARGEST_JSON, replacing
from utils.common.foreign import describe_foreign_file, reading
from utils.common.hdf5 import MOST_UNPACKED, open_hdf5

WHAT = "weights file"
KERAS_ENTRIES = ("metadata.json", "config.json")
LARGEST_ARRAYS = 2 * 2**30  # bytes of the arrays, where no network says how large they are
KIN = 0.5  # correlation of two networks' second convolutions: 0.96 and more where one came from the other, else 0
PREDECESSOR = {"conv2d", "feature_map", "stage_1"}  # layers that each of its networks has
# The predecessor draws its targets on 100 cells of a 368 px input, at x * 100 / 368, and resizes its 46 cells to
# them. Cell u of 46 is then taught x = (u + 0.5) * 8 - 368 / 200, while ours is read as (u + 0.5) * 8 - 0.5.
OLD_DECODE_OFFSET = 0.5 - 368 / 200


@dataclass(frozen=True)
class LoadedModel(Described):
    """A network from a file, in this machine's precision."""

    network: keras.Model


def save_network(path: str | os.PathLike, network: keras.Model, config: ModelConfig, record: dict) -> None:
    """Write a network as a self-describing `.keras` file: written beside `path`, then renamed.

    The arrays are float32 whatever the dtype policy of `network`. `record` is JSON: how it was trained, its score, the
    images it saw. Raises `InputError` if `path` does not end in `.keras` or cannot be written.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise InputError(f"{path}: weights are written as .keras; give a name that ends so")
    with dtype_policy("float32"), on_one_device():
        plain, config = fold_network(network, config)
    with replacing(path) as part:
        plain.save(part)
        with zipfile.ZipFile(part, "a") as archive:
            archive.writestr(ENTRY, json.dumps(describe(config, record), indent=1))


def write_half(
    source: str | os.PathLike,
    path: str | os.PathLike,
    thresholds: dict[str, float] | None = None,
    searcher: str | None = None,
) -> None:
    """Write the `.keras` file `source` again as `path`, with its float32 arrays as float16: half the size.

    Keras casts them to each variable's own dtype when it loads them. Its record is the `public_record` with these
    notes. Raises `InputError` for files that are not ours.
    """
    if Path(path).suffix != ".keras":
        raise InputError(f"{path}: weights are written as .keras; give a name that ends so")
    half = io.BytesIO()
    with reading(source, WHAT), zipfile.ZipFile(source) as archive:
        description = read_description(source)
        description["record"] = public_record(description["record"], thresholds, searcher)
        entries: dict[str, bytes | str] = {name: _entry(archive, name, LARGEST_JSON) for name in KERAS_ENTRIES}
        arrays = _entry(archive, ARRAYS, LARGEST_ARRAYS)
        with open_hdf5(arrays) as full, h5py.File(half, "w") as small:
            _copy_half(full, small, source)
    entries |= {ARRAYS: half.getvalue(), ENTRY: json.dumps(description, indent=1)}
    with replacing(Path(path)) as part, zipfile.ZipFile(part, "w") as target:
        for name, content in entries.items():  # Keras jumps to and fro in the arrays, which are not packed
            target.writestr(name, content, zipfile.ZIP_STORED if name == ARRAYS else zipfile.ZIP_DEFLATED)


def _entry(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """An entry's bytes. Raises ValueError if they would be more than `most`."""
    entry = archive.getinfo(name)
    if entry.file_size > most:
        raise ValueError(f"its {name} unpacks to {entry.file_size} bytes")
    return archive.read(entry)


def _copy_half(source: h5py.Group, target: h5py.Group, path: str | os.PathLike) -> None:
    """Copy a group of the file `path` with its attributes, float32 arrays as float16."""
    target.attrs.update(source.attrs)
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy_half(item, target.create_group(name), path)
        else:
            array = item[()]
            if array.dtype == np.float32:
                with np.errstate(over="ignore"):
                    array = array.astype(np.float16)
                if not np.isfinite(array).all():
                    raise InputError(f"{path}: holds numbers that float16 cannot (its {item.name}); keep it as it is")
            target.create_dataset(name, data=array).attrs.update(item.attrs)


def load_network(path: str | os.PathLike, with_features: bool = False) -> LoadedModel:
    """The network in a file, built anew under the current Keras dtype policy, whichever it was trained in.

    `with_features` as for `build_network`.

    Raises `InputError` in one line for a missing, corrupt or foreign file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such weights file")
    with reading(path, WHAT), open(path, "rb"):  # what may not be read is not taken for another format
        packed, hdf5 = zipfile.is_zipfile(path), h5py.is_hdf5(path)
    foreign = read_foreign(path)
    if foreign is not None:
        raise InputError(f"{path}: weights of {foreign.kind}, no landmark network of ours; --init takes them")
    if packed:
        return _load_keras(path, with_features)
    if hdf5:
        with reading(path, WHAT), open_hdf5(path) as file:
            old = "model_weights" in file or "layer_names" in file.attrs
            if old and not PREDECESSOR.issubset(keras2_root(file)):
                layers = ", ".join([name for name, item in keras2_root(file).items() if len(item)][:3])
                raise InputError(f"{path}: a Keras 2 file of a network that is not known here (layers {layers} ...)")
        return (_load_predecessor if old else _load_bare)(path, with_features)
    what = describe_foreign_file(path) or "not a weights file (.keras, .weights.h5 or the predecessor's .h5)"
    raise InputError(f"{path}: {what}")


def read_description(path: str | os.PathLike) -> dict:
    """The `landmarks.json` of a `.keras` file: format, config and record, without building the network.

    Raises an `InputError` in one line where it is missing or not what a script writes.
    """
    with reading(path, WHAT), zipfile.ZipFile(path) as archive:
        if ENTRY not in archive.namelist():
            foreign = describe_foreign_file(path)
            raise InputError(f"{path}: {foreign or f'no .keras file, or not one of ours (no {ENTRY} in it)'}")
        return parse_description(path, _entry(archive, ENTRY, LARGEST_JSON))


def read_record(path: str | os.PathLike) -> dict:
    """The record of a weights file's training; empty for one that carries none, such as `.h5`, and those of others.

    Raises `InputError` as `read_description` does.
    """
    packed = zipfile.is_zipfile(path) and read_foreign(path) is None and not _saved_again(path)
    return read_description(path)["record"] if packed else {}


def _saved_again(path: str | os.PathLike) -> bool:
    """Whether a `.keras` file has all that Keras writes, and lacks what we add: Keras drops that when it saves again.

    One of another project has too. Its arrays tell.
    """
    with reading(path, WHAT), zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
    return ENTRY not in names and {ARRAYS, *KERAS_ENTRIES} <= names


def average_networks(first: LoadedModel, second: LoadedModel, alpha: float) -> LoadedModel:
    """The network on the straight line from `first` (`alpha` 0) to `second` (1) in the space of weights.

    Of a network that went on learning, a point on the way back to where it started keeps more of what it could before
    (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, arXiv 2109.01903, equation 1). Layers that
    only one of the two has, such as the ear heads of a student, stay that one's. The record tells how each of the two
    was made, and names the images of both.

    Raises `InputError` if the two are not built alike, or do not come from the same weights: the mean of strangers
    knows nothing.
    """
    pair = [fold_network(each.network, each.config) for each in (first, second)]
    one, other = (network for network, _ in pair)
    shared = set(first.config.heads) & set(second.config.heads)
    values = [{**vars(each), "heads": {task: each.heads[task] for task in shared}} for _, each in pair]
    for name in (
        "stages",
        "stage_input",
        "separate_tasks",
        "adapter_tasks",
        "heads",
        "points",
        "sigma",
        "decode_offset",
    ):
        if values[0][name] != values[1][name]:
            raise InputError(f"{second.path}: differs from {first.path} in {name}; give two that are alike")
    shapes = [_layer_shapes(network) for network in (one, other)]
    common = [name for name, shape in shapes[0].items() if shapes[1].get(name) == shape]
    if len(common) < min(map(len, shapes)):
        raise InputError(
            f"{second.path}: not built as {first.path} is; give networks of one preset and normalisation, of which "
            "one has all that the other has"
        )
    kernels = [network.get_layer("trunk1_conv2").get_weights()[0].ravel() for network in (one, other)]
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = float(np.corrcoef(*kernels)[0, 1])
    if not alike >= KIN:  # so that NaN is refused too
        raise InputError(
            f"{second.path}: no relative of {first.path} (their kernels correlate by {alike:.2f}); "
            "give one that started from the other"
        )
    whole, config = pair[len(shapes[0]) <= len(shapes[1])]
    for name in common:
        start, end = (network.get_layer(name).get_weights() for network in (one, other))
        whole.get_layer(name).set_weights([a + alpha * (b - a) for a, b in zip(start, end, strict=True)])
    kept = ("train_config", "steps", "epoch", "validation_nme", "minutes", "test")
    made: dict[str, dict] = {}
    for each in (first, second):  # of one that is an average itself, how its own two were made
        itself = {each.path.name: {name: each.record[name] for name in kept if name in each.record}}
        made |= each.record.get("averaged", itself)
    record = {"averaged": made, "alpha": alpha}
    for images in ("training_images", "teacher_training_images"):
        record[images] = sorted({*first.record.get(images, ()), *second.record.get(images, ())})
    return LoadedModel(second.path, config, record, whole)


def check_task(loaded: Described, task: str) -> None:
    """Raise an `InputError` if a network has no head for `task`."""
    if task not in loaded.config.heads:
        held = " and ".join(loaded.config.heads)
        raise InputError(f"{loaded.path}: has landmarks of the {held}, not of the {task}; give {task} weights")


def start_from(network: keras.Model, config: ModelConfig, path: str | os.PathLike) -> str:
    """Copy into `network` what fits of the weights in `path`; returns what was copied, in words.

    Everything, if it has all heads of `network` (a student has those of a face network, and of an ear network); trunk
    and `feature_map` alone, if heads differ. Raises `InputError` if not even the trunk fits, or if it was trained
    without standardised kernels and `network` has them.
    """
    source = load_network(path)
    ours, theirs = _layer_shapes(network), _layer_shapes(source.network)
    trunk = {name: shape for name, shape in ours.items() if name.startswith(("trunk", "feature_map"))}
    if any(theirs.get(name) != shape for name, shape in trunk.items()):
        raise InputError(
            f"--init {path}: its trunk does not fit ({_trunk_words(source.config)}; wanted {_trunk_words(config)})"
        )
    if config.norm == "weight" and not holds_standardised(source):
        raise InputError(
            f"--init {path}: was trained without standardised kernels, which cannot hold it; add --norm none"
        )
    given, wanted = source.config, config
    built_alike = given.stage_input == wanted.stage_input and all(
        (task in getattr(given, name)) == (task in getattr(wanted, name))
        for name in ("delayed_heads", "separate_tasks", "adapter_tasks")
        for task in wanted.heads
    )
    # Stages that read features never see the heads of another task beside ours; those that read heatmaps do.
    held = wanted.heads.items() <= given.heads.items()
    undisturbed = wanted.stage_input == "features" or given.heads == wanted.heads
    fits = all(theirs.get(name) == shape for name, shape in ours.items())
    whole = built_alike and held and undisturbed and fits
    copy_layers(source.network, network, list(ours if whole else trunk))
    return "all weights" if whole else "the trunk's weights (heads or stages differ)"


def _trunk_words(config: ModelConfig) -> str:
    first = f", first block {config.first_block}" if config.first_block else ""
    return f"preset {config.preset}, width {config.width:g}{first}, norm {config.norm}"


def continue_from(network: keras.Model, source: LoadedModel, bodies: Iterable[str] = ()) -> str:
    """Copy every layer of `source` that `network` has too, with the same shapes; returns what is new, in words.

    The `bodies` that tasks of `network` have of their own start as copies of the face's, if `source` lacks them.

    Raises `InputError` if not all of it fits, or cannot be held by standardised kernels.
    """
    ours, theirs = _layer_shapes(network), _layer_shapes(source.network)
    common = [name for name, shape in ours.items() if theirs.get(name) == shape]
    own = tuple(f"{task}_" for task in source.config.separate_tasks)
    missing = [name for name in theirs if name not in common and not name.startswith(own)]
    if missing:
        raise InputError(f"{source.path}: its {missing[0]} does not fit the student's; a student cannot start as it")
    if any(isinstance(network.get_layer(name), StandardisedConv2D) for name in common) and not holds_standardised(
        source
    ):
        raise InputError(f"{source.path}: was trained without standardised kernels; add --norm {source.config.norm}")
    copy_layers(source.network, network, common)
    for prefix in {f"{task}_" for task in bodies} - set(own):
        copy_layers(
            source.network, network, [name for name in common if ours.get(prefix + name) == theirs[name]], prefix
        )
    new = [name for name in ours if name not in common]
    return f"all of {source.path}; new: {', '.join(new[:3])}{' ...' if len(new) > 3 else ''} ({len(new)} layers)"


def holds_standardised(source: LoadedModel) -> bool:
    """Whether a network's convolutions can be turned into standardised ones and back: their kernels have zero mean."""
    return source.config.norm in ("none", "weight") and all(
        _has_zero_mean(layer) for layer in source.network.layers if layer.name.startswith(("trunk", "feature_map"))
    )


def _has_zero_mean(layer: keras.layers.Layer) -> bool:
    """Whether every kernel of a convolution has zero mean, as standardised and folded ones do."""
    if isinstance(layer, StandardisedConv2D) or not isinstance(layer, keras.layers.Conv2D):
        return True
    kernel = layer.get_weights()[0]
    return bool(np.abs(kernel.mean(axis=(0, 1, 2))).max() < 1e-3 * kernel.std())


def _layer_shapes(network: keras.Model) -> dict[str, list[tuple[int, ...]]]:
    """Shapes of each layer's weights; a standardised convolution counts as the plain one that it folds to."""
    return {
        layer.name: [tuple(weight.shape) for weight in layer.weights if weight.name != "gain"]
        for layer in network.layers
        if layer.weights
    }


@contextmanager
def dtype_policy(policy: str) -> Iterator[None]:
    """Build networks under a Keras dtype policy, and leave the global one as it was."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _load_keras(path: Path, with_features: bool) -> LoadedModel:
    if _saved_again(path):
        with reading(path, WHAT), zipfile.ZipFile(path) as archive:
            arrays = _entry(archive, ARRAYS, MOST_UNPACKED * path.stat().st_size)
        return _load_bare(path, with_features, arrays)
    content = read_description(path)
    config = ModelConfig.from_json(content["model"])
    network = build_network(config, with_features)
    most = 8 * network.count_params() + 2**22  # twice the float32 arrays, and what HDF5 needs round them
    with (
        reading(path, WHAT),
        zipfile.ZipFile(path) as archive,
        open_hdf5(_entry(archive, ARRAYS, most)) as file,
    ):
        _load_arrays(network, file)
    return LoadedModel(path, config, content["record"], network)


# Keras numbers the layers of each class; their classes, as it writes their names.
STORED = {
    "Conv2D": "conv2d",
    "StandardisedConv2D": "standardised_conv2d",
    "BatchNormalization": "batch_normalization",
    "GroupNormalization": "group_normalization",
}


def _load_arrays(network: keras.Model, file: h5py.File) -> None:
    """Load a `.weights.h5`. Raises ValueError if it does not fit, before an array of another shape is read."""
    counts: Counter[str] = Counter()
    for layer in network.layers:
        if not layer.weights:
            continue
        kind = STORED[type(layer).__name__]
        place = f"layers/{kind}_{counts[kind]}/vars" if counts[kind] else f"layers/{kind}/vars"
        counts[kind] += 1
        stored = file.get(place, {})
        wanted: dict[str, keras.Variable] = {}
        layer.save_own_variables(wanted)
        if {name: array.shape for name, array in stored.items()} != {
            name: tuple(variable.shape) for name, variable in wanted.items()
        }:
            raise ValueError(f"its {place} does not fit {layer.name}")
        layer.load_own_variables({name: array[()] for name, array in stored.items()})


def _load_bare(path: Path, with_features: bool, arrays: bytes | None = None) -> LoadedModel:
    """A `.weights.h5`: width, first block, stages, heads and normalisation follow from the arrays' shapes.

    `arrays` are those of a `.keras`, which is such a file inside.
    """
    source = path if arrays is None else arrays
    with reading(path, WHAT), open_hdf5(source) as file:
        base = _bare_config(path, file)
    for stage_input in STAGE_INPUTS:
        config = replace(base, stage_input=stage_input)
        network = build_network(config, with_features)
        with reading(path, WHAT), open_hdf5(source) as file:
            try:
                _load_arrays(network, file)
            except ValueError:
                continue
        return LoadedModel(path, config, {}, network)
    raise InputError(f"{path}: its arrays fit no network of width {base.width:g} and {base.stages} stages")


def _bare_config(path: Path, file: h5py.File) -> ModelConfig:
    names = list(file.get("layers", ()))
    convolutions = [name for name in names if "conv2d" in name and f"layers/{name}/vars/0" in file]
    kernels = [tuple(file[f"layers/{name}/vars/0"].shape) for name in convolutions]
    first = [shape[3] for shape in kernels if shape[:3] == (3, 3, 3)]
    if not first:
        raise InputError(f"{path}: not one of ours: no weights of our networks in it (or a checkpoint: use best.keras)")
    wider = [shape[3] for shape in kernels if shape[:3] == (3, 3, first[0]) and shape[3] != first[0]]
    width = wider[0] / TRUNK[1][0] if wider else first[0] / TRUNK[0][0]
    first_block = 0 if first[0] == max(1, round(TRUNK[0][0] * width)) else first[0]
    stages = 1 + sum(shape[0] == 7 for shape in kernels) // 5
    outputs = [shape[3] for shape in kernels if shape[0] == 1]
    features = {round(512 * width), round(128 * width)}
    heads = {
        task: tuple(range(scheme.count))
        for task, scheme in SCHEMES.items()
        if outputs.count(scheme.count) >= stages and scheme.count not in features
    }
    if not heads:
        raise InputError(f"{path}: no heads of {' or '.join(str(s.count) for s in SCHEMES.values())} landmarks in it")
    norm = next((kind for kind in NORMS if any(f"{kind}_normalization" in name for name in names)), "none")
    norm = "weight" if any(name.startswith("standardised_conv2d") for name in names) else norm
    size = {"width": width, "stages": stages, "first_block": first_block}
    alike = [row for row in PRESETS.values() if replace(row, **size) == row]
    base = alike[0] if alike else replace(PRESETS["lite"], preset="custom", **size)
    config = replace(base, heads=heads, norm=norm)
    config.check()
    return config


def _load_predecessor(path: Path, with_features: bool) -> LoadedModel:
    """A Keras 2 file of the predecessor: `conv2d` ... `conv2d_43`, `feature_map`, `stage_1`, `s1` .., `s1_e` ..

    Its ear heads of the two-task network sit on the features of the stage before; `delayed_heads` keeps that.
    """
    with reading(path, WHAT), open_hdf5(path) as file:
        config = _predecessor_config(path, keras2_root(file))
    network = build_network(config, with_features)
    plain = iter(["conv2d", *(f"conv2d_{k}" for k in range(1, 200))])
    names = {f"trunk{b}_conv{k}": next(plain) for b, (_, n) in enumerate(TRUNK, start=1) for k in range(1, n + 1)}
    names |= {"feature_map": "feature_map", "stage1_features": "stage_1"}
    for stage in range(2, config.stages + 1):
        names |= {f"stage{stage}_conv{k}": next(plain) for k in range(1, 6)}
        names[f"stage{stage}_features"] = next(plain)
    for stage in range(1, config.stages + 1):
        for task in config.heads:
            names[f"stage{stage}_{task}"] = f"s{stage}{'_e' if task in config.delayed_heads else ''}"
    with reading(path, WHAT), open_hdf5(path) as file:
        for ours, theirs in names.items():
            layer, arrays = network.get_layer(ours), _old_arrays(keras2_root(file), theirs)
            if [array.shape for array in arrays] != [tuple(weight.shape) for weight in layer.weights]:
                raise ValueError(f"its {theirs} does not fit {ours}")
            layer.set_weights([array[()] for array in arrays])
    return LoadedModel(path, config, {"source": "predecessor (Keras 2)"}, network)


def _old_arrays(stored: h5py.Group, name: str) -> list[h5py.Dataset]:
    """Kernel and bias of a convolution in a Keras 2 file."""
    group = stored[name][name]
    return [group["kernel:0"], group["bias:0"]]


def _predecessor_config(path: Path, stored: h5py.Group) -> ModelConfig:
    heads: dict[str, tuple[int, ...]] = {}
    delayed: tuple[str, ...] = ()
    by_count = {scheme.count: task for task, scheme in SCHEMES.items()}
    for suffix in ("", "_e"):
        if f"s1{suffix}" not in stored:
            continue
        count = _old_arrays(stored, f"s1{suffix}")[0].shape[-1]
        if count not in by_count:
            raise InputError(f"{path}: its heads have {count} landmarks; {sorted(by_count)} are known")
        heads[by_count[count]] = tuple(range(count))
        delayed = (by_count[count],) if suffix else ()
    width = _old_arrays(stored, "conv2d")[0].shape[-1] / 64
    config = replace(
        PRESETS["full"],
        preset="full" if width == 1 else "custom",
        width=width,
        stages=sum(1 for stage in range(1, 10) if f"s{stage}" in stored),
        heads=heads,
        decode_offset=OLD_DECODE_OFFSET,
        delayed_heads=delayed,
    )
    config.check()
    return config
