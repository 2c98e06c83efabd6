"""Words of any script in pictures: drawn as they are written, or by their code points."""

import numpy as np
import pytest

from attnbench.analysis import fonts
from attnbench.analysis.alignment_painter import AlignmentPainter
from attnbench.analysis.fonts import MONO, SANS, drawable, missing_letters, style
from attnbench.analysis.plots import Panel, alignment_panels, png

MATHEMATICS = ["$$", r"$\alpha_", "a_b^c", r"$\frac{1}{$", "x$y$z", r"\$"]
SCRIPTS = ["你好", "שלום", "नमस्ते", "สวัสดี", "مرحبا", "한국어", "👩\u200d🚀", "\ue000"]


@pytest.fixture
def with_chinese(monkeypatch):
    """An installed font that has all Chinese characters, as far as the choice of fonts is concerned."""
    families, letters = fonts._families(), fonts._letters
    fonts._family.cache_clear()
    monkeypatch.setattr(fonts, "_families", lambda: {**families, "Noto Sans CJK": "noto.ttf"})
    monkeypatch.setattr(fonts, "_letters", lambda file: range(0x4E00, 0xA000) if file == "noto.ttf" else letters(file))
    yield
    fonts._family.cache_clear()


@pytest.mark.parametrize("words", [MATHEMATICS, SCRIPTS])
def test_words_are_drawn_literally_and_without_a_warning(words):
    """mathtext would raise for them, and matplotlib warn of each letter that a font lacks: here warnings are errors."""
    weights = np.eye(len(words))
    painter = AlignmentPainter(words, words, None)
    panels = alignment_panels({(word, word): Panel(weights, words, words) for word in words[:2]}, " ".join(words))
    assert painter.paint(weights, " ".join(words)).std() > 0
    assert png(panels).startswith(b"\x89PNG")


def test_letters_come_from_a_second_font_where_one_has_them():
    """DejaVu Sans Mono has no Hebrew letters, DejaVu Sans has."""
    assert style(["שלום"], MONO)["fontfamily"] == [MONO, SANS]
    assert style(["salut"], MONO)["fontfamily"] == [MONO]
    assert missing_letters("שלום") == ""


@pytest.mark.usefixtures("with_chinese")
def test_an_installed_font_is_used():
    assert style(["你好"])["fontfamily"] == [SANS, "Noto Sans CJK"]
    assert missing_letters("你好") == ""
    assert drawable("你好") == "你好"


def test_without_a_font_there_are_code_points():
    missing = "\u0378\u0379"  # not assigned: no font has them
    assert missing_letters(f"a{missing}b{missing}") == missing
    assert drawable(f"{missing} is a{missing[0]}") == "U+0378·0379 is aU+0378"
    assert drawable("\u0378\u0379\u0380\u0381") == "U+0378·0379·0380·…"


def test_characters_without_a_shape_are_no_missing_letters():
    assert missing_letters("a\u2066b\u200d\ufe0f \t") == ""
