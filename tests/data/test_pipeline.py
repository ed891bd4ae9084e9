import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.annotation import Annotation
from data.augment import apply_matrix, crop_warp, warp_image
from data.datasets import Sample, find_samples
from data.pipeline import (
    NEGATIVES_FRACTION,
    EvaluationPipeline,
    PairedPipeline,
    TrainingPipeline,
    evaluation_example,
)
from data.schemes import EAR, FACE, reference_shape
from tests.conftest import input_error
from utils.common.images import decode_image, save_image


@pytest.fixture(scope="module")
def samples(faces):
    return find_samples([faces], FACE, limit=5).samples


@pytest.fixture
def corrupt(tmp_path):
    path = tmp_path / "corrupt.jpg"
    path.write_bytes(b"\xff\xd8 no image \xff\xd9")
    return Sample("corrupt.jpg", path, Annotation.of(FACE, reference_shape(FACE) * 40), "corrupt")


def pipeline_of(samples, **options):
    return TrainingPipeline(samples, FACE, **{"size": 48, "batch_size": 2, "seed": 7, **options})


def assert_same(one, other):
    """Equal examples, or equal batches: an image or images, and an annotation or targets."""
    np.testing.assert_array_equal(one[0], other[0])
    left, right = (arrays_of(known) for _, known in (one, other))
    assert left.keys() == right.keys()
    for name, array in left.items():
        np.testing.assert_array_equal(array, right[name])


def arrays_of(known):
    if isinstance(known, Annotation):
        return vars(known)
    return {f"{task} {name}": array for task, target in known.items() for name, array in target.items()}


class TestOrder:
    @given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**32), st.integers(0, 10**6))
    def test_every_epoch_holds_every_image_and_fills_up_from_its_own_start(self, count, batch_size, seed, epoch):
        pipeline = pipeline_of([None] * count, batch_size=batch_size, seed=seed)
        order = pipeline.order(epoch).tolist()
        assert len(order) == pipeline.steps * batch_size and count <= len(order) < count + batch_size
        assert sorted(order[:count]) == list(range(count))
        assert order[count:] == (order[:count] * batch_size)[: len(order) - count]

    def test_order_differs_between_epochs_and_seeds_and_is_the_same_for_the_same_ones(self):
        pipeline = pipeline_of([None] * 20)
        orders = [pipeline.order(epoch).tolist() for epoch in range(5)]
        assert len({tuple(order) for order in orders}) == 5
        assert [pipeline_of([None] * 20).order(epoch).tolist() for epoch in range(5)] == orders
        assert pipeline_of([None] * 20, seed=8).order(0).tolist() != orders[0]


class TestExample:
    def test_example_depends_on_seed_epoch_and_image_and_on_nothing_else(self, samples):
        pipeline = pipeline_of(samples)
        first = pipeline.example(3, 1)
        pipeline.example(0, 0)
        assert_same(pipeline.example(3, 1), first)
        assert_same(pipeline_of(samples, batch_size=3).example(np.int64(3), np.int64(1)), first)
        others = [pipeline.example(4, 1), pipeline.example(3, 2), pipeline_of(samples, seed=8).example(3, 1)]
        for image, annotation in others:
            assert (image != first[0]).any() and (annotation.points != first[1].points).any()

    def test_no_images_are_refused_before_an_endless_loop_over_nothing(self):
        with input_error("no training images"):
            pipeline_of([])

    def test_no_augmentation_is_the_crop_that_scores_use(self, samples):
        image, annotation = pipeline_of(samples, augment=0.0).example(5, 2)
        expected, matrix = evaluation_example(samples[2], FACE, 48)
        np.testing.assert_array_equal(image, expected)
        np.testing.assert_array_equal(annotation.points[0], apply_matrix(matrix, samples[2].points))


