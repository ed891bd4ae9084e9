"""Keeping a student near the network that it started from: the penalties of L2-SP and of elastic weight consolidation.

Both are half a weighted sum of squares of how far the weights have moved (Li et al., "Explicit inductive bias for
transfer learning with convolutional networks", ICML 2018, arXiv 1802.01483, equation 3 without its term for new layers;
Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 2017, arXiv 1612.00796, equation 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from data.pipeline import Batch
from models.tensors import Tensor

Loss = Callable[[dict[str, Tensor], dict[str, dict[str, Tensor]]], Tensor]  # of outputs and targets: a scalar


@dataclass(frozen=True)
class StartingPoint:
    """Where `variables` stood, and how much each of their numbers matters: None for all alike (L2-SP)."""

    variables: tuple[keras.Variable, ...]
    values: tuple[Tensor, ...]
    importance: tuple[Tensor, ...] | None = None

    @classmethod
    def of(cls, variables: Sequence[keras.Variable], importance: Sequence[np.ndarray] | None = None) -> StartingPoint:
        """Variables as they stand now."""
        values = tuple(ops.convert_to_tensor(variable.numpy()) for variable in variables)
        weights = None if importance is None else tuple(map(ops.convert_to_tensor, importance))
        return cls(tuple(variables), values, weights)

    def penalty(self) -> Tensor:
        """Half the sum of importance x (weight - weight at the start)^2: a scalar, 0 at the start."""
        weights = self.importance or (1.0,) * len(self.variables)
        rows = zip(self.variables, self.values, weights, strict=True)
        return 0.5 * sum(
            ops.sum(weight * ops.square(ops.convert_to_tensor(variable) - value)) for variable, value, weight in rows
        )


def fisher_diagonal(
    network: keras.Model, variables: Sequence[keras.Variable], loss: Loss, batches: Iterable[Batch]
) -> list[np.ndarray]:
    """How much each number of `variables` matters to a loss: the diagonal of its empirical Fisher information.

    The mean over `batches`, of one image each, of the squared gradient. It is divided by its own mean over all numbers,
    so that the penalty's factor means the same for any loss: that of Kirkpatrick et al. is of a likelihood. An array
    for each variable. Raises ValueError without a batch.
    """
    gradients = _gradients(network, variables, loss)
    sums, images = [np.zeros(variable.shape, np.float64) for variable in variables], 0
    for image, targets in batches:
        for total, gradient in zip(sums, gradients(image, targets), strict=True):
            total += np.square(ops.convert_to_numpy(gradient), dtype=np.float64)
        images += 1
    if not images:
        raise ValueError("without an image nothing says which weights matter")
    mean = sum(total.sum() for total in sums) / sum(total.size for total in sums)
    return [(total / max(mean, np.finfo(np.float64).tiny)).astype(np.float32) for total in sums]


def _gradients(network: keras.Model, variables: Sequence[keras.Variable], loss: Loss) -> Callable:
    """A compiled function of a batch: the gradient of the loss in each of `variables`, in inference mode."""
    if keras.backend.backend() == "jax":
        import jax

        places = [next(k for k, each in enumerate(network.trainable_variables) if each is v) for v in variables]

        @jax.jit
        def of_jax(values, images, targets):
            rest = [variable.value for variable in network.non_trainable_variables]
            return jax.grad(
                lambda values: loss(network.stateless_call(values, rest, images, training=False)[0], targets)
            )(values)

        def chosen(images, targets):
            found = of_jax([variable.value for variable in network.trainable_variables], images, targets)
            return [found[place] for place in places]

        return chosen
    import tensorflow as tf

    @tf.function
    def of_tensorflow(images, targets):
        with tf.GradientTape() as tape:
            value = loss(network(images, training=False), targets)
        return tape.gradient(
            value, [variable.value for variable in variables], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )

    strategy = tf.distribute.get_strategy()

    def of_one_device(images, targets):  # all that share batches are given the same image
        found = strategy.run(of_tensorflow, args=(images, targets))
        return [strategy.experimental_local_results(gradient)[0] for gradient in found]

    return of_one_device
