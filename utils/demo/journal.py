"""What was found in many images so far: a command that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from utils.common.cli import InputError

Answers = Iterator[tuple[Path, list[dict[str, Any]]]]


class Journal:
    """A file beside a command's `out`, of a line of JSON an image, for as long as the command is not done.

    `made_by`: the files and settings that answers depend on.
    """

    def __init__(self, out: Path, files: Iterable[str], settings: dict[str, Any]):
        """Raises `InputError` for the file of another command."""
        self.path = out.with_name(f"{out.name}.unfinished.jsonl")
        self.made_by = {name: hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in files} | settings
        self.known: dict[str, list[dict[str, Any]]] = {}
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]  # a kill may have torn the last line
        try:
            first, *lines = [json.loads(line) for line in whole.splitlines()] or [None]
            self.known = dict(lines)
        except (ValueError, TypeError):
            first = {}
        if first is not None and first != self.made_by:
            raise InputError(f"{self.path}: was begun with other weights or flags; delete it to begin anew")
        if whole != content:
            with open(self.path, "r+b") as file:
                file.truncate(len(whole))

    def answers(self, images: Sequence[Path], look: Callable[[Sequence[Path]], Answers]) -> Answers:
        """Each image and its answer, in their order: from the file, or by `look`, which is asked about the others.

        An answer is a list of plain values by name. Images that `look` leaves out are left out.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            if file.tell() == 0:
                file.write(json.dumps(self.made_by) + "\n")
            for image, answer in look([image for image in images if str(image) not in self.known]):
                file.write(json.dumps([str(image), answer]) + "\n")
                file.flush()
                self.known[str(image)] = answer
        yield from ((image, self.known[str(image)]) for image in images if str(image) in self.known)

    def done(self) -> None:
        """The command has written what it was to write."""
        self.path.unlink(missing_ok=True)
