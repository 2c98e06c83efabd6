"""The Transformer's equations for one sentence at a time, as plain loops in float64, and models to hold them to."""

import cmath
import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from closed_forms import score_logits
from normaliser_forms import normalised
from torch import nn

from attnbench import registry
from attnbench.attention import Attention
from attnbench.models.base import MakeAttention
from attnbench.models.transformer import Transformer

Array = np.ndarray
StateDict = dict[str, Array]
SCORES = ("cosine", "additive", "location", "general", "dot", "scaled_dot", "distance", "bilinear", "trilinear")
POSITIONS = ("sinusoidal", "learned", "rotary", "alibi", "none")
# All sizes differ, so that no two axes can be taken for each other.
WIDTH, HEADS, LAYERS, HIDDEN = 12, 3, 2, 5
SOURCE_WORDS, TARGET_WORDS = 10, 7
LONGEST = 5  # rows of `location`: fewer than the positions of a source and of a target below
MAX_POSITIONS = 4
LENGTHS = torch.tensor([7, 4, 2, 1])  # of the sources below, EOS included
STEPS = 6


def attention(score: str, longest: int = LONGEST, normaliser: str = "softmax", **options: Any) -> MakeAttention:
    """What builds the attention of a head, with options of the score."""

    def make(width: int, over: str = "source") -> Attention:
        del over  # the same number of rows for both, fewer than either has positions
        return Attention(score, "self", normaliser, width=width, max_source_length=longest, **options)

    return make


def randomised(module: nn.Module, seed: int = 0) -> Any:
    """The module in float64 with weights that depend on their names and the seed, not on how it was built.

    Nothing is left at 0 or 1, where a missing parameter would not be missed.
    """
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            random = torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
            parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.6)
            if name.endswith("norm.weight"):
                parameter.add_(1)
    return module.double().eval()


