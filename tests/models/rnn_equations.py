"""The recurrent model's equations for one sentence at a time, as plain loops in float64, and models to hold them to."""

import itertools
import math
from typing import Any

import numpy as np
import torch
from carried_forms import Carried, attend_one

from attnbench import registry
from attnbench.cell import Cell, Component, Data, Train
from attnbench.models.base import Seq2Seq
from attnbench.tasks.build import build_task
from attnbench.training.build import build_model

Array = np.ndarray
WIDTH, EMBEDDING, LONGEST, VOCABULARY = 6, 4, 7, 5  # symbols; the ids go from 3 to 7
SCORES, SCOPES, MODELS = registry.score.names(), registry.scope.names(), registry.model.names()
LENGTHS = torch.tensor([7, 4, 2, 1])  # of the sources below, EOS included


def variants() -> list[dict[str, Any]]:
    """Every recurrent model: query × cell × init × reverse_source, and input feeding where the query is current."""
    choices = itertools.product(("gru", "lstm"), ("encoder", "zero"), (False, True))
    rows = [{"cell": cell, "init": init, "reverse_source": turned} for cell, init, turned in choices]
    orders: list[dict[str, Any]] = [{"query": "previous"}]
    orders += [{"query": "current", "input_feeding": feeding} for feeding in (False, True)]
    return [row | order for row in rows for order in orders]


def describe(options: dict[str, Any]) -> str:
    """A test's name."""
    return "-".join(f"{k}={v}" if isinstance(v, bool) else str(v) for k, v in options.items()) or "default"


def cell(
    score: str | None = "dot",
    scope: str = "global",
    model: str = "rnn",
    seed: int = 0,
    normaliser: str = "softmax",
    **options: Any,
) -> Cell:
    """A cell on copy; options go to the scope or the model that declares them, the others are those of WIDTH etc."""
    given = {"width": WIDTH, "embedding": EMBEDDING} | options
    parts = {}
    for kind, name in (("model", model), ("scope", scope)):
        entry = getattr(registry, kind).entry(name)
        own = {k: v for k, v in given.items() if entry.takes(k) and not (kind == "scope" and k == "width")}
        parts[kind] = Component(name=name, options=entry.resolve(own))
    chosen = None if scope == "none" or score is None else Component(name=score)
    data = Data(vocabulary=VOCABULARY, max_length=LONGEST - 1)
    if registry.scope.entry(scope).takes("normaliser"):
        parts["normaliser"] = Component(name=normaliser, options=registry.normaliser.entry(normaliser).resolve({}))
    return Cell(score=chosen, task=Component(name="copy"), data=data, train=Train(), seed=seed, **parts)


