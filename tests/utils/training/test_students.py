import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from data.datasets import find_samples, split_samples, write_split
from data.formats import write_pts
from data.schemes import FACE
from models.config import preset_config
from models.strategies import STRATEGIES
from models.weights import LoadedModel
from tests.conftest import input_error
from utils.training.config import StudentConfig
from utils.training.flags import read_student_config
from utils.training.run_folder import RunFolder
from utils.training.students import (
    ATTENTION_WEIGHT,
    ATTENTION_WEIGHT_WITH_FACES,
    DISTILLATION_WEIGHT,
    SOFTENED_WEIGHT,
    find_faces,
    resolve,
    resolve_attention,
    term_weights,
)

FACE_NETWORK = LoadedModel(Path("face.keras"), preset_config("tiny", {"face": tuple(range(68))}), {}, None)


@pytest.fixture
def copied(faces, tmp_path):
    """The same face images in a flat folder with `.pts`, as `utils.annotate --faces` writes them."""
    for sample in find_samples([faces], FACE).samples:
        (tmp_path / "copied").mkdir(exist_ok=True)
        shutil.copy(sample.image, tmp_path / "copied")
        write_pts(tmp_path / "copied" / f"{sample.image.stem}.pts", sample.points)
    return tmp_path / "copied"


def flags(tmp_path, *given):
    (tmp_path / "face.keras").touch()
    places = ["--teacher", tmp_path / "face.keras", "--run", tmp_path / "run", "--out", tmp_path / "out.keras"]
    return read_student_config("", [*map(str, places), *map(str, given)])


def faces_of(read):
    config, options = read
    return find_faces(config, RunFolder(options), FACE_NETWORK)


def ids(samples):
    return {sample.image_id for sample in samples}


def test_images_that_forgetting_is_measured_on_are_not_rehearsed_wherever_they_lie(faces, copied, tmp_path):
    parts, replayed, _ = faces_of(flags(tmp_path, "--faces", faces, "--replay", copied))
    assert parts["validation"] + parts["test"]
    assert ids(replayed) == ids(parts["train"]) and len(ids(replayed)) > 0


def test_all_of_a_folder_that_nothing_is_measured_on_is_rehearsed(copied, tmp_path):
    _, replayed, _ = faces_of(flags(tmp_path, "--data", tmp_path, "--replay", copied))
    assert len(replayed) == 12


def test_the_split_of_the_faces_is_not_asked_of_other_images(faces, copied, tmp_path):
    parts = split_samples(find_samples([faces], FACE).samples, None)
    write_split(tmp_path / "split.csv", parts)
    (copied / "other.jpg").write_bytes((copied / "face_00000.jpg").read_bytes())
    shutil.copy(copied / "face_00000.pts", copied / "other.pts")
    given = flags(tmp_path, "--faces", faces, "--replay", copied, "--face-split", tmp_path / "split.csv")
    _, replayed, _ = faces_of(given)
    assert "other" in {sample.image.stem for sample in replayed}


def test_a_replay_of_scored_images_alone_is_refused(faces, copied, tmp_path):
    held = ids(split_samples(find_samples([faces], FACE).samples, None)["train"])
    for sample in find_samples([copied], FACE).samples:
        if sample.image_id in held:
            sample.image.unlink()
            sample.image.with_suffix(".pts").unlink()
    with input_error("--replay", copied):
        faces_of(flags(tmp_path, "--faces", faces, "--replay", copied))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["adapters", "--boundary-weight", 1], "--boundary-weight: --strategy adapters leaves"),
        (["l2-sp", "--l2-sp-weight", 0], "--l2-sp-weight 0: then --strategy l2-sp is finetune"),
        (["distill-at", "--distillation-weight", 0, "--attention-weight", 0], "is finetune"),
    ],
)
def test_what_a_strategy_would_not_use_is_refused(ears, tmp_path, given, named):
    with input_error(named):
        flags(tmp_path, "--data", ears, "--strategy", *given)


def test_a_network_whose_faces_stay_as_they_are_replays_none(ears, faces, tmp_path):
    for strategy in ("adapters", "frozen", "separate"):
        with input_error("--replay", strategy):
            flags(tmp_path, "--data", ears, "--strategy", strategy, "--replay", faces)
    flags(tmp_path, "--data", ears, "--strategy", "distill-at", "--attention-weight", 0)


def test_without_its_points_a_replay_needs_a_term_that_learns_from_it(faces, tmp_path):
    def terms(*more):
        config, _ = flags(tmp_path, "--replay", faces, "--face-weight", 0, *more)
        return term_weights(replace(config, distillation_weight=config.distillation_weight or 0.0))

    assert terms("--strategy", "distill", "--distillation-weight", 2) == {"ear": 1.0, "distillation": 2.0}
    boundary = terms("--strategy", "finetune", "--boundary-weight", 1)
    assert boundary == {"ear": 1.0, "boundary": 1.0}
    for more in (["finetune"], ["distill", "--distillation-weight", 0]):
        with input_error("--face-weight 0"):
            terms("--strategy", *more)


class TestResolve:
    def test_what_no_flag_says_is_the_teachers(self):
        config = resolve(StudentConfig(task="face2ear", out="out.keras", norm="weight"), FACE_NETWORK)
        assert (config.preset, config.input_size, config.learning_rate) == ("tiny", 96, 0.5e-3)
        assert (config.points, config.stage_input, config.sigma) == ("2d", "features", 1.15)
        assert config.distillation_weight == DISTILLATION_WEIGHT
        assert resolve(config, FACE_NETWORK) == config

    def test_new_layers_alone_take_larger_steps(self):
        rates = {}
        for strategy in STRATEGIES:
            config = StudentConfig(task="face2ear", out="out.keras", norm="weight", strategy=strategy)
            rates[strategy] = resolve(config, FACE_NETWORK).learning_rate
        assert {name for name, rate in rates.items() if rate == 4e-3} == {"frozen", "adapters"}
        assert set(rates.values()) == {0.5e-3, 4e-3}

    def test_softened_maps_have_a_weight_of_their_own(self):
        config = StudentConfig(task="face2ear", out="out.keras", norm="weight", temperature=2.0)
        assert resolve(config, FACE_NETWORK).distillation_weight == SOFTENED_WEIGHT

    def test_attention_weighs_less_where_faces_are_replayed(self):
        config = StudentConfig(task="face2ear", out="out.keras")
        weights = [resolve_attention(config, replayed).attention_weight for replayed in (False, True)]
        assert weights == [ATTENTION_WEIGHT, ATTENTION_WEIGHT_WITH_FACES]
        assert resolve_attention(replace(config, attention_weight=0.3), True).attention_weight == 0.3

    def test_a_strategy_that_keeps_the_teachers_network_refuses_another(self):
        config = StudentConfig(task="face2ear", out="out.keras", strategy="frozen", preset="lite")
        with input_error("--preset lite", "frozen"):
            resolve(config, FACE_NETWORK)
