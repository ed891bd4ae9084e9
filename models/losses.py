"""Losses of one stage's heatmaps. Each takes tensors and returns a scalar.

Shapes: target and prediction (batch, height, width, landmarks), target peak 1; weight broadcasts to them and is 0
where nothing is annotated (W(p) of Cao et al., CVPR 2017, equation 3).
"""

from __future__ import annotations

from collections.abc import Callable

from keras import ops

from models.tensors import Tensor, resized

# A heatmap peaks at 1. Divided by this it becomes a logit, so that the spatial softmax of a target is about one
# cell wide; undivided, the softmax of a 0..1 map is almost uniform and teaches nothing.
SOFTMAX_SCALE = 0.1
ABSENT = 0.2  # a target whose highest cell is lower shows no landmark: it lies outside the map, or nowhere


def squared_error(target: Tensor, prediction: Tensor, weight: Tensor = 1.0) -> Tensor:
    """Mean over batch, map and landmarks of weight * (prediction - target)^2.

    Equation 3 of Cao et al. with the mean in place of the sum, so that the number does not depend on the map's size.
    """
    return ops.mean(weight * ops.square(prediction - target))


def peak_weighted_error(target: Tensor, prediction: Tensor, weight: Tensor = 1.0, peak_weight: float = 30.0) -> Tensor:
    """Squared error weighted by 1 + peak_weight * target.

    A landmark fills about 4 cells of some 1,000: under the plain mean an empty map is nearly right and learning hardly
    starts. The background keeps weight 1, so false peaks anywhere still cost.

    Where a landmark is absent, the prediction (0 to 1) takes the target's place in the weight. Else a false peak would
    cost a thirtieth of a missed one, and in doubt the network would draw it.
    """
    absent = ops.max(target, axis=(1, 2), keepdims=True) < ABSENT
    peaks = ops.where(absent, ops.stop_gradient(ops.clip(prediction, 0.0, 1.0)), target)
    # A teacher's maps, as targets, may be below 0; a weight may not.
    return squared_error(target, prediction, weight * (1.0 + peak_weight * ops.maximum(peaks, 0.0)))


def adaptive_wing(
    target: Tensor,
    prediction: Tensor,
    weight: Tensor = 1.0,
    alpha: float = 2.1,
    omega: float = 14.0,
    epsilon: float = 1.0,
    theta: float = 0.5,
    peak_weight: float = 10.0,
) -> Tensor:
    """Adaptive wing loss with weighted map, Wang et al. (ICCV 2019), equations 3 to 5 and 7, mean over cells.

    omega ln(1 + |d / epsilon|^(alpha - target)) for |d| < theta, linear with the same slope beyond. Cells above 0.2 of
    the target weigh 1 + peak_weight (the paper dilates the target map first).
    """
    distance = ops.abs(prediction - target)
    power = alpha - target
    bend = ops.power(theta / epsilon, power)
    slope = omega * power * ops.power(theta / epsilon, power - 1.0) / epsilon / (1.0 + bend)
    # The power of 0 has no finite gradient for an exponent below 1: keep a hair away from it.
    near = omega * ops.log1p(ops.power(ops.maximum(distance, 1e-6) / epsilon, power))
    far = slope * distance - (theta * slope - omega * ops.log1p(bend))
    cell_weight = 1.0 + peak_weight * ops.cast(target > 0.2, target.dtype)
    return ops.mean(weight * cell_weight * ops.where(distance < theta, near, far))


def spatial_cross_entropy(target: Tensor, prediction: Tensor, weight: Tensor = 1.0) -> Tensor:
    """Kullback-Leibler divergence between the spatial softmaxes of target and prediction, mean over maps, in nats.

    Both maps are divided by `SOFTMAX_SCALE` and made a distribution over cells, landmark by landmark. 0 where the
    maps agree up to a constant. Unlike a squared error it pulls the right cell up and every other cell down from the
    first step, however empty the map. A landmark whose target is empty (outside the input) has no place to point to
    and weighs 0. Cells of weight 0 are left out of both distributions; a map weighs as much as its heaviest cell.
    """
    weight = weight * ops.ones_like(target)
    logits, answer = (maps / SOFTMAX_SCALE + ops.where(weight > 0, 0.0, -1e4) for maps in (target, prediction))
    shape = ops.shape(target)
    logits, answer = (ops.reshape(maps, (-1, shape[1] * shape[2], shape[3])) for maps in (logits, answer))
    wanted = ops.softmax(logits, axis=1)
    divergence = ops.sum(wanted * (ops.log_softmax(logits, axis=1) - ops.log_softmax(answer, axis=1)), axis=1)
    inside = ops.cast(ops.max(target, axis=(1, 2)) >= ABSENT, divergence.dtype)
    return ops.mean(ops.max(weight, axis=(1, 2)) * inside * divergence)


