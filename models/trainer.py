"""What `fit` trains and what reads points out of a network: two thin Keras models around the network itself."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from data.schemes import SCHEMES, Scheme
from models.config import ModelConfig
from models.cpm import head_name
from models.heatmaps import annotated_region, decode_heatmaps, draw_heatmaps
from models.losses import STAGE_LOSSES, attention_map
from models.metrics import nme, normaliser_length
from models.tensors import Tensor, device_count, on_all_hosts, replica_count, shared_batch


def stages_loss(
    target: dict[str, Tensor], outputs: dict[str, Tensor], task: str, config: ModelConfig, stage_loss: Callable
) -> Tensor:
    """The loss of every stage of one task, summed over stages (Cao et al., CVPR 2017, equation 5): a scalar.

    `target` is the task's entry of a batch: `points` (batch, instances, landmarks, 2) in pixels of the network's input,
    `annotated` and `present` (batch, instances, landmarks), of the whole scheme. The heatmaps of the landmarks that the
    network knows are drawn here, once for all stages.

    A landmark weighs what the first instance's `annotated` says. Where the scheme has `annotated_sides`, cells near the
    first instance's points are known, and all cells where every landmark of the other instances is annotated; what is
    not known weighs 0 (W(p) of equation 3).
    """
    # Maps of an old teacher are read with an offset: teach the same.
    points, annotated, present = target["points"] - config.decode_offset, target["annotated"], target["present"]
    scheme, heads = SCHEMES[task], ops.array(config.heads[task])
    maps = [outputs[head_name(stage, task)] for stage in range(1, config.stages + 1)]
    height, width = ops.shape(maps[0])[1:3]
    drawn = draw_heatmaps(
        ops.take(points, heads, axis=2), ops.take(present, heads, axis=2), height, width, config.sigma
    )
    weight = ops.cast(ops.take(annotated[:, 0], heads, axis=1), "float32")[:, None, None, :]
    if scheme.annotated_sides is not None:
        near = annotated_region(points[:, 0], present[:, 0], height, width, scheme.annotated_sides)
        everywhere = ops.cast(ops.all(annotated[:, 1:], axis=(1, 2)), "float32")[:, None, None, None]
        weight = weight * ops.maximum(near, everywhere)
    return sum(stage_loss(drawn, heatmaps, weight) for heatmaps in maps)


class SharedTrainer(keras.Model):
    """What `fit` trains, on one device or on several that share each batch. Subclasses make all variables at once."""

    def _maybe_symbolic_build(self, *_: object, **__: object) -> None:
        """Under a strategy of TensorFlow's, Keras reads a batch to build what is there already: it would be lost."""
        self.optimizer.build(self.trainable_variables)


