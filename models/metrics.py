"""The NME that is tracked in training: what `utils.evaluation.metrics` says in NumPy, in Keras operations."""

from __future__ import annotations

from keras import ops

from data.schemes import Scheme
from models.tensors import Tensor


def normaliser_length(points: Tensor, scheme: Scheme) -> Tensor:
    """The length that an image's errors are divided by, (batch,), from all of the scheme's points (batch, count, 2).

    Face: distance of the outer eye corners (Sagonas et al., 300-W). Ear: diagonal of the points' box.
    """
    if isinstance(scheme.normaliser, str):
        return ops.norm(ops.max(points, axis=1) - ops.min(points, axis=1), axis=-1)
    one, other = scheme.normaliser
    return ops.norm(points[:, one] - points[:, other], axis=-1)


def nme(truth: Tensor, predicted: Tensor, lengths: Tensor, present: Tensor | None = None) -> Tensor:
    """Normalised mean error (batch,) of points (batch, landmarks, 2): mean distance from the truth / length.

    The mean is of those that are `present` (batch, landmarks), by default all; 0 where none is.
    """
    distances = ops.norm(predicted - truth, axis=-1)
    if present is None:
        return ops.mean(distances, axis=-1) / lengths
    count = ops.sum(ops.cast(present, distances.dtype), axis=-1)
    return ops.sum(ops.where(present, distances, 0.0), axis=-1) / ops.maximum(count, 1.0) / lengths
