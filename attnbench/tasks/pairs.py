"""Sentence pairs from a file as a task: one `source<TAB>target` per line, tokens separated by spaces."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import numpy as np

from attnbench.errors import Problem, fail
from attnbench.tasks.base import PAD, SPECIAL, Examples
from attnbench.tasks.files import raise_first, read_lines, start_of
from attnbench.tasks.listed import Listed
from attnbench.tasks.split import Split, split_of_words
from attnbench.tasks.words import unusable_word

UNKNOWN = "<unk>"
UNKNOWN_ID = len(SPECIAL)

FORMAT = "each line is source<TAB>target, the tokens separated by spaces"


@dataclass(frozen=True)
class Pair:
    """A source sentence and its translation."""

    source: tuple[str, ...]
    target: tuple[str, ...]


def read_pairs(path: str | Path) -> list[Pair]:
    """Reads the pairs of a UTF-8 file.

    Raises:
        AttnbenchError: if the file cannot be read, is empty, or has lines that are not pairs (one problem per line).
    """
    lines = read_lines(path)
    if not lines:
        raise fail("there are no sentence pairs in this file", str(path), FORMAT)
    read = [_read_line(line, f"{path}:{n}") for n, line in enumerate(lines, 1)]
    raise_first([item for item in read if isinstance(item, Problem)], path, "lines that are not pairs")
    return [item for item in read if isinstance(item, Pair)]


def _read_line(line: bytes, where: str) -> Pair | Problem:
    """Returns the pair in a line, or the reason why the line is not a pair; `where` is its file and line number."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return Problem(f"this line is not UTF-8: {start_of(line)}", where, "save the file as UTF-8")
    if not text.strip():
        return Problem("this line is empty", where, FORMAT)
    columns = text.split("\t")
    if len(columns) != 2:
        return Problem(f"expected 2 columns, found {len(columns)}: {text!r}", where, FORMAT)
    # Only spaces separate tokens: split() without an argument would also split at a no-break space within a token.
    source, target = (tuple(word for word in column.split(" ") if word) for column in columns)
    if not source or not target:
        return Problem(f"the {'target' if source else 'source'} is empty: {text!r}", where, FORMAT)
    for name, words in (("source", source), ("target", target)):
        problem = unusable_word(words)
        if problem:
            return Problem(f"{name} {problem}", where, "remove the character")
    reserved = sorted({*source, *target} & set(SPECIAL))
    if reserved:
        return Problem(f"the word {reserved[0]!r} is reserved: {text!r}", where, "rename it")
    return Pair(source, target)


class Pairs(Listed):
    """Sentence pairs from files, without gold links.

    Without a validation or test file, the hash of the source assigns 5 % of the lines of `path` to that part. Training
    lines with a source that is also in the validation or test part are dropped, and so are validation lines with a
    source that is also in the test part.

    The vocabulary is that of the training lines. In sources, other words become `<unk>`. In validation and test targets
    they get ids that no model can output, so they always count as errors: a model that outputs `<unk>` has not produced
    the word. The same holds for a `<unk>` that the file itself has in a validation or test target.

    Args:
        path: the file with the training pairs.
        validation_path: the file with the validation pairs; None to take them from `path`.
        test_path: the file with the test pairs; None to take them from `path`.

    Attributes:
        unknown_words: the words of validation and test targets that are not in the vocabulary; the id of
            `unknown_words[n]` is −1 − n. The model reads them as `<unk>` under teacher forcing.

    Raises:
        AttnbenchError: if a file cannot be read, or no training line is left.
    """

    bleu = True  # its targets are text

    def __init__(self, path: str, validation_path: str | None = None, test_path: str | None = None) -> None:
        self._paths = {Split.TRAINING: path, Split.VALIDATION: validation_path, Split.TEST: test_path}
        pairs = read_pairs(path)
        sides = {Split.TEST: self._held_out_pairs(Split.TEST, pairs)}
        tested = {pair.source for pair in sides[Split.TEST]}
        # The best weights are selected on the validation set, so it must not contain test sources either.
        validated = self._held_out_pairs(Split.VALIDATION, pairs)
        sides[Split.VALIDATION] = [pair for pair in validated if pair.source not in tested]
        held_sources = {pair.source for side in sides.values() for pair in side}
        training = [pair for pair in pairs if pair.source not in held_sources]
        if not training:
            raise fail(
                "no training pairs are left: every source is also a validation or test source",
                str(path),
                "add pairs, or use different pairs in data.validation_path and data.test_path",
            )
        self.source_words = _words(pair.source for pair in training)
        self.target_words = _words(pair.target for pair in training)
        known = set(self.target_words) - {UNKNOWN}
        held_words = {word for side in sides.values() for pair in side for word in pair.target}
        self.unknown_words = sorted(held_words - known)
        held_from_path = [sides[split] for split in sides if not self._paths[split]]
        self._facts = {
            "training_lines": len(training),
            # Lines that are validation or test pairs themselves are not dropped.
            "dropped_training_lines": len(pairs) - len(training) - sum(map(len, held_from_path)),
            "dropped_validation_lines": len(validated) - len(sides[Split.VALIDATION]),
            "test_lines": len(sides[Split.TEST]),
            **_unknown_shares(sides, set(self.source_words) - {UNKNOWN}, known),
            **_composed_shares(sides, set(self.source_words) - {UNKNOWN}, known),
        }
        source_ids = {word: n for n, word in enumerate(self.source_words)}
        target_ids = {word: n for n, word in enumerate(self.target_words)}
        held_ids = target_ids | {word: -1 - n for n, word in enumerate(self.unknown_words)}
        examples = {split: _by_length(side, source_ids, held_ids) for split, side in sides.items()}
        super().__init__(examples | {Split.TRAINING: _by_length(training, source_ids, target_ids)})

    def facts(self) -> dict[str, float | int]:
        """Returns facts about the files that affect the results, over all lines of each part.

        Returns:
            - `training_lines`: the number of lines that are trained on.
            - `dropped_training_lines`: the number of lines of `path` that are not used, because their source is also in
              the validation or test part.
            - `dropped_validation_lines`: the number of validation lines that are not used, because their source is also
              in the test part.
            - `test_lines`: the number of lines of the test part, in the trained range or not.
            - `unknown_source_words_validation`, `unknown_target_words_validation`, `unknown_source_words_test`,
              `unknown_target_words_test`: the share of the words, in 0..1, that are not in the vocabulary.
            - `differently_composed_words_validation`, `differently_composed_words_test`: the share of the source and
              target words, in 0..1, that are not in the vocabulary, but are equal to one of its words in Unicode's NFC.
        """
        return dict(self._facts)

    def _held_out_pairs(self, split: Split, pairs: list[Pair]) -> list[Pair]:
        """Returns the pairs of the validation or test file or, without one, those of `pairs` selected by the hash."""
        own = self._paths[split]
        return read_pairs(own) if own else [pair for pair in pairs if split_of_words(pair.source) == split]

    def origin(self, split: Split) -> str:
        """Returns the file that the lines of this part come from."""
        return str(self._paths[split] or self._paths[Split.TRAINING])

    def lack(self, split: Split, lengths: str) -> Problem:
        """Returns the problem that this part has no source of these lengths, and what to do about it."""
        if split == Split.TRAINING:
            found = [*self._examples[Split.TRAINING]]
            what = f"no training source has {lengths} words; the lengths found are {found[0]} to {found[-1]}"
            return Problem(what, self.origin(split), "add training pairs of these lengths")
        side = split.name.lower()
        what = f"{self.origin(split)} has no {side} source of {lengths} words"
        # No advice to change the lengths: they are those of the files, and data.path refuses others.
        field, share = f"data.{side}_path", f"about {split.share:.0%} of the lines are for {side}"
        return Problem(what, field, "add pairs to it" if self._paths[split] else f"add pairs ({share}), or set {field}")


