"""Flags, config files and resumed runs come to one config, or to one line that says why not."""

import json
import shutil
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from data.datasets import find_samples, split_samples
from data.schemes import EAR, FACE
from models.config import preset_config
from models.cpm import TRUNK, build_network
from models.losses import STAGE_LOSSES
from models.weights import save_network
from tests.conftest import ROOT, input_error
from utils.common.files import write_json
from utils.training.config import RunOptions
from utils.training.flags import LOSSES, read_student_config, read_train_config, student_parser, train_parser
from utils.training.run_folder import RunFolder
from utils.training.start import training_record


def read(*flags, scheme=FACE):
    return read_train_config(scheme, "", [str(flag) for flag in flags])


@pytest.fixture
def places(faces, tmp_path):
    """Flags that name data and where to write."""
    return ["--run", tmp_path / "run", "--data", faces, "--out", tmp_path / "face.keras"]


@pytest.fixture
def started(places, faces, tmp_path):
    """A run that was started with --init and --split files, its config and split on disk; returns its flags."""
    for name in ("init.keras", "split.csv"):
        (tmp_path / name).write_text("name,part\n")
    flags = [*places, "--init", tmp_path / "init.keras", "--split", tmp_path / "split.csv"]
    flags += ["--batch-size", "4", "--skip-bad"]
    config, options = read(*flags)
    config = replace(config, precision="bfloat16")  # as measured
    RunFolder(options).start(config, split_samples(find_samples(config.data, FACE).samples), [])
    return flags


def as_file(folder, **values):
    path = folder / "given.json"
    path.write_text(json.dumps(values))
    return path


class TestResolved:
    def test_what_is_left_to_a_preset_is_filled_in_once(self, places):
        config, options = read(*places, "--preset", "lite")
        assert (config.norm, config.learning_rate, config.input_size) == ("weight", 1e-3, 256)
        assert config.resolved() == config
        assert options == RunOptions(places[1], resume=False, workers=0)
        with pytest.raises(FrozenInstanceError):
            config.norm = "none"

    def test_flags_go_before_the_preset(self, places):
        config, _ = read(*places, "--preset", "lite", "--norm", "none", "--input-size", 160, "--learning-rate", 0.1)
        assert (config.norm, config.learning_rate, config.input_size) == ("none", 0.1, 160)
        assert config.model_config() == preset_config("lite", {"face": tuple(range(68))}, norm="none", input_size=160)

    def test_a_subset_of_landmarks_is_the_networks_heads(self, places):
        config, _ = read(*places, "--landmarks", "36-38,45")
        assert config.landmark_indices == (36, 37, 38, 45) == config.model_config().heads["face"]


class TestFreeze:
    def test_blocks_can_be_kept_where_there_are_weights_to_keep(self, places, tmp_path):
        (tmp_path / "init.keras").touch()
        config, _ = read(*places, "--init", tmp_path / "init.keras", "--freeze", 2)
        assert config.freeze == 2

    def test_random_weights_are_not_kept(self, places):
        with input_error("--freeze 2", "--init"):
            read(*places, "--freeze", 2)

    def test_the_trunk_has_as_many_blocks_as_the_flag_counts(self, places, tmp_path):
        (tmp_path / "init.keras").touch()
        flags = [*places, "--init", tmp_path / "init.keras"]
        assert read(*flags, "--freeze", len(TRUNK))[0].freeze == len(TRUNK)
        with input_error("--freeze"):
            read(*flags, "--freeze", len(TRUNK) + 1)


