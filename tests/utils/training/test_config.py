import json

import pytest

from data.datasets import find_samples, split_samples
from data.schemes import FACE
from models.config import preset_config
from models.cpm import build_network
from models.weights import save_network
from tests.conftest import input_error
from utils.common.files import write_json
from utils.training.config import RunFolder, parse_flags, training_flags, training_record


def parse(*flags):
    return parse_flags(training_flags("face", ""), FACE, [str(flag) for flag in flags])


@pytest.fixture
def started(faces, tmp_path):
    """A run that was started with --init and --split files, its settings and split on disk; returns its flags."""
    for name in ("init.keras", "split.csv"):
        (tmp_path / name).write_text("name,part\n")
    flags = ["--run", tmp_path / "run", "--data", faces, "--out", tmp_path / "face.keras"]
    flags += ["--init", tmp_path / "init.keras", "--split", tmp_path / "split.csv", "--batch-size", "4", "--skip-bad"]
    args = parse(*flags)
    args.precision = "bfloat16"  # as measured
    RunFolder(args.run).start(args, split_samples(find_samples(args.data, FACE).samples), [])
    return flags


class TestResume:
    def test_the_whole_command_again_is_taken_and_so_is_the_run_alone(self, started):
        for flags in (started, started[:2], [*started, "--precision", "auto"]):
            args = parse(*flags, "--resume")
            assert (args.batch_size, args.precision, args.skip_bad, args.data) == (
                4,
                "bfloat16",
                True,
                [started[3].as_posix()],
            )

    @pytest.mark.parametrize(
        "flags",
        [
            ["--batch-size", "16"],
            ["--epochs", "3"],
            ["--precision", "float32"],
            ["--landmarks", "36-47"],
            ["--deterministic"],
            ["--data", "tests"],
        ],
    )
    def test_a_flag_that_says_otherwise_is_refused_even_if_it_says_the_default(self, started, flags):
        with input_error(*flags, "resumed run keeps its settings"):
            parse(*started[:2], "--resume", *flags)

    def test_a_run_from_before_a_flag_was_there_is_not_resumed_with_it(self, started, tmp_path):
        config = json.loads((tmp_path / "run/config.json").read_text())
        del config["train_config"]["repeats"]
        write_json(tmp_path / "run/config.json", config)
        assert parse(*started, "--resume").repeats == 1
        with input_error("--repeats", "started without it"):
            parse(*started, "--resume", "--repeats", "2")

    def test_neither_the_split_file_nor_once_an_epoch_is_done_the_init_file_is_needed(self, started, tmp_path):
        (tmp_path / "split.csv").unlink()
        args = parse(*started, "--resume")
        assert args.split == str(tmp_path / "run/split.csv")
        (tmp_path / "init.keras").unlink()
        with input_error("--init", tmp_path / "init.keras"):
            parse(*started, "--resume")  # no epoch is done: it starts from them again
        for name in ("state.json", "best.keras"):
            (tmp_path / "run" / name).write_text("")
        assert parse(*started, "--resume").init is None

    def test_its_record_still_names_the_images_behind_the_init_file(self, started, faces, tmp_path):
        parts = split_samples(find_samples([faces], FACE).samples)
        config = preset_config("tiny", {"face": (36, 45)}, stages=1)
        network = build_network(config)
        save_network(tmp_path / "init.keras", network, config, {"training_images": ["0123456789ab"], "steps": 5})
        record = training_record(parse(*started[2:], "--run", tmp_path / "other"), parts, steps=7)
        assert record["steps"] == 12
        assert len(record["training_images"]) == 1 + len(parts["train"])
        save_network(tmp_path / "run/best.keras", network, config, record | {"epoch": 1})
        write_json(tmp_path / "run/state.json", {})
        (tmp_path / "init.keras").unlink()
        assert training_record(parse(*started[:2], "--resume"), parts, steps=7) == record
