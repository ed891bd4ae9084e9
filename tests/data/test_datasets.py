import csv
import hashlib
import json
import os
import shutil
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from data.annotation import Annotation
from data.datasets import (
    PARTS,
    PROTOCOL_300W,
    DatasetListing,
    Sample,
    find_negatives,
    find_samples,
    part_of,
    read_split,
    split_rows,
    split_samples,
    spread,
    subsets_of_300w,
    write_split,
)
from data.formats import write_300w_lp, write_pts
from data.layouts import NoSuchImagesError, face_folders, visible_fraction
from data.schemes import EAR, FACE, reference_shape
from tests.conftest import input_error, packed, with_exif
from tests.images import write_ears, write_faces
from utils.common.images import decode_image, save_image

FACE_POINTS = reference_shape(FACE) * 40 + 10
EAR_POINTS = reference_shape(EAR) * 40 + 10
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
JPEG, PNG, BMP, WEBP, TIFF = (packed(NOISE, suffix) for suffix in (".jpg", ".png", ".bmp", ".webp", ".tif"))
KOREAN = "홍길동"  # in composed characters, as Linux and Windows type it
THUMBNAIL = packed(NOISE[:16, :16])


def put(path, content=JPEG):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def put_own_mat(path, points=FACE_POINTS):
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"pt2d": points.T, "roi": np.ones((1, 4))})
    return path


def put_pts_mat(path, points=FACE_POINTS):
    write_300w_lp(path, points, points + 1)
    return path


def put_ear(stem, content=PNG, suffix=".png", points=EAR_POINTS):
    write_pts(stem.with_suffix(".pts"), points)
    return put(stem.with_suffix(suffix), content)


def put_face(stem, points=FACE_POINTS):
    write_pts(put(stem.with_name(f"{stem.name}.jpg")).with_suffix(".pts"), points)


