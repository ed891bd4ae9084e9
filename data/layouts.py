"""Folders on disk -> which image goes with which file of points.

Layouts that are recognised below the folder given as `--data`:

- 300W-LP as its zip unpacks: `AFW/NAME.jpg`, `AFW_Flip/...`, `HELEN/...` with `landmarks/AFW/NAME_pts.mat`, or each
  image's own `NAME.mat` beside it;
- 300W-LP as the predecessor laid it out: `AFW/NAME.jpg` with `AFW_landmark/NAME_pts.mat`;
- 300-W as handed out: `afw/`, `helen/trainset`, `helen/testset`, `lfpw/trainset`, `lfpw/testset`, `ibug/`, images with
  `.pts`; helen's and lfpw's `testset` (its common subset) and `ibug` (its challenging one) are the test part;
- ibug-ears: `CollectionA/train` and `CollectionA/test`, images with `.pts` of the same stem; synthetic ears have a
  `NAME.json` too, which says that all ears are annotated (`all_ears_annotated`) and where the other is (`other_ears`);
- synthetic heads for scoring: `Both/NAME.jpg` with `NAME.face.pts`, `NAME.ear_left.pts`, `NAME.ear_right.pts` and
  `NAME.json`; read where there is no layout above, and all of it is a test part;
- any folder of images with `.pts` (or, for faces, `.mat`) of the same stem, subfolders included;
- where there is none of these, files of a format of `data.readers`, each of which names its images. Such a file is
  read by its own path too.

Names of folders count in any case, so that Windows, macOS and Linux read the same. Several faces of one image are
`NAME_1.pts`, `NAME_2.pts` ... beside `NAME.jpg`, which then has no `NAME.pts`.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.formats import check_points, said_count
from data.readers import LOADERS, read_entries
from data.readers.entry import Entry
from data.schemes import EAR, FACE, SCHEMES, Scheme
from utils.common.cli import InputError, printable
from utils.common.files import read_json
from utils.common.images import IMAGE_SUFFIXES, skipped_images

FACE_FOLDERS = ("afw", "helen", "ibug", "lfpw")  # in any case, and with `_flip`
FACE_ENDINGS = (".pts", "_pts.mat", ".mat")
SETS_OF_300W = {"trainset", "testset"}
ANNOTATION_SUFFIXES = tuple(LOADERS)
EAR_FILES = ("ear_left", "ear_right")  # of an image in `Both/`: NAME.ear_left.pts
LEAST_SHOWN = 0.4  # fraction of an ear's points that must be visible in `Both/`

_WHERE_TO_GET = {
    "face": "300W-LP (see readme/datasets.md) unpacks to AFW/NAME.jpg with landmarks/AFW/NAME_pts.mat; "
    "a folder of images with NAME.pts beside NAME.jpg also does",
    "ear": "ibug-ears (see readme/datasets.md) unpacks to CollectionA/train/NAME.png with NAME.pts beside it; "
    "a folder of images with NAME.pts beside NAME.jpg also does",
}


def where_to_get(scheme: Scheme) -> str:
    """Where images of a scheme come from, or how their folder must look."""
    loose = f"give a folder of images with NAME.pts, of {scheme.count} points, beside NAME.jpg"
    return _WHERE_TO_GET.get(scheme.task, loose)


class NoSuchImagesError(InputError):
    """There are no images with points of the scheme at all."""


@dataclass(frozen=True)
class Pair:
    """An image and the file with its points; either is None where it is missing.

    `name` is the image's path below its dataset; `part` is "train" or "test" where the dataset comes split. `subset` is
    "common" or "challenging" in the test part of 300-W. `twin` is another image of the same stem, so that it is unknown
    whose the points are.

    Where `landmarks` holds the points of several images, `points` are this image's, or what is wrong with them, and
    `where` names their place in it. `hidden`, `attributes` and `size` are as an `Entry` has them.
    """

    name: str
    image: Path | None
    landmarks: Path | None
    part: str = ""
    twin: Path | None = None
    subset: str = ""
    points: np.ndarray | InputError | None = None
    where: str = ""
    hidden: np.ndarray | None = None
    attributes: tuple[str, ...] = ()
    size: tuple[int, int] | None = None


def find_pairs(root: Path, scheme: Scheme, points_dir: Path | None = None) -> list[Pair]:
    """The images and points of a scheme below `root`, sorted by name, whatever the layout; `root` may be a file.

    With `points_dir` the points lie below that folder, as in `_apart`. Raises `InputError` if the folder is missing or
    holds a known layout one folder deeper, `NoSuchImagesError` if there are no points of the scheme in it.
    """
    if root.is_file() and root.suffix.lower() in ANNOTATION_SUFFIXES:
        return _listed(root, scheme)
    if not root.is_dir():
        what = "is no folder" if root.exists() else "no such folder"
        if root.is_file() and root.suffix.lower() == ".mat":
            raise InputError(f"{root}: {what}; the images of COFW come out with python -m data.convert --to coco")
        raise InputError(f"{root}: {what}; {where_to_get(scheme)}")
    if points_dir is not None:
        return _apart(root, points_dir, scheme)
    hint = ""
    pairs: list[Pair] = []
    if scheme in (FACE, EAR):  # of no other is a dataset's layout known
        pairs = _face_layouts(root) if scheme is FACE else _ear_layouts(root)
        if not any(pair.landmarks for pair in pairs):
            pairs = _both_layout(root, scheme)
        if not any(pair.landmarks for pair in pairs):
            _refuse_nested(root, "CollectionA" if scheme is EAR else "AFW")
    if not any(pair.landmarks for pair in pairs):
        pairs = _match(root, root, FACE_ENDINGS if scheme is FACE else (".pts",), recursive=True)
        if _are_of_another_scheme(pairs, scheme):
            pairs, hint = [], " (its .pts files hold other landmarks)"
    if not any(pair.landmarks for pair in pairs):
        pairs = _listed(root, scheme)
    elif any(pair.image and not pair.landmarks for pair in pairs):
        _refuse_two_kinds(root, scheme, pairs)
    if not any(pair.landmarks for pair in pairs):
        files = files_in(root, recursive=True)
        skipped = skipped_images(files)
        hint += f" ({skipped})" if skipped else ""
        lists = (path for path in files if path.suffix.lower() in (".txt", ".xml"))
        passed = next((path for path in lists if not path.stem.lower().startswith(("readme", "licen"))), None)
        hint += f" ({passed.name} is of no format that is read)" if passed and not hint else ""
        raise NoSuchImagesError(f"{root}: no {scheme.task} images with points in it{hint}; {where_to_get(scheme)}")
    return sorted(pairs, key=lambda pair: pair.name)


def _refuse_two_kinds(root: Path, scheme: Scheme, pairs: list[Pair]) -> None:
    """Raise an `InputError` where some images have a file of points each, and a list has the points of more images."""
    try:
        listed = [pair for pair in _listed(root, scheme) if pair.image and isinstance(pair.points, np.ndarray)]
    except InputError:  # a file of another purpose beside the images
        return
    annotated = [pair for pair in pairs if pair.image and pair.landmarks]
    if len(listed) > len(annotated):
        raise InputError(
            f"{root}: {listed[0].landmarks} has the points of {len(listed)} images, and {len(annotated)} have a file "
            "of their own; keep one kind, or give the former by its path"
        )


def _apart(root: Path, points_dir: Path, scheme: Scheme) -> list[Pair]:
    """The images below `root` with points below another folder, sorted by name.

    A file of points has its image's stem, and lies in the folder of the same name; or no other image has that stem.
    Files of a format of `data.readers` name their images. Raises `NoSuchImagesError` if there are none for any image.
    """
    if not points_dir.is_dir():
        raise InputError(f"--points-dir {points_dir}: no such folder")
    pairs = _match(root, root, FACE_ENDINGS if scheme is FACE else (".pts",), points_dir, recursive=True)
    if not any(pair.image and pair.landmarks for pair in pairs):
        pairs = _listed(root, scheme, points_dir)
    if not any(pair.image for pair in pairs):
        raise NoSuchImagesError(f"--points-dir {points_dir}: no points in it for any image below {root}")
    return sorted(pairs, key=lambda pair: pair.name)


def _listed(root: Path, scheme: Scheme, points_dir: Path | None = None) -> list[Pair]:
    """The pairs of a file that a reader knows, or of all such files below a folder, sorted by name.

    Such files lie below `points_dir` where it is given.

    What two files say of one image alike counts once, as the one that says its part does. Several faces of an image
    are counted in their names: `NAME.jpg#1`, `NAME.jpg#2` ... Raises `NoSuchImagesError` if no points are as many as
    the scheme's.
    """
    folder = root if root.is_dir() else root.parent
    folder = folder.parent if folder.name == "annotations" and not root.is_dir() else folder
    files = files_in(folder, recursive=True)
    lists = [root] if root.is_file() else files if points_dir is None else files_in(points_dir, recursive=True)
    found = read_entries(lists, scheme)
    counts = {len(entry.points) for _, entry in found if isinstance(entry.points, np.ndarray)}
    if root.is_file() and not found:
        raise NoSuchImagesError(f"{root}: holds no points in a format that is read (readme/datasets.md)")
    if counts and scheme.count not in counts:
        held = ", ".join(map(str, sorted(counts)))
        wrong = next((f"; {entry.points}" for _, entry in found if isinstance(entry.points, InputError)), "")
        raise NoSuchImagesError(f"{root}: holds {held} points a {scheme.task}, {scheme.count} are needed{wrong}")
    images = _by_name(files)
    faces: dict[object, dict[bytes, Pair]] = {}
    for path, entry in sorted(found, key=lambda each: not _part_of_list(each[0])):
        try:
            image, points = _image_of_entry(entry, images, path, folder), entry.points
        except InputError as problem:
            image, points = None, entry.points if isinstance(entry.points, InputError) else problem
        if isinstance(points, np.ndarray):
            try:
                points = check_points(points, scheme.count, entry.where, partly=True)
            except InputError as problem:
                points = problem
        name = _name(image, folder) if image else f"{_name(path, folder)}{entry.where.removeprefix(str(path))}"
        pair = Pair(
            name,
            image,
            path,
            _part_of_list(path),
            points=points,
            where=entry.where,
            hidden=entry.hidden,
            attributes=entry.attributes,
            size=entry.size,
        )
        known = faces.setdefault(image or entry.where, {})
        known.setdefault(points.tobytes() if isinstance(points, np.ndarray) else entry.where.encode(), pair)
    pairs = [
        replace(pair, name=f"{pair.name}#{k}") if len(several) > 1 else pair
        for several in faces.values()
        for k, pair in enumerate(several.values(), start=1)
    ]
    return sorted(pairs, key=lambda pair: pair.name)


def _part_of_list(path: Path) -> str:
    """The part that the name of a file of annotations says: `..._train.txt`, `..._test.xml`, `..._val2017.json`."""
    said = set(re.findall(r"(?<![a-z])(train|test|val)(?![a-z])", path.stem.lower()))
    return {"train": "train", "test": "test", "val": "test"}[said.pop()] if len(said) == 1 else ""


def _by_name(files: Iterable[Path]) -> dict[str, list[Path]]:
    """The images among files by their names without folders."""
    images: dict[str, list[Path]] = {}
    for path in files:
        if path.suffix.lower() in IMAGE_SUFFIXES:
            images.setdefault(plain_name(path.name), []).append(path)
    return images


def _image_of_entry(entry: Entry, images: dict[str, list[Path]], source: Path, folder: Path) -> Path:
    """The image below `folder` whose path ends with the entry's name; of several the one beside the file `source`.

    Of a path from another machine, or up from the file, what follows counts: nothing outside `folder` is read.
    """
    name = plain_name(entry.image)
    name = name.rpartition("/")[2] if name.startswith("/") or ":" in name else name.rpartition("../")[2]
    found = [
        path
        for path in images.get(name.rpartition("/")[2], [])
        if f"/{plain_name(path.relative_to(folder).as_posix())}".endswith(f"/{name}")
    ]
    for nearer in (source.parent / name, folder / name):
        found = [path for path in found if path == nearer] or found
    if not found:
        raise InputError(f"{entry.where}: its image {entry.image[:80]!r} is not below {folder}")
    if len(found) > 1:
        raise InputError(f"{entry.where}: its image {entry.image[:80]!r} may be {found[0]} or {found[1]}; rename one")
    return found[0]


def _are_of_another_scheme(pairs: Iterable[Pair], scheme: Scheme) -> bool:
    """Whether there are points, all in `.pts` files that say to hold as many as another scheme has."""
    counts = {other.count for other in SCHEMES.values() if other != scheme}
    annotated = [pair.landmarks for pair in pairs if pair.landmarks]
    if not all(path.suffix.lower() == ".pts" for path in annotated):
        return False
    known = False
    for path in annotated:  # the first of our own ends it: a large dataset is not read twice
        said = said_count(path)
        if said is not None and said not in counts:
            return False
        known = known or said is not None  # a damaged file says nothing
    return known


def _refuse_nested(root: Path, name: str) -> None:
    """A known layout one folder deeper would be read as loose images, and lose its given split: name it instead."""
    for parent in _folders(root):
        folder = _folder(parent, name)
        if folder:
            raise InputError(f"{root}: holds {folder}; give the folder that holds {folder.name}/: --data {parent}")


def _folders(parent: Path) -> list[Path]:
    """The folders in a folder, sorted."""
    with os.scandir(parent) as entries:
        return sorted(parent / entry.name for entry in entries if _is_folder(entry))


def _is_folder(entry: os.DirEntry) -> bool:
    """Whether it is one or links to one. (`DirEntry.is_dir` asks the disk for links alone, and fails for a loop.)"""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()  # noqa: PTH112


def _folder(parent: Path, name: str) -> Path | None:
    """The folder of a name in any case; where there are several, the one that is spelled so."""
    found = [path for path in _folders(parent) if path.name.lower() == name.lower()]
    return min(found, key=lambda path: path.name != name, default=None)


def is_face_folder(name: str) -> bool:
    """Whether a folder of that name belongs to a layout of face datasets."""
    return name.lower().removesuffix("_flip") in FACE_FOLDERS


def _face_layouts(root: Path) -> list[Pair]:
    """300W-LP and 300-W. What lies beside the known folders is read with 300-W, and named beside 300W-LP.

    (AFLW2000-3D is often unpacked beside 300W-LP, and is to be scored, not trained on.)
    """
    known = [folder for folder in _folders(root) if is_face_folder(folder.name)]
    all_landmarks = _folder(root, "landmarks")
    pairs, separated = [], []
    for images in known:
        separate = all_landmarks and _folder(all_landmarks, images.name)
        separate = separate or _folder(root, f"{images.name}_landmark")
        if separate:
            separated.append(separate)
            pairs += _match(root, images, ("_pts.mat",), separate)
        else:
            pairs += _of_scheme(_match(root, images, FACE_ENDINGS, recursive=True), FACE)
    if not any(pair.landmarks for pair in pairs):
        return pairs
    beside = _match(root, root, FACE_ENDINGS, recursive=True, besides=[*known, *separated])
    beside = _of_scheme(beside, FACE, complete=True)
    if any(pair.landmarks and pair.landmarks.suffix.lower() == ".mat" for pair in pairs):
        if beside:
            places = sorted({pair.name.rpartition("/")[0] or "." for pair in beside})
            more = f" and {len(places) - 1} more" if places[1:] else ""
            print(
                f"note: {root}: {len(beside)} images with points beside 300W-LP's are not read, in {places[0]!r}{more}"
                "; give such a folder a --data of its own"
            )
        return pairs
    return _parted([*pairs, *beside])


def _of_scheme(pairs: Iterable[Pair], scheme: Scheme, complete: bool = False) -> list[Pair]:
    """The pairs of folders that do not hold another scheme's points; `complete`: of those with points and their image.

    A folder counts as a whole: half a pair in it is a slip that its user should hear of.
    """
    folders: dict[Path, list[Pair]] = {}
    for pair in pairs:
        folders.setdefault((pair.image or pair.landmarks or Path()).parent, []).append(pair)
    return [
        pair
        for found in folders.values()
        if not _are_of_another_scheme(found, scheme)
        and (not complete or any(pair.image and pair.landmarks for pair in found))
        for pair in found
    ]


def _parted(pairs: list[Pair]) -> list[Pair]:
    """The pairs with the parts and subsets of 300-W as handed out; as they are where there is no test part of it."""

    def parted(pair: Pair) -> Pair:
        first, *below = pair.name.lower().split("/")[:-1] or [""]
        if "testset" in below:
            return replace(pair, part="test", subset="common" if first in ("helen", "lfpw") else "")
        if first == "ibug" and handed_out:
            return replace(pair, part="test", subset="challenging")
        return replace(pair, part="train" if is_face_folder(first) else "")

    handed_out = any(SETS_OF_300W.intersection(pair.name.lower().split("/")[1:-1]) for pair in pairs)
    with_parts = [parted(pair) for pair in pairs]
    return with_parts if any(pair.part == "test" for pair in with_parts) else pairs


def _ear_layouts(root: Path) -> list[Pair]:
    collection = _folder(root, "CollectionA") or root
    parts = {part: folder for part in ("train", "test") if (folder := _folder(collection, part))}
    if "train" not in parts:
        return []
    return [pair for part, folder in parts.items() for pair in _match(root, folder, (".pts",), part=part)]


def _both_layout(root: Path, scheme: Scheme) -> list[Pair]:
    """Heads with face and both ears; an ear that is mostly hidden is left out, as no person would annotate it."""
    folder = _folder(root, "Both") or root
    if not any(folder.glob("*.face.pts")):
        return []
    names = ("face",) if scheme is FACE else EAR_FILES
    pairs = []
    for name in names:
        for pair in _match(root, folder, (f".{name}.pts",), part="test"):
            if pair.image and pair.landmarks and scheme is EAR:
                try:
                    notes = pair.image.with_suffix(".json")
                    content = read_json(notes, f"{pair.image}: its notes cannot be read")
                    if visible_fraction(notes, content, name) < LEAST_SHOWN:
                        continue
                except InputError:
                    pass  # found again, and reported, when the pair is read
                pair = replace(pair, name=_name(pair.landmarks, root))
            pairs.append(pair)
    if not pairs:
        raise NoSuchImagesError(f"{root}: no {scheme.task} in it of which enough is visible")
    return pairs


def _match(
    root: Path,
    folder: Path,
    endings: tuple[str, ...],
    landmarks: Path | None = None,
    part: str = "",
    recursive: bool = False,
    besides: Sequence[Path] = (),
) -> list[Pair]:
    """Pair the images of a folder with the files in `landmarks` (default: beside them) whose names end in `endings`.

    If `recursive`, both are trees of the same folders; or an image's stem is the only one of its kind in each. Where an
    image has several, the first of `endings` counts. Points without an image are listed too, but for `.mat`
    files, which may be anything. The folders `besides` are passed over.
    """
    files = files_in(folder, recursive, besides)
    images: dict[Stem, Path] = {}
    twins: dict[Stem, Path] = {}
    for path in files:
        stem = stem_of(path.parent, path.stem)
        if path.suffix.lower() in IMAGE_SUFFIXES and images.setdefault(stem, path) != path:
            twins[stem] = path
    candidates: dict[Stem, Ranked] = {}
    for path in files_in(landmarks, recursive) if landmarks else files:
        rank, ending = next(((k, end) for k, end in enumerate(endings) if path.name.lower().endswith(end)), (0, ""))
        if ending:
            beside = folder / path.parent.relative_to(landmarks) if landmarks else path.parent
            candidates.setdefault(stem_of(beside, path.name[: -len(ending)]), []).append((rank, path))
    if landmarks and recursive:
        candidates = _in_any_folder(images, candidates)
    annotations = _in_any_case(images, {stem: min(ranked)[1] for stem, ranked in candidates.items()})
    faces = _several_faces(images, annotations)
    several = {image for image, _ in faces.values()}
    orphans = [
        stem
        for stem, path in annotations.items()
        if stem not in images and stem not in faces and path.name.lower().endswith(("_pts.mat", ".pts"))
    ]
    return [
        Pair(
            name=_name(images.get(stem) or annotations[stem], root),
            image=images.get(stem),
            landmarks=annotations.get(stem),
            part=part,
            twin=twins.get(stem),
        )
        for stem in [*(stem for stem in images if stem not in several), *orphans]
    ] + [Pair(_name(path, root), images[image], path, part, twins.get(image)) for image, path in faces.values()]


def _in_any_folder(images: Iterable[Stem], candidates: dict[Stem, Ranked]) -> dict[Stem, Ranked]:
    """The candidates, those of no image under the only image of their name, if no other is called so on either side."""

    def only(stems: Iterable[Stem]) -> dict[str, Stem]:
        pairs = list(stems)
        counts = Counter(name for _, name in pairs)
        return {name: (place, name) for place, name in pairs if counts[name] == 1}

    one_image, one_file, known = only(images), only(candidates), set(images)
    return {
        stem if stem in known or stem[1] not in one_file else one_image.get(stem[1], stem): ranked
        for stem, ranked in candidates.items()
    }


Ranked = list[tuple[int, Path]]  # files of points of one stem, each with the place of its ending among the endings
Stem = tuple[str, str]  # folder and stem of a file, as they are compared


def stem_of(folder: Path, stem: str) -> Stem:
    """What an image and its points have in common, in composed characters: macOS hands out others than Linux."""
    return unicodedata.normalize("NFC", str(folder)), unicodedata.normalize("NFC", stem)


def _name(path: Path, root: Path) -> str:
    below = path.relative_to(root) if path.is_relative_to(root) else path
    return unicodedata.normalize("NFC", below.as_posix())


def _in_any_case(images: Iterable[Stem], annotations: dict[Stem, Path]) -> dict[Stem, Path]:
    """The annotations, those of no image under the stem of an image without any that differs in case alone."""

    def folded(stems: Iterable[Stem]) -> dict[Stem, Stem]:
        """The stems by what is left without case, but for those that are then the same."""
        pairs = [((folder, stem.casefold()), (folder, stem)) for folder, stem in stems]
        counts = Counter(key for key, _ in pairs)
        return {key: stem for key, stem in pairs if counts[key] == 1}

    lonely = folded(stem for stem in images if stem not in annotations)
    known = set(images)
    moved = {
        stem: lonely.get(key, stem) for key, stem in folded(stem for stem in annotations if stem not in known).items()
    }
    return {moved.get(stem, stem): path for stem, path in annotations.items()}


def _several_faces(images: dict[Stem, Path], annotations: dict[Stem, Path]) -> dict[Stem, tuple[Stem, Path]]:
    """Points that are counted, `NAME_1.pts` to `NAME_3.pts`, of an image that has none of its own.

    By the points' stem: the image's stem, and the points. The count begins at 0 or 1 and leaves nothing out: `NAME_7`
    alone is of an image that is missing.
    """
    counted: dict[Stem, dict[int, Stem]] = {}
    for stem in annotations:
        match = re.fullmatch(r"(.+)_(\d{1,2})", stem[1])
        if match and stem not in images and (stem[0], match[1]) in images.keys() - annotations.keys():
            counted.setdefault((stem[0], match[1]), {})[int(match[2])] = stem
    return {
        stem: (image, annotations[stem])
        for image, stems in counted.items()
        if set(stems) in (set(range(len(stems))), set(range(1, len(stems) + 1)))
        for stem in stems.values()
    }


def files_in(folder: Path, recursive: bool, besides: Sequence[Path] = ()) -> list[Path]:
    """The files of a folder, or of all below it but for the folders `besides`, sorted; hidden files are left out.

    Linked folders are followed. A folder that can be reached twice is read once, by its own path before a link's, and
    a link to a folder that holds the link's own is not followed. A folder that may not be read is named.
    """
    found: list[Path] = []
    seen = {path.resolve() for path in besides} | set(folder.resolve().parents)
    waiting, links = [folder], list[Path]()  # links wait until there is nothing else
    while waiting or links:
        place = waiting.pop() if waiting else links.pop(0)
        if place.resolve() in seen:
            continue
        seen.add(place.resolve())
        try:
            entries = list(os.scandir(place))
        except OSError as problem:
            if place == folder:
                raise InputError(f"{place}: cannot be read: {problem.strerror}") from problem
            print(f"note: {printable(place)}: cannot be read, left out: {problem.strerror}")
            continue
        for entry in entries:
            path = place / entry.name
            if _is_folder(entry):
                if recursive:
                    (links if entry.is_symlink() else waiting).append(path)
            elif not entry.name.startswith(".") and path.is_file():
                found.append(path)
        links.sort()
    return sorted(found)


def plain_name(name: str) -> str:
    """A name as names in tables are compared: in composed characters, with / between folders, without ./ before it."""
    return unicodedata.normalize("NFC", name).replace("\\", "/").removeprefix("./")


def visible_fraction(notes: Path, content: object, name: str) -> float:
    """The fraction of an ear's points in `Both/` that are visible; a person would annotate it from `LEAST_SHOWN` on."""
    try:
        visible = content["visible"][name]  # type: ignore[index]  # what is in a file may be anything
    except (KeyError, TypeError, IndexError):
        visible = None
    if not isinstance(visible, list) or len(visible) != EAR.count or any(point not in (0, 1) for point in visible):
        raise InputError(f"{notes}: does not say with 0 or 1 which of the {EAR.count} points of {name} are visible")
    return sum(visible) / EAR.count


def face_folders(folders: Sequence[str]) -> tuple[str, ...]:
    """Those of dataset folders that hold one of the layouts of face datasets."""
    return tuple(
        folder
        for folder in folders
        if Path(folder).is_dir() and any(is_face_folder(inner.name) for inner in _folders(Path(folder)))
    )
