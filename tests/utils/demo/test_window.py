import cv2
import numpy as np
import pytest

from utils.demo import window as module
from utils.demo.sources import Frame, Source
from utils.demo.view import View
from utils.demo.window import Window


@pytest.mark.parametrize(
    ("code", "action"),
    [(ord("q"), "quit"), (ord("S"), "save"), (0x100000 | ord("r"), "record"), (27, "quit"), (0xFF1B, "quit"),
     (0xFF51, ""), (0xFF52, ""), (0xFF53, ""), (0x10FF51, "")],

)  # fmt: skip
def test_arrow_keys_are_no_letters(monkeypatch, code, action):
    """X11 codes: Left is 0xff51, whose lower half is that of Q."""
    monkeypatch.setattr(cv2, "waitKeyEx", lambda wait: code)
    assert Window(View(0.1, "none"))._action(1) == action


def test_while_a_camera_is_silent_keys_act_on_the_last_frame(monkeypatch, tmp_path):
    keys, shown = iter("ohsxq"), []
    monkeypatch.setattr(cv2, "waitKeyEx", lambda wait: ord(next(keys)))
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append(image))
    monkeypatch.setattr(module, "KEPT", tmp_path)
    view = View(0.1, "none")
    window, camera = Window(view), Source("0", "live")
    assert window.idle(camera) and view.overlay == "heatmaps"  # before the first frame: for what comes
    assert not shown
    gray = np.full((40, 60, 3), 90, np.uint8)
    frame = Frame(gray, 7, 0.5)
    assert window.present(camera, frame, None, gray, lambda: gray + 20, "")  # h
    assert view.help and len(shown) == 1
    assert window.idle(camera) and (tmp_path / "camera0-000007.png").is_file()  # s
    view.help = False
    assert window.idle(camera)  # x means nothing
    monkeypatch.setattr(cv2, "waitKeyEx", lambda wait: ord("o"))
    assert window.idle(camera) and view.overlay == "attention"
    assert shown[-1].max() >= 110 and shown[0].min() < 100  # drawn again
    monkeypatch.setattr(cv2, "waitKeyEx", lambda wait: ord("q"))
    assert not window.idle(camera)
    assert len(shown) == 3  # h, s and o; nothing is drawn into a window that is being closed
    monkeypatch.setattr(cv2, "waitKeyEx", lambda wait: ord("s"))
    (tmp_path / "camera0-000007.png").unlink()
    assert window.idle(Source("1", "live")) and not list(tmp_path.iterdir())  # another camera has shown nothing yet


def test_a_lost_camera_is_said_over_its_last_picture_and_keys_go_on(monkeypatch):
    key, shown = [-1], []
    monkeypatch.setattr(cv2, "waitKeyEx", lambda wait: key[0])
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: 1)
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append(image.copy()))
    window, camera, lost = (
        Window(View(0.1, "none")),
        Source("0", "live"),
        "camera 0: gives no more frames; trying again",
    )
    assert window.idle(camera) and not shown
    assert window.idle(camera, lost) and len(shown) == 1  # lost before its first frame: on black
    gray = np.full((40, 60, 3), 90, np.uint8)
    assert window.present(camera, Frame(gray, 7, 0.5), None, gray, lambda: gray, "")
    plain = shown[-1]
    for _ in range(3):
        assert window.idle(camera, lost)
    assert len(shown) == 3  # drawn once
    assert (shown[-1] != plain).any() and (shown[-1][:100] == plain[:100]).all()  # a line at the bottom
    key[0] = ord("h")
    assert window.idle(camera, lost) and len(shown) == 4
    key[0] = ord("q")
    assert not window.idle(camera, lost)
