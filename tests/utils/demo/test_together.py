"""Images that are searched together: the same is found as in each alone, by fewer and larger batches."""

import threading
import time

import numpy as np
import pytest

from tests.charts import draw_chart, place
from utils.common.cli import InputError
from utils.common.images import decode_image, save_image
from utils.demo.sources import Source
from utils.demo.together import Batches, find_in_images, search_ahead


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Heads in images of several sizes, one image without any, and a file that is none."""
    folder = tmp_path_factory.mktemp("images")
    for k, (height, width) in enumerate([(240, 320), (320, 240), (240, 320), (200, 200), (240, 320), (300, 400)]):
        image, _ = draw_chart(height, width, place((width / 2 + 3 * k, height / 2), 90 + 5 * k, 4 * k))
        save_image(folder / f"{k}.png", image)
    save_image(folder / "6.png", np.full((240, 320, 3), 127, np.uint8))
    (folder / "7.png").write_bytes(b"no image")
    return sorted(folder.iterdir())


def points_of(prediction):
    landmarks = dict(prediction.ears) | ({} if prediction.face is None else {"face": prediction.face})
    return {name: each.points for name, each in landmarks.items()}


class Counting:
    """An engine that notes how many images come at once; it may fail."""

    def __init__(self, engine, fails_at=None):
        self.engine, self.sizes, self.fails_at = engine, [], fails_at
        self.config, self.record, self.title, self.precision = engine.config, engine.record, "counting", "float32"
        self.took = {}

    def read(self, images, tasks=None):
        self.sizes.append(len(images))
        if len(self.sizes) == self.fails_at:
            raise RuntimeError("out of memory")
        return self.engine.read(images, tasks)


def noted(kind=Counting, fails_at=None):
    """Engines that note what comes, and what makes them of a predictor's."""
    made = []

    def note(engine):
        made.append(kind(engine, fails_at))
        return made[-1]

    return made, note


@pytest.mark.parametrize("batch", [1, 3, 8, 20])
def test_the_same_is_found_in_the_same_order(predictor, images, batch):
    found = list(find_in_images(predictor, images, decode_image, batch))
    assert [path for path, _ in found] == images
    broken = found.pop()[1]
    assert isinstance(broken, InputError) and "7.png" in str(broken)
    for path, each in found:
        alone = points_of(predictor(decode_image(path)))
        together = points_of(each.prediction)
        np.testing.assert_array_equal(each.image, decode_image(path))
        assert together.keys() == alone.keys() and ("face" in alone) == (path.name != "6.png")
        for name, points in alone.items():
            np.testing.assert_allclose(together[name], points, atol=0.01)


def test_crops_of_all_images_are_read_in_one_batch(predictor, images):
    def sizes(batch):
        counting, noting = noted()
        assert len(list(find_in_images(predictor.beside(noting), images[:3] * 4, decode_image, batch))) == 12
        return counting[0].sizes

    alone, together = sizes(1), sizes(6)
    assert sum(together) == sum(alone) and len(together) <= 0.6 * len(alone)


def test_a_searcher_reads_batches_too(searched, images):
    counting, noting = noted()
    found = list(find_in_images(searched.beside(noting), images[:6] * 2, decode_image, 6))
    large, small = (max(each.sizes) for each in counting)
    assert large > 3 and small > 1  # more than one search wants at once
    for path, each in found:
        for name, points in points_of(searched(decode_image(path))).items():
            np.testing.assert_allclose(points_of(each.prediction)[name], points, atol=0.01)


def test_a_network_that_fails_ends_every_search(predictor, images):
    failing = predictor.beside(noted(fails_at=2)[1])
    with pytest.raises(RuntimeError, match="out of memory"):
        list(find_in_images(failing, images[:6], decode_image, 4))


def test_who_stops_early_leaves_no_search_behind(predictor, images):
    found = find_in_images(predictor, images * 10, decode_image, 4)
    next(found)
    found.close()  # does not wait for eighty images, nor for ever


def test_a_search_that_ends_lets_the_others_go_on(predictor):
    """One thread searches and wants nothing; its end is what the other waits for."""
    batches, began, answers = Batches(), threading.Event(), []

    def read():
        with batches.searching():
            began.set()
            answers.append(predictor.beside(batches.share).read_image(np.zeros((64, 64, 3), np.uint8), 64))

    reader = threading.Thread(target=read)
    with batches.searching():
        reader.start()
        began.wait(10)
        reader.join(0.2)
        assert answers == []
    reader.join(10)
    assert len(answers) == 1 and answers[0]["face"].points.shape == (68, 2)


def test_images_are_searched_ahead_and_videos_are_not(predictor, images):
    sources = [Source(str(images[0]), "image"), Source("film.mp4", "video"), *(Source(str(i), "image") for i in images)]
    ahead = list(search_ahead(predictor, sources, 4))
    assert [source for source, _ in ahead] == sources
    assert ahead[1][1] is None and isinstance(ahead[-1][1], InputError)
    assert all(found.prediction.face is not None for _, found in (ahead[0], *ahead[2:8]))
    assert {found for _, found in search_ahead(predictor, sources, 1)} == {None}


def test_who_stops_waits_for_no_search(predictor, images):
    """The network is at work for seconds; what is left of the searches is not waited for."""

    class Slow(Counting):
        def read(self, images, tasks=None):
            time.sleep(0.3)
            return super().read(images, tasks)

    made, noting = noted(Slow)
    found = find_in_images(predictor.beside(noting), images[:6] * 5, decode_image, 4)
    next(found)
    began, asked = time.monotonic(), len(made[0].sizes)
    found.close()
    assert time.monotonic() - began < 1.5 and len(made[0].sizes) <= asked + 2