class TestBatches:
    def test_resumed_batches_equal_those_of_an_undisturbed_run(self, samples):
        pipeline = pipeline_of(samples)
        assert pipeline.steps == 3
        undisturbed = list(itertools.islice(pipeline.batches(), 9))
        resumed = list(itertools.islice(pipeline_of(samples).batches(first_epoch=2), 3))
        for one, other in zip(undisturbed[6:], resumed, strict=True):
            assert_same(one, other)
        place = 0
        for epoch in range(3):
            for image in pipeline.order(epoch):
                images, targets = undisturbed[place // 2]
                assert images.shape == (2, 48, 48, 3) and images.dtype == np.uint8
                assert targets.keys() == {"face"} and targets["face"]["points"].dtype == np.float32
                assert {name: array.shape for name, array in targets["face"].items()} == {
                    "points": (2, 1, 68, 2), "annotated": (2, 1, 68), "present": (2, 1, 68)
                }  # fmt: skip
                here = Annotation(**{name: array[place % 2] for name, array in targets["face"].items()})
                assert_same((images[place % 2], here), pipeline.example(epoch, image))
                place += 1

    def test_processes_make_the_batches_that_threads_make(self, samples):
        one, other = (itertools.islice(pipeline_of(samples, workers=n).batches(first_epoch=1), 4) for n in (0, 2))
        for threads, processes in zip(one, other, strict=True):
            assert_same(threads, processes)

    def test_an_epoch_of_two_passes_holds_two_epochs_of_one(self, samples):
        twice = pipeline_of(samples, repeats=2)
        assert twice.steps == 2 * pipeline_of(samples).steps
        for one, other in zip(
            itertools.islice(pipeline_of(samples).batches(first_epoch=2), 6),
            itertools.islice(twice.batches(first_epoch=1), 6),
            strict=True,
        ):
            assert_same(one, other)

    def test_crops_of_negatives_are_annotated_and_show_nothing(self, samples):
        pipeline = pipeline_of(samples, negatives=[samples[0].image], batch_size=1)
        targets = [targets["face"] for _, targets in itertools.islice(pipeline.batches(), 200)]
        present = np.concatenate([target["present"] for target in targets])
        assert np.concatenate([target["annotated"] for target in targets]).all()
        negative = ~present.any(axis=(1, 2))
        assert present[~negative].all()
        assert negative.mean() == pytest.approx(NEGATIVES_FRACTION, abs=0.07)

    @pytest.mark.parametrize("workers", [0, 1])
    def test_corrupt_image_stops_the_batches_and_leaves_its_reason_in_the_pipeline(self, samples, corrupt, workers):
        pipeline = pipeline_of([*samples, corrupt], workers=workers)
        with pytest.raises(Exception, match="corrupt"):
            list(itertools.islice(pipeline.batches(), pipeline.steps))
        assert str(corrupt.image) in str(pipeline.problem) and "\n" not in str(pipeline.problem)


class TestEvaluationPipeline:
    def test_every_image_comes_once_in_order_and_the_last_batch_is_smaller(self, samples):
        batches = list(EvaluationPipeline(samples, FACE, size=48, batch_size=2).batches())
        assert [[sample.name for sample in chunk] for chunk, _, _ in batches] == [
            [sample.name for sample in samples[:2]],
            [sample.name for sample in samples[2:4]],
            [samples[4].name],
        ]
        for chunk, images, matrices in batches:
            assert images.shape == (len(chunk), 48, 48, 3) and images.dtype == np.uint8
            assert matrices.shape == (len(chunk), 2, 3)

    def test_two_passes_are_equal(self, samples):
        pipeline = EvaluationPipeline(samples, FACE, size=48, batch_size=2)
        for one, other in zip(pipeline.batches(), pipeline.batches(), strict=True):
            for left, right in zip(one[1:], other[1:], strict=True):
                np.testing.assert_array_equal(left, right)

    @pytest.mark.parametrize("scheme", [FACE, EAR], ids=["face", "ear"])
    def test_images_come_under_the_crop_protocol(self, scheme, faces, ears):
        found = find_samples([faces if scheme is FACE else ears], scheme, limit=3).samples
        ((_, images, matrices),) = EvaluationPipeline(found, scheme, size=64, batch_size=8).batches()
        for sample, image, matrix in zip(found, images, matrices, strict=True):
            box = apply_matrix(matrix, sample.points)
            assert (box.min(axis=0) + box.max(axis=0)) / 2 == pytest.approx([31.5, 31.5], abs=1e-3)
            assert np.ptp(box, axis=0).max() == pytest.approx(64 / scheme.crop_side, rel=1e-4)
            expected = warp_image(decode_image(sample.image), crop_warp(scheme, sample.points).matrix(64), 64)
            np.testing.assert_array_equal(image, expected)

    def test_image_that_cannot_be_decoded_is_named(self, samples, corrupt):
        batches = EvaluationPipeline([*samples, corrupt], FACE, size=48, batch_size=2).batches()
        with input_error(corrupt.image):
            list(batches)

    def test_no_images_give_no_batches(self):
        assert list(EvaluationPipeline([], FACE, size=48, batch_size=2).batches()) == []


def test_a_paired_pipeline_has_targets_of_both_kinds_and_resumes_where_it_was(faces, ears):
    """Ears set the epoch; faces go on at their own pace, also after a resume in the middle of theirs."""

    def pipeline():
        one = TrainingPipeline(find_samples([ears], EAR).samples[:6], EAR, size=32, batch_size=2, seed=3)
        other = TrainingPipeline(find_samples([faces], FACE).samples[:8], FACE, size=32, batch_size=2, seed=3)
        assert (one.steps, other.steps) == (3, 4)
        return PairedPipeline(one, other, "face")

    undisturbed = list(itertools.islice(pipeline().batches(), 9))
    resumed = list(itertools.islice(pipeline().batches(first_epoch=2), 3))
    assert_same(pipeline().batch(1), undisturbed[1])
    for whole, again in zip(undisturbed[6:], resumed, strict=True):
        assert_same(whole, again)
        targets = whole[1]
        known = {task: target["annotated"].all(axis=2)[:, 0].tolist() for task, target in targets.items()}
        assert known == {"ear": [True, True, False, False], "face": [False, False, True, True]}
        assert not targets["ear"]["annotated"][:, 1].any()  # nobody looked for second ears
        assert targets["ear"]["points"].shape == (4, 2, 55, 2) and targets["face"]["points"].shape == (4, 1, 68, 2)
    different = {images[2:].tobytes() for images, _ in undisturbed[:4]}
    assert len(different) == 4  # an epoch of the faces, each batch another


def test_each_share_of_a_paired_batch_has_ears_and_then_faces(faces, ears):
    def batch(shares):
        one = TrainingPipeline(find_samples([ears], EAR).samples[:6], EAR, size=32, batch_size=4)
        other = TrainingPipeline(find_samples([faces], FACE).samples[:8], FACE, size=32, batch_size=2)
        return PairedPipeline(one, other, "face", shares).batch(0)

    (whole, targets), (shared, shared_targets) = batch(1), batch(2)
    order = [0, 1, 4, 2, 3, 5]
    np.testing.assert_array_equal(shared, whole[order])
    for task, target in targets.items():
        for name, values in target.items():
            np.testing.assert_array_equal(shared_targets[task][name], values[order])


def test_a_paired_pipeline_without_faces_has_ears_alone(ears):
    main = TrainingPipeline(find_samples([ears], EAR).samples, EAR, size=40, batch_size=2)
    images, targets = next(iter(PairedPipeline(main, None, "face").batches()))
    assert images.shape == (2, 40, 40, 3) and targets["face"]["points"].shape == (2, 1, 68, 2)
    assert not targets["face"]["annotated"].any() and targets["ear"]["present"][:, 0].all()


def test_negatives_of_a_pair_teach_the_head_of_their_own_pipeline(faces, ears):
    """Images without a face say so of the face alone: whether an ear is in view, nobody has looked."""
    nobody = [find_samples([ears], EAR).samples[0].image]
    main = TrainingPipeline(find_samples([ears], EAR).samples[:4], EAR, size=32, batch_size=4)
    other = TrainingPipeline(find_samples([faces], FACE).samples[:4], FACE, size=32, batch_size=4, negatives=nobody)
    batches = itertools.islice(PairedPipeline(main, other, "face").batches(), 60)
    face, ear = (
        {name: np.concatenate([targets[name] for targets in each]) for name in ("annotated", "present")}
        for each in zip(*((targets["face"], targets["ear"]) for _, targets in batches), strict=True)
    )
    empty = face["annotated"].all(axis=(1, 2)) & ~face["present"].any(axis=(1, 2))
    assert empty.mean() == pytest.approx(NEGATIVES_FRACTION / 2, abs=0.04)  # of the whole batch; half are ears
    assert not ear["annotated"][empty].any()


def test_negatives_of_both_tasks_say_so_of_both(faces, ears, tmp_path):
    """Of two negatives one is known to show no face either; its crops are light, those of the other dark."""
    for name, value in (("light", 250), ("dark", 5)):
        save_image(tmp_path / f"{name}.png", np.full((64, 64, 3), value, np.uint8))
    negatives = [tmp_path / "light.png", tmp_path / "dark.png"]
    main = TrainingPipeline(
        find_samples([ears], EAR).samples[:4],
        EAR,
        size=32,
        batch_size=4,
        augment=0.0,
        negatives=negatives,
        other_negatives=("face", {negatives[0]}),
    )
    batches = list(itertools.islice(PairedPipeline(main, None, "face").batches(), 60))
    images = np.concatenate([images for images, _ in batches])
    face, ear = (
        {name: np.concatenate([targets[task][name] for _, targets in batches]) for name in ("annotated", "present")}
        for task in ("face", "ear")
    )
    no_ear = ear["annotated"].all(axis=(1, 2)) & ~ear["present"].any(axis=(1, 2))
    no_face = face["annotated"].all(axis=(1, 2))
    assert not face["present"].any() and 10 < no_face.sum() < no_ear.sum()
    np.testing.assert_array_equal(no_face, no_ear & (images.mean(axis=(1, 2, 3)) > 200))
    resumed = next(iter(PairedPipeline(main, None, "face").batches(first_epoch=2)))
    assert_same(resumed, batches[2 * main.steps])
