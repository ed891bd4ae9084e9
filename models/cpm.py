"""The network: a VGG trunk and a loop of stages, each predicting one heatmap a landmark.

Convolutional Pose Machine, the heatmap branch of OpenPose (Cao et al., CVPR 2017, arXiv 1611.08050, section 2.1)
without part affinity fields. Departures from the paper:

- the trunk is 14 convolutions, then one to 128 channels (paper: the first 10 of VGG-19, then 256 and 128);
- stage 1 has no 3x3 convolutions, only two 1x1;
- a stage hands its features to the next (paper: its heatmaps), so that a second head leaves the first task's
  computation untouched. `stage_input="heatmaps"` gives the paper's way.

Every layer is named by its role: `trunk3_conv2`, `feature_map`, `stage2_conv1`, `stage2_features`, `stage2_face`.
"""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
from keras import layers, ops

from models.config import ModelConfig
from models.tensors import Tensor, replica_count
from utils.common.cli import InputError

TRUNK = ((64, 2), (128, 2), (256, 4), (512, 6))  # channels and convolutions between poolings, at width 1
# ImageNet's mean and standard deviation of a channel in 0..1, rounded: what the first convolution is centred on.
PIXEL_MEAN, PIXEL_SPREAD = 0.45, 0.25
UNIT_RANGE = "unit_range"  # the layer that makes 0..1 of pixels
ADAPTER = "adapter_"  # how the names of a task's adapters go on after the task


@keras.saving.register_keras_serializable("landmarks")
class StandardisedConv2D(layers.Conv2D):
    """A convolution whose kernel is standardised before use: zero mean and, times a learned gain, unit variance out.

    Scaled weight standardisation (Brock et al., "Characterizing signal propagation ...", ICLR 2021, arXiv 2101.08692,
    equations 6 and 7): what batch normalisation does for the signal, done to the few weights instead of the many
    activations, so it costs next to nothing and no statistic is kept. After training `folded_weights` gives the plain
    convolution that does the same.
    """

    RELU_GAIN = (2 / (1 - 1 / np.pi)) ** 0.5  # a ReLU lets this part of a unit normal's deviation through

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create kernel, bias and one gain for each output channel."""
        super().build(input_shape)
        self.gain = self.add_weight(name="gain", shape=(self.filters,), initializer="ones")

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Convolve with the standardised kernel; the statistics are float32 under any policy."""
        kernel = standardise(ops.cast(kernel, "float32")) * ops.cast(self.gain, "float32")
        return super().convolution_op(inputs, ops.cast(kernel, inputs.dtype))

    def save_own_variables(self, store: dict) -> None:
        """Kernel, bias and gain; Keras's own convolution would leave the gain out."""
        super().save_own_variables(store)
        store["2"] = self.gain

    def load_own_variables(self, store: dict) -> None:
        """What `save_own_variables` stored."""
        super().load_own_variables(store)
        self.gain.assign(store["2"])

    def folded_weights(self) -> list[np.ndarray]:
        """Kernel and bias of the plain `Conv2D` that computes the same."""
        kernel, bias, gain = self.get_weights()
        return [ops.convert_to_numpy(standardise(kernel)) * gain, bias]

    def set_folded_weights(self, kernel: np.ndarray, bias: np.ndarray) -> None:
        """Take over a plain convolution. Exact if its kernels have zero mean, as folded ones do."""
        spread = kernel.std(axis=(0, 1, 2))
        gain = spread * np.sqrt(np.prod(kernel.shape[:3])) / self.RELU_GAIN
        self.set_weights([kernel, bias, gain])


def standardise(kernel: Tensor) -> Tensor:
    """A kernel (height, width, in, out) with mean 0 and variance RELU_GAIN^2 / fan-in in each output channel."""
    fan_in = float(np.prod(kernel.shape[:3]))
    centred = kernel - ops.mean(kernel, axis=(0, 1, 2), keepdims=True)
    variance = ops.mean(ops.square(centred), axis=(0, 1, 2), keepdims=True)
    return centred * StandardisedConv2D.RELU_GAIN * ops.rsqrt(ops.maximum(variance * fan_in, 1e-8))


def head_name(stage: int, task: str) -> str:
    """Name of the layer and output with the heatmaps of a task at a stage (from 1)."""
    return f"stage{stage}_{task}"