def _by_length(pairs: list[Pair], source_ids: dict[str, int], target_ids: dict[str, int]) -> dict[int, Examples]:
    """Returns the pairs as ids, by source length in ascending order."""
    groups: dict[int, list[Pair]] = {}
    for pair in sorted(pairs, key=lambda pair: len(pair.source)):
        groups.setdefault(len(pair.source), []).append(pair)
    return {
        length: Examples(
            _ids([pair.source for pair in group], source_ids),
            _ids([pair.target for pair in group], target_ids),
            None,
        )
        for length, group in groups.items()
    }


def _unknown_shares(
    sides: dict[Split, list[Pair]], source_words: set[str], target_words: set[str]
) -> dict[str, float | int]:
    """Returns the share of unknown source and target words in each part, by name as in `Pairs.facts`."""
    shares: dict[str, float | int] = {}
    for split in (Split.VALIDATION, Split.TEST):
        for name, known in (("source", source_words), ("target", target_words)):
            words = [word for pair in sides[split] for word in getattr(pair, name)]
            unknown = sum(word not in known for word in words)
            shares[f"unknown_{name}_words_{split.name.lower()}"] = unknown / len(words) if words else 0.0
    return shares


def _composed_shares(
    sides: dict[Split, list[Pair]], source_words: set[str], target_words: set[str]
) -> dict[str, float | int]:
    """Returns the share of words that are unknown only in their Unicode form, by name as in `Pairs.facts`."""
    composed = {
        name: {normalize("NFC", word) for word in known}
        for name, known in (("source", source_words), ("target", target_words))
    }
    shares: dict[str, float | int] = {}
    for split in (Split.VALIDATION, Split.TEST):
        total = same = 0
        for name, known in (("source", source_words), ("target", target_words)):
            counts = Counter(word for pair in sides[split] for word in getattr(pair, name))
            total += counts.total()
            unknown = [word for word in counts if word not in known]
            same += sum(counts[word] for word in unknown if normalize("NFC", word) in composed[name])
        shares[f"differently_composed_words_{split.name.lower()}"] = same / total if total else 0.0
    return shares


def _words(sentences: Iterable[Sequence[str]]) -> list[str]:
    """Returns the vocabulary: the special words, <unk>, and the words of the sentences in alphabetical order."""
    # <unk> may occur in the file itself; it must not get a second id.
    return [*SPECIAL, UNKNOWN, *sorted({word for sentence in sentences for word in sentence} - {UNKNOWN})]


def _ids(sentences: list[tuple[str, ...]], ids: dict[str, int]) -> np.ndarray:
    """Returns the ids (N,T) of the words of the sentences, padded with PAD; words without an id get UNKNOWN_ID."""
    table = np.full((len(sentences), max(map(len, sentences))), PAD)
    for row, sentence in zip(table, sentences, strict=True):
        row[: len(sentence)] = [ids.get(word, UNKNOWN_ID) for word in sentence]
    return table
