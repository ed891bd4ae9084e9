import numpy as np
import pytest

from data.boxes import overlap_of, read_boxes
from tests.conftest import input_error

HEAD = "photo,left,top,right,bottom\n"


def test_boxes_are_read_by_photo(tmp_path):
    table = tmp_path / "boxes.csv"
    table.write_text(HEAD + "a.jpg,1,2,3,4\n\nb.jpg,5,6,7,8\na.jpg,10,20,30,40\n")
    boxes = read_boxes(table)
    assert [box.tolist() for box in boxes["a.jpg"]] == [[0.5, 1.5, 3.5, 4.5], [9.5, 19.5, 30.5, 40.5]]
    assert [box.tolist() for box in boxes["b.jpg"]] == [[4.5, 5.5, 7.5, 8.5]]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "must name the columns"),
        ("photo,left,top\na.jpg,1,2\n", "must name the columns"),
        (HEAD, "holds no box"),
        (HEAD + "a.jpg,1,2,3,4\na.jpg,1,2,x,4\n", "line 3"),
        (HEAD + "a.jpg,1,2,3\n", "line 2"),
        (HEAD + "a.jpg,3,2,1,4\n", "line 2: is no box"),
        (HEAD + "a.jpg,-3,2,1,4\n", "line 2: is no box"),
    ],
)
def test_boxes_that_say_nothing_sensible_are_refused(tmp_path, text, named):
    table = tmp_path / "boxes.csv"
    table.write_text(text)
    with input_error(table, named):
        read_boxes(table)


def test_overlap_is_intersection_over_union():
    box = np.array([0.0, 0, 10, 10])
    assert overlap_of(box, box) == 1
    assert overlap_of(box, np.array([5.0, 0, 15, 10])) == pytest.approx(50 / 150)
    assert overlap_of(box, np.array([20.0, 20, 30, 30])) == 0
    point = np.array([1.0, 1, 1, 1])
    assert overlap_of(point, point) == 0  # it fills nothing
