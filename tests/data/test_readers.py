"""Files of many images' points: a real sample of each format, and broken ones."""

import json
import re
import shutil
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from data.datasets import find_samples, split_samples, subsets_of
from data.formats import write_pts
from data.layouts import NoSuchImagesError
from data.readers.cofw import read_cofw
from data.schemes import EAR, FACE, Scheme, read_scheme, reference_shape
from tests.conftest import SMALL, input_error, run_script
from tests.images import drawn_image
from utils.common.images import decode_image, save_image
from utils.evaluation import metrics

WFLW = read_scheme("wflw98")
FOUR = Scheme.from_json(
    read_scheme("cofw29").to_json()
    | {
        "task": "four",
        "count": 4,
        "groups": [{"name": "all", "indices": [0, 1, 2, 3], "closed": True, "colour": [255, 255, 255]}],
        "flip_pairs": [[0, 1], [2, 3]],
        "normaliser": [0, 1],
        "reference": [[0, 0], [1, 0], [0, 1], [1, 1]],
    }
)
NAMED = Scheme.from_json(FOUR.to_json() | {"names": ["a", "b", "c", "3 d"]})
SQUARE = [[10, 20], [40, 20], [10, 50], [40.5, 50.25]]  # pixels, 0-based
SECOND = [[60, 60], [90, 60], [60, 90], [90, 90]]
MISSING = [np.nan, np.nan]


def put_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((100, 120, 3), len(path.stem), np.uint8))
    return path


def put_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def keypoints(points, visibility=2):
    return [value for x, y in points for value in (x, y, visibility)]


def annotation(number, image_id, points, **changes):
    """As COCO's own files have it: a missing keypoint is 0, 0, 0."""
    values = keypoints(points) if len(np.shape(points)) == 2 else points
    own = {"id": number, "image_id": image_id, "category_id": 1, "iscrowd": 0, "keypoints": values}
    own |= {"num_keypoints": sum(v > 0 for v in values[2::3]), "bbox": [10, 20, 30, 30], "area": 900}
    return own | changes


def coco(annotations, files=("a.png", "b.png"), size=(120, 100), **changes):
    own = dict(zip(("width", "height"), size, strict=True))
    images = [{"id": k, "file_name": name} | own for k, name in enumerate(files, start=1)]
    category = {"id": 1, "name": "four", "supercategory": "thing", "keypoints": ["a", "b", "c", "d"], "skeleton": []}
    return {"info": {}, "images": images, "annotations": annotations, "categories": [category]} | changes


def points_of(samples):
    return {sample.name: sample.points.tolist() for sample in samples}


def same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=1e-4, err_msg=name)


def test_coco_gives_each_persons_points_and_which_are_missing(tmp_path):
    put_image(tmp_path / "images" / "a.png")
    put_image(tmp_path / "images" / "b.png")
    partly = keypoints(SQUARE)
    partly[3:6] = [0, 0, 0]
    partly[8] = 1  # hidden, and annotated
    nobody = annotation(4, 2, [0] * 12)
    crowd = annotation(5, 2, SQUARE, iscrowd=1)
    boxed = {"id": 6, "image_id": 2, "category_id": 1, "bbox": [0, 0, 9, 9]}
    people = [annotation(1, 1, SQUARE), annotation(2, 1, SECOND), annotation(3, 2, partly), nobody, crowd, boxed]
    path = put_json(tmp_path / "annotations" / "points.json", coco(people))
    samples = find_samples([tmp_path], FOUR).samples
    same(
        points_of(samples),
        {"images/a.png#1": SQUARE, "images/a.png#2": SECOND, "images/b.png": [SQUARE[0], MISSING, *SQUARE[2:]]},
    )
    assert [sample.group for sample in samples] == ["a", "a", "b"]
    third = samples[2].annotation
    assert third.annotated.tolist() == third.present.tolist() == [[True, False, True, True]]
    assert [sample.hidden.tolist() for sample in samples] == [[False] * 4, [False] * 4, [False, False, True, False]]
    by_file = find_samples([path], FOUR).samples
    same(points_of(by_file), points_of(samples))


def test_lists_named_train_and_test_come_split_and_a_copy_of_both_counts_once(tmp_path):
    for name in "abc":
        put_image(tmp_path / f"{name}.png")
    every = [annotation(1, 1, SQUARE), annotation(2, 2, SECOND)]
    put_json(tmp_path / "points.json", coco([*every, annotation(3, 3, SQUARE)], ("a.png", "b.png", "c.png")))
    put_json(tmp_path / "points_train2017.json", coco(every[:1]))
    put_json(tmp_path / "points_val2017.json", coco(every[1:]))
    samples = find_samples([tmp_path], FOUR).samples
    assert {sample.name: sample.part for sample in samples} == {"a.png": "train", "b.png": "test", "c.png": ""}