def build_network(config: ModelConfig, with_features: bool = False) -> keras.Model:
    """The network of `config`, under the current Keras dtype policy.

    Input: (batch, height, width, 3) uint8 or float RGB in 0..255; height and width multiples of 8, any size. Output:
    a dict of float32 maps (batch, height / 8, width / 8, landmarks) named `stage1_face`, `stage1_ear`, ...; with
    `with_features` also `feature_map`, `feature_map_before_relu`, `stage1_features`, ... in the compute dtype. Linear
    heads, ReLU elsewhere.
    Raises `InputError` for a config that names no network.
    """
    try:
        config.check()
    except ValueError as problem:
        raise InputError(f"no such network: {problem}") from problem

    def channels(count: int) -> int:
        return max(1, round(count * config.width))

    made: dict[str, layers.Layer] = {}
    bias = config.norm in ("none", "weight")

    def shared(kind: type[layers.Layer], name: str, *values, **options) -> layers.Layer:
        """The layer of this name; a path with adapters goes through those of the path without."""
        if name not in made:
            made[name] = kind(*values, name=name, **options)
        return made[name]

    def convolution(x, count: int, size: int, name: str, path: str, activate: bool = True):
        """A convolution, normalised and activated. `path`: "ear_", say, of a body of its own, or "ear_adapter_"."""
        own = "" if path.endswith(ADAPTER) else path
        kind = StandardisedConv2D if config.norm == "weight" else layers.Conv2D
        # Twice the variance of Glorot's: half of it is lost in each ReLU, and 25 layers of that leave nothing.
        options = {"padding": "same", "use_bias": bias, "kernel_initializer": "he_normal"}
        y = shared(kind, own + name, count, size, **options)(x)
        if path.endswith(ADAPTER):
            beside = layers.Conv2D(count, 1, use_bias=bias, kernel_initializer="zeros", name=path + name)
            y = layers.Add(name=f"{path}{name}_sum")([y, beside(x)])
        if config.norm == "batch":
            # Of the whole batch: TensorFlow's devices would each normalise their own share.
            synchronised = {"synchronized": replica_count() > 1}
            y = shared(layers.BatchNormalization, f"{own}{name}_norm", **synchronised)(y)
        elif config.norm == "group":
            y = shared(layers.GroupNormalization, f"{own}{name}_norm", groups=_groups(count))(y)
        return layers.ReLU(name=f"{path}{name}_relu")(y) if activate else y

    outputs = {}
    image = keras.Input((None, None, 3), name="image", dtype="uint8")
    scaled = layers.Rescaling(1 / 255, name=UNIT_RANGE)(image)

    def body(tasks: dict[str, tuple[int, ...]], prefix: str) -> None:
        """One trunk with its stages and the heads of `tasks`; `prefix` begins the names of its layers, not of heads."""
        x = scaled
        for block, (count, repeats) in enumerate(TRUNK, start=1):
            if block > 1:
                x = layers.MaxPooling2D(name=f"{prefix}trunk{block}_pool")(x)
            filters = config.first_block if block == 1 and config.first_block else channels(count)
            for k in range(1, repeats + 1):
                x = convolution(x, filters, 3, f"trunk{block}_conv{k}", prefix)
        before = convolution(x, channels(128), 3, "feature_map", prefix, activate=False)
        outputs[f"{prefix}feature_map_before_relu"] = before
        feature_map = outputs[f"{prefix}feature_map"] = layers.ReLU(name=f"{prefix}feature_map_relu")(before)

        features = feature_map
        heatmaps: list[Tensor] = []
        for stage in range(1, config.stages + 1):
            before = features
            if stage == 1:
                features = convolution(feature_map, channels(512), 1, "stage1_features", prefix)
            else:
                handed = [features] if config.stage_input == "features" else heatmaps
                x = layers.Concatenate(name=f"{prefix}stage{stage}_input")([feature_map, *handed])
                for k in range(1, 6):
                    x = convolution(x, channels(128), 7, f"stage{stage}_conv{k}", prefix)
                features = convolution(x, channels(128), 1, f"stage{stage}_features", prefix)
            outputs[f"{prefix}stage{stage}_features"] = features
            heatmaps = []
            for task, landmarks in tasks.items():
                head = layers.Conv2D(
                    len(landmarks),
                    1,
                    # Small: maps start near empty, which is what most of every target is.
                    kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
                    dtype="float32",
                    name=head_name(stage, task),
                )
                outputs[head.name] = head(before if task in config.delayed_heads else features)
                heatmaps.append(outputs[head.name])

    apart = {task: f"{task}_" for task in config.separate_tasks} | {
        task: f"{task}_{ADAPTER}" for task in config.adapter_tasks
    }
    together = {task: head for task, head in config.heads.items() if task not in apart}
    if together:
        body(together, "")
    for task, prefix in apart.items():
        body({task: config.heads[task]}, prefix)

    if not with_features:
        outputs = {name: output for name, output in outputs.items() if "feature" not in name}
    network = keras.Model(image, outputs, name=f"cpm_{config.preset}")
    for layer in network.layers:
        if layer.name.endswith("trunk1_conv1"):
            _centre_pixels(layer)
    return network


def _centre_pixels(layer: layers.Conv2D) -> None:
    """Fold (x - mean) / spread into a fresh first convolution: without it every feature starts as a brightness."""
    if isinstance(layer, StandardisedConv2D):  # its kernels have zero mean, which no constant gets through
        layer.gain.assign(layer.gain / PIXEL_SPREAD)
        return
    kernel = ops.convert_to_numpy(layer.kernel)
    layer.kernel.assign(kernel / PIXEL_SPREAD)
    if layer.bias is not None:
        layer.bias.assign(-kernel.sum(axis=(0, 1, 2)) * PIXEL_MEAN / PIXEL_SPREAD)


