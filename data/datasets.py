"""Datasets on disk -> a list of samples, and the split by person or image.

`data.layouts` says which files are an image and its points; here they are read and checked.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from data.annotation import Annotation
from data.formats import PTS_ORIGIN, read_300w_lp, read_pts
from data.landmark_map import LandmarkMap
from data.layouts import (
    EAR_FILES,
    LEAST_SHOWN,
    NoSuchImagesError,
    Pair,
    files_in,
    find_pairs,
    is_face_folder,
    plain_name,
    stem_of,
    visible_fraction,
)
from data.schemes import EAR, FACE, Scheme
from utils.common.cli import InputError
from utils.common.files import read_json, write_csv
from utils.common.images import IMAGE_SUFFIXES, check_image_is_whole, decode_image, image_size, skipped_images

_ANNOTATION = re.compile(r"(_pts\.mat|\.mat|(\.face|\.ear_left|\.ear_right)?\.pts)$", re.IGNORECASE)
_COPY = re.compile(r"[_-](mirror(ed)?|h?flip(ped)?)$", re.IGNORECASE)  # at the end of a mirrored copy's stem
# Image diagonals that points may lie outside: those of a turned head are guessed, by some tens of per cent.
FARTHEST = 2
SMALLEST = 3  # pixels, the longer side of the points' box: the least drawn ear has 5, fractions of the image's size 1
LEAST_KNOWN = 2  # points of a face or ear that is annotated in part: two say where it is and how large
MOST_ON_ONE_SPOT = 6  # points: on a grid of 2 px, the coarsest that people train on, there are up to 5
# Spots where tools put what nobody annotated: (0, 0) and (-1, -1), counted from 0 or, in a .pts file, from 1.
NOT_ANNOTATED = ((0, 0), (-1, -1), (-2, -2))
PARTS = ("train", "validation", "test")
PROTOCOL_300W = "300w"  # as a split: 300-W's own protocol, and no other images
SUBSETS_300W = ("common", "challenging", "full")  # its test sets


class NoUsableImageError(InputError):
    """There are images or points of the scheme, but not one pair that can be used."""


@dataclass(frozen=True)
class Sample:
    """One annotated image.

    - `name`: the image's path below its dataset, unique within it.
    - `annotation`: what is known of its landmarks, in pixels of the image as displayed, 0-based.
    - `group`: the person if known, else the image; a split never parts a group.
    - `part`: "train" or "test" where the dataset comes split, else "".
    - `subset`: "common" or "challenging" in the test part of 300-W as it is handed out, else "".
    - `hidden` (landmarks,) bool: which landmarks are annotated though something hides them; None where nobody said.
    - `attributes`: what is said of the whole face, as WFLW does: "pose", "blur" and so on.
    """

    name: str
    image: Path
    annotation: Annotation
    group: str
    part: str = ""
    subset: str = ""
    hidden: np.ndarray | None = None
    attributes: tuple[str, ...] = ()

    @property
    def points(self) -> np.ndarray:
        """The landmarks (landmarks, 2) that scores and crops go by, of the first face or ear; NaN for a missing one."""
        present = self.annotation.present[0, :, None]
        return np.where(present, self.annotation.points[0], np.float32(np.nan))

    @property
    def complete(self) -> bool:
        """Whether no landmark of the first face or ear is missing."""
        return bool(self.annotation.present[0].all())

    @property
    def others(self) -> np.ndarray | None:
        """The other ears of the image, (n, landmarks, 2), n = 0 where none is to be seen; None: nobody looked."""
        return self.annotation.others

    @property
    def image_id(self) -> str:
        """12 hex digits that know the image again wherever its folder is: from its stem and its size in bytes."""
        return _sha256(f"{plain_name(self.image.stem)}:{self.image.stat().st_size}")[:12]


@dataclass
class DatasetListing:
    """What a dataset holds: its samples, and one line for each file that was left out (with its reason).

    `sizes`, width and height in pixels of each sample's image as displayed, are known where every image was decoded
    (`skip_bad`), else empty.
    """

    samples: list[Sample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)


def find_samples(
    folders: Iterable[str | os.PathLike],
    scheme: Scheme,
    points: str = "2d",
    skip_bad: bool = False,
    limit: int | None = None,
    progress: bool = False,
    landmark_map: LandmarkMap | None = None,
    points_dir: str | os.PathLike | None = None,
) -> DatasetListing:
    """Read every image's points below `folders` (several are mixed), in a fixed order; one may be a file of points.

    With `landmark_map` they are points of its source, and become landmarks of `scheme`. With `points_dir` they lie
    below that folder, those of one folder of images.

    `points` chooses between "2d" and "3d" points of `.mat` files. `limit` keeps that many images, chosen evenly over
    the sorted list. Images that cannot be used (points missing, unreadable, wrong in number, NaN or no face; image
    empty or truncated) raise an `InputError` that names the first and counts the rest. With `skip_bad` they are left
    out and listed in `DatasetListing.problems`. Raises `InputError` too if a folder is missing or holds nothing usable.
    Folders, and names of `identities.csv`, that go by unread are said on stdout.
    """
    found, source = DatasetListing(), scheme
    if landmark_map is not None:
        if landmark_map.source is None:
            raise InputError(
                f"--map {landmark_map.name}: is of points x,y a line; convert them with data.convert first"
            )
        if landmark_map.scheme != scheme:
            raise NoSuchImagesError(f"--map {landmark_map.name}: gives {landmark_map.scheme.task}, not {scheme.task}")
        source = landmark_map.source
    for folder in folders:
        pairs = find_pairs(Path(folder), source, None if points_dir is None else Path(points_dir))
        people = _read_identities(Path(folder) if Path(folder).is_dir() else Path(folder).parent)
        for pair in _watched(spread(pairs, limit), f"reading {folder}", progress):
            try:
                sample = _read_pair(pair, source, points, people)
                found.samples.append(sample if landmark_map is None else _mapped(sample, landmark_map))
            except InputError as problem:
                found.problems.append(str(problem))
    found.samples = _with_originals(found.samples)
    if skip_bad:
        _leave_out_undecodable(found, progress)
    if found.problems and not skip_bad:
        rest = f" (and {len(found.problems) - 1} more)" if len(found.problems) > 1 else ""
        raise InputError(f"{found.problems[0]}{rest}; mend it, or leave such images out with --skip-bad")
    if not found.samples:
        raise NoUsableImageError(f"no usable image, all {len(found.problems)} are bad; the first: {found.problems[0]}")
    return found


def _mapped(sample: Sample, landmark_map: LandmarkMap) -> Sample:
    """The sample with the landmarks that a map makes of its points."""
    points = landmark_map(sample.points)
    if np.isfinite(points).all(axis=1).sum() < LEAST_KNOWN:
        raise InputError(f"{sample.image}: of its points --map {landmark_map.name} makes fewer than {LEAST_KNOWN}")
    return replace(sample, annotation=Annotation.of(landmark_map.scheme, points), hidden=None)


def find_negatives(
    folders: Iterable[str | os.PathLike], scheme: Scheme, skip_bad: bool = False, flag: str = "--negatives"
) -> list[Sample]:
    """Negative images below `folders`, which show no face (or no ear), as training samples in a fixed order.

    Every landmark of theirs is annotated and none is present. An image is negative if its `NAME.json` says so
    (`"face_in_view": false`, as synthetic ear images have it, or `"ear_in_view"`). Without a `NAME.json` it is if there
    are no points beside it either, and it lies in no folder of a face dataset. Test parts are left out.

    Raises `InputError` if a folder is missing or holds none, or an image is empty or truncated; with `skip_bad` such an
    image is named and left out. Messages begin with `flag`.
    """
    found: list[Sample] = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise InputError(f"{flag} {folder}: no such folder")
        before, files = len(found), files_in(folder, recursive=True)
        annotated = {_folded(path, _ANNOTATION.sub("", path.name)) for path in files if _ANNOTATION.search(path.name)}
        # Several faces of one image.
        annotated |= {(place, re.sub(r"_\d{1,2}$", "", stem)) for place, stem in annotated}
        for image in files:
            within = [name.lower() for name in image.relative_to(folder.parent).parts[:-1]]
            ours = {"both", "test"}.intersection(within) or any(map(is_face_folder, within))
            if image.suffix.lower() not in IMAGE_SUFFIXES or ours:
                continue
            notes = image.with_suffix(".json")
            if notes.is_file():
                content = read_json(notes, f"{image}: its notes cannot be read")
                empty = isinstance(content, dict) and content.get(f"{scheme.task}_in_view") is False
            else:
                empty = _folded(image, image.stem) not in annotated
            if empty:
                try:
                    check_image_is_whole(image)
                except InputError as problem:
                    if not skip_bad:
                        raise
                    print(f"left out: {problem}")
                    continue
                name = image.relative_to(folder).as_posix()
                found.append(Sample(name, image, Annotation.absent(scheme), image.stem, "train"))
        if len(found) == before:
            raise InputError(
                f"{flag} {folder}: no image in it that shows no {scheme.task}, by what is known of them "
                "(test parts do not count)"
            )
        if skipped := skipped_images(files):
            print(f"negatives: {skipped}")
    if found:
        print(f"negatives: {len(found)} images that show no {scheme.task}")
    return found


def _folded(path: Path, stem: str) -> tuple[str, str]:
    """Folder and stem of a file whatever the stem's case: what may be an image's points makes it no negative."""
    folder, name = stem_of(path.parent, stem)
    return folder, name.casefold()


def spread(items: Sequence, limit: int | None) -> list:
    """At most `limit` of the items (None: all), chosen evenly over the list."""
    count = len(items) if limit is None else min(limit, len(items))
    return [items[k * len(items) // count] for k in range(count)]


def choose_part(
    samples: list[Sample],
    part: str,
    data: str | os.PathLike,
    split_file: str | os.PathLike | None = None,
    limit: int | None = None,
) -> list[Sample]:
    """The samples of `data` in a part of `PARTS`, in "all", or in one of 300-W's test sets; at most `limit` of them.

    Raises `InputError` if there is none, and as `split_samples` does.
    """
    parts = split_samples(samples, split_file) | {"all": samples}
    parts |= {name: [samples[k] for k in own] for name, own in subsets_of_300w(samples).items()}
    if not (chosen := spread(parts.get(part, []), limit)):
        hint = " (it wants 300-W as it is handed out: readme/datasets.md)" if part in SUBSETS_300W else ""
        raise InputError(f"{data}: its {part} part is empty{hint}; choose another --split")
    return chosen


def _watched(items: Iterable, what: str, progress: bool, total: int | None = None) -> Iterable:
    """The items, with a progress bar if `progress` and the output is a terminal."""
    from tqdm import tqdm

    return tqdm(items, desc=what, unit="image", total=total, leave=False, disable=None if progress else True)


def _leave_out_undecodable(found: DatasetListing, progress: bool) -> None:
    """Decode every image: fills `found.sizes`, and moves what cannot be decoded to `found.problems`.

    Only decoding finds an image that is whole at both ends and corrupt between.
    """

    def size(sample: Sample) -> tuple[int, int] | InputError:
        try:
            height, width = decode_image(sample.image).shape[:2]
        except InputError as problem:
            return problem
        return width, height

    with ThreadPoolExecutor() as pool:
        answers = list(_watched(pool.map(size, found.samples), "decoding", progress, len(found.samples)))
    bad = [isinstance(answer, InputError) for answer in answers]
    found.problems += [str(answer) for answer, out in zip(answers, bad, strict=True) if out]
    found.samples = [sample for sample, out in zip(found.samples, bad, strict=True) if not out]
    found.sizes = [answer for answer, out in zip(answers, bad, strict=True) if not out]


def _read_pair(pair: Pair, scheme: Scheme, points: str, people: dict[str, str]) -> Sample:
    if isinstance(pair.points, InputError):
        raise pair.points
    if pair.image is None:
        unreadable = pair.landmarks and skipped_images(
            pair.landmarks.parent.glob(f"{glob.escape(pair.landmarks.stem)}.*")
        )
        hint = f" ({unreadable})" if unreadable else ""
        raise InputError(f"{pair.landmarks}: points without an image of the same stem{hint}")
    if pair.landmarks is None:
        wanted = "NAME.pts, NAME_pts.mat or NAME.mat" if scheme is FACE else "NAME.pts"
        raise InputError(f"{pair.image}: image without points ({wanted})")
    if pair.twin:
        raise InputError(f"{pair.image}: {pair.twin.name} has the same stem, and points for one image; remove one")
    check_image_is_whole(pair.image)
    if pair.points is not None:
        landmarks = pair.points
    elif pair.landmarks.suffix.lower() == ".pts":
        landmarks = read_pts(pair.landmarks, scheme.count)
    else:
        landmarks = read_300w_lp(pair.landmarks, scheme.count, points)
    size = image_size(pair.image)
    if pair.size is not None and pair.size != size:
        said, held = (f"{width} x {height}" for width, height in (pair.size, size))
        raise InputError(
            f"{pair.where}: was annotated at {said} pixels, and {pair.image.name} has {held}; use the image that was "
            "annotated"
        )
    _check_shape(landmarks, scheme, pair.where or pair.landmarks, size)
    stem = plain_name(pair.image.stem)
    place = PurePosixPath(plain_name(pair.name)).parent
    original = [_original(part) for part in (*place.parts, stem)]
    names = (str(place / stem), stem, "/".join(original), original[-1])
    person = next((people[name] for name in names if name in people), "")
    others = _other_ears(pair.image, pair.landmarks, size) if scheme is EAR and pair.points is None else None
    annotation = Annotation.of(scheme, landmarks, others)
    group = person or _image_of(stem, pair.image.parent.name)
    return Sample(pair.name, pair.image, annotation, group, pair.part, pair.subset, pair.hidden, pair.attributes)


def _original(name: str) -> str:
    """The stem, or folder, of what a mirrored copy was made from."""
    return _COPY.sub("", name)


def _with_originals(samples: list[Sample]) -> list[Sample]:
    """The samples, mirrored copies with the group of their original, and in the test part where that is.

    The original is the image of its stem in the copy's folder, else all of its stem.
    """
    by_stem: dict[str, list[Sample]] = {}
    for sample in samples:
        by_stem.setdefault(plain_name(sample.image.stem), []).append(sample)

    def joined(sample: Sample) -> Sample:
        stem = plain_name(sample.image.stem)
        found = by_stem.get(_original(stem), []) if _original(stem) != stem else []
        found = [other for other in found if other.image.parent == sample.image.parent] or found
        if not found:
            return sample
        groups = {other.group for other in found}
        part = "test" if "test" in {other.part for other in found} else sample.part
        return replace(sample, group=sample.group if sample.group in groups else min(groups), part=part)

    return [joined(sample) for sample in samples]


def _other_ears(image: Path, landmarks: Path, size: tuple[int, int]) -> np.ndarray | None:
    """The ears that `NAME.json` says are to be seen beside the annotated one, (n, 55, 2); None if it does not say."""
    notes = image.with_suffix(".json")
    own = next((name for name in EAR_FILES if landmarks.name.endswith(f".{name}.pts")), None)
    if not notes.is_file() and own is None:
        return None
    content = read_json(notes, f"{image}: its notes cannot be read")
    complete = content.get("all_ears_annotated", False) if isinstance(content, dict) else None
    if not isinstance(complete, bool):
        raise InputError(f"{notes}: all_ears_annotated must be true or false")
    if own is not None:  # of `Both/`: every ear has a file of its own
        (name,) = (name for name in EAR_FILES if name != own)
        visible = visible_fraction(notes, content, name)
        if not complete or 0 < visible < LEAST_SHOWN:  # what shows of it is neither annotated nor nothing
            return None
        ears = [read_pts(image.with_name(f"{image.stem}.{name}.pts"), EAR.count)] if visible else []
    elif not complete:
        return None
    else:
        ears = content.get("other_ears", [])
    if not isinstance(ears, list):
        raise InputError(f"{notes}: other_ears is no list of ears of {EAR.count} points [x, y]")
    try:
        others = np.array(ears, dtype=np.float64) if ears else np.zeros((0, EAR.count, 2))
    except (TypeError, ValueError, OverflowError) as problem:
        raise InputError(f"{notes}: other_ears is no list of ears of {EAR.count} points [x, y]") from problem
    if others.ndim != 3 or others.shape[1:] != (EAR.count, 2) or len(others) >= EAR.instances:
        raise InputError(f"{notes}: other_ears must hold at most {EAR.instances - 1} ear of {EAR.count} points [x, y]")
    for ear in others:
        if not np.isfinite(ear).all():
            raise InputError(f"{notes}: other_ears must hold numbers only")
        _check_shape(ear, EAR, notes, size)
    return others.astype(np.float32)


def _check_shape(points: np.ndarray, scheme: Scheme, source: Path | str, size: tuple[int, int]) -> None:
    """Raise an `InputError` for points that are no face or ear in an image of that width and height.

    Those that are NaN are missing.
    """
    known = points[np.isfinite(points).all(axis=1)]
    if len(known) < LEAST_KNOWN:
        raise InputError(f"{source}: only {len(known)} of {len(points)} points are there, {LEAST_KNOWN} are needed")
    outside = np.nan_to_num(np.hypot(*np.maximum(np.maximum(-points, points - size), 0).T))
    if outside.max() > FARTHEST * math.hypot(*size):
        x, y = points[outside.argmax()]
        raise InputError(
            f"{source}: point {outside.argmax()} at ({x:.4g}, {y:.4g}) is more than {FARTHEST} diagonals away from the "
            f"image of {size[0]} x {size[1]} px"
        )
    if np.ptp(known, axis=0).max() < SMALLEST:
        raise InputError(
            f"{source}: all points lie within {np.ptp(known, axis=0).max():.2g} px: not annotated, or not in pixels"
        )
    written = PTS_ORIGIN if str(source).lower().endswith(".pts") else 0  # what the file itself says
    for (x, y), count in Counter(map(tuple, known.tolist())).items():
        if count > (1 if (x, y) in NOT_ANNOTATED else MOST_ON_ONE_SPOT):
            raise InputError(
                f"{source}: {count} points lie on one spot, ({x + written:.4g}, {y + written:.4g}): not annotated"
            )
    if isinstance(scheme.normaliser, tuple):
        one, other = scheme.normaliser
        if np.array_equal(points[one], points[other]):
            raise InputError(f"{source}: points {one} and {other} coincide, and errors are measured by their distance")


def _image_of(stem: str, folder: str = "") -> str:
    """The image that an image was made from: the copies and the faces of one image stay together in a split.

    300W-LP names its posed copies `AFW_<image>_<face>_<pose>`; those of LFPW (`LFPW_image_train_0001_<pose>`) have no
    face number. 300-W's own folder `afw` holds `<image>_<face>`. Mirrored copies are named `<image>_mirror` or
    `<image>_flip`.
    """
    stem = _original(stem)
    match = re.fullmatch(r"((?:AFW|HELEN|IBUG)_.+)_\d+_\d+", stem) or re.fullmatch(r"(LFPW_.+)_\d+", stem)
    if match is None and _original(folder).lower() == "afw":
        match = re.fullmatch(r"(.+)_\d{1,2}", stem)
    return match[1] if match else stem


def _read_identities(root: Path) -> dict[str, str]:
    """Image -> person, from `identities.csv` (columns name, identity) if the dataset has one.

    A name is an image's stem or its path below the dataset, with or without the suffix. Names that are no image's would
    part the images of a person: raises `InputError` if all are so, and says on stdout if some are.
    """
    path = root / "identities.csv"
    if not path.is_file():
        return {}
    endings = re.compile("|".join(re.escape(suffix) + "$" for suffix in IMAGE_SUFFIXES), re.IGNORECASE)
    table = _read_table(path, ("name", "identity"))
    people = {name: endings.sub("", plain_name(name.strip())) for name, _ in table}
    images = [path for path in files_in(root, recursive=True) if path.suffix.lower() in IMAGE_SUFFIXES]
    known = {
        plain_name(name)
        for image in images
        for name in (image.stem, image.relative_to(root).with_suffix("").as_posix())
    }
    lost = [name for name, image in people.items() if image not in known]
    if lost:
        shown = ", ".join(_shown(name) for name in lost[:3])
        if len(lost) == len(people):
            raise InputError(
                f"{path}: none of its {len(lost)} names is an image's ({shown}); a name is an image's stem, or its "
                f"path below {root}"
            )
        print(f"warning: {path}: {len(lost)} of {len(people)} names are no image's: {shown}")
    found: dict[str, str] = {}
    for name, person in table:
        person = unicodedata.normalize("NFC", person.strip())
        if person and found.setdefault(people[name], person) != person:
            raise InputError(f"{path}: says two persons for {_shown(name)}; give images of one stem by their paths")
    return found


def _shown(text: str) -> str:
    """A text of a table for a message: not too long, and what is no letter is escaped."""
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def _read_table(path: Path, columns: tuple[str, str], errors: str = "strict") -> list[tuple[str, str]]:
    wanted = f"{path}: not a readable CSV file in UTF-8 with the columns {', '.join(columns)}"
    try:
        with open(path, newline="", encoding="utf-8-sig", errors=errors) as stream:
            reader = csv.DictReader(stream, strict=True)  # a quote that is not closed would swallow lines
            if not set(columns).issubset(reader.fieldnames or ()):
                raise InputError(f"{wanted}; its first line is {_shown(','.join(reader.fieldnames or ()))}")
            rows = [(row[columns[0]], row[columns[1]]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise InputError(wanted) from problem
    for first, second in rows:
        if "\0" in f"{first}{second}":
            raise InputError(f"{path}: the line of {_shown(first or '')} holds a zero byte; save it anew")
        if first is None or second is None:
            raise InputError(f"{path}: the line of {_shown(first or '')} ends before its {columns[1]}")
    return rows


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()  # names of files need not be text


def part_of(sample: Sample) -> str:
    """The part of a sample, the same on every machine and for every seed.

    sha256 of the group (person if known, else image) modulo 10: 0 test, 1 validation, else train. Images that come
    as a test part stay there, and none of the others joins them.
    """
    if sample.part == "test":
        return "test"
    digit = int(_sha256(sample.group), 16) % 10
    if digit == 0:
        return "train" if sample.part == "train" else "test"
    return "validation" if digit == 1 else "train"


def split_samples(samples: list[Sample], split_file: str | os.PathLike | None = None) -> dict[str, list[Sample]]:
    """Samples by part ("train", "validation", "test"), each in the given order.

    `split_file` (CSV with columns name, part, as `write_split` writes it) overrides `part_of`; a name may be an image's
    path, its path below its dataset, or a group's. Raises `InputError` if it misses an image, names another part, or
    names two for one name. `PROTOCOL_300W` in its place is the split of `part_of`, and an `InputError` for images that
    are not of 300-W as it is handed out.
    """
    if split_file == PROTOCOL_300W:
        _refuse_all_but_300w(samples)
        split_file = None
    parts: dict[str, list[Sample]] = {part: [] for part in PARTS}
    chosen: dict[str, str] = {}
    for name, part in read_split(split_file) if split_file is not None else []:
        if chosen.setdefault(name, part) != part:
            raise InputError(
                f"{split_file}: says both {_shown(chosen[name])} and {_shown(part)} for {_shown(name)}; images of one "
                "name in several folders want their whole path there"
            )
    for sample in samples:
        names = [plain_name(name) for name in (sample.image.as_posix(), sample.name, sample.group)]
        if split_file is None:
            parts[part_of(sample)].append(sample)
            continue
        given = next((chosen[name] for name in names if name in chosen), None)
        if given not in parts:
            wrong = "has no line for" if given is None else f"says {_shown(given)} (not {', '.join(PARTS)}) for"
            raise InputError(f"{split_file}: {wrong} {sample.name}")
        parts[given].append(sample)
    return parts


def _refuse_all_but_300w(samples: Sequence[Sample]) -> None:
    handed_out = any(sample.subset for sample in samples)
    for sample in samples:
        if not handed_out or not (sample.subset or sample.part == "train"):
            raise InputError(
                f"the split {PROTOCOL_300W}: {sample.image} is not of 300-W as it is handed out (afw/, helen/ and "
                "lfpw/ with trainset/ and testset/, ibug/); give a folder with these alone, or another split"
            )


def subsets_of_300w(samples: Sequence[Sample]) -> dict[str, list[int]]:
    """The test sets of 300-W's own protocol that there are images of, by name: the places of theirs in `samples`.

    Common: the testsets of HELEN and LFPW, 554 images; challenging: ibug, 135; full: both, where both are there (Ren et
    al., "Face Alignment at 3000 FPS via Regressing Local Binary Features", CVPR 2014). Mirrored copies do not count.
    """
    counted = [k for k, sample in enumerate(samples) if sample.subset and not _COPY.search(sample.image.stem)]
    found = {name: [k for k in counted if samples[k].subset == name] for name in SUBSETS_300W[:2]}
    return found | {"full": counted} if all(found.values()) else {name: own for name, own in found.items() if own}


def subsets_of(samples: Sequence[Sample]) -> dict[str, list[int]]:
    """The images that are scored together beside the whole, by name: 300-W's test sets, and attributes as WFLW has."""
    attributes = dict.fromkeys(attribute for sample in samples for attribute in sample.attributes)
    return subsets_of_300w(samples) | {
        name: [k for k, sample in enumerate(samples) if name in sample.attributes] for name in attributes
    }


def split_rows(parts: dict[str, list[Sample]]) -> list[tuple[str, str]]:
    """Name and part of every image, in the order of `parts`.

    A name that several folders have, and not in the same part, would be ambiguous: there the image's path stands.
    """
    places: dict[str, set[str]] = {}
    for part, samples in parts.items():
        for sample in samples:
            places.setdefault(sample.name, set()).add(part)
    return [
        (plain_name(sample.name if len(places[sample.name]) == 1 else sample.image.as_posix()), part)
        for part, samples in parts.items()
        for sample in samples
    ]


def write_split(path: str | os.PathLike, parts: dict[str, list[Sample]]) -> None:
    """Write which image went where as CSV (name, part). `--split` and `read_split` read it back."""
    write_csv(path, [("name", "part"), *split_rows(parts)])


def read_split(path: str | os.PathLike) -> list[tuple[str, str]]:
    """The rows of a split file: names (of images or groups) and parts. Raises `InputError` if it is none."""
    return [(plain_name(name), part) for name, part in _read_table(Path(path), ("name", "part"), "surrogateescape")]
