"""The colours of the lines: each pair can be told apart, also by readers with any kind of colour blindness."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from attnbench.analysis.report import page
from attnbench.analysis.report.series import COLOURS

STYLE = (Path(page.__file__).parent / "page.css").read_text()
# What readers see, in linear RGB: Machado, Oliveira & Fernandes 2009, "A physiologically-based model for simulation of
# color vision deficiency", table 1, severity 1.
SIGHT = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def palettes():
    """(colour of the page, colours of the lines) of the light theme, the dark theme and print."""
    blocks = re.findall(r"--page: (#\w+).*?((?:--c\d: #\w{6};\s*){8})", STYLE, re.DOTALL)
    return [
        (rgb(ground), [rgb(colour) for colour in re.findall(r"--c\d: (#\w{6})", lines)]) for ground, lines in blocks
    ]


def rgb(text):
    digits = text[1:] if len(text) == 7 else "".join(2 * digit for digit in text[1:])
    return np.array([int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)])


def linear(colour):
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def lab(colour):
    """CIE L*a*b* of a linear colour, under D65."""
    x, y, z = TO_XYZ @ np.clip(colour, 0, 1) / np.array([0.95047, 1, 1.08883])
    fx, fy, fz = (np.cbrt(v) if v > 216 / 24389 else (24389 / 27 * v + 16) / 116 for v in (x, y, z))
    return np.array([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


def contrast(a, b):
    """The ratio of WCAG 2.2."""
    high, low = sorted((float(TO_XYZ[1] @ linear(colour)) for colour in (a, b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_there_are_three_palettes():
    assert [len(colours) for _, colours in palettes()] == [COLOURS] * 3


@pytest.mark.parametrize("sight", SIGHT)
def test_every_two_colours_differ(sight):
    """A difference of 2.3 is just noticeable side by side; 30 is seen across a chart."""
    for _, colours in palettes():
        seen = [lab(np.asarray(SIGHT[sight]) @ linear(colour)) for colour in colours]
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 30


def test_every_colour_can_be_seen_on_its_page():
    for ground, colours in palettes():
        assert min(contrast(ground, colour) for colour in colours) >= 3
