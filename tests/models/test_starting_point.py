"""The penalties that hold a student near the network that it started from."""

import keras
import numpy as np
import pytest
from keras import ops

from models.starting_point import StartingPoint, fisher_diagonal


def layer_of(kernel):
    """y = x . kernel as a Keras model of one dense layer without bias."""
    x = keras.Input((len(kernel),))
    y = keras.layers.Dense(1, use_bias=False)(x)
    model = keras.Model(x, {"y": y})
    model.layers[-1].set_weights([np.float32(kernel)[:, None]])
    return model


def loss(outputs, targets):
    return ops.mean(ops.square(outputs["y"] - targets["y"]))


def test_l2_sp_is_half_the_squared_distance_worked_by_hand():
    model = layer_of([1.0, 2.0])
    start = StartingPoint.of(model.trainable_variables)
    assert float(start.penalty()) == 0
    model.layers[-1].set_weights([np.float32([[1.5], [1.0]])])
    assert float(start.penalty()) == pytest.approx(0.5 * (0.5**2 + 1.0**2))


def test_elastic_weight_consolidation_weighs_each_number():
    model = layer_of([1.0, 2.0])
    start = StartingPoint.of(model.trainable_variables, [np.float32([[4.0], [0.0]])])
    model.layers[-1].set_weights([np.float32([[1.5], [9.0]])])
    assert float(start.penalty()) == pytest.approx(0.5 * 4 * 0.5**2)


def test_the_penalty_pulls_back_in_proportion_to_the_distance():
    import tensorflow as tf

    model = layer_of([1.0, 2.0])
    start = StartingPoint.of(model.trainable_variables, [np.float32([[4.0], [1.0]])])
    model.layers[-1].set_weights([np.float32([[1.5], [1.0]])])
    with tf.GradientTape() as tape:
        value = start.penalty()
    (gradient,) = tape.gradient(value, [model.trainable_variables[0].value])
    np.testing.assert_allclose(gradient, [[4 * 0.5], [1 * -1.0]])


def test_the_fisher_diagonal_is_the_mean_of_squared_gradients_of_single_images_worked_by_hand():
    model = layer_of([1.0, 2.0])
    # (x . w - t)^2 has the gradient 2 (x . w - t) x: for x = (1, 0), t = 0: (2, 0); for x = (1, 1), t = 2: (2, 2).
    images = [([1.0, 0.0], 0.0), ([1.0, 1.0], 2.0)]
    batches = [(np.float32([x]), {"y": np.float32([[t]])}) for x, t in images]
    (found,) = fisher_diagonal(model, model.trainable_variables, loss, batches)
    mean = np.array([[(4 + 4) / 2], [(0 + 4) / 2]])
    np.testing.assert_allclose(found, mean / mean.mean(), rtol=1e-6)


def test_a_loss_of_no_gradient_makes_no_weight_matter_and_no_image_is_refused():
    model = layer_of([1.0, 2.0])
    (found,) = fisher_diagonal(
        model, model.trainable_variables, loss, [(np.float32([[0, 0]]), {"y": np.float32([[1]])})]
    )
    np.testing.assert_array_equal(found, np.zeros((2, 1)))
    with pytest.raises(ValueError, match="image"):
        fisher_diagonal(model, model.trainable_variables, loss, [])
