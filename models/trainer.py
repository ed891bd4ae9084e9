"""What `fit` trains and what reads points out of a network: two thin Keras models around the network itself."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops

from data.schemes import SCHEMES, Scheme
from models.config import ModelConfig
from models.cpm import head_name
from models.heatmaps import annotated, annotated_region, decode_heatmaps, draw_heatmaps
from models.losses import STAGE_LOSSES, attention_map
from models.tensors import Tensor
from utils.evaluation.metrics import nme, normaliser_length


def stages_loss(
    points: Tensor, outputs: dict[str, Tensor], task: str, config: ModelConfig, stage_loss: Callable
) -> Tensor:
    """The loss of every stage of one task, summed over stages (Cao et al., CVPR 2017, equation 5): a scalar.

    `points` (batch, count, 2) are the scheme's points in input pixels, NaN where not annotated; the targets of the
    task's landmarks are drawn here, once for all stages. Where the scheme says that only the neighbourhood of the
    points is known, the rest of the map weighs 0 (W(p) of equation 3). `points` (batch, 2 count, 2) hold a second ear:
    if its place is known, or that there is none, all of the map is known, and the target is the maximum of the two
    (equation 7); NaN if nobody looked.
    """
    points = points - config.decode_offset  # maps of an old teacher are read with an offset: teach the same
    scheme, heads = SCHEMES[task], ops.array(config.heads[task])
    points, second = points[:, : scheme.count], points[:, scheme.count :]
    chosen = ops.take(points, heads, axis=1)
    maps = [outputs[head_name(stage, task)] for stage in range(1, config.stages + 1)]
    height, width = ops.shape(maps[0])[1:3]
    target = draw_heatmaps(chosen, height, width, config.sigma)
    weight = annotated(chosen)
    if scheme.annotated_sides is not None:
        known = annotated_region(points, height, width, scheme.annotated_sides)
        if second.shape[1]:
            target = ops.maximum(target, draw_heatmaps(ops.take(second, heads, axis=1), height, width, config.sigma))
            looked = ops.cast(ops.all(ops.isfinite(second), axis=(1, 2)), "float32")
            known = ops.maximum(known, looked[:, None, None, None])
        weight = weight * known
    return sum(stage_loss(target, heatmaps, weight) for heatmaps in maps)


class StageTrainer(keras.Model):
    """Trains a network's heatmaps of one task on batches of images and points.

    Images (batch, size, size, 3) uint8, points as `stages_loss` takes them. Besides the loss it tracks `nme`, the last
    stage's error on the training views that show any point (a fraction of the scheme's normaliser). Compile it with
    an optimiser only: the loss is fixed here.
    """

    def __init__(self, network: keras.Model, config: ModelConfig, scheme: Scheme, stage_loss: str = "combined"):
        super().__init__(name=f"{scheme.task}_trainer")
        self.network, self.config, self.scheme = network, config, scheme
        self.stage_loss = STAGE_LOSSES[stage_loss]
        self.nme_tracker = keras.metrics.Mean(name="nme")
        self.built = True  # the network is, and nothing else is to be made: a checkpoint can be loaded at once

    def input_size(self, pipeline_size: int) -> int:
        """Pixels a side that the network sees of images of `pipeline_size`: all of them."""
        return pipeline_size

    def call(self, images: Tensor, training: bool | None = None) -> dict[str, Tensor]:
        """The network's outputs: a dict of heatmaps (batch, height, width, landmarks) by head name."""
        return self.network(images, training=training)

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: dict[str, Tensor] | None = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        """Sum of the stage losses, a scalar; `y` are points."""
        return stages_loss(y, y_pred, self.scheme.task, self.config, self.stage_loss)

    def compute_metrics(
        self, x: Tensor, y: Tensor, y_pred: dict[str, Tensor], sample_weight: Tensor = None
    ) -> dict[str, Tensor]:
        """The running means of the epoch: loss and nme."""
        track_nme(self.nme_tracker, y[:, : self.scheme.count], y_pred, self.config, self.scheme, ops.shape(x)[1])
        return self.get_metrics_result()


