"""Train the ear network: photos with 55 points on an ear -> weights/ear.keras.

  python train_ear.py --preset lite                # the laptop network on the photos below data/
  python train_ear.py --data data --data my_ears   # two folders, mixed
  python train_ear.py --run runs/ear --resume      # continue after Ctrl-C, a crash or a power cut

Every epoch is scored on validation photos (the crop protocol, NME in per cent of the diagonal of the ear's box); the
best network is kept, scored once on the test photos at the end, and written to --out. The run folder holds the
settings, the split, curves, pictures of predictions and the state to resume from.
"""

from data.datasets import find_nobody, find_samples, split_samples
from data.pipeline import TrainingChain
from data.schemes import EAR
from utils.errors import run_main
from utils.startup import start_keras
from utils.training import (
    RunFolder,
    announce,
    compile_trainer,
    finish,
    fit,
    initialise,
    network_settings,
    parse_flags,
    training_flags,
    validation_nme,
)


def main() -> None:
    """Flags -> photos -> chain -> network -> fit -> scores and weights."""
    args = parse_flags(training_flags(EAR.task, __doc__), EAR)

    found = find_samples(args.data, EAR, args.points, args.skip_bad, args.limit, progress=True)
    parts = split_samples(found.samples, args.split)
    nobody = find_nobody(args.nobody or [], EAR, args.skip_bad)
    seen = parts | {"train": parts["train"] + nobody}

    args.precision = start_keras(args.precision, args.seed, args.deterministic)
    from models.cpm import build_network  # after the flags: TensorFlow takes seconds to import
    from models.trainer import LandmarkReader, StageTrainer

    settings = network_settings(args, heads={EAR.task: args.landmark_indices})
    network = build_network(settings)
    initialise(network, settings, args.init)
    reader = LandmarkReader(network, settings, EAR.task)

    views = (settings.input_size, args.batch_size, args.seed, args.augment, args.mirror, args.passes, args.workers)
    chain = TrainingChain(parts["train"], EAR, *views, nobody=[photo.image for photo in nobody])
    trainer = StageTrainer(network, settings, EAR, args.loss)
    compile_trainer(trainer, args, chain.steps)
    announce(args, found, parts, chain, network, settings)

    def validate(size: int) -> dict[str, float]:
        return {"val_nme": validation_nme(reader, parts["validation"], args, size)}

    run = RunFolder(args.run)
    run.start(args, seen, found.problems)
    fit(trainer, chain, run, args, seen, validate)
    finish(run, args, {EAR.task: parts["test"]})


if __name__ == "__main__":
    run_main(main)
