"""The terms that a teacher adds, against numbers worked out by hand from their formulas."""

import numpy as np
import pytest

from models.losses import activation_boundary, attention_transfer, attention_vector, distillation, peak_weighted_error

# One image, a 1x2 map, one landmark.
TEACHER = np.float32([1.0, 0.0]).reshape(1, 1, 2, 1)
STUDENT = np.float32([0.8, 0.1]).reshape(1, 1, 2, 1)


def test_distillation_without_a_temperature_is_the_squared_error_summed_over_stages():
    near = (0.2**2 + 0.1**2) / 2
    assert float(distillation([STUDENT], TEACHER)) == pytest.approx(near, rel=1e-5)
    assert float(distillation([STUDENT, TEACHER, STUDENT], TEACHER)) == pytest.approx(2 * near, rel=1e-5)


def test_distillation_with_a_stage_loss_has_the_teachers_maps_as_targets():
    near = ((1 + 30 * 1.0) * 0.2**2 + 0.1**2) / 2  # weighted by 1 + 30 x the teacher's map
    term = distillation([STUDENT, STUDENT], TEACHER, stage_loss=peak_weighted_error)
    assert float(term) == pytest.approx(2 * near, rel=1e-5)


def test_where_a_teachers_map_is_below_0_it_weighs_1():
    taught = np.float32([1.0, -0.5]).reshape(1, 1, 2, 1)
    near = (31 * 0.2**2 + 0.6**2) / 2
    assert float(distillation([STUDENT], taught, stage_loss=peak_weighted_error)) == pytest.approx(near, rel=1e-5)


def test_softened_distillation_is_t_squared_times_the_cross_entropy_of_softmaxes():
    temperature = 4.0

    def softmax(maps):  # logits = map / 0.1, divided by T
        values = np.exp(np.float64(maps.ravel()) / 0.1 / temperature)
        return values / values.sum()

    expected = -(temperature**2) * (softmax(TEACHER) * np.log(softmax(STUDENT))).sum()
    assert float(distillation([STUDENT], TEACHER, temperature)) == pytest.approx(expected, rel=1e-4)


def test_the_attention_vector_is_the_energy_of_each_cell_brought_to_length_one():
    features = np.float32([[1, 0], [1, np.sqrt(2)]]).reshape(1, 1, 2, 2)  # energies 1 and 3
    assert np.allclose(attention_vector(features), np.array([[1, 3]]) / np.sqrt(10), atol=1e-6)


def test_attention_transfer_by_hand():
    student = np.float32([[1, 0], [1, np.sqrt(2)]]).reshape(1, 1, 2, 2)  # q = (1, 3) / sqrt(10)
    teacher = np.float32([[2, 0], [0, 0]]).reshape(1, 1, 2, 2)  # q = (1, 0)
    expected = (1 / np.sqrt(10) - 1) ** 2 + 9 / 10
    assert float(attention_transfer([student], [teacher])) == pytest.approx(expected, rel=1e-5)
    assert float(attention_transfer([student] * 2, [teacher] * 2)) == pytest.approx(2 * expected, rel=1e-5)


def test_attention_transfer_does_not_change_when_the_batch_is_doubled():
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 3, 4, 5, 6)).astype(np.float32)
    twice = float(attention_transfer([np.concatenate([student] * 2)], [np.concatenate([teacher] * 2)]))
    assert twice == pytest.approx(float(attention_transfer([student], [teacher])), rel=1e-5)


@pytest.mark.parametrize("kind", ["equal", "empty"])
def test_attention_transfer_and_its_gradient_are_finite(kind):
    import tensorflow as tf

    features = np.zeros((2, 3, 3, 4), np.float32) if kind == "empty" else np.ones((2, 3, 3, 4), np.float32)
    student = tf.Variable(features)
    with tf.GradientTape() as tape:
        value = attention_transfer([student], [features])
    assert float(value) == pytest.approx(0, abs=1e-6)
    assert np.isfinite(tape.gradient(value, student)).all()


def test_attention_has_a_gradient_that_points_to_the_teacher():
    import tensorflow as tf

    student = tf.Variable(np.float32([[1.0], [1.1]]).reshape(1, 1, 2, 1))
    with tf.GradientTape() as tape:
        value = attention_transfer([student], [np.float32([[1.0], [1.0]]).reshape(1, 1, 2, 1)])
    gradient = tape.gradient(value, student).numpy().ravel()
    assert gradient[0] < 0 < gradient[1]


def test_the_activation_boundary_wants_the_same_units_to_fire_with_a_margin():
    teacher = np.float32([2.0, -1.0, 0.5, -3.0]).reshape(1, 1, 1, 4)
    student = np.float32([0.5, 0.5, 2.0, -2.0]).reshape(1, 1, 1, 4)
    # active: (1 - 0.5)^2; inactive: (1 + 0.5)^2; active beyond the margin: 0; inactive beyond it: 0
    assert float(activation_boundary(student, teacher)) == pytest.approx((0.25 + 2.25) / 4)


def test_attention_of_another_map_size_is_resized_before_it_is_normalised():
    student = np.float32([[1.0], [2.0]]).reshape(1, 1, 2, 1)  # energies 1 and 4
    teacher = np.sqrt(np.float32([1, 3, 2, 6])).reshape(1, 1, 4, 1)
    # Halved with a triangle two samples wide: shares 3, 3, 1 of 7 and, from the other end, the same.
    energy = np.array([0.75 + 2.25 + 0.5, 4.5 + 1.5 + 0.75])
    expected = ((np.array([1, 4]) / np.sqrt(17) - energy / np.linalg.norm(energy)) ** 2).sum()
    assert float(attention_transfer([student], [teacher])) == pytest.approx(expected, rel=1e-4)
