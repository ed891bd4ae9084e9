"""The table of strategies: rows of several seeds become one."""

from dataclasses import replace

import pytest

from models.strategies import STRATEGIES
from tests.conftest import input_error
from utils.common.files import write_json
from utils.training.comparison import check_same, merge_seeds, plan_runs, train, variants
from utils.training.flags import read_student_config
from utils.training.table import markdown_table, read_row


def row(strategy, seed=0, **figures):
    known = {"face_before": 4.0, "face_after": 5.0, "forgetting": 1.0, "ear": 3.0, "gflop": 20.5, "minutes": 2.0}
    known |= {"parameters": 1234567, "ear_images": 9000, "speed": 10.0, "teacher_speed": 10.2}
    return {"strategy": strategy, "seed": seed} | known | figures


@pytest.fixture
def merged(tmp_path):
    """Merge rows whose runs differ in their seed alone, but for the settings of `others`, by the row's number."""

    def merge(rows, others=None):
        runs = []
        for k, each in enumerate(rows):
            runs.append(tmp_path / f"run{k}")
            values = {"strategy": each["strategy"], "seed": each["seed"], "out": f"{k}.keras", "epochs": 2}
            write_json(runs[-1] / "config.json", values | (others or {}).get(k, {}))
        return merge_seeds(rows, runs)

    return merge


def test_seeds_of_a_strategy_become_one_row_with_their_mean_and_from_three_on_their_spread(merged):
    ears = [row("distill", seed, ear=3.0 + seed) for seed in range(3)]
    rows = merged([ears[0], row("joint"), *ears[1:]])
    assert [(each["strategy"], each["seeds"]) for each in rows] == [("distill", 3), ("joint", 1)]
    assert rows[0]["ear"] == pytest.approx(4.0) and rows[0]["ear_spread"] == pytest.approx(1.0)
    assert "ear_spread" not in merged(ears[:2])[0]


def test_replayed_faces_make_another_row_of_a_strategy_that_asks_a_teacher(merged):
    rows = merged([row("distill", replayed=0), row("distill", replayed=5), row("joint", replayed=5)])
    assert [each["variant"] for each in rows] == ["distill", "distill + replay", "joint"]
    table = markdown_table(rows)
    assert "| distill + replay |" in table and "| joint |" in table


def test_other_test_sets_become_columns_with_their_spread_and_what_was_before(merged):
    def scored(nme):
        return [
            {"name": "genuine", "task": "ear", "nme": nme},
            {"name": "people", "task": "face", "nme": 4, "before": 3},
        ]

    rows = merged([row("frozen", seed, scored=scored(5.0 + seed)) for seed in range(3)])
    table = markdown_table([*rows, row("joint")])
    assert "genuine: ear NME (%) | people: face NME (%) |" in table
    assert "| 6.00 ± 1.00 | 4.00 ± 0.00 (before 3.00) |" in table
    assert table.splitlines()[-1].endswith("| - | - |")


def test_runs_of_other_settings_and_the_same_seed_twice_are_rows_of_their_own(merged):
    same = [row("distill", seed, ear=3.0 + seed) for seed in (0, 1, 0)]
    rows = merged(same)
    assert [(each["variant"], each["seeds"], each["ear"]) for each in rows] == [
        ("distill (run0)", 2, 3.5),
        ("distill (run2)", 1, 3.0),
    ]
    rows = merged(same[:2], {1: {"epochs": 9}})
    assert [each["variant"] for each in rows] == ["distill (run0)", "distill (run1)"]
    assert "| distill (run1) | 1 |" in markdown_table(rows)
    weights = {0: {"attention_weight": 1.0}, 1: {"attention_weight": 0.1}}
    assert len(merged(same[:2], weights)) == 1  # `distill` has no such term
    assert len(merged([row("distill-at"), row("distill-at", 1)], weights)) == 2


def test_a_folder_that_is_no_run_is_left_as_it_is(tmp_path):
    (tmp_path / "joint").mkdir()
    (tmp_path / "joint" / "notes.txt").write_text("mine")
    with input_error(tmp_path / "joint", "move it"):
        train(tmp_path / "joint", [])
    assert (tmp_path / "joint" / "notes.txt").read_text() == "mine"


def test_a_study_is_refused_before_its_first_run_where_one_of_them_would_be(ears, faces, tmp_path):
    (tmp_path / "teacher.keras").touch()
    flags = ["--data", str(ears), "--faces", str(faces), "--teacher", str(tmp_path / "teacher.keras")]
    assert len(plan_runs(tmp_path / "base", 2, flags)) == 2 * (len(STRATEGIES) + 1)
    with input_error("--init", "keeps the teacher's weights"):
        plan_runs(tmp_path / "base", 1, [*flags, "--init", str(tmp_path / "teacher.keras")])
    names = [run.name for run, _ in plan_runs(tmp_path / "base", 1, [*flags, "--no-replay"])]
    assert "joint" not in names and "distill-at" in names


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


def test_what_one_seed_does_not_know_the_row_does_not_know(merged):
    assert merged([row("distill"), row("distill", 1, forgetting=None)])[0]["forgetting"] is None


def test_the_table_shows_signs_spreads_thousands_and_dashes(merged):
    rows = merged([row("distill", seed, forgetting=0.1 * seed) for seed in range(3)] + [row("frozen", ear=None)])
    lines = markdown_table(rows).splitlines()
    assert "| distill | 3 |" in lines[2] and "+0.10 ± 0.10" in lines[2] and "1,234,567" in lines[2]
    assert "| - |" in lines[3]
    assert len({line.count("|") for line in lines}) == 1


def test_a_folder_that_is_no_finished_run_is_named(tmp_path):
    with input_error(tmp_path, "train_face2ear.py"):
        read_row(tmp_path)
    for content in ({}, [1], {"strategy": "own"}):
        write_json(tmp_path / "forgetting.json", content)
        with input_error("forgetting.json"):
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
