"""An alignment as a heat map for the terminal: decides the shade or digit of each weight, and how words are placed.

The scale is fixed to 0..1, so that heat maps can be compared. A weight of exactly 0 has neither a dot nor a digit.
"""

import unicodedata
from collections.abc import Sequence

import numpy as np
from rich.style import Style
from rich.text import Text

CELL = 3  # terminal columns per weight
LONGEST_WORD = 12

# Darker shades have a dot of this colour, which distinguishes a small weight from one of exactly 0.
DARK = 51
DOT = "rgb(128,128,128)"


def _shade(grey: int) -> Style:
    return Style(bgcolor=f"rgb({grey},{grey},{grey})")


GOLD = Style(color="dark_orange", bold=True)
_COLOUR_SCALE = Text.assemble(
    "weight 0 ",
    (" " * CELL, _shade(0)),
    " above 0 ",
    (" · ", _shade(0) + Style(color=DOT)),
    *((" " * CELL, _shade(grey)) for grey in range(DARK, 256, 51)),
    " 1",
)
_COLOUR_GOLD = Text.assemble(" · gold link ", ("◆", GOLD), ", ", ("◇", GOLD), " at weight 0")
_PLAIN_SCALE = Text("weight: blank 0, · below .1, 1 from .1, … 9 from .9")
_PLAIN_GOLD = Text(" · [ ] gold link")


def legend(colour: bool, links: bool) -> Text:
    """Explains a heat map; `links`: with the marks of gold links."""
    scale, gold = (_COLOUR_SCALE, _COLOUR_GOLD) if colour else (_PLAIN_SCALE, _PLAIN_GOLD)
    return Text.assemble(scale, *[gold] * links)


def heat_map(
    weights: np.ndarray,
    source: Sequence[str],
    target: Sequence[str],
    links: np.ndarray | None,
    colour: bool,
    width: int = 80,
) -> Text:
    """Draws the weights of one sentence, with target words at the left and source words above.

    Args:
        weights: (T,S), each in 0..1.
        source, target: the S and T words.
        links: (T,S), true for gold links; None where the task has none.
        colour: True for a grey background per weight (black is 0, white is 1), with a dot where a dark one is not 0,
            and an orange mark per gold link; False for digits, the tenths of the weight, in brackets for gold links.
        width: terminal columns; a source that is too long is drawn in several parts, one below the other.
    """
    names = [fitted(word) for word in target]
    margin = max(map(columns, names), default=0) + 1
    per_part = max(1, (width - margin) // CELL)
    parts = []
    for start in range(0, len(source), per_part):
        stop = min(start + per_part, len(source))
        lines = _heading([fitted(word) for word in source[start:stop]], margin)
        for step, name in enumerate(names):
            line = Text(name + " " * (margin - columns(name)))
            for position in range(start, stop):
                gold = links is not None and bool(links[step, position])
                line.append_text(weight_cell(float(weights[step, position]), gold, colour))
            lines.append(line)
        parts.append(Text("\n").join(lines))
    return Text("\n\n").join(parts)


def weight_cell(weight: float, gold: bool, colour: bool, possible: bool = False) -> Text:
    """The CELL columns of a weight; `possible`: of a link that is not gold, and not wrong either."""
    if not colour:
        tenths = min(9, int(weight * 10 + 1e-6))  # .7 in single precision is slightly below .7
        digit = str(tenths) if tenths else "·" if weight > 0 else " "
        return Text(f"[{digit}]" if gold else f"({digit})" if possible else f" {digit} ")
    grey = round(255 * min(1.0, max(0.0, weight)))
    if gold:
        return Text(" ◆ " if weight > 0 else " ◇ ", _shade(grey) + GOLD)
    if possible:
        return Text(" • " if weight > 0 else " ◦ ", _shade(grey) + GOLD)
    return Text(" · " if weight > 0 and grey < DARK else " " * CELL, _shade(grey) + Style(color=DOT))


def _heading(words: Sequence[str], margin: int) -> list[Text]:
    """The lines with the source words: one where all words fit above their columns, else one letter per line."""
    if all(columns(word) < CELL for word in words):
        return [Text(" " * margin + "".join(f" {word}" + " " * (CELL - 1 - columns(word)) for word in words))]
    height = max(map(len, words))
    letters = [word.rjust(height) for word in words]
    rows = [[word[level] for word in letters] for level in range(height)]
    return [Text(" " * margin + "".join(f" {c}" + " " * (CELL - 1 - columns(c)) for c in row).rstrip()) for row in rows]


def fitted(word: str, most: int = LONGEST_WORD) -> str:
    """A word of at most this number of letters; the rest of a longer one is cut off."""
    return word if len(word) <= most else word[: most - 1] + "…"


def columns(word: str) -> int:
    """The number of terminal columns of a word; Chinese, Japanese and Korean characters have two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in word)
