"""A head as a colour chart, and a network that reads it: exact landmarks without any training, for tests.

Red and green say where on the face (or the ear) a pixel lies, blue which of the two it is. The network is an ordinary
one of this repository; its weights are written by hand, so that each heatmap is highest at its landmark's colour.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.augment import apply_matrix, invert_matrix
from data.schemes import EAR, FACE, SCHEMES, reference_shape

LOW, HIGH = 0.55, 0.95  # range of red and green; mixed with the black around, a colour leaves it
BLUE = {"face": 0.5, "ear": 1.0}
MARGIN = 0.15  # of coloured border round the points, in sides of their box
SHARP, STRICT = 125.0, 50.0  # how a heatmap falls with the distance in red and green (squared), and in blue
EAR_LENGTH, EAR_GAP = 0.3, 0.34  # of an ear, and from the jaw's upper end to its box, in face lengths


def head_shape() -> dict[str, np.ndarray]:
    """Points of the face and both ears in face lengths, the face's box from (0, 0)."""
    face, ear = reference_shape(FACE), reference_shape(EAR)
    ear = EAR_LENGTH * (ear - ear.min(axis=0))
    jaw_left, jaw_right = face[16], face[0]
    left = ear + np.array([jaw_left[0] + EAR_GAP, jaw_left[1] - 0.1])
    right = ear * (-1, 1) + np.array([jaw_right[0] - EAR_GAP, jaw_right[1] - 0.1])
    return {"face": face, "left": left, "right": right}


def place(centre: tuple[float, float], length: float, degrees: float = 0.0) -> np.ndarray:
    """The map (2, 3) that puts a head of `length` pixels with the middle of its face at `centre`, turned."""
    turn = np.radians(degrees)
    linear = length * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.column_stack([linear, centre - linear @ (np.ptp(head_shape()["face"], axis=0) / 2)])


def draw_chart(height: int, width: int, matrix: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """An image (height, width, 3) uint8 RGB of a head, `matrix` (2, 3) from face lengths to pixels, and its points."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    at = apply_matrix(invert_matrix(matrix), np.stack([x, y], axis=-1).reshape(-1, 2)).reshape(height, width, 2)
    image, shape = np.zeros((height, width, 3)), head_shape()
    for name, points in shape.items():
        low, high = _patch(points)
        inside = ((at >= low) & (at <= high)).all(axis=-1)
        fraction = (at[inside] - low) / (high - low)
        if name == "right":  # the other ear's mirror
            fraction[:, 0] = 1 - fraction[:, 0]
        image[inside, :2] = LOW + (HIGH - LOW) * fraction
        image[inside, 2] = BLUE["face" if name == "face" else "ear"]
    return np.round(255 * image).astype(np.uint8), {name: apply_matrix(matrix, p) for name, p in shape.items()}


def _patch(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = points.min(axis=0), points.max(axis=0)
    margin = MARGIN * (high - low).max()
    return low - margin, high + margin


def save_chart_network(path: Path, tasks: tuple[str, ...] = ("face", "ear"), size: int = 128) -> Path:
    """Write the network that reads charts; `size` pixels a side of its crops."""
    from models.config import ModelConfig
    from models.cpm import build_network, head_name
    from models.weights import save_network

    heads = {task: tuple(range(SCHEMES[task].count)) for task in tasks}
    schemes = {task: SCHEMES[task].to_json() for task in tasks if SCHEMES[task] not in (FACE, EAR)}
    config = ModelConfig(preset="custom", width=0.25, stages=1, input_size=size, heads=heads, schemes=schemes)
    network = build_network(config)
    for layer in network.layers:
        if not layer.weights:
            continue
        kernel, bias = (np.zeros(weight.shape, np.float32) for weight in layer.weights)
        middle = kernel[kernel.shape[0] // 2, kernel.shape[1] // 2]  # (in, out)
        if layer.name == "trunk1_conv1":
            # Colours and what they lack of 1: pooling takes the highest of both, and half their difference is the
            # middle of what it saw.
            for k in range(3):
                middle[k, k], middle[k, 3 + k], bias[3 + k] = 1, -1, 1
        elif layer.name.startswith("trunk"):
            middle[range(6), range(6)] = 1
        elif layer.name == "feature_map":
            for k in range(3):
                middle[k, k], middle[3 + k, k], bias[k] = 0.5, -0.5, 0.5
        elif layer.name == "stage1_features":
            for k, knot in enumerate(_knots()):
                middle[0, k] = middle[1, len(_knots()) + k] = 1
                bias[k] = bias[len(_knots()) + k] = -knot
            middle[2, -2:], bias[-1] = 1, -0.5  # blue, and what it has above 0.5
        for task in tasks:
            if layer.name == head_name(1, task):
                middle[:], bias[:] = _head(task)
        layer.set_weights([kernel, bias])
    save_network(path, network, config, {})
    return path


def _knots() -> np.ndarray:
    return np.linspace(0.5, 1, 63, endpoint=False)


def _head(task: str) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (features, landmarks) and bias of 1 - SHARP x (distance in red, green)^2 - STRICT x |distance in blue|."""
    points = head_shape()["left" if task == EAR.task else "face"]
    low, high = _patch(points)
    points = points[-SCHEMES[task].count :]  # the 51 of face51 are the last of the 68
    colours = LOW + (HIGH - LOW) * (points - low) / (high - low)
    knots = _knots()
    kernel, bias = np.zeros((128, len(points)), np.float32), np.ones(len(points), np.float32)
    for axis in (0, 1):
        # A parabola as a chain of straight lines: its bends are the weights of max(colour - knot, 0).
        values = -SHARP * (np.append(knots, 1.0)[:, None] - colours[:, axis]) ** 2
        slopes = np.diff(values, axis=0) / np.diff(np.append(knots, 1.0))[:, None]
        kernel[axis * len(knots) : (axis + 1) * len(knots)] = np.diff(slopes, axis=0, prepend=0)
        bias += values[0]
    # |blue - 0.5| = 0.5 - blue + 2 max(blue - 0.5, 0), and |blue - 1| = 1 - blue.
    kind = "ear" if task == EAR.task else "face"
    kernel[-2], kernel[-1] = STRICT, -2 * STRICT if kind == "face" else 0
    bias -= STRICT * BLUE[kind]
    return kernel, bias
