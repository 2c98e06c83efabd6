"""The decisions of a run, read from its folder."""

from typing import TYPE_CHECKING

from attnbench.analysis.decide.settings import Rule, Setting, settings

if TYPE_CHECKING:
    from attnbench.store.store import Store


def decisions_of(store: "Store") -> tuple[Rule, list[Setting]] | None:
    """What a run decides, and what is decided so far in each setting; None for a fixed number of seeds.

    Raises:
        AttnbenchError: if the plan of the run cannot be read.
    """
    plan = store.plan()
    if plan.get("decide") is None:
        return None
    rule = Rule(**{name: plan["decide"][name] for name in Rule.__dataclass_fields__})
    cells = {cell["id"]: cell["labels"] for cell in plan["cells"]}
    ended = {id_: summary for id_, summary in store.summaries() if id_ in cells}
    return rule, settings(cells, ended, rule)
