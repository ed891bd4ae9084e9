"""A reader is given one damaged file after the other, in a process of its own, which may die of it."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz.mutations import mutate
from tests.fuzz.readers import Reader
from utils.common.cli import InputError, printable

SECONDS = 20.0  # for one damaged file, on a busy machine
START = 120.0  # seconds in which a reader's process must be ready: TensorFlow starts slowly
ACCEPTED, REFUSED, FAULT = "accepted", "refused", "fault"
MEGABYTES = 1500  # that reading one damaged file may take


@dataclass
class Outcome:
    """What became of a reader's damaged files: how many of each kind, and what was wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def _work(reader: Reader, seed: int, case: int, parent: Connection, folder: Path) -> None:
    """In a process of its own: one case after the other, each told before it is read and after."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    reader.make(folder)
    paths = sorted(folder.glob(reader.damaged))
    for path in paths:
        reader.read(folder, path)  # the genuine files must be accepted; and what is slow to start has started
    os.dup2(silence, 2)
    parent.send(("ready", ""))
    go_on = True
    while go_on:
        rng = random.Random(f"{seed}-{reader.name}-{case}")
        path = rng.choice(paths)
        genuine = path.read_bytes()
        path.write_bytes(mutate(genuine, rng))
        parent.send(("reads", str(path)))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            reader.read(folder, path)
            answer = ACCEPTED, ""
        except InputError as problem:
            answer = (REFUSED, "") if str(problem).strip() else (FAULT, "an InputError without a word")
        except BaseException as problem:
            answer = FAULT, _describe(problem)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        if grown > MEGABYTES:
            answer = FAULT, f"took {grown} MB"
        parent.send(answer)
        go_on = parent.recv()  # by then the parent has kept the file
        path.write_bytes(genuine)
        case += 1


def _describe(problem: BaseException) -> str:
    place = traceback.extract_tb(problem.__traceback__)[-1]
    return f"{type(problem).__name__}: {printable(problem)[:200]} ({Path(place.filename).name}, line {place.lineno})"


def fuzz(reader: Reader, seed: int, seconds: float, keep: Path) -> Outcome:
    """Damage files for one reader for some seconds, beside those in which its process starts.

    Files that it neither accepts nor refuses are kept in `keep`.
    """
    outcome, spent = Outcome(), 0.0
    while spent < seconds:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            answers = _answers(reader, seed, outcome.counts.total(), Path(folder), seconds - spent)
            elapsed = spent
            for answer, words, path, since_ready in answers:
                elapsed = spent + since_ready
                if answer == FAULT:
                    kept = keep / f"{reader.name}-{seed}-{outcome.counts.total()}-{path.name}"
                    keep.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, kept)
                    outcome.faults.append(f"{kept}: {words}")
                outcome.counts[answer] += 1
            spent = elapsed
    return outcome


def _answers(
    reader: Reader, seed: int, case: int, folder: Path, seconds: float
) -> Iterator[tuple[str, str, Path, float]]:
    """The answers of one process, with the damaged files and the seconds since it was ready.

    They end with the time, with the process, or when it needs too long for a file.
    """
    context = multiprocessing.get_context("spawn")  # TensorFlow's threads do not survive a fork
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(reader, seed, case, theirs, folder), daemon=True)
    process.start()
    theirs.close()
    path = None
    try:
        if not ours.poll(START):
            raise InputError(f"{reader.name}: its process did not start in {START:.0f} seconds")
        ours.recv()
        start = time.monotonic()
        while True:
            path = Path(ours.recv()[1])
            if not ours.poll(SECONDS):
                yield FAULT, f"not read in {SECONDS:.0f} seconds", path, SECONDS
                return
            answer, words = ours.recv()
            yield answer, words, path, time.monotonic() - start
            ours.send(go_on := time.monotonic() - start < seconds)
            if not go_on:
                process.join(10)
                return
    except EOFError:
        process.join(5)
        if path is None:
            raise InputError(f"{reader.name}: does not accept its genuine files, or cannot make them") from None
        yield FAULT, f"its process ended ({process.exitcode})", path, time.monotonic() - start
    finally:
        process.kill()
        process.join()
