"""Teach the trained face network ears without forgetting faces -> weights/face2ear.keras.

  python train_face2ear.py                                  # distillation + attention transfer from weights/face.keras
  python train_face2ear.py --strategy finetune --run runs/finetune   # without a teacher: see how it forgets
  python train_face2ear.py --strategy joint --replay data   # both datasets from scratch
  python -m utils.compare runs/distill-at runs/finetune     # the table of several runs

The student starts as the face network plus an ear head at every stage, and learns from ear photos. The frozen face
network (the teacher) says where the face is in the same photos. Every epoch is scored on validation photos of ears,
and of faces if there are any; the epoch with the lowest sum of both NMEs is kept and scored once on the test photos.
The table at the end says what was learned and what was forgotten.
"""

from data.datasets import find_samples, split_samples
from data.pipeline import PairedChain, TrainingChain
from data.schemes import EAR, FACE
from utils.distillation import (
    add_distillation_flags,
    check_distillation_flags,
    face_parts,
    report,
    term_weights,
    validate_both,
)
from utils.errors import run_main
from utils.startup import start_keras
from utils.training import RunFolder, announce, compile_trainer, finish, fit, initialise, parse_flags, training_flags


def main() -> None:
    """Flags -> ear photos, face photos -> teacher and student -> fit -> the table."""
    parser = add_distillation_flags(training_flags("face2ear", __doc__))
    args = check_distillation_flags(parse_flags(parser, EAR))

    found = find_samples(args.data, EAR, args.points, args.skip_bad, args.limit, progress=True)
    ears = split_samples(found.samples, args.split)

    args.precision = start_keras(args.precision, args.seed, args.deterministic)
    from models.cpm import build_network  # after the flags: TensorFlow takes seconds to import
    from models.distiller import STRATEGIES, Distiller, choose_trainable
    from models.weights import check_task, continue_from, load_network
    from utils.distillation import student_settings

    face = load_network(args.teacher, with_features=True)
    check_task(face, FACE.task)
    faces = face_parts(args, face)

    plan = STRATEGIES[args.strategy]
    settings = student_settings(args, face)
    student = build_network(settings, with_features=True)
    if args.init:
        initialise(student, settings, args.init)
    elif plan.from_face and settings.preset == face.settings.preset:
        print(f"start:    {continue_from(student, face)}")
    weights = term_weights(args, plan)
    choose_trainable(student, settings, args.strategy, weights)

    trainer = Distiller(student, settings, weights, face, args.loss, args.temperature, args.attention_layers)
    size = trainer.chain_size()
    ear_chain = TrainingChain(ears["train"], EAR, size, args.batch_size, args.seed, args.augment)
    replay = None
    if "face" in weights:
        replay = TrainingChain(faces["train"], FACE, size, args.batch_size, args.seed, args.augment)
    chain = PairedChain(ear_chain, replay, FACE.task)
    compile_trainer(trainer, args, chain.steps)
    announce(args, found, ears, chain, student, settings)

    run = RunFolder(args.run)
    run.start(args, ears, found.problems)
    validate = validate_both(trainer, chain, args, ears["validation"], faces["validation"])
    seen = ears | {"train": ears["train"] + faces["train"]}
    fit(trainer, chain, run, args, seen, validate)
    scores = finish(run, args, {EAR.task: ears["test"], FACE.task: faces["test"]})
    report(run, args, face, faces["test"], scores)


if __name__ == "__main__":
    run_main(main)
