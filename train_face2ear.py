"""Teach the trained face network ears without forgetting faces -> weights/face2ear.keras.

  python train_face2ear.py                                  # distillation + attention transfer from weights/face.keras
  python train_face2ear.py --replay data                    # and face photos beside the ears, which keep the faces
  python train_face2ear.py --strategy finetune --run runs/finetune   # without a teacher: see how it forgets
  python train_face2ear.py --strategy joint --replay data   # both datasets from scratch
  python -m utils.compare runs/face2ear runs/finetune       # the table of several runs

The student starts as the face network plus an ear head at every stage, and learns from ear photos. The frozen face
network (the teacher) says where the face is in the same photos. Every epoch is scored on validation photos of ears,
and of faces if there are any; the epoch with the lowest sum of both NMEs is kept and scored once on the test photos.
The table at the end says what was learned and what was forgotten.
"""

from data.datasets import find_nobody, find_samples, split_samples
from data.pipeline import PairedChain, TrainingChain
from data.schemes import EAR, FACE
from utils.distillation import (
    find_faces,
    parse_student_flags,
    report,
    student_flags,
    student_settings,
    term_weights,
    validate_both,
)
from utils.errors import run_main
from utils.startup import start_keras
from utils.training import RunFolder, announce, compile_trainer, finish, fit, initialise


def main() -> None:
    """Flags -> ear photos, face photos -> teacher and student -> fit -> the table."""
    args = parse_student_flags(student_flags(__doc__))

    found = find_samples(args.data, EAR, skip_bad=args.skip_bad, limit=args.limit, progress=True)
    ears = split_samples(found.samples, args.split)
    nobody = find_nobody(args.nobody or [], EAR, args.skip_bad)

    args.precision = start_keras(args.precision, args.seed, args.deterministic)
    from models.cpm import build_network  # after the flags: TensorFlow takes seconds to import
    from models.distiller import STRATEGIES, Distiller, choose_trainable
    from models.weights import check_task, continue_from, load_network

    face = load_network(args.teacher, with_features=True)
    check_task(face, FACE.task)
    faces, replayed, problems = find_faces(args, face)
    found.problems += problems

    settings, starts_as_face = student_settings(args, face)
    student = build_network(settings, with_features=True)
    if starts_as_face:
        print(f"start:    {continue_from(student, face)}")
    else:
        initialise(student, settings, args.init)
    weights = term_weights(args, STRATEGIES[args.strategy])
    choose_trainable(student, settings, args.strategy, weights, starts_as_face)

    trainer = Distiller(
        student, settings, weights, face, args.loss, args.temperature, args.attention_layers, args.teacher_size
    )
    workers = -(-args.workers // 2) if replayed else args.workers  # each of two chains has its own
    views = (trainer.chain_size(), args.batch_size, args.seed, args.augment, args.mirror, args.passes, workers)
    replay = TrainingChain(replayed, FACE, *views) if replayed else None
    main = TrainingChain(ears["train"], EAR, *views, nobody=[photo.image for photo in nobody])
    chain = PairedChain(main, replay, FACE.task)
    compile_trainer(trainer, args, chain.steps)
    announce(args, found, ears, chain, student, settings)

    seen = ears | {"train": ears["train"] + nobody}
    run = RunFolder(args.run)
    run.start(args, {part: seen[part] + faces[part] for part in seen}, found.problems)
    validate = validate_both(trainer, chain, args, ears["validation"], faces["validation"])
    fit(trainer, chain, run, args, seen | {"train": seen["train"] + replayed}, validate)
    scores = finish(run, args, {EAR.task: ears["test"], FACE.task: faces["test"]})
    report(run, args, face, faces["test"], scores, len(ears["train"]))


if __name__ == "__main__":
    run_main(main)
