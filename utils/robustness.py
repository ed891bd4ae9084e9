"""How small and how turned may a head be? `python -m utils.robustness WEIGHTS`.

Built-in heads are placed in a 1280 x 720 frame at ten heights and eight angles, and looked for without any truth: by
the first pass alone (the whole picture, shrunk) and coarse to fine, as the demo does it. Prints a table by height and
one by angle (Markdown), and writes them with every figure as JSON.

An answer counts as found if its centre lies within half of the true box's diagonal; NMEs are those of what was found.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from data.augment import apply_matrix, warp_photo
from data.schemes import EAR, FACE, Scheme
from data.synthetic.film import HEAD_OF_FACE
from utils.errors import CommandLine, non_negative_int, positive_int, run_main
from utils.files import check_writable, replacing, write_json
from utils.startup import PRECISIONS

if TYPE_CHECKING:
    from data.synthetic.scene import Photo
    from utils.predict import LandmarkPredictor

FRAME = (720, 1280)  # height, width
HEIGHTS = (40, 55, 75, 105, 145, 200, 275, 375, 520, 700)  # of the head, pixels of the frame
ANGLES = (-60, -45, -30, -15, 0, 15, 30, 60)  # degrees, positive clockwise
MOST_YAW = 45  # degrees; beyond, the outer eye corners fall together and the face NME means little
EAR_IN_VIEW = 0.5  # share of an ear's points that must be seen for it to count
PASSES = ("coarse", "fine")


@dataclass(frozen=True)
class Placed:
    """A head in a frame: picture (720, 1280, 3) uint8 RGB and true points, the face's and those of the ears in view."""

    picture: np.ndarray
    face: np.ndarray
    ears: list[np.ndarray]


def heads(count: int, seed: int, size: int) -> Iterator[Photo]:
    """Photos of built-in heads, no more than 45 degrees from the front."""
    from data.synthetic.scene import draw_photo

    rng, drawn = np.random.default_rng(seed), 0
    while drawn < count:
        photo = draw_photo(rng, "both", size)
        if abs(photo.pose[0]) <= MOST_YAW:
            drawn += 1
            yield photo


def place_head(photo: Photo, height: float, angle: float) -> Placed:
    """A photo scaled so that its head is `height` pixels high, turned clockwise by `angle` degrees, mid-frame."""
    face = photo.points["face"]
    scale = height / (HEAD_OF_FACE * np.ptp(face[:, 1]))
    turn = math.radians(angle)
    linear = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    middle = (face.min(axis=0) + face.max(axis=0)) / 2
    matrix = np.column_stack([linear, np.array(FRAME[::-1]) / 2 - linear @ middle])
    fill = tuple(float(level) for level in photo.picture.mean(axis=(0, 1)))
    picture = warp_photo(photo.picture, matrix, FRAME[::-1], fill=fill)
    ears = [
        apply_matrix(matrix, photo.points[f"ear_{side}"])
        for side in ("left", "right")
        if photo.seen[f"ear_{side}"].mean() >= EAR_IN_VIEW
    ]
    return Placed(picture, apply_matrix(matrix, face), ears)


def error(scheme: Scheme, truth: np.ndarray, answers: list[np.ndarray]) -> float:
    """NME of the answer (points of the scheme) nearest to the truth; NaN if none is near enough to count as found."""
    from utils.metrics import nme, normaliser_length

    middle, near = truth.mean(axis=0), np.linalg.norm(np.ptp(truth, axis=0)) / 2
    apart = [np.linalg.norm(np.nanmean(points, axis=0) - middle) for points in answers]
    if not apart or min(apart) > near:
        return math.nan
    answer = answers[int(np.argmin(apart))]
    return float(np.asarray(nme(truth[None], answer[None], normaliser_length(truth[None], scheme)))[0])


def measure(predictor: LandmarkPredictor, photos: Iterable[Photo], total: int) -> list[dict]:
    """A row for each head, height, angle and task: NME of both passes as fractions, NaN where nothing was found."""
    rows = []
    with tqdm(total=total * len(HEIGHTS) * len(ANGLES), unit="frame", disable=None, dynamic_ncols=True) as bar:
        for photo in photos:
            for height in HEIGHTS:
                for angle in ANGLES:
                    placed = place_head(photo, height, angle)
                    found = {"coarse": predictor.coarse(placed.picture), "fine": predictor(placed.picture)}
                    targets = [(FACE, placed.face), *((EAR, ear) for ear in placed.ears)]
                    for scheme, truth in targets:
                        row = {"task": scheme.task, "height": height, "angle": angle}
                        for name, prediction in found.items():
                            face = [] if prediction.face is None else [prediction.face]
                            seen = face if scheme is FACE else prediction.ears.values()
                            row[name] = error(scheme, truth, [each.whole for each in seen])
                        rows.append(row)
                    bar.update()
    return rows


def table(rows: list[dict], by: str) -> str:
    """A Markdown table by "height" or "angle": found (%) and NME (%) of both passes, faces and ears; the NME of what
    each found, and of what both found, where the two can be compared.
    """
    heading = "head, px" if by == "height" else "turned, degrees"
    columns = [
        f"{task} {what}" for task in ("face", "ear") for what in ("found (%)", "NME (%)", "NME where both found (%)")
    ]
    lines = [f"| {heading} | " + " | ".join(columns) + " |", "|" + " --- |" * (1 + len(columns))]
    for value in [*dict.fromkeys(row[by] for row in rows), "all"]:
        cells = []
        for task in ("face", "ear"):
            chosen = [row for row in rows if row["task"] == task and value in (row[by], "all")]
            errors = {name: np.array([row[name] for row in chosen]) for name in PASSES}
            known = {name: np.isfinite(values) for name, values in errors.items()}
            both = known["coarse"] & known["fine"]
            cells.append(" / ".join(f"{100 * known[name].sum() / max(1, len(chosen)):.0f}" for name in PASSES))
            for counted in (known, dict.fromkeys(PASSES, both)):
                means = (errors[name][counted[name]].mean() if counted[name].any() else None for name in PASSES)
                cells.append(" / ".join("-" if mean is None else f"{100 * mean:.2f}" for mean in means))
        lines.append(f"| {value} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = CommandLine(
        prog="python -m utils.robustness", description="Score the demo's search on heads of many sizes and angles."
    )
    parser.add_argument("weights", help="weights file")
    parser.add_argument("--heads", type=positive_int, default=6, help="heads, each placed 80 times (default: 6)")
    parser.add_argument("--seed", type=non_negative_int, default=9000, help="of the heads (default: 9000)")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="auto (default): the fastest here")
    parser.add_argument("--out", default="runs/robustness", help="folder for the report (default: %(default)s)")
    args = parser.parse_args()
    check_writable("--out", Path(args.out))

    from utils.predict import LandmarkPredictor

    predictor = LandmarkPredictor(args.weights, precision=args.precision)
    rows = measure(predictor, heads(args.heads, args.seed, FRAME[0]), args.heads)
    text = f"{table(rows, 'height')}\n\n{table(rows, 'angle')}\n"
    print(f"first pass alone / coarse to fine\n\n{text}")
    out = Path(args.out)
    with replacing(out / "table.md") as part:
        part.write_text(text, encoding="utf-8")
    write_json(out / "rows.json", rows)
    print(f"table.md and rows.json in {out}")


if __name__ == "__main__":
    run_main(main)
