import numpy as np
import pytest

from data.boxes import read_boxes
from tests.conftest import input_error
from utils.common.images import save_image

HEAD = "photo,left,top,right,bottom\n"


@pytest.fixture
def table(tmp_path):
    for name in ("a.png", "b.png"):
        save_image(tmp_path / name, np.zeros((8, 8, 3), np.uint8))
    return tmp_path / "boxes.csv"


def test_boxes_by_image_reach_half_a_pixel_beyond_the_centres_of_their_end_pixels(table):
    table.write_text(f"{HEAD}a.png,2,3,5,3\nb.png,0,0,1,1\na.png,6,6,7,7\n")
    boxes = read_boxes(table)
    assert list(boxes) == [table.parent / "a.png", table.parent / "b.png"]
    assert boxes[table.parent / "a.png"].tolist() == [[1.5, 2.5, 5.5, 3.5], [5.5, 5.5, 7.5, 7.5]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "columns"),
        ("photo,left,top\n", "columns"),
        (HEAD, "no box"),
        (f"{HEAD}a.png,1,2,3\n", "line 2"),
        (f"{HEAD}a.png,0,0,1,1\na.png,1,2,3,x\n", "line 3"),
        (f"{HEAD}a.png,5,0,1,1\n", "right < left"),
        (f"{HEAD}c.png,0,0,1,1\n", "c.png"),
        (f'{HEAD}"a.png,0,0,1,1\n', "columns"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(table, content, says):
    table.write_text(content)
    with input_error(table, says):
        read_boxes(table)


def test_a_table_that_is_no_text_is_named(table):
    table.write_bytes(b"\xff\xfe\x00")
    with input_error(table, "columns"):
        read_boxes(table)
