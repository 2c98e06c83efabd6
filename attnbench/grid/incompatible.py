"""Combinations that make no sense, with the reason (semantics.md §6)."""

from collections.abc import Iterator

from attnbench.cell import Component

NO_SCORE = "none"  # the scope that uses no score
READS_PATH = "translate"  # the task that reads data.path
WITHIN_A_SEQUENCE = ("transformer", "lstmn")  # the models that scope self is for
BETWEEN_SEQUENCES = ("rnn", "pointer", "ntm")


def senseless(model: Component, score: Component | None, scope: Component, task: Component) -> str | None:
    """Why these cannot go together, or None when they can. A user's own model is free to try."""
    return next(_reasons(model, score, scope, task), None)


def _reasons(model: Component, score: Component | None, scope: Component, task: Component) -> Iterator[str]:
    name, options = model.name, model.options
    if name in BETWEEN_SEQUENCES and scope.name == "self":
        yield f"scope self is for models whose queries and keys come from the same sequence, not for {name}"
    if name in WITHIN_A_SEQUENCE and scope.name != "self":
        yield f"{name} attends within a sequence: it goes with scope self alone, found {scope.name}"
    if name == "rnn" and options["input_feeding"] and options["query"] == "previous":
        yield "model.input_feeding joins what was read after the step, which query: previous does not have"
    if name == "transformer" and options["width"] % options["heads"]:
        yield f"a width of {options['width']} cannot be shared out evenly among {options['heads']} heads"
    if name == "transformer" and options["positions"] == "rotary" and options["width"] // options["heads"] % 2:
        yield f"rotary turns pairs of numbers, and a head has {options['width'] // options['heads']}"
    if name == "pointer" and scope.name == NO_SCORE:
        yield "pointer's weights are its output: without attention it has none"
    if name == "pointer" and scope.name == "hard":
        yield "pointer's weights are its output: there is no context to draw a position for"
    if name == "pointer" and task.name == READS_PATH:
        yield f"pointer can only give words of the source, and {task.name} asks for others"
    if name == "ntm" and scope.name != "global":
        yield f"ntm addresses slots of a memory, where {scope.name} has no meaning: it goes with scope global alone"
    if name == "ntm" and 2 * options["shifts"] + 1 > options["slots"]:
        yield f"shifts of up to {options['shifts']} both ways need more than {options['slots']} slots"
    if name == "ntm" and score is not None and score.name == "location":
        yield "ntm addresses by content and, by itself, by location: score location has no content to compare"
