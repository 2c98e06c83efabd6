"""The equations of the papers as plain loops over b, t and i in float64: what every score and scope must equal."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray
# The weights of one row (S,) of logits (S,) at these positions.
Normalise = Callable[[Array, Any], Array]


def score_logits(name: str, state: dict[str, Array], query: Array, keys: Array, strength: float | None = None) -> Array:
    """Logits (B,T,S) of queries (B,T,D) and keys (B,S,D), one scalar equation at a time.

    `state` is the score's state_dict; `strength` is cosine's fixed β. Where the equation has no value (a position
    that `location` has no row for) the logit is −∞.
    """
    logits = np.full((*query.shape[:2], keys.shape[1]), -np.inf)
    for b in range(query.shape[0]):
        for t in range(query.shape[1]):
            for i in range(keys.shape[1]):
                s, h = query[b, t], keys[b, i]
                logits[b, t, i] = _logit(name, state, s, h, i, strength)
    return logits


def _logit(name: str, state: dict[str, Array], s: Array, h: Array, i: int, strength: float | None) -> float:
    width = len(s)
    if name == "cosine":
        beta = math.log(1 + math.exp(state["strength"])) + 1 if strength is None else strength
        lengths = math.sqrt(sum(x * x for x in s)) * math.sqrt(sum(x * x for x in h))
        return beta * _inner(s, h) / lengths if lengths else 0.0
    if name == "additive":
        joined = np.concatenate([s, h])  # vᵀ tanh(W_a [s; h]), the paper's own form
        w_a = np.concatenate([state["query_proj.weight"], state["key_proj.weight"]], axis=1)
        return sum(state["v.weight"][0, a] * math.tanh(_inner(w_a[a], joined)) for a in range(len(w_a)))
    if name == "location":
        w_a = state["proj.weight"]
        return _inner(w_a[i], s) if i < len(w_a) else -math.inf
    if name == "general":
        w_a = state["key_proj.weight"]
        return sum(s[j] * w_a[j, k] * h[k] for j in range(width) for k in range(width))
    if name == "dot":
        return _inner(s, h)
    if name == "scaled_dot":
        return _inner(s, h) / math.sqrt(width)
    if name == "distance":
        tau = math.log(1 + math.exp(state["scale"]))
        return -sum((x - y) ** 2 for x, y in zip(s, h, strict=True)) / (2 * tau**2)
    if name == "bilinear":
        u, v = state["query_proj.weight"].T, state["key_proj.weight"].T  # (D,rank)
        m = [[_inner(u[j], v[k]) for k in range(width)] for j in range(width)]
        return sum(s[j] * m[j][k] * h[k] for j in range(width) for k in range(width))
    if name == "trilinear":
        w = np.concatenate([state[f"{part}_proj.weight"][0] for part in ("query", "key", "product")])
        return _inner(w, np.concatenate([s, h, s * h]))
    raise KeyError(name)


def scope_weights(
    name: str, state: dict[str, Array], logits: Array, query: Array, lengths: Array, step: int = 0, window: int = 10
) -> Array:
    """Weights (B,T,S) in evaluation, one row at a time. `lengths` (B,) are the sentences' own."""
    weights = np.zeros_like(logits)
    for b in range(logits.shape[0]):
        for t in range(logits.shape[1]):
            weights[b, t] = scope_row(name, state, logits[b, t], query[b, t], int(lengths[b]), step + t, window)
    return weights


def scope_row(
    name: str,
    state: dict[str, Array],
    logits: Array,
    s: Array,
    length: int,
    step: int,
    window: int,
    normalise: Normalise | None = None,
) -> Array:
    """The weights (S,) of one query in evaluation, by default with the softmax."""
    normalise = normalise or softmax
    sentence = range(length)
    if name == "none":
        return np.zeros_like(logits)
    if name == "global":
        return normalise(logits, sentence)
    if name == "hard":
        alpha = normalise(logits, sentence)
        drawn = np.zeros_like(alpha)
        if alpha.any():
            drawn[int(np.argmax(alpha))] = 1
        return drawn
    if name == "local-m":
        here = min(step, length - 1)
        return normalise(logits, [i for i in sentence if here - window <= i <= here + window])
    if name == "local-p":
        p = centre(state, s, length)
        weights = normalise(logits, [i for i in sentence if math.floor(p) - window <= i <= math.floor(p) + window])
        sigma = window / 2
        return np.array([w * math.exp(-((i - p) ** 2) / (2 * sigma**2)) for i, w in enumerate(weights)])
    raise KeyError(name)


def centre(state: dict[str, Array], s: Array, length: int) -> float:
    """p_t = (L_b − 1) · sigmoid(v_pᵀ tanh(W_p s)) of local-p."""
    w_p, v_p = state["centre_proj.weight"], state["centre_v.weight"][0]
    z = sum(v_p[a] * math.tanh(_inner(w_p[a], s)) for a in range(len(w_p)))
    return (length - 1) / (1 + math.exp(-z))


def softmax(logits: Array, positions: Any) -> Array:
    """Softmax over the given positions of one row (S,); zero elsewhere, and everywhere when there is none."""
    weights = np.zeros(len(logits))
    allowed = [i for i in positions if logits[i] > -math.inf]
    if allowed:
        largest = max(logits[i] for i in allowed)
        total = sum(math.exp(logits[i] - largest) for i in allowed)
        for i in allowed:
            weights[i] = math.exp(logits[i] - largest) / total
    return weights


def context(name: str, weights: Array, values: Array, lengths: Array) -> Array:
    """Contexts (B,T,D): Σ_i α_{t,i} h_i; for `none` the halves [→h_{L−1}; ←h_0], and zero without any position."""
    batch, steps, source = weights.shape
    found = np.zeros((batch, steps, values.shape[2]))
    half = values.shape[2] // 2
    for b in range(batch):
        for t in range(steps):
            if name == "none" and lengths[b] > 0:
                found[b, t] = np.concatenate([values[b, lengths[b] - 1, :half], values[b, 0, half:]])
            for i in range(source):
                if weights[b, t, i]:
                    found[b, t] += weights[b, t, i] * values[b, i]
    return found


def _inner(a: Array, b: Array) -> float:
    return float(sum(x * y for x, y in zip(a, b, strict=True)))
