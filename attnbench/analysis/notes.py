"""The sentences below the tables of a run: what they leave out, what tuning chose, what is decided."""

from typing import TYPE_CHECKING

from attnbench.analysis.decide.of_run import decisions_of
from attnbench.analysis.decide.wording import sentences
from attnbench.analysis.tuning import chosen_notes

if TYPE_CHECKING:
    from attnbench.store.store import Store

NOT_FIXED = (
    "The verdicts of this comparison assume that the number of seeds was fixed before any result was seen. With "
    "decide, seeds were added until pairs were settled: rely on the decisions instead."
)


def notes_of(store: "Store") -> list[str]:
    """Remarks on a run: `answers_of`, then what its tables leave out.

    Raises:
        AttnbenchError: if the plan of the run cannot be read.
    """
    return [*answers_of(store), *store.notes()]


def answers_of(store: "Store") -> list[str]:
    """What is decided in a run, and what tuning chose; nothing for a grid with neither.

    Raises:
        AttnbenchError: if the plan of the run cannot be read.
    """
    decided = decisions_of(store)
    return [*(sentences(*decided) if decided else []), *chosen_notes(store.plan())]


def seeds_are_fixed(store: "Store") -> bool:
    """Whether the number of seeds was fixed before any result was seen, as the tests of a table assume.

    Raises:
        AttnbenchError: if the plan of the run cannot be read.
    """
    return store.plan().get("decide") is None
