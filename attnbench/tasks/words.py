"""Checks that words can be stored with saved alignments."""

from collections.abc import Sequence


def unusable_word(words: Sequence[str]) -> str | None:
    """Returns the position (from 1) of the first word that cannot be used, with the reason; None if there is none.

    A word must be a non-empty string without NUL: saved alignments store words in NumPy arrays, which pad with NUL, and
    an empty word or a NUL at the end of a word would be taken for padding.
    """
    for n, word in enumerate(words, 1):
        if not isinstance(word, str):
            return f"word {n} is not a string: {word!r}"
        if not word:
            return f"word {n} is empty"
        if "\0" in word:
            return f"word {n} contains a NUL character: {word!r}"
    return None
