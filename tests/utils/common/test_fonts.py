import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager

from data.drawing import write_label, write_lines
from utils.common.fonts import drawable, find_font, text_coverage
from utils.evaluation.plots import new_figure, plot_ced, write_figure

KOREAN = "홍길동"
UNWRITTEN = "\U0010fffd"  # for private use: no font has it


def build_font(path, letters):
    """A font in which each of some letters is a black square, a whole em wide."""
    pen = TTGlyphPen(None)
    for x, y in ((0, 0), (0, 1000), (1000, 1000), (1000, 0)):
        (pen.lineTo if x or y else pen.moveTo)((x, y))
    pen.closePath()
    square, empty = pen.glyph(), TTGlyphPen(None).glyph()
    names = [".notdef", *(f"u{ord(letter):X}" for letter in letters)]
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(names)
    font.setupCharacterMap(dict(zip(map(ord, letters), names[1:], strict=True)))
    font.setupGlyf({name: square if name != ".notdef" else empty for name in names})
    font.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    font.setupHorizontalHeader(ascent=1000, descent=0)
    font.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)


@pytest.fixture
def korean_font(tmp_path):
    """The file of a font that has the letters of `KOREAN` and those of ASCII."""
    path = tmp_path / "squares.ttf"
    build_font(path, [*map(chr, range(32, 127)), *KOREAN])
    before = list(fontManager.ttflist)
    fontManager.addfont(path)
    find_font.cache_clear()
    yield str(path)
    fontManager.ttflist[:] = before
    find_font.cache_clear()


def test_letters_that_a_font_of_this_machine_has_are_drawn_with_it(korean_font):
    assert drawable(KOREAN)[0] == KOREAN and drawable(KOREAN)[1] is not None
    parts = "\u1112\u1169\u11bc"  # as macOS gives the first syllable of it
    assert drawable(parts)[0] == "홍"


def test_letters_that_no_font_has_become_ascii_and_ascii_needs_no_font():
    assert drawable(f"run {UNWRITTEN}") == ("run \\U0010fffd", None)
    assert drawable("run_1 $x$") == ("run_1 $x$", None)


def test_letters_cover_the_pixels_that_they_should(korean_font):
    """Two squares an em wide: 40 x 20 pixels, all black, on the baseline."""
    covered, below = text_coverage("홍길", korean_font, 20)
    assert abs(covered.shape[0] - 20) <= 2 and abs(covered.shape[1] - 40) <= 2 and below == 0
    assert covered[3:-3, 3:-3].min() == 255


@pytest.mark.parametrize("text", [f"{KOREAN} 1.2 %", "Ünï", UNWRITTEN, "a\nb\x1b[2J"])
def test_any_name_can_be_written_on_an_image(korean_font, text):
    for size in ((40, 60), (256, 256), (3, 5)):
        before = np.full((*size, 3), 90, np.uint8)
        drawn = write_label(before.copy(), text)
        write_lines(before.copy(), [text, "second"])
        assert drawn.shape == before.shape
        if size == (256, 256):
            assert (drawn[-30:] == 255).any() or (drawn[-30:] > 200).any()
            assert (drawn[:200] == 90).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", [KOREAN, f"run_{UNWRITTEN}", "$\\frac{", "a$x$b$", "=1+1", "\x1b[31m"])
def test_a_plot_takes_any_name_without_a_warning(tmp_path, name):
    plot_ced(tmp_path / "a.png", {name: np.array([0.01, 0.05])}, 0.08, name)
    figure, _ = new_figure(name, 1)
    write_figure(tmp_path / "b.png", figure)
    assert (tmp_path / "a.png").stat().st_size > 1000 and (tmp_path / "b.png").exists()
