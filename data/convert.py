"""Write a dataset anew, as images with `.pts` files or as COCO: `python -m data.convert DATA --to coco --out DIR`.

DATA is whatever training reads, or a `.mat` file of COFW, which holds its images itself.

With `--map MAP` the points become the landmarks of another scheme on the way (`data.landmark_map`).

`python -m data.convert FOLDER --map MAP --out DIR`, without `--to`, turns points of a template into `.pts` files.
FOLDER holds `NAME.csv` beside an image NAME of any suffix; DIR gets the image and `NAME.pts`, a dataset as any other.
"""

from __future__ import annotations

import fnmatch
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from data.boxes import box_of
from data.datasets import Sample, find_samples
from data.formats import check_points, write_pts
from data.landmark_map import LandmarkMap, read_map, target_of
from data.layouts import files_in
from data.readers.coco import HIDDEN, VISIBLE
from data.readers.cofw import COUNT as COFW_COUNT
from data.readers.cofw import read_cofw
from data.schemes import Scheme, read_scheme
from utils.common.cli import CommandLine, InputError, printable, run_main
from utils.common.files import check_writable, replacing, write_csv, write_json
from utils.common.images import IMAGE_SUFFIXES, decode_image, save_image

LARGEST_CSV = 1_000_000  # bytes: 189 points take three thousand


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
    points = [
        (places[image].as_posix(), own[0].part, [(face.points, face.hidden) for face in own])
        for image, own in faces.items()
    ]
    (write_coco if to == "coco" else write_all_pts)(out, points, scheme)


def convert_dataset(
    data: Path,
    scheme: Scheme,
    out: Path,
    to: str,
    skip_bad: bool,
    landmark_map: LandmarkMap | None = None,
    points_dir: str | None = None,
) -> None:
    """Read a dataset, or a file of COFW, and write it anew; says how much that was.

    `landmark_map` and `points_dir` are as `find_samples` has them.
    """
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"--out {out}: is not empty; give a new folder")
    if data.suffix.lower() == ".mat":
        for flag, given in (("--map", landmark_map), ("--points-dir", points_dir), ("--skip-bad", skip_bad)):
            if given:
                raise InputError(f"{flag}: {data} holds its images itself; write them out first, without this flag")
        count = unpack_cofw(data, scheme, out, to)
    else:
        found = find_samples([data], scheme, skip_bad=skip_bad, landmark_map=landmark_map, points_dir=points_dir)
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
    points: Faces = []
    for name, image, face, hidden in read_cofw(path):
        save_image(out / f"{name}.png", image)
        points.append((f"{name}.png", name.partition("_")[0], [(face, hidden)]))
    (write_coco if to == "coco" else write_all_pts)(out, points, scheme)
    return len(points)


# An image's path below the folder, its part, and of each face the points and which are hidden (None: nobody said).
Faces: TypeAlias = list[tuple[str, str, list[tuple[np.ndarray, np.ndarray | None]]]]


def write_all_pts(out: Path, faces: Faces, scheme: Scheme) -> None:
    """`NAME.pts` beside each image, or `NAME_1.pts`, `NAME_2.pts` ... where it shows several."""
    for name, _, several in faces:
        for number, (points, _) in enumerate(several, start=1):
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
            for points, hidden in several:
                left, top, right, bottom = box_of(points).round(3).tolist()
                there = np.isfinite(points[:, 0])
                seen = np.where(np.zeros_like(there) if hidden is None else hidden, HIDDEN, VISIBLE)
                values = np.where(there[:, None], np.c_[points, seen], 0).round(3).ravel().tolist()
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
    parser.add_argument("--to", choices=("pts", "coco"), help="write the dataset in this format")
    parser.add_argument(
        "--map",
        metavar="FILE",
        help="make other landmarks by a map, such as those of data/maps/; without --to of points x,y a line, 0-based",
    )
    parser.add_argument("--points-dir", metavar="DIR", help="with --to: the points lie in this folder")
    parser.add_argument("--out", required=True, help="folder for the images and their points")
    parser.add_argument(
        "--scheme", metavar="FILE", help="with --to: which landmarks (default: face68, or those of --map)"
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
    if not (args.to or args.map):
        raise InputError("--to: say in which format, pts or coco; or give a --map for points x,y a line")
    for flag, value in (("--scheme", args.scheme), ("--points-dir", args.points_dir)):
        if value is not None and not args.to:
            raise InputError(f"{flag} {value}: goes with --to, which reads a dataset; leave one out")
    to_landmarks = read_map(args.map) if args.map else None
    if args.to:
        scheme = target_of(to_landmarks, args.scheme) if to_landmarks else read_scheme(args.scheme or "face68")
        data = Path(args.folder)
        convert_dataset(data, scheme, out, args.to, args.skip_bad, to_landmarks, args.points_dir)
        return
    assert to_landmarks is not None
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
