"""What counts as found, missed and wrong."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data.annotation import Annotation
from data.datasets import Sample
from data.schemes import EAR, FACE, reference_shape
from utils.common.images import save_image
from utils.evaluation.detection import (
    Photo,
    Truth,
    annotated_photos,
    curves,
    folder_photos,
    judge,
    measure,
    negatives_with_anything,
)


def answer(left, top, right, bottom, score=0.7):
    return SimpleNamespace(points=np.array([[left, top], [right, bottom]]), confidence=np.array([score, score]))


def seen(face=None, *ears):
    return SimpleNamespace(face=face, ears={str(k): ear for k, ear in enumerate(ears)})


def boxes(*each):
    return np.array(each, np.float32).reshape(-1, 4)


def counts(photo, task, found):
    judged = judge(photo, task, 0.5, found)
    return judged.true, judged.right, judged.wrong


def test_an_answer_is_right_from_an_overlap_of_a_half_on_and_each_truth_has_one():
    photo = Photo(Path("a"), "boxes", {"ear": Truth(boxes((0, 0, 10, 10), (50, 0, 60, 10)))})
    assert counts(photo, "ear", seen(None, answer(0, 0, 10, 5))) == (2, 1, 0)
    assert counts(photo, "ear", seen(None, answer(0, 0, 10, 4.9))) == (2, 0, 1)
    both_on_one = judge(photo, "ear", 0.5, seen(None, answer(0, 0, 10, 8), answer(0, 0, 10, 9)))
    assert (both_on_one.right, both_on_one.wrong, both_on_one.hits) == (1, 1, (False, True))
    assert counts(photo, "ear", seen(None)) == (2, 0, 0)


def test_an_ear_that_nobody_looked_for_is_neither_right_nor_wrong():
    truth = boxes((0, 0, 10, 10))
    found = seen(None, answer(0, 0, 10, 10), answer(80, 80, 90, 90))
    assert counts(Photo(Path("a"), "ears", {"ear": Truth(truth, complete=False)}), "ear", found) == (1, 1, 0)
    assert counts(Photo(Path("a"), "ears", {"ear": Truth(truth)}), "ear", found) == (1, 1, 1)


def test_a_person_without_points_has_a_face_somewhere():
    photo = Photo(Path("a"), "people", {"face": Truth(None)})
    assert counts(photo, "face", seen(answer(3, 3, 9, 9))) == (1, 1, 0)
    assert counts(photo, "face", seen(None, answer(3, 3, 9, 9))) == (1, 0, 0)


def test_a_curve_has_recall_precision_and_false_alarms():
    face = boxes((0, 0, 10, 10))
    photos = {
        "found": Photo(Path("found"), "faces", {"face": Truth(face)}),
        "elsewhere": Photo(Path("elsewhere"), "faces", {"face": Truth(face)}),
        "nobody": Photo(Path("nobody"), "negatives", {"face": Truth(boxes()), "ear": Truth(boxes())}),
        "street": Photo(Path("street"), "negatives", {"face": Truth(boxes()), "ear": Truth(boxes())}),
        "mask": Photo(Path("mask"), "people", {"face": Truth(None)}),
    }
    scores = {"found": 0.9, "elsewhere": 0.6, "nobody": 0.4, "street": 0.1, "mask": 0.5}
    places = dict.fromkeys(photos, (20, 20, 30, 30)) | {"found": (0, 0, 10, 10)}

    def found(name, threshold):
        return seen(answer(*places[name], scores[name]) if scores[name] >= threshold else None)

    judged = [judge(photo, "face", t, found(name, t)) for t in (0.3, 0.55) for name, photo in photos.items()]
    low, high = curves(judged)["face"]
    assert (low.threshold, low.true, low.right, low.wrong) == (0.3, 2, 1, 2)
    assert (low.recall, low.negatives, low.people) == (0.5, 0.5, 1.0) and low.precision == pytest.approx(1 / 3)
    assert (high.recall, high.precision, high.negatives, high.people) == (0.5, 0.5, 0.0, 0.0)
    assert low.line == (
        "face at 0.3: 50.0 % of faces found, 33.3 % of drawn faces right, 100.0 % of images of --people get a face, "
        "50.0 % of images without people get a face"
    )
    only_negatives = curves([each for each in judged if each.photo.kind == "negatives"])["face"][0]
    assert (only_negatives.recall, only_negatives.precision, only_negatives.negatives) == (None, None, 0.5)
    ears = [judge(photos[name], "ear", 0.8, seen(None)) for name in ("nobody", "street")]
    assert negatives_with_anything([*judged, *ears], {"face": 0.3, "ear": 0.8}) == 0.5
    assert negatives_with_anything(judged[:2], {"face": 0.3, "ear": 0.8}) is None


class Recorder:
    """Remembers the thresholds that it was asked at, and draws nothing."""

    def __init__(self):
        self.asked = []

    def at(self, image, face, ear):
        self.asked.append((face, ear))
        return seen()


def test_a_threshold_varies_while_the_other_is_the_chosen_one(tmp_path):
    save_image(tmp_path / "empty.png", np.zeros((8, 8, 3), np.uint8))
    (photo,) = folder_photos(tmp_path, "negatives")
    recorder = Recorder()
    judged = measure(recorder, [photo], ("face", "ear"), {"face": 0.33, "ear": 0.66})
    faces = [face for face, ear in recorder.asked if ear == 0.66]
    ears = [ear for face, ear in recorder.asked if face == 0.33]
    assert faces[:3] == [0.2, 0.25, 0.3] and 0.33 in faces and 0.8 in faces
    assert ears[-3:] == [0.8, 0.85, 0.9] and 0.66 in ears
    assert len(judged) == len(recorder.asked)


def test_boxes_of_annotated_images_are_those_of_the_landmarks_that_a_network_knows(tmp_path):
    points = reference_shape(FACE) * 50
    sample = Sample("a.png", tmp_path / "a.png", Annotation.of(FACE, points), "a")
    (photo,) = annotated_photos([sample], "face", (36, 45))
    low, high = points[[36, 45]].min(axis=0), points[[36, 45]].max(axis=0)
    np.testing.assert_allclose(photo.truth["face"].boxes, [[*low, *high]], rtol=1e-5)
    assert photo.truth["face"].complete and photo.kind == "faces"


def test_the_ears_of_an_image_are_all_there_are_only_if_its_notes_say_so(tmp_path):
    ear = reference_shape(EAR) * 20
    pair = [
        Sample(f"a.{side}", tmp_path / "a.png", Annotation.of(EAR, ear + shift, others), "a")
        for side, shift, others in (("left", 0, (ear + 50)[None]), ("right", 50, ear[None]))
    ]
    (both,) = annotated_photos(pair, "ear", range(55))
    assert len(both.truth["ear"].boxes) == 2 and both.truth["ear"].complete
    (noted,) = annotated_photos(pair[:1], "ear", range(55))
    assert len(noted.truth["ear"].boxes) == 2 and noted.truth["ear"].complete
    unknown = Sample("b", tmp_path / "b.png", Annotation.of(EAR, ear), "b")
    (alone,) = annotated_photos([unknown], "ear", range(55))
    assert len(alone.truth["ear"].boxes) == 1 and not alone.truth["ear"].complete