def build(
    score: str, positions: str = "sinusoidal", seed: int = 0, normaliser: str = "softmax", **options: Any
) -> Transformer:
    """A model of the sizes above, or of those given."""
    sizes = {"width": WIDTH, "heads": HEADS, "layers": LAYERS, "hidden": HIDDEN, "max_positions": MAX_POSITIONS}
    built = registry.model.build(
        "transformer",
        registry.model.entry("transformer").resolve(sizes | {"positions": positions} | options),
        source_vocabulary=SOURCE_WORDS,
        target_vocabulary=TARGET_WORDS,
        attention=attention(score, normaliser=normaliser),
    )
    return randomised(built, seed)


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sources (4,7) ending in EOS at LENGTHS and then padded with 0, those lengths, and previous words (4,6)."""
    random = torch.Generator().manual_seed(seed)
    source = torch.randint(3, SOURCE_WORDS, (4, 7), generator=random)
    positions = torch.arange(7)
    source[positions == LENGTHS[:, None] - 1] = 2
    source[positions >= LENGTHS[:, None]] = 0
    previous = torch.randint(3, TARGET_WORDS, (4, STEPS), generator=random)
    previous[:, 0] = 1
    return source, LENGTHS, previous


def arrays(module: nn.Module) -> StateDict:
    """A module's parameters by name."""
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def part(state: StateDict, prefix: str) -> StateDict:
    """What stands below a prefix."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def sinusoid(position: int, width: int) -> Array:
    """PE(p, 2j) = sin(p / 10000^(2j/D)), PE(p, 2j+1) = cos(p / 10000^(2j/D)) (Vaswani et al. 2017, §3.5)."""
    found = np.zeros(width)
    for k in range(width):
        angle = position / 10000 ** ((k - k % 2) / width)
        found[k] = math.cos(angle) if k % 2 else math.sin(angle)
    return found


def turn(vector: Array, position: int) -> Array:
    """Rotary: x_{2j} + i·x_{2j+1} times e^{i·p·θ_j}, θ_j = 10000^(−2j/d) (Su et al. 2021, eq. 12 and 15)."""
    found = np.zeros(len(vector))
    for j in range(len(vector) // 2):
        theta = 10000 ** (-2 * j / len(vector))
        turned = complex(vector[2 * j], vector[2 * j + 1]) * cmath.exp(1j * position * theta)
        found[2 * j], found[2 * j + 1] = turned.real, turned.imag
    return found


def slope(head: int, heads: int) -> float:
    """ALiBi: a geometric sequence that starts at 2^(−8/H), with that as its ratio (Press et al. 2022, §3)."""
    found = start = 2 ** (-8 / heads)
    for _ in range(head):
        found *= start
    return found


def multihead(
    state: StateDict,
    score: str,
    queries: Array,
    keys: Array,
    heads: int,
    allowed: Sequence[Sequence[int]],
    told: str = "",
    normaliser: str = "softmax",
) -> tuple[Array, Array]:
    """The context (T,D) and the weights (H,T,S) of queries (T,D) over keys (S,D), which are the values too.

    `allowed` lists for each query the positions it may read; `told` is rotary, alibi, or neither. A normaliser's
    parameter is that of its head.
    """
    width = queries.shape[1] // heads
    weights = np.zeros((heads, len(queries), len(keys)))
    joined = np.zeros(queries.shape)
    for h in range(heads):
        rows = slice(h * width, (h + 1) * width)
        q, k, v = (
            np.stack([state[f"{name}_proj.weight"][rows] @ x for x in vectors])
            for name, vectors in (("query", queries), ("key", keys), ("value", keys))
        )
        if told == "rotary":
            q, k = (np.stack([turn(x, p) for p, x in enumerate(vectors)]) for vectors in (q, k))
        own = part(state, f"attention.{h}.attention.score.")
        logits = score_logits(score, own, q[None], k[None])[0]
        numbers = {k: float(v) for k, v in part(state, f"attention.{h}.attention.scope.normaliser.").items()}
        for t in range(len(queries)):
            for i in range(len(keys)):
                logits[t, i] -= slope(h, heads) * abs(t - i) if told == "alibi" else 0
            weights[h, t] = normalised(normaliser, logits[t], allowed[t], **numbers)
            for i in range(len(keys)):
                joined[t, rows] += weights[h, t, i] * v[i]
    return np.stack([state["out_proj.weight"] @ x for x in joined]), weights


def norm(state: StateDict, name: str, states: Array) -> Array:
    """Each row less its mean, over its deviation, times the gain plus the bias (Ba et al. 2016)."""
    found = np.zeros(states.shape)
    for t, x in enumerate(states):
        mean = sum(x) / len(x)
        variance = sum((v - mean) ** 2 for v in x) / len(x)
        found[t] = state[f"{name}.weight"] * (x - mean) / math.sqrt(variance + 1e-5) + state[f"{name}.bias"]
    return found


def feed_forward(state: StateDict, states: Array) -> Array:
    """W_2 max(0, W_1 x + b_1) + b_2 (Vaswani et al. 2017, eq. 2)."""
    rows = []
    for x in states:
        inner = np.maximum(state["feed_forward.0.weight"] @ x + state["feed_forward.0.bias"], 0)
        rows.append(state["feed_forward.2.weight"] @ inner + state["feed_forward.2.bias"])
    return np.stack(rows)


def embed(state: StateDict, side: int, words: Sequence[int], positions: str) -> Array:
    """The words of the source (side 0) or the target (side 1), told of their positions: (T,D)."""
    table = state[("source", "target")[side] + "_embedding.weight"]
    rows = []
    for p, word in enumerate(words):
        x = table[word]
        if positions == "sinusoidal":
            x = x + sinusoid(p, len(x))
        if positions == "learned":
            learned = state["position_table"][side]
            x = x + learned[min(p, len(learned) - 1)]
        rows.append(x)
    return np.stack(rows)


def run(
    model: Transformer,
    score: str,
    positions: str,
    source: list[int],
    previous: list[int],
    heads: int = HEADS,
    normaliser: str = "softmax",
) -> tuple[Array, Array]:
    """The word logits (T,V) and the last layer's cross-weights (H,T,S) of one sentence after the previous words."""
    state = arrays(model)
    layers = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("encoder."))
    everywhere = [range(len(source))] * len(source)
    x = embed(state, 0, source, positions)
    for n in range(layers):
        own = part(state, f"encoder.{n}.")
        seen = norm(own, "self_attention_norm", x)
        x = x + multihead(part(own, "self_attention."), score, seen, seen, heads, everywhere, positions, normaliser)[0]
        x = x + feed_forward(own, norm(own, "feed_forward_norm", x))
    memory = norm(state, "encoder_norm", x)
    y, weights = embed(state, 1, previous, positions), np.zeros(0)
    for n in range(layers):
        own = part(state, f"decoder.{n}.")
        seen = norm(own, "self_attention_norm", y)
        past = [range(t + 1) for t in range(len(previous))]
        y = y + multihead(part(own, "self_attention."), score, seen, seen, heads, past, positions, normaliser)[0]
        seen, all_of_it = norm(own, "cross_attention_norm", y), [range(len(source))] * len(previous)
        cross = part(own, "cross_attention.")
        read, weights = multihead(cross, score, seen, memory, heads, all_of_it, normaliser=normaliser)
        y = y + read
        y = y + feed_forward(own, norm(own, "feed_forward_norm", y))
    y = norm(state, "decoder_norm", y)
    return np.stack([state["readout.weight"] @ v + state["readout.bias"] for v in y]), weights
