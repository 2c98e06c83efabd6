"""The phrases of the toy translation, with their French and their gold links, and the structures of a clause.

A phrase is a subject, a verb group (with negation and object pronoun) or an object. Its French depends only on the
phrase itself, its grammatical number and its negation. A sentence is therefore a sequence of phrases, and all phrases
can be listed in advance.
"""

from functools import cache
from itertools import product
from typing import NamedTuple

from attnbench.tasks.lexicon import (
    ADJECTIVES,
    INTRANSITIVE,
    NOUNS,
    OBJECT_PRONOUNS,
    PHRASAL,
    SUBJECT_PRONOUNS,
    TRANSITIVE,
    Adjective,
    Noun,
    Verb,
)

NUMBERS = ("singular", "plural")
ELIDING = tuple("aâàeéèêiîïoôuûyœh")  # every h of the lexicon is mute


class Phrase(NamedTuple):
    """A phrase and its translation.

    Attributes:
        source: the English words.
        target: the French words.
        links: for each French word, the positions of the English words that it renders.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    links: tuple[tuple[int, ...], ...]


class Structure(NamedTuple):
    """The structure of a clause.

    Attributes:
        kinds: the kinds of its phrases, in order; the order is the same in both languages.
        length: the number of English words.
    """

    kinds: tuple[str, ...]
    length: int


# The kind of the empty phrase, which fills the place of a missing object so that every clause has the same number of
# phrases.
NOTHING = "nothing"
AND = "and"


@cache
def phrases() -> dict[str, list[Phrase]]:
    """Returns all phrases by kind. All phrases of a kind have the same number of English words."""
    kinds = {NOTHING: [Phrase((), (), ())], AND: [Phrase(("and",), ("et",), ((0,),))]}
    for number in NUMBERS:
        pronouns = SUBJECT_PRONOUNS[number]
        kinds[f"{number} pronoun"] = [Phrase((english,), (french,), ((0,),)) for english, french in pronouns]
        for shape in ("noun", "adjective"):
            kinds[f"{number} {shape}"] = _noun_phrases(number, shape, negated=False)
        for negated in (False, True):
            verb = f"{number} {'negated' if negated else 'plain'}"
            kinds[f"{verb} intransitive"] = [_verb_group(v, number, negated) for v in INTRANSITIVE]
            for name, verbs in (("transitive", TRANSITIVE), ("phrasal", PHRASAL)):
                kinds[f"{verb} {name}"] = [_verb_group(v, number, negated) for v in verbs]
                pairs = product(verbs, OBJECT_PRONOUNS)
                kinds[f"{verb} {name} with pronoun"] = [_verb_group(v, number, negated, p) for v, p in pairs]
    for shape, (name, negated) in product(("noun", "adjective"), (("plain", False), ("negated", True))):
        # An object may have either number, whatever the number of the subject.
        objects = (_noun_phrases(number, shape, negated) for number in NUMBERS)
        kinds[f"{name} object {shape}"] = [phrase for found in objects for phrase in found]
    return kinds


@cache
def structures() -> list[tuple[Structure, Structure]]:
    """Returns all structures of a clause, each with a singular and a plural subject; both have the same length."""
    shapes = list(product(("pronoun", "noun", "adjective"), ("plain", "negated")))
    rows = [(s, f"{n} intransitive", NOTHING) for s, n in shapes]
    for verb in ("transitive", "phrasal"):
        rows += [(s, f"{n} {verb} with pronoun", NOTHING) for s, n in shapes]
        rows += [(s, f"{n} {verb}", f"{n} object {o}") for s, n in shapes for o in ("noun", "adjective")]
    singular, plural = ([_structure((f"{n} {s}", f"{n} {v}", o)) for s, v, o in rows] for n in NUMBERS)
    return list(zip(singular, plural, strict=True))


def _structure(kinds: tuple[str, ...]) -> Structure:
    # All phrases of a kind have the same length, so the first one is representative.
    return Structure(kinds, sum(len(phrases()[kind][0].source) for kind in kinds))


def _noun_phrases(number: str, shape: str, negated: bool) -> list[Phrase]:
    """Returns all noun phrases of a number; `shape` is "noun" (without adjective) or "adjective" (with one)."""
    adjectives: tuple[Adjective | None, ...] = (None,) if shape == "noun" else ADJECTIVES
    determiners = ("the", "a" if number == "singular" else "some")
    return [_noun_phrase(*chosen, number, negated) for chosen in product(determiners, adjectives, NOUNS)]


def _noun_phrase(determiner: str, adjective: Adjective | None, noun: Noun, number: str, negated: bool) -> Phrase:
    """Translates "determiner (adjective) noun" to "article noun (adjective)"."""
    english, french = (
        (noun.singular, noun.french_singular) if number == "singular" else (noun.plural, noun.french_plural)
    )
    # The article elides before the noun: the adjectives of the lexicon all follow it.
    article = _article(determiner, noun.gender, number, french, negated)
    # A French noun of several words ("pomme de terre"): each of its words is linked to the English noun.
    nouns = french.split()
    if adjective is None:
        with_article = (_english_article(determiner, english), english)
        return Phrase(with_article, (article, *nouns), ((0,), *[(1,)] * len(nouns)))
    forms = {"singular": adjective[1:3], "plural": adjective[3:5]}[number]
    agreed = forms["mf".index(noun.gender)]
    words = (_english_article(determiner, adjective.english), adjective.english, english)
    return Phrase(words, (article, *nouns, agreed), ((0,), *[(2,)] * len(nouns), (1,)))


def _english_article(determiner: str, following: str) -> str:
    """Returns "an" instead of "a" before a vowel, else the determiner."""
    return "an" if determiner == "a" and following.startswith(tuple("aeiou")) else determiner


def _article(determiner: str, gender: str, number: str, following: str, negated: bool) -> str:
    """Returns the French article; in the object of a negated clause the indefinite article is "de"."""
    if determiner == "the":
        return "les" if number == "plural" else _elide({"m": "le", "f": "la"}[gender], following)
    if negated:
        return _elide("de", following)
    return "des" if number == "plural" else {"m": "un", "f": "une"}[gender]


def _verb_group(verb: Verb, number: str, negated: bool, pronoun: tuple[str, str] | None = None) -> Phrase:
    """Translates "(does not) verb (particle) (him)" to "(ne) (le) verb (pas)".

    "ne" and "pas" are each linked to the auxiliary and to "not".
    """
    singular = number == "singular"
    before = (("does" if singular else "do"), "not") if negated else ()
    # After the auxiliary English uses the base form, which is the same as the plural.
    main = (verb.plural if negated or not singular else verb.singular).split()
    after = () if pronoun is None else pronoun[:1]
    verb_at = tuple(range(len(before), len(before) + len(main)))
    french = verb.french_singular if singular else verb.french_plural
    group: list[tuple[str, tuple[int, ...]]] = [(french, verb_at)]
    if pronoun is not None:
        group.insert(0, (_elide(pronoun[1], french), (verb_at[-1] + 1,)))
    if negated:
        group = [(_elide("ne", group[0][0]), (0, 1)), *group, ("pas", (0, 1))]
    target, links = zip(*group, strict=True)
    return Phrase((*before, *main, *after), target, links)


def _elide(word: str, following: str) -> str:
    """Elides le, la, ne and de before a vowel or a mute h; the elided word remains a separate token."""
    return f"{word[0]}'" if word in ("le", "la", "ne", "de") and following.startswith(ELIDING) else word
