"""Landmark schemes: each is a JSON file of this folder, or one that `--scheme` or a weights file brings.

Everything that depends on which landmark is which stands in such a file and nowhere else. These are counts, groups and
their lines, the order after a mirror, the length that errors are divided by, and the crop that scores use.
Each file says where its points are defined. `FACE` and `EAR` are those of the shipped networks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from utils.common.cli import InputError
from utils.common.files import read_json
from utils.common.schema import TEXT, Kind, check_values, list_of, number, optional, whole

FOLDER = Path(__file__).parent
MOST_LANDMARKS = 1000
# The ends of other layers' and outputs' names: a head is named stageK_TASK, its answers TASK_points and the like. And
# the sides of ears, beside which a third task stands in predictions.
_RESERVED = re.compile(r"features|conv[0-9]+|feature|attention|left|right")


@dataclass(frozen=True)
class Group:
    """Landmarks that are drawn as one line.

    `indices` are the landmarks in drawing order; `closed` joins the last point to the first; `colour` is RGB, 0 to 255.
    """

    name: str
    indices: tuple[int, ...]
    closed: bool
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class Scheme:
    """One set of landmarks.

    - `task`: the short name used in layer names, flags and files ("face", "ear").
    - `source`: where the points are defined, in words.
    - `flip_pairs`: the landmarks that a mirror swaps; each other one stays itself.
    - `normaliser`: what a point error is divided by. A pair of landmark indices means their distance (for the face
      36 and 45, the outer eye corners), "box_diagonal" the diagonal of the true points' box.
    - `failure_at`: an image whose NME lies above this fraction has failed; AUC integrates up to it.
    - `crop_side`: side of the square of the `crop` protocol, in longer sides of the true points' box.
    - `train_sides`: range of that side in training, from a tight crop to a head somewhere in the image.
    - `train_squeeze`: range of the horizontal squeeze in training (an ear seen from the front is narrow).
    - `instances`: how many of them an image of one person can show: one face, two ears.
    - `annotated_sides`: where only one instance is annotated, the image may show another. Then a square round the
      annotated points is known and nothing outside it; this is its side, in longer sides of the points' box. None: the
      whole image is known.
    - `inner`: landmarks whose NME is reported beside that of all: the 51 without the jaw, as in 300-W. Empty: no such.
    - `reference`: a typical shape, (x, y) of each landmark, y down.
    - `names`: the landmarks' names, which a file may leave out: empty.
    """

    task: str
    source: str
    count: int
    groups: tuple[Group, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    normaliser: tuple[int, int] | str
    failure_at: float
    crop_side: float
    train_sides: tuple[float, float]
    train_squeeze: tuple[float, float]
    instances: int
    annotated_sides: float | None
    inner: tuple[int, ...]
    reference: tuple[tuple[float, float], ...]
    names: tuple[str, ...] = ()

    @cached_property
    def flip_order(self) -> tuple[int, ...]:
        """Landmark k of a mirrored image is landmark `flip_order[k]` of the original."""
        order = list(range(self.count))
        for one, other in self.flip_pairs:
            order[one], order[other] = other, one
        return tuple(order)

    def group_of(self, landmark: int) -> Group:
        """The group that landmark `landmark` (0-based) belongs to."""
        return next(group for group in self.groups if landmark in group.indices)

    def name_of(self, landmark: int) -> str:
        """The name of landmark `landmark` (0-based): that of its group and its number where it has none."""
        return self.names[landmark] if self.names else f"{self.group_of(landmark).name}_{landmark}"

    def to_json(self) -> dict:
        """The scheme as plain JSON values, as a scheme's file holds them."""
        values = {each.name: _plain(getattr(self, each.name)) for each in fields(self)}
        if not self.names:
            del values["names"]
        return values | {"groups": [{name: _plain(value) for name, value in vars(g).items()} for g in self.groups]}

    @classmethod
    def from_json(cls, values: object) -> Scheme:
        """The scheme of a JSON object. Raises a ValueError, in one line that names the key, for anything else."""
        _check_keys(values, {each.name for each in fields(cls)}, "a scheme", optional={"names"})
        check_values(values, {"count": whole(2, MOST_LANDMARKS), "groups": _GROUPS})
        assert isinstance(values, dict)
        groups = []
        for place, group in enumerate(values["groups"]):
            try:
                _check_keys(group, set(_GROUP_KINDS), "a group")
                check_values(group, _GROUP_KINDS)
            except ValueError as problem:
                raise ValueError(f"groups[{place}]: {problem}") from problem
            groups.append(Group(group["name"], tuple(group["indices"]), group["closed"], tuple(group["colour"])))
        check_values(values, _kinds(values["count"]))
        _check_partition([k for group in groups for k in group.indices], values["count"])
        _check_each_once("flip_pairs", [k for pair in values["flip_pairs"] for k in pair])
        _check_each_once("inner", values["inner"])
        _check_each_once("names", values.get("names", ()))
        if np.ptp(np.array(values["reference"]), axis=0).max() == 0:
            raise ValueError("reference has all landmarks on one spot; give a typical shape")
        return cls(**{name: _frozen(value) for name, value in values.items()} | {"groups": tuple(groups)})


def _plain(value: Any) -> Any:
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _check_keys(values: object, wanted: set[str], what: str, optional: Collection[str] = ()) -> None:
    check_values(values, {}, required=sorted(wanted.difference(optional)))
    assert isinstance(values, dict)
    for name in sorted(set(values) - wanted):
        raise ValueError(f"{what} has no key {name!r}")


