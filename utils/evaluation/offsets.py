"""How far predictions lie off the annotated lines by a steady amount: another convention, not another place.

Two people who place "the outer helix" may each be exact and yet differ, one on the rim's crest, one on its edge. A
network shows the convention that it learned. Its mean offset from other people's points is the difference of the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.lines import line_directions
from data.schemes import Scheme
from utils.evaluation.metrics import normaliser_length


@dataclass(frozen=True)
class Offsets:
    """Signed offsets (images, landmarks) of predictions, in per cent of the scheme's normaliser.

    - `across`: across the line through the annotated points of a group, outwards from the middle of all points.
    - `along`: along that line, towards the group's last landmark.
    """

    scheme: Scheme
    across: np.ndarray
    along: np.ndarray

    def nme(self) -> float:
        """Mean distance of a landmark from its annotation, per cent."""
        return float(np.hypot(self.across, self.along).mean())

    def corrected_nme(self) -> float:
        """The same with each landmark's mean offset in the other images taken away; NaN for a single image."""
        count = len(self.across)
        if count < 2:
            return float("nan")
        left = [each - (each.sum(axis=0) - each) / (count - 1) for each in (self.across, self.along)]
        return float(np.hypot(*left).mean())

    def groups(self) -> dict[str, dict[str, float]]:
        """Of each group the mean `across` and `along`, and the standard error of each over the images."""
        found = {}
        for group in self.scheme.groups:
            row = {}
            for name, values in (("across", self.across), ("along", self.along)):
                means = values[:, list(group.indices)].mean(axis=1)
                row[name] = float(means.mean())
                row[f"{name}_error"] = float(means.std(ddof=1) / len(means) ** 0.5) if len(means) > 1 else float("nan")
            found[group.name] = row
        return found

    def to_json(self) -> dict:
        """All figures, with the mean offset of each landmark."""
        return {
            "images": len(self.across),
            "nme": self.nme(),
            "nme_corrected": self.corrected_nme(),
            "groups": self.groups(),
            "landmarks": {
                name: np.round(values.mean(axis=0), 3).tolist()
                for name, values in (("across", self.across), ("along", self.along))
            },
        }

    def table(self) -> str:
        """The groups as lines of text."""
        rows = [f"{'group':<12} across (%)      along (%)"]
        for name, row in self.groups().items():
            cells = [f"{row[each]:+5.2f} +- {row[f'{each}_error']:4.2f}" for each in ("across", "along")]
            rows.append(f"{name:<12} {cells[0]}   {cells[1]}")
        return "\n".join(rows)


def landmark_offsets(truth: np.ndarray, predicted: np.ndarray, scheme: Scheme) -> Offsets:
    """Offsets of predicted points from annotated ones, both (images, landmarks, 2) in pixels, of a whole scheme."""
    truth, predicted = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    along, across = line_directions(truth, scheme)
    apart = (predicted - truth) * (100 / normaliser_length(truth, scheme))[:, None, None]
    return Offsets(scheme, (apart * across).sum(axis=-1), (apart * along).sum(axis=-1))
