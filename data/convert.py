"""Write a dataset anew, as images with `.pts` files or as COCO: `python -m data.convert DATA --to coco --out DIR`.

DATA is whatever training reads, or a `.mat` file of COFW, which holds its images itself.

`python -m data.convert FOLDER --map MAP.json --out DIR` turns points of another template into `.pts` files. FOLDER
holds `NAME.csv` beside an image NAME of any suffix; DIR gets the image and `NAME.pts`, a dataset as any other. A map
(`data/maps/`) says where each landmark of a scheme lies among the template's points.
"""

from __future__ import annotations

import fnmatch
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline

from data.boxes import box_of
from data.datasets import Sample, find_samples
from data.formats import check_points, write_pts
from data.layouts import files_in
from data.readers.cofw import COUNT as COFW_COUNT
from data.readers.cofw import read_cofw
from data.schemes import SCHEMES, Scheme, read_scheme
from utils.common.cli import CommandLine, InputError, printable, run_main
from utils.common.files import check_writable, read_json, replacing, write_csv, write_json
from utils.common.images import IMAGE_SUFFIXES, decode_image, save_image

LARGEST_CSV = 1_000_000  # bytes: 189 points take three thousand

Place = int | list[int]  # a point of the template, or the mean of some


@dataclass(frozen=True)
class LandmarkMap:
    """Where the landmarks of `scheme` lie among the `points` of a template.

    `places`: for each landmark a curve's points and the fraction (0 to 1) of its length; a single point is a curve.
    """

    source: str
    points: int
    scheme: Scheme
    places: tuple[tuple[list[Place], float], ...]

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """The landmarks (count, 2) for the template's points (points, 2), pixels."""
        return np.array([_on_curve(np.array([_mean(points, p) for p in curve]), at) for curve, at in self.places])


def _mean(points: np.ndarray, place: Place) -> np.ndarray:
    return points[place] if isinstance(place, int) else points[place].mean(axis=0)


def _on_curve(knots: np.ndarray, fraction: float) -> np.ndarray:
    """The place (2,) on a smooth curve through `knots` (n, 2): a cubic spline over the length of its chords."""
    steps = np.linalg.norm(np.diff(knots, axis=0), axis=1)
    knots = knots[np.concatenate([[True], steps > 0])]  # a shut mouth: points that lie on each other
    if len(knots) == 1:
        return knots[0]
    chord = np.concatenate([[0.0], np.cumsum(steps[steps > 0])])
    return CubicSpline(chord, knots)(fraction * chord[-1])


def read_map(path: Path) -> LandmarkMap:
    """The map in a JSON file. Raises `InputError`, with the landmark, if it is none."""
    content = read_json(path, f"{path}: no map of landmarks")
    points = content.get("points") if isinstance(content, dict) else None
    if not isinstance(points, int) or isinstance(points, bool) or points < 1:
        raise InputError(f"{path}: 'points' is not how many points the template has")
    scheme = SCHEMES.get(str(content.get("scheme")))
    if scheme is None:
        raise InputError(f"{path}: 'scheme' is none of {', '.join(SCHEMES)}")
    entries = content.get("landmarks")
    if not isinstance(entries, list) or len(entries) != scheme.count:
        raise InputError(f"{path}: 'landmarks' is not a list of {scheme.count} entries")
    places = []
    for number, entry in enumerate(entries):
        entry = entry if isinstance(entry, dict) else {}
        curve = [entry["at"]] if "at" in entry else entry.get("curve")
        fraction = 0 if "at" in entry else entry.get("fraction")
        if not isinstance(curve, list) or not curve or not all(_is_place(place, points) for place in curve):
            raise InputError(
                f"{path}: landmark {number}: needs 'at' or 'curve', of indices from 0 to {points - 1} or lists of them"
            )
        if not isinstance(fraction, (int, float)) or not 0 <= fraction <= 1:
            raise InputError(f"{path}: landmark {number}: 'fraction' is not a number from 0 to 1")
        places.append((curve, float(fraction)))
    return LandmarkMap(str(path), points, scheme, tuple(places))


def _is_place(place: object, points: int) -> bool:
    """Whether a value of a map is an index or a list of some."""
    indices = place if isinstance(place, list) else [place]
    return bool(indices) and all(type(index) is int and 0 <= index < points for index in indices)