def combined(target: Tensor, prediction: Tensor, weight: Tensor = 1.0) -> Tensor:
    """`peak_weighted_error` + 0.16 `spatial_cross_entropy`: the second finds the place, the first sets the heights."""
    return peak_weighted_error(target, prediction, weight) + 0.16 * spatial_cross_entropy(target, prediction, weight)


STAGE_LOSSES = {
    "combined": combined,
    "weighted": peak_weighted_error,
    "squared": squared_error,
    "awing": adaptive_wing,
}


# --- teaching: from one network to another ----------------------------------------------------------------------------


def distillation(
    student: list[Tensor],
    teacher: Tensor,
    temperature: float | None = None,
    stage_loss: Callable[[Tensor, Tensor], Tensor] = squared_error,
) -> Tensor:
    """How far the student's heatmaps (batch, height, width, landmarks) of every stage are from the teacher's last.

    Without `temperature`: the `stage_loss` with the teacher's heatmaps as targets, summed over stages. With one: maps /
    `SOFTMAX_SCALE` are logits over the cells of each landmark, and the term is T^2 times the cross-entropy between the
    softmaxes at temperature T, the mean over landmarks (Hinton et al., arXiv 1503.02531, section 2; the softmax over
    cells instead of classes is our adaptation).
    """
    if temperature is None:
        return sum(stage_loss(teacher, heatmaps) for heatmaps in student)

    def logits(heatmaps):
        shape = ops.shape(heatmaps)
        return ops.reshape(heatmaps, (-1, shape[1] * shape[2], shape[3])) / (SOFTMAX_SCALE * temperature)

    taught = ops.softmax(logits(teacher), axis=1)
    return temperature**2 * sum(
        -ops.mean(ops.sum(taught * ops.log_softmax(logits(heatmaps), axis=1), axis=1)) for heatmaps in student
    )


def attention_map(features: Tensor) -> Tensor:
    """Where a layer looks: sum over channels of the squares of (batch, height, width, channels); one float32 channel.

    F_sum^2 of Zagoruyko and Komodakis, arXiv 1612.03928, section 3.1.
    """
    return ops.sum(ops.square(ops.cast(features, "float32")), axis=-1, keepdims=True)


def attention_vector(features: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """Where a layer looks: (batch, cells) float32 of length 1, from features (batch, height, width, channels).

    Q = `attention_map`, resized to `size` (height, width) if given, and flattened;
    q = Q / sqrt(sum Q^2 + 1e-12): each image by itself, finite for empty features (Zagoruyko and Komodakis, arXiv
    1612.03928, section 3.1, F_sum^2).
    """
    energy = attention_map(features)
    if size is not None:
        energy = resized(energy, *size)
    flat = ops.reshape(energy, (-1, energy.shape[1] * energy.shape[2]))
    return flat / ops.sqrt(ops.sum(ops.square(flat), axis=1, keepdims=True) + 1e-12)


def attention_transfer(student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """Sum over pairs of layers of the batch mean of |q_student - q_teacher|^2, q as `attention_vector` gives it.

    Departs from equation 2 of Zagoruyko and Komodakis, whose norm is not squared. Without the square there is no
    gradient where the two are equal, which is where a student starts that is a copy of its teacher. Teacher maps of
    another size are resized to the student's before they are normalised.
    """
    total = 0.0
    for one, other in zip(student, teacher, strict=True):
        apart = attention_vector(one) - attention_vector(other, one.shape[1:3])
        total = total + ops.mean(ops.sum(ops.square(apart), axis=1))
    return total


def activation_boundary(student: Tensor, teacher: Tensor, margin: float = 1.0) -> Tensor:
    """Whether the same units fire: features before their ReLU, (batch, height, width, channels).

    Mean of max(0, margin - s)^2 where the teacher's unit is active and of max(0, margin + s)^2 where it is not (Heo et
    al., arXiv 1811.03233, equation 5). Both must have the same number of channels.
    """
    student, teacher = ops.cast(student, "float32"), ops.cast(teacher, "float32")
    teacher = resized(teacher, *student.shape[1:3])
    active = ops.cast(teacher > 0, "float32")
    wrong = active * ops.relu(margin - student) + (1 - active) * ops.relu(margin + student)
    return ops.mean(ops.square(wrong))
