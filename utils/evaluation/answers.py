"""What a network answered on a share of the images, kept so that several shares can be scored together."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.datasets import Sample
from utils.common.cli import InputError
from utils.common.files import replacing
from utils.evaluation.scoring import Scores

ANSWERS = "answers.npz"  # of a report


def write_answers(folder: Path, scores: Scores) -> None:
    """Keep names, points (images, landmarks, 2) in pixels of the images, and confidences in a report's folder."""
    with replacing(folder / ANSWERS) as part, part.open("wb") as file:
        np.savez(
            file,
            names=np.array([sample.name for sample in scores.samples]),
            points=scores.predicted,
            confidence=scores.confidence,
            protocol=np.array(scores.summary["protocol"]),
            searcher=np.array(scores.summary.get("searcher", "")),
        )


def read_answers(
    reports: Sequence[str], name: str, samples: Sequence[Sample], count: int, protocol: str
) -> tuple[np.ndarray, np.ndarray, str]:
    """Points (images, `count`, 2) and confidences of the samples, and who searched, from the reports of several runs.

    `name` is that of the network's folder in each. Raises `InputError` for a report without one, of another network,
    protocol or searcher, and for an image that none of them has.
    """
    answers: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    searchers: list[str] = []
    for report in reports:
        path = Path(report) / name / ANSWERS
        try:
            with np.load(path, allow_pickle=False) as stored:
                names, points, confidence = stored["names"], stored["points"], stored["confidence"]
                was = str(stored["protocol"])
                searchers.append(str(stored["searcher"]))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as problem:
            raise InputError(f"--merge {report}: has no {name}/{ANSWERS}; name reports of --shard") from problem
        if points.shape != (len(names), count, 2) or confidence.shape != points.shape[:2]:
            raise InputError(f"--merge {report}: is of other landmarks than these weights'")
        if was != protocol:
            raise InputError(f"--merge {report}: was made with --protocol {was}; say that here too")
        if searchers[-1] != searchers[0]:
            other, one = (searcher or "none" for searcher in (searchers[-1], searchers[0]))
            raise InputError(f"--merge {report}: was made with --searcher {other}, {reports[0]} with {one}; take one")
        answers |= {each: (points[k], confidence[k]) for k, each in enumerate(names.tolist())}
    missing = [sample.name for sample in samples if sample.name not in answers]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"--merge: no report has {missing[0]}{more}; run the shard that is missing")
    found = [answers[sample.name] for sample in samples]
    points, confidence = (np.stack(each) for each in zip(*found, strict=True))
    return points, confidence, searchers[0]
