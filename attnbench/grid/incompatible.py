"""Combinations that cannot be trained, with the reason (semantics.md §6)."""

from collections.abc import Iterator

from attnbench.cell import Component

NO_SCORE = "none"  # the scope that uses no score
READS_PATH = "translate"  # the task that reads data.path
WITHIN_A_SEQUENCE = ("transformer", "lstmn")  # models whose queries and keys come from the same sequence
BETWEEN_SEQUENCES = ("rnn", "pointer", "ntm")


def incompatibility(model: Component, score: Component | None, scope: Component, task: Component) -> str | None:
    """Returns why these parts cannot be combined, or None if they can. Custom models are not restricted."""
    return next(_reasons(model, score, scope, task), None)


def _reasons(model: Component, score: Component | None, scope: Component, task: Component) -> Iterator[str]:
    name, options = model.name, model.options
    if name in BETWEEN_SEQUENCES and scope.name == "self":
        yield f"scope self needs a model whose queries and keys come from the same sequence, not {name}"
    if name in WITHIN_A_SEQUENCE and scope.name != "self":
        yield f"{name} attends within a sequence: it supports only scope self, found {scope.name}"
    if name == "rnn" and options["input_feeding"] and options["query"] == "previous":
        yield "model.input_feeding needs model.query: current, found previous"
    if name == "transformer" and options["width"] % options["heads"]:
        yield f"model.width {options['width']} is not divisible by {options['heads']} heads"
    if name == "transformer" and options["positions"] == "rotary" and options["width"] // options["heads"] % 2:
        yield f"rotary positions need an even width per head, found {options['width'] // options['heads']}"
    if name == "pointer" and scope.name == NO_SCORE:
        yield "pointer outputs its attention weights, and scope none computes no weights"
    if name == "pointer" and scope.name == "hard":
        yield "pointer outputs its attention weights and has no context, for which scope hard draws a position"
    if name == "pointer" and task.name == READS_PATH:
        yield f"pointer can only output words of the source, and {task.name} needs other words"
    if name == "ntm" and scope.name != "global":
        yield f"ntm attends to memory slots: it supports only scope global, found {scope.name}"
    if name == "ntm" and (needed := 2 * options["shifts"] + 1) > options["slots"]:  # both directions, and no shift
        yield f"model.shifts {options['shifts']} needs at least {needed} slots, found {options['slots']}"
    if name == "ntm" and score is not None and score.name == "location":
        content = "ntm needs a score that compares content, which score location does not"
        yield f"{content}; ntm has its own location addressing"
