"""Teach the trained face network ears without forgetting faces -> weights/face2ear.keras.

  python train_face2ear.py                                  # distillation + attention transfer from weights/face.keras
  python train_face2ear.py --replay data                    # and learn from the points of the faces too
  python train_face2ear.py --no-replay                      # from ear images alone: see what distillation keeps
  python train_face2ear.py --strategy finetune --run runs/finetune   # without a teacher: see how it forgets
  python train_face2ear.py --strategy joint --replay data   # learn from labels of both
  python train_face2ear.py --teacher weights/face2ear.keras --scheme mine.json --data mine   # a third task beside both
  python -m utils.compare runs/face2ear runs/finetune       # the table of several runs

The student starts as the face network plus an ear head at every stage, and learns from ear images. The frozen face
network (the teacher) says where the face is in face images beside them, or in the same images where there are none.
Every epoch is scored on validation images of ears, and of what is to be kept. The epoch with the lowest sum of all NMEs
is kept and scored once on the test images. The table at the end says what was learned and what was forgotten.
"""

from dataclasses import replace
from functools import partial

from data.datasets import find_negatives, find_samples, split_samples
from data.pipeline import PairedPipeline, TrainingPipeline
from data.schemes import EAR, FACE
from models.strategies import taught_tasks
from utils.common.cli import run_main
from utils.common.hosts import leave_hosts
from utils.common.keras_runtime import start_keras
from utils.training.flags import read_student_config
from utils.training.run_folder import RunFolder


def main(argv: list[str] | None = None) -> None:
    """Config -> images to learn from -> teacher and what is kept -> student -> compile -> fit -> test -> the table."""
    config, options = read_student_config(__doc__, argv)
    run, scheme = RunFolder(options), config.landmark_scheme

    # What is learned: ears, unless --scheme names something else
    listing = find_samples(
        config.data,
        scheme,
        skip_bad=config.skip_bad,
        limit=config.limit,
        progress=True,
        points_dir=config.points_dir,
    )
    parts = split_samples(listing.samples, run.split_file(config.split))
    negatives = find_negatives(config.negatives, scheme, config.skip_bad)
    face_negatives = find_negatives(config.face_negatives, FACE, config.skip_bad, "--face-negatives")

    # Keras starts once flags and images are known to be right.
    precision = start_keras(config.precision, config.seed, config.deterministic, options.devices, options.hosts)
    config = replace(config, precision=precision)
    from models.cpm import build_network, freeze_trunk
    from models.distiller import Distiller, choose_trainable
    from models.tensors import host_rows, replica_count
    from models.trainer import LandmarkReader
    from models.weights import check_task, continue_from, load_network
    from utils.training.callbacks import Validation, clear_errors, run_callbacks
    from utils.training.devices import share_out
    from utils.training.start import initialise, make_optimizer, training_record
    from utils.training.student_report import report
    from utils.training.students import (
        GradientNorms,
        ValidationTerms,
        find_faces,
        find_kept_ears,
        find_start,
        resolve,
        resolve_attention,
        starts_as_teacher,
        student_model_config,
        term_weights,
    )
    from utils.training.summary import print_summary, test_and_export

    # Teacher, and images of what it knows
    share_out(options.devices, config.batch_size, options.hosts)
    shares = replica_count()
    teacher = load_network(config.teacher, with_features=True)
    check_task(teacher, FACE.task)
    config = resolve(config, teacher)
    faces, replayed, problems = find_faces(config, run, teacher)
    kept_ears, more_problems = find_kept_ears(config, teacher)
    listing.problems += problems + more_problems
    config = resolve_attention(config, bool(replayed))

    # Student
    model_config = student_model_config(config, teacher)
    student = build_network(model_config, with_features=True)
    as_teacher = starts_as_teacher(config, teacher)
    if as_teacher:
        print(f"start:    {continue_from(student, teacher, model_config.separate_tasks)}")
    elif run.state.epoch == 0:
        initialise(student, model_config, config.init, config.freeze)
    weights = term_weights(config)
    choose_trainable(student, model_config, config.strategy, weights, as_teacher, scheme)
    freeze_trunk(student, config.freeze)
    start = find_start(config, student, model_config, teacher, faces["train"])
    taught = taught_tasks(teacher.config, model_config, scheme)
    trainer = Distiller(
        student,
        model_config,
        weights,
        teacher=teacher,
        stage_loss=config.loss,
        temperature=config.temperature,
        attention_layers=config.attention_layers,
        teacher_size=config.teacher_size,
        scheme=scheme,
        start=start,
        taught=taught,
        taught_from=config.batch_size // shares if replayed and taught == (FACE.task,) else 0,
    )

    # Batches: what is learned, and beside it replayed faces
    batches = partial(
        TrainingPipeline,
        size=trainer.pipeline_size(),
        batch_size=config.batch_size,
        seed=config.seed,
        augment=config.augment,
        flip_probability=config.flip_probability,
        repeats=config.repeats,
        workers=-(-options.workers // 2) if replayed else options.workers,  # each of two pipelines has its own
    )
    nothing, no_faces = [s.image for s in negatives], [s.image for s in face_negatives]
    main_batches = batches(parts["train"], scheme, negatives=nothing, other_negatives=(FACE.task, frozenset(no_faces)))
    face_batches = batches(replayed, FACE, negatives=no_faces) if replayed else None
    rows = host_rows(config.batch_size * (2 if replayed else 1))
    pipeline = PairedPipeline(main_batches, face_batches, FACE.task, shares, rows)
    steps = config.epochs * pipeline.steps
    trainer.compile(optimizer=make_optimizer(learning_rate=config.learning_rate, steps=steps))

    # Training
    print_summary(config, run, listing, parts, pipeline, student, model_config)
    used = parts | {"train": parts["train"] + negatives + face_negatives}
    measured = faces["train"] if config.strategy == "ewc" else []
    record = training_record(config, run, used["train"] + replayed + measured, steps)
    run.start(config, {part: used[part] + faces[part] + kept_ears[part] for part in used}, listing.problems)
    scored = {}
    for task, images in ((scheme.task, parts), (FACE.task, faces), (EAR.task, kept_ears)):
        if images["validation"] or images is parts:
            scored[f"val_{task}_nme"] = (LandmarkReader(student, model_config, (task,)), images["validation"])
    with clear_errors(run, pipeline):
        trainer.fit(
            pipeline.batches(first_epoch=run.state.epoch),
            steps_per_epoch=pipeline.steps,
            initial_epoch=run.state.epoch,
            epochs=config.epochs,
            callbacks=[
                GradientNorms(trainer, pipeline),
                Validation(scored, config.batch_size),
                ValidationTerms(trainer, parts["validation"], config.batch_size),
                *run_callbacks(run, config, pipeline, student, model_config, record),
            ],
            shuffle=False,  # the pipeline has its own order
            verbose=0,
        )
    leave_hosts()
    if not options.hosts.leads:
        return
    tests = {scheme.task: parts["test"], FACE.task: faces["test"]}
    if EAR.task in model_config.heads:
        tests.setdefault(EAR.task, kept_ears["test"])
    scores = test_and_export(run, config, tests)
    report(run, config, scores, len(parts["train"]), len(replayed))


if __name__ == "__main__":
    run_main(main)
