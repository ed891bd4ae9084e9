"""The report of a detection curve: JSON, CSV, the plot, and what was drawn wrong or missed, to look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from data.augment import Warp, apply_matrix, warp_image
from data.boxes import box_of
from data.drawing import contact_sheet, paint_landmarks, paint_square, write_label
from data.schemes import SCHEMES
from utils.common.files import write_csv, write_json
from utils.common.images import decode_image, save_image
from utils.evaluation.detection import Judged, Point
from utils.evaluation.plots import new_figure, write_figure
from utils.evaluation.scoring import Answer

CELL = 320  # pixels a side of a picture of the contact sheets
MOST_CELLS = 48
SURROUNDINGS = 6.0  # sides of an answer's box that a picture of it shows, at most the whole image


def write_detection_report(
    folder: Path,
    curves: Mapping[str, Sequence[Point]],
    judged: Sequence[Judged],
    chosen: Mapping[str, float],
    landmarks: Mapping[str, Sequence[int]],
    title: str,
) -> None:
    """Write curves.json, curves.csv, curves.png, images.csv, and for each task wrong_TASK.png and missed_TASK.png.

    `images.csv` and the pictures tell of the `chosen` thresholds. `landmarks`: which of a scheme's a network knows.
    """
    points = [point for curve in curves.values() for point in curve]
    write_json(
        folder / "curves.json",
        {
            task: {"chosen": chosen[task], "points": [asdict(point) for point in curve]}
            for task, curve in curves.items()
        },
    )
    names = [field.name for field in fields(Point)]
    write_csv(folder / "curves.csv", [names, *([_cell(getattr(point, name)) for name in names] for point in points)])
    plot_curves(folder / "curves.png", curves, chosen, title)
    at_chosen = [each for each in judged if each.threshold == chosen[each.task]]
    rows = [
        (
            each.task,
            each.photo.kind,
            each.photo.image,
            each.true,
            each.right,
            each.wrong,
            " ".join(f"{answer.confidence.mean():.3f}" for answer in each.answers),
        )
        for each in at_chosen
    ]
    write_csv(
        folder / "images.csv", [("task", "kind", "image", "true", "right", "wrong", "scores"), *map(_texts, rows)]
    )
    for task in curves:
        mine = [each for each in at_chosen if each.task == task]
        _write_sheet(folder / f"wrong_{task}.png", [each for each in mine if each.wrong], landmarks[task])
        _write_sheet(folder / f"missed_{task}.png", [each for each in mine if each.right < each.true], landmarks[task])


def plot_curves(path: Path, curves: Mapping[str, Sequence[Point]], chosen: Mapping[str, float], title: str) -> None:
    """Precision, recall and false alarms over the threshold as a PNG, a panel for each task."""
    figure, panels = new_figure(title, len(curves))
    lines = {
        "recall": ("found (recall)", "-"),
        "precision": ("drawn are right (precision)", "--"),
        "people": ("images of --people that get one", "-."),
        "negatives": ("images without people that get one", ":"),
    }
    for axes, (task, curve) in zip(panels, curves.items(), strict=True):
        thresholds = [point.threshold for point in curve]
        for number, (name, (label, style)) in enumerate(lines.items()):
            values = [getattr(point, name) for point in curve]
            if any(value is not None for value in values):  # where nothing is drawn there is no precision
                shown = [np.nan if value is None else 100 * value for value in values]
                axes.plot(thresholds, shown, style, color=f"C{number}", marker=".", label=label)
        axes.axvline(chosen[task], color="gray", linewidth=1, label=f"threshold {chosen[task]:g}")
        axes.set(title=f"{task}s", xlabel="threshold (score)", ylabel="%", ylim=(0, 101))
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
    write_figure(path, figure)


def _cell(value: object) -> object:
    return f"{value:.4f}" if isinstance(value, float) else value


def _texts(row: tuple) -> list:
    return [str(cell) if isinstance(cell, Path) else cell for cell in row]


def _write_sheet(path: Path, judged: Sequence[Judged], landmarks: Sequence[int]) -> None:
    """Pictures of answers and true boxes (white); a sheet of an earlier report goes where there is nothing to show."""
    if not judged:
        path.unlink(missing_ok=True)
        return
    save_image(path, contact_sheet([_picture(each, landmarks) for each in judged[:MOST_CELLS]], columns=6))


def _picture(judged: Judged, landmarks: Sequence[int]) -> np.ndarray:
    """What an image got (colours) and what is there (white boxes), round the first wrong answer or missed box."""
    image = decode_image(judged.photo.image)
    boxes = judged.photo.truth[judged.task].boxes
    places = [box_of(answer.points) for answer, hit in _pairs(judged) if not hit] or list(
        () if boxes is None else boxes
    )
    warp = _around(places[0] if places else None, image.shape)
    matrix = warp.matrix(CELL)
    picture = warp_image(image, matrix, CELL)
    for left, top, right, bottom in () if boxes is None else boxes:
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        paint_square(picture, apply_matrix(matrix, corners), "")
    for answer in judged.answers:
        paint_landmarks(picture, apply_matrix(matrix, answer.points), SCHEMES[judged.task], landmarks)
    scores = " ".join(f"{answer.confidence.mean():.2f}" for answer in judged.answers)
    return write_label(picture, f"{judged.photo.image.stem[:24]}  {scores}".strip())


def _pairs(judged: Judged) -> Iterable[tuple[Answer, bool]]:
    return zip(judged.answers, judged.hits, strict=True)


def _around(box: np.ndarray | None, shape: tuple[int, ...]) -> Warp:
    """A square of the image round a box, or of all of it."""
    height, width = shape[:2]
    whole = float(max(height, width))
    if box is None:
        return Warp(((width - 1) / 2, (height - 1) / 2), whole)
    side = min(SURROUNDINGS * float((box[2:] - box[:2]).max()), whole)
    if side == whole:
        return Warp(((width - 1) / 2, (height - 1) / 2), whole)
    return Warp((float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2), side)
