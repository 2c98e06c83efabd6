"""The trial of a user's score, scope and normaliser by themselves."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from attnbench.attention import Attention
from attnbench.cell import SOFTMAX, Cell, Component
from attnbench.masking import masked_softmax
from attnbench.parts import build_normaliser, build_scope, build_score
from attnbench.registry import REGISTRIES
from attnbench.scores.base import compare, prepare
from attnbench.tasks.base import Task
from attnbench.training.build import construct, normaliser_of
from attnbench.training.trial.blame import blaming
from attnbench.training.trial.sentences import LENGTH, Sentences, some_sentences, without_words
from attnbench.training.trial.tried import Tried, check_independence, modes, prepared, try_stacked


def widths_of(cell: Cell, custom: dict[str, Component], task: Task, max_source_length: int) -> list[int]:
    """The widths that the model builds attentions of, found by building it."""
    widths: dict[int, None] = {}

    def attention(width: int, over: str = "source") -> Attention:
        del over  # the trial has one length for all sequences
        widths[width] = None
        for kind, build in _builders(custom, width, max_source_length).items():
            with blaming(kind, custom[kind].name, "it"):
                build()
        normaliser = normaliser_of(cell)
        return Attention(cell.score, cell.scope, normaliser, width=width, max_source_length=max_source_length)

    with blaming("model", cell.model.name, "it") if "model" in custom else nullcontext():
        construct(cell, task, attention)
    return list(widths)


def _builders(custom: dict[str, Component], width: int, max_source_length: int) -> dict[str, Callable[[], Any]]:
    """The functions that build the custom score and scope, by kind, always with the same initial weights."""
    found: dict[str, Callable[[], Any]] = {}
    if "score" in custom:
        found["score"] = lambda: build_score(custom["score"], width, max_source_length)
    if "scope" in custom:
        takes_normaliser = REGISTRIES["scope"].entry(custom["scope"].name).takes("normaliser")
        found["scope"] = lambda: build_scope(custom["scope"], SOFTMAX if takes_normaliser else None, width)
    return found


def try_score(component: Component, width: int, max_source_length: int, test_lengths: tuple[int, ...]) -> None:
    """Calls a score in every way in which training calls it, with queries and keys of a width."""
    build = _builders({"score": component}, width, max_source_length)["score"]
    entry = REGISTRIES["score"].entry(component.name)
    call = _logits_in_turn if entry.declares("start") else _logits
    tried = Tried("score", component.name, build, call, "logits")
    takes_length = entry.takes("max_source_length")
    sentences = some_sentences(width, min(LENGTH, max_source_length) if takes_length else LENGTH)
    with blaming("score", component.name, "it"), torch.no_grad():
        for part, given in modes(tried, sentences):
            _check_logits(tried, tried.run(part, given), given)
    try_stacked(tried, sentences)
    check_independence(tried, sentences)
    longest = max(test_lengths, default=0) + 1  # EOS
    if takes_length and longest > max_source_length:
        with blaming("score", component.name, f"with a source of {longest} words (data.test_lengths), it"):
            tried.run(prepared(tried, training=False), some_sentences(width, longest).only(0, longest))


def _logits(part: Any, sentences: Sentences) -> Any:
    return compare(part, sentences.query, prepare(part, sentences.keys))


def _logits_in_turn(part: Any, sentences: Sentences) -> Any:
    """The logits of a score that carries something, one query after the other."""
    keys = prepare(part, sentences.keys)
    state, logits = part.start(keys), []
    for query in sentences.query.split(1, dim=1):
        returned = compare(part, query, keys, state)
        each, state = _with_state(returned, "score", "logits")
        if each.shape != (len(query), 1, sentences.keys.shape[1]):
            return each  # the wrong shape is reported by the caller
        if hasattr(part, "update"):
            state = part.update(state, masked_softmax(each, sentences.mask))
        logits.append(each)
    return torch.cat(logits, dim=1)


def try_scope(component: Component, width: int) -> None:
    """Calls a scope in every way in which training calls it, with queries of a width."""
    build = _builders({"scope": component}, width, 0)["scope"]
    stateful = REGISTRIES["scope"].entry(component.name).declares("start")
    tried = Tried("scope", component.name, build, _weights_in_turn if stateful else _weights, "weights")
    _try_weights(tried, some_sentences(width, LENGTH))


def _weights(part: Any, sentences: Sentences) -> Any:
    return part(sentences.logits.clone(), sentences.mask, sentences.query, sentences.lengths, 0)


def _weights_in_turn(part: Any, sentences: Sentences) -> Any:
    """The weights of a scope that carries something, one query after the other."""
    state, weights = part.start(sentences.keys), []
    pairs = zip(sentences.logits.split(1, dim=1), sentences.query.split(1, dim=1), strict=True)
    for step, (logits, query) in enumerate(pairs):
        returned = part(logits.clone(), sentences.mask, query, sentences.lengths, step, state)
        each, state = _with_state(returned, "scope", "weights")
        if each.shape != logits.shape:
            return each  # the wrong shape is reported by the caller
        weights.append(each)
    return torch.cat(weights, dim=1)


def _with_state(returned: Any, kind: str, result: str) -> tuple[Any, Any]:
    """The result of a part that carries something, and its state."""
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(f"a {kind} with a method start should return ({result}, state)")
    return returned


def try_normaliser(component: Component, max_source_length: int) -> None:
    """Calls a normaliser in every way in which training calls it."""

    def call(part: Any, sentences: Sentences) -> Any:
        return part(sentences.logits.clone(), sentences.mask)

    def build() -> Any:
        return build_normaliser(component, max_source_length)

    _try_weights(Tried("normaliser", component.name, build, call, "weights"), some_sentences(1, LENGTH))


def _try_weights(tried: Tried, sentences: Sentences) -> None:
    with blaming(tried.kind, tried.name, "it"), torch.no_grad():
        for part, given in modes(tried, sentences):
            _check_weights(tried, tried.run(part, given), given)
            _check_weights(tried, tried.run(part, without_words(given)), without_words(given))
    try_stacked(tried, sentences)
    check_independence(tried, sentences)


def _check_logits(tried: Tried, logits: Tensor, sentences: Sentences) -> None:
    valid = _valid(logits, sentences)
    # −∞ excludes a position, as in the built-in score location, but something has to be left.
    if (logits.isnan() | (logits == torch.inf))[valid].any() or (logits.isneginf() | ~valid).all(-1).any():
        raise tried.wrong("returned logits that are not finite")


def _check_weights(tried: Tried, weights: Tensor, sentences: Sentences) -> None:
    mode = "without a mask" if sentences.mask is None else "with a mask"
    valid = _valid(weights, sentences)
    empty = ~valid.any(-1)
    if (weights[empty] != 0).any():
        raise tried.wrong("returned weights other than 0, or NaN, for a row in which the mask allows no position")
    if not weights.isfinite().all():
        raise tried.wrong(f"returned weights that are not finite ({mode})")
    if (weights < 0).any():
        raise tried.wrong(f"returned weights below 0 ({mode}): {float(weights.min()):g}")
    if (weights[~valid] != 0).any():
        raise tried.wrong("returned weights other than 0 where the mask is False (use masked_softmax)")
    _check_sums(tried, weights.sum(-1)[~empty], mode)
    positive = tried.kind == "normaliser" and REGISTRIES[tried.kind].entry(tried.name).declares("positive")
    if positive and (weights[valid] <= 0).any():
        raise tried.wrong(f"declares positive = True, and returned a weight of 0 for a valid position ({mode})")


def _check_sums(tried: Tried, sums: Tensor, mode: str) -> None:
    """Checks the sums of the rows with a valid position: at most 1 for a scope, what it declares for a normaliser."""
    if tried.kind == "scope" and (most := float(sums.max())) > 1 + 1e-5:
        raise tried.wrong(f"returned a row of weights with the sum {most:g} ({mode}); it should be at most 1")
    if tried.kind == "normaliser" and REGISTRIES[tried.kind].entry(tried.name).declares("sums_to_one"):
        furthest = sums[(sums - 1).abs().argmax()]
        if abs(float(furthest) - 1) > 1e-4:
            what = f"declares sums_to_one = True, and returned a row of weights with the sum {float(furthest):g}"
            raise tried.wrong(f"{what} ({mode})")


def _valid(result: Tensor, sentences: Sentences) -> Tensor:
    """The positions (B,T,S) of a result that are not padding."""
    return torch.ones_like(result, dtype=torch.bool) if sentences.mask is None else sentences.mask.expand_as(result)