def write_table(path, *rows):
    with open(path, "w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return path


def names(found: DatasetListing) -> list[str]:
    return [sample.name for sample in found.samples]


def groups(found: DatasetListing) -> dict[str, str]:
    return {sample.name: sample.group for sample in found.samples}


def sample_of(group, part="", name=None):
    return Sample(name or f"{group}.jpg", Path(f"{group}.jpg"), Annotation.of(EAR, EAR_POINTS), group, part)


class TestLayouts:
    def test_300w_lp_as_its_zip_unpacks(self, tmp_path):
        put(tmp_path / "AFW" / "AFW_1_1_0.jpg")
        put_own_mat(tmp_path / "AFW" / "AFW_1_1_0.mat", FACE_POINTS + 100)  # there, but landmarks/ goes first
        put_pts_mat(tmp_path / "landmarks" / "AFW" / "AFW_1_1_0_pts.mat")
        put(tmp_path / "AFW_Flip" / "AFW_1_1_0.jpg")
        put_own_mat(tmp_path / "AFW_Flip" / "AFW_1_1_0.mat", FACE_POINTS + 5)
        put(tmp_path / "LFPW" / "LFPW_image_train_0001_0.jpg")
        put_pts_mat(tmp_path / "landmarks" / "LFPW" / "LFPW_image_train_0001_0_pts.mat")
        put(tmp_path / "Code" / "example.jpg")
        found = find_samples([tmp_path], FACE)
        assert names(found) == ["AFW/AFW_1_1_0.jpg", "AFW_Flip/AFW_1_1_0.jpg", "LFPW/LFPW_image_train_0001_0.jpg"]
        for sample, offset in zip(found.samples, (0, 5, 0), strict=True):
            np.testing.assert_allclose(sample.points, FACE_POINTS + offset, atol=1e-5)
            assert sample.image == tmp_path / sample.name and sample.part == ""

    def test_points_3d_reads_the_other_points_of_the_mat(self, tmp_path):
        put(tmp_path / "IBUG" / "IBUG_image_008_1_0.jpg")
        put_pts_mat(tmp_path / "landmarks" / "IBUG" / "IBUG_image_008_1_0_pts.mat")
        found = find_samples([tmp_path], FACE, points="3d")
        np.testing.assert_allclose(found.samples[0].points, FACE_POINTS + 1, atol=1e-5)

    def test_each_image_with_its_own_mat(self, tmp_path):
        for stem in ("HELEN/HELEN_1_1_0", "HELEN/HELEN_1_1_1"):
            put(tmp_path / f"{stem}.jpg")
            put_own_mat(tmp_path / f"{stem}.mat")
        assert names(find_samples([tmp_path], FACE)) == ["HELEN/HELEN_1_1_0.jpg", "HELEN/HELEN_1_1_1.jpg"]

    def test_300w_lp_as_the_predecessor_laid_it_out(self, faces):
        found = find_samples([faces], FACE)
        assert names(found) == [f"AFW/face_{k:05d}.jpg" for k in range(12)]
        assert all(sample.points.shape == (68, 2) and sample.points.dtype == np.float32 for sample in found.samples)
        points = scipy.io.loadmat(faces / "AFW_landmark" / "face_00007_pts.mat")["pts_2d"]
        np.testing.assert_array_equal(found.samples[7].points, points)

    @pytest.mark.parametrize("below", ["", "CollectionA"])
    def test_ibug_ears_comes_split(self, ears, below):
        found = find_samples([ears / below], EAR)
        parts = {Path(sample.name).stem: sample.part for sample in found.samples}
        assert parts == {f"ear_{k:05d}": "test" if k in (5, 11) else "train" for k in range(12)}

    def test_ibug_ears_with_jpeg_and_png_images(self, tmp_path):
        put_ear(tmp_path / "CollectionA" / "train" / "one", JPEG, ".jpg")
        put_ear(tmp_path / "CollectionA" / "train" / "two", PNG, ".png")
        put_ear(tmp_path / "CollectionA" / "test" / "three", JPEG, ".JPG")
        found = find_samples([tmp_path], EAR)
        assert names(found) == [
            "CollectionA/test/three.JPG",
            "CollectionA/train/one.jpg",
            "CollectionA/train/two.png",
        ]
        np.testing.assert_allclose(found.samples[0].points, EAR_POINTS, atol=1e-5)

    def test_images_with_pts_in_nested_folders(self, tmp_path):
        put_ear(tmp_path / "a", BMP, ".bmp")
        put_ear(tmp_path / "deep" / "deeper" / "b", JPEG, ".jpeg")
        put(tmp_path / "deep" / ".hidden.png", b"")
        found = find_samples([tmp_path], EAR)
        assert names(found) == ["a.bmp", "deep/deeper/b.jpeg"]
        assert [sample.part for sample in found.samples] == ["", ""]

    @pytest.mark.parametrize(("suffix", "content"), [(".webp", WEBP), (".tif", TIFF), (".TIFF", TIFF)])
    def test_other_image_formats_are_seen_and_decoded(self, tmp_path, suffix, content):
        put_ear(tmp_path / "me", content, suffix)
        found = find_samples([tmp_path], EAR, skip_bad=True)
        assert names(found) == [f"me{suffix}"]
        assert decode_image(found.samples[0].image).shape == NOISE.shape

    def test_points_whose_suffix_is_in_capitals_are_seen(self, tmp_path):
        put_ear(tmp_path / "me", JPEG, ".JPG")
        (tmp_path / "me.pts").rename(tmp_path / "me.PTS")
        put_ear(tmp_path / "alone").unlink()
        (tmp_path / "alone.pts").rename(tmp_path / "alone.PTS")
        found = find_samples([tmp_path], EAR, skip_bad=True)
        assert names(found) == ["me.JPG"]
        np.testing.assert_allclose(found.samples[0].points, EAR_POINTS, atol=1e-5)
        assert "alone.PTS" in found.problems[0]

    @pytest.mark.parametrize(
        ("ending", "write"),
        [
            (".pts", lambda path: write_pts(path, FACE_POINTS)),
            (".mat", put_own_mat),
            ("_pts.mat", put_pts_mat),
        ],
    )
    def test_any_folder_of_faces_with_points_beside_them(self, tmp_path, ending, write):
        put(tmp_path / "sub" / "me.jpg")
        write(tmp_path / "sub" / f"me{ending}")
        found = find_samples([tmp_path], FACE)
        assert names(found) == ["sub/me.jpg"]
        np.testing.assert_allclose(found.samples[0].points, FACE_POINTS, atol=1e-5)

    def test_faces_and_ears_in_one_folder_are_told_apart(self, tmp_path):
        write_faces(tmp_path, 2, size=64)
        write_ears(tmp_path, 3, size=64)
        assert names(find_samples([tmp_path], FACE)) == ["AFW/face_00000.jpg", "AFW/face_00001.jpg"]
        assert names(find_samples([tmp_path], EAR)) == [f"CollectionA/train/ear_{k:05d}.png" for k in range(3)]

    def test_several_folders_are_mixed_in_the_order_given(self, tmp_path, ears):
        put_ear(tmp_path / "mine")
        assert names(find_samples([tmp_path, ears], EAR))[:2] == ["mine.png", "CollectionA/test/ear_00005.png"]

    @pytest.mark.parametrize(("limit", "kept"), [(1, [0]), (3, [0, 4, 8]), (5, [0, 2, 4, 7, 9]), (99, range(12))])
    def test_limit_keeps_images_evenly_over_the_list(self, faces, limit, kept):
        assert names(find_samples([faces], FACE, limit=limit)) == [f"AFW/face_{k:05d}.jpg" for k in kept]

    @pytest.mark.parametrize(
        ("scheme", "help_"), [(FACE, ("300W-LP", "AFW", "readme/datasets.md")), (EAR, ("ibug-ears", "CollectionA"))]
    )
    def test_missing_or_empty_folder_says_where_the_data_comes_from(self, tmp_path, scheme, help_):
        for folder in (tmp_path / "nowhere", tmp_path):
            with input_error(folder, *help_):
                find_samples([folder], scheme)

    @pytest.mark.parametrize("change", [str, str.lower, str.upper])
    def test_300w_as_handed_out_is_read_whole_with_its_test_part_in_any_case(self, tmp_path, change):
        places = ["afw", "helen/trainset", "helen/testset", "lfpw/trainset", "lfpw/testset", "ibug", "Mine/more"]
        for k, place in enumerate(places):
            put_face(tmp_path / change(place) / f"face_{k}")
        found = find_samples([tmp_path], FACE)
        parts = {sample.image.stem: sample.part for sample in found.samples}
        expected = ["train", "train", "test", "train", "test", "test", ""]
        assert parts == {f"face_{k}": part for k, part in enumerate(expected)}
        assert face_folders([str(tmp_path)]) == (str(tmp_path),)

    @pytest.mark.parametrize("change", [str, str.lower, str.upper])
    def test_test_sets_of_300w_are_known_in_any_case_and_mirrored_copies_are_none_of_them(self, tmp_path, change):
        common = ["helen/testset/30427236_1", "lfpw/testset/image_0001"]
        challenging = ["ibug/image_003_1", "ibug/image_004_1"]
        for stem in [*common, *challenging, "afw/111076519_1", "helen/trainset/a", "lfpw/trainset/b", "Mine/testset/c"]:
            place, _, name = stem.rpartition("/")
            put_face(tmp_path / change(place) / name)
            put_face(tmp_path / change(place) / f"{name}_mirror")
        samples = find_samples([tmp_path], FACE).samples
        found = {
            name: sorted(samples[k].image.stem for k in places) for name, places in subsets_of_300w(samples).items()
        }
        stems = {
            name: sorted(Path(stem).name for stem in given)
            for name, given in (("common", common), ("challenging", challenging), ("full", common + challenging))
        }
        assert found == stems
        assert len(split_samples(samples)["test"]) == 10  # with the copies, and what is no folder of 300-W's

    def test_where_one_test_set_is_missing_there_is_no_full_one(self, tmp_path):
        for stem in ("afw/a", "helen/testset/b"):
            put_face(tmp_path / stem)
        samples = find_samples([tmp_path], FACE).samples
        assert {name: len(places) for name, places in subsets_of_300w(samples).items()} == {"common": 1}

    def test_ibug_of_300w_lp_and_ears_are_no_test_set(self, tmp_path, ears):
        put_own_mat(put(tmp_path / "IBUG" / "IBUG_image_003_1_0.jpg").with_suffix(".mat"))
        put_own_mat(put(tmp_path / "HELEN" / "HELEN_1_1_0.jpg").with_suffix(".mat"))
        assert subsets_of_300w(find_samples([tmp_path], FACE).samples) == {}
        assert subsets_of_300w(find_samples([ears], EAR).samples) == {}

    @pytest.mark.parametrize("change", [str.lower, str.upper])
    def test_300w_without_a_test_set_is_split_by_the_hash(self, tmp_path, change):
        put_face(tmp_path / change("helen") / "trainset" / "a")
        put_face(tmp_path / change("afw") / "b")
        put_face(tmp_path / change("helen_train") / "c")  # no known name
        found = find_samples([tmp_path], FACE)
        assert [(sample.image.stem, sample.part) for sample in found.samples] == [("b", ""), ("a", ""), ("c", "")]

    @pytest.mark.parametrize("name", ["AFW", "afw"])
    def test_a_known_face_folder_beside_ears_and_images_alone_is_read_alone(self, tmp_path, name, capsys):
        put_face(tmp_path / name / "a")
        put(tmp_path / "Code" / "example.jpg")
        write_ears(tmp_path, 3, size=64)
        assert names(find_samples([tmp_path], FACE)) == [f"{name}/a.jpg"]
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize("name", ["AFW", "afw"])
    def test_images_beside_300w_lp_are_named_and_not_mixed_in(self, tmp_path, name, capsys):
        put(tmp_path / name / "a.jpg")
        put_pts_mat(tmp_path / f"{name}_landmark" / "a_pts.mat")
        put_face(tmp_path / "mine" / "b")
        put_face(tmp_path / "more" / "c")
        write_ears(tmp_path, 3, size=64)
        assert names(find_samples([tmp_path], FACE)) == [f"{name}/a.jpg"]
        said = capsys.readouterr().out
        assert "2 images" in said and "'mine' and 1 more" in said and said.count("\n") == 1

    def test_the_other_layouts_count_in_any_case_too(self, tmp_path):
        put(tmp_path / "AFW_flip" / "a.jpg")
        put_pts_mat(tmp_path / "Landmarks" / "afw_Flip" / "a_pts.mat")
        put_ear(tmp_path / "collectiona" / "Train" / "b")
        put_ear(tmp_path / "collectiona" / "TEST" / "c")
        assert names(find_samples([tmp_path], FACE)) == ["AFW_flip/a.jpg"]
        assert [sample.part for sample in find_samples([tmp_path], EAR).samples] == ["test", "train"]

    @pytest.mark.parametrize("name", ["AFW", "afw"])
    def test_a_known_layout_one_folder_deeper_is_named_in_any_case(self, tmp_path, name):
        put_face(tmp_path / "300w" / name / "a")
        with input_error("--data", tmp_path / "300w"):
            find_samples([tmp_path], FACE)

    def test_several_faces_of_one_image_are_samples_of_one_group(self, tmp_path):
        put(tmp_path / "img.jpg")
        for k in (1, 2):
            write_pts(tmp_path / f"img_{k}.pts", FACE_POINTS + k)
        put_face(tmp_path / "other_1")
        found = find_samples([tmp_path], FACE)
        assert names(found) == ["img_1.pts", "img_2.pts", "other_1.jpg"]
        assert [sample.group for sample in found.samples] == ["img", "img", "other_1"]
        np.testing.assert_allclose(found.samples[1].points, FACE_POINTS + 2, atol=1e-5)
        with input_error("--negatives", "no image"):
            find_negatives([tmp_path], FACE)

    @pytest.mark.parametrize("stems", [("img_7",), ("img", "img_1"), ("img_1", "img_3"), ("img_2024",)])
    def test_points_that_are_not_counted_from_the_start_are_of_an_image_that_is_missing(self, tmp_path, stems):
        put(tmp_path / "img.jpg")
        for stem in stems:
            write_pts(tmp_path / f"{stem}.pts", FACE_POINTS)
        with input_error(f"{stems[-1]}.pts" if "img" in stems else "img"):
            find_samples([tmp_path], FACE)

    def test_images_and_points_whose_names_differ_in_case_or_composition_alone_are_pairs(self, tmp_path):
        put(tmp_path / "a.JPG")
        write_pts(tmp_path / "A.PTS", FACE_POINTS)
        put(tmp_path / f"{unicodedata.normalize('NFD', KOREAN)}.jpg")
        write_pts(tmp_path / f"{KOREAN}.pts", FACE_POINTS)
        found = find_samples([tmp_path], FACE)
        assert names(found) == ["a.JPG", f"{KOREAN}.jpg"]
        assert [sample.group for sample in found.samples] == ["a", KOREAN]
        with input_error("--negatives", "no image"):
            find_negatives([tmp_path], FACE)

    def test_names_that_differ_in_case_alone_are_told_apart_where_both_are_there(self, tmp_path):
        for stem in ("a", "A"):
            put_face(tmp_path / stem)
        assert names(find_samples([tmp_path], FACE)) == ["A.jpg", "a.jpg"]

    def test_name_that_is_no_text_is_read_split_and_resumed(self, tmp_path):
        stem = tmp_path / "data" / os.fsdecode(b"caf\xe9")
        put_face(stem)
        samples = find_samples([tmp_path / "data"], FACE).samples
        parts = split_samples(samples)
        write_split(tmp_path / "split.csv", parts)
        assert split_samples(samples, tmp_path / "split.csv") == parts
        assert read_split(tmp_path / "split.csv") == split_rows(parts)


class TestLinkedFolders:
    def test_linked_folder_is_read_and_loops_end(self, tmp_path):
        put_face(tmp_path / "elsewhere" / "deep" / "a")
        put_face(tmp_path / "data" / "b")
        (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere" / "deep" / "back").symlink_to(tmp_path / "data")
        (tmp_path / "elsewhere" / "up").symlink_to(tmp_path)
        (tmp_path / "data" / "itself").symlink_to("itself")
        (tmp_path / "data" / "nowhere").symlink_to("gone")
        assert names(find_samples([tmp_path / "data"], FACE)) == ["b.jpg", "linked/deep/a.jpg"]

    def test_folder_that_is_linked_too_is_read_once_by_its_own_name(self, tmp_path):
        put_face(tmp_path / "z" / "a")
        (tmp_path / "all").symlink_to(tmp_path / "z")
        assert names(find_samples([tmp_path], FACE)) == ["z/a.jpg"]

    def test_known_folders_and_negatives_may_be_links(self, tmp_path):
        put_face(tmp_path / "elsewhere" / "afw" / "a")
        put(tmp_path / "elsewhere" / "NoFace" / "b.jpg")
        (tmp_path / "data").mkdir()
        for name in ("afw", "NoFace"):
            (tmp_path / "data" / name).symlink_to(tmp_path / "elsewhere" / name)
        assert names(find_samples([tmp_path / "data"], FACE)) == ["afw/a.jpg"]
        assert [sample.name for sample in find_negatives([tmp_path / "data"], FACE)] == ["NoFace/b.jpg"]


@pytest.mark.parametrize(("limit", "kept"), [(None, "abcdef"), (9, "abcdef"), (3, "ace"), (1, "a")])
def test_spread_takes_items_evenly(limit, kept):
    assert spread("abcdef", limit) == list(kept)


BAD_EARS = {
    "image without points": lambda stem: put(stem.with_suffix(".png"), PNG),
    "points without an image": lambda stem: put_ear(stem).unlink(),
    "wrong number of points": lambda stem: put_ear(stem, points=EAR_POINTS[:54]),
    "points of a face": lambda stem: put_ear(stem, points=FACE_POINTS),
    "NaN": lambda stem: put_ear(stem, points=EAR_POINTS * (1, np.nan)),
    "empty image": lambda stem: put_ear(stem, b""),
    "text for a JPEG": lambda stem: put_ear(stem, b"<html>404 not found</html>", ".jpg"),
    "JPEG cut in half": lambda stem: put_ear(stem, JPEG[: len(JPEG) // 2], ".jpg"),
    "JPEG without its last bytes": lambda stem: put_ear(stem, JPEG[:-2], ".jpg"),
    "JPEG of two bytes": lambda stem: put_ear(stem, JPEG[:2], ".jpg"),
    "PNG cut in half": lambda stem: put_ear(stem, PNG[: len(PNG) // 2]),
    "PNG without its last chunk": lambda stem: put_ear(stem, PNG[:-12]),
    "BMP cut in half": lambda stem: put_ear(stem, BMP[: len(BMP) // 2], ".bmp"),
    "WebP cut in half": lambda stem: put_ear(stem, WEBP[: len(WEBP) // 2], ".webp"),
    "TIFF cut in half": lambda stem: put_ear(stem, TIFF[: len(TIFF) // 2], ".tif"),
    "JPEG cut after a thumbnail that is whole": lambda stem: put_ear(
        stem, with_exif(JPEG, thumbnail=THUMBNAIL)[: len(JPEG) // 2], ".jpg"
    ),
}


class TestBadImages:
    @pytest.mark.parametrize("make", BAD_EARS.values(), ids=BAD_EARS)
    def test_bad_image_is_named_in_one_line(self, tmp_path, make):
        put_ear(tmp_path / "good")
        make(tmp_path / "bad")
        with input_error(tmp_path / "bad.", "--skip-bad"):
            find_samples([tmp_path], EAR)

    @pytest.mark.parametrize("make", BAD_EARS.values(), ids=BAD_EARS)
    def test_skip_bad_returns_the_rest_and_lists_what_was_left_out(self, tmp_path, make):
        put_ear(tmp_path / "a_good")
        make(tmp_path / "bad")
        put_ear(tmp_path / "z_good")
        found = find_samples([tmp_path], EAR, skip_bad=True)
        assert names(found) == ["a_good.png", "z_good.png"]
        (problem,) = found.problems
        assert str(tmp_path / "bad.") in problem and "\n" not in problem

    def test_image_whose_thumbnail_is_whole_too_is_taken(self, tmp_path):
        put_ear(tmp_path / "good", with_exif(JPEG, thumbnail=THUMBNAIL), ".jpg")
        assert names(find_samples([tmp_path], EAR)) == ["good.jpg"]

    def test_image_with_a_phones_film_behind_it_is_taken(self, tmp_path):
        put_ear(tmp_path / "motion", JPEG + bytes(9000), ".jpg")
        assert names(find_samples([tmp_path], EAR)) == ["motion.jpg"]

    @pytest.mark.parametrize("segment", [b"\xff\xdb", b"\xff\xda"])
    def test_image_with_fill_bytes_before_a_mark_is_whole(self, tmp_path, segment):
        at = JPEG.index(segment)
        put_ear(tmp_path / "filled", JPEG[:at] + b"\xff\xff\xff" + JPEG[at:], ".jpg")
        assert names(find_samples([tmp_path], EAR, skip_bad=True)) == ["filled.jpg"]
        put_ear(tmp_path / "filled", JPEG[:at] + b"\xff\xff\xff", ".jpg")
        with input_error(tmp_path / "filled.jpg", "truncated"):
            find_samples([tmp_path], EAR)

    def test_two_images_of_one_stem_are_both_named_and_both_left_out(self, tmp_path):
        put_ear(tmp_path / "a", JPEG, ".jpg")
        put_ear(tmp_path / "a", PNG, ".png")
        put_ear(tmp_path / "b")
        with input_error(tmp_path / "a.jpg", "a.png", "--skip-bad"):
            find_samples([tmp_path], EAR)
        found = find_samples([tmp_path], EAR, skip_bad=True)
        assert names(found) == ["b.png"] and len(found.problems) == 1

    def test_several_bad_images_are_counted(self, tmp_path):
        for stem in ("a", "b", "c"):
            put_ear(tmp_path / stem, b"")
        with input_error(tmp_path / "a.png", "2 more"):
            find_samples([tmp_path], EAR)

    def test_nothing_but_bad_images_is_an_error_even_with_skip_bad(self, tmp_path):
        put_ear(tmp_path / "a", b"")
        with input_error(tmp_path / "a.png"):
            find_samples([tmp_path], EAR, skip_bad=True)

    @pytest.mark.parametrize("missing", ["AFW/AFW_2_1_0.jpg", "landmarks/AFW/AFW_2_1_0_pts.mat"])
    def test_half_a_pair_of_300w_lp_is_named(self, tmp_path, missing):
        for stem in ("AFW_1_1_0", "AFW_2_1_0"):
            put(tmp_path / "AFW" / f"{stem}.jpg")
            put_pts_mat(tmp_path / "landmarks" / "AFW" / f"{stem}_pts.mat")
        (tmp_path / missing).unlink()
        with input_error("AFW_2_1_0"):
            find_samples([tmp_path], FACE)
        assert names(find_samples([tmp_path], FACE, skip_bad=True)) == ["AFW/AFW_1_1_0.jpg"]

    def test_part_of_300w_lp_without_any_points_is_not_passed_over_in_silence(self, tmp_path):
        put(tmp_path / "AFW" / "AFW_1_1_0.jpg")
        put_own_mat(tmp_path / "AFW" / "AFW_1_1_0.mat")
        put(tmp_path / "HELEN" / "HELEN_2_1_0.jpg")
        with input_error("HELEN_2_1_0"):
            find_samples([tmp_path], FACE)

    def test_corrupt_mat_is_named(self, tmp_path):
        put(tmp_path / "AFW" / "AFW_1_1_0.jpg")
        path = put_own_mat(tmp_path / "AFW" / "AFW_1_1_0.mat")
        path.write_bytes(path.read_bytes()[:200])
        with input_error(path):
            find_samples([tmp_path], FACE)


class TestGroups:
    def test_posed_mirrored_and_neighbouring_faces_of_one_image_are_one_group(self, tmp_path):
        stems = [
            "AFW/AFW_134212_1_0",
            "AFW/AFW_134212_1_5",
            "AFW/AFW_134212_2_3",
            "AFW/AFW_18489332_1_0",
            "AFW_Flip/AFW_134212_1_0",
            "HELEN/HELEN_134212_1_0",
            "IBUG/IBUG_image_008_1_0",
            "IBUG/IBUG_image_008_1_12",
            "IBUG/IBUG_image_009_1_0",
            "LFPW/LFPW_image_test_0001_0",
            "LFPW/LFPW_image_train_0001_0",
            "LFPW/LFPW_image_train_0001_13",
            "LFPW/LFPW_image_train_0002_0",
            "LFPW_Flip/LFPW_image_train_0002_7",
        ]
        for stem in stems:
            put(tmp_path / f"{stem}.jpg")
            put_own_mat(tmp_path / f"{stem}.mat")
        by_group: dict[str, list[str]] = {}
        for name, group in groups(find_samples([tmp_path], FACE)).items():
            by_group.setdefault(group, []).append(name.removesuffix(".jpg"))
        assert list(by_group.values()) == [
            [stems[0], stems[1], stems[2], stems[4]],
            [stems[3]],
            [stems[5]],
            [stems[6], stems[7]],
            [stems[8]],
            [stems[9]],
            [stems[10], stems[11]],
            [stems[12], stems[13]],
        ]

    def test_numbers_in_other_names_do_not_make_images_one_group(self, tmp_path):
        for stem in ("IMG_2024_01_02", "IMG_2024_01_03", "me_1", "me_2"):
            put_ear(tmp_path / stem)
        assert len(set(groups(find_samples([tmp_path], EAR)).values())) == 4

    def test_identities_csv_makes_the_images_of_a_person_one_group(self, tmp_path):
        for stem in ("a", "b", "sub/c", "d"):
            put_ear(tmp_path / stem)
        write_table(
            tmp_path / "identities.csv", ["name", "identity"], ["a.png", "Ann"], ["b.png", "Bob"], ["sub/c.png", "Ann"]
        )
        assert groups(find_samples([tmp_path], EAR)) == {
            "a.png": "Ann",
            "b.png": "Bob",
            "d.png": "d",
            "sub/c.png": "Ann",
        }

    @pytest.mark.parametrize("ending", ["_mirror", "_Mirror", "_MIRROR", "_flip", "_Flip", "-flipped"])
    @pytest.mark.parametrize("folder", ["", "copies/"])
    def test_mirrored_copy_is_in_the_group_of_its_original(self, tmp_path, ending, folder):
        for stem in ("10_1", "AFW_134212_1_0", "anna"):
            put_face(tmp_path / stem)
            put_face(tmp_path / f"{folder}{stem}{ending}")
        write_table(tmp_path / "identities.csv", ["name", "identity"], ["anna", "Ann"])
        by_name = groups(find_samples([tmp_path], FACE))
        for stem, group in (("10_1", "10_1"), ("AFW_134212_1_0", "AFW_134212"), ("anna", "Ann")):
            assert by_name[f"{stem}.jpg"] == by_name[f"{folder}{stem}{ending}.jpg"] == group

    @pytest.mark.parametrize("folder", ["afw", "AFW", "AFW_Flip"])
    def test_faces_of_one_image_of_afw_are_one_group_with_their_copies(self, tmp_path, folder):
        for stem in ("1130084326_1", "1130084326_2", "1130084326_12", "1130084326_2_mirror", "5_1"):
            put_face(tmp_path / folder / stem)
        for stem in ("1130084326_3", "5_1"):  # elsewhere such names count images, not faces
            put_face(tmp_path / "helen" / "trainset" / stem)
        assert groups(find_samples([tmp_path], FACE)) == {
            f"{folder}/1130084326_1.jpg": "1130084326",
            f"{folder}/1130084326_12.jpg": "1130084326",
            f"{folder}/1130084326_2.jpg": "1130084326",
            f"{folder}/1130084326_2_mirror.jpg": "1130084326",
            f"{folder}/5_1.jpg": "5",
            "helen/trainset/1130084326_3.jpg": "1130084326_3",
            "helen/trainset/5_1.jpg": "5_1",
        }

    def test_copy_in_another_folder_has_its_originals_person_and_test_part(self, tmp_path):
        put_face(tmp_path / "300w" / "ibug" / "a")
        put_face(tmp_path / "300w" / "helen" / "testset" / "b")
        put_face(tmp_path / "300w" / "helen" / "trainset" / "b")
        put_face(tmp_path / "300w" / "helen" / "trainset" / "b_mirror")
        write_table(tmp_path / "300w" / "identities.csv", ["name", "identity"], ["ibug/a.jpg", "Ann"])
        put_face(tmp_path / "copies" / "a_mirror")
        found = find_samples([tmp_path / "300w", tmp_path / "copies"], FACE)
        assert {sample.name: (sample.group, sample.part) for sample in found.samples} == {
            "helen/testset/b.jpg": ("b", "test"),
            "helen/trainset/b.jpg": ("b", "train"),
            "helen/trainset/b_mirror.jpg": ("b", "train"),
            "ibug/a.jpg": ("Ann", "test"),
            "a_mirror.jpg": ("Ann", "test"),
        }

    def test_flipped_folder_has_the_person_that_is_named_by_the_originals_path(self, tmp_path):
        for folder in ("AFW", "AFW_Flip"):
            put(tmp_path / folder / "AFW_1_1_0.jpg")
            put_own_mat(tmp_path / folder / "AFW_1_1_0.mat")
        write_table(tmp_path / "identities.csv", ["name", "identity"], ["AFW/AFW_1_1_0.jpg", "Ann"])
        assert set(groups(find_samples([tmp_path], FACE)).values()) == {"Ann"}

    @pytest.mark.parametrize("spell", [unicodedata.normalize, lambda form, name: name.replace("/", "\\")])
    @pytest.mark.parametrize("form", ["NFC", "NFD"])
    def test_names_of_identities_csv_and_split_files_count_in_any_composition_and_with_any_separator(
        self, tmp_path, spell, form
    ):
        put_face(tmp_path / "sub" / KOREAN)
        put_face(tmp_path / "sub" / f"{unicodedata.normalize('NFD', KOREAN)}2")
        rows = [spell(form, f"sub/{KOREAN}.jpg"), spell(form, f"sub/{KOREAN}2.jpg")]
        write_table(tmp_path / "identities.csv", ["name", "identity"], *([row, "hong"] for row in rows))
        samples = find_samples([tmp_path], FACE).samples
        assert [sample.group for sample in samples] == ["hong", "hong"]
        path = write_table(tmp_path / "split.csv", ["name", "part"], *([row, "test"] for row in rows))
        assert len(split_samples(samples, path)["test"]) == 2

    def test_names_that_are_no_images_are_refused_if_all_are_and_counted_if_some_are(self, tmp_path, capsys):
        put_face(tmp_path / "a")
        put_ear(tmp_path / "CollectionA" / "train" / "e")
        rows = [[f"images/{k}\x1b.jpg", "Ann"] for k in range(5)]
        path = write_table(tmp_path / "identities.csv", ["name", "identity"], *rows)
        with input_error(path, "5 names", r"'images/0\x1b.jpg'"):
            find_samples([tmp_path], FACE)
        write_table(path, ["name", "identity"], *rows, ["a", "Ann"], ["e", "Eve"])
        assert groups(find_samples([tmp_path], EAR)) == {"CollectionA/train/e.png": "Eve"}
        said = capsys.readouterr().out
        assert "5 of 7 names" in said and "images/2" in said and "images/3" not in said and said.count("\n") == 1

    def test_one_name_with_two_persons_is_refused(self, tmp_path):
        put_ear(tmp_path / "a")
        path = write_table(tmp_path / "identities.csv", ["name", "identity"], ["a", "Ann"], ["a.png", "Bob"])
        with input_error(path, "two persons", "'a.png'"):
            find_samples([tmp_path], EAR)

    @pytest.mark.parametrize(
        "content",
        [
            b"name,person\na.png,Ann\n",
            b"name,identity\na.png\n",
            b"name,identity\na.png,J\xf6rg\n",
            b"name;identity\n",
            b"identity,name\nAnn\n",
            b"name,identity\na," + b"b" * 200_000,
        ],
        ids=["another column", "a row that ends early", "not UTF-8", "semicolons", "no name", "a huge field"],
    )
    def test_bad_identities_csv_is_named_in_one_line(self, tmp_path, content):
        put_ear(tmp_path / "a")
        with input_error(put(tmp_path / "identities.csv", content)):
            split_samples(find_samples([tmp_path], EAR).samples)

    def test_image_id_survives_a_move_of_the_folder_and_tells_images_apart(self, faces, tmp_path):
        shutil.copytree(faces, tmp_path / "elsewhere")
        before = [sample.image_id for sample in find_samples([faces], FACE).samples]
        after = [sample.image_id for sample in find_samples([tmp_path / "elsewhere"], FACE).samples]
        assert before == after and len(set(before)) == 12


class TestSplit:
    @pytest.mark.parametrize(
        ("group", "part"),  # sha256sum and bc: the digit is the hash modulo 10
        [
            ("AFW_134212", "test"),  # 0
            ("y", "test"),  # 0
            ("HELEN_1051618982", "validation"),  # 1
            ("HELEN_232194", "train"),  # 2
            ("person-7", "train"),  # 5
            ("ear_00001", "train"),  # 9
        ],
    )
    def test_known_groups_go_where_their_hash_says(self, group, part):
        assert part_of(sample_of(group)) == part

    @given(st.lists(st.text(), min_size=1, max_size=30))
    def test_part_is_the_hash_of_the_group_modulo_10(self, texts):
        parts = split_samples([sample_of(text, name=f"{k}.jpg") for k, text in enumerate(texts)])
        for part, samples in parts.items():
            for sample in samples:
                digit = int.from_bytes(hashlib.sha256(sample.group.encode()).digest(), "big") % 10
                assert part == {0: "test", 1: "validation"}.get(digit, "train")
        assert sum(map(len, parts.values())) == len(texts)

    def test_split_is_about_80_10_10_and_no_group_is_on_two_parts(self):
        samples = [sample_of(f"person {k % 1000}", name=f"{k}.jpg") for k in range(2000)]
        parts = split_samples(samples)
        assert list(parts) == list(PARTS)
        people = [{sample.group for sample in parts[part]} for part in PARTS]
        assert sum(map(len, people)) == 1000
        assert [len(group) / 1000 for group in people] == pytest.approx([0.8, 0.1, 0.1], abs=0.03)
        for kept in parts.values():
            assert kept == [sample for sample in samples if sample in kept]  # in the given order

    @pytest.mark.parametrize(
        ("group", "part", "expected"),
        [
            ("AFW_134212", "train", "train"),  # 0, but the dataset has a test part of its own
            ("HELEN_1051618982", "train", "validation"),
            ("person-7", "train", "train"),
            ("AFW_134212", "test", "test"),
            ("HELEN_1051618982", "test", "test"),
            ("person-7", "test", "test"),
        ],
    )
    def test_images_that_come_as_test_stay_there_and_no_others_join_them(self, group, part, expected):
        assert part_of(sample_of(group, part)) == expected

    def test_collection_a_keeps_its_test_part(self, ears):
        parts = split_samples(find_samples([ears], EAR).samples)
        assert [sample.name for sample in parts["test"]] == [
            "CollectionA/test/ear_00005.png",
            "CollectionA/test/ear_00011.png",
        ]
        assert len(parts["train"]) + len(parts["validation"]) == 10

    def test_written_split_read_back_gives_the_same_parts(self, faces, tmp_path):
        samples = find_samples([faces], FACE).samples
        parts = {"train": samples[::3], "validation": samples[1::3], "test": samples[2::3]}
        write_split(tmp_path / "split.csv", parts)
        assert split_samples(samples, tmp_path / "split.csv") == parts

    def test_split_file_overrides_the_hash_by_image_or_by_group(self, tmp_path):
        samples = [sample_of("y", name="1.jpg"), sample_of("y", name="2.jpg"), sample_of("x", "test")]
        path = write_table(
            tmp_path / "split.csv", ["part", "name"], ["train", "y"], ["validation", "2.jpg"], ["train", "x.jpg"]
        )
        parts = split_samples(samples, path)
        assert parts == {"train": [samples[0], samples[2]], "validation": [samples[1]], "test": []}

    def test_images_of_one_name_in_two_folders_keep_their_parts_in_a_split_file(self, tmp_path):
        for folder, person in (("one", "person-7"), ("two", "y")):  # train and test, by their hashes
            put_ear(tmp_path / folder / "a")
            put_ear(tmp_path / folder / "b")
            write_table(tmp_path / folder / "identities.csv", ["name", "identity"], ["a", person], ["b", "y"])
        samples = find_samples([tmp_path / "one", tmp_path / "two"], EAR).samples
        parts = split_samples(samples)
        assert [(len(parts["train"]), len(parts["test"]))] == [(1, 3)]
        write_split(tmp_path / "split.csv", parts)
        assert split_samples(samples, tmp_path / "split.csv") == parts
        assert "\nb.png,test" in (tmp_path / "split.csv").read_text().replace("\r", "")

    def test_split_file_that_gives_one_name_two_parts_is_refused(self, tmp_path):
        path = write_table(tmp_path / "split.csv", ["name", "part"], ["a.jpg", "train"], ["a.jpg", "test"])
        with input_error(path, "a.jpg", "train", "test"):
            split_samples([sample_of("a")], path)

    @pytest.mark.parametrize(
        "rows",
        [
            [["name", "part"], ["x.jpg", "train"]],
            [["name", "part"], ["x.jpg", "train"], ["y.jpg", "holiday"]],
            [["name", "part"], ["x.jpg", "train"], ["y.jpg"]],
            [["name", "part"], ["x.jpg", "train"], ["y.jpg", ""]],
        ],
        ids=["an image is missing", "unknown part", "a row that ends early", "empty part"],
    )
    def test_split_file_that_does_not_fit_names_itself_and_the_image(self, tmp_path, rows):
        path = write_table(tmp_path / "split.csv", *rows)
        with input_error(path, "y.jpg"):
            split_samples([sample_of("x"), sample_of("y")], path)

    @pytest.mark.parametrize("content", [None, b"", b"a,b\n1,2\n", b"\xff\xfe\x00"])
    def test_split_file_that_cannot_be_read_is_named(self, tmp_path, content):
        path = tmp_path / "split.csv"
        if content is not None:
            path.write_bytes(content)
        with input_error(path):
            split_samples([sample_of("x")], path)

    def test_split_that_cannot_be_written_is_named_and_nothing_is_left_behind(self, tmp_path):
        (tmp_path / "runs").write_text("in the way")
        with input_error(tmp_path / "runs" / "split.csv"):
            write_split(tmp_path / "runs" / "split.csv", {"train": [sample_of("x")]})
        assert [path.name for path in tmp_path.iterdir()] == ["runs"]


class TestSplitOf300W:
    PLACES = ("afw", "helen/trainset", "helen/testset", "lfpw/trainset", "lfpw/testset", "ibug")

    @pytest.fixture
    def handed_out(self, tmp_path):
        for place in self.PLACES:
            for k in range(10):
                put_face(tmp_path / "300w" / place / f"{place.replace('/', '_')}_{k:04d}")
        return tmp_path / "300w"

    def test_trains_on_afw_and_the_trainsets_and_validates_on_some_of_them(self, handed_out):
        samples = find_samples([handed_out], FACE).samples
        parts = split_samples(samples, PROTOCOL_300W)
        assert parts == split_samples(samples)
        assert [len(parts[part]) for part in ("train", "test")] == [30 - len(parts["validation"]), 30]
        assert 0 < len(parts["validation"]) < 10
        assert {sample.subset for sample in parts["train"] + parts["validation"]} == {""}
        assert Counter(sample.subset for sample in parts["test"]) == {"common": 20, "challenging": 10}

    @pytest.mark.parametrize("place", ["Mine", "01_Indoor/sub", "Mine/testset"])
    def test_refuses_images_beside_it(self, handed_out, place):
        put_face(handed_out / place / "a")
        with input_error(PROTOCOL_300W, handed_out / place / "a.jpg", "helen/"):
            split_samples(find_samples([handed_out], FACE).samples, PROTOCOL_300W)

    def test_refuses_faces_without_a_test_set_other_faces_and_ears(self, handed_out, tmp_path, faces, ears):
        put_face(tmp_path / "cut" / "afw" / "a")
        put_face(tmp_path / "cut" / "helen_train" / "b")
        for folders, scheme in (([tmp_path / "cut"], FACE), ([handed_out, faces], FACE), ([ears], EAR)):
            with input_error(PROTOCOL_300W, folders[-1], "handed out"):
                split_samples(find_samples(folders, scheme).samples, PROTOCOL_300W)


class TestFoundByUse:
    @pytest.mark.parametrize("points", [np.zeros((68, 2)), np.full((68, 2), -1.0), np.eye(68, 2) * 1e30])
    def test_points_that_are_no_face_are_refused(self, tmp_path, points):
        write_faces(tmp_path, 2, size=64)
        write_300w_lp(tmp_path / "AFW_landmark" / "face_00001_pts.mat", points, points)
        with input_error("face_00001_pts.mat"):
            find_samples([tmp_path], FACE)
        assert len(find_samples([tmp_path], FACE, skip_bad=True).samples) == 1

    @pytest.mark.parametrize("spot", [(-1, -1), (0, 0), (1, 1), (40, 40)])
    def test_several_points_on_one_spot_are_refused_and_two_neighbours_are_not(self, tmp_path, spot):
        put_face(tmp_path / "a")
        points = FACE_POINTS.copy()
        points[20:27] = np.array(spot) - 1  # what write_pts adds
        put_face(tmp_path / "b", points)
        with input_error(tmp_path / "b.pts", "7 points", "--skip-bad"):
            find_samples([tmp_path], FACE)
        assert names(find_samples([tmp_path], FACE, skip_bad=True)) == ["a.jpg"]
        points[20:27] = FACE_POINTS[20:27]
        points[48], points[60] = FACE_POINTS[49], FACE_POINTS[49]
        put_face(tmp_path / "b", points)
        assert names(find_samples([tmp_path], FACE)) == ["a.jpg", "b.jpg"]

    def test_one_point_at_the_corner_hides_no_other_spot(self, tmp_path):
        points = FACE_POINTS.copy()
        points[0], points[20:40] = 0, 30
        put_face(tmp_path / "a", points)
        with input_error(tmp_path / "a.pts", "20 points"):
            find_samples([tmp_path], FACE)

    def test_fractions_of_the_images_size_are_refused(self, tmp_path):
        put_face(tmp_path / "a", FACE_POINTS / 64 - 1)
        with input_error(tmp_path / "a.pts", "not in pixels"):
            find_samples([tmp_path], FACE)

    @pytest.mark.parametrize(("moved", "fits"), [(90, True), (-120, True), (1000, False), (-1000, False), (1e6, False)])
    def test_points_may_lie_two_diagonals_outside_the_image(self, tmp_path, moved, fits):
        points = FACE_POINTS.copy()
        points[3, 0] += moved  # the image is 64 px wide and high
        put_face(tmp_path / "a", points)
        if fits:
            assert len(find_samples([tmp_path], FACE).samples) == 1
        else:
            with input_error(tmp_path / "a.pts", "point 3", "64 x 64"):
                find_samples([tmp_path], FACE)

    def test_persons_are_told_apart_by_the_path_where_stems_repeat(self, tmp_path):
        for person in ("anna", "bob"):
            save_image(tmp_path / person / "0.1.png", NOISE)
            write_pts(tmp_path / person / "0.1.pts", FACE_POINTS)
        (tmp_path / "identities.csv").write_text("name,identity\nanna/0.1.png,anna\nbob/0.1,bob\n")
        assert [sample.group for sample in find_samples([tmp_path], FACE).samples] == ["anna", "bob"]

    def test_a_known_layout_one_folder_deeper_is_named_and_not_read_as_loose_images(self, tmp_path):
        write_ears(tmp_path / "ibug", 6, size=64)
        with input_error("--data", tmp_path / "ibug"):
            find_samples([tmp_path], EAR)

    def test_skip_bad_finds_a_image_that_is_corrupt_between_whole_ends(self, tmp_path):
        write_ears(tmp_path, 5, size=64)
        path = tmp_path / "CollectionA" / "train" / "ear_00001.png"
        data = path.read_bytes()
        path.write_bytes(data[:60] + bytes(len(data) - 120) + data[-60:])
        found = find_samples([tmp_path], EAR, skip_bad=True)
        assert len(found.samples) == 4
        assert "ear_00001.png" in found.problems[0]


def test_a_folder_of_ear_points_alone_is_no_face_folder_and_says_so(ears):
    """So that a network with both heads is scored on the ears, and `data.check` does not call every ear a bad face."""
    with pytest.raises(NoSuchImagesError, match="other landmarks"):
        find_samples([ears], FACE)
    assert find_samples([ears], EAR).samples


class TestOtherEars:
    def notes(self, folder, **content):
        put_ear(folder / "CollectionA/train/a")
        (folder / "CollectionA/train/a.json").write_text(json.dumps(content))
        return folder / "CollectionA/train/a.json"

    def others(self, folder):
        return find_samples([folder], EAR).samples[0].others

    def test_without_notes_nobody_looked_for_another_ear(self, tmp_path):
        put_ear(tmp_path / "CollectionA/train/a")
        assert self.others(tmp_path) is None
        self.notes(tmp_path, all_ears_annotated=False)
        assert self.others(tmp_path) is None

    def test_notes_tell_that_there_is_none_or_where_it_is(self, tmp_path):
        self.notes(tmp_path, all_ears_annotated=True, other_ears=[])
        assert self.others(tmp_path).shape == (0, 55, 2)
        ear = np.arange(110.0).reshape(55, 2)
        self.notes(tmp_path, all_ears_annotated=True, other_ears=[ear.tolist()])
        np.testing.assert_array_equal(self.others(tmp_path), ear[None])

    def test_what_is_not_true_or_false_is_refused(self, tmp_path):
        notes = self.notes(tmp_path, all_ears_annotated="false")
        with input_error(notes, "all_ears_annotated"):
            self.others(tmp_path)

    def test_broken_notes_are_a_problem_of_their_image_alone(self, tmp_path):
        self.notes(tmp_path, all_ears_annotated=True)
        (tmp_path / "CollectionA/train/a.json").write_text("[" * 100_000)
        put_ear(tmp_path / "CollectionA/train/b")
        found = find_samples([tmp_path], EAR, skip_bad=True)
        assert names(found) == ["CollectionA/train/b.png"]
        assert len(found.problems) == 1 and "a.json" in found.problems[0]

    @pytest.mark.parametrize(
        "ears",
        [
            [[[1, 2]] * 54],
            [[[1, 2]] * 55] * 2,
            [[["x", 2]] * 55],
            [[[float("nan"), 2]] * 55],
            7,
            [[1, 2]] * 55,
            [[[1e30, 2], [3, 4]] + [[1, 2]] * 53],
            [[[1, 2]] * 55],
            [[list(range(55))] * 2],
            [[[10**400, 2]] * 55],
            {},
            "",
            [None],
            [[[{}, []]] * 55],
        ],
    )
    def test_what_is_no_ear_is_refused(self, tmp_path, ears):
        notes = self.notes(tmp_path, all_ears_annotated=True, other_ears=ears)
        with input_error(notes):
            self.others(tmp_path)


class TestVisiblePoints:
    @pytest.mark.parametrize(
        "content",
        [
            [],
            7,
            None,
            {"visible": []},
            {"visible": {"ear_left": 10**400}},
            {"visible": {"ear_left": [10**400] * 55}},
            {"visible": {"ear_left": [1] * 54}},
            {"visible": {"ear_left": [0.5] * 55}},
            {"visible": {"ear_left": [[1]] * 55}},
            {"visible": {"ear_left": "1" * 55}},
        ],
    )
    def test_notes_that_do_not_say_it_are_refused_in_one_line(self, content):
        with input_error("notes.json", "ear_left"):
            visible_fraction(Path("notes.json"), content, "ear_left")

    def test_fraction_is_that_of_the_ones(self):
        assert visible_fraction(Path("a"), {"visible": {"ear_left": [1] * 11 + [0] * 44}}, "ear_left") == 0.2


def test_negatives_are_images_whose_notes_say_so_and_those_without_points(tmp_path, ears):
    write_faces(tmp_path / "faces", 2)
    for path in (tmp_path / "faces").rglob("*.jpg"):
        shutil.copy(path, tmp_path / path.name)
    first, second = sorted(tmp_path.glob("*.jpg"))
    noted = {name: tmp_path / "more" / f"{name}.jpg" for name in ("side", "front", "old", "labelled")}
    (tmp_path / "more").mkdir()
    for name, notes in (
        ("side", {"face_in_view": False}),
        ("front", {"face_in_view": True}),
        ("old", {}),
        ("labelled", None),
    ):
        shutil.copy(first, noted[name])
        if notes is not None:
            noted[name].with_suffix(".json").write_text(json.dumps(notes))
    noted["labelled"].with_suffix(".pts").write_text("")
    assert [sample.image for sample in find_negatives([tmp_path / "more"], FACE)] == [noted["side"]]
    everywhere = [sample.image for sample in find_negatives([tmp_path], FACE)]
    assert second in everywhere and not [path for path in everywhere if "AFW" in path.parts]  # those have points
    for sample in find_negatives([tmp_path], FACE):
        assert sample.annotation.annotated.all() and not sample.annotation.present.any() and sample.part == "train"
    for place, points in (
        ("AFW_Flip/a.jpg", None),
        ("b.jpg", "b_pts.mat"),
        ("c.jpg", "c.PTS"),
        ("d.jpg", "d.ear_left.pts"),
    ):
        image = tmp_path / "annotated" / place
        image.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(first, image)
        if points:
            image.with_name(points).write_text("")
    with input_error("--negatives", tmp_path / "annotated", "no image"):
        find_negatives([tmp_path / "annotated"], FACE)
    (tmp_path / "annotated/e.jpg").write_bytes(b"")
    shutil.copy(first, tmp_path / "annotated/f.jpg")
    with input_error("e.jpg"):
        find_negatives([tmp_path / "annotated"], FACE)
    assert [sample.image.name for sample in find_negatives([tmp_path / "annotated"], FACE, skip_bad=True)] == ["f.jpg"]
    shutil.rmtree(tmp_path / "annotated")
    with input_error("--negatives", tmp_path / "none"):
        find_negatives([tmp_path / "none"], FACE)
    noted["side"].unlink()
    with input_error("--negatives", tmp_path / "more", "no image"):
        find_negatives([tmp_path / "more"], FACE)


def test_points_of_an_image_that_cannot_be_read_here_say_what_would_read_it(tmp_path):
    write_pts(tmp_path / "a.pts", points := np.random.default_rng(0).uniform(5, 60, (68, 2)))
    save_image(tmp_path / "b.jpg", np.zeros((64, 64, 3), np.uint8))
    write_pts(tmp_path / "b.pts", points)
    (tmp_path / "a.psd").write_bytes(b"8BPS")
    with input_error("a.pts", "1 .psd", "save as .jpg"):
        find_samples([tmp_path], FACE)
    (tmp_path / "b.pts").unlink()
    (tmp_path / "a.pts").unlink()
    with input_error("no face images", "1 .psd"):
        find_samples([tmp_path], FACE)


def test_a_name_that_a_spreadsheet_would_run_survives_a_split_file(tmp_path):
    points = np.random.default_rng(0).uniform(5, 60, (68, 2))
    for name in ("=1+1", "a"):
        save_image(tmp_path / f"{name}.jpg", np.zeros((64, 64, 3), np.uint8))
        write_pts(tmp_path / f"{name}.pts", points)
    parts = split_samples(find_samples([tmp_path], FACE).samples)
    write_split(tmp_path / "split.csv", parts)
    assert "./=1+1.jpg" in (tmp_path / "split.csv").read_text()
    assert read_split(tmp_path / "split.csv") == split_rows(parts)
    again = split_samples(find_samples([tmp_path], FACE).samples, tmp_path / "split.csv")
    assert split_rows(again) == split_rows(parts)


def test_a_damaged_file_among_faces_makes_no_ears_of_them(tmp_path):
    write_faces_as_pts(tmp_path, 3)
    (tmp_path / "face1.pts").write_bytes(b"")
    with pytest.raises(NoSuchImagesError, match="no ear images"):
        find_samples([tmp_path], EAR)
    assert len(find_samples([tmp_path], FACE, skip_bad=True).samples) == 2


@pytest.mark.parametrize(
    ("table", "words"),
    [('name,identity\nface0,a\nface1,"a\nface2,b\n', "not a readable CSV"), ("name,identity\nface0,a\0\n", "face0"),
     ("Name;Identity\nface0;a\n", "Name;Identity")],
)  # fmt: skip
def test_a_table_of_persons_that_would_be_misread_is_refused(tmp_path, table, words):
    write_faces_as_pts(tmp_path, 3)
    (tmp_path / "identities.csv").write_text(table)
    with input_error("identities.csv", words):
        find_samples([tmp_path], FACE)


def write_faces_as_pts(folder, count):
    for k in range(count):
        save_image(folder / f"face{k}.jpg", np.zeros((64, 64, 3), np.uint8))
        write_pts(folder / f"face{k}.pts", np.random.default_rng(k).uniform(5, 60, (68, 2)))
