"""Combinations that cannot be trained, with the reason (semantics.md §6, §9 and §10).

What a component needs or offers is declared in its class: a score or a scope with a method `start` carries something
from one step to the next, and a normaliser may declare `sums_to_one` and `positive`.
"""

from collections.abc import Iterator

from attnbench.cell import Component
from attnbench.registry import REGISTRIES

NO_SCORE = "none"  # the scope that uses no score
WITHIN_A_SEQUENCE = ("transformer", "lstmn")  # models whose queries and keys come from the same sequence
BETWEEN_SEQUENCES = ("rnn", "pointer", "ntm", "captioner")


def incompatibility(
    model: Component, score: Component | None, scope: Component, normaliser: Component | None, task: Component
) -> str | None:
    """Returns why these parts cannot be combined, or None if they can.

    Of custom models it is only checked whether they read images.
    """
    reasons = (
        *_of_images(model, task),
        *_of_scope(model, scope),
        *_of_model(model, score, task),
        *_of_normaliser(model, scope, normaliser),
    )
    return next((reason for reason in reasons if reason), None)


def carries_state(kind: str, part: Component | None) -> bool:
    """Returns whether a score or a scope carries something from one step to the next."""
    return part is not None and REGISTRIES[kind].entry(part.name).declares("start")


def reads_path(task: str) -> bool:
    """Returns whether a task can read its examples from the file data.path."""
    return REGISTRIES["task"].entry(task).declares("reads_path")


def _of_images(model: Component, task: Component) -> Iterator[str]:
    reads_images = REGISTRIES["model"].entry(model.name).declares("reads_images")
    if REGISTRIES["task"].entry(task.name).declares("images") and not reads_images:
        yield f"{model.name} reads words, and the sources of {task.name} are images"
    elif reads_images and not REGISTRIES["task"].entry(task.name).declares("images"):
        yield f"{model.name} reads images, and the sources of {task.name} are words"


def _of_scope(model: Component, scope: Component) -> Iterator[str]:
    name = model.name
    if name in BETWEEN_SEQUENCES and scope.name == "self":
        yield f"scope self needs a model whose queries and keys come from the same sequence, not {name}"
    if name in WITHIN_A_SEQUENCE and scope.name != "self":
        yield f"{name} attends within a sequence: it supports only scope self, found {scope.name}"
    if name == "captioner" and scope.name == NO_SCORE and model.options["coverage_penalty"]:
        penalty = f"model.coverage_penalty {model.options['coverage_penalty']:g}"
        yield f"scope none computes no weights, to which {penalty} could apply: set it to 0 there, with zip or include"
    if name == "pointer" and scope.name == NO_SCORE:
        yield "pointer outputs its attention weights, and scope none computes no weights"
    if name == "pointer" and scope.name == "hard":
        yield "pointer outputs its attention weights and has no context, for which scope hard draws a position"
    if name == "pointer" and scope.name == "monotonic":
        yield "pointer outputs its attention weights, and those of scope monotonic are 0 or 1 in evaluation"
    if name == "ntm" and scope.name != "global":
        yield f"ntm attends to memory slots: it supports only scope global, found {scope.name}"


def _of_model(model: Component, score: Component | None, task: Component) -> Iterator[str]:
    name, options = model.name, model.options
    if name in ("rnn", "captioner") and options["input_feeding"] and options["query"] == "previous":
        yield "model.input_feeding needs model.query: current, found previous"
    if name == "transformer" and options["width"] % options["heads"]:
        yield f"model.width {options['width']} is not divisible by {options['heads']} heads"
    if name == "transformer" and options["positions"] == "rotary" and options["width"] // options["heads"] % 2:
        yield f"rotary positions need an even width per head, found {options['width'] // options['heads']}"
    if name == "pointer" and reads_path(task.name):
        yield f"pointer can only output words of the source, and {task.name} needs other words"
    if name == "ntm" and (needed := 2 * options["shifts"] + 1) > options["slots"]:  # both directions, and no shift
        yield f"model.shifts {options['shifts']} needs at least {needed} slots, found {options['slots']}"
    if name == "ntm" and score is not None and (score.name == "location" or carries_state("score", score)):
        content = f"ntm needs a score that compares content, which score {score.name} does not"
        yield f"{content}; ntm has its own location addressing"
    if name == "transformer" and score is not None and carries_state("score", score):
        yield f"score {score.name} depends on the previous step, and transformer computes all steps at once"


def _of_normaliser(model: Component, scope: Component, normaliser: Component | None) -> Iterator[str]:
    if normaliser is None:
        return
    entry = REGISTRIES["normaliser"].entry(normaliser.name)
    sums_to_one, positive = entry.declares("sums_to_one"), entry.declares("positive")
    if model.name == "pointer" and not (sums_to_one and positive):
        yield (
            "pointer outputs its attention weights as probabilities, which need to sum to 1 and to be above 0: "
            f"not those of normaliser {normaliser.name}"
        )
    if model.name == "ntm" and not sums_to_one:
        yield f"ntm needs content weights that sum to 1, which those of normaliser {normaliser.name} do not"
    if scope.name == "hard" and not sums_to_one:
        yield (
            "scope hard draws a position, which needs weights that sum to 1: "
            f"those of normaliser {normaliser.name} do not"
        )
