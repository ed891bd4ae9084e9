import numpy as np
import pytest

from models.losses import adaptive_wing, combined, peak_weighted_error, spatial_cross_entropy, squared_error

# One image, a 2x2 map, one landmark.
TARGET = np.float32([[1.0, 0.5], [0.0, 0.0]]).reshape(1, 2, 2, 1)
PREDICTION = np.float32([[0.8, 0.5], [0.3, 0.0]]).reshape(1, 2, 2, 1)


def test_squared_error_is_the_mean_over_cells():
    assert float(squared_error(TARGET, PREDICTION)) == pytest.approx((0.04 + 0.09) / 4)


def test_peak_weighted_error_weighs_the_peak_and_leaves_the_background_at_one():
    assert float(peak_weighted_error(TARGET, PREDICTION)) == pytest.approx((31 * 0.04 + 0.09) / 4, rel=1e-5)


def test_a_false_peak_of_an_absent_landmark_costs_what_a_missed_one_does():
    """Of two landmarks one is absent: its peak of 0.5 weighs 1 + 30 / 2. Below 0 and above 1 a weight ends."""
    nowhere = np.zeros_like(TARGET)
    peak, deep = nowhere.copy(), nowhere.copy()
    peak[0, 0, 0, 0], deep[0, 0, 0, 0], deep[0, 0, 1, 0] = 0.5, -1, 2
    assert float(peak_weighted_error(nowhere, peak)) == pytest.approx(16 * 0.25 / peak.size, rel=1e-5)
    assert float(peak_weighted_error(nowhere, deep)) == pytest.approx((1 + 31 * 4) / deep.size, rel=1e-5)
    both = [np.concatenate(maps, axis=-1) for maps in ((TARGET, nowhere), (PREDICTION, peak))]
    present = float(peak_weighted_error(TARGET, PREDICTION)) * TARGET.size
    assert float(peak_weighted_error(*both)) == pytest.approx((present + 16 * 0.25) / both[0].size, rel=1e-5)


def test_adaptive_wing_follows_the_papers_formula():
    def wing(distance, target):  # Wang et al. 2019, equations 3 to 5, with alpha 2.1, omega 14, epsilon 1, theta 0.5
        power = 2.1 - target
        if distance < 0.5:
            return 14 * np.log(1 + distance**power)
        slope = 14 * (1 / (1 + 0.5**power)) * power * 0.5 ** (power - 1)
        return slope * distance - (0.5 * slope - 14 * np.log(1 + 0.5**power))

    far = PREDICTION + np.float32([[0, 0], [0.5, 0]]).reshape(1, 2, 2, 1)  # third cell 0.8 off: the linear branch
    expected = (11 * wing(0.2, 1.0) + 11 * wing(0, 0.5) + wing(0.8, 0.0) + wing(0, 0.0)) / 4
    assert float(adaptive_wing(TARGET, far)) == pytest.approx(expected, rel=1e-3)


def test_spatial_cross_entropy_is_the_divergence_of_two_softmaxes():
    def softmax(values):
        values = np.exp(np.float64(values) / 0.1)
        return values / values.sum()

    p, q = softmax(TARGET.ravel()), softmax(PREDICTION.ravel())
    assert float(spatial_cross_entropy(TARGET, PREDICTION)) == pytest.approx((p * np.log(p / q)).sum(), rel=1e-4)


def test_spatial_cross_entropy_ignores_a_landmark_that_is_nowhere_in_the_map():
    target = np.concatenate([TARGET, np.zeros_like(TARGET)], axis=-1)
    prediction = np.concatenate([PREDICTION, PREDICTION], axis=-1)
    alone = float(spatial_cross_entropy(TARGET, PREDICTION))
    assert float(spatial_cross_entropy(target, prediction)) == pytest.approx(alone / 2, rel=1e-5)


@pytest.mark.parametrize("loss", [squared_error, peak_weighted_error, adaptive_wing, spatial_cross_entropy, combined])
def test_every_loss_is_a_scalar_smallest_at_equality_and_skips_what_is_not_annotated(loss):
    two = np.concatenate([TARGET, TARGET], axis=-1)
    wrong = np.concatenate([TARGET, PREDICTION], axis=-1)
    known = np.float32([1, 0]).reshape(1, 1, 1, 2)
    assert np.shape(loss(two, wrong)) == ()
    assert float(loss(two, two)) == pytest.approx(0, abs=1e-4)
    assert float(loss(two, wrong)) > 1e-3
    assert float(loss(two, wrong, known)) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("loss", [squared_error, peak_weighted_error, adaptive_wing, spatial_cross_entropy, combined])
def test_what_is_predicted_where_nobody_looked_costs_nothing(loss):
    region = np.float32([[1, 1], [1, 0]]).reshape(1, 2, 2, 1)
    second_ear = TARGET + 5 * (1 - region)
    assert float(loss(TARGET, second_ear, region)) == pytest.approx(0, abs=1e-4)
    assert float(loss(TARGET, second_ear)) > 1e-3


@pytest.mark.parametrize("loss", [squared_error, peak_weighted_error, adaptive_wing, spatial_cross_entropy, combined])
def test_every_loss_is_a_mean_so_a_doubled_batch_changes_nothing(loss):
    double = [np.concatenate([maps, maps]) for maps in (TARGET, PREDICTION)]
    assert float(loss(*double)) == pytest.approx(float(loss(TARGET, PREDICTION)), rel=1e-5)


@pytest.mark.parametrize("loss", [squared_error, peak_weighted_error, adaptive_wing, spatial_cross_entropy, combined])
def test_every_gradient_is_finite_for_empty_equal_and_wild_maps(loss):
    import tensorflow as tf

    for prediction in (TARGET, np.zeros_like(TARGET), 50 * PREDICTION, -50 * PREDICTION):
        maps = tf.Variable(prediction)
        with tf.GradientTape() as tape:
            value = loss(tf.constant(TARGET), maps)
        assert np.isfinite(tape.gradient(value, maps).numpy()).all()
