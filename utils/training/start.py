"""How a run starts: its optimiser, its first weights, and the record that its weights file will carry."""

from __future__ import annotations

import keras

from data.datasets import Sample
from models.config import ModelConfig
from models.foreign_weights import read_foreign, start_from_foreign, start_from_imagenet
from models.weights import read_description, read_record, start_from
from utils.common.cli import InputError
from utils.training.config import StudentConfig, TrainConfig
from utils.training.devices import make_adam
from utils.training.run_folder import RunFolder


def make_optimizer(learning_rate: float | None, steps: int) -> keras.Optimizer:
    """Adam with a linear warm-up and a cosine decay to 0 over `steps`; gradients clipped to norm 1 each array.

    Raises ValueError for the None of a config that was not resolved.
    """
    if learning_rate is None:
        raise ValueError("the config has no learning rate; it was not resolved")
    warm_up = min(200, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=learning_rate / 100,
        warmup_target=learning_rate,
        warmup_steps=warm_up,
        decay_steps=max(1, steps - warm_up),
    )
    return make_adam(schedule, clipnorm=1.0)


def initialise(network: keras.Model, config: ModelConfig, init: str | None, freeze: int = 0) -> None:
    """Follow `--init`: copy weights into a fresh network, and print what was copied.

    Raises `InputError` if the file cannot be used, or has nothing for the trunk's first `freeze` blocks.
    """
    if init is None:
        return
    if init == "imagenet":
        lines = start_from_imagenet(network, config, freeze)
    elif (foreign := read_foreign(init)) is not None:
        lines = start_from_foreign(network, config, foreign, init, freeze)
    else:
        lines = [start_from(network, config, init)]
    first, *table = lines
    print(f"start:    {first} of {init}", *table, sep="\n          ")


def training_record(config: TrainConfig, run: RunFolder, images: list[Sample], steps: int) -> dict:
    """What a weights file says of its training: the config, and the images that it or its teacher may not be scored on.

    `steps`, of this run, are added to those of the network that it starts from. A resumed run has said so already, in
    its best network, and no longer needs the weights that it started from. Raises `InputError` if it would be trained
    on images that it did not begin with.
    """
    known = {sample.image_id for sample in images}
    if run.resumed and run.best.exists():
        record = read_description(run.best)["record"]
        if not known <= set(record.get("training_images", known)):
            raise InputError(f"--resume: some images to train on are not those that {run.path} began with")
        was = record.get("train_config", config.to_json())
        more = config.epochs - was.get("epochs", 0)
        kept = ("training_images", "teacher_training_images")
        return {name: record[name] for name in kept if name in record} | {
            "train_config": config.to_json(),
            "steps": record.get("steps", 0) + more * (steps // config.epochs),
        }
    if config.init is not None and config.init != "imagenet":  # what starts from a network has seen its images
        before = read_record(config.init)
        known.update(before.get("training_images", ()), before.get("teacher_training_images", ()))
        steps += before.get("steps", 0)
    record = {"train_config": config.to_json(), "steps": steps, "training_images": sorted(known)}
    theirs = read_record(config.teacher) if isinstance(config, StudentConfig) else {}
    if theirs:
        taught = {*theirs.get("training_images", ()), *theirs.get("teacher_training_images", ())}
        record["teacher_training_images"] = sorted(taught)
    return record
