"""A search of many images that was stopped goes on where it was."""

import shutil
import subprocess
import time

import pytest

from tests.charts import draw_chart, place, save_chart_network
from tests.conftest import ROOT, command, input_error, run_process
from utils.common.images import save_image
from utils.demo.journal import Journal


@pytest.fixture
def files(tmp_path):
    for name in ("weights", "boxes"):
        (tmp_path / name).write_text(name)
    return [str(tmp_path / name) for name in ("weights", "boxes")]


def answers_of(journal, images, asked):
    def look(images):
        for image in images:
            asked.append(image.name)
            yield image, [{"points": [[float(len(asked)), 0.1]], "score": 0.7}]

    return list(journal.answers(images, look))


def test_what_is_known_is_not_looked_for_again(tmp_path, files):
    images, asked = [tmp_path / name for name in "abcd"], []
    answers_of(Journal(tmp_path / "out", files, {"passes": 1}), [images[2], images[0]], asked)
    again = answers_of(Journal(tmp_path / "out", files, {"passes": 1}), images, asked)
    assert asked == ["c", "a", "b", "d"]
    assert [(image.name, answer[0]["points"][0][0]) for image, answer in again] == [
        ("a", 2),
        ("b", 3),
        ("c", 1),
        ("d", 4),
    ]
    journal = Journal(tmp_path / "out", files, {"passes": 1})
    journal.done()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["boxes", "weights"]


def test_a_torn_line_is_made_again(tmp_path, files):
    images, asked = [tmp_path / name for name in "abc"], []
    journal = Journal(tmp_path / "out", files, {})
    whole = answers_of(journal, images, asked)
    content = journal.path.read_bytes()
    for cut in (1, 20, len(content.splitlines()[-1]) + 1, len(content) - 1):
        journal.path.write_bytes(content[:-cut])
        again = answers_of(Journal(tmp_path / "out", files, {}), images, [])
        assert [image for image, _ in again] == [image for image, _ in whole]
        assert len(Journal(tmp_path / "out", files, {}).known) == 3


def test_other_weights_or_flags_do_not_go_on(tmp_path, files):
    journal = Journal(tmp_path / "out", files, {"passes": 1})
    answers_of(journal, [tmp_path / "a"], [])
    for names, settings in ((files, {"passes": 2}), (files[:1], {"passes": 1})):
        with input_error("out.unfinished.jsonl", "delete it"):
            Journal(tmp_path / "out", names, settings)
    (tmp_path / "weights").write_text("others")
    with input_error("out.unfinished.jsonl", "delete it"):
        Journal(tmp_path / "out", files, {"passes": 1})
    journal.path.write_text("no JSON\n")
    with input_error("out.unfinished.jsonl", "delete it"):
        Journal(tmp_path / "out", files, {"passes": 1})


@pytest.mark.slow
def test_a_killed_annotate_goes_on_to_the_same_table(tmp_path):
    weights, images = save_chart_network(tmp_path / "chart.keras"), tmp_path / "images"
    for k in range(30):
        save_image(images / f"{k:02d}.png", draw_chart(240, 320, place((150 + k, 120), 90 + k))[0])
    flags = (weights, images, "--precision", "float32", "--batch", 1)
    whole = run_process("utils.annotate", *flags, "--out", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr

    unfinished = tmp_path / "out.unfinished.jsonl"
    with subprocess.Popen(
        command("utils.annotate", *flags, "--out", tmp_path / "out"), cwd=ROOT, stderr=subprocess.DEVNULL
    ) as process:
        until = time.monotonic() + 120
        while time.monotonic() < until and not (unfinished.exists() and unfinished.read_bytes().count(b"\n") > 3):
            time.sleep(0.005)
        process.kill()
    assert 3 < unfinished.read_bytes().count(b"\n") < 31 and not (tmp_path / "out").exists()
    for name in ("00.png", "01.png"):  # known already: nobody looks
        shutil.copy(images / "29.png", images / name)
    done = run_process("utils.annotate", *flags, "--out", tmp_path / "out")
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == whole.stdout.splitlines()[-1].replace(
        "whole", "out"
    )
    assert (tmp_path / "out" / "verdicts.csv").read_text() == (tmp_path / "whole" / "verdicts.csv").read_text()
    assert not unfinished.exists()
