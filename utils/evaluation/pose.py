"""How far the pose of a head lies from the truth, where that is known: on synthetic heads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.augment import Warp, apply_matrix, warp_image
from data.datasets import Sample
from data.drawing import contact_sheet, paint_axes, paint_landmarks, write_lines
from data.head_pose import HeadPose, head_pose
from data.schemes import FACE
from utils.common.cli import InputError
from utils.common.files import read_json
from utils.common.images import decode_image
from utils.common.schema import check_values, number

RANGES = ((0, 15), (15, 30), (30, 45), (45, 60), (60, 90), (0, 60), (0, 90))  # of the true yaw's size, degrees
ANGLE = number(-360, 360)


def true_poses(samples: Sequence[Sample]) -> np.ndarray:
    """Yaw, pitch and roll (images, 3) in degrees, from the `NAME.json` that `data.synthetic --both` writes.

    Raises `InputError` that names the file if it holds no pose.
    """
    poses = []
    for sample in samples:
        path = sample.image.with_suffix(".json")
        notes = read_json(path, f"{sample.image}: its pose is not known")
        pose = notes.get("pose_degrees") if isinstance(notes, dict) else None
        try:
            check_values(pose, dict.fromkeys(HeadPose._fields, ANGLE), required=HeadPose._fields)
        except ValueError as problem:
            raise InputError(f"{path}: no pose_degrees; give heads of python -m data.synthetic --both") from problem
        assert isinstance(pose, dict)
        poses.append([pose[name] for name in HeadPose._fields])
    return np.array(poses, dtype=np.float64)


def pose_errors(samples: Sequence[Sample], points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Size of the error of each angle (images, 3) in degrees, NaN where the points have no pose.

    `points` (images, 68, 2) in pixels of the samples' images; `truth` as `true_poses` gives it.
    """
    errors = np.full(truth.shape, np.nan)
    for row, sample, places, true in zip(errors, samples, points, truth, strict=True):
        height, width = decode_image(sample.image).shape[:2]
        pose = head_pose(places, (width, height))
        if pose is not None:
            row[:] = np.abs((np.array(pose) - true + 180) % 360 - 180)
    return errors


def extreme_poses(samples: Sequence[Sample], points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """A sheet (height, width, 3) uint8 of the heads turned most to either side, and of two each that are raised and
    lowered most.

    Each has its axes drawn, where the points (images, 68, 2) have a pose, and both poses in words, the true one last.
    """
    pictures, size = [], 320
    turned, raised = np.argsort(truth[:, 0]), np.argsort(truth[:, 1])
    for chosen in dict.fromkeys((turned[0], turned[-1], *raised[:2], *raised[-2:])):
        image = decode_image(samples[int(chosen)].image)
        height, width = image.shape[:2]
        pose = head_pose(points[chosen], (width, height))
        matrix = Warp(((width - 1) / 2, (height - 1) / 2), max(width, height)).matrix(size)
        picture = warp_image(image, matrix, size)
        places = apply_matrix(matrix, points[chosen])
        paint_landmarks(picture, places, FACE, range(FACE.count))
        if pose is None:
            write_lines(picture, ["no pose"], lower=True)
        else:
            paint_axes(picture, pose.axes(places), str(pose))
        pictures.append(write_lines(picture, [f"true: {HeadPose(*truth[chosen])}"]))
    return contact_sheet(pictures, columns=3)


def pose_table(truth: np.ndarray, errors: dict[str, np.ndarray]) -> str:
    """Mean errors by the true yaw, as a Markdown table; `errors`: what the points are -> as `pose_errors` gives it."""
    angles = " / ".join(HeadPose._fields)
    lines = [
        "| yaw, either way | heads | " + " | ".join(f"{what}: {angles} (degrees)" for what in errors) + " |",
        "| --- |" + " --- |" * (1 + len(errors)),
    ]
    for low, high in RANGES:
        size = np.abs(truth[:, 0])
        chosen = (size >= low) & (size < high) if high < RANGES[-1][1] else size >= low
        cells = [
            " / ".join(f"{mean:.1f}" for mean in np.nanmean(each[chosen], axis=0)) if chosen.any() else ""
            for each in errors.values()
        ]
        lines.append(f"| {low} to {high} | {chosen.sum()} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
