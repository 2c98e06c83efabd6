"""Scores and a scope that depend on the previous step, as plain loops over the steps of one sentence in float64."""

import math
from dataclasses import dataclass, field

import numpy as np
from closed_forms import Array, Normalise, scope_row, score_logits

CARRYING = ("location_conv", "coverage", "gmm")  # scores


@dataclass
class Carried:
    """What the attention to one sentence carries: the weights (S_t,) of all earlier steps, and the centres of `gmm`."""

    rows: list[Array] = field(default_factory=list)
    centres: Array | None = None

    def last(self, length: int) -> Array:
        """α_{t−1}, 0 before the first step and at positions that were not there yet."""
        return self._padded(self.rows[-1], length) if self.rows else np.zeros(length)

    def total(self, length: int) -> Array:
        """Σ_{t'<t} α_{t'}."""
        return sum((self._padded(row, length) for row in self.rows), np.zeros(length))

    @staticmethod
    def _padded(row: Array, length: int) -> Array:
        return np.concatenate([row, np.zeros(length - len(row))])


def step_logits(
    score: str, state: dict[str, Array], s: Array, keys: Array, carried: Carried, over: str = "last"
) -> Array:
    """The logits (S,) of a query (D,) and the keys (S,D) of a sentence; moves the centres of `gmm` on."""
    if score not in CARRYING:
        return score_logits(score, state, s[None, None], keys[None])[0, 0]
    count = len(keys)
    if score == "gmm":
        return _mixture(state, s, count, carried)
    logits = np.zeros(count)
    for i in range(count):
        hidden = state["query_proj.weight"] @ s + state["key_proj.weight"] @ keys[i]
        if score == "coverage":
            hidden = hidden + state["coverage_proj.weight"][:, 0] * carried.total(count)[i]
        else:
            weights = carried.last(count) if over == "last" else carried.total(count)
            hidden = hidden + state["feature_proj.weight"] @ _features(state["filter.weight"], weights, i)
            hidden = hidden + state["feature_proj.bias"]
        logits[i] = state["v.weight"][0] @ np.tanh(hidden)
    return logits


def _features(filters: Array, weights: Array, i: int) -> Array:
    """f_i: each filter (kernel,) over the weights around position i; nothing stands beyond the sentence."""
    half = filters.shape[1] // 2
    found = np.zeros(len(filters))
    for k in range(filters.shape[1]):
        if 0 <= i + k - half < len(weights):
            found += filters[:, k] * weights[i + k - half]
    return found


def _mixture(state: dict[str, Array], s: Array, count: int, carried: Carried) -> Array:
    hidden = np.tanh(state["hidden_proj.weight"] @ s + state["hidden_proj.bias"])
    w_hat, k_hat, s_hat = np.split(state["window_proj.weight"] @ hidden + state["window_proj.bias"], 3)
    shares = np.exp(w_hat) / np.exp(w_hat).sum()
    carried.centres = (0 if carried.centres is None else carried.centres) + np.log1p(np.exp(k_hat))
    sigma = np.log1p(np.exp(s_hat)) + 0.1
    logits = np.zeros(count)
    for i in range(count):
        exponents = -((i - carried.centres) ** 2) / (2 * sigma**2)
        largest = exponents.max()  # so that no position is so far off that its logarithm is −∞
        densities = shares / np.sqrt(2 * math.pi * sigma**2) * np.exp(exponents - largest)
        logits[i] = math.log(densities.sum()) + largest
    return logits


def monotonic_row(offset: float, logits: Array, length: int, carried: Carried, training: bool) -> Array:
    """The weights (S,) of one step of the scope `monotonic`, without noise."""
    count = len(logits)
    before = carried.last(count) if carried.rows else np.eye(count)[0]
    if training:
        return expected_stops([sigmoid(e + offset) if i < length else 0.0 for i, e in enumerate(logits)], before)
    weights = np.zeros(count)
    if before.any():
        for i in range(int(before.argmax()), length):
            if logits[i] + offset > 0:
                weights[i] = 1
                break
    return weights


def expected_stops(p: list[float], before: Array) -> Array:
    """α_i = p_i Σ_{k≤i} before_k Π_{l=k}^{i−1} (1 − p_l), as the formula stands."""
    weights = np.zeros(len(p))
    for i in range(len(p)):
        for k in range(i + 1):
            weights[i] += p[i] * before[k] * math.prod(1 - p[j] for j in range(k, i))
    return weights


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def attend_one(
    score: str,
    scope: str,
    states: tuple[dict[str, Array], dict[str, Array]],
    s: Array,
    keys: Array,
    carried: Carried,
    *,
    length: int | None = None,
    step: int = 0,
    window: int = 10,
    training: bool = False,
    normalise: Normalise | None = None,
    over: str = "last",
) -> tuple[Array, Array]:
    """The logits and the weights (S,) of one query (D,); what it carries on is written into `carried`.

    `states` are the state_dicts of the score and of the scope.
    """
    length = len(keys) if length is None else length
    logits = step_logits(score, states[0], s, keys, carried, over)
    if scope == "monotonic":
        weights = monotonic_row(float(states[1]["offset"]), logits, length, carried, training)
    else:
        weights = scope_row(scope, states[1], logits, s, length, step, window, normalise)
    carried.rows.append(weights)
    return logits, weights


def attend_in_turn(
    score: str,
    scope: str,
    states: tuple[dict[str, Array], dict[str, Array]],
    query: Array,
    keys: Array,
    lengths: Array,
    step: int = 0,
    **options: object,
) -> tuple[Array, Array]:
    """The logits and the weights (B,T,S) of queries (B,T,D), each sentence by itself and cut to its own length."""
    logits, weights = np.zeros((2, *query.shape[:2], keys.shape[1]))
    for b, length in enumerate(lengths.tolist()):
        carried = Carried()
        for t in range(query.shape[1]):
            row = attend_one(score, scope, states, query[b, t], keys[b, :length], carried, step=step + t, **options)  # type: ignore[arg-type]
            logits[b, t, :length], weights[b, t, :length] = row
    return logits, weights
