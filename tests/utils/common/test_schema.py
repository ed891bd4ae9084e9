"""Values from files are checked against kinds, in words that say what they must be."""

import pytest

from utils.common.schema import (
    OBJECT,
    TEXT,
    check_values,
    list_of,
    mapping_of,
    number,
    one_of,
    optional,
    whole,
)

KINDS = {
    "epoch": whole(0, 10),
    "size": whole(8, 64, step=8),
    "rate": number(0, 1),
    "norm": one_of("none", "batch"),
    "names": list_of(TEXT),
    "notes": OBJECT,
    "rows": mapping_of(number(0, 9)),
    "best": optional(number(0, 9)),
}


def test_what_fits_passes_and_what_is_not_known_is_not_looked_at():
    check_values(
        {"epoch": 10, "size": 16, "rate": 0.5, "norm": "none", "names": ["a"], "notes": {}, "rows": {"a": 1}, "x": []},
        KINDS,
        required=("epoch",),
    )
    check_values({"best": None, "rate": 1}, KINDS)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([], "must be an object"),
        ({"rate": 0}, "holds no epoch"),
        ({"epoch": 11}, "epoch is 11; it must be a whole number from 0 to 10"),
        ({"epoch": True}, "epoch is True"),
        ({"epoch": 1.0}, "epoch is 1.0"),
        ({"epoch": 1, "size": 17}, "a multiple of 8"),
        ({"epoch": 1, "rate": float("nan")}, "from 0 to 1"),
        ({"epoch": 1, "rate": 10**400}, "from 0 to 1"),
        ({"epoch": 1, "norm": ["none"]}, "one of none, batch"),
        ({"epoch": 1, "names": ["a", 3]}, "a list"),
        ({"epoch": 1, "names": "a"}, "a list"),
        ({"epoch": 1, "notes": []}, "an object"),
        ({"epoch": 1, "rows": {"a": "b"}}, "an object"),
        ({"epoch": 1, "best": "x"}, "or null"),
    ],
)
def test_what_does_not_is_named_in_one_short_line(values, says):
    with pytest.raises(ValueError, match=says) as problem:
        check_values(values, KINDS, required=("epoch",))
    assert "\n" not in str(problem.value) and len(str(problem.value)) < 200
