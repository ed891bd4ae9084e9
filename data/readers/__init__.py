"""Readers of files that hold the points of many images, or name their image themselves.

`READERS` is the table of them: a format is a module that says whether a file is one, and gives its entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from data.readers.coco import is_coco, read_coco
from data.readers.dlib import is_dlib, read_dlib
from data.readers.entry import Entry
from data.readers.labelme import is_labelme, read_labelme
from data.readers.wflw import is_wflw, read_wflw
from data.schemes import Scheme
from utils.common.cli import InputError
from utils.common.files import read_json
from utils.common.foreign import MEND, describe_foreign_file

LARGEST = 512 << 20  # bytes: COCO's own keypoints of 118,000 images take 240 MB


def _load_json(path: Path) -> object:
    return read_json(path, f"{path}: no readable JSON", LARGEST)


def _load_lines(path: Path) -> list[str]:
    return _bytes(path).decode("utf-8-sig", errors="replace").splitlines()


def _load_xml(path: Path) -> ElementTree.Element:
    content = _bytes(path)
    try:
        return ElementTree.fromstring(content)
    except ElementTree.ParseError as problem:
        foreign = None if content.lstrip().startswith(b"<?xml") else describe_foreign_file(path)
        said = foreign or f"line {problem.position[0]}: no readable XML ({problem}); {MEND}"
        raise InputError(f"{path}: {said}") from problem
    except (LookupError, ValueError) as problem:  # an encoding that nobody knows
        raise InputError(f"{path}: no readable XML ({problem})") from problem


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path}: larger than {LARGEST >> 20} MB")
        return path.read_bytes()
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {problem.strerror}") from problem


LOADERS: dict[str, Callable[[Path], Any]] = {".json": _load_json, ".txt": _load_lines, ".xml": _load_xml}


@dataclass(frozen=True)
class Reader:
    """A format: `fits(path, content)` says whether a file is meant as one.

    `read(path, content, scheme)` gives them for a scheme, or for none. `labelled`: a landmark is known by its number or
    name, so that an entry is as long as its highest.
    """

    name: str
    suffix: str
    fits: Callable[[Path, Any], bool]
    read: Callable[..., Iterator[Entry]]
    labelled: bool = False


READERS = (
    Reader("COCO keypoints", ".json", is_coco, read_coco),
    Reader("LabelMe", ".json", is_labelme, read_labelme, labelled=True),
    Reader("a list of WFLW", ".txt", is_wflw, read_wflw),
    Reader("XML of dlib", ".xml", is_dlib, read_dlib, labelled=True),
)


def read_entries(paths: list[Path], scheme: Scheme) -> list[tuple[Path, Entry]]:
    """What the files that have a reader say of a scheme, each entry with its file; other files are passed over.

    A labelled entry has the scheme's number of landmarks, if any has its last one; else as many as the longest.

    Raises `InputError` for a file that is damaged as a whole. What is wrong with one face or ear stands in its entry.
    """
    found: list[tuple[Path, Entry, Reader]] = []
    for path in paths:
        suffix = path.suffix.lower()
        if suffix in LOADERS:
            content = LOADERS[suffix](path)
            reader = next((r for r in READERS if r.suffix == suffix and r.fits(path, content)), None)
            if reader:
                found += [(path, entry, reader) for entry in reader.read(path, content, scheme)]
    counts = {len(e.points) for _, e, r in found if r.labelled and isinstance(e.points, np.ndarray)}
    most = scheme.count if scheme.count in counts else max(counts, default=0)
    return [(path, _padded(entry, most) if reader.labelled else entry) for path, entry, reader in found]


def _padded(entry: Entry, count: int) -> Entry:
    """The entry with as many landmarks as there are in all: an image may miss the last of them. More are too many."""
    if isinstance(entry.points, InputError):
        return entry
    if len(entry.points) > count:
        said = f"{entry.where}: holds landmark {len(entry.points) - 1}; the last is {count - 1}"
        return replace(entry, points=InputError(said))
    missing = ((0, count - len(entry.points)), (0, 0))
    return replace(entry, points=np.pad(entry.points, missing, constant_values=np.nan))