def _groups(channels: int) -> int:
    """How many groups of channels are normalised together: at most 8, all of one size."""
    return next(count for count in range(min(8, channels), 0, -1) if channels % count == 0)


def body_tasks(config: ModelConfig) -> list[tuple[str, ...]]:
    """The tasks of each body of a network without adapters: those that share one first, then each that has its own."""
    together = tuple(task for task in config.heads if task not in config.separate_tasks)
    return [tasks for tasks in (together, *((task,) for task in config.separate_tasks)) if tasks]


def part_of_network(network: keras.Model, config: ModelConfig, tasks: tuple[str, ...]) -> keras.Model:
    """The layers that the heads of these tasks ask for, as a network of those heads; weights are shared."""
    names = [head_name(stage, task) for stage in range(1, config.stages + 1) for task in tasks]
    return keras.Model(network.input, {name: network.output[name] for name in names})


def freeze_trunk(network: keras.Model, blocks: int) -> None:
    """Keep the weights of the trunk's first `blocks` (0 to `len(TRUNK)`) while the rest learns.

    Nothing is computed backwards through them, which is where a step spends most of its time.
    """
    for layer in network.layers:
        if layer.name.startswith(frozen_layers(blocks)):
            layer.trainable = False


def frozen_layers(blocks: int) -> tuple[str, ...]:
    """How the names of the layers begin that `freeze_trunk` keeps."""
    return tuple(f"trunk{block}_" for block in range(1, blocks + 1))


def fold_network(network: keras.Model, config: ModelConfig) -> tuple[keras.Model, ModelConfig]:
    """A plain network that computes the same, without standardised kernels, in the current dtype policy.

    A network with another normalisation is copied as it is.
    """
    plain_config = replace(config, norm="none") if config.norm == "weight" else config
    plain = build_network(plain_config)
    copy_layers(network, plain, [layer.name for layer in plain.layers if layer.weights])
    for layer in plain.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.synchronized = False  # other backends, which may read the file, have no such thing
    return plain, plain_config


def fold_adapters(
    network: keras.Model, config: ModelConfig, with_features: bool = False
) -> tuple[keras.Model, ModelConfig]:
    """A network that computes the same, in which each task with adapters has a body of its own.

    `with_features` as for `build_network`. A 1x1 kernel beside a k x k one is the middle of one k x k kernel. So a crop
    costs what it costs without adapters, and memory holds the body twice. A network without adapters is returned as it
    is.
    """
    if not config.adapter_tasks:
        return network, config
    plain, plain_config = fold_network(network, config)
    apart = (*config.separate_tasks, *config.adapter_tasks)
    config = replace(plain_config, adapter_tasks=(), separate_tasks=apart)
    target = build_network(config, with_features)
    given = {layer.name: layer for layer in plain.layers if layer.weights}
    copy_layers(plain, target, [layer.name for layer in target.layers if layer.name in given])
    for task in plain_config.adapter_tasks:
        for layer in target.layers:
            name = layer.name.removeprefix(f"{task}_")
            if not layer.weights or name == layer.name or layer.name in given:
                continue
            weights = given[name].get_weights()
            beside = given.get(f"{task}_{ADAPTER}{name}")
            if beside is not None:  # a normalisation has none
                kernel, *offset = beside.get_weights()
                middle = weights[0].shape[0] // 2
                weights[0][middle, middle] += kernel[0, 0]
                weights[1:] = [old + new for old, new in zip(weights[1:], offset, strict=True)]
            layer.set_weights(weights)
    return target, config


def copy_layers(source: keras.Model, target: keras.Model, names: list[str], prefix: str = "") -> None:
    """Copy the weights of the named layers, into those of the target whose names have a `prefix` before theirs.

    Plain and standardised convolutions are turned into each other.
    """
    for name in names:
        give, take = source.get_layer(name), target.get_layer(prefix + name)
        weights = give.folded_weights() if isinstance(give, StandardisedConv2D) else give.get_weights()
        if isinstance(take, StandardisedConv2D):
            take.set_folded_weights(*weights)
        else:
            take.set_weights(weights)


def count_flop(config: ModelConfig, size: int | None = None, task: str | None = None) -> int:
    """Floating-point operations of one forward pass of one image of `size` pixels (default: the input size).

    Of every head, or of a `task`'s alone: a crop of a task that has a body or adapters of its own is read by that body,
    its adapters folded. Convolutions only, a multiply-add counted as 2; biases, ReLU and pooling are under 1 % of that.
    """
    size = config.input_size if size is None else size
    config = replace(config, separate_tasks=(*config.separate_tasks, *config.adapter_tasks), adapter_tasks=())
    network = build_network(config)
    if task is not None:
        network = part_of_network(network, config, (task,))
    total = 0
    for layer in network.layers:
        if isinstance(layer, layers.Conv2D):
            block = int(layer.name.split("trunk")[1][0]) if "trunk" in layer.name else 4
            total += 2 * int(np.prod(layer.kernel.shape)) * (size >> (block - 1)) ** 2
    return total
