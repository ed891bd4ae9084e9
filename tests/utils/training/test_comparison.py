"""The table of strategies: rows of several seeds become one."""

from dataclasses import replace

import pytest

from models.strategies import STRATEGIES
from tests.conftest import input_error
from utils.common.files import write_json
from utils.training.comparison import check_same, merge_seeds, variants
from utils.training.flags import read_student_config
from utils.training.table import markdown_table, read_row


def row(strategy, seed=0, **figures):
    known = {"face_before": 4.0, "face_after": 5.0, "forgetting": 1.0, "ear": 3.0, "gflop": 20.5, "minutes": 2.0}
    known |= {"parameters": 1234567, "ear_images": 9000, "speed": 10.0, "teacher_speed": 10.2}
    return {"strategy": strategy, "seed": seed} | known | figures


def test_seeds_of_a_strategy_become_one_row_with_their_mean_and_from_three_on_their_spread():
    ears = [row("distill", seed, ear=3.0 + seed) for seed in range(3)]
    rows = merge_seeds([ears[0], row("joint"), *ears[1:]])
    assert [(each["strategy"], each["seeds"]) for each in rows] == [("distill", 3), ("joint", 1)]
    assert rows[0]["ear"] == pytest.approx(4.0) and rows[0]["ear_spread"] == pytest.approx(1.0)
    assert "ear_spread" not in merge_seeds(ears[:2])[0]


def test_replayed_faces_make_another_row_of_a_strategy_that_asks_a_teacher():
    rows = merge_seeds([row("distill", replayed=0), row("distill", replayed=5), row("joint", replayed=5)])
    assert [each["variant"] for each in rows] == ["distill", "distill + replay", "joint"]
    table = markdown_table(rows)
    assert "| distill + replay |" in table and "| joint |" in table


def test_other_test_sets_become_columns_with_their_spread_and_what_was_before():
    def scored(nme):
        return [
            {"name": "genuine", "task": "ear", "nme": nme},
            {"name": "people", "task": "face", "nme": 4, "before": 3},
        ]

    rows = merge_seeds([row("frozen", seed, scored=scored(5.0 + seed)) for seed in range(3)])
    table = markdown_table([*rows, row("joint")])
    assert "genuine: ear NME (%) | people: face NME (%) |" in table
    assert "| 6.00 ± 1.00 | 4.00 ± 0.00 (before 3.00) |" in table
    assert table.splitlines()[-1].endswith("| - | - |")


def test_what_is_compared_follows_from_the_images_that_there_are(ears, faces, tmp_path):
    teacher = tmp_path / "teacher.keras"
    teacher.touch()

    def names(*flags):
        given = ["--data", str(ears), "--teacher", str(teacher), "--run", str(tmp_path / "new"), *map(str, flags)]
        return variants(read_student_config("", given)[0])

    assert "ewc" not in names() and "--no-replay" not in names()["distill"] and "distill-at-replay" not in names()
    with_faces = names("--faces", faces)
    assert with_faces["distill"][2:] == ["--no-replay"] and with_faces["distill-at-replay"][2:] == []
    assert "ewc" in with_faces and set(with_faces) - {"distill-at-replay"} == set(STRATEGIES)
    assert "--no-replay" not in names("--faces", faces, "--replay", faces)["distill-at"]


def test_what_one_seed_does_not_know_the_row_does_not_know():
    assert merge_seeds([row("distill"), row("distill", 1, forgetting=None)])[0]["forgetting"] is None


def test_the_table_shows_signs_spreads_thousands_and_dashes():
    rows = merge_seeds([row("distill", seed, forgetting=0.1 * seed) for seed in range(3)] + [row("frozen", ear=None)])
    lines = markdown_table(rows).splitlines()
    assert "| distill | 3 |" in lines[2] and "+0.10 ± 0.10" in lines[2] and "1,234,567" in lines[2]
    assert "| - |" in lines[3]
    assert len({line.count("|") for line in lines}) == 1


def test_a_folder_that_is_no_finished_run_is_named(tmp_path):
    with input_error(tmp_path, "train_face2ear.py"):
        read_row(tmp_path)


def test_a_run_of_other_flags_is_refused_whichever_of_the_two_was_given_the_flag(ears, tmp_path):
    teacher = tmp_path / "teacher.keras"
    teacher.touch()
    plain = ["--data", str(ears), "--teacher", str(teacher)]
    limited = [*plain, "--limit", "4", "--negatives", str(ears)]

    def trained(name, flags):
        config, _ = read_student_config("", [*flags, "--run", str(tmp_path / "new")])
        # A run fills these in.
        config = replace(config, preset="tiny", norm="weight", input_size=96, learning_rate=1e-3)
        write_json(tmp_path / name / "config.json", config.to_json())
        return tmp_path / name

    check_same(trained("plain", plain), plain)
    check_same(trained("limited", limited), limited)
    with input_error("limited", "with --limit 4", "--base"):
        check_same(tmp_path / "limited", plain)
    with input_error("plain", "without --limit", "--base"):
        check_same(tmp_path / "plain", limited)
    with input_error("plain", "--learning-rate 0.001"):
        check_same(tmp_path / "plain", [*plain, "--learning-rate", "0.1"])
