"""The equations of Cheng, Dong & Lapata 2016 for one sentence at a time, in float64, and models to hold to them.

The names are theirs: γ and α are the encoder's hidden states and cells, h and c the decoder's, and a tilde is a sum
weighted by attention.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from carried_forms import Carried, step_logits
from closed_forms import softmax
from rnn_equations import EMBEDDING, LONGEST, VOCABULARY, WIDTH, build
from torch import Tensor

from attnbench.attention_types import Source
from attnbench.models.lstmn import LSTMN, LSTMNState

Array = np.ndarray
FUSIONS = ("none", "shallow", "deep")


def lstmn(
    score: str, fusion: str, longest: int = LONGEST, seed: int = 0, width: int = WIDTH, embedding: int = EMBEDDING
) -> LSTMN:
    """A model in float64 whose every parameter is drawn anew, so that none can hide by being 0 or another's equal."""
    model = build(score, "self", "lstmn", longest=longest, fusion=fusion, width=width, embedding=embedding)
    assert isinstance(model, LSTMN)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.8 * torch.randn(parameter.shape, generator=random, dtype=torch.float64))
    return model


def decode(
    model: LSTMN, source: Tensor, lengths: Tensor | None, previous: Tensor
) -> tuple[Source, list[tuple[LSTMNState, Tensor, Tensor]]]:
    """What encoding gives and then, for every step, the state, the words and the weights."""
    memory, state = model.encode(source, lengths)
    trace = []
    for index, word in enumerate(previous.unbind(1)):
        state, words, weights = model.step(memory, state, word, index)
        trace.append((state, words, weights))
    return memory, trace


class Steps(NamedTuple):
    """All that happens on one sentence of S words and T words before the target's.

    `source`: the encoder's tapes [γ_j; α_j] (S,2D); `reads`: h̃_t (T,D); `attended_source`: γ̃_t (T,D) of deep fusion;
    `tapes`: the decoder's [h_t; c_t] (T+1,2D), the first of which is the encoder's last; `logits`: (T,V);
    `weights`: the cross-attention (T,S).
    """

    source: Array
    reads: Array
    attended_source: Array
    tapes: Array
    logits: Array
    weights: Array


# The logits (n,) of an attention (state_dict, its prefix) for x_t, what was read a step ago, the keys (n,D), and what
# the attention carries.
Compare = Callable[[dict[str, Array], str, Array, Array, Array, Carried], Array]


def composed(score: str) -> Compare:
    """The score with W_s [x_t; h̃_{t−1}] as its query."""

    def compare(state: dict[str, Array], part: str, x: Array, last: Array, keys: Array, carried: Carried) -> Array:
        query = state[f"{part}.query_proj.weight"] @ np.concatenate([x, last])
        return scored(state, part, score, query, keys, carried)

    return compare


def paper(state: dict[str, Array], part: str, x: Array, last: Array, keys: Array, carried: Carried) -> Array:
    """a_i = vᵀ tanh(W_h h_i + W_x x_t + W_h̃ h̃_{t−1}), the paper's own score, and its b_j with γ in the place of h.

    W_x and W_h̃ are the two blocks of W_q W_s.
    """
    del carried  # the additive score carries nothing
    joined = state[f"{part}.attention.score.query_proj.weight"] @ state[f"{part}.query_proj.weight"]
    w_x, w_last = joined[:, : len(x)], joined[:, len(x) :]
    w_h, v = state[f"{part}.attention.score.key_proj.weight"], state[f"{part}.attention.score.v.weight"][0]
    found = np.zeros(len(keys))
    for i, h in enumerate(keys):
        for a in range(len(v)):
            found[i] += v[a] * math.tanh(w_h[a] @ h + w_x[a] @ x + w_last[a] @ last)
    return found


def scored(state: dict[str, Array], part: str, score: str, query: Array, keys: Array, carried: Carried) -> Array:
    """The logits (n,) of one query (D,) against keys (n,D)."""
    prefix = f"{part}.attention.score."
    own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return step_logits(score, own, query, keys, carried)


def run(model: LSTMN, score: str, fusion: str, source: list[int], previous: list[int], compare: Compare) -> Steps:
    """The whole pass over one unpadded sentence."""
    state = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    width = model.width
    tapes: list[Array] = []
    read, carried = np.zeros(width), Carried()
    for x in state["source_embedding.weight"][source]:
        read, c_read, _ = attend(state, "encoder", compare, x, read, tapes, width, carried)
        tapes.append(cell(state, "encoder", x, read, c_read, np.zeros(width)))
    encoded, past = tapes, [tapes[-1]]
    read, crossed = np.zeros(width), np.zeros(width)
    carried, of_cross = Carried(), Carried()
    reads, crosses, words, rows = [], [], [], []
    for x in state["target_embedding.weight"][previous]:
        read, c_read, _ = attend(state, "decoder", compare, x, read, past, width, carried)
        more, weights = np.zeros(width), np.zeros(len(encoded))
        if fusion == "deep":
            crossed, alpha, weights = attend(state, "deep", compare, x, crossed, encoded, width, of_cross)
            gate = state["deep.gate.weight"]  # W_r, its columns those of x_t first
            z = gate[:, : len(x)] @ x + gate[:, len(x) :] @ crossed + state["deep.gate.bias"]
            more = sigmoid(z) * alpha
        past.append(cell(state, "decoder", x, read, c_read, more))
        output = past[-1][:width]
        if fusion == "shallow":
            logits = scored(state, "shallow", score, output, hidden(encoded, width), of_cross)
            weights = softmax(logits, range(len(encoded)))
            of_cross.rows.append(weights)
            context = mix(weights, encoded, width)[:width]
            output = np.tanh(state["shallow.combine.weight"] @ np.concatenate([context, output]))
        reads.append(read)
        crosses.append(crossed)
        rows.append(weights)
        words.append(state["readout.weight"] @ output + state["readout.bias"])
    return Steps(*(np.stack(each) for each in (encoded, reads, crosses, past, words, rows)))


