"""Read a whole dataset and say what is in it: `python -m data.check DIR`.

Prints counts, image and shape sizes, points out of frame and every file that cannot be used, and draws a contact
sheet. Exit status 1 if any file cannot be used, 2 if there is no dataset at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.augment import Warp
from data.datasets import DatasetListing, Sample, find_samples, split_samples, spread
from data.drawing import Layer, contact_sheet, crop_with_landmarks, write_label
from data.landmark_map import read_map, target_of
from data.layouts import NoSuchImagesError
from data.schemes import SCHEMES, Scheme, read_scheme
from utils.common.cli import CommandLine, InputError, positive_int, printable, run_main
from utils.common.files import check_writable
from utils.common.images import decode_image, save_image

OTHER_COLOUR = (255, 255, 255)  # of a second ear on the contact sheet


def describe(found: DatasetListing, scheme: Scheme) -> list[str]:
    """The lines that `python -m data.check` prints about one scheme's images, all of them decoded."""
    sizes = np.array(found.sizes)
    points = np.stack([sample.points for sample in found.samples])
    outside = np.any((points < -0.5) | (points > sizes[:, None] - 0.5), axis=-1)
    missing = np.isnan(points[..., 0])
    longer = (np.nanmax(points, axis=1) - np.nanmin(points, axis=1)).max(axis=-1)
    parts = ", ".join(f"{len(samples)} {part}" for part, samples in split_samples(found.samples).items())
    groups = len({sample.group for sample in found.samples})
    return [
        f"{scheme.task}: {len(found.samples)} images of {groups} persons or images ({parts})",
        f"  image width   {_spread(sizes[:, 0])} px",
        f"  image height  {_spread(sizes[:, 1])} px",
        f"  {scheme.task} size     {_spread(longer)} px (longer side of the points' box)",
        _in_images("points out of frame", outside),
        *([_in_images("missing points", missing)] if missing.any() else []),
        *_describe_hidden(found.samples),
        *_describe_others(found.samples),
        f"  unusable: {len(found.problems)}",
    ]


def _describe_hidden(samples: Sequence[Sample]) -> list[str]:
    """How many points the annotation says are hidden, and how many images have each attribute."""
    hidden = [sample.hidden for sample in samples if sample.hidden is not None and sample.hidden.any()]
    attributes = Counter(attribute for sample in samples for attribute in sample.attributes)
    return [
        *([_in_images("hidden points", np.stack(hidden))] if hidden else []),
        *(f"  {attribute}: {count} images" for attribute, count in attributes.items()),
    ]


def _describe_others(samples: Sequence[Sample]) -> list[str]:
    """How many images say that all of their ears are annotated, and how many of those show a second."""
    known = [sample.others for sample in samples if sample.others is not None]
    if not known:
        return []
    return [f"  all ears annotated: {len(known)} images, a second ear in {sum(map(len, known))}"]


def _in_images(what: str, where: np.ndarray) -> str:
    """How many points (images, landmarks) are so, and in how many images."""
    return f"  {what}: {int(where.sum())} in {int(where.any(axis=1).sum())} images"


def _spread(values: np.ndarray) -> str:
    low, middle, high = np.percentile(values, (0, 50, 100))
    return f"{low:.0f} to {high:.0f}, median {middle:.0f}"


def draw_samples(samples: Sequence[Sample], scheme: Scheme, count: int = 32) -> np.ndarray:
    """A contact sheet of `count` images spread over the list, with their points, cut 2 x wider than the points."""
    images = []
    for sample in spread(samples, count):
        low, high = np.nanmin(sample.points, axis=0), np.nanmax(sample.points, axis=0)
        warp = Warp(tuple((low + high) / 2), 2 * max(float((high - low).max()), 1.0))
        layers: list[Layer] = [(sample.points, None, None)]
        layers += [(ear, None, OTHER_COLOUR) for ear in ([] if sample.others is None else sample.others)]
        image = crop_with_landmarks(decode_image(sample.image), warp, layers, scheme)
        images.append(write_label(image, Path(sample.name).stem[:30]))
    return contact_sheet(images, columns=8)


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = CommandLine(prog="python -m data.check", description="Read a whole dataset and say what is in it.")
    parser.add_argument("folder", metavar="DATA", help="folder that holds AFW/ or CollectionA/, or images with points")
    parser.add_argument(
        "--task", choices=tuple(SCHEMES), help="look for faces or ears only (default: whatever is there)"
    )
    parser.add_argument("--scheme", metavar="FILE", help="look for other landmarks: a file, or a name of data/schemes/")
    parser.add_argument(
        "--map", metavar="FILE", help="make landmarks of other points by a map: a file, or a name of data/maps/"
    )
    parser.add_argument("--points-dir", metavar="DIR", help="the points lie in this folder, under the images' names")
    parser.add_argument("--points", choices=("2d", "3d"), default="2d", help="which points of .mat files (default: 2d)")
    parser.add_argument("--limit", type=positive_int, help="look at only that many images")
    parser.add_argument("--out", default="runs/check", help="folder for the contact sheets (default: runs/check)")
    args = parser.parse_args(argv)

    if args.task and (args.scheme or args.map):
        raise InputError("--task: says faces or ears, where --scheme or --map says it too; leave it out")
    schemes = list(SCHEMES.values())
    landmark_map = read_map(args.map) if args.map else None
    if landmark_map is not None:
        schemes = [target_of(landmark_map, args.scheme)]
    elif args.scheme or args.task:
        schemes = [read_scheme(args.scheme) if args.scheme else SCHEMES[args.task]]
    check_writable("--out", Path(args.out))
    missing: list[InputError] = []
    unusable: dict[str, InputError] = {}  # by task
    problems = 0
    for scheme in schemes:
        try:
            found = find_samples(
                [args.folder],
                scheme,
                args.points,
                skip_bad=True,
                limit=args.limit,
                progress=True,
                landmark_map=landmark_map,
                points_dir=args.points_dir,
            )
        except NoSuchImagesError as nothing:
            missing.append(nothing)
            continue
        except InputError as bad:
            unusable[scheme.task] = bad
            continue
        problems += len(found.problems)
        print("\n".join(describe(found, scheme)))
        for problem in found.problems:
            print(f"    {problem}")
        sheet = Path(args.out) / f"{Path(args.folder).resolve().name}_{scheme.task}.png"
        save_image(sheet, draw_samples(found.samples, scheme))
        print(f"  contact sheet: {printable(sheet)}")
    if len(missing) + len(unusable) == len(schemes):
        raise next(iter([*unusable.values(), *missing]))
    for task, unread in unusable.items():
        print(f"{task}: {unread}")
    return 1 if problems or unusable else 0


if __name__ == "__main__":
    run_main(main)
