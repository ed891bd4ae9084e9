"""Letters that are not ASCII, as names of images and runs have them: drawn where this machine has a font for them."""

from __future__ import annotations

import functools
import unicodedata

import numpy as np

from utils.common.cli import printable

NO_LETTERS = "Last Resort"  # a font of placeholder boxes, which claims to have every letter


def drawable(text: str) -> tuple[str, str | None]:
    """A text as it can be drawn here, and the file of the font to draw it with: None for plain ASCII.

    Where no font has all letters, the text becomes ASCII, its other letters as escapes such as `\\ud64d`; control
    characters are escaped too.
    """
    text = "\n".join(map(printable, text.split("\n")))
    text = unicodedata.normalize("NFC", text)  # macOS gives Korean syllables in parts, for which fonts have no letters
    if text.isascii():
        return text, None
    font = find_font(frozenset(letter for letter in text if not letter.isascii()))
    return (text, font) if font else (text.encode("ascii", "backslashreplace").decode(), None)


@functools.cache
def find_font(letters: frozenset[str]) -> str | None:
    """The file of a font of this machine that has all of some letters, upright ones of usual weight first."""
    from matplotlib.font_manager import fontManager
    from matplotlib.ft2font import FT2Font

    def oddity(font) -> tuple[bool, bool, int]:
        return font.name != "DejaVu Sans", font.style != "normal", abs(_weight(font.weight) - 400)

    for font in sorted(fontManager.ttflist, key=oddity):
        if not font.name.startswith(NO_LETTERS):
            try:
                known = FT2Font(font.fname).get_charmap()
            except (OSError, RuntimeError):  # taken away, or broken, since matplotlib made its list
                continue
            if all(ord(letter) in known for letter in letters):
                return font.fname
    return None


def _weight(weight: object) -> int:
    return weight if isinstance(weight, int) else 400


def text_coverage(text: str, font: str, height: int) -> tuple[np.ndarray, int]:
    """How much of each pixel a line of text covers, (rows, columns) uint8, and how many rows lie below its baseline.

    `height` is the font's size in pixels.
    """
    from matplotlib.ft2font import FT2Font

    face = FT2Font(font)
    face.set_size(height, 72)
    face.set_text(text, 0.0)
    face.draw_glyphs_to_bitmap(antialiased=True)
    return np.array(face.get_image()), face.get_descent() // 64  # FreeType counts 64 parts of a pixel