def test_an_image_is_known_by_the_end_of_its_path_and_nothing_outside_is_read(tmp_path):
    put_image(tmp_path / "data" / "x" / "a.png")
    put_image(tmp_path / "data" / "y" / "a.png")
    put_image(tmp_path / "b.png")
    path = tmp_path / "data" / "points.json"
    for name, found in (("x/a.png", "x/a.png"), ("./y/a.png", "y/a.png"), ("y\\a.png", "y/a.png")):
        put_json(path, coco([annotation(1, 1, SQUARE)], (name,)))
        assert [sample.name for sample in find_samples([path], FOUR).samples] == [found]
    for name, words in (("a.png", "may be"), ("../b.png", "is not below"), (str(tmp_path / "b.png"), "is not below")):
        put_json(path, coco([annotation(1, 1, SQUARE)], (name,)))
        with input_error(path, "annotations[0]", words):
            find_samples([path], FOUR)


def test_points_of_another_scheme_are_no_such_images(tmp_path):
    put_image(tmp_path / "a.png")
    put_json(tmp_path / "points.json", coco([annotation(1, 1, SQUARE)]))
    for scheme in (FACE, EAR, WFLW):
        with pytest.raises(NoSuchImagesError, match=f"holds 4 points.*{scheme.count} are needed"):
            find_samples([tmp_path], scheme)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"images": [],\n"annotations": [}', "at line 2"),
        ({"images": []}, "holds no annotations"),
        (coco([], images=[{"id": 1}]), "images[0]: it holds no file_name"),
        (coco([annotation(1, 9, SQUARE)]), "annotations[0]: image_id 9"),
        (coco([annotation(1, 1, SQUARE), annotation(2, 1, SQUARE[:3])]), "annotations[1]: holds 3 points, 4"),
        (coco([annotation(1, 1, [1, 2, 2] * 3 + [1])]), "annotations[0]: keypoints is no list of x, y and visib"),
        (coco([annotation(1, 1, [*keypoints(SQUARE)[:11], 3])]), "annotations[0]: keypoint 3: its visibility 3"),
        (coco([annotation(1, 1, ["x", *keypoints(SQUARE)[1:]])]), "annotations[0]: keypoint 0: 'x', 20"),
        (coco([annotation(1, 1, [*keypoints(SQUARE)[:3], *[0] * 9])]), "annotations[0]: only 1 of 4 points"),
        (coco([annotation(1, 2, SQUARE)]), "annotations[0]: its image 'b.png' is not below"),
    ],
    ids=["json", "annotations", "file_name", "image_id", "count", "length", "visibility", "number", "one", "image"],
)
def test_a_broken_coco_file_is_one_line_with_the_key(tmp_path, content, words):
    put_image(tmp_path / "a.png")
    path = put_json(tmp_path / "points.json", content)
    with input_error(path, words):
        find_samples([tmp_path], FOUR)


@pytest.mark.parametrize("name", ["points.json", "a.json", "labels.xml"])
def test_an_image_resized_after_it_was_annotated_is_refused(tmp_path, name):
    contents = {
        "points.json": coco([annotation(1, 1, SQUARE)]),
        "a.json": labelme_file(labelme(SQUARE)),
        "labels.xml": dlib_xml(dlib_box(SQUARE)),
    }
    path = put_json(tmp_path / name, contents[name])
    put_image(tmp_path / "a.png")
    assert len(find_samples([tmp_path], FOUR).samples) == 1
    save_image(tmp_path / "a.png", np.zeros((50, 60, 3), np.uint8))
    with input_error(path, "annotated at 120 x 100 pixels", "a.png has 60 x 50"):
        find_samples([tmp_path], FOUR)


def test_the_other_images_of_a_file_stay_when_bad_ones_are_left_out(tmp_path):
    put_image(tmp_path / "a.png")
    path = put_json(tmp_path / "points.json", coco([annotation(1, 1, SQUARE), annotation(2, 2, SQUARE)]))
    found = find_samples([path], FOUR, skip_bad=True)
    assert [sample.name for sample in found.samples] == ["a.png"]
    assert len(found.problems) == 1 and "'b.png'" in found.problems[0]


FACE98 = np.round(20 + 60 * reference_shape(WFLW).astype(float), 2)


def wflw_line(points=FACE98, name="1--Handshaking/1_Handshaking_7_0.png", attributes="0 0 1 0 0 0"):
    """As `list_98pt_rect_attr_train.txt` has it: points, box, six attributes, the image below `WFLW_images/`."""
    return f"{' '.join(f'{v:.6f}' for v in np.ravel(points))} 20 20 80 80 {attributes} {name}"


