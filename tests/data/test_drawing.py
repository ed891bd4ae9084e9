import numpy as np
import pytest

from data.drawing import write_label


@pytest.mark.parametrize("text", ["4.2 %  a", "123.4 %  HELEN_2345678901_1_12_abc", "W" * 40])
def test_a_label_is_not_cut_at_the_images_edge(text):
    size = 256
    image = write_label(np.zeros((size, size, 3), np.uint8), text)
    columns = np.flatnonzero(image.max(axis=(0, 2)))
    wider = write_label(np.zeros((size, 8 * size, 3), np.uint8), text)
    assert columns.max() < size - 1
    if np.flatnonzero(wider.max(axis=(0, 2))).max() < size - 12:  # it fits as it is
        assert np.array_equal(image, wider[:, :size])
