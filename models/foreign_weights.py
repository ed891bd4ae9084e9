"""Weights of others to start from: VGG of keras.applications, and the networks of OpenPose.

What is read, by the names of the layers and not by the file's name:

- VGG-19 of keras.applications (`block1_conv1` ...), with or without its top: the `.h5` of Keras 2, `.weights.h5`
  and `.keras`;
- OpenPose's networks of body, face and hand (`conv1_1` ... `conv4_4_CPM`, `Mconv1_stage2_L2` ...): the `.h5` of Keras 2
  and Chainer's `.npz`. Kernels are (height, width, in, out) in the one, (out, in, height, width) in the other.

Only arrays are read, never a layer's code or a pickle.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import keras
import numpy as np

from models.config import ModelConfig
from models.cpm import frozen_layers
from models.description import ENTRY
from utils.common.cli import InputError
from utils.common.foreign import first_line, reading
from utils.common.hdf5 import MOST_UNPACKED, open_hdf5

ARRAYS = "model.weights.h5"  # of a `.keras`
VGG, OPENPOSE = "VGG (keras.applications)", "OpenPose"
# What the source's first layer sees is BGR in 0..1, times this, minus the other. VGG: 0..255 minus Caffe's channel
# means, as keras.applications subtracts them. OpenPose: 0..255 / 256 - 0.5.
VGG_MEAN_BGR = np.array([103.939, 116.779, 123.68], dtype=np.float32)
CONVENTIONS = {VGG: (255.0, VGG_MEAN_BGR), OPENPOSE: (255 / 256, np.full(3, 0.5, np.float32))}


@dataclass(frozen=True)
class ForeignWeights:
    """Convolutions of another project: `kind` of network, layer name -> kernel (height, width, in, out) and bias."""

    kind: str
    layers: dict[str, tuple[np.ndarray, np.ndarray]]


def read_foreign(path: str | os.PathLike) -> ForeignWeights | None:
    """The convolutions in a file of another project, or None for every other file: its own reader judges it.

    Raises an `InputError` in one line for a damaged file of these formats.
    """
    if not Path(path).is_file():
        return None
    with reading(path, "weights file"), open(path, "rb"):
        if h5py.is_hdf5(path):
            return _read_hdf5(path)
        if zipfile.is_zipfile(path):
            most = MOST_UNPACKED * Path(path).stat().st_size
            with zipfile.ZipFile(path) as archive:
                sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
                if ENTRY in sizes:
                    return None  # ours
                if ARRAYS not in sizes:
                    return _read_npz(path, sizes, most)
                if sizes[ARRAYS] <= most:  # else its own reader refuses it
                    return _read_hdf5(archive.read(ARRAYS))
    return None


def kind_of(names: set[str]) -> str | None:
    """Whose network has layers of these names, if one of those that are known."""
    if "block1_conv1" in names:
        return VGG
    return OPENPOSE if "conv1_1" in names and any(name.endswith("_CPM") for name in names) else None


def keras2_root(file: h5py.File) -> h5py.Group:
    """Where a Keras 2 file, of a whole model or of weights only, has a group for each layer."""
    return file.get("model_weights", file)


def _read_hdf5(source: str | os.PathLike | bytes) -> ForeignWeights | None:
    with open_hdf5(source) as file:
        found = _find_in_hdf5(file)
        kind = kind_of(set(found))
        if kind is None:
            return None
        return ForeignWeights(kind, {name: (read[0][()], read[1][()]) for name, read in found.items()})


def _find_in_hdf5(file: h5py.File) -> dict[str, list[h5py.Dataset]]:
    """Layer name -> kernel and bias of each convolution, unread."""
    found = {}
    root = file["layers"] if "layers" in file else keras2_root(file)
    for key, group in root.items():
        if not isinstance(group, h5py.Group):
            continue
        arrays: list[h5py.Dataset] = []
        group.visititems(lambda _, item, arrays=arrays: arrays.append(item) if isinstance(item, h5py.Dataset) else None)
        # Keras 3 numbers the layers of each class, and keeps a layer's own name beside its arrays.
        name = group["vars"].attrs.get("name", key) if isinstance(group.get("vars"), h5py.Group) else key
        pair = [array for count in (4, 1) for array in arrays if array.ndim == count]
        if [array.ndim for array in pair] == [4, 1]:
            found[str(name)] = pair
    return found


def _read_npz(path: str | os.PathLike, sizes: dict[str, int], most: int) -> ForeignWeights | None:
    """Chainer's: `conv1_1/W` in (out, in, height, width) and `conv1_1/b`.

    `sizes`: bytes of each entry, `most` of all together. Raises ValueError for more.
    """
    names = {name.removesuffix("/W.npy") for name in sizes if name.endswith("/W.npy")}
    kind = kind_of(names)
    if kind is None:
        return None
    if sum(sizes.values()) > most:
        raise ValueError("its arrays claim to be larger than the file")
    layers = {}
    with np.load(path, allow_pickle=False) as stored:
        for name in sorted(names):
            kernel, bias = stored[f"{name}/W"], stored[f"{name}/b"]
            if kernel.ndim == 4:
                layers[name] = (kernel.transpose(2, 3, 1, 0), bias)
    return ForeignWeights(kind, layers)


def _sources(layer: str, kind: str) -> tuple[str, ...]:
    """Names that the layer with the role of our `layer` may have; the first in the file is meant. None for heads.

    OpenPose's body network has two branches, of which L2 gives the heatmaps. Its trunk is shorter than ours. The trunk
    of its face and hand networks is ours.
    """
    if layer.startswith("trunk"):
        block, k = layer.removeprefix("trunk").split("_conv")
        if kind == VGG:
            return (f"block{block}_conv{k}",)
        if layer in ("trunk4_conv5", "trunk4_conv6"):
            return (f"conv5_{int(k) - 4}",)
        # The body network's conv4_4_CPM ends the trunk, as `feature_map` does.
        return (f"conv{block}_{k}", *([f"conv{block}_{k}_CPM"] if layer == "trunk4_conv3" else []))
    if kind == VGG:
        return ()
    if layer == "feature_map":
        return ("conv5_3_CPM", "conv4_4_CPM")
    if layer == "stage1_features":
        return ("conv6_1_CPM", "conv5_4_CPM_L2")
    stage, _, role = layer.partition("_")
    number = {f"conv{k}": k for k in range(1, 6)} | {"features": 6}
    if role in number:
        return tuple(f"Mconv{number[role]}_{stage}{branch}" for branch in ("", "_L2"))
    return ()


def fold_input(kernel: np.ndarray, bias: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """A source's first convolution for our input, RGB in 0..1: the same features, but for the border.

    With BGR pixels p, `scale` s and `shift` m of `CONVENTIONS`: k * (s p - m) + b = (s k) * p + (b - sum(k m)). The
    border of one pixel differs, since the source pads with zeros, which are its mean colour, and ours are black.
    """
    scale, shift = CONVENTIONS[kind]
    return kernel[:, :, ::-1] * scale, bias - np.einsum("hwco,c->o", kernel, shift)


def start_from_foreign(
    network: keras.Model, config: ModelConfig, foreign: ForeignWeights, path: str | os.PathLike, freeze: int = 0
) -> list[str]:
    """Copy into `network` each convolution that fits by name and shape; returns a table of them, as lines.

    A layer whose input comes from one that is not taken sees other features than it has learned. Raises `InputError`
    if nothing fits, if the network's convolutions are normalised, if an array holds NaN or infinity, or if a layer of
    the trunk's first `freeze` blocks would stay random.
    """
    if config.norm != "none":
        why = "standardised kernels cannot hold it" if config.norm == "weight" else "it has no normalisation"
        raise InputError(f"--init {path}: {foreign.kind}: {why}; add --norm none")
    rows, used, untaken, unfit, taken = [], set(), [], [], 0
    for layer in network.layers:
        if not isinstance(layer, keras.layers.Conv2D):
            continue
        name = next((name for name in _sources(layer.name, foreign.kind) if name in foreign.layers), None)
        if name is None:
            untaken.append(layer.name)
            continue
        used.add(name)
        kernel, bias = foreign.layers[name]
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            raise InputError(f"--init {path}: {name} holds NaN or infinity; the file is damaged")
        wanted = tuple(layer.kernel.shape)
        if kernel.shape == wanted and bias.shape == wanted[3:]:
            if layer.name == "trunk1_conv1":
                kernel, bias = fold_input(kernel, bias, foreign.kind)
            layer.set_weights([kernel, bias])
            taken += 1
            rows.append(f"{layer.name:<18}{name:<20}yes")
        else:
            unfit.append(layer.name)
            rows.append(f"{layer.name:<18}{name:<20}no: its kernel is {_size(kernel.shape)}, ours {_size(wanted)}")
    if not taken:
        raise InputError(
            f"--init {path}: nothing of {foreign.kind} fits (preset {config.preset}, width {config.width:g}); "
            "use --preset full"
        )
    random = [name for name in (*untaken, *unfit) if name.startswith(frozen_layers(freeze))]
    if random:
        raise InputError(
            f"--freeze {freeze}: {path} has no weights for {', '.join(sorted(random))}; freeze fewer blocks"
        )
    lines = [f"{taken} convolutions of {foreign.kind}", f"{'layer':<18}{'source':<20}taken", *rows]
    lines += _rest("start at random", untaken)
    return lines + _rest("of the file have no place here", [name for name in foreign.layers if name not in used])


def _rest(what: str, names: list[str]) -> list[str]:
    shown = ", ".join(names[:4]) + (" ..." if len(names) > 4 else "")
    return [f"{len(names)} more {what}: {shown}"] if names else []


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]}, {shape[2]} to {shape[3]}"


def start_from_imagenet(network: keras.Model, config: ModelConfig, freeze: int = 0) -> list[str]:
    """Copy VGG-19's ImageNet convolutions into the trunk of a network of width 1; returns a table, as lines.

    Raises `InputError` as `start_from_foreign` does, and if `keras.applications` cannot download them.
    """
    if config.width != 1 or config.norm != "none":
        raise InputError("--init imagenet: VGG-19 has width 1 and no normalisation; use --preset full --norm none")
    try:
        vgg = keras.applications.VGG19(include_top=False, weights="imagenet")
    except Exception as problem:  # urllib, socket, hash and file errors alike: there is no network to get them from
        raise InputError(
            f"--init imagenet: VGG-19's weights cannot be downloaded here ({first_line(problem)}); "
            "train without --init, or give a weights file"
        ) from problem
    return start_from_foreign(network, config, weights_of(vgg), "imagenet", freeze)


def weights_of(vgg: keras.Model) -> ForeignWeights:
    """The convolutions of a VGG of keras.applications."""
    layers = {layer.name: tuple(layer.get_weights()) for layer in vgg.layers if isinstance(layer, keras.layers.Conv2D)}
    return ForeignWeights(VGG, layers)
