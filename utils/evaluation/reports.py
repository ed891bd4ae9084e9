"""The report of a scored network: JSON, CSV, the CED plot and contact sheets."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from data.augment import crop_warp
from data.drawing import Layer, contact_sheet, crop_with_landmarks, write_label
from utils.common.files import write_csv, write_json
from utils.common.images import decode_image, save_image
from utils.evaluation.plots import plot_ced
from utils.evaluation.scoring import Scores

TRUTH_COLOUR = (255, 255, 255)


def write_report(folder: str | os.PathLike, scores: Scores, title: str) -> None:
    """Write scores.json, images.csv, ced.png, worst.png and random.png (16 images each) into `folder`.

    In the images the truth is white and the prediction has the groups' colours.
    """
    folder = Path(folder)
    write_json(folder / "scores.json", scores.summary)
    rows = [
        (sample.name, sample.group, f"{100 * error:.4f}", f"{confidence.mean():.4f}")
        for sample, error, confidence in zip(scores.samples, scores.errors, scores.confidence, strict=True)
    ]
    write_csv(folder / "images.csv", [("name", "group", "nme_percent", "mean_confidence"), *rows])
    plot_ced(
        folder / "ced.png",
        {title: scores.errors},
        scores.scheme.failure_at,
        f"{title}: NME {scores.summary['nme']:.2f} %",
    )
    order = np.argsort(-np.nan_to_num(scores.errors, nan=np.inf), kind="stable")
    save_image(folder / "worst.png", draw_predictions(scores, order[:16]))
    random = np.random.default_rng(0).permutation(len(order))[:16]
    save_image(folder / "random.png", draw_predictions(scores, random))


def draw_predictions(scores: Scores, chosen: Iterable[int]) -> np.ndarray:
    """A contact sheet of the chosen images with truth (white) and prediction (colours) and their NME."""
    images = []
    for k in chosen:
        sample = scores.samples[k]
        layers: list[Layer] = [
            (sample.points, None, TRUTH_COLOUR),
            (scores.predicted[k], scores.landmarks, None),
        ]
        image = crop_with_landmarks(
            decode_image(sample.image), crop_warp(scores.scheme, sample.points), layers, scores.scheme
        )
        error = f"{100 * scores.errors[k]:.1f} %" if np.isfinite(scores.errors[k]) else "missed"
        images.append(write_label(image, f"{error}  {Path(sample.name).stem[:24]}"))
    return contact_sheet(images)
