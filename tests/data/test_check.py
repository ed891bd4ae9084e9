import numpy as np

from data import check, datasets
from tests.conftest import input_error
from utils.common import images


def test_a_check_decodes_each_image_once_and_once_more_what_it_draws(faces, tmp_path, monkeypatch, capsys):
    decoded = []

    def count(path):
        decoded.append(path)
        return images.decode_image(path)

    monkeypatch.setattr(datasets, "decode_image", count)
    monkeypatch.setattr(check, "decode_image", count)
    monkeypatch.setattr(check, "draw_samples", lambda samples, scheme: np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr("sys.argv", ["check", str(faces), "--out", str(tmp_path)])
    assert check.main() == 0
    assert len(decoded) == len(set(decoded)) == 12
    said = capsys.readouterr().out
    assert "face: 12 images" in said
    assert "image width   96 to 96, median 96 px" in said


def test_one_damaged_file_is_one_line_whatever_is_looked_for(tmp_path, capsys):
    (tmp_path / "points.json").write_text("{")
    with input_error(tmp_path / "points.json", "corrupt at line 1"):
        check.main([str(tmp_path), "--out", str(tmp_path / "out")])
    assert capsys.readouterr().out == ""