def test_wflw_lists_give_points_parts_and_missing_ones(tmp_path):
    partly = FACE98.copy()
    partly[[5, 7]] = [[-1, -1], [np.nan, np.nan]]
    for name in ("1_Handshaking_7_0", "b"):
        put_image(tmp_path / "WFLW_images" / "1--Handshaking" / f"{name}.png")
    lists = tmp_path / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
    lists.mkdir(parents=True)
    (lists / "README").write_text("98 points")
    (lists / "list_98pt_rect_attr_train.txt").write_text(
        f"{wflw_line()}\n{wflw_line(FACE98 + 3, attributes='0 0 1 0 0 1')}\n"
    )
    (lists / "list_98pt_rect_attr_test.txt").write_text(
        f"{wflw_line(partly, '1--Handshaking/b.png', '0 0 0 0 0 0')}\r\n"
    )
    samples = find_samples([tmp_path], WFLW).samples
    place = "WFLW_images/1--Handshaking"
    expected = {f"{place}/1_Handshaking_7_0.png#1": FACE98, f"{place}/1_Handshaking_7_0.png#2": FACE98 + 3}
    same(points_of(samples), expected | {f"{place}/b.png": np.where(partly < 0, np.nan, partly)})
    assert [sample.part for sample in samples] == ["train", "train", "test"]
    assert [sample.attributes for sample in samples] == [("illumination",), ("illumination", "blur"), ()]
    assert {name: len(places) for name, places in subsets_of(samples).items()} == {"illumination": 2, "blur": 1}
    assert {part: len(some) for part, some in split_samples(samples).items()}["test"] == 1


def test_the_list_of_wflw_without_boxes_is_read(tmp_path):
    put_image(tmp_path / "a.png")
    (tmp_path / "list_98pt_test.txt").write_text(f"{' '.join(map(str, FACE98.ravel()))} a.png\n")
    (sample,) = find_samples([tmp_path], WFLW).samples
    np.testing.assert_allclose(sample.points, FACE98, atol=1e-4)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (" ".join(wflw_line(name="a.png").split()[2:]), "line 2: holds 204 numbers"),
        (wflw_line(name="a.png").replace("20 20 80 80", "20 20 80 x"), "line 2: 'x' is not a number"),
        (wflw_line(FACE98 + np.array([[0, np.nan]]), "a.png"), "line 2: point 0 is not a number"),
        (wflw_line(FACE98 * 0 - 1, "a.png"), "line 2: only 0 of 98"),
        (wflw_line(name="none.png"), "line 2: its image 'none.png' is not below"),
        ("a.png", "line 2: holds 0 numbers"),
    ],
    ids=["short", "word", "half", "none", "image", "name"],
)
def test_a_broken_line_of_wflw_is_named(tmp_path, line, words):
    put_image(tmp_path / "a.png")
    path = tmp_path / "list_98pt_rect_attr_test.txt"
    path.write_text(f"{wflw_line(name='a.png')}\n{line}\n")
    with input_error(path, words):
        find_samples([tmp_path], WFLW)


def dlib_box(points, first="", ignore=False):
    parts = "".join(
        f"      <part name='{k:02}' x='{x}' y='{y}'/>\n" for k, (x, y) in enumerate(points) if np.isfinite(x)
    )
    mark = " ignore='1'" if ignore else ""
    return f"    <box top='20' left='10' width='31' height='31'{mark}>\n{first}{parts}    </box>\n"


def dlib_xml(*boxes, name="a.png"):
    """As imglab writes it."""
    return (
        "<?xml version='1.0' encoding='ISO-8859-1'?>\n<?xml-stylesheet type='text/xsl' href='image_metadata_stylesheet"
        ".xsl'?>\n<dataset>\n<name>imglab dataset</name>\n<comment>Created by imglab tool.</comment>\n<images>\n"
        f"  <image file='{name}' width='120' height='100'>\n{''.join(boxes)}  </image>\n</images>\n</dataset>\n"
    )


