"""Train the ear network: images with 55 points on an ear -> weights/ear.keras.

  python train_ear.py --preset lite                  # the laptop network on the images below data/
  python train_ear.py --data data --data my_ears    # two folders, mixed
  python train_ear.py --config weights/recipes/ear1.json --data data --run runs/again
  python train_ear.py --run runs/ear --resume       # continue after Ctrl-C, a crash or a power cut

Every epoch is scored on validation images: the `crop` protocol, NME in per cent of the diagonal of the ear's box.
The best network is kept, scored once on the test images at the end, and written to --out. The run folder holds the
config, the split, curves, images of predictions and the state to resume from.
"""

from dataclasses import replace

from data.datasets import find_negatives, find_samples, split_samples
from data.pipeline import TrainingPipeline
from data.schemes import EAR
from utils.common.cli import run_main
from utils.common.hosts import leave_hosts
from utils.common.keras_runtime import start_keras
from utils.training.flags import read_train_config
from utils.training.run_folder import RunFolder


def main(argv: list[str] | None = None) -> None:
    """Config -> data -> network -> compile -> fit -> test and export."""
    config, options = read_train_config(EAR, __doc__, argv)
    run = RunFolder(options)

    # Data
    listing = find_samples(
        config.data, EAR, config.points, config.skip_bad, config.limit, progress=True, points_dir=config.points_dir
    )
    parts = split_samples(listing.samples, run.split_file(config.split))
    negatives = find_negatives(config.negatives, EAR, config.skip_bad)

    # Keras starts once flags and data are known to be right.
    precision = start_keras(config.precision, config.seed, config.deterministic, options.devices, options.hosts)
    config = replace(config, precision=precision)
    from models.cpm import build_network, freeze_trunk
    from models.tensors import host_rows
    from models.trainer import LandmarkReader, StageTrainer
    from utils.training.callbacks import Validation, clear_errors, run_callbacks
    from utils.training.devices import share_out
    from utils.training.start import initialise, make_optimizer, training_record
    from utils.training.summary import print_summary, test_and_export

    # Network and batches
    share_out(options.devices, config.batch_size, options.hosts)
    model_config = config.model_config()
    network = build_network(model_config)
    if run.state.epoch == 0:
        initialise(network, model_config, config.init, config.freeze)
    freeze_trunk(network, config.freeze)
    pipeline = TrainingPipeline(
        parts["train"],
        EAR,
        size=model_config.input_size,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=config.augment,
        flip_probability=config.flip_probability,
        repeats=config.repeats,
        workers=options.workers,
        negatives=[sample.image for sample in negatives],
        rows=host_rows(config.batch_size),
    )
    trainer = StageTrainer(network, model_config, EAR, stage_loss=config.loss)
    steps = config.epochs * pipeline.steps
    trainer.compile(optimizer=make_optimizer(learning_rate=config.learning_rate, steps=steps))

    # Training
    print_summary(config, run, listing, parts, pipeline, network, model_config)
    used = parts | {"train": parts["train"] + negatives}
    record = training_record(config, run, used["train"], steps)
    run.start(config, used, listing.problems)
    reader = LandmarkReader(network, model_config)
    with clear_errors(run, pipeline):
        trainer.fit(
            pipeline.batches(first_epoch=run.state.epoch),
            steps_per_epoch=pipeline.steps,
            initial_epoch=run.state.epoch,
            epochs=config.epochs,
            callbacks=[
                Validation({"val_nme": (reader, parts["validation"])}, config.batch_size),
                *run_callbacks(run, config, pipeline, network, model_config, record),
            ],
            shuffle=False,  # the pipeline has its own order
            verbose=0,
        )
    leave_hosts()
    if options.hosts.leads:
        test_and_export(run, config, {EAR.task: parts["test"]})


if __name__ == "__main__":
    run_main(main)
