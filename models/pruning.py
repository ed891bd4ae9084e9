"""A narrower network out of a wider one of its family, without training: where a small student starts.

Layer by layer, as He et al. prune channels ("Channel pruning for accelerating very deep neural networks", ICCV 2017,
arXiv 1707.06168, section 3.1): some of the wide layer's channels are chosen, and kernels are fitted by least squares,
from what the narrow network feeds the layer to what the wide layer answers. Departure: the paper chooses input channels
by LASSO. Here those outputs are chosen that span the others best, by a QR decomposition with column pivoting.
"""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import scipy.linalg
from keras import ops

from models.config import ModelConfig
from models.cpm import StandardisedConv2D, build_network, fold_network
from models.weights import LoadedModel
from utils.common.cli import InputError

PLACES = 40_000  # of a layer's map, over all images, that kernels are fitted to
RIDGE = 1e-3  # added to the squares, in parts of their mean: little was shown in some directions
AT_ONCE = 32  # images

Places = tuple[np.ndarray, np.ndarray, np.ndarray]  # image, row and column of each


def narrowed(source: LoadedModel, config: ModelConfig, images: np.ndarray) -> tuple[keras.Model, dict[str, float]]:
    """The network of `config`, fitted to that of `source` on `images` (count, size, size, 3) uint8.

    With it comes, for each layer, the part of the chosen channels' variance that it explains: 1 is all. Raises
    `InputError` if the network of `config` has a layer, or channels, that `source` lacks.
    """
    wide, plain = fold_network(source.network, source.config)
    network = build_network(config)
    fitted = [layer for layer in network.layers if layer.weights]
    given = {layer.name: layer for layer in wide.layers if layer.weights}
    if plain.norm != "none":
        raise InputError(f"{source.path}: has layers that normalise ({plain.norm}); take one of --norm weight or none")
    for layer in fitted:
        other = given.get(layer.name)
        if other is None:
            raise InputError(f"{source.path}: has no {layer.name} to start from; take one with more stages")
        if layer.kernel.shape[-1] > other.kernel.shape[-1]:
            raise InputError(f"{source.path}: its {layer.name} is narrower already; take a smaller preset")

    places: dict[tuple[int, int], Places] = {}  # by the size of the map, chosen once
    wanted = _gather(wide, [given[layer.name].output for layer in fitted], images, places)
    explained = {}
    for layer, answers in zip(fitted, wanted, strict=True):
        kept = layer.kernel.shape[-1]
        if kept < answers.shape[1]:
            answers = answers[:, spanning_columns(np.maximum(answers, 0), kept)]
        (inputs,) = _gather(network, [layer.input], images, places, layer.kernel.shape[0])
        standardised = isinstance(layer, StandardisedConv2D)
        kernel, bias, explained[layer.name] = fit(inputs, answers, zero_mean=standardised)
        kernel = kernel.reshape(layer.kernel.shape)
        if standardised:
            layer.set_folded_weights(kernel, bias)
        else:
            layer.set_weights([kernel, bias])
    return network, explained


def spanning_columns(values: np.ndarray, count: int) -> np.ndarray:
    """Numbers of the `count` columns of (rows, columns) that span the others best, in rising order.

    Each is the column with the most variance that those before it leave unexplained.
    """
    centred = values - values.mean(axis=0)
    _, order = scipy.linalg.qr(centred, mode="r", pivoting=True)
    return np.sort(order[:count])


def fit(inputs: np.ndarray, answers: np.ndarray, zero_mean: bool = False) -> tuple[np.ndarray, np.ndarray, float]:
    """Weights (inputs, answers) and bias with the least squared error, and the part of the variance they explain.

    `inputs` (rows, inputs) and `answers` (rows, answers). `zero_mean`: each answer's weights have mean 0, as
    standardised kernels do.
    """
    if zero_mean:  # weights of mean 0 see inputs less their mean, and no others
        inputs = inputs - inputs.mean(axis=1, keepdims=True)
    shift, middle = inputs.mean(axis=0), answers.mean(axis=0)
    centred, aim = inputs - shift, answers - middle
    squares = (centred.T @ centred).astype(np.float64)
    squares[np.diag_indices_from(squares)] += RIDGE * np.trace(squares) / len(squares) + 1e-9
    weights = scipy.linalg.solve(squares, (centred.T @ aim).astype(np.float64), assume_a="pos")
    if zero_mean:
        weights -= weights.mean(axis=0)
    missed = np.square(centred @ weights - aim).sum() / max(np.square(aim).sum(), 1e-12)
    return weights.astype(np.float32), (middle - shift @ weights).astype(np.float32), 1 - float(missed)


def _gather(
    network: keras.Model,
    tensors: list,
    images: np.ndarray,
    places: dict[tuple[int, int], Places],
    size: int = 1,
) -> list[np.ndarray]:
    """Of each tensor the neighbourhoods (places, size * size * channels) of the places of its map.

    Places of maps that come for the first time are drawn and noted.
    """
    found: list[list[np.ndarray]] = [[] for _ in tensors]
    for first, maps in _maps(network, tensors, images):
        for each, rows in zip(maps, found, strict=True):
            shape = each.shape[1:3]
            if shape not in places:
                places[shape] = _draw_places(len(images), *shape)
            image, row, column = places[shape]
            here = (image >= first) & (image < first + len(each))
            edge = size // 2
            padded = np.pad(each, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
            at = image[here] - first, row[here], column[here]
            parts = [padded[at[0], at[1] + down, at[2] + right] for down in range(size) for right in range(size)]
            rows.append(np.concatenate(parts, axis=1))
    return [np.concatenate(rows) for rows in found]


def _maps(network: keras.Model, tensors: list, images: np.ndarray) -> Iterator[tuple[int, list[np.ndarray]]]:
    """The tensors' maps of a few images at a time, and the number of the first of these images."""
    names = [str(k) for k in range(len(tensors))]
    part = keras.Model(network.input, dict(zip(names, tensors, strict=True)))
    for first in range(0, len(images), AT_ONCE):
        maps = part(images[first : first + AT_ONCE], training=False)
        yield first, [ops.convert_to_numpy(maps[name]).astype(np.float32) for name in names]


def _draw_places(images: int, height: int, width: int) -> Places:
    """At most `PLACES` places of maps, each once, in the order of the images."""
    count = images * height * width
    chosen = np.sort(np.random.default_rng(0).permutation(count)[:PLACES])
    image, row, column = np.unravel_index(chosen, (images, height, width))
    return image, row, column
