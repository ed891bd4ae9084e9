"""Hard negatives: what a network takes for a face or an ear in images that show none.

Cut out, they are negatives to train on (`train_face2ear.py --negatives` and `--face-negatives`). (Sung and Poggio,
"Example-Based Learning for View-Based Human Face Detection", 1998, call it bootstrapping.)
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from data.augment import Warp, warp_image
from utils.demo.prediction import Landmarks, Prediction
from utils.demo.predictor import LandmarkPredictor
from utils.demo.search import (
    QUARTERS,
    find_candidates,
    next_square,
    refine_candidate,
    search_sizes,
    sizes_turned,
)

WIDER = 2.0  # sides of the square that the network reads: its surroundings too, for crops of other places and sizes
SIDES_OF_CROPS = (96, 400)  # pixels: as large as in the image between these
SAME_PLACE, SAME_SIZE = 0.3, 1.7  # of a square: nearer and more alike, two finds are one


def hard_negatives(predictor: LandmarkPredictor, image: np.ndarray, score: float) -> dict[str, list[np.ndarray]]:
    """Crops (side, side, 3) of an image (height, width, 3) uint8 RGB, upright for the network, by task.

    Each shows one place that is read as a face or an ear with at least `score`, which the predictor's own thresholds
    must let pass.
    """
    found: dict[str, list[Warp]] = {task: [] for task in predictor.tasks}
    for quarter in QUARTERS:
        for size in sizes_turned(search_sizes(image), quarter):
            for candidate in find_candidates(predictor, image, size, quarter):
                for detection in _detections(refine_candidate(predictor, image, candidate, sides=())):
                    squares, square = found[detection.scheme.task], next_square(detection)
                    if detection.score >= score and not any(_are_one(square, other) for other in squares):
                        squares.append(square)
    return {task: [_cut(image, square) for square in squares] for task, squares in found.items()}


def _detections(prediction: Prediction) -> list[Landmarks]:
    return [*([] if prediction.face is None else [prediction.face]), *prediction.ears.values()]


def _are_one(square: Warp, other: Warp) -> bool:
    apart = max(abs(a - b) for a, b in zip(square.centre, other.centre, strict=True))
    ratio = max(square.side, other.side) / min(square.side, other.side)
    return apart < SAME_PLACE * square.side and ratio < SAME_SIZE


def _cut(image: np.ndarray, square: Warp) -> np.ndarray:
    wider = replace(square, side=WIDER * square.side)
    least, most = SIDES_OF_CROPS
    size = min(max(math.ceil(wider.side), least), most)
    return warp_image(image, wider.matrix(size), size)
