"""The toy translation: its French is derived once more, from source and links, by rules written down here."""

from itertools import pairwise

import numpy as np
import pytest

from attnbench.tasks import lexicon
from attnbench.tasks.base import PAD, SPECIAL
from attnbench.tasks.split import fingerprints
from attnbench.tasks.translate import Translate

TASK = Translate()

# English form → (French, gender, number); French agreement and elision are spelled out in `derive`.
NOUNS = {n.singular: (n.french_singular, n.gender, "s") for n in lexicon.NOUNS}
NOUNS |= {n.plural: (n.french_plural, n.gender, "p") for n in lexicon.NOUNS}
ADJECTIVES = {a.english: dict(zip(("ms", "fs", "mp", "fp"), a[1:], strict=True)) for a in lexicon.ADJECTIVES}
VERBS = lexicon.TRANSITIVE + lexicon.PHRASAL + lexicon.INTRANSITIVE
SINGULAR = {v.singular: v.french_singular for v in VERBS}
BASE = {v.plural: (v.french_singular, v.french_plural) for v in VERBS}
VERB_WORDS = {form.split()[0] for verb in VERBS for form in verb[:2]}
BASE_WORDS = {verb.plural.split()[0] for verb in VERBS}
FIXED = {"he": "il", "she": "elle", "they": "ils", "and": "et"}
OBJECTS = {"him": "le", "her": "la", "them": "les"}
VOWELS = set("aeiouhéêîœà")


def sentences(length, count, seed=0):
    """(source words, target words, links as tuples) of random examples."""
    examples = TASK.generate(np.random.default_rng(seed), length, count)
    for source, target, links in zip(examples.source, examples.target, examples.links, strict=True):
        size = np.count_nonzero(target)
        assert not links[size:].any()
        words = [TASK.target_words[n] for n in target[:size]]
        yield [TASK.source_words[n] for n in source], words, [tuple(np.flatnonzero(row)) for row in links[:size]]


def derive(source, target, links, t):
    """What target word t must be, from its linked source words and the words beside it."""
    linked = [source[s] for s in links[t]]
    following = target[t + 1] if t + 1 < len(target) else ""
    elided = following[:1] in VOWELS
    if linked in (["does", "not"], ["do", "not"]):
        if links.index(links[t]) < t:
            return "pas"
        return "n'" if elided else "ne"
    word = " ".join(linked)
    if word in NOUNS:
        return NOUNS[word][0].split()[t - links.index(links[t])]
    if word in ADJECTIVES:
        _, gender, number = NOUNS[source[links[t - 1][0]]]
        return ADJECTIVES[word][gender + number]
    if word in ("the", "a", "an", "some"):
        return article(word, NOUNS[source[links[t + 1][0]]], elided, after_negation=t > 0 and target[t - 1] == "pas")
    if word in OBJECTS:
        return "l'" if elided and word != "them" else OBJECTS[word]
    if word in BASE:
        return BASE[word][source[max(links[t][0] - 2, 0) : links[t][0]] != ["does", "not"]]
    return SINGULAR.get(word) or FIXED[word]


def article(word, noun, elided, after_negation):
    _, gender, number = noun
    assert (number == "p") == (word == "some") or word == "the"
    if word == "the" and number == "p":
        return "les"
    if word == "the":
        return "l'" if elided else {"m": "le", "f": "la"}[gender]
    if after_negation:
        return "d'" if elided else "de"
    return "des" if word == "some" else {"m": "un", "f": "une"}[gender]


def test_every_target_is_derived_again_from_its_source_and_links():
    for length in range(2, 22):
        for source, target, links in sentences(length, 500):
            assert [derive(source, target, links, t) for t in range(len(target))] == target
            assert {s for linked in links for s in linked} == set(range(length))


def test_word_order():
    moved = 0
    for source, target, links in sentences(8, 2000):
        order = [linked for linked in links if source[linked[0]] not in ("does", "do")]
        for before, after in pairwise(order):
            if before > after:
                moved += 1
                swapped = source[before[0]], source[after[0]]
                assert before[0] == after[-1] + 1
                assert swapped[0] in OBJECTS or (swapped[0] in NOUNS and swapped[1] in ADJECTIVES)
        for t, word in enumerate(target):
            if word in ("ne", "n'"):
                rest = target[t + 1 : t + 4]
                assert rest.index("pas") == (2 if rest[0] in ("le", "la", "les", "l'") else 1)
    assert moved > 500