class StageTrainer(SharedTrainer):
    """Trains a network's heatmaps of one task.

    Its batches are images (batch, size, size, 3) uint8 and a dict: task -> `points`, `annotated` and `present` as
    `stages_loss` takes them. Besides the loss it tracks `nme`, the last stage's error on the training crops that show
    any point (a fraction of the scheme's normaliser). Compile it with an optimiser only: the loss is fixed here.
    """

    def __init__(self, network: keras.Model, config: ModelConfig, scheme: Scheme, stage_loss: str = "combined"):
        super().__init__(name=f"{scheme.task}_trainer")
        self.network, self.config, self.scheme = network, config, scheme
        self.stage_loss = STAGE_LOSSES[stage_loss]
        self.nme_tracker = keras.metrics.Mean(name="nme")
        self.built = True  # the network is, and nothing else is to be made: a checkpoint can be loaded at once

    def call(self, images: Tensor, training: bool | None = None) -> dict[str, Tensor]:
        """The network's outputs: a dict of heatmaps (batch, height, width, landmarks) by head name."""
        return self.network(images, training=training)

    def compute_loss(
        self,
        x: Tensor,
        y: dict[str, dict[str, Tensor]],
        y_pred: dict[str, Tensor],
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        """Sum of the stage losses, a scalar."""
        loss = stages_loss(y[self.scheme.task], y_pred, self.scheme.task, self.config, self.stage_loss)
        return loss / replica_count()  # TensorFlow adds up the losses of the devices that share a batch

    def compute_metrics(
        self,
        x: Tensor,
        y: dict[str, dict[str, Tensor]],
        y_pred: dict[str, Tensor],
        sample_weight: Tensor = None,
    ) -> dict[str, Tensor]:
        """The running means of the epoch: loss and nme."""
        track_nme(self.nme_tracker, y[self.scheme.task], y_pred, self.config, self.scheme, ops.shape(x)[1])
        return self.get_metrics_result()


def track_nme(
    tracker: keras.metrics.Mean,
    target: dict[str, Tensor],
    outputs: dict[str, Tensor],
    config: ModelConfig,
    scheme: Scheme,
    size: int | Tensor,
) -> None:
    """Add the NME of a batch to a running mean: of the first instances, in the crops that `shows_points` counts.

    A crop counts if the points that errors are divided by are present. Its mean is of those points that are present.

    `target` as `stages_loss` takes it, in pixels of crops of `size` pixels; `outputs` the heatmaps by head name.
    """
    points, present = target["points"][:, 0], target["present"][:, 0]
    heads = ops.array(config.heads[scheme.task])
    truth = ops.take(points, heads, axis=1)
    predicted, _ = decode_heatmaps(outputs[head_name(config.stages, scheme.task)], offset=config.decode_offset)
    known = ops.take(present, heads, axis=1)
    measured = present if isinstance(scheme.normaliser, str) else ops.take(present, list(scheme.normaliser), axis=1)
    counted = ops.logical_and(shows_points(truth, measured, size), ops.any(known, axis=1))
    errors = nme(truth, predicted, normaliser_length(points, scheme), known)
    tracker.update_state(ops.where(counted, errors, 0.0), ops.cast(counted, "float32"))  # the others' may be 0 / 0


def shows_points(points: Tensor, present: Tensor, size: int | Tensor) -> Tensor:
    """Which crops of `size` pixels show any of their `points` (batch, landmarks, 2): bool (batch,).

    An instance of which a landmark of `present` (batch, landmarks) is not there has no NME, and does not count.
    """
    inside = ops.logical_and(points >= -0.5, points <= ops.cast(size, "float32") - 0.5)
    return ops.logical_and(ops.any(ops.all(inside, axis=-1), axis=-1), ops.all(present, axis=-1))


class LandmarkReader(keras.Model):
    """Images in, points out: the last stage's heatmaps, decoded on the device.

    A call, or `predict_on_batch`, takes (batch, height, width, 3) uint8 and returns a dict: `face_points` (batch,
    landmarks, 2) in input pixels and `face_confidence` (batch, landmarks), the heights of the peaks. The same goes for
    every other task of `tasks` (default: all that the network has). `with_maps` adds `face_heat`, the highest heatmap
    at each cell, and `attention`, where `feature_map` looks (its largest 1), each (batch, height / 8, width / 8).
    """

    def __init__(
        self,
        network: keras.Model,
        config: ModelConfig,
        tasks: tuple[str, ...] | None = None,
        with_maps: bool = False,
    ):
        super().__init__(name="landmark_reader")
        self.network, self.config, self.with_maps = network, config, with_maps
        self.tasks = tuple(config.heads) if tasks is None else tasks

    def predict_on_batch(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Points, confidences and maps of a batch of any size, on however many devices share batches.

        Several hosts all ask about the same batch, each looks at its rows, and all get the whole answer.
        """
        filled = np.concatenate([x, np.repeat(x[-1:], -len(x) % device_count(), axis=0)])
        answer = super().predict_on_batch(shared_batch(filled))
        # Each of TensorFlow's devices answers all images, one after the other.
        return {name: value[: len(x)] for name, value in answer.items()}

    def call(self, images: Tensor, training: bool | None = None) -> dict[str, Tensor]:
        """Points, confidences and maps of a batch."""
        outputs = self.network(images, training=False)
        heatmaps = self._last_stage(outputs)
        answer = self.decode(heatmaps)
        if self.with_maps:
            answer |= {f"{task}_heat": ops.max(maps, axis=-1) for task, maps in heatmaps.items()}
            energy = attention_map(outputs["feature_map"])[..., 0]
            answer["attention"] = energy / (ops.max(energy, axis=(1, 2), keepdims=True) + 1e-12)
        return {name: on_all_hosts(value) for name, value in answer.items()}

    def heatmaps(self, images: Tensor) -> dict[str, Tensor]:
        """The first half of a call: the last stage's heatmaps (batch, height / 8, width / 8, landmarks) by task."""
        return self._last_stage(self.network(images, training=False))

    def decode(self, heatmaps: dict[str, Tensor]) -> dict[str, Tensor]:
        """The second half: points and confidences out of such heatmaps."""
        answer: dict[str, Tensor] = {}
        for task, maps in heatmaps.items():
            points, confidence = decode_heatmaps(maps, offset=self.config.decode_offset)
            answer |= {f"{task}_points": points, f"{task}_confidence": confidence}
        return answer

    def _last_stage(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {task: outputs[head_name(self.config.stages, task)] for task in self.tasks}
