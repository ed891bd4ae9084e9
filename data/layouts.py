"""Folders on disk -> which image goes with which file of points.

Layouts that are recognised below the folder given as `--data`:

- 300W-LP as its zip unpacks: `AFW/NAME.jpg`, `AFW_Flip/...`, `HELEN/...` with `landmarks/AFW/NAME_pts.mat`, or each
  image's own `NAME.mat` beside it;
- 300W-LP as the predecessor laid it out: `AFW/NAME.jpg` with `AFW_landmark/NAME_pts.mat`;
- ibug-ears: `CollectionA/train` and `CollectionA/test`, images with `.pts` of the same stem; synthetic ears have a
  `NAME.json` too, which says that all ears are annotated (`all_ears_annotated`) and where the other is (`other_ears`);
- synthetic heads for scoring: `Both/NAME.jpg` with `NAME.face.pts`, `NAME.ear_left.pts`, `NAME.ear_right.pts` and
  `NAME.json`; read where there is no layout above, and all of it is a test part;
- any folder of images with `.pts` (or, for faces, `.mat`) of the same stem, subfolders included.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.schemes import EAR, FACE, SCHEMES, Scheme
from utils.common.cli import InputError
from utils.common.files import read_json
from utils.common.images import IMAGE_SUFFIXES

FACE_FOLDERS = ("AFW", "HELEN", "IBUG", "LFPW")
EAR_FILES = ("ear_left", "ear_right")  # of an image in `Both/`: NAME.ear_left.pts
LEAST_SHOWN = 0.4  # fraction of an ear's points that must be visible in `Both/`

WHERE_TO_GET = {
    "face": "300W-LP (see readme/datasets.md) unpacks to AFW/NAME.jpg with landmarks/AFW/NAME_pts.mat; "
    "a folder of images with NAME.pts beside NAME.jpg also does",
    "ear": "ibug-ears (see readme/datasets.md) unpacks to CollectionA/train/NAME.png with NAME.pts beside it; "
    "a folder of images with NAME.pts beside NAME.jpg also does",
}


class NoSuchImagesError(InputError):
    """There are no images with points of the scheme at all."""


@dataclass(frozen=True)
class Pair:
    """An image and the file with its points; either is None where it is missing.

    `name` is the image's path below its dataset; `part` is "train" or "test" where the dataset comes split. `twin` is
    another image of the same stem, so that it is unknown whose the points are.
    """

    name: str
    image: Path | None
    landmarks: Path | None
    part: str = ""
    twin: Path | None = None


def find_pairs(root: Path, scheme: Scheme) -> list[Pair]:
    """The images and points of a scheme below `root`, sorted by name, whatever the layout.

    Raises `InputError` if the folder is missing or holds a known layout one folder deeper, `NoSuchImagesError` if there
    are no points of the scheme in it.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; {WHERE_TO_GET[scheme.task]}")
    pairs = _face_layouts(root) if scheme is FACE else _ear_layouts(root)
    hint = ""
    if not any(pair.landmarks for pair in pairs):
        pairs = _both_layout(root, scheme)
    if not any(pair.landmarks for pair in pairs):
        _refuse_nested(root, "CollectionA" if scheme is EAR else "AFW")
        pairs = _match(root, root, (".pts", "_pts.mat", ".mat") if scheme is FACE else (".pts",), recursive=True)
        annotated = [pair.landmarks for pair in pairs if pair.landmarks]
        if annotated and all(_is_of_another_scheme(path, scheme) for path in annotated):
            pairs, hint = [], " (its .pts files hold other landmarks)"
    if not any(pair.landmarks for pair in pairs):
        raise NoSuchImagesError(f"{root}: no {scheme.task} images with points in it{hint}; {WHERE_TO_GET[scheme.task]}")
    return sorted(pairs, key=lambda pair: pair.name)


def _is_of_another_scheme(landmarks: Path, scheme: Scheme) -> bool:
    """Whether a `.pts` file says that it holds as many points as another scheme has."""
    if landmarks.suffix.lower() != ".pts":
        return False
    with open(landmarks, "rb") as stream:
        said = re.search(rb"n_points\s*:\s*(\d+)", stream.read(200))
    return said is not None and int(said[1]) in {other.count for other in SCHEMES.values() if other is not scheme}


