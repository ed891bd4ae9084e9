"""A student measured: what it can do, what its teacher could, and what it costs."""

from __future__ import annotations

import math
import time

import cv2
import numpy as np
from keras import ops

from data.augment import crop_warp, warp_image
from data.datasets import Sample
from data.drawing import contact_sheet, overlay, write_label
from data.schemes import FACE, Scheme
from models.cpm import count_flop, fold_adapters
from models.losses import attention_vector
from models.trainer import LandmarkReader
from models.weights import LoadedModel, load_network
from utils.common.files import write_json
from utils.common.images import decode_image, save_image
from utils.evaluation.scoring import Scores, score_samples
from utils.training.config import StudentConfig
from utils.training.run_folder import RunFolder
from utils.training.table import TABLE, markdown_table

WORTH_A_NOTE = 0.5  # points of face NME that are forgotten


def report(
    run: RunFolder,
    config: StudentConfig,
    scores: dict[str, Scores],
    images: int,
    replayed: int = 0,
) -> None:
    """Print and save the row of a run, and draw attention maps of teacher and student.

    `scores`: of the student, by task. `images`: how many a pass has of what is learned, `replayed` how many face images
    were mixed in. The teacher is scored at the student's input size, so that the difference is forgetting and not
    resolution; `face_before_own_size` in the JSON is its score at its own.
    """
    # Loaded anew: where several hosts trained together, that of the training is spread over them.
    teacher = load_network(config.teacher, with_features=True)
    best = load_network(run.best, with_features=True)
    row = measure(config, teacher, best, scores) | {
        "ear_images": images * config.repeats * config.epochs,
        "replayed": replayed,
        "minutes": run.state.minutes,
    }
    write_json(run.path / TABLE, row)
    print(markdown_table([row]))
    for task, kept in row["also_kept"].items():
        print(f"kept:     {task} NME {kept['before']:.2f} % before, {kept['after']:.2f} % after")
    print(f"table:    {run.path / TABLE}")
    if not row["replayed"] and (row["forgetting"] or 0) > WORTH_A_NOTE:
        print("note:     face images keep the faces, with points or without (readme/distillation.md)")
    scheme = FACE if FACE.task in scores else config.landmark_scheme
    if scheme.task in scores:
        save_image(run.path / "attention.png", draw_attention(teacher, best, scores[scheme.task].samples[:4], scheme))
        print(f"attention: {run.path / 'attention.png'}")


def measure(config: StudentConfig, teacher: LoadedModel, best: LoadedModel, scores: dict[str, Scores]) -> dict:
    """One row of the table: what the student can do, what the teacher could, and what it costs.

    `also_kept`: what else than faces both know, with both NMEs.
    """
    learned, size = config.landmark_scheme.task, best.config.input_size

    def of_teacher(task: str, size: int | None) -> float | None:
        if task not in scores:
            return None
        reader = LandmarkReader(teacher.network, teacher.config, (task,))
        return score_samples(reader, scores[task].samples, config.batch_size, size).summary["nme"]

    nme = {task: scored.summary["nme"] for task, scored in scores.items()}
    before, after = of_teacher(FACE.task, size), nme.get(FACE.task)
    others = [task for task in nme if task not in (FACE.task, learned)]
    speed = inference_speed({"student": best, "face": teacher}, size)
    folded, _ = fold_adapters(best.network, best.config)  # as the demo runs it
    return {
        "strategy": config.strategy,
        "seed": config.seed,
        "face_before": before,
        "face_before_own_size": of_teacher(FACE.task, None),
        "face_after": after,
        "forgetting": None if before is None or after is None else after - before,
        "task": learned,
        "ear": nme.get(learned),
        "also_kept": {task: {"before": of_teacher(task, size), "after": nme[task]} for task in others},
        "parameters": sum(int(np.prod(weight.shape)) for weight in best.network.weights),
        "parameters_run": sum(int(np.prod(weight.shape)) for weight in folded.weights),
        "gflop": count_flop(best.config) / 1e9,
        "gflop_face": count_flop(best.config, task=FACE.task) / 1e9,
        "gflop_learned": count_flop(best.config, task=learned) / 1e9,
        "speed": speed["student"],
        "teacher_speed": speed["face"],
        "input_size": size,
        "weights": config.out,
    }


def inference_speed(
    networks: dict[str, LoadedModel], size: int, batch: int = 8, seconds: float = 2.0
) -> dict[str, float]:
    """Images/s of each network at one input size, every head decoded; taken in turns, under one load."""
    images = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    readers = {name: LandmarkReader(loaded.network, loaded.config) for name, loaded in networks.items()}
    best = dict.fromkeys(readers, math.inf)
    for reader in readers.values():
        reader.predict_on_batch(images)
    until = time.perf_counter() + seconds * len(readers)
    while time.perf_counter() < until:
        for name, reader in readers.items():
            start = time.perf_counter()
            reader.predict_on_batch(images)
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: batch / took for name, took in best.items()}


def draw_attention(teacher: LoadedModel, student: LoadedModel, samples: list[Sample], scheme: Scheme) -> np.ndarray:
    """Images in rows: the crop, the teacher's attention map of `feature_map` on it, the student's."""
    images = []
    for sample in samples:
        for title, loaded in (("image", None), ("teacher", teacher), ("student", student)):
            size = (loaded or student).config.input_size
            crop = warp_image(decode_image(sample.image), crop_warp(scheme, sample.points).matrix(size), size)
            if loaded is not None:
                features = loaded.network(crop[None])["feature_map"]
                cells = ops.convert_to_numpy(attention_vector(features))[0].reshape(size // 8, size // 8)
                crop = overlay(crop, cells / cells.max())
            images.append(write_label(cv2.resize(crop, (256, 256), interpolation=cv2.INTER_AREA), title))
    return contact_sheet(images, columns=3)