def _check_each_once(key: str, landmarks: Sequence[int | str]) -> None:
    for landmark, times in Counter(landmarks).items():
        if times > 1:
            raise ValueError(f"{key} holds landmark {landmark} twice")


def _check_partition(landmarks: list[int], count: int) -> None:
    """Each landmark belongs to one group: its colour and its score follow from that."""
    _check_each_once("groups", landmarks)
    for landmark in landmarks:
        if landmark >= count:
            raise ValueError(f"groups names landmark {landmark}; the last of {count} is {count - 1}")
    for landmark in sorted(set(range(count)) - set(landmarks)):
        raise ValueError(f"groups leaves out landmark {landmark}")


def _tuple_of(kind: Kind, length: int) -> Kind:
    fits = list_of(kind).fits
    return Kind(f"a list of {length}, each {kind.words}", lambda value: fits(value) and len(value) == length)


def _range_of(kind: Kind) -> Kind:
    pair = _tuple_of(kind, 2)
    return Kind(f"{pair.words}, the lower first", lambda value: pair.fits(value) and value[0] <= value[1])


_GROUPS = Kind("a list of groups, at least one", lambda value: isinstance(value, list) and bool(value))
_GROUP_KINDS = {
    "name": Kind("a name of a-z, 0-9 and _", lambda v: isinstance(v, str) and bool(re.fullmatch("[a-z0-9_]{1,40}", v))),
    "indices": list_of(whole(0, MOST_LANDMARKS - 1)),
    "closed": Kind("true or false", lambda value: isinstance(value, bool)),
    "colour": _tuple_of(whole(0, 255), 3),
}


_LANDMARK_NAME = Kind(
    "a name of up to 60 characters",
    lambda value: isinstance(value, str) and 0 < len(value) <= 60 and value.isprintable(),
)


def _is_task(value: object) -> bool:
    if not isinstance(value, str) or _RESERVED.fullmatch(value):
        return False
    return re.fullmatch("[a-z][a-z0-9]{1,23}", value) is not None


def _kinds(count: int) -> dict[str, Kind]:
    """What the values of a scheme of `count` landmarks may be."""
    landmark = whole(0, count - 1)
    pair = _tuple_of(landmark, 2)
    positive = number(1e-3, 100)
    return {
        "task": Kind("a short name such as wflw98 (a-z, then 0-9), not that of a layer", _is_task),
        "source": TEXT,
        "flip_pairs": list_of(pair),
        "normaliser": Kind(
            f"two landmarks from 0 to {count - 1}, or box_diagonal",
            lambda value: value == "box_diagonal" or (pair.fits(value) and value[0] != value[1]),
        ),
        "failure_at": number(1e-3, 1),
        "crop_side": number(1, 100),
        "train_sides": _range_of(number(1, 100)),
        "train_squeeze": _range_of(number(0.05, 1)),
        "instances": whole(1, 2),
        "annotated_sides": optional(positive),
        "inner": list_of(landmark),
        "reference": _tuple_of(_tuple_of(number(-1e4, 1e4), 2), count),
        "names": _tuple_of(_LANDMARK_NAME, count),
    }


def read_scheme(name: str, flag: str = "--scheme") -> Scheme:
    """The scheme of a file, or of one of this folder by its name ("wflw98").

    Raises `InputError`, in one line with file and key, for a file that is none.
    """
    shipped = sorted(path.stem for path in FOLDER.glob("*.json"))
    path = FOLDER / f"{name}.json" if name in shipped else Path(name)
    if not path.is_file():
        raise InputError(f"{flag} {name}: no such file, and none of {', '.join(shipped)}")
    values = read_json(path, f"{flag} {name}")
    try:
        scheme = Scheme.from_json(values)
        known = SCHEMES.get(scheme.task, scheme)  # `FACE` stays the one object
        if known != scheme:
            raise ValueError(f"task {scheme.task} is that of another scheme here; name it otherwise")
        return known
    except ValueError as problem:
        raise InputError(f"{flag} {name}: {problem}") from problem


SCHEMES: dict[str, Scheme] = {}  # by task; `register` adds to it
FACE, EAR = read_scheme("face68"), read_scheme("ear55")
SCHEMES |= {scheme.task: scheme for scheme in (FACE, EAR)}


def register(scheme: Scheme) -> None:
    """Add a scheme to `SCHEMES`. Raises a ValueError if another one has its task's name."""
    if SCHEMES.setdefault(scheme.task, scheme) != scheme:
        raise ValueError(f"task {scheme.task} is that of another scheme here; name it otherwise")


@cache
def reference_shape(scheme: Scheme) -> np.ndarray:
    """A typical shape of the scheme, (count, 2) float32, y down.

    Those of face and ear have their box from (0, 0) with a longer side of 1: the face from the front, a left ear from
    its side, of the MakeHuman base mesh (CC0 1.0).
    """
    shape = np.array(scheme.reference, dtype=np.float32)
    shape.flags.writeable = False  # shared by all who ask
    return shape


def parse_landmarks(text: str, count: int) -> tuple[int, ...]:
    """Landmark indices from text such as "36-47,60": ranges include both ends, indices are 0-based.

    Returns the indices sorted, each once. Raises `InputError` for text that is no such list or leaves 0..count-1.
    """
    chosen: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", part.strip())
        if not match:
            raise InputError(f"--landmarks {text!r}: {part.strip()!r} is neither a number nor a range such as 36-47")
        run = range(int(match[1]), int(match[2] or match[1]) + 1)
        if not run or run.stop > count:
            raise InputError(f"--landmarks {text!r}: {part.strip()!r} is not within 0-{count - 1}")
        chosen.update(run)
    return tuple(sorted(chosen))
