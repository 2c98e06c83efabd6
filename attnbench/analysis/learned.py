"""Which seeds of a frame of cells learned their task, and which differences its test set can show."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from attnbench.analysis.labels import values_of
from attnbench.metrics import METRICS

if TYPE_CHECKING:
    import pandas as pd

LEARNED_AT = 0.5  # the accuracy from which a seed counts as having learned its task
GAP = 0.3  # between the worst seed that learned and the best that did not, from which they are two groups
SENTENCES = 2  # a difference of fewer test sentences is never called better or worse
COUNTED = ("exact_match", "exact_match_unseen")  # metrics that are shares of the test sentences


def accuracy_of(frame: "pd.DataFrame", metric: str) -> list[float | None]:
    """The accuracy by which each cell learned its task or not; None where this is not known.

    It is the metric itself, where it is an accuracy; else exact match: a loss, for instance, falls into the same two
    groups. A length that was tested separately has an exact match of its own.
    """
    name, at, length = metric.partition("@")
    column = metric if METRICS[name].accuracy else f"exact_match{at}{length}"
    # How long a training takes does not depend on what was learned.
    if column not in frame.columns or METRICS[name].per_pack or name == "parameters":
        return [None] * len(frame)
    return [None if value is None else float(value) for value in values_of(frame, column)]


def in_two_groups(accuracies: Sequence[float]) -> bool:
    """Whether some seeds learned and some did not, with a wide gap between them.

    Without the gap it is the ordinary spread of seeds around .5, and the share above .5 has no meaning.
    """
    learned = [value for value in accuracies if value >= LEARNED_AT]
    rest = [value for value in accuracies if value < LEARNED_AT]
    return bool(learned and rest) and min(learned) - max(rest) >= GAP


def resolution_of(frame: "pd.DataFrame", metric: str) -> float:
    """The smallest difference that is called better or worse: two sentences of the test set that all seeds share.

    Ten seeds may all translate one sentence better. That is a fact about this sentence, and not yet about the score.
    """
    if "test_examples" not in frame.columns:
        return 0.0
    return resolution_with(values_of(frame, "test_examples"), metric)


def resolution_with(sizes: Iterable[int | None], metric: str) -> float:
    """The same from the sizes of the test sets; None or 0 where one is not known."""
    known = [size for size in sizes if size]
    return SENTENCES / min(known) if known and metric.partition("@")[0] in COUNTED else 0.0
