import numpy as np
import pytest

from data.annotation import Annotation, stack_annotations
from data.augment import Warp
from data.schemes import EAR, FACE, reference_shape

POINTS = reference_shape(EAR) * 40 + 7


def test_one_ear_that_was_annotated_says_nothing_of_a_second():
    annotation = Annotation.of(EAR, POINTS)
    assert annotation.points.shape == (2, 55, 2) and annotation.points.dtype == np.float32
    np.testing.assert_array_equal(annotation.points[0], POINTS)
    assert annotation.annotated[0].all() and annotation.present[0].all()
    assert not annotation.annotated[1].any() and not annotation.present[1].any()
    assert not annotation.complete and annotation.others is None


def test_where_no_second_ear_is_to_be_seen_it_is_annotated_and_not_present():
    annotation = Annotation.of(EAR, POINTS, others=np.zeros((0, 55, 2)))
    assert annotation.complete and not annotation.present[1].any()
    assert annotation.others.shape == (0, 55, 2)
    assert annotation.places.shape == (55, 2)


def test_a_second_ear_has_its_own_place():
    annotation = Annotation.of(EAR, POINTS, others=POINTS[None] + 9)
    assert annotation.complete and annotation.present.all()
    np.testing.assert_array_equal(annotation.others, POINTS[None] + 9)
    np.testing.assert_array_equal(annotation.places, np.concatenate([POINTS, POINTS + 9]))


@pytest.mark.parametrize("scheme", [FACE, EAR], ids=["face", "ear"])
def test_a_negative_is_known_to_show_nothing_and_unknown_is_not(scheme):
    negative, unknown = Annotation.absent(scheme), Annotation.unknown(scheme)
    assert negative.annotated.shape == (scheme.instances, scheme.count)
    assert negative.complete and not negative.present.any() and len(negative.places) == 0
    assert not unknown.annotated.any() and not unknown.present.any()
    assert not negative.points.any() and not unknown.points.any()


def test_a_face_has_no_others():
    annotation = Annotation.of(FACE, reference_shape(FACE))
    assert annotation.complete and annotation.others is None


def test_a_mirror_swaps_landmarks_and_their_masks_and_leaves_what_has_no_place():
    """By hand: an image 101 pixels wide, mirrored: x becomes 100 - x, and landmark 36 (an eye corner) is 45."""
    points = np.zeros((1, 68, 2), np.float32)
    points[0, 36], points[0, 45] = (30, 40), (80, 41)
    present = np.zeros((1, 68), bool)
    present[0, [36, 45]] = True
    annotated = present.copy()
    annotated[0, 0] = True  # the right end of the jaw was looked for and not found: in the mirror that is the left end
    mirror = Warp(centre=(50, 50), side=101, flip=True).matrix(101)
    flipped = Annotation(points, annotated, present).warped(mirror, FACE.flip_order)
    assert flipped.points[0, 36] == pytest.approx((20, 41), abs=1e-4)
    assert flipped.points[0, 45] == pytest.approx((70, 40), abs=1e-4)
    assert np.flatnonzero(flipped.present[0]).tolist() == [36, 45]
    assert np.flatnonzero(flipped.annotated[0]).tolist() == [16, 36, 45]
    assert not flipped.points[~flipped.present].any()


def test_both_ears_go_through_the_same_map():
    annotation = Annotation.of(EAR, POINTS, others=POINTS[None] + 4)
    double = annotation.warped(np.array([[2.0, 0, 1], [0, 2, 3]]))
    np.testing.assert_allclose(double.points, annotation.points * 2 + np.float32([1, 3]), rtol=1e-6)
    assert double.complete and double.present.all()


def test_a_batch_is_a_dict_of_arrays():
    batch = stack_annotations([Annotation.of(EAR, POINTS), Annotation.absent(EAR), Annotation.unknown(EAR)])
    assert {name: (array.shape, array.dtype) for name, array in batch.items()} == {
        "points": ((3, 2, 55, 2), np.float32),
        "annotated": ((3, 2, 55), bool),
        "present": ((3, 2, 55), bool),
    }
    assert batch["annotated"].all(axis=2).tolist() == [[True, False], [True, True], [False, False]]
    assert batch["present"].all(axis=2).tolist() == [[True, False], [False, False], [False, False]]


def test_arrays_that_contradict_each_other_are_refused():
    points, mask = np.zeros((1, 68, 2), np.float32), np.ones((1, 68), bool)
    with pytest.raises(ValueError, match="finite"):
        Annotation(np.full_like(points, np.nan), mask, mask)
    with pytest.raises(ValueError, match="a place is annotated"):
        Annotation(points, ~mask, mask)
    with pytest.raises(ValueError, match="present"):
        Annotation(points, mask, mask[:, :55])
    with pytest.raises(ValueError, match="annotated"):
        Annotation(points, mask.astype(np.float32), mask)
    with pytest.raises(ValueError, match="landmarks, 2"):
        Annotation(points[0], mask, mask)