def test_dlib_gives_each_box_with_parts(tmp_path):
    put_image(tmp_path / "a.png")
    path = tmp_path / "labels.xml"
    empty = "    <box top='1' left='1' width='9' height='9'/>\n"
    path.write_text(dlib_xml(dlib_box(SQUARE), empty, dlib_box(SQUARE, ignore=True), dlib_box([*SECOND[:3], MISSING])))
    expected = {"a.png#1": SQUARE, "a.png#2": [*SECOND[:3], MISSING]}
    same(points_of(find_samples([tmp_path], FOUR).samples), expected)
    same(points_of(find_samples([path], FOUR).samples), expected)
    with pytest.raises(NoSuchImagesError, match="holds 4 points"):
        find_samples([path], FACE)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (dlib_xml(dlib_box(SQUARE))[:-30], "labels.xml: line 1"),
        (dlib_xml(dlib_box(SQUARE)).replace("images>", "pictures>"), "holds no <images>"),
        (dlib_xml(dlib_box(SQUARE)).replace("file='a.png'", ""), "<image> 1 has no file"),
        (dlib_xml(dlib_box(SQUARE), dlib_box(SQUARE).replace("'02'", "'nose'")), "a.png, box 2: part 'nose'"),
        (dlib_xml(dlib_box(SQUARE).replace("'02'", "'01'")), "a.png, box 1: part 01 stands twice"),
        (dlib_xml(dlib_box(SQUARE).replace("x='40'", "x='4o'")), "a.png, box 1: part 01: x='4o'"),
        (dlib_xml(dlib_box(SQUARE), name="b.png"), "b.png, box 1: its image 'b.png' is not below"),
    ],
    ids=["cut", "images", "file", "name", "twice", "number", "image"],
)
def test_a_broken_file_of_dlib_is_one_line_with_the_place(tmp_path, content, words):
    put_image(tmp_path / "a.png")
    path = tmp_path / "labels.xml"
    path.write_text(content)
    with input_error(path, words):
        find_samples([tmp_path], FOUR)


def shape(label, point, group=None, **changes):
    own = {"label": label, "points": [point], "group_id": group, "description": "", "shape_type": "point", "flags": {}}
    return own | changes


def labelme(points, group=None):
    """LabelMe counts from the first pixel's corner, half a pixel before its centre."""
    return [shape(str(k), [x + 0.5, y + 0.5], group) for k, (x, y) in enumerate(points) if np.isfinite(x)]


def labelme_file(shapes, image="a.png", **changes):
    own = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None}
    return own | {"imageHeight": 100, "imageWidth": 120} | changes


def test_labelme_gives_each_group_of_points(tmp_path):
    put_image(tmp_path / "a.png")
    put_image(tmp_path / "pictures" / "b.png")
    box = shape("face", [1, 1], shape_type="rectangle", points=[[1, 1], [9, 9]])
    put_json(tmp_path / "a.json", labelme_file([box, *labelme(SQUARE, 1), *labelme(SECOND, 2)]))
    put_json(tmp_path / "b.json", labelme_file(labelme([MISSING, *SQUARE[1:3], MISSING]), "..\\pictures\\b.png"))
    same(
        points_of(find_samples([tmp_path], FOUR).samples),
        {"a.png#1": SQUARE, "a.png#2": SECOND, "pictures/b.png": [MISSING, *SQUARE[1:3], MISSING]},
    )


def test_labels_may_be_the_schemes_names_or_numbers(tmp_path):
    for name in ("a.png", "b.png"):
        put_image(tmp_path / name)
    shapes = [shape(label, [x + 0.5, y + 0.5]) for label, (x, y) in zip(("b", "0", "3 d"), SQUARE, strict=False)]
    put_json(tmp_path / "a.json", labelme_file(shapes))
    (tmp_path / "b.xml").write_text(dlib_xml(dlib_box(SQUARE).replace("'02'", "'c'"), name="b.png"))
    expected = {"a.png": [SQUARE[1], SQUARE[0], MISSING, SQUARE[2]], "b.png": SQUARE}
    same(points_of(find_samples([tmp_path], NAMED).samples), expected)
    with input_error(tmp_path / "a.json", "shapes[0]: label 'b' is not the number of a landmark, from 0, nor a name"):
        find_samples([tmp_path / "a.json"], FOUR)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "at line 1"),
        (labelme_file({}), "shapes is no list"),
        ({"shapes": labelme(SQUARE)}, "it holds no imagePath"),
        (labelme_file([*labelme(SQUARE), shape("nose", [1, 1])]), "shapes[4]: label 'nose'"),
        (labelme_file([*labelme(SQUARE), shape("3", [1, 1])]), "shapes[4]: label 3 stands twice"),
        (labelme_file([shape("0", [1])]), "shapes[0]: points is not one [x, y]"),
        (labelme_file([shape("0", [1, float("inf")])]), "shapes[0]: points is not a number"),
        (labelme_file(labelme(SQUARE), "c.png"), "its image 'c.png' is not below"),
    ],
    ids=["json", "shapes", "imagePath", "label", "twice", "point", "infinite", "image"],
)
def test_a_broken_file_of_labelme_is_one_line_with_the_key(tmp_path, content, words):
    put_image(tmp_path / "a.png")
    path = put_json(tmp_path / "a.json", content)
    with input_error(path, words):
        find_samples([tmp_path], FOUR)


