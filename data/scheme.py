"""A first scheme of your own landmarks: `python -m data.scheme new --from annotations.json --out my.json`.

It comes from a file of COCO keypoints: the names and the skeleton of its category, and the shape of what is annotated.
Beside the scheme lies a picture of it, numbered. Look at it, then correct the file by hand: its flip pairs are guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.drawing import draw_scheme
from data.readers import LARGEST
from data.readers.coco import read_coco, short_name
from data.schemes import SCHEMES, Group, Scheme
from utils.common.cli import CommandLine, InputError, printable, run_main
from utils.common.files import check_writable, read_json, write_json
from utils.common.images import save_image
from utils.common.schema import TEXT, check_values, list_of, whole

COLOURS = ((255, 170, 60), (90, 150, 255), (120, 220, 255), (120, 230, 120), (255, 110, 150), (200, 140, 255))  # RGB
SIDES = {"left": "right", "right": "left", "l": "r", "r": "l"}


def read_category(path: Path, name: str | None) -> tuple[str, list[str], list[tuple[int, int]], np.ndarray]:
    """Of a COCO file: the category's name, its keypoints' names, its skeleton from 0, and all points of it.

    The points are (annotations, landmarks, 2) pixels, NaN where missing. Without `name` the only category with
    keypoints is taken. Raises `InputError`, which names the file and the key.
    """
    content: object = read_json(path, f"--from {path}", LARGEST)
    content = content if isinstance(content, dict) else {}
    listed = content.get("categories")
    categories = [c for c in listed if isinstance(c, dict) and c.get("keypoints")] if isinstance(listed, list) else []
    names = ", ".join(str(c.get("name"))[:40] for c in categories)
    chosen = [c for c in categories if name in (None, c.get("name"))]
    if not chosen:
        which = f"no category {name}, only {names}" if categories else "no category with keypoints"
        raise InputError(f"--from {path}: categories: {which}")
    if len(chosen) > 1:
        raise InputError(f"--from {path}: categories: there are {names}; choose one by --category")
    category = chosen[0]
    try:
        kinds = {"name": TEXT, "keypoints": list_of(TEXT)}
        check_values(category, kinds, required=("name", "keypoints"))
        count = len(category["keypoints"])
        skeleton = category.get("skeleton") or []
        check_values({"skeleton": skeleton}, {"skeleton": list_of(list_of(whole(1, count)))})
        if any(len(line) != 2 for line in skeleton):
            raise ValueError("skeleton: a line does not join two keypoints")
    except ValueError as problem:
        raise InputError(f"--from {path}: categories: {problem}") from problem
    own = {**content, "annotations": _annotations_of(content, category.get("id"))}
    points = [entry.points for entry in read_coco(path, own) if isinstance(entry.points, np.ndarray)]
    fitting = [each for each in points if len(each) == count]
    if not fitting:
        raise InputError(f"--from {path}: annotations: none has the {count} keypoints of {category['name']}")
    lines = [(one - 1, other - 1) for one, other in skeleton]
    return category["name"], category["keypoints"], lines, np.stack(fitting)


def _annotations_of(content: dict, category: object) -> object:
    every = content.get("annotations")
    if not isinstance(every, list):
        return every
    return [each for each in every if not isinstance(each, dict) or each.get("category_id", category) == category]


def flip_pairs(names: Sequence[str]) -> list[tuple[int, int]]:
    """The landmarks whose names differ in their side alone: "left_eye" and "right_eye", "l1" and "r1"."""
    known = {_words(name): k for k, name in enumerate(names)}
    mirrored = [tuple(SIDES.get(word, word) for word in _words(name)) for name in names]
    return [(k, known[other]) for k, other in enumerate(mirrored) if k < known.get(other, -1)]


def _words(name: str) -> tuple[str, ...]:
    """The words and numbers of a name: "LeftEye-2" has left, eye and 2."""
    return tuple(word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+", name))


def runs(lines: Sequence[tuple[int, int]], count: int) -> list[tuple[list[int], bool]]:
    """Every landmark in one run of the skeleton's lines, and whether the run is closed.

    Runs begin at ends, so a branch is a run of its own. A landmark without a line is a run of one.
    """
    beside: dict[int, set[int]] = {k: set() for k in range(count)}
    for one, other in lines:
        if one != other:
            beside[one].add(other)
            beside[other].add(one)
    left, found = set(range(count)), []
    for start in sorted(range(count), key=lambda k: (len(beside[k]) > 1, k)):
        if start not in left:
            continue
        run = [start]
        left.remove(start)
        while following := sorted(beside[run[-1]] & left):
            run.append(following[0])
            left.remove(following[0])
        found.append((run, len(run) > 2 and start in beside[run[-1]]))
    return sorted(found)


def typical_shape(points: np.ndarray, pairs: Sequence[tuple[int, int]] = ()) -> np.ndarray:
    """The median shape (landmarks, 2) of points (annotations, landmarks, 2), its box from 0 with a longer side of 1.

    Where a mirror swaps `pairs` of landmarks, the shape is its own mirror image, whichever way the heads were turned.
    Of annotations in part only what is there counts, in the box of what is there; complete ones go before them. Raises
    a ValueError if a landmark is annotated nowhere, or all lie on one spot.
    """
    complete = np.isfinite(points).all(axis=(1, 2))
    points = points[complete] if complete.any() else points
    for landmark in np.flatnonzero(np.isnan(points[..., 0]).all(axis=0)):
        raise ValueError(f"keypoint {landmark} is annotated nowhere")
    low, high = np.nanmin(points, axis=1, keepdims=True), np.nanmax(points, axis=1, keepdims=True)
    side = (high - low).max(axis=-1, keepdims=True)
    if not (side > 0).all():
        raise ValueError("all keypoints of an annotation lie on one spot")
    shape = np.nanmedian((points - low) / side, axis=0)
    if pairs:
        order = np.arange(len(shape))
        order[[k for pair in pairs for k in pair]] = [k for pair in pairs for k in reversed(pair)]
        shape = (shape + ((1, 0) + shape * (-1, 1))[order]) / 2
    shape = shape - shape.min(axis=0)
    return shape / shape.max()


def new_scheme(path: Path, category: str | None = None, task: str | None = None) -> Scheme:
    """A scheme of the keypoints of a COCO file. Raises `InputError` for a file, category or task that will not do."""
    name, names, lines, points = read_category(path, category)
    task = task or short_name(name, len(names))
    if task in SCHEMES:
        raise InputError(f"--task {task}: is that of a scheme that ships; name it otherwise")
    groups = [
        Group(re.sub("[^a-z0-9_]+", "_", names[run[0]].lower())[:40] or "points", tuple(run), closed, colour)
        for k, (run, closed) in enumerate(runs(lines, len(names)))
        for colour in [COLOURS[k % len(COLOURS)]]
    ]
    pairs = flip_pairs(names)
    try:
        scheme = Scheme(
            task=task,
            source=f"{len(names)} keypoints of {name}",
            count=len(names),
            groups=tuple(groups),
            flip_pairs=tuple(pairs),
            normaliser="box_diagonal",
            instances=1,
            annotated_sides=None,
            inner=(),
            reference=tuple(map(tuple, typical_shape(points, pairs).round(4).tolist())),
            # What a COCO file does not tell, as the shipped schemes of faces have it.
            failure_at=0.1,
            crop_side=1.6,
            train_sides=(1.15, 4.0),
            train_squeeze=(0.85, 1.0),
            names=tuple(names) if len(set(names)) == len(names) else (),
        )
        return Scheme.from_json(scheme.to_json())
    except ValueError as problem:
        raise InputError(f"--from {path}: {problem}") from problem


def main(argv: list[str] | None = None) -> None:
    """Flags -> category and annotations -> a scheme's file and its picture."""
    parser = CommandLine(prog="python -m data.scheme", description="Write a first scheme of your own landmarks.")
    parser.add_argument("action", choices=("new",), help="write a new scheme")
    parser.add_argument("--from", dest="source", required=True, metavar="FILE", help="COCO keypoints, a JSON file")
    parser.add_argument("--category", metavar="NAME", help="which category of the file (default: the only one)")
    parser.add_argument("--task", help="the scheme's short name (default: the category's and the number of landmarks)")
    parser.add_argument("--out", required=True, metavar="FILE", help="the .json file to write, and beside it a .png")
    args = parser.parse_args(argv)
    out = Path(args.out)
    if out.suffix != ".json":
        raise InputError(f"--out {out}: a scheme is a .json file; give a name that ends so")
    if out.exists():
        raise InputError(f"--out {out}: is there already; name another file")
    check_writable("--out", out.parent)
    scheme = new_scheme(Path(args.source), args.category, args.task)
    picture = out.with_suffix(".png")
    save_image(picture, draw_scheme(scheme))
    write_json(out, scheme.to_json())
    swapped = len(scheme.flip_pairs)
    print(f"{printable(out)}: {scheme.count} landmarks, of which a mirror swaps {swapped} pairs, guessed from names")
    print(f"Look at {printable(picture)} and correct the file: pairs, lines and what errors are divided by.")


if __name__ == "__main__":
    run_main(main)
