"""Teach the trained face network ears without forgetting faces -> weights/face2ear.keras.

  python train_face2ear.py                                  # distillation + attention transfer from weights/face.keras
  python train_face2ear.py --replay data                    # and face images beside the ears, which keep the faces
  python train_face2ear.py --strategy finetune --run runs/finetune   # without a teacher: see how it forgets
  python train_face2ear.py --strategy joint --replay data   # both datasets from scratch
  python -m utils.compare runs/face2ear runs/finetune       # the table of several runs

The student starts as the face network plus an ear head at every stage, and learns from ear images. The frozen face
network (the teacher) says where the face is in the same images. Every epoch is scored on validation images of ears,
and of faces if there are any; the epoch with the lowest sum of both NMEs is kept and scored once on the test images.
The table at the end says what was learned and what was forgotten.
"""

from data.datasets import find_negatives, find_samples, split_samples
from data.pipeline import PairedPipeline, TrainingPipeline
from data.schemes import EAR, FACE
from utils.common.cli import run_main
from utils.common.keras_runtime import start_keras
from utils.training.config import RunFolder, compile_trainer, fit, initialise, print_summary, test_and_export
from utils.training.students import (
    find_faces,
    parse_student_flags,
    report,
    student_config,
    student_flags,
    term_weights,
    validate_both,
)


def main(argv: list[str] | None = None) -> None:
    """Flags -> ear images, face images -> teacher and student -> fit -> the table."""
    args = parse_student_flags(student_flags(__doc__), argv)

    found = find_samples(args.data, EAR, skip_bad=args.skip_bad, limit=args.limit, progress=True)
    ears = split_samples(found.samples, args.split)
    negatives = find_negatives(args.negatives or [], EAR, args.skip_bad)

    args.precision = start_keras(args.precision, args.seed, args.deterministic)
    from models.cpm import build_network  # after the flags: TensorFlow takes seconds to import
    from models.distiller import Distiller, choose_trainable
    from models.strategies import STRATEGIES
    from models.weights import check_task, continue_from, load_network

    teacher = load_network(args.teacher, with_features=True)
    check_task(teacher, FACE.task)
    faces, replayed, problems = find_faces(args, teacher)
    found.problems += problems

    config, starts_as_face = student_config(args, teacher)
    student = build_network(config, with_features=True)
    if starts_as_face:
        print(f"start:    {continue_from(student, teacher)}")
    else:
        initialise(student, config, args.init)
    weights = term_weights(args, STRATEGIES[args.strategy])
    choose_trainable(student, config, args.strategy, weights, starts_as_face)

    trainer = Distiller(
        student, config, weights, teacher, args.loss, args.temperature, args.attention_layers, args.teacher_size
    )
    workers = -(-args.workers // 2) if replayed else args.workers  # each of two pipelines has its own
    options = {
        "size": trainer.pipeline_size(),
        "batch_size": args.batch_size,
        "seed": args.seed,
        "augment": args.augment,
        "flip_probability": args.flip_probability,
        "repeats": args.repeats,
        "workers": workers,
    }
    replay = TrainingPipeline(replayed, FACE, **options) if replayed else None
    main = TrainingPipeline(ears["train"], EAR, **options, negatives=[sample.image for sample in negatives])
    pipeline = PairedPipeline(main, replay, FACE.task)
    compile_trainer(trainer, args, pipeline.steps)
    print_summary(args, found, ears, pipeline, student, config)

    seen = ears | {"train": ears["train"] + negatives}
    run = RunFolder(args.run)
    run.start(args, {part: seen[part] + faces[part] for part in seen}, found.problems)
    validate = validate_both(trainer, pipeline, args, ears["validation"], faces["validation"])
    fit(trainer, pipeline, run, args, seen | {"train": seen["train"] + replayed}, validate)
    scores = test_and_export(run, args, {EAR.task: ears["test"], FACE.task: faces["test"]})
    report(run, args, teacher, faces["test"], scores, len(ears["train"]))


if __name__ == "__main__":
    run_main(main)