def two_categories(first="four", second="dog", count=4):
    """A COCO file whose second annotation is of another category with as many keypoints or more."""
    names = ["a", "b", "c", "3 d", *"efgh"][:count]
    categories = [
        {"id": 1, "name": first, "keypoints": ["a", "b", "c", "d"]},
        {"id": 2, "name": second, "keypoints": names},
    ]
    other = [*SECOND, *[[1, 1]] * (count - 4)]
    return coco([annotation(1, 1, SQUARE), annotation(2, 2, other, category_id=2)], categories=categories)


def test_of_several_coco_categories_that_of_the_scheme_counts(tmp_path):
    put_image(tmp_path / "a.png")
    put_image(tmp_path / "b.png")
    made_of = Scheme.from_json(FOUR.to_json() | {"task": "dog4"})
    path = put_json(tmp_path / "points.json", two_categories())
    same(points_of(find_samples([path], NAMED).samples), {"b.png": SECOND})  # by its names
    same(points_of(find_samples([path], made_of).samples), {"b.png": SECOND})  # data.scheme called it so
    with input_error(path, "categories: four and dog have 4 keypoints each", "--category"):
        find_samples([path], FOUR)
    put_json(path, two_categories(count=6))
    same(points_of(find_samples([path], FOUR).samples), {"a.png": SQUARE})  # by their number


def test_coco_keypoints_of_the_schemes_names_come_in_the_schemes_order(tmp_path):
    put_image(tmp_path / "a.png")
    category = {"id": 1, "name": "four", "keypoints": list(reversed(NAMED.names))}
    values = keypoints(SQUARE[::-1])
    values[2] = 1  # the first, which is the scheme's last, is hidden
    path = put_json(tmp_path / "points.json", coco([annotation(1, 1, values)], ("a.png",), categories=[category]))
    (sample,) = find_samples([path], NAMED).samples
    np.testing.assert_allclose(sample.points, SQUARE)
    assert sample.hidden.tolist() == [False, False, False, True]
    np.testing.assert_allclose(find_samples([path], FOUR).samples[0].points, SQUARE[::-1])  # a scheme without names


def test_one_label_too_high_is_named_and_the_others_stay(tmp_path):
    for name in ("a.png", "b.png"):
        put_image(tmp_path / name)
    (tmp_path / "a.xml").write_text(dlib_xml(dlib_box(SQUARE)))
    (tmp_path / "b.xml").write_text(dlib_xml(dlib_box(SQUARE).replace("'03'", "'99'"), name="b.png"))
    with input_error(tmp_path / "b.xml", "b.png, box 1: holds landmark 99; the last is 3"):
        find_samples([tmp_path], FOUR)
    same(points_of(find_samples([tmp_path], FOUR, skip_bad=True).samples), {"a.png": SQUARE})


def test_too_few_points_do_not_hide_what_is_wrong_with_one(tmp_path):
    put_image(tmp_path / "a.png")
    bad = dlib_box(SQUARE).replace("x='40'", "x='4o'")
    (tmp_path / "a.xml").write_text(dlib_xml(dlib_box(SQUARE[:3]), bad))
    with input_error(tmp_path, "holds 3 points a four, 4 are needed", "box 2: part 01: x='4o'"):
        find_samples([tmp_path], FOUR)


