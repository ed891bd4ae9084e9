"""What a file of a network says of itself: its config and the record of its training. Free of Keras."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from models.config import ModelConfig
from utils.common.cli import InputError
from utils.common.schema import OBJECT, TEXT, Kind, check_values, list_of, mapping_of, number, optional, whole

ENTRY = "landmarks.json"  # what a description is called in a `.keras`, a `.tflite` and a SavedModel
FORMAT = 2
# What a record says of the training; other names may stand beside these.
IMAGES = list_of(TEXT)
MADE = {
    "train_config": Kind(
        "an object, its epochs a whole number",
        lambda value: isinstance(value, dict) and whole(0).fits(value.get("epochs", 0)),
    ),
    "steps": whole(0, 10**12),
    "epoch": whole(0),
    "validation_nme": optional(number(0, float("inf"))),
    "minutes": number(0, float("inf")),
    "test": OBJECT,
    "training_images": IMAGES,
    "teacher_training_images": IMAGES,
}
# Weights that lie beside a file, by their name alone: a file must not send its reader elsewhere.
NEIGHBOUR = Kind(
    "the plain name of a file, of 60 characters at most",
    lambda value: isinstance(value, str) and 0 < len(value) <= 60 and set(value).isdisjoint("/\\:\0"),
)
RECORD = MADE | {
    "alpha": number(0, 1),
    "averaged": mapping_of(OBJECT),
    "thresholds": mapping_of(number(0, 1)),
    "searcher": NEIGHBOUR,
}


@dataclass(frozen=True)
class Described:
    """A file of a network, whoever runs it: where it lies, and what it says of itself.

    `record`: how the network was trained, its score, the images it saw.
    """

    path: Path
    config: ModelConfig
    record: dict


def parse_description(path: str | os.PathLike, text: str | bytes) -> dict:
    """A description as a file has it, checked. Raises `InputError` for another format, ValueError for other content."""
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("its description is not what a script writes")
    if content.get("format") != FORMAT:
        raise InputError(f"{path}: its weights format is not {FORMAT}, the one that this version reads; update it")
    ModelConfig.from_json(content.get("model"))
    check_values(content.get("record"), RECORD)
    for record in content["record"].get("averaged", {}).values():
        check_values(record, MADE)
    return content


def public_record(record: dict, thresholds: dict[str, float] | None = None, searcher: str | None = None) -> dict:
    """A record to be passed on, with what is given of these notes.

    They are `thresholds`, scores by name, and the `searcher`, the name of weights beside it that search images for it.
    Of the folders that the flags in it name, the last part stays: where they lay on one machine is private.
    """

    def private(each: dict) -> dict:
        flags = {name: _last_part(value) for name, value in each.get("train_config", {}).items()}
        return each | ({"train_config": flags} if flags else {})

    averaged = {name: private(each) for name, each in record.get("averaged", {}).items()}
    return (
        private(record)
        | ({"averaged": averaged} if averaged else {})
        | ({"thresholds": thresholds} if thresholds else {})
        | ({"searcher": searcher} if searcher else {})
    )


def describe(config: ModelConfig, record: dict) -> dict:
    """The JSON of a network's config and record. It begins every description, which may say more."""
    return {"format": FORMAT, "model": config.to_json(), "record": record}


def _last_part(value: object) -> object:
    if isinstance(value, list):
        return [_last_part(each) for each in value]
    return Path(value).name if isinstance(value, str) and "/" in value else value