def track_nme(
    tracker: keras.metrics.Mean,
    points: Tensor,
    outputs: dict[str, Tensor],
    config: ModelConfig,
    scheme: Scheme,
    size: int | Tensor,
) -> None:
    """Add the NME of a batch to a running mean: of the views of `size` pixels that show any of their points.

    `points` (batch, scheme's count, 2) in pixels of the view, `outputs` the heads' heatmaps by name.
    """
    predicted, _ = decode_heatmaps(outputs[head_name(config.stages, scheme.task)], offset=config.decode_offset)
    truth = ops.take(points, ops.array(config.heads[scheme.task]), axis=1)
    errors, counted = nme(truth, predicted, normaliser_length(points, scheme)), in_view(truth, size)
    # The others may have no error at all: points that are not known, or all in one far place.
    tracker.update_state(ops.where(counted > 0, errors, 0.0), counted)


def in_view(points: Tensor, size: int | Tensor) -> Tensor:
    """Which views (batch,) of `size` pixels show any of their points (batch, landmarks, 2): 1 or 0, float32."""
    inside = ops.logical_and(points >= -0.5, points <= ops.cast(size, "float32") - 0.5)
    return ops.cast(ops.any(ops.all(inside, axis=-1), axis=-1), "float32")


class LandmarkReader(keras.Model):
    """Images in, points out: the last stage's heatmaps of one task, decoded on the device.

    `predict_on_batch(images)` with (batch, height, width, 3) uint8 returns a dict of `points` (batch, landmarks, 2) in
    input pixels and `confidence` (batch, landmarks), the heights of the peaks.
    """

    def __init__(self, network: keras.Model, config: ModelConfig, task: str):
        super().__init__(name=f"{task}_reader")
        self.network, self.config, self.task = network, config, task

    def call(self, images: Tensor, training: bool | None = None) -> dict[str, Tensor]:
        """Points and confidences of a batch."""
        outputs = self.network(images, training=False)
        heatmaps = outputs[head_name(self.config.stages, self.task)]
        points, confidence = decode_heatmaps(heatmaps, offset=self.config.decode_offset)
        return {"points": points, "confidence": confidence}


class HeadsReader(keras.Model):
    """Images in, points of every task out: the last stage's heatmaps of all heads, decoded on the device.

    A batch (batch, height, width, 3) uint8 gives a dict: `face_points` (batch, landmarks, 2) in input pixels and
    `face_confidence` (batch, landmarks), the heights of the peaks; likewise for the ear. `with_maps` adds `face_heat`,
    the highest heatmap at each cell, and `attention`, where `feature_map` looks (its largest 1), each (batch,
    height / 8, width / 8).
    """

    def __init__(self, network: keras.Model, config: ModelConfig, with_maps: bool = False):
        super().__init__(name="heads_reader")
        self.network, self.config, self.with_maps = network, config, with_maps

    def call(self, images: Tensor, training: bool | None = None) -> dict[str, Tensor]:
        """Points, confidences and maps of a batch."""
        outputs = self.network(images, training=False)
        heatmaps = self._last(outputs)
        answer = self.decode(heatmaps)
        if self.with_maps:
            answer |= {f"{task}_heat": ops.max(maps, axis=-1) for task, maps in heatmaps.items()}
            energy = attention_map(outputs["feature_map"])[..., 0]
            answer["attention"] = energy / (ops.max(energy, axis=(1, 2), keepdims=True) + 1e-12)
        return answer

    def heatmaps(self, images: Tensor) -> dict[str, Tensor]:
        """The first half of a call: the last stage's heatmaps (batch, height / 8, width / 8, landmarks) by task."""
        return self._last(self.network(images, training=False))

    def decode(self, heatmaps: dict[str, Tensor]) -> dict[str, Tensor]:
        """The second half: points and confidences out of such heatmaps."""
        answer = {}
        for task, maps in heatmaps.items():
            points, confidence = decode_heatmaps(maps, offset=self.config.decode_offset)
            answer |= {f"{task}_points": points, f"{task}_confidence": confidence}
        return answer

    def _last(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {task: outputs[head_name(self.config.stages, task)] for task in self.config.heads}