def build(*arguments: Any, seed: int = 0, longest: int = LONGEST, **options: Any) -> Seq2Seq:
    """A model in float64 and evaluation mode, its vectors large enough that no nonlinearity looks linear."""
    described = cell(*arguments, **options)
    built = build_model(described, build_task(described.task, described.data), longest, seed).double().eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.mul_(1.7)
    return built


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sources (4,7) ending in EOS at LENGTHS and then padded with 0, those lengths, and previous words (4,5)."""
    random = torch.Generator().manual_seed(seed)
    source = torch.randint(3, 3 + VOCABULARY, (4, LONGEST), generator=random)
    positions = torch.arange(LONGEST)
    source[positions == LENGTHS[:, None] - 1] = 2
    source[positions >= LENGTHS[:, None]] = 0
    previous = torch.randint(3, 3 + VOCABULARY, (4, 5), generator=random)
    previous[:, 0] = 1
    return source, LENGTHS, previous


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def gru(a: Array, u: Array, h: Array) -> Array:
    """One GRU step from what the input and the last output contribute to r, z, n."""
    d = len(h)
    new = np.zeros(d)
    for j in range(d):
        r = sigmoid(a[j] + u[j])
        z = sigmoid(a[d + j] + u[d + j])
        n = math.tanh(a[2 * d + j] + r * u[2 * d + j])
        new[j] = (1 - z) * n + z * h[j]
    return new


def lstm(a: Array, u: Array, c: Array) -> tuple[Array, Array]:
    """One LSTM step from what the input and the last output contribute to i, f, g, o: the output and the memory."""
    d = len(c)
    h, new = np.zeros(d), np.zeros(d)
    for j in range(d):
        i, f, o = (sigmoid(a[k * d + j] + u[k * d + j]) for k in (0, 1, 3))
        new[j] = f * c[j] + i * math.tanh(a[2 * d + j] + u[2 * d + j])
        h[j] = o * math.tanh(new[j])
    return h, new


def advance(kind: str, a: Array, u: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """One step of either cell: the output and the memory, which the GRU does not have."""
    return (gru(a, u, h), c) if kind == "gru" else lstm(a, u, c)


def encode(state: dict[str, Array], kind: str, source: list[int]) -> Array:
    """The states h_i = [→h_i; ←h_i] (S,D) of one sentence."""
    words = state["source_embedding.weight"][source]
    halves = []
    for direction, order in enumerate((range(len(source)), reversed(range(len(source))))):
        weight = state["encoder.recurrent_weight"][direction].T
        rows, units = weight.shape
        own = slice(direction * rows, (direction + 1) * rows)
        h, c, half = np.zeros(units), np.zeros(units), np.zeros((len(source), units))
        for i in order:
            a = state["encoder.input_proj.weight"][own] @ words[i] + state["encoder.input_proj.bias"][own]
            h, c = advance(kind, a, weight @ h + state["encoder.recurrent_bias"][direction, 0], h, c)
            half[i] = h
        halves.append(half)
    return np.concatenate(halves, axis=1)


def run(
    model: Seq2Seq,
    options: dict[str, Any],
    score: str | None,
    source: list[int],
    previous: list[int],
    scope: str = "global",
    **attending: Any,
) -> tuple[Array, Array]:
    """The word logits (T,V) and the weights (T,S) of one sentence (S) after the previous words (T).

    A score of None is no attention. The weights are in the order of `source` as it is given. `attending` are options
    of `carried_forms.attend_one`.
    """
    state = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    kind, turned = options.get("cell", "gru"), options.get("reverse_source", False)
    h = encode(state, kind, [*source[-2::-1], source[-1]] if turned else source)
    s, memory, fed = np.zeros(WIDTH), np.zeros(WIDTH), np.zeros(WIDTH)
    if options.get("init", "encoder") == "encoder":
        s = np.tanh(state["init_proj.weight"] @ h[0, WIDTH // 2 :])
    logits, rows, carried = [], [], Carried()
    for y in previous:
        word = state["target_embedding.weight"][y]
        a = state["word_proj.weight"] @ word + state["word_proj.bias"]
        if options.get("query", "previous") == "previous":
            alpha = attend(state, score, scope, s, h, carried, **attending)
            c = mix(alpha, h)
            a = a + state["feed_proj.weight"] @ c
            u = state["recurrent_proj.weight"] @ s + state["recurrent_proj.bias"]
            s, memory = advance(kind, a, u, s, memory)
            read = np.concatenate([s, c, word])
        else:
            if options.get("input_feeding", False):
                a = a + state["feed_proj.weight"] @ fed
            u = state["recurrent_proj.weight"] @ s + state["recurrent_proj.bias"]
            s, memory = advance(kind, a, u, s, memory)
            alpha = attend(state, score, scope, s, h, carried, **attending)
            read = fed = np.tanh(state["combine.weight"] @ np.concatenate([mix(alpha, h), s]))
        logits.append(state["readout.weight"] @ read + state["readout.bias"])
        rows.append(np.zeros(len(h)) if alpha is None else alpha)
    weights = np.stack(rows)
    return np.stack(logits), np.concatenate([weights[:, -2::-1], weights[:, -1:]], 1) if turned else weights


def attend(
    state: dict[str, Array], score: str | None, scope: str, s: Array, h: Array, carried: Carried, **attending: Any
) -> Array | None:
    """The weights of all positions, under the scope `global` softmax_i score(s, h_i); `carried` counts the steps."""
    if score is None:
        return None
    states = tuple(
        {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        for prefix in ("attention.score.", "attention.scope.")
    )
    step = len(carried.rows)
    return attend_one(score, scope, (states[0], states[1]), s, h, carried, step=step, **attending)[1]


def mix(alpha: Array | None, h: Array) -> Array:
    """c = Σ_i α_i h_i, or without attention the final state [→h_{L−1}; ←h_0]."""
    if alpha is None:
        return np.concatenate([h[-1, : WIDTH // 2], h[0, WIDTH // 2 :]])
    return sum((a * row for a, row in zip(alpha, h, strict=True)), np.zeros(WIDTH))
