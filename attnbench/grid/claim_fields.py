"""Reads the single fields of a claim's part: its metric and its numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from attnbench.errors import did_you_mean
from attnbench.grid.claims import AT_LEAST, AT_MOST, BETTER, EQUIVALENT, VARIES_MORE
from attnbench.messages import show
from attnbench.metrics import METRICS, Metric, metric_of

# Metrics of the whole training or of a test set of its own, which no test length has.
WITHOUT_LENGTH = ("steps_to_95", "parameters", "seconds", "tokens_per_second", "exact_match_unseen")


class WrongField(Exception):
    """What is wrong with a field, and what to write instead."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


def read_metric(written: Any, kind: str, test_lengths: Sequence[int] | None) -> str:
    """Returns the metric of a part.

    Args:
        written: the name of a metric, or `<metric>@<length>`.
        kind: of the part.
        test_lengths: the lengths that exist; None where they are not known, and are not checked.

    Raises:
        WrongField: if there is no such metric, or it cannot decide a part of this kind.
    """
    if not isinstance(written, str):
        raise WrongField(f"metric should be the name of a metric, found {show(written)}")
    name, at, length = written.partition("@")
    if name not in METRICS:
        raise WrongField(f"unknown metric {written!r}", did_you_mean(name, METRICS))
    about = METRICS[name]
    if about.per_pack:
        what = f"{name} is measured once for all seeds that are trained together, which decides no claim"
        raise WrongField(what, "choose another metric")
    if kind == BETTER and not about.better:
        hint = "choose a metric that has one, or write at_least, at_most or equivalent"
        raise WrongField(f"{name} has no better direction", hint)
    if not at:
        return name
    if name in WITHOUT_LENGTH:
        raise WrongField(f"{name} is not measured by length", f"write metric: {name}")
    if not (length.isascii() and length.isdecimal()):
        raise WrongField(f"unknown metric {written!r}: a length is a whole number", f"e.g. metric: {name}@20")
    if test_lengths is not None and int(length) not in test_lengths:
        tested = ", ".join(map(str, test_lengths))
        hint = f"tested lengths: {tested}" if tested else f"add data.test_lengths: [{int(length)}] to the grid"
        raise WrongField(f"{written}: the length {int(length)} is not in data.test_lengths", hint)
    return f"{name}@{int(length)}"


def read_limit(part: Mapping[str, Any], kind: str, metric: str) -> float:
    """Returns the number of a part's rule: `by`, `within`, or the bound; 0 where it has none.

    Raises:
        WrongField: if it is no number, or one with which the part could never hold, or always.
    """
    key = limit_key(kind)
    if kind == VARIES_MORE or key not in part:
        return 0.0
    number, about = read_number(part[key], key), metric_of(metric)
    if kind in (AT_LEAST, AT_MOST):
        return _bound(number, kind, about, "in_share" in part)
    if kind == EQUIVALENT and number <= 0:
        what = f"within should be above 0, found {show(part[key])}: no number of seeds shows that two means are equal"
        hint = f"write the largest difference that does not matter, e.g. within: {about.margin or 0.02:g}"
        raise WrongField(what, hint)
    if number < 0:
        what = f"by should be at least 0, found {show(part[key])}"
        raise WrongField(what, "exchange the two sides, or write equivalent with within")
    if about.high is not None and number >= about.high:
        what = f"{key} should be below {about.high:g}, the range of {about.name}, found {show(part[key])}"
        raise WrongField(what, f"e.g. {key}: {about.high / 20:g}")
    return number


def limit_key(kind: str) -> str:
    """Returns the key of the number of a part's rule."""
    return {BETTER: "by", EQUIVALENT: "within"}.get(kind, kind)


def _bound(number: float, kind: str, about: Metric, of_seeds: bool) -> float:
    """Checks a bound against the range of the metric. No seeds can show that a mean is at the end of the range."""
    high = about.high
    if number < 0 or (high is not None and number > high):
        span = f"from 0 to {high:g}" if high is not None else "above 0"
        raise WrongField(f"{kind} should be in the range of {about.name}, {span}, found {number:g}")
    end, other = (high, 0.0) if kind == AT_LEAST else (0.0, high)
    if number == other:
        raise WrongField(f"{kind}: {number:g} is true of every {about.name}", "write a bound within the range")
    if number == end and not of_seeds:
        near = 0.01 * (high or 1.0)
        what = f"{kind}: {number:g} cannot be shown, because it is the end of the range of {about.name}"
        raise WrongField(what, f"write what is near enough, e.g. {kind}: {number - near if number else near:g}")
    return number


def read_share(written: Any) -> float:
    """Returns the share of the seeds that fulfil a bound.

    Raises:
        WrongField: if it is not between 0 and 1.
    """
    number = read_number(written, "in_share")
    if not 0 < number < 1:
        what = f"in_share should be above 0 and below 1, found {show(written)}"
        raise WrongField(what, "the share of the seeds, e.g. in_share: 0.5")
    return number


def read_number(written: Any, key: str) -> float:
    """Returns a number.

    Raises:
        WrongField: if it is none.
    """
    if isinstance(written, bool) or not isinstance(written, int | float):
        raise WrongField(f"{key} should be a number, found {show(written)}")
    return float(written)