def test_one_file_of_points_does_not_switch_a_list_of_many_off(tmp_path):
    for name in ("a.png", "b.png"):
        put_image(tmp_path / name)
    path = put_json(tmp_path / "points.json", coco([annotation(1, 1, SQUARE), annotation(2, 2, SECOND)]))
    write_pts(tmp_path / "a.pts", np.float32(SQUARE))
    with input_error(path, "has the points of 2 images, and 1 have a file of their own"):
        find_samples([tmp_path], FOUR)
    same(points_of(find_samples([path], FOUR).samples), {"a.png": SQUARE, "b.png": SECOND})


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("points.json", "version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        ("points.json", "<html><body>not found</body></html>", "web page"),
        ("points.xml", "version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        ("points.xml", "<!DOCTYPE html><p>not found", "web page"),
        ("list_98pt_test.txt", "version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        ("list_98pt_test.txt", "<html>not found</html>", "web page"),
    ],
)
def test_what_a_download_left_of_a_file_is_named(tmp_path, name, content, words):
    put_image(tmp_path / "a.png")
    (tmp_path / name).write_text(content)
    with input_error(name, words):
        find_samples([tmp_path], WFLW)


def test_a_list_of_wflw_is_known_by_its_other_lines_and_a_cut_line_by_its_numbers(tmp_path):
    put_image(tmp_path / "WFLW_images" / "1--Handshaking" / "1_Handshaking_7_0.png")
    path = tmp_path / "train.txt"
    path.write_text(f"{' '.join(wflw_line().split()[:50])}\n{wflw_line()}\n")
    with input_error(path, "line 1: holds 49 numbers"):
        find_samples([tmp_path], WFLW)


def test_a_file_that_is_of_no_format_is_named_where_nothing_is_found(tmp_path):
    put_image(tmp_path / "a.png")
    (tmp_path / "labels.xml").write_text("<html></html>")
    (tmp_path / "README.txt").write_text("about")
    with pytest.raises(NoSuchImagesError, match=r"labels\.xml is of no format that is read"):
        find_samples([tmp_path], FOUR)


def test_a_file_of_cofw_in_the_place_of_a_folder_names_the_way(tmp_path):
    with input_error("COFW_train.mat", "data.convert --to coco"):
        find_samples([Path(__file__).parent / "samples" / "COFW_train.mat"], FOUR)


@pytest.mark.parametrize("flags", [["--skip-bad"], ["--map", "wflw98-to-face68"], ["--points-dir", "."]])
def test_flags_that_a_file_of_images_cannot_follow_are_refused(tmp_path, flags):
    source = Path(__file__).parent / "samples" / "COFW_train.mat"
    done = run_script("data.convert", source, "--to", "coco", "--out", tmp_path / "out", *flags)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert flags[0] in done.stderr and not (tmp_path / "out").exists()


def test_a_file_of_no_format_says_so(tmp_path):
    put_image(tmp_path / "a.png")
    path = put_json(tmp_path / "notes.json", {"face_in_view": False})
    with input_error(path, "no points in a format"):
        find_samples([path], FOUR)
    with pytest.raises(NoSuchImagesError, match=re.escape(str(tmp_path))):
        find_samples([tmp_path], FOUR)


def cofw_file(path, images, rows, part="Tr"):
    """As MATLAB writes -v7.3: HDF5 behind a block of text, dimensions reversed, a cell of references."""
    with h5py.File(path, "w", userblock_size=512) as file:
        refs = [file.create_dataset(f"#refs#/{k}", data=image.T).ref for k, image in enumerate(images)]
        file.create_dataset(f"Is{part}", data=np.array(refs, h5py.ref_dtype)[None], dtype=h5py.ref_dtype)
        file.create_dataset(f"phis{part}", data=np.array(rows, np.float64).T)
    with open(path, "r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    return path


COFW = read_scheme("cofw29")
FACE29 = np.round(10 + 60 * reference_shape(COFW).astype(float), 2)
ROW29 = np.concatenate([FACE29[:, 0] + 1, FACE29[:, 1] + 1, np.arange(29) % 2])  # MATLAB counts from 1
GREY = np.arange(100 * 120, dtype=np.uint32).reshape(100, 120).astype(np.uint8)
COLOUR = np.stack([GREY, GREY // 2, GREY // 3], axis=-1)


@pytest.mark.parametrize("to", ["pts", "coco"])
def test_cofw_is_unpacked_to_a_dataset(tmp_path, to):
    path = cofw_file(tmp_path / "COFW_test_color.mat", [GREY, COLOUR], [ROW29, ROW29 + 2 * (np.arange(87) < 58)], "T")
    done = run_script("data.convert", path, "--to", to, "--scheme", "cofw29", "--out", tmp_path / "out")
    assert done.returncode == 0 and "2 annotations of 29" in done.stdout
    samples = find_samples([tmp_path / "out"], COFW).samples
    same(points_of(samples), {"test_0000.png": FACE29, "test_0001.png": FACE29 + 2})
    assert {sample.part for sample in samples} == {"test" if to == "coco" else ""}
    for sample in samples:  # a .pts file has no place for it
        assert sample.hidden is None if to == "pts" else sample.hidden.tolist() == [k % 2 == 1 for k in range(29)]
    np.testing.assert_array_equal(decode_image(samples[0].image), np.stack([GREY] * 3, axis=-1))
    np.testing.assert_array_equal(decode_image(samples[1].image), COLOUR)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_bytes(b"MATLAB 7.3 MAT-file"), "MATLAB 7.3"),
        (lambda path: cofw_file(path, [GREY], [ROW29], "X"), "neither IsTr and phisTr"),
        (lambda path: cofw_file(path, [GREY], [ROW29[:80]]), "phisTr is no array of 87"),
        (lambda path: cofw_file(path, [GREY], [ROW29, ROW29]), "IsTr holds no image for each of the 2"),
        (lambda path: cofw_file(path, [GREY / 2], [ROW29]), "IsTr: image 0 is no image of bytes"),
        (lambda path: cofw_file(path, [GREY], [ROW29 * np.nan]), "phisTr: face 0 is not a number"),
    ],
    ids=["cut", "keys", "rows", "count", "image", "nan"],
)
def test_a_broken_file_of_cofw_is_one_line(tmp_path, make, words):
    path = tmp_path / "COFW_train.mat"
    make(path)
    with input_error(path, words):
        list(read_cofw(path))


SAMPLES = Path(__file__).parent / "samples"  # written by the formats' own libraries: make.py there
SAMPLE_POINTS = np.array([[10.0, 12.0], [30.0, 12.0], [10.0, 30.0], [30.0, 31.0]])
SAMPLE_NAMES = ("left_eye", "right_eye", "left_mouth", "right_mouth")


@pytest.mark.parametrize("kept", [["coco.json"], ["dlib.xml"], ["labelme/0.json", "labelme/1.json"]])
def test_samples_of_the_formats_own_libraries_are_read(tmp_path, kept):
    scheme = Scheme.from_json(FOUR.to_json() | {"names": list(SAMPLE_NAMES)})
    for name in ("0.png", "1.png", *kept):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(SAMPLES / name, tmp_path / name)
    samples = find_samples([tmp_path], scheme).samples
    second = SAMPLE_POINTS + 1
    second[3] = np.nan
    same(points_of(samples), {"0.png": SAMPLE_POINTS, "1.png": second})
    if kept == ["coco.json"]:
        assert [sample.hidden.tolist()[0] if sample.hidden is not None else None for sample in samples] == [False, True]


def test_samples_of_matlab_7_3_are_read(tmp_path):
    samples = list(read_cofw(SAMPLES / "COFW_train.mat"))
    diagonal = np.linspace(5, 33, 29)
    assert len(samples) == 2
    for name in ("matlab_pts.mat", "0.png"):
        shutil.copy(SAMPLES / name, tmp_path / name.replace("0.png", "matlab.png"))
    (sample,) = find_samples([tmp_path], FACE).samples
    np.testing.assert_allclose(sample.points, np.stack([np.linspace(5, 40, 68), np.linspace(6, 33, 68)], axis=1))
    done = run_script(
        "data.convert", SAMPLES / "COFW_train.mat", "--to", "pts", "--scheme", "cofw29", "--out", tmp_path / "out"
    )
    assert done.returncode == 0, done.stderr
    found = points_of(find_samples([tmp_path / "out"], COFW).samples)
    want = np.stack([diagonal, diagonal], axis=1)
    same(found, {"train_0000.png": want, "train_0001.png": want + 1})
    images = [decode_image(SAMPLES / f"{k}.png") for k in range(2)]
    for number, image in enumerate((np.stack([images[0][..., 0]] * 3, axis=-1), images[1])):
        np.testing.assert_array_equal(decode_image(tmp_path / f"out/train_{number:04}.png"), image)


def test_points_of_matlab_7_3_are_those_of_matlab_5(tmp_path):
    points = reference_shape(FACE) * 60 + 10
    path = tmp_path / "a_pts.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["pts_2d"], file["pts_3d"] = points.T, points.T + 1
    with open(path, "r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    put_image(tmp_path / "a.png")
    np.testing.assert_allclose(find_samples([tmp_path], FACE).samples[0].points, points)
    np.testing.assert_allclose(find_samples([tmp_path], FACE, "3d").samples[0].points, points + 1)
    path.write_bytes(path.read_bytes()[:900])
    with input_error(path):
        find_samples([tmp_path], FACE)


def test_a_missing_point_of_a_pts_file_is_nan(tmp_path):
    put_image(tmp_path / "a.png")
    write_pts(tmp_path / "a.pts", np.array([SQUARE[0], MISSING, *SQUARE[2:]]))
    assert "nan nan" in (tmp_path / "a.pts").read_text()
    same(points_of(find_samples([tmp_path], FOUR).samples), {"a.png": [SQUARE[0], MISSING, *SQUARE[2:]]})


@pytest.mark.parametrize("to", ["pts", "coco"])
def test_a_dataset_is_written_anew_with_its_missing_points(tmp_path, to):
    for name in ("a.png", "below/b.png"):
        put_image(tmp_path / "data" / name)
    hidden = [0, 0, 0, *keypoints(SQUARE[1:], 1)]
    people = [annotation(1, 1, SQUARE), annotation(2, 1, SECOND), annotation(3, 2, hidden)]
    put_json(tmp_path / "data" / "points.json", coco(people, ("a.png", "below/b.png")))
    scheme = put_json(tmp_path / "four.json", NAMED.to_json())
    flags = ["--to", to, "--scheme", scheme, "--out", tmp_path / "out"]
    done = run_script("data.convert", tmp_path / "data", *flags)
    assert done.returncode == 0, done.stderr
    points = [sample.points for sample in find_samples([tmp_path / "out"], FOUR).samples]
    np.testing.assert_allclose(points, [SQUARE, SECOND, [MISSING, *SQUARE[1:]]], atol=1e-3)
    again = run_script("data.convert", tmp_path / "data", *flags)
    assert again.returncode == 2 and "is not empty" in again.stderr
    if to == "coco":
        written = json.loads((tmp_path / "out" / "points.json").read_text())
        assert written["categories"][0]["keypoints"] == ["a", "b", "c", "3 d"]
        assert written["categories"][0]["skeleton"] == [[1, 2], [2, 3], [3, 4], [4, 1]]
        assert written["annotations"][2]["keypoints"] == hidden and written["annotations"][2]["id"] == 3
        assert written["annotations"][0]["bbox"] == [10, 20, 30.5, 30.25]


def test_errors_are_means_over_the_points_that_are_there():
    """The normaliser is points 0 and 1; where one is missing it is the reference's, scaled to the others' diagonal."""
    truth = np.array([[[0, 0], [10, 0], MISSING, [10, 10]], [MISSING, [10, 0], [0, 10], [10, 10]]], np.float32)
    predicted = np.nan_to_num(truth) + np.array([3, 4], np.float32)
    lengths = metrics.normaliser_length(truth, FOUR)
    np.testing.assert_allclose(lengths, [10, 10])
    np.testing.assert_allclose(metrics.nme(truth, predicted, lengths), [0.5, 0.5])
    known = metrics.known_points(truth)
    assert known.tolist() == [[True, True, False, True], [False, True, True, True]]
    distances = metrics.point_errors(truth, predicted)
    assert metrics.percentage_of_correct_keypoints(distances, lengths, 0.6, known) == 1


TWELVE = (36, 39, 42, 45, 27, 30, 33, 48, 54, 51, 57, 8)  # of the 68: eyes, nose, mouth, chin


def test_a_scheme_of_another_ones_task_or_a_flat_shape_is_refused(tmp_path):
    for changes, words in (
        ({"task": "face"}, "task face is that of another scheme"),
        ({"reference": [[1, 1]] * 4}, "all landmarks on one spot"),
    ):
        path = put_json(tmp_path / "mine.json", FOUR.to_json() | changes)
        with input_error(path, words):
            read_scheme(str(path))


def twelve_scheme(path):
    places = reference_shape(FACE)[list(TWELVE)].astype(float).round(4).tolist()
    group = {"name": "all", "indices": list(range(12)), "closed": False, "colour": [255, 200, 60]}
    own = {"task": "twelve", "count": 12, "groups": [group], "flip_pairs": [[0, 3], [1, 2], [7, 8]]}
    own |= {"normaliser": [0, 3], "inner": [], "reference": places, "source": "12 of the 68 points of 300-W"}
    return put_json(path, FACE.to_json() | own)


@pytest.mark.slow
def test_a_coco_file_of_twelve_points_trains_and_is_scored(tmp_path):
    """The second face of an image, and missing points, among them those that errors are divided by, are taken along."""
    rng = np.random.default_rng(0)
    people, files = [], []
    for number in range(1, 13):
        one, other = (drawn_image(FACE, 96, rng) for _ in "ab")
        files.append(f"face{number}.png")
        save_image(tmp_path / "data" / files[-1], np.concatenate([one[0], other[0]], axis=1))
        values = keypoints(one[1][list(TWELVE)].astype(float).tolist())
        if number % 2:
            values[:3] = values[15:18] = [0, 0, 0]  # an outer eye corner is missing in every second image
        people.append(annotation(number, number, values))
        if number > 10:
            people.append(annotation(100 + number, number, (other[1][list(TWELVE)] + [96, 0]).astype(float).tolist()))
    put_json(tmp_path / "data" / "points.json", coco(people, files, (192, 96), categories=[]))
    scheme = twelve_scheme(tmp_path / "twelve.json")
    found = run_script("data.check", tmp_path / "data", "--scheme", scheme, "--out", tmp_path / "check")
    assert found.returncode == 0 and "twelve: 14 images" in found.stdout and "missing points: 12 in 6" in found.stdout
    weights = tmp_path / "twelve.keras"
    flags = [*SMALL, "--scheme", scheme, "--run", tmp_path / "run", "--out", weights, "--epochs", 1]
    trained = run_script("train_face.py", *flags, "--data", tmp_path / "data" / "points.json")
    assert trained.returncode == 0, trained.stderr
    flags = ["--split", "all", "--allow-trained", "--out", tmp_path / "scores"]
    scored = run_script("utils.evaluate", weights, tmp_path / "data", *flags)
    assert scored.returncode == 0, scored.stderr
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())["twelve"]
    assert scores["images"] == 14 and 0 < scores["nme"] < 500 and scores["missed"] == 0
    assert (tmp_path / "scores" / "twelve" / "worst.png").is_file()