def attend(
    state: dict[str, Array],
    part: str,
    compare: Compare,
    x: Array,
    last: Array,
    tapes: list[Array],
    width: int,
    carried: Carried,
) -> tuple[Array, Array, Array]:
    """[h̃_t; c̃_t] = Σ_i s_i [h_i; c_i] in its two halves, and s = softmax_i(a_i) over the tapes as they stand."""
    if not tapes:
        return np.zeros(width), np.zeros(width), np.zeros(0)
    weights = softmax(compare(state, part, x, last, hidden(tapes, width), carried), range(len(tapes)))
    carried.rows.append(weights)
    both = mix(weights, tapes, width)
    return both[:width], both[width:], weights


def cell(state: dict[str, Array], part: str, x: Array, read: Array, c_read: Array, more: Array) -> Array:
    """[h_t; c_t] from c_t = r ⊙ α̃ + f ⊙ c̃ + i ⊙ ĉ, the first term being `more`, and h_t = o ⊙ tanh(c_t)."""
    z = state[f"{part}.input_proj.weight"] @ x + state[f"{part}.input_proj.bias"]
    z = z + state[f"{part}.recurrent_proj.weight"] @ read + state[f"{part}.recurrent_proj.bias"]
    input_gate, forget_gate, candidate, output_gate = z.reshape(4, -1)
    c = more + sigmoid(forget_gate) * c_read + sigmoid(input_gate) * np.tanh(candidate)
    return np.concatenate([sigmoid(output_gate) * np.tanh(c), c])


def mix(weights: Array, tapes: list[Array], width: int) -> Array:
    return sum((w * both for w, both in zip(weights, tapes, strict=True)), np.zeros(2 * width))


def hidden(tapes: list[Array], width: int) -> Array:
    return np.stack([both[:width] for both in tapes])


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


WORDS = VOCABULARY + 3  # PAD, BOS and EOS besides
QUERY, GATES = (WIDTH, EMBEDDING + WIDTH), 4 * WIDTH
SCORE_SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "additive": {"query_proj.weight": (WIDTH, WIDTH), "key_proj.weight": (WIDTH, WIDTH), "v.weight": (1, WIDTH)},
    "cosine": {"strength": ()},
    "dot": {},
    "general": {"key_proj.weight": (WIDTH, WIDTH)},
    "location": {"proj.weight": (LONGEST, WIDTH)},
    "scaled_dot": {},
    "distance": {"scale": ()},
    "bilinear": {"query_proj.weight": (8, WIDTH), "key_proj.weight": (8, WIDTH)},
    "trilinear": {f"{part}_proj.weight": (1, WIDTH) for part in ("query", "key", "product")},
    "location_conv": {
        "query_proj.weight": (WIDTH, WIDTH),
        "key_proj.weight": (WIDTH, WIDTH),
        "filter.weight": (8, 5),
        "feature_proj.weight": (WIDTH, 8),
        "feature_proj.bias": (WIDTH,),
        "v.weight": (1, WIDTH),
    },
    "coverage": {
        "query_proj.weight": (WIDTH, WIDTH),
        "key_proj.weight": (WIDTH, WIDTH),
        "coverage_proj.weight": (WIDTH, 1),
        "v.weight": (1, WIDTH),
    },
    "gmm": {
        "hidden_proj.weight": (WIDTH, WIDTH),
        "hidden_proj.bias": (WIDTH,),
        "window_proj.weight": (15, WIDTH),
        "window_proj.bias": (15,),
    },
}
CELL_SHAPES: dict[str, tuple[int, ...]] = {
    "query_proj.weight": QUERY,
    "input_proj.weight": (GATES, EMBEDDING),
    "input_proj.bias": (GATES,),
    "recurrent_proj.weight": (GATES, WIDTH),
    "recurrent_proj.bias": (GATES,),
}
FUSION_SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "shallow": {"combine.weight": (WIDTH, 2 * WIDTH)},
    "deep": {"query_proj.weight": QUERY, "gate.weight": QUERY, "gate.bias": (WIDTH,)},
}


def shapes(score: str, fusion: str) -> dict[str, tuple[int, ...]]:
    """Every parameter that the equations have, of a model of WIDTH and EMBEDDING."""
    attention = {f"attention.score.{name}": shape for name, shape in SCORE_SHAPES[score].items()}
    found: dict[str, tuple[int, ...]] = {
        f"{side}_embedding.weight": (WORDS, EMBEDDING) for side in ("source", "target")
    }
    parts = {"encoder": CELL_SHAPES, "decoder": CELL_SHAPES} | (
        {} if fusion == "none" else {fusion: FUSION_SHAPES[fusion]}
    )
    for part, own in parts.items():
        found |= {f"{part}.{name}": shape for name, shape in (own | attention).items()}
    return found | {"readout.weight": (WORDS, WIDTH), "readout.bias": (WORDS,)}
