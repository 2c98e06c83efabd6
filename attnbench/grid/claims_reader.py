"""Reads the claims of a grid file: which keys there are, and what they hold."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from attnbench.errors import did_you_mean
from attnbench.grid.claim_fields import WrongField, limit_key, read_limit, read_metric, read_share
from attnbench.grid.claims import AT_LEAST, AT_MOST, BETTER, DEFAULT_METRIC, EQUIVALENT, KINDS, VARIES_MORE, Claim, Part
from attnbench.grid.document import Document, KeyPath
from attnbench.messages import show

T = TypeVar("T")

CLAIM_KEYS = ("says", "source", "parts")
# The keys of each kind of part after the first one: what it needs, and what it may have.
NEEDED = {BETTER: ("than",), EQUIVALENT: ("to", "within"), AT_LEAST: ("of",), AT_MOST: ("of",), VARIES_MORE: ("than",)}
OPTIONAL = {
    BETTER: ("where", "by", "more_than_in", "metric"),
    EQUIVALENT: ("where", "metric"),
    AT_LEAST: ("where", "in_share", "metric"),
    AT_MOST: ("where", "in_share", "metric"),
    VARIES_MORE: ("where", "metric"),
}
SETTINGS = {BETTER, EQUIVALENT, VARIES_MORE, "than", "to", "of", "where", "more_than_in"}  # keys with axes and values
EXAMPLES = {
    BETTER: "{better: {score: additive}, than: {score: dot}, by: 0.05}",
    EQUIVALENT: "{equivalent: {score: additive}, to: {score: general}, within: 0.03}",
    AT_LEAST: "{at_least: 0.95, of: {score: additive}}",
    AT_MOST: "{at_most: 0.1, of: {score: dot}}",
    VARIES_MORE: "{varies_more: {score: dot}, than: {score: additive}}",
}
EXAMPLE = f"claims: [{{says: additive is better than dot, parts: [{EXAMPLES[BETTER]}]}}]"


def read_claims(
    document: Document, written: list[Any], test_lengths: Iterable[int] | None, hint: Callable[[Any], str]
) -> tuple[Claim, ...]:
    """Returns the claims as far as they can be read; their problems are recorded in the document.

    Args:
        document: the grid file.
        written: the list under `claims`.
        test_lengths: every length in data.test_lengths; None where they are not known, and are not checked.
        hint: what to write in place of a value without its axis.
    """
    reader = _Reader(document, None if test_lengths is None else sorted(test_lengths), hint)
    found = [reader.claim(claim, ("claims", index)) for index, claim in enumerate(written)]
    return tuple(claim for claim in found if claim is not None)


class _Reader:
    def __init__(self, document: Document, test_lengths: list[int] | None, hint: Callable[[Any], str]) -> None:
        self.document, self.test_lengths, self.hint = document, test_lengths, hint

    def claim(self, written: Any, place: KeyPath) -> Claim | None:
        """The claim that is written at this place; None if it cannot be read."""
        if not isinstance(written, dict):
            self._note(place, f"a claim should be a mapping, found {show(written)}", EXAMPLE)
            return None
        self._only(written, CLAIM_KEYS, place, "a claim")
        texts = {key: self._text(written[key], (*place, key)) for key in ("says", "source") if key in written}
        if "says" not in written:
            self._note(place, "a claim needs says: the sentence that is verified", EXAMPLE)
        parts = written.get("parts")
        if not isinstance(parts, list) or not parts:
            found = f"found {show(parts)}" if "parts" in written else "which this claim lacks"
            self._note((*place, "parts"), f"parts should be a list of one or more parts, {found}", EXAMPLE)
            return None
        read = [self.part(part, (*place, "parts", index)) for index, part in enumerate(parts)]
        return Claim(texts.get("says", ""), texts.get("source", ""), tuple(part for part in read if part is not None))

    def part(self, written: Any, place: KeyPath) -> Part | None:
        """The part of a claim that is written at this place; None if it cannot be read."""
        kind = self._kind(written, place)
        if kind is None:
            return None
        known = [kind, *NEEDED[kind], *OPTIONAL[kind]]
        self._only(written, known, place, f"a part with {kind}")
        for key in NEEDED[kind]:
            if key not in written:
                self._note((*place, kind), f"a part with {kind} needs {key}", f"e.g. {EXAMPLES[kind]}", key=True)
        settings = {
            key: self._setting(written[key], (*place, key)) for key in known if key in SETTINGS and key in written
        }
        given = written.get("metric", DEFAULT_METRIC)
        # A part is also read on where one of its fields has a problem, so that its axes are checked at the same time.
        metric = self._field((*place, "metric"), lambda: read_metric(given, kind, self.test_lengths))
        of_limit = metric or DEFAULT_METRIC
        limit = self._field((*place, limit_key(kind)), lambda: read_limit(written, kind, of_limit))
        share = None
        if "in_share" in written:
            share = self._field((*place, "in_share"), lambda: read_share(written["in_share"]))
        first = settings.get("of" if kind in (AT_LEAST, AT_MOST) else kind, {})
        second = settings.get("to" if kind == EQUIVALENT else "than")
        where, more = settings.get("where", {}), settings.get("more_than_in")
        return Part(kind, first, second, where, more, of_limit, limit or 0.0, share, place)

    def _kind(self, written: Any, place: KeyPath) -> str | None:
        """Reads which rule a part has."""
        if not isinstance(written, dict):
            self._note(place, f"a part should be a mapping, found {show(written)}", f"e.g. {EXAMPLES[BETTER]}")
            return None
        kinds = [kind for kind in KINDS if kind in written]
        if len(kinds) == 1:
            return kinds[0]
        if kinds:
            self._note((*place, kinds[1]), f"a part has one rule, found {' and '.join(kinds)}", "write two parts", True)
            return None
        unknown = [key for key in written if key not in {*SETTINGS, "by", "within", "metric", "in_share"}]
        if unknown:
            self._note((*place, unknown[0]), f"unknown rule {unknown[0]!r}", did_you_mean(unknown[0], KINDS), key=True)
        else:
            hint = f"one of {', '.join(KINDS)}, e.g. {EXAMPLES[BETTER]}"
            self._note(place, f"a part needs a rule, found {', '.join(written) or 'nothing'}", hint)
        return None

    def _only(self, written: dict[str, Any], known: Iterable[str], place: KeyPath, what: str) -> None:
        for key in written:
            if key not in known:
                self._note((*place, key), f"unknown key {key!r} in {what}", did_you_mean(key, known), key=True)

    def _text(self, written: Any, place: KeyPath) -> str:
        if isinstance(written, str) and written.strip():
            return " ".join(written.split())
        self._note(place, f"{place[-1]} should be a text, found {show(written)}")
        return ""

    def _setting(self, written: Any, place: KeyPath) -> dict[str, Any]:
        """Reads axes with one value each."""
        if isinstance(written, dict) and written:
            return written
        if isinstance(written, dict):
            self._note(place, f"{place[-1]} names no axis", "remove it" if place[-1] == "where" else "{axis: value}")
        else:
            what = f"{place[-1]} should be axes with a value each, found {show(written)}"
            self._note(place, what, self.hint(written))
        return {}

    def _field(self, place: KeyPath, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except WrongField as wrong:
            self._note(place, wrong.what, wrong.hint)
            return None

    def _note(self, place: KeyPath, what: str, hint: str = "", key: bool = False) -> None:
        self.document.problems.add(self.document.place(place, key), what, hint)
