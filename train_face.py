"""Train the face network: images with 68 points -> weights/face.keras.

  python train_face.py --preset lite                 # the laptop network on the images below data/
  python train_face.py --data data --data my_faces   # two folders, mixed
  python train_face.py --run runs/face --resume      # continue after Ctrl-C, a crash or a power cut

Every epoch is scored on validation images (the crop protocol, NME in per cent of the outer-eye distance); the best
network is kept, scored once on the test images at the end, and written to --out. The run folder holds the settings,
the split, curves, images of predictions and the state to resume from.
"""

from data.datasets import find_negatives, find_samples, split_samples
from data.pipeline import TrainingPipeline
from data.schemes import FACE
from utils.common.cli import run_main
from utils.common.keras_runtime import start_keras
from utils.training.config import (
    RunFolder,
    compile_trainer,
    fit,
    initialise,
    network_config,
    parse_flags,
    print_summary,
    test_and_export,
    training_flags,
    validation_nme,
)


def main(argv: list[str] | None = None) -> None:
    """Flags -> images -> pipeline -> network -> fit -> scores and weights."""
    args = parse_flags(training_flags(FACE.task, __doc__), FACE, argv)

    found = find_samples(args.data, FACE, args.points, args.skip_bad, args.limit, progress=True)
    parts = split_samples(found.samples, args.split)
    negatives = find_negatives(args.negatives or [], FACE, args.skip_bad)
    seen = parts | {"train": parts["train"] + negatives}

    args.precision = start_keras(args.precision, args.seed, args.deterministic)
    from models.cpm import build_network  # after the flags: TensorFlow takes seconds to import
    from models.trainer import LandmarkReader, StageTrainer

    config = network_config(args, heads={FACE.task: args.landmark_indices})
    network = build_network(config)
    initialise(network, config, args.init)
    reader = LandmarkReader(network, config, (FACE.task,))

    options = {
        "size": config.input_size,
        "batch_size": args.batch_size,
        "seed": args.seed,
        "augment": args.augment,
        "flip_probability": args.flip_probability,
        "repeats": args.repeats,
        "workers": args.workers,
    }
    pipeline = TrainingPipeline(parts["train"], FACE, **options, negatives=[sample.image for sample in negatives])
    trainer = StageTrainer(network, config, FACE, args.loss)
    compile_trainer(trainer, args, pipeline.steps)
    print_summary(args, found, parts, pipeline, network, config)

    def validate(size: int) -> dict[str, float]:
        return {"val_nme": validation_nme(reader, parts["validation"], args, size)}

    run = RunFolder(args.run)
    run.start(args, seen, found.problems)
    fit(trainer, pipeline, run, args, seen, validate)
    test_and_export(run, args, {FACE.task: parts["test"]})


if __name__ == "__main__":
    run_main(main)
