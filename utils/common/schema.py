"""What values from a file must be: kinds with bounds, and one check of an object against them."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from utils.common.cli import LARGEST

LONGEST = 4096  # characters of a text: as long as a path may be


@dataclass(frozen=True)
class Kind:
    """What a value may be: in words, as in "must be ...", and as a test."""

    words: str
    fits: Callable[[Any], bool]


def whole(low: int, high: int = LARGEST, step: int = 1) -> Kind:
    """A whole number within bounds, both included, a multiple of `step`."""
    multiple = "a whole number" if step == 1 else f"a multiple of {step}"
    return Kind(
        f"{multiple} from {low} to {high}",
        lambda value: type(value) is int and low <= value <= high and not value % step,
    )


def number(low: float, high: float) -> Kind:
    """A number within bounds, both included; NaN lies within none."""
    return Kind(
        f"a number from {low:g} to {high:g}", lambda value: type(value) in (int, float) and low <= value <= high
    )


def one_of(*choices: str) -> Kind:
    """One of these texts."""
    return Kind(f"one of {', '.join(choices)}", lambda value: isinstance(value, str) and value in choices)


def list_of(kind: Kind) -> Kind:
    """A list (or tuple) of values of a kind."""
    return Kind(
        f"a list, each of it {kind.words}",
        lambda value: isinstance(value, (list, tuple)) and all(map(kind.fits, value)),
    )


def mapping_of(kind: Kind) -> Kind:
    """An object of values of a kind, by name."""
    return Kind(
        f"an object, each value {kind.words}",
        lambda value: isinstance(value, dict) and all(map(kind.fits, value.values())),
    )


def optional(kind: Kind) -> Kind:
    """A value of a kind, or none."""
    return Kind(f"{kind.words}, or null", lambda value: value is None or kind.fits(value))


TEXT = Kind("a text", lambda value: isinstance(value, str) and len(value) <= LONGEST)
OBJECT = Kind("an object", lambda value: isinstance(value, dict))


def check_values(values: object, kinds: Mapping[str, Kind], required: Iterable[str] = ()) -> None:
    """Raise a ValueError, in one line, unless `values` is an object with all of `required`, each value of its kind.

    Values that no kind is known of are not looked at.
    """
    if not isinstance(values, dict):
        raise ValueError(f"it holds {reprlib.repr(values)}; it must be an object")
    for name in required:
        if name not in values:
            raise ValueError(f"it holds no {name}")
    for name, kind in kinds.items():
        if name in values and not kind.fits(values[name]):
            raise ValueError(f"{name} is {reprlib.repr(values[name])}; it must be {kind.words}")
