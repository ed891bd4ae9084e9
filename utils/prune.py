"""A small network out of a large one, as a start for its training: `python -m utils.prune WEIGHTS OUT --preset nano`.

  python -m utils.prune weights/face2ear-lite.keras start.keras --preset nano --data data
  python train_face2ear.py --preset nano --init start.keras --teacher weights/face2ear-lite.keras ...

Each layer keeps the channels that tell most of the others, and its kernels are fitted to the large network's answers on
crops of --data. What comes out reads points badly, but learns them in a fraction of the time that nothing would take.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.datasets import choose_part, find_samples
from data.layouts import NoSuchImagesError
from data.pipeline import TrainingPipeline
from data.schemes import SCHEMES
from models.config import PRESETS, ModelConfig
from utils.common.cli import CommandLine, InputError, positive_int, printable, run_main
from utils.common.files import check_writable
from utils.common.keras_runtime import start_keras

AUGMENT = 0.5  # strength of the augmentation of the crops, which should be of the usual kind


def prune_flags() -> CommandLine:
    """The flags of the command."""
    parser = CommandLine(prog="python -m utils.prune", description="Make a small network out of a large one.")
    add = parser.add_argument
    add("weights", metavar="WEIGHTS", help="weights file of the large network")
    add("out", metavar="OUT", help="the .keras file to write")
    add("--preset", choices=tuple(PRESETS), default="nano", help="size of the small one (default: %(default)s)")
    add(
        "--data", action="append", metavar="DIR", help="dataset folder, repeatable: its training images (default: data)"
    )
    add("--images", type=positive_int, default=192, metavar="N", help="crops of each task (default: %(default)s)")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Flags -> weights -> crops -> a small network."""
    args = prune_flags().parse_args(argv)
    source, out = Path(args.weights), Path(args.out)
    if out.suffix != ".keras":
        raise InputError(f"{out}: weights are written as .keras; give a name that ends so")
    if not source.is_file():
        raise InputError(f"{source}: no such weights file")
    if out.exists() and out.samefile(source):
        raise InputError(f"{out}: is the large network; name another file")
    check_writable(args.out, out.parent)
    start_keras("float32")
    from models.cpm import fold_adapters
    from models.pruning import narrowed
    from models.weights import LoadedModel, load_network, save_network

    loaded = load_network(source)
    network, given = fold_adapters(loaded.network, loaded.config)
    row = PRESETS[args.preset]
    size = {name: getattr(row, name) for name in ("preset", "width", "stages", "input_size", "first_block")}
    config = replace(given, norm="weight", **size)
    crops, shown = draw_crops(args.data or ["data"], config, args.images)
    small, explained = narrowed(LoadedModel(source, given, loaded.record, network), config, crops)
    seen = {name: images for name, images in loaded.record.items() if name.endswith("training_images")}
    seen["training_images"] = sorted(shown.union(seen.get("training_images", ())))
    save_network(out, small, config, {"pruned_from": source.name, **seen})
    print(f"{printable(out)}: {config.preset}, {small.count_params():,} of {network.count_params():,} parameters")
    for name, part in explained.items():
        print(f"  {name:16s} {100 * part:5.1f} % of the variance explained")


def draw_crops(folders: list[str], config: ModelConfig, count: int) -> tuple[np.ndarray, set[str]]:
    """Training crops (crops, size, size, 3) uint8, `count` of each of the network's tasks, drawn as in training.

    With them come the ids of their images. Of few images several crops are drawn. Raises `InputError` if the folders
    hold no images of any task, and says so of a task without.
    """
    crops: list[np.ndarray] = []
    shown: set[str] = set()
    for task in config.heads:
        scheme = SCHEMES[task]
        found = []
        for folder in folders:
            with contextlib.suppress(NoSuchImagesError):  # it may hold those of another task
                found += find_samples([folder], scheme, config.points, skip_bad=True).samples
        if not found:
            print(f"note: no images of {task}; what tells of it is fitted to the others' crops")
            continue
        samples = choose_part(found, "train", ", ".join(folders), limit=count)
        shown.update(sample.image_id for sample in samples)
        pipeline = TrainingPipeline(samples, scheme, size=config.input_size, batch_size=len(samples), augment=AUGMENT)
        passes = [pipeline.batch(k)[0] for k in range(-(-count // len(samples)))]
        crops.append(np.concatenate(passes)[:count])
    if not crops:
        raise InputError(f"--data {', '.join(folders)}: no images with points of {' or '.join(config.heads)}")
    return np.concatenate(crops), shown


if __name__ == "__main__":
    run_main(main)
