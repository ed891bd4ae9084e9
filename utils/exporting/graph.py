"""Weights as one TensorFlow function without variables: images in, points or heatmaps out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from data.schemes import SCHEMES
from models.config import ModelConfig
from models.cpm import UNIT_RANGE, fold_adapters, head_name
from models.description import describe
from models.heatmaps import decode_heatmaps
from models.weights import LoadedModel
from utils.exporting.formats import FULL, HEATMAPS, INPUT, POINTS, Job


def export_job(
    loaded: LoadedModel,
    size: int,
    record: dict,
    *,
    outputs: str = POINTS,
    precision: str = FULL,
    terms: str | None = None,
    crops: np.ndarray | None = None,
) -> Job:
    """What a `Format` writes of weights, with all that the file says of itself.

    `size`: pixels a side of the crops that it is for; `record`: of its training; `crops` as `Job` has them.
    """
    function, config = export_function(loaded, outputs)
    content = describe(replace(config, input_size=size), record)
    content["schemes"] = {task: SCHEMES[task].to_json() for task in config.heads}
    content["export"] = {"outputs": outputs, "precision": precision, "terms": terms}
    none = np.empty((0, size, size, 3), np.uint8)
    return Job(function, json.dumps(content), precision, none if crops is None else crops)


def export_function(
    loaded: LoadedModel, outputs: str = POINTS
) -> tuple[tf.types.experimental.GenericFunction, ModelConfig]:
    """A function of `images` (batch, height, width, 3) uint8 RGB, any multiple of 8 high and wide.

    It returns a dict. For "points" it has for each task (batch, landmarks, 3) float32: x and y in pixels of the images,
    and the confidence, the height of the peak. For "heatmaps" it has the last stage's maps of each task (batch, height
    / 8, width / 8, landmarks). A network with adapters is folded, as the config says that comes
    with it.
    """
    network, config = fold_adapters(loaded.network, loaded.config)
    signature = [tf.TensorSpec((None, None, None, 3), tf.uint8, name=INPUT)]
    traced = tf.function(answer_of(network, config, outputs), input_signature=signature).get_concrete_function()
    frozen, names = convert_variables_to_constants_v2(traced), sorted(traced.structured_outputs)

    @tf.function(input_signature=signature)
    def answer(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(names, frozen(images), strict=True))

    return answer, config


def answer_of(network: keras.Model, config: ModelConfig, outputs: str) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """What `export_function` computes, before its weights are constants."""

    last = {task: network.output[head_name(config.stages, task)] for task in config.heads}
    body = keras.Model(network.get_layer(UNIT_RANGE).output, last)

    def answer(images: tf.Tensor) -> dict[str, tf.Tensor]:
        # The limit changes nothing. It keeps converters from folding 1 / 255 into the first kernel, whose numbers then
        # are too small for float16.
        maps = body(tf.minimum(tf.cast(images, tf.float32) / 255, 1), training=False)
        if outputs == HEATMAPS:
            return maps
        # Keras's argmax tells -0.0 from 0.0 by an operation that no converter knows. Heatmaps need not.
        decoded = {
            task: decode_heatmaps(each, offset=config.decode_offset, argmax=tf.argmax) for task, each in maps.items()
        }
        return {task: tf.concat([points, height[..., None]], -1) for task, (points, height) in decoded.items()}

    return answer