class TestConfigFile:
    def test_flags_override_the_file_and_the_file_overrides_defaults(self, places, tmp_path):
        file = as_file(tmp_path, preset="tiny", epochs=3, augment=0.5, landmarks="0-16")
        config, _ = read(*places, "--config", file, "--epochs", 5)
        assert (config.preset, config.epochs, config.augment, config.landmarks) == ("tiny", 5, 0.5, "0-16")
        assert config.batch_size == 16

    def test_lists_of_folders_come_from_the_file_too(self, faces, tmp_path):
        file = as_file(tmp_path, data=[str(faces), str(faces)], out=str(tmp_path / "face.keras"))
        config, _ = read("--config", file, "--run", tmp_path / "run")
        assert config.data == (str(faces), str(faces))

    def test_what_a_run_writes_can_be_given_again(self, started, tmp_path):
        again, _ = read("--config", tmp_path / "run/config.json", "--run", tmp_path / "again")
        first, _ = read(*started[2:], "--run", tmp_path / "other")
        assert again == replace(first, precision="bfloat16")

    @pytest.mark.parametrize(
        ("values", "named"),
        [
            ({"epoch": 3}, "'epoch'"),
            ({"teacher": "a.keras"}, "'teacher'"),
            ({"coarse_epochs": 3}, "'coarse_epochs'"),
            ({"epochs": "many"}, "epochs"),
            ({"epochs": "3"}, "a number"),
            ({"epochs": 2.5}, "epochs"),
            ({"epochs": True}, "epochs"),
            ({"epochs": 0}, "epochs"),
            ({"freeze": True}, "0, 1, 2, 3, 4"),
            ({"freeze": 5}, "0, 1, 2, 3, 4"),
            ({"skip_bad": 1}, "true or false"),
            ({"preset": "huge"}, "full, lite, small, nano, tiny"),
            ({"input_size": 100}, "a multiple of 8"),
            ({"flip_probability": 2}, "from 0 to 1"),
            ({"data": "folder"}, "a list"),
            ({"data": [3]}, "a list"),
            ({"init": 3}, "a text"),
            ({"task": "ear"}, "train_ear.py"),
            ({"task": ["face"]}, "face, ear, face2ear"),
            ({"epochs": 10**27}, "1000000000"),
            ({"out": "a\0b.keras"}, "a text"),
        ],
    )
    def test_a_wrong_key_or_value_is_one_line_that_names_the_file(self, places, tmp_path, values, named):
        file = as_file(tmp_path, **values)
        with input_error("--config", file, named):
            read(*places, "--config", file)
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("text", ["", "[1, 2]", "{", "3"])
    def test_what_is_no_json_object_is_refused(self, places, tmp_path, text):
        (tmp_path / "given.json").write_text(text)
        with input_error("--config", tmp_path / "given.json"):
            read(*places, "--config", tmp_path / "given.json")

    def test_a_key_that_stands_twice_is_refused(self, places, tmp_path):
        (tmp_path / "given.json").write_text('{"epochs": 1, "epochs": 2}')
        with input_error("--config", tmp_path / "given.json"):
            read(*places, "--config", tmp_path / "given.json")

    def test_a_file_that_notepad_saved_is_read(self, places, tmp_path):
        (tmp_path / "given.json").write_text('{"epochs": 7}', encoding="utf-8-sig")
        assert read(*places, "--config", tmp_path / "given.json")[0].epochs == 7

    def test_a_missing_file_is_refused(self, places, tmp_path):
        with input_error("--config", tmp_path / "none.json"):
            read(*places, "--config", tmp_path / "none.json")