def _refuse_nested(root: Path, name: str) -> None:
    """A known layout one folder deeper would be read as loose images, and lose its given split: name it instead."""
    for folder in sorted(root.glob(f"*/{name}")):
        if folder.is_dir():
            raise InputError(f"{root}: holds {folder}; give the folder that holds {name}/: --data {folder.parent}")


def _face_layouts(root: Path) -> list[Pair]:
    pairs = []
    for name in [folder + flip for folder in FACE_FOLDERS for flip in ("", "_Flip")]:
        images = root / name
        if not images.is_dir():
            continue
        separate = [folder for folder in (root / "landmarks" / name, root / f"{name}_landmark") if folder.is_dir()]
        if separate:
            pairs += _match(root, images, ("_pts.mat",), separate[0])
        else:
            pairs += _match(root, images, (".pts", "_pts.mat", ".mat"))
    return pairs


def _ear_layouts(root: Path) -> list[Pair]:
    collection = root / "CollectionA" if (root / "CollectionA").is_dir() else root
    if not (collection / "train").is_dir():
        return []
    return [
        pair
        for part in ("train", "test")
        if (collection / part).is_dir()
        for pair in _match(root, collection / part, (".pts",), part=part)
    ]


def _both_layout(root: Path, scheme: Scheme) -> list[Pair]:
    """Heads with face and both ears; an ear that is mostly hidden is left out, as no person would annotate it."""
    folder = root / "Both" if (root / "Both").is_dir() else root
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
                pair = replace(pair, name=pair.landmarks.relative_to(root).as_posix())
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
) -> list[Pair]:
    """Pair the images of a folder with the files in `landmarks` (default: beside them) whose names end in `endings`.

    Where an image has several, the first of `endings` counts. Points without an image are listed too, but for `.mat`
    files, which may be anything.
    """
    images: dict[Path, Path] = {}
    twins: dict[Path, Path] = {}
    for path in files_in(folder, recursive):
        if path.suffix.lower() in IMAGE_SUFFIXES and images.setdefault(without_suffix(path), path) != path:
            twins[without_suffix(path)] = path
    candidates: dict[Path, list[tuple[int, Path]]] = {}
    for path in files_in(landmarks or folder, recursive):
        rank, ending = next(((k, end) for k, end in enumerate(endings) if path.name.lower().endswith(end)), (0, ""))
        if ending:
            stem = path.with_name(path.name[: -len(ending)])
            candidates.setdefault(folder / stem.name if landmarks else stem, []).append((rank, path))
    annotations = {stem: min(ranked)[1] for stem, ranked in candidates.items()}
    orphans = [
        stem
        for stem, path in annotations.items()
        if stem not in images and path.name.lower().endswith(("_pts.mat", ".pts"))
    ]
    return [
        Pair(
            name=(images.get(stem) or annotations[stem]).relative_to(root).as_posix(),
            image=images.get(stem),
            landmarks=annotations.get(stem),
            part=part,
            twin=twins.get(stem),
        )
        for stem in [*images, *orphans]
    ]


def files_in(folder: Path, recursive: bool) -> list[Path]:
    """The files of a folder, or of all below it, sorted; hidden ones are left out."""
    walk = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(path for path in walk if not path.name.startswith(".") and path.is_file())


def without_suffix(path: Path) -> Path:
    """Folder and stem of a path: what an image and its points have in common."""
    return path.with_name(path.stem)


def visible_fraction(notes: Path, content: dict, name: str) -> float:
    """The fraction of an ear's points in `Both/` that are visible; a person would annotate it from `LEAST_SHOWN` on."""
    try:
        return float(np.mean(content["visible"][name]))
    except (KeyError, TypeError, ValueError) as problem:
        raise InputError(f"{notes}: does not say which points of {name} are visible") from problem


def face_folders(folders: Sequence[str]) -> tuple[str, ...]:
    """Those of dataset folders that hold one of the layouts of face datasets."""
    return tuple(folder for folder in folders if any((Path(folder) / name).is_dir() for name in FACE_FOLDERS))
