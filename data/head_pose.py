"""The pose of a head from its 68 face points: yaw, pitch and roll by `cv2.solvePnP` and the average head.

The camera is a pinhole without distortion whose axis runs through the mean of the points. So a face has the same pose
wherever it stands in the image, and however the image was cut: yaw and pitch 0 look into the camera.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from data.schemes import FACE

# Of the jaw only its ends at the ears and the chin: the rest of its points lie on the visible outline, which is
# another place of the head in every pose.
USED = np.array([0, 7, 8, 9, 16, *FACE.inner])
FEWEST = 6  # points
FLATTEST = 0.02  # the points' extent across, in extents along: below, they are a line and have no pose
# The focal length is the image's longer side, as is usual: an angle of view of 53 degrees. It is at least so many
# lengths of the face, since nobody stands nearer; a photo that was cut shows a smaller angle.
NEAREST = 5.0
FLIP = np.array([1, -1, -1])


class HeadPose(NamedTuple):
    """Degrees: a head first yaws about its own axis, then pitches, then rolls about the camera's axis.

    - `yaw` > 0: the face turns to the person's left, which is the image's right.
    - `pitch` > 0: the face nods down.
    - `roll` > 0: the head leans to the person's right shoulder, counterclockwise in the image.
    """

    yaw: float
    pitch: float
    roll: float

    def __str__(self) -> str:
        """All three in whole degrees, for drawings."""
        return ", ".join(f"{name} {angle:+.0f}" for name, angle in self._asdict().items())

    def axes(self, points: np.ndarray) -> np.ndarray:
        """A cross on a face of this pose, (4, 2) pixels: its middle, and the tips to the head's left, up and out.

        `points` (68, 2) are the face's, in pixels, y down; an axis is half as long as they reach.
        """
        origin = np.nanmean(points, axis=0)
        axes = rotation(*self).T[:, :2] * (1, -1)  # a row an axis; image rows count down
        extent = (np.nanmax(points, axis=0) - np.nanmin(points, axis=0)).max()
        return np.vstack([origin, origin + axes * extent / 2])


@cache
def head_points() -> np.ndarray:
    """The average head's 68 points (68, 3): decimetres from the head's middle, X to its left, Y up, Z out of the face.

    From `head_points.json`, which `python -m data.synthetic.mean_head` writes.
    """
    content = json.loads((Path(__file__).parent / "head_points.json").read_text(encoding="utf-8"))
    points = np.array(content["face"], dtype=np.float64)
    points.flags.writeable = False  # shared by all who ask
    return points


def head_pose(points: np.ndarray, size: tuple[int, int]) -> HeadPose | None:
    """The pose of the head whose 68 face points (68, 2) these are, in pixels of an image of `size` (width, height).

    Points that are NaN are left out. None where too few are left, or where they lie on a line or in one place.
    """
    used = USED[np.isfinite(points[USED]).all(axis=1)]
    if len(used) < FEWEST:
        return None
    places = points[used].astype(np.float64)
    places -= places.mean(axis=0)
    along, across = np.linalg.svd(places, compute_uv=False)
    extent = np.ptp(places, axis=0).max()
    if extent < 1 or across < FLATTEST * along:
        return None
    model = head_points()[used] * FLIP  # OpenCV's axes: y down, z away from the camera
    focal = max(*size, NEAREST * extent)
    camera = np.diag([focal, focal, 1.0])
    try:
        ok, turn, shift = cv2.solvePnP(model, places, camera, None, flags=cv2.SOLVEPNP_SQPNP)
        if not ok:
            return None
        turn, shift = cv2.solvePnPRefineLM(model, places, camera, None, turn, shift)
    except cv2.error:
        return None
    angles = _angles(cv2.Rodrigues(turn)[0] * np.outer(FLIP, FLIP))
    return HeadPose(*map(float, angles)) if shift[2, 0] > 0 and np.isfinite(angles).all() else None


def rotation(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Head axes -> camera axes (3, 3) of a pose in degrees: roll x pitch x yaw.

    Both have X to the image's right (the head's left), Y up and Z towards the camera (out of the face).
    """
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


def _angles(turn: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll in degrees of a rotation (3, 3) that is roll x pitch x yaw."""
    return np.degrees(
        [
            np.arctan2(-turn[2, 0], turn[2, 2]),
            np.arcsin(np.clip(turn[2, 1], -1, 1)),
            np.arctan2(-turn[0, 1], turn[1, 1]),
        ]
    )
