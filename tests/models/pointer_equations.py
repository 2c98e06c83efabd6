"""The pointer network's equations for one sentence at a time, as plain loops in float64."""

import math
from typing import Any

import numpy as np
import torch
from carried_forms import Carried, attend_one
from closed_forms import context
from rnn_equations import LENGTHS, LONGEST, SCORES, VOCABULARY, WIDTH, Array, advance, build, encode
from torch import Tensor

from attnbench.models.pointer import Pointer

EXACT = {"rtol": 0, "atol": 1e-10}
WINDOW = 1
WORDS = 3 + VOCABULARY  # with <pad>, <bos> and </s>
VALID = torch.arange(LONGEST) < LENGTHS[:, None]  # (B,S)
SCOPES = ("global", "local-m", "local-p")
SHORT = {"longest": 3}  # positions that location knows nothing of: in the last window of a long source, all of them
# Every score under the commonest scope, and every scope under three scores.
PAIRS = [
    (score, scope, {}) for score in SCORES for scope in SCOPES if scope == "global" or score in ("dot", "additive")
]
PAIRS += [("location", scope, SHORT) for scope in SCOPES]


def close(found: Tensor, expected: Any) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=0, atol=1e-10)


def pointer(score: str = "additive", scope: str = "global", **options: Any) -> Pointer:
    """A pointer network in float64 and evaluation mode."""
    built = build(score, scope, "pointer", window=WINDOW, **options)
    assert isinstance(built, Pointer)
    return built


def target_of(source: Tensor) -> tuple[Tensor, Tensor]:
    """Targets that point at positions 1, 0, 2, … of the source and at its EOS, one of them shorter; and what is fed."""
    target = torch.cat([source[:, [1, 0, 2]], source[:, -1:]], dim=1)
    target[0, 2:] = torch.tensor([2, 0])
    previous = torch.cat([torch.full_like(target[:, :1], 1), target[:, :-1]], dim=1)
    return previous, target


def distributions(words: Tensor) -> Tensor:
    """What training and decoding take a model's words (…,V) for."""
    return words.log_softmax(-1).exp()


class Given(torch.nn.Module):
    """A scope whose weights are the softmax of these logits (S,), whatever is asked."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(logits)

    def forward(self, logits: Tensor, *_) -> Tensor:
        return self.logits.softmax(-1).expand_as(logits)


def embed(state: dict[str, Array], word: int, symbols: int = VOCABULARY, prefix: str = "embedding.") -> Array:
    """A special word's row; symbol n of V by its value v = (n − ½)/V: W [v; sin πv … sin 6πv; cos πv … cos 6πv] + b."""
    if word < 3:
        return state[f"{prefix}special.weight"][word]
    number = word - 2  # the id 3 is the symbol "1"
    v = (number - 0.5) / symbols
    features = [v]
    features += [math.sin(k * math.pi * v) for k in range(1, 7)]
    features += [math.cos(k * math.pi * v) for k in range(1, 7)]
    weight, bias = state[f"{prefix}proj.weight"], state[f"{prefix}proj.bias"]
    return np.array([bias[j] + sum(w * x for w, x in zip(row, features, strict=True)) for j, row in enumerate(weight)])


def run(
    model: Pointer, cell: str, score: str, scope: str, source: list[int], previous: list[int]
) -> tuple[Array, Array]:
    """The weights (T,S) of one sentence (S) after the previous words (T), and each word's probability (T,V).

    s_t = f(s_{t−1}, y_{t−1}), s_{−1} = tanh(W_s ←h_0); q = s_t, for each glimpse q ← tanh(W_g [Σ_i a_i h_i; q]) with
    a = scope(score_g(q, h)); α_t = scope(score(q, h)); p(w) = Σ_{i: x_i = w} α_{t,i}, before any normalisation.
    """
    state = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    table = np.stack([embed(state, word) for word in range(WORDS)])
    h = encode(state | {"source_embedding.weight": table}, cell, source)
    s, memory = np.tanh(state["init_proj.weight"] @ h[0, WIDTH // 2 :]), np.zeros(WIDTH)
    weights, words = np.zeros((len(previous), len(source))), np.zeros((len(previous), WORDS))
    carried = [Carried() for _ in range(len(model.glimpses) + 1)]
    for t, y in enumerate(previous):
        a = state["word_proj.weight"] @ table[y] + state["word_proj.bias"]
        u = state["recurrent_proj.weight"] @ s + state["recurrent_proj.bias"]
        s, memory = advance(cell, a, u, s, memory)
        q = s
        for g in range(len(model.glimpses)):
            alpha = attend(state, f"glimpses.{g}.", score, scope, q, h, carried[g])
            read = context(scope, alpha[None, None], h[None], np.array([len(h)]))[0, 0]
            q = np.tanh(state[f"combine.{g}.weight"] @ np.concatenate([read, q]))
        weights[t] = attend(state, "attention.", score, scope, q, h, carried[-1])
        for i, x in enumerate(source):
            words[t, x] += weights[t, i]
    return weights, words


def attend(state: dict[str, Array], prefix: str, score: str, scope: str, q: Array, h: Array, carried: Carried) -> Array:
    """The weights (S,) that one attention gives all states of a sentence, at the step that `carried` is at."""
    states = own_part(state, f"{prefix}score."), own_part(state, f"{prefix}scope.")
    return attend_one(score, scope, states, q, h, carried, step=len(carried.rows), window=WINDOW)[1]


def own_part(state: dict[str, Array], prefix: str) -> dict[str, Array]:
    """The part of a state_dict below a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
