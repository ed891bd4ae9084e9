import os
import random

import pytest

from tests.conftest import input_error
from tests.fuzz.__main__ import main
from tests.fuzz.mutations import mutate
from tests.fuzz.readers import READERS, Reader
from tests.fuzz.runner import ACCEPTED, FAULT, REFUSED, fuzz
from utils.common.cli import InputError

SECONDS_EACH = 2.0


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_damaged_files_are_accepted_or_refused_and_nothing_else(reader, tmp_path):
    outcome = fuzz(reader, seed=0, seconds=SECONDS_EACH, keep=tmp_path)
    assert not outcome.faults
    assert outcome.counts[ACCEPTED] + outcome.counts[REFUSED] > 0


@pytest.mark.parametrize("content", [b"", b"a", b"n_points: 68\n{\n1 2\n}", b'{"a": [1, {"b": null}]}', b"{", b"PK"])
def test_damages_follow_from_the_seed_and_differ(content):
    damaged = [mutate(content, random.Random(seed)) for seed in range(40)]
    assert damaged == [mutate(content, random.Random(seed)) for seed in range(40)]
    assert len(set(damaged)) > 10


def test_an_unknown_reader_is_one_line():
    with input_error("--reader nothing", "pts"):
        main(["--reader", "nothing"])


def make_a_file(folder):
    (folder / "a.txt").write_text("genuine")


def raise_an_error(folder, path):
    if path.read_text(errors="replace") != "genuine":
        raise ZeroDivisionError("as no reader should")


def end_the_process(folder, path):
    if path.read_text(errors="replace") != "genuine":
        os._exit(3)


@pytest.mark.parametrize(("read", "words"), [(raise_an_error, "ZeroDivisionError"), (end_the_process, "ended (3)")])
def test_a_fault_is_counted_told_and_its_file_kept(read, words, tmp_path):
    outcome = fuzz(Reader("bad", make_a_file, "a.txt", read), seed=0, seconds=0.01, keep=tmp_path)
    assert outcome.counts[FAULT] >= 1 and words in outcome.faults[0]
    assert [path for path in tmp_path.iterdir() if path.read_bytes() != b"genuine"]


def test_a_reader_that_does_not_accept_genuine_files_is_told(tmp_path, capfd):
    with input_error("bad", "genuine"):
        fuzz(Reader("bad", make_a_file, "a.txt", refuse), seed=0, seconds=0.01, keep=tmp_path)


def refuse(folder, path):
    raise InputError("no")
