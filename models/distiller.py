"""Teaching a trained face network ears, or another task: what `fit` trains in `train_face2ear.py`.

The student has a face head and an ear head at every stage, each on its own stage's features. The teacher is the frozen
face network. It says where the face is in ear images whose faces nobody annotated, so that the student does not forget.
A third task is taught in the same way: the teacher knows faces and ears, and says where both are.
That is Li and Hoiem's "learning without forgetting", with the distillation of Hinton et al. and the attention transfer
of Zagoruyko and Komodakis.
"""

from __future__ import annotations

from collections.abc import Iterable

import keras
from keras import ops

from data.schemes import EAR, FACE, Scheme
from models.config import ModelConfig
from models.cpm import ADAPTER, head_name
from models.heatmaps import rescale_points
from models.losses import STAGE_LOSSES, activation_boundary, attention_transfer, distillation
from models.starting_point import StartingPoint
from models.strategies import STARTING_TERMS, STRATEGIES, TEACHER_TERMS, kept_tasks
from models.tensors import Tensor, replica_count, resized, whole_batch_mean
from models.trainer import SharedTrainer, stages_loss, track_nme
from models.weights import LoadedModel
from utils.common.cli import InputError

TERMS = (
    "face",
    "distillation",
    "attention",
    "boundary",
    "ewc",
    "l2-sp",
)  # beside that of what is learned, named as its task


def choose_trainable(
    network: keras.Model,
    config: ModelConfig,
    strategy: str,
    terms: Iterable[str],
    starts_as_teacher: bool = True,
    scheme: Scheme = EAR,
) -> None:
    """Freeze what a strategy leaves as it is while it learns `scheme`, and heads that none of the loss `terms` reaches.

    Batch normalisation keeps the face network's statistics and scale in every student that starts as the face network
    (`starts_as_teacher`): ear images alone would replace them and change the face's answers without any loss saying so.
    """
    plan, stages = STRATEGIES[strategy], range(1, config.stages + 1)
    new_heads = {head_name(stage, scheme.task) for stage in stages}
    reached = set(config.heads) if "distillation" in terms else {scheme.task, *terms}
    left = {head_name(stage, task) for task in config.heads if task not in reached for stage in stages}
    for layer in network.layers:
        if plan.trains == "heads":
            layer.trainable = layer.name in new_heads
        elif plan.trains == "adapters":
            layer.trainable = layer.name in new_heads or layer.name.startswith(f"{scheme.task}_{ADAPTER}")
        elif plan.trains == "body":
            layer.trainable = layer.name in new_heads or layer.name.startswith(f"{scheme.task}_")
        elif starts_as_teacher:
            layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
        if layer.name in left:
            layer.trainable = False


