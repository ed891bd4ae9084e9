"""Points in another folder than their images."""

import json

import numpy as np
import pytest

from data.datasets import find_samples
from data.formats import write_pts
from data.layouts import NoSuchImagesError
from data.schemes import FACE
from tests.conftest import input_error
from tests.images import drawn_image
from utils.common.images import save_image


@pytest.fixture
def apart(tmp_path):
    """Three images in folders, of which two have the same name, and their points in another tree."""
    rng = np.random.default_rng(0)
    truth = {}
    for name in ("one/a.png", "two/a.png", "two/b.png"):
        image, points = drawn_image(FACE, 96, rng)
        save_image(tmp_path / "images" / name, image)
        write_pts((tmp_path / "points" / name).with_suffix(".pts"), points)
        truth[name] = points
    return tmp_path, truth


def read_apart(folder):
    samples = find_samples([folder / "images"], FACE, points_dir=folder / "points").samples
    return {sample.name: sample.points for sample in samples}


def test_points_lie_in_another_folder_of_the_same_places(apart):
    folder, truth = apart
    found = read_apart(folder)
    assert found.keys() == truth.keys()
    for name, points in found.items():
        np.testing.assert_allclose(points, truth[name], atol=1e-2)


def test_points_elsewhere_are_of_the_only_image_of_their_name(apart):
    folder, truth = apart
    (folder / "points" / "two" / "b.pts").rename(folder / "points" / "b.pts")
    np.testing.assert_allclose(read_apart(folder)["two/b.png"], truth["two/b.png"], atol=1e-2)
    (folder / "points" / "two" / "a.pts").rename(folder / "points" / "a.pts")
    with input_error("a.p"):  # of two images called a
        read_apart(folder)


def test_files_that_name_their_images_may_lie_apart_too(apart):
    folder, truth = apart
    for path in (folder / "points").rglob("*.pts"):
        path.unlink()
    images = [{"id": k, "file_name": name} for k, name in enumerate(truth)]
    people = [
        {"id": k, "image_id": k, "category_id": 1, "keypoints": [v for x, y in truth[name].tolist() for v in (x, y, 2)]}
        for k, name in enumerate(truth)
    ]
    (folder / "points" / "faces.json").write_text(json.dumps({"images": images, "annotations": people}))
    found = read_apart(folder)
    np.testing.assert_allclose(found["two/a.png"], truth["two/a.png"], atol=1e-2)


def test_a_folder_without_points_for_the_images_is_named(apart):
    folder, _ = apart
    with input_error("--points-dir", "no such folder"):
        find_samples([folder / "images"], FACE, points_dir=folder / "none")
    (folder / "empty").mkdir()
    with pytest.raises(NoSuchImagesError, match="no points in it for any image"):
        find_samples([folder / "images"], FACE, points_dir=folder / "empty")
