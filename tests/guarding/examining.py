"""Runs all checks on an attention, without training."""

from attnbench.guarding.guard import asked_for, examine
from attnbench.guarding.load import passed
from attnbench.guarding.search import find_target


def target_of(attention, **options):
    return find_target(passed(attention), asked_for(**options))


def examined(attention, seed=0, **options):
    """The results by name."""
    report, _ = examine(target_of(attention, **options), train=False, strict=False, seed=seed)
    return {result.name: result for result in report.results}


def failed(attention, **options):
    """The names of the checks that failed."""
    return [name for name, result in examined(attention, **options).items() if result.outcome == "failed"]
