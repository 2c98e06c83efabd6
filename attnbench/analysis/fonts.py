"""Which installed fonts have the letters of a text, and what is drawn in place of letters that none has."""

import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

MONO, SANS = "DejaVu Sans Mono", "DejaVu Sans"  # part of matplotlib
MOST_CODES = 3  # of a word; a word of twenty Chinese characters would take half of a picture


def style(texts: Iterable[str], first: str = SANS) -> dict[str, Any]:
    """matplotlib's properties of texts that may have any letters: the fonts, and no mathematics between two "$"."""
    return {"fontfamily": [first, *_more_families("".join(texts), first)], "parse_math": False, "usetex": False}


def drawable(text: str) -> str:
    """The text with code points in the words with letters that no installed font has: U+4F60·597D for two letters.

    Characters without a shape of their own, such as joiners, are left out where no font has them.
    """
    missing = set(missing_letters(text))
    return " ".join(_with_codes(word, missing) for word in text.split(" "))


def _with_codes(word: str, missing: set[str]) -> str:
    shown = "".join(letter for letter in word if letter in missing or _family(letter))
    codes = [f"{ord(letter):04X}" for letter in shown if letter in missing]
    if not codes:
        return shown
    more = ["…"] if len(codes) > MOST_CODES else []
    rest = "".join(letter for letter in shown if letter not in missing)
    return f"{rest}U+{'·'.join([*codes[:MOST_CODES], *more])}"


def missing_letters(text: str) -> str:
    """The different letters of a text that no installed font has, in their order."""
    return "".join(letter for letter in dict.fromkeys(text) if not _shapeless(letter) and _family(letter) is None)


def _more_families(text: str, first: str) -> list[str]:
    """The fonts for the letters that the first one lacks."""
    lacking = sorted({letter for letter in text if not _has(first, letter)})
    return list(dict.fromkeys(family for letter in lacking if (family := _family(letter)) is not None))


def _shapeless(letter: str) -> bool:
    """Whether a character has no shape of its own: a control character, a joiner, a variation selector."""
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zs") or "\ufe00" <= letter <= "\ufe0f"


@lru_cache(maxsize=100_000)
def _family(letter: str) -> str | None:
    """The first font that has the letter: those of matplotlib, then the others by name."""
    return next((family for family in _families() if _has(family, letter)), None)


@cache
def _families() -> dict[str, str]:
    """The file of the upright, regular font of each installed family."""
    from matplotlib.font_manager import fontManager

    regular = [
        font
        for font in fontManager.ttflist
        # A "last resort" font has a box for every character, with its block's name.
        if font.style == "normal" and font.weight in (400, "normal") and "last" not in font.name.lower()
    ]
    by_name = {font.name: font.fname for font in sorted(regular, key=lambda font: font.name)}
    return {name: by_name[name] for name in (MONO, SANS)} | by_name


def _has(family: str, letter: str) -> bool:
    return ord(letter) in _letters(_families()[family])


@cache
def _letters(file: str) -> frozenset[int]:
    """The code points that a font file has; none if it cannot be read."""
    from matplotlib.font_manager import get_font

    try:
        return frozenset(get_font(file).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