def test_english_is_grammatical():
    for length in (5, 8, 10):
        for source, _, _ in sentences(length, 1000):
            for clause in " ".join(source).split(" and "):
                words = clause.split()
                verb = next(n for n, word in enumerate(words) if word in VERB_WORDS)
                subject = [word for word in words[:verb] if word not in ("does", "do", "not")]
                plural = subject[-1] == "they" or NOUNS.get(subject[-1], (0, 0, "s"))[2] == "p"
                negated = words[verb - 2 : verb] == [["does", "not"], ["do", "not"]][plural]
                assert negated == ("not" in words)
                assert (words[verb] in BASE_WORDS) == (plural or negated)
                assert all(
                    (word == "an") == (following[0] in "aeiou")
                    for word, following in pairwise(words)
                    if word in ("a", "an")
                )


@pytest.mark.parametrize(
    ("english", "french", "links"),
    [
        ("he sleeps", "il dort", "0 1"),
        ("they arrive", "ils arrivent", "0 1"),
        ("she likes him", "elle l' aime", "0 2 1"),
        ("they follow them", "ils les suivent", "0 2 1"),
        ("the birds sing", "les oiseaux chantent", "0 1 2"),
        ("an actor laughs", "un acteur rit", "0 1 2"),
        ("he does not sleep", "il ne dort pas", "0 1,2 3 1,2"),
        ("she does not arrive", "elle n' arrive pas", "0 1,2 3 1,2"),
        ("the active queen runs", "la reine active court", "0 2 1 3"),
        ("he sees a house", "il voit une maison", "0 1 2 3"),
        ("he does not see her", "il ne la voit pas", "0 1,2 4 3 1,2"),
        ("they do not like her", "ils ne l' aiment pas", "0 1,2 4 3 1,2"),
        ("she looks at them", "elle les regarde", "0 3 1,2"),
        ("he waits for him", "il l' attend", "0 3 1,2"),
        ("a potato sings", "une pomme de terre chante", "0 1 1 1 2"),
        ("he sleeps and she sings", "il dort et elle chante", "0 1 2 3 4"),
    ],
)
def test_sentences_that_a_reader_would_write(english, french, links):
    words = english.split()
    wanted = next(s for s in sentences(len(words), 100_000) if s[0] == words)
    assert " ".join(wanted[1]) == french
    assert " ".join(",".join(map(str, linked)) for linked in wanted[2]) == links


def test_no_english_form_has_two_meanings():
    forms = [form for noun in lexicon.NOUNS for form in noun[:2]]
    forms += [adjective.english for adjective in lexicon.ADJECTIVES]
    forms += [form for verb in VERBS for form in verb[:2]]
    forms += [*FIXED, *OBJECTS, "the", "a", "an", "some", "does", "do", "not"]
    assert len(set(forms)) == len(forms)
    assert set(TASK.source_words) == {*" ".join(forms).split(), *SPECIAL}
    assert TASK.source_words[:3] == TASK.target_words[:3] == list(SPECIAL)


def test_more_than_a_million_sentences_within_lengths_3_to_10():
    random = np.random.default_rng(0)
    found = [
        np.unique(np.concatenate([fingerprints(TASK.generate(random, length, 60_000).source) for _ in range(9)]))
        for length in (9, 10)
    ]
    assert sum(map(len, found)) > 1_000_000


def test_every_length_from_2_to_60_has_sentences():
    random = np.random.default_rng(0)
    for length in range(2, 61):
        source = TASK.generate(random, length, 20).source
        assert source.shape == (20, length)
        assert (source != PAD).all()
    assert TASK.check(1) == "translate has no sentence of length 1; the shortest has 2 words"
    assert TASK.check(2) is None


def test_structures_are_as_likely_within_a_length():
    # "the red dog sleeps", "the dog sees him", "he sees a dog", "he does not sleep", "he looks at him".
    kinds = [tuple(_kind(word) for word in source) for source, _, _ in sentences(4, 20_000)]
    counts = {kind: kinds.count(kind) for kind in set(kinds)}
    assert len(counts) == 5
    assert counts == pytest.approx(dict.fromkeys(counts, 20_000 / 5), rel=0.1)


def _kind(word):
    tables = {"noun": NOUNS, "adjective": ADJECTIVES, "object": OBJECTS, "pronoun": FIXED}
    tables["particle"] = ("at", "for", "to")
    known = [kind for kind, table in tables.items() if word in table]
    if word in VERB_WORDS:
        return "verb"
    return known[0] if known else "not" if word in ("does", "do", "not") else "article"


def test_generation_is_deterministic():
    first, again = (TASK.generate(np.random.default_rng(5), 9, 100) for _ in range(2))
    assert np.array_equal(first.source, again.source)
    assert np.array_equal(first.target, again.target)
    assert np.array_equal(first.links, again.links)