def read_points_csv(path: Path, count: int) -> np.ndarray:
    """Points (count, 2) float32 of a CSV file with a point x, y a line, 0-based pixels; a heading is passed over.

    Raises `InputError`, with the line where there is one, if it holds anything else or another number of points.
    """
    if path.stat().st_size > LARGEST_CSV:
        raise InputError(f"{path}: larger than {LARGEST_CSV // 1_000_000} MB, so no file of points")
    points = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        cells = [cell.strip() for cell in line.split(",")]
        if not line.strip() or (number == 1 and [cell.strip('"').lower() for cell in cells] == ["x", "y"]):
            continue
        try:
            x, y = map(float, cells)
        except ValueError:
            raise InputError(f"{path}: line {number} is not 'x,y' with decimal points: {line.strip()[:40]!r}") from None
        points.append((x, y))
    return check_points(np.array(points, dtype=np.float64).reshape(-1, 2), count, path)


def find_points(folder: Path, patterns: Sequence[str]) -> list[tuple[Path, Path]]:
    """The images of a folder with the `.csv` beside each, sorted; `patterns` (`london_*`) choose by the images' stems.

    Raises `InputError` if there is none, for points without an image, and for two images of one stem.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    images: dict[str, Path] = {}
    tables: dict[str, Path] = {}
    for path in files_in(folder, recursive=False):
        suffix = path.suffix.lower()
        if matches(path.stem, patterns) and (suffix == ".csv" or suffix in IMAGE_SUFFIXES):
            kind = tables if suffix == ".csv" else images
            if kind.setdefault(path.stem, path) != path:
                raise InputError(f"{path}: {kind[path.stem].name} has the same name; take one of them away")
    lost = next((path for stem, path in tables.items() if stem not in images), None)
    if lost:
        raise InputError(f"{lost}: no image of that name beside it; take the file away or leave it out by --match")
    if not tables:
        raise InputError(f"{folder}: no images with NAME.csv beside NAME.jpg whose names match {' '.join(patterns)}")
    return [(images[stem], table) for stem, table in tables.items()]


def matches(stem: str, patterns: Sequence[str]) -> bool:
    """Whether a name fits one of the patterns with * and ?, in this case of letters."""
    return any(fnmatch.fnmatchcase(stem, pattern) for pattern in patterns)


def copy_dataset(samples: Sequence[Sample], scheme: Scheme, out: Path, to: str) -> None:
    """Copy the images into a folder, and write their points `to` "pts" or "coco" there."""
    faces: dict[Path, list[Sample]] = {}
    for sample in samples:
        faces.setdefault(sample.image, []).append(sample)
    places = {image: Path(own[0].name).with_name(image.name) for image, own in faces.items()}
    for twice, times in Counter(places.values()).items():
        if times > 1:
            raise InputError(f"--out: two images would be {twice} there; convert one folder at a time")
    for image, place in places.items():
        with replacing(out / place) as part:
            shutil.copyfile(image, part)
    points = [(places[image].as_posix(), own[0].part, [face.points for face in own]) for image, own in faces.items()]
    (write_coco if to == "coco" else write_all_pts)(out, points, scheme)


def convert_dataset(data: Path, scheme: Scheme, out: Path, to: str, skip_bad: bool) -> None:
    """Read a dataset, or a file of COFW, and write it anew; says how much that was."""
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"--out {out}: is not empty; give a new folder")
    if data.suffix.lower() == ".mat":
        count = unpack_cofw(data, scheme, out, to)
    else:
        found = find_samples([data], scheme, skip_bad=skip_bad)
        for problem in found.problems:
            print(f"left out: {problem}")
        copy_dataset(found.samples, scheme, out, to)
        count = len(found.samples)
    print(f"{printable(out)}: {count} annotations of {scheme.count} {scheme.task} landmarks")


def unpack_cofw(path: Path, scheme: Scheme, out: Path, to: str) -> int:
    """Write the images of a file of COFW as PNG, with their points beside: the number of them."""
    if scheme.count != COFW_COUNT:
        raise InputError(f"{path}: holds {COFW_COUNT} points a face, {scheme.count} are needed; give --scheme cofw29")
    for _ in read_cofw(path):  # what is wrong with any face ends it before anything is written
        pass
    points = []
    for name, image, face in read_cofw(path):
        save_image(out / f"{name}.png", image)
        points.append((f"{name}.png", name.partition("_")[0], [face]))
    (write_coco if to == "coco" else write_all_pts)(out, points, scheme)
    return len(points)


Faces = list[tuple[str, str, list[np.ndarray]]]  # an image's path below the folder, its part, and the points of each


def write_all_pts(out: Path, faces: Faces, scheme: Scheme) -> None:
    """`NAME.pts` beside each image, or `NAME_1.pts`, `NAME_2.pts` ... where it shows several."""
    for name, _, several in faces:
        for number, points in enumerate(several, start=1):
            ending = f"_{number}.pts" if len(several) > 1 else ".pts"
            write_pts((out / name).with_name(Path(name).stem + ending), points)


def write_coco(out: Path, faces: Faces, scheme: Scheme) -> None:
    """`points.json` of COCO keypoints, or `points_train.json` and `points_test.json` where the dataset comes split."""
    lines = [
        [one + 1, other + 1]
        for group in scheme.groups
        for one, other in zip(group.indices, group.indices[1:] + group.indices[: int(group.closed)], strict=False)
        if one != other
    ]
    names = [scheme.name_of(k) for k in range(scheme.count)]
    category = {"id": 1, "name": scheme.task, "supercategory": "person", "keypoints": names, "skeleton": lines}
    for part in sorted({part for _, part, _ in faces}):
        images: list[dict] = []
        annotations: list[dict] = []
        for name, _, several in (each for each in faces if each[1] == part):
            height, width = decode_image(out / name).shape[:2]
            images.append({"id": len(images) + 1, "file_name": name, "width": width, "height": height})
            for points in several:
                left, top, right, bottom = box_of(points).round(3).tolist()
                there = np.isfinite(points[:, 0])
                values = np.where(np.isfinite(points[:, :1]), np.c_[points, 2 * there], 0).round(3).ravel().tolist()
                values[2::3] = map(int, values[2::3])
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": len(images), "category_id": 1, "iscrowd": 0}
                    | {"keypoints": values, "num_keypoints": int(there.sum())}
                    | {"bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top)}
                )
        content = {"images": images, "annotations": annotations, "categories": [category]}
        write_json(out / (f"points_{part}.json" if part else "points.json"), content)


def main(argv: list[str] | None = None) -> None:
    """Flags -> points, from a dataset or through a map -> images with points in the chosen format.

    Everything is read before anything is written.
    """
    parser = CommandLine(prog="python -m data.convert", description="Write a dataset anew, as .pts files or as COCO.")
    parser.add_argument("folder", metavar="DATA", help="a dataset; with --map images with NAME.csv beside NAME.jpg")
    ways = parser.add_mutually_exclusive_group(required=True)
    ways.add_argument("--to", choices=("pts", "coco"), help="write the dataset as it is, in this format")
    ways.add_argument(
        "--map", help="turn points x,y a line, 0-based, into .pts files by a map such as data/maps/*.json"
    )
    parser.add_argument("--out", required=True, help="folder for the images and their points")
    parser.add_argument(
        "--scheme", metavar="FILE", default="face68", help="with --to: which landmarks (default: face68)"
    )
    parser.add_argument("--skip-bad", action="store_true", help="with --to: leave out unusable images and list them")
    parser.add_argument("--match", nargs="+", default=["*"], metavar="PATTERN", help="take these names (default: all)")
    parser.add_argument(
        "--one-person", nargs="+", default=[], metavar="PATTERN", help="names that match a pattern are one person"
    )
    args = parser.parse_args(argv)

    out = Path(args.out)
    check_writable("--out", out)
    if out.resolve() == Path(args.folder).resolve():
        raise InputError("--out: is the folder that is read; give another")
    if args.to:
        convert_dataset(Path(args.folder), read_scheme(args.scheme), out, args.to, args.skip_bad)
        return
    to_landmarks = read_map(Path(args.map))
    found = find_points(Path(args.folder), args.match)
    landmarks = [to_landmarks(read_points_csv(table, to_landmarks.points)) for _, table in found]
    people = [("name", "identity")]
    for pattern in args.one_person:
        stems = [image.stem for image, _ in found if matches(image.stem, [pattern])]
        if not stems:
            raise InputError(f"--one-person {pattern}: matches no image that is converted")
        people += [(stem, stems[0]) for stem in stems]
    for (image, _), points in zip(found, landmarks, strict=True):
        with replacing(out / image.name) as part:
            shutil.copyfile(image, part)
        write_pts(out / f"{image.stem}.pts", points)
    if len(people) > 1:
        write_csv(out / "identities.csv", people)
    print(
        f"{printable(out)}: {len(found)} images with {to_landmarks.scheme.count} {to_landmarks.scheme.task} landmarks"
    )


if __name__ == "__main__":
    run_main(main)