class Distiller(SharedTrainer):
    """Trains a student on batches of images with targets of the task of `scheme`, which it learns, and of the face.

    Images (batch, size, size, 3) uint8; targets a dict of "ear" and "face", each with `points`, `annotated` and
    `present` as `stages_loss` takes them, in pixels of the images. `weights` names the terms that are used (of `TERMS`,
    and the task's) and what each is multiplied by; a term that is not named, or weighs 0, is not computed. Every term
    is tracked under its name, unweighted. Distilled is what the teacher knows of the tasks `taught` (default: all but
    that of `scheme`), each with the same weight.

    `network` and the network of `teacher` are built `with_features`. Each sees the image at its own input size (the
    teacher at `teacher_size`, if given): images come at the larger one (`pipeline_size`), and the other network gets
    them shrunk. `attention_layers` are roles: "feature_map", "stage1_features" ...; the student's stage i is paired
    with the teacher's stage round(i x teacher stages / student stages). The terms "ewc" and "l2-sp" ask for `start`. In
    training the teacher is asked about the images of a batch (of a device's share) from `taught_from` on alone: where
    faces are replayed they come last, and what it says of images of ears would hold back the ears.
    """

    def __init__(
        self,
        network: keras.Model,
        config: ModelConfig,
        weights: dict[str, float],
        teacher: LoadedModel | None = None,
        stage_loss: str = "combined",
        temperature: float | None = None,
        attention_layers: tuple[str, ...] | None = None,
        teacher_size: int | None = None,
        scheme: Scheme = EAR,
        start: StartingPoint | None = None,
        taught_from: int = 0,
        taught: tuple[str, ...] | None = None,
    ):
        super().__init__(name="distiller")
        known = (scheme.task, *TERMS)
        unknown = set(weights) - set(known)
        if unknown:
            raise InputError(f"no loss term {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        self.network, self.config, self.scheme = network, config, scheme
        self.taught = kept_tasks(config, scheme) if taught is None else taught
        self.term_weights = {name: weight for name, weight in weights.items() if weight}
        self.stage_loss = STAGE_LOSSES[stage_loss]
        self.temperature = temperature
        self.needs_teacher = bool(TEACHER_TERMS & set(self.term_weights))
        self.teacher_size = teacher_size or (teacher.config.input_size if teacher else 0)
        # Neither is something that Keras tracks: checkpoints hold the student alone.
        self.teacher, self.start, self.taught_from = teacher, start, taught_from
        if STARTING_TERMS & set(self.term_weights) and start is None:
            raise InputError("ewc and l2-sp terms need the weights that the student starts from")
        if self.needs_teacher:
            if teacher is None:
                raise InputError("distillation, attention and boundary terms need a teacher")
            teacher.network.trainable = False
            for task in self.taught:
                if teacher.config.heads[task] != config.heads[task]:
                    raise InputError(f"teacher and student have other {task} landmarks: there is nothing to hand on")
        own = [f"stage{stage}_features" for stage in range(1, config.stages + 1)]
        self.attention_layers = tuple(attention_layers or ("feature_map", *own))
        for name in self.attention_layers:
            if name not in ("feature_map", *own):
                raise InputError(f"--attention-layers: no {name}; there are feature_map, {', '.join(own)}")
        if teacher is not None and "boundary" in self.term_weights:
            channels = [model.get_layer("feature_map_relu").output.shape[-1] for model in (network, teacher.network)]
            if channels[0] != channels[1]:
                raise InputError("--boundary-weight: teacher and student must have equally many channels (same preset)")
        self.term_trackers = {name: keras.metrics.Mean(name=name) for name in self.term_weights}
        self.nme_tracker = keras.metrics.Mean(name="nme")
        self.built = True

    def pipeline_size(self) -> int:
        """Pixels a side that the input pipeline should give: the larger of student's and teacher's."""
        theirs = self.teacher_size if self.needs_teacher else 0
        return max(self.config.input_size, theirs)

    def call(self, images: Tensor, training: bool | None = None) -> dict[str, Tensor]:
        """The student's outputs at its own input size."""
        size = self.config.input_size
        return self.network(resized(images, size, size), training=training)

    def teach(self, images: Tensor) -> dict[str, Tensor]:
        """The teacher's outputs at its own input size, without a gradient. Raises ValueError without a teacher."""
        if self.teacher is None:
            raise ValueError("this student has no teacher")
        outputs = self.teacher.network(resized(images, self.teacher_size, self.teacher_size), training=False)
        return {name: ops.stop_gradient(output) for name, output in outputs.items()}

    def loss_terms(
        self,
        images: Tensor,
        targets: dict[str, dict[str, Tensor]],
        outputs: dict[str, Tensor],
        taught_from: int = 0,
    ) -> dict[str, Tensor]:
        """Each term that has a weight, unweighted: name -> scalar. Those of the teacher are of images[taught_from:]."""
        config = self.config
        terms: dict[str, Tensor] = {}
        for task in (self.scheme.task, FACE.task):
            if task in self.term_weights:
                target = self._at_input_size(targets[task], images)
                # The mean runs over the whole batch: images without this task's points must not dilute it.
                known = ops.any(target["annotated"], axis=(1, 2))
                fraction = ops.maximum(whole_batch_mean(ops.mean(ops.cast(known, "float32"))), 1e-3)
                terms[task] = stages_loss(target, outputs, task, config, self.stage_loss) / fraction
        if self.start is not None:
            penalty = self.start.penalty()
            terms |= dict.fromkeys(sorted(STARTING_TERMS & set(self.term_weights)), penalty)
        if self.teacher is None or not self.needs_teacher:
            return terms
        images = images[taught_from:]
        outputs = {name: output[taught_from:] for name, output in outputs.items()}
        targets = {
            task: {name: array[taught_from:] for name, array in target.items()} for task, target in targets.items()
        }
        taught = self.teach(images)
        if "distillation" in self.term_weights:
            terms["distillation"] = sum(self._distilled(task, targets, outputs, taught) for task in self.taught)
        if "attention" in self.term_weights:
            stages = self.teacher.config.stages
            pairs = [(outputs[name], taught[self._role_at_teacher(name, stages)]) for name in self.attention_layers]
            terms["attention"] = attention_transfer(*map(list, zip(*pairs, strict=True)))
        if "boundary" in self.term_weights:
            terms["boundary"] = activation_boundary(
                outputs["feature_map_before_relu"], taught["feature_map_before_relu"]
            )
        return terms

    def _distilled(
        self,
        task: str,
        targets: dict[str, dict[str, Tensor]],
        outputs: dict[str, Tensor],
        taught: dict[str, Tensor],
    ) -> Tensor:
        """The distillation of one task: of the teacher's last stage into every stage."""
        assert self.teacher is not None
        maps = [outputs[head_name(stage, task)] for stage in range(1, self.config.stages + 1)]
        last = resized(taught[head_name(self.teacher.config.stages, task)], *maps[0].shape[1:3])
        if task in targets:
            # Where nobody is, the teacher may see a face all the same. What is known counts more than what it says.
            empty = ops.all(targets[task]["annotated"] & ~targets[task]["present"], axis=(1, 2))
            last = ops.where(empty[:, None, None, None], 0.0, last)
        return distillation(maps, last, self.temperature, self.stage_loss)

    def _at_input_size(self, target: dict[str, Tensor], images: Tensor) -> dict[str, Tensor]:
        """A task's target with points in pixels of what the student sees of these images."""
        scale = self.config.input_size / images.shape[1]
        return target | {"points": rescale_points(target["points"], scale)}

    def _role_at_teacher(self, name: str, teacher_stages: int) -> str:
        if name == "feature_map":
            return name
        stage = int(name.removeprefix("stage").removesuffix("_features"))
        return f"stage{paired_stage(stage, self.config.stages, teacher_stages)}_features"

    def compute_loss(
        self,
        x: Tensor,
        y: dict[str, dict[str, Tensor]],
        y_pred: dict[str, Tensor],
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        """The weighted sum of the terms, a scalar; each term is tracked."""
        terms = self.loss_terms(x, y, y_pred, self.taught_from if training else 0)
        for name, value in terms.items():
            self.term_trackers[name].update_state(value)
        # TensorFlow adds up the losses of the devices that share a batch.
        return sum(self.term_weights[name] * value for name, value in terms.items()) / replica_count()

    def compute_metrics(
        self,
        x: Tensor,
        y: dict[str, dict[str, Tensor]],
        y_pred: dict[str, Tensor],
        sample_weight: Tensor = None,
    ) -> dict[str, Tensor]:
        """The running means of the epoch: loss, terms, and nme of what is learned."""
        target = self._at_input_size(y[self.scheme.task], x)
        track_nme(self.nme_tracker, target, y_pred, self.config, self.scheme, self.config.input_size)
        return self.get_metrics_result()


def paired_stage(stage: int, stages: int, teacher_stages: int) -> int:
    """The teacher's stage (from 1) that a student's stage (from 1) learns from, evenly spread; halves round up."""
    return max(1, int(stage * teacher_stages / stages + 0.5))
