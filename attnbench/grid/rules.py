"""Combinations that make no sense, with the reason (semantics.md §6)."""

from attnbench.cell import Component

NO_SCORE = "none"  # the scope that uses no score
READS_PATH = "translate"  # the task that reads data.path


def senseless(model: Component, scope: Component) -> str | None:
    """Why this model and scope cannot go together, or None when they can."""
    if model.name != "rnn":
        return None
    if scope.name == "self":
        return "scope self is for models whose queries and keys come from the same sequence, not for rnn"
    if model.options["input_feeding"] and model.options["query"] == "previous":
        return "model.input_feeding joins what was read after the step, which query: previous does not have"
    return None
