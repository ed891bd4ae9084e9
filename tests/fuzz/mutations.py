"""How a genuine file is damaged: its bytes, the words and numbers of its text, or what is packed in it."""

from __future__ import annotations

import io
import json
import random
import re
import zipfile
from collections.abc import Callable

NUMBERS = (
    b"0",
    b"-1",
    b"1e400",
    b"nan",
    b"inf",
    b"99999999999999999999",
    b"0.5",
    b"-1e-300",
    b"1e6",
    b"65536",
    b"x",
    b"",
)
VALUES = (
    None,
    True,
    -1,
    0,
    2**63,
    1e308,
    "",
    "a" * 5000,
    "\x1b[31m\n",
    "../../etc/passwd",
    [],
    {},
    [[[]]],
    [None],
    {"": 0},
)
WORDS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
LARGEST = 4 << 20  # bytes: what is read slowly because it is long teaches nothing


def mutate(content: bytes, rng: random.Random) -> bytes:
    """The content with one to six damages; inside what is packed, where it is a zip or JSON, more often than not."""
    if zipfile.is_zipfile(io.BytesIO(content)) and rng.random() < 0.7:
        return _mutate_member(content, rng)
    if content[:1] in (b"{", b"[") and rng.random() < 0.7:
        return _mutate_json(content, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        content = rng.choice(MUTATIONS)(bytearray(content), rng)
    return bytes(content[:LARGEST])


def _mutate_member(content: bytes, rng: random.Random) -> bytes:
    """One member of a zip damaged, and packed again, so that its check sum fits."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        chosen = rng.choice(archive.namelist())
        for name in archive.namelist():
            part = archive.read(name)
            if name != chosen:
                target.writestr(name, part)
            elif rng.random() < 0.9:  # else it is missing
                target.writestr(name, mutate(part, rng))
    return packed.getvalue()


def _mutate_json(content: bytes, rng: random.Random) -> bytes:
    """One value of a JSON document replaced, removed or repeated."""
    try:
        document = json.loads(content)
    except ValueError:
        return bytes(_overwrite(bytearray(content), rng))
    places: list[tuple[dict | list, str | int]] = []

    def collect(node: object) -> None:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
            places.append((node, key))  # type: ignore[arg-type]  # only containers have keys
            collect(value)

    collect(document)
    if not places:
        return json.dumps(rng.choice(VALUES)).encode()
    node, key = rng.choice(places)
    action = rng.random()
    if action < 0.15:
        del node[key]  # type: ignore[arg-type]
    elif action < 0.25:
        node[key] = [node[key]] * rng.choice((1, 2, 500))  # type: ignore[index, call-overload]
    else:
        node[key] = rng.choice(VALUES)  # type: ignore[index, call-overload]
    return json.dumps(document).encode()


def _flip(content: bytearray, rng: random.Random) -> bytearray:
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return content


def _overwrite(content: bytearray, rng: random.Random) -> bytearray:
    """A whole number of one to eight bytes that is at an end of its range, low byte first or last."""
    size = rng.choice((1, 2, 4, 8))
    word = (rng.choice(WORDS) % 256**size).to_bytes(size, rng.choice(("little", "big")))
    # What says how the rest is to be read stands at the beginning of most files.
    at = rng.randrange(min(len(content), rng.choice((64, 512, len(content)))))
    content[at : at + size] = word
    return content


def _delete(content: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(content))
    del content[start : start + rng.choice((1, 4, 64, 4096))]
    return content


def _repeat(content: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(content))
    piece = content[start : start + rng.choice((1, 16, 512))]
    content[start:start] = piece * rng.choice((1, 2, 200))
    return content


def _insert(content: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(content) + 1)
    content[start:start] = rng.randbytes(rng.choice((1, 8, 100)))
    return content


def _truncate(content: bytearray, rng: random.Random) -> bytearray:
    return content[: rng.randrange(len(content))]


def _blank(content: bytearray, rng: random.Random) -> bytearray:
    start, size = rng.randrange(len(content)), rng.choice((4, 64, 2048))
    content[start : start + size] = bytes(min(size, len(content) - start))
    return content


def _replace_number(content: bytearray, rng: random.Random) -> bytearray:
    found = list(re.finditer(rb"-?\d+(\.\d+)?", bytes(content[:100_000])))
    if not found:
        return _overwrite(content, rng)
    chosen = rng.choice(found)
    content[chosen.start() : chosen.end()] = rng.choice(NUMBERS)
    return content


def _swap_lines(content: bytearray, rng: random.Random) -> bytearray:
    lines = bytes(content).split(b"\n")
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return bytearray(b"\n".join(lines))


def _unless_empty(damage: Callable[[bytearray, random.Random], bytearray]):
    return lambda content, rng: damage(content, rng) if content else _insert(content, rng)


MUTATIONS = [
    _unless_empty(damage)
    for damage in (
        _flip,
        _overwrite,
        _overwrite,
        _delete,
        _repeat,
        _insert,
        _truncate,
        _blank,
        _replace_number,
        _swap_lines,
    )
]
