import json

import cv2
import numpy as np

from tests.conftest import run_process, run_script


def test_a_film_has_its_frames_and_true_points_that_move(tmp_path):
    done = run_process(
        "data.synthetic.film", tmp_path / "head.mp4", "--frames", 4, "--width", 160, "--height", 96, "--seed", 1
    )
    assert done.returncode == 0, done.stderr
    video = cv2.VideoCapture(str(tmp_path / "head.mp4"))
    images = [video.read()[1] for _ in range(4)]
    assert [image.shape for image in images] == [(96, 160, 3)] * 4 and not video.read()[0]
    truth = json.loads((tmp_path / "head.json").read_text())
    faces = np.array([frame["face"]["points"] for frame in truth["frames"]])
    assert faces.shape == (4, 68, 2) and truth["rate"] == video.get(cv2.CAP_PROP_FPS)
    middles = faces.mean(axis=1)
    assert middles[0, 0] < middles[1, 0] < middles[2, 0]  # it walks to the right
    # What moves in the image moves where the points say: the head differs most between frames 0 and 2.
    change = np.abs(images[0].astype(int) - images[2]).sum(axis=2)
    for at in (middles[0], middles[2]):
        x, y = np.round(at).astype(int)
        assert change[y - 4 : y + 5, x - 4 : x + 5].mean() > 2 * change[:10].mean()


def test_sizes_and_names_that_no_video_can_have_are_refused(tmp_path):
    for out, flags, said in (
        ("a.avi", (), ".mp4"),
        ("a.mp4", ("--width", 161), "even"),
        ("a.mp4", ("--height", 2), "64"),
        ("a.mp4", ("--width", 8000), "4096"),
        (".", (), ".mp4"),
    ):
        done = run_script("data.synthetic.film", tmp_path / out, *flags)
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
