import shutil
from pathlib import Path

import pytest

from data.datasets import find_samples, split_samples, write_split
from data.formats import write_pts
from data.schemes import FACE
from models.config import preset_config
from models.strategies import STRATEGIES
from models.weights import LoadedModel
from tests.conftest import input_error
from utils.training.students import find_faces, parse_student_flags, student_flags, term_weights

FACE_NETWORK = LoadedModel(None, preset_config("tiny", {"face": tuple(range(68))}), {}, Path("face.keras"))


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
    return parse_student_flags(student_flags(""), [*map(str, places), *map(str, given)])


def ids(samples):
    return {sample.image_id for sample in samples}


def test_images_that_forgetting_is_measured_on_are_not_rehearsed_wherever_they_lie(faces, copied, tmp_path):
    parts, replayed, _ = find_faces(flags(tmp_path, "--faces", faces, "--replay", copied), FACE_NETWORK)
    assert parts["validation"] + parts["test"]
    assert ids(replayed) == ids(parts["train"]) and len(ids(replayed)) > 0


def test_all_of_a_folder_that_nothing_is_measured_on_is_rehearsed(copied, tmp_path):
    _, replayed, _ = find_faces(flags(tmp_path, "--data", tmp_path, "--replay", copied), FACE_NETWORK)
    assert len(replayed) == 12


def test_the_split_of_the_faces_is_not_asked_of_other_images(faces, copied, tmp_path):
    parts = split_samples(find_samples([faces], FACE).samples, None)
    write_split(tmp_path / "split.csv", parts)
    (copied / "other.jpg").write_bytes((copied / "face_00000.jpg").read_bytes())
    shutil.copy(copied / "face_00000.pts", copied / "other.pts")
    given = flags(tmp_path, "--faces", faces, "--replay", copied, "--face-split", tmp_path / "split.csv")
    _, replayed, _ = find_faces(given, FACE_NETWORK)
    assert "other" in {sample.image.stem for sample in replayed}


def test_a_replay_of_scored_images_alone_is_refused(faces, copied, tmp_path):
    held = ids(split_samples(find_samples([faces], FACE).samples, None)["train"])
    for sample in find_samples([copied], FACE).samples:
        if sample.image_id in held:
            sample.image.unlink()
            sample.image.with_suffix(".pts").unlink()
    with input_error("--replay", copied):
        find_faces(flags(tmp_path, "--faces", faces, "--replay", copied), FACE_NETWORK)


def test_without_its_points_a_replay_needs_a_term_that_learns_from_it(faces, tmp_path):
    given = ["--replay", faces, "--face-weight", 0]
    assert term_weights(flags(tmp_path, *given, "--strategy", "distill"), STRATEGIES["distill"]).keys() == {
        "ear",
        "distillation",
    }
    boundary = flags(tmp_path, *given, "--strategy", "finetune", "--boundary-weight", 1)
    assert term_weights(boundary, STRATEGIES["finetune"]).keys() == {"ear", "boundary"}
    for strategy, more in (("finetune", ()), ("distill", ("--distillation-weight", 0))):
        with input_error("--face-weight 0"):
            term_weights(flags(tmp_path, *given, "--strategy", strategy, *more), STRATEGIES[strategy])
