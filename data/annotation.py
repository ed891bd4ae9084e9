"""What is known of the landmarks of an image: their places, and two masks that say what the places mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.augment import apply_matrix
from data.schemes import Scheme


@dataclass(frozen=True, eq=False)
class Annotation:
    """The landmarks of one image. An instance is one face or one ear; an image of a person can show two ears.

    - `points` (instances, landmarks, 2) float32: x and y in pixels, always finite, 0 where there is no place.
    - `annotated` (instances, landmarks) bool: somebody looked for the landmark.
    - `present` (instances, landmarks) bool: it was found and has a place.

    A landmark that was looked for and is not in the image is annotated and not present: every landmark of a negative
    image, or of an ear that the image is known not to show. Raises ValueError for arrays that contradict each other.
    """

    points: np.ndarray
    annotated: np.ndarray
    present: np.ndarray

    def __post_init__(self) -> None:
        """Check shapes, and that every number is one."""
        if self.points.ndim != 3 or self.points.shape[2] != 2:
            raise ValueError(f"points are (instances, landmarks, 2), not {self.points.shape}")
        for name, mask in (("annotated", self.annotated), ("present", self.present)):
            if mask.shape != self.points.shape[:2] or mask.dtype != bool:
                raise ValueError(f"{name} is bool {self.points.shape[:2]}, not {mask.dtype} {mask.shape}")
        if not np.isfinite(self.points).all():
            raise ValueError("points must be finite; say in the masks what is not known")
        if (self.present & ~self.annotated).any():
            raise ValueError("a landmark with a place is annotated")

    @classmethod
    def of(cls, scheme: Scheme, points: np.ndarray, others: np.ndarray | None = None) -> Annotation:
        """The landmarks of one face or ear: `points` (landmarks, 2) pixels, NaN for one that nobody annotated.

        `others` (n, landmarks, 2) are the other instances that the image shows, n = 0 where there is none. None: nobody
        looked for them.
        """
        places = np.zeros((scheme.instances, scheme.count, 2), np.float32)
        present = np.zeros((scheme.instances, scheme.count), bool)
        for k, instance in enumerate([points] if others is None else [points, *others]):
            known = np.isfinite(instance).all(axis=-1)
            places[k, known], present[k] = instance[known], known
        annotated = present.copy()
        if others is not None:
            annotated[1:] = True
        return cls(places, annotated, present)

    @classmethod
    def unknown(cls, scheme: Scheme) -> Annotation:
        """Nobody looked for the scheme's landmarks."""
        mask = np.zeros((scheme.instances, scheme.count), bool)
        return cls(np.zeros((*mask.shape, 2), np.float32), mask, mask)

    @classmethod
    def absent(cls, scheme: Scheme) -> Annotation:
        """A negative image: it is known to show none of the scheme's landmarks."""
        mask = np.zeros((scheme.instances, scheme.count), bool)
        return cls(np.zeros((*mask.shape, 2), np.float32), ~mask, mask)

    @property
    def complete(self) -> bool:
        """Whether every landmark of every instance was looked for, so that the whole image is known."""
        return bool(self.annotated.all())

    @property
    def others(self) -> np.ndarray | None:
        """The places of the instances after the first, (n, landmarks, 2); None where nobody looked for any."""
        if len(self.points) == 1 or not self.annotated[1:].all():
            return None
        return self.points[1:][self.present[1:].all(axis=1)]

    @property
    def places(self) -> np.ndarray:
        """The places of all landmarks that have one, (n, 2)."""
        return self.points[self.present]

    def warped(self, matrix: np.ndarray, flip_order: Sequence[int] | None = None) -> Annotation:
        """The annotation of the image that an affine map (2, 3) makes of this one.

        `flip_order`, of a scheme, is given if the map mirrors the image: there landmark k is `flip_order[k]` of this.
        """
        points = np.where(self.present[..., None], apply_matrix(matrix, self.points), np.float32(0))
        if flip_order is None:
            return Annotation(points, self.annotated, self.present)
        order = list(flip_order)
        return Annotation(points[:, order], self.annotated[:, order], self.present[:, order])


def stack_annotations(annotations: Sequence[Annotation]) -> dict[str, np.ndarray]:
    """Annotations of a batch as a loss takes them.

    `points` (batch, instances, landmarks, 2) float32, `annotated` and `present` (batch, instances, landmarks) bool.
    """
    return {
        name: np.stack([getattr(annotation, name) for annotation in annotations])
        for name in ("points", "annotated", "present")
    }