RECIPES = sorted((ROOT / "weights/recipes").glob("*.json"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_shipped_weights_is_a_config_of_its_script(recipe, faces, ears, tmp_path):
    content = json.loads(recipe.read_text())
    task = content["task"]
    flags = ["--config", recipe, "--run", tmp_path / "run", "--out", tmp_path / "out.keras"]
    if task == "face2ear":
        (tmp_path / "teacher.keras").touch()
        flags += ["--data", ears, "--faces", faces, "--teacher", tmp_path / "teacher.keras"]
        config, _ = read_student_config("", [str(flag) for flag in flags])
    else:
        scheme = {"face": FACE, "ear": EAR}[task]
        config, _ = read(*flags, "--data", faces if scheme is FACE else ears, scheme=scheme)
    assert config.task == task and config.epochs == content["epochs"]


def test_the_flag_offers_every_stage_loss():
    """`models.losses` starts Keras, for which `--help` does not wait."""
    assert tuple(STAGE_LOSSES) == LOSSES


def test_there_are_recipes():
    assert len(RECIPES) > 10


class TestHelp:
    @pytest.mark.parametrize("parser", [train_parser(FACE, ""), train_parser(EAR, ""), student_parser("")])
    def test_flags_are_grouped(self, parser):
        text = parser.format_help()
        places = [text.index(f"\n{title}:") for title in ("data", "network", "training", "run")]
        assert places == sorted(places)
        assert "{default}" not in text and "None" not in text

    def test_the_default_of_a_flag_is_said(self):
        for parser, epochs in ((train_parser(FACE, ""), 60), (student_parser(""), 30)):
            assert f"--repeats times (default: {epochs})" in " ".join(parser.format_help().split())


class TestResume:
    def test_the_whole_command_again_is_taken_and_so_is_the_run_alone(self, started):
        for flags in (started, started[:2], [*started, "--precision", "auto"]):
            config, options = read(*flags, "--resume")
            assert (config.batch_size, config.precision, config.skip_bad) == (4, "bfloat16", True)
            assert config.data == (str(started[3]),)
            assert options.resume

    @pytest.mark.parametrize(
        "flags",
        [
            ["--batch-size", "16"],
            ["--epochs", "3"],  # of 60: fewer
            ["--negatives", "tests"],  # of none
            ["--precision", "float32"],
            ["--landmarks", "36-47"],
            ["--deterministic"],
        ],
    )
    def test_a_flag_that_says_otherwise_is_refused_even_if_it_says_the_default(self, started, flags):
        with input_error(*flags, "resumed run keeps its config"):
            read(*started[:2], "--resume", *flags)

    def test_images_that_moved_are_taken_where_they_are_the_same(self, started, faces, tmp_path):
        moved = Path(shutil.copytree(faces, tmp_path / "moved"))
        (tmp_path / "run/config.json").write_text(
            (tmp_path / "run/config.json").read_text().replace(json.dumps(str(faces)), '"gone"')
        )
        with input_error("--data gone", "no such folder", "if it has moved"):
            read(*started[:2], "--resume")
        config, options = read(*started[:2], "--resume", "--data", moved)
        assert config.data == (str(moved),) and config.batch_size == 4
        RunFolder(options).start(config, split_samples(find_samples(config.data, FACE).samples), [])
        assert read(*started[:2], "--resume")[0].data == (str(moved),)

        next(moved.rglob("*.jpg")).rename(moved / "AFW/other.jpg")
        other = split_samples(find_samples(config.data, FACE, skip_bad=True).samples)
        with input_error("--resume", moved, "not those"):
            RunFolder(options).start(config, other, [])

    def test_a_run_may_get_more_epochs_and_says_so(self, started, capsys):
        config, options = read(*started[:2], "--resume", "--epochs", 80)
        assert config.epochs == 80
        parts = split_samples(find_samples(config.data, FACE).samples)
        RunFolder(options).start(config, parts, [])
        assert "80 epochs instead of 60" in capsys.readouterr().out
        config, options = read(*started[:2], "--resume")
        RunFolder(options).start(config, parts, [])
        assert config.epochs == 80 and capsys.readouterr().out == ""

    def test_a_folder_that_a_killed_run_left_without_a_file_is_new(self, places, tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "run/.part123-config.json").write_text("{")
        assert not read(*places)[1].resume
        with input_error("--resume", tmp_path / "run", "leave the flag out"):
            read(*places, "--resume")
        (tmp_path / "run/notes.txt").touch()
        with input_error("--run", "already there"):
            read(*places)

    @pytest.mark.parametrize("values", [{"points": 3}, {"sigma": "wide"}, {"stage_input": ["features"]}])
    def test_a_students_settings_without_a_flag_are_checked_too(self, tmp_path, values):
        file = as_file(tmp_path, **values)
        with input_error("--config", file, next(iter(values))):
            read_student_config("", ["--config", str(file), "--run", str(tmp_path / "run")])

    def test_a_config_file_beside_it_is_refused(self, started, tmp_path):
        with input_error("--config"):
            read(*started[:2], "--resume", "--config", as_file(tmp_path, epochs=3))

    def test_a_config_from_before_a_setting_was_there_has_its_default(self, started, tmp_path):
        values = json.loads((tmp_path / "run/config.json").read_text())
        del values["repeats"]
        write_json(tmp_path / "run/config.json", values)
        assert read(*started, "--resume")[0].repeats == 1
        with input_error("--repeats 2", "with 1"):
            read(*started, "--resume", "--repeats", "2")

    @pytest.mark.parametrize("text", ["[]", "{", '{"epochs": "many"}', '{"unheard": 1}', '{"task": "ear"}'])
    def test_a_config_that_is_not_that_of_a_run_is_named(self, started, tmp_path, text):
        (tmp_path / "run/config.json").write_text(text)
        with input_error("--resume", tmp_path / "run"):
            read(*started, "--resume")

    def test_neither_the_split_file_nor_once_an_epoch_is_done_the_init_file_is_needed(self, started, tmp_path):
        (tmp_path / "split.csv").unlink()
        config, options = read(*started, "--resume")
        assert RunFolder(options).split_file(config.split) == tmp_path / "run/split.csv"
        (tmp_path / "init.keras").unlink()
        with input_error("--init", tmp_path / "init.keras"):
            read(*started, "--resume")  # no epoch is done: it starts from them again
        for name in ("state.json", "best.keras"):
            (tmp_path / "run" / name).write_text("")
        read(*started, "--resume")

    def test_its_record_still_names_the_images_behind_the_init_file(self, started, faces, tmp_path):
        train = split_samples(find_samples([faces], FACE).samples)["train"]
        model_config = preset_config("tiny", {"face": (36, 45)}, stages=1)
        network = build_network(model_config)
        save_network(tmp_path / "init.keras", network, model_config, {"training_images": ["0123456789ab"], "steps": 5})
        config, options = read(*started[2:], "--run", tmp_path / "other")
        record = training_record(config, RunFolder(options), train, steps=7)
        assert record["steps"] == 12
        assert len(record["training_images"]) == 1 + len(train)
        save_network(tmp_path / "run/best.keras", network, model_config, record | {"epoch": 1})
        (tmp_path / "run/state.json").write_text("")  # an epoch is done
        (tmp_path / "init.keras").unlink()
        resumed, options = read(*started[:2], "--resume")
        (tmp_path / "run/state.json").unlink()
        again = training_record(resumed, RunFolder(options), train, steps=7)
        assert again == json.loads(json.dumps(record)) | {"train_config": resumed.to_json()}
        longer = training_record(replace(resumed, epochs=62), RunFolder(options), train, steps=62 * 3)
        assert longer["steps"] == 12 + 2 * 3
        with input_error("--resume", "not those"):  # of --replay, say, which no split tells of
            training_record(resumed, RunFolder(options), [replace(train[0], image=ROOT / "README.md")], steps=7)
