import cv2
import pytest

from utils.view import View
from utils.window import Window


@pytest.mark.parametrize(
    ("code", "action"),
    [(ord("q"), "quit"), (ord("S"), "save"), (0x100000 | ord("r"), "record"), (27, "quit"), (0xFF1B, "quit"),
     (0xFF51, ""), (0xFF52, ""), (0xFF53, ""), (0x10FF51, "")],

)  # fmt: skip
def test_arrow_keys_are_no_letters(monkeypatch, code, action):
    """X11 codes: Left is 0xff51, whose lower half is that of Q."""
    monkeypatch.setattr(cv2, "waitKeyEx", lambda wait: code)
    assert Window(View(0.1, "none"))._action(1) == action
