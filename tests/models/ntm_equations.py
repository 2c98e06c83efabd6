"""The neural Turing machine of Graves, Wayne & Danihelka 2014, §3, for one sentence at a time, as loops in float64.

N slots of M numbers; the numbers of the equations are the paper's.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from closed_forms import Normalise, score_logits, softmax
from rnn_equations import EMBEDDING, VOCABULARY, WIDTH, advance, build, sigmoid
from torch import Tensor

from attnbench.models.ntm import NTM, Machine

Array = np.ndarray
SCORES = ("additive", "bilinear", "cosine", "distance", "dot", "general", "scaled_dot", "trilinear")
CONTROLLERS = ("lstm", "gru", "feedforward")
EXACT = {"rtol": 0, "atol": 1e-10}
SURE = 60.0  # softmax, sigmoid and tanh of it are 1 to 1e-16
SIZES: dict[str, Any] = {"controller": "lstm", "slots": 5, "slot_width": 3, "heads": 1, "shifts": 1}


def ntm(score: str = "cosine", seed: int = 0, **options: Any) -> NTM:
    """A machine of SIZES, unless other options say so, whose every parameter is drawn anew and none is 0."""
    model = build(score, "global", "ntm", **(SIZES | options))
    assert isinstance(model, NTM)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.8 * torch.randn(parameter.shape, generator=random, dtype=torch.float64))
    return model


def by_hand(reading: list[int], writing: list[int], **options: Any) -> NTM:
    """A machine whose heads ignore content, and move at every step by these numbers of slots; all else is 0."""
    model = ntm(heads=len(reading), **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for head, j in zip(heads_of(model), [*reading, *writing], strict=True):
            head[model.slot_width + 1] = -SURE  # the gate: nothing by content
            head[model.slot_width + 3 :][len(head[model.slot_width + 3 :]) // 2 + j] = SURE
    return model


def copier(slots: int) -> NTM:
    """A machine that copies: each word goes to the next slot as a one-hot vector, and the answer reads slot by slot.

    The controller's units are the word's id and "a word is here", on which the reading head waits at slot 0.
    """
    ids = VOCABULARY + 3
    options = {"controller": "feedforward", "width": ids + 1, "embedding": ids + 1, "slot_width": ids, "slots": slots}
    model = by_hand(reading=[1], writing=[1], **options)
    with torch.no_grad():
        model.source_embedding.weight.copy_(torch.eye(ids, ids + 1))
        model.source_embedding.weight[:, -1] = 1
        model.controller.input_proj.weight[:, : ids + 1] = SURE * torch.eye(ids + 1)
        waiting = model.address_proj.weight.view(2, -1, ids + 1)[0, -3:, -1]
        waiting[1], waiting[2] = SURE, -SURE
        model.erase_proj.bias.fill_(-SURE)
        model.add_proj.weight.copy_(SURE * torch.eye(ids, ids + 1))
        model.readout.weight[:, ids + 1 :] = torch.eye(ids)
    return model


def heads_of(model: NTM) -> Any:
    """The biases of each head's numbers: first the reading heads, then the writing ones."""
    return model.address_proj.bias.view(2 * model.heads, -1)


def assert_close(found: Tensor, expected: Any) -> None:
    """Equal to 1e-10."""
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=0, atol=1e-10)


def answer(model: NTM, memory: Tensor, state: Machine, previous: Tensor) -> list[tuple[Machine, Tensor, Tensor]]:
    """The machine, the words and the weights of every step."""
    trace = []
    for index, word in enumerate(previous.unbind(1)):
        state, words, weights = model.step(memory, state, word, index)
        trace.append((state, words, weights))
    return trace


def beginning(model: NTM, sentences: int = 2) -> Machine:
    """The machine before it has read anything: that of sentences of no words."""
    return model.encode(torch.full((sentences, 1), 3), torch.zeros(sentences, dtype=torch.long))[1]


def shapes(score: str, options: dict[str, Any], vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Every parameter that the equations have, of a machine with as many target words as source words."""
    slot_width, heads = options["slot_width"], options["heads"]
    reads = heads * slot_width
    gates = {"lstm": 4, "gru": 3, "feedforward": 1}[options["controller"]]
    layers = {
        "controller.input_proj": (gates * WIDTH, EMBEDDING + reads),
        "controller.recurrent_proj": (gates * WIDTH, WIDTH),
        "address_proj": (2 * heads * (slot_width + 3 + 2 * options["shifts"] + 1), WIDTH),  # k; β, g, γ; s
        "erase_proj": (reads, WIDTH),
        "add_proj": (reads, WIDTH),
        "readout": (vocabulary, WIDTH + reads),
    }
    if options["controller"] == "feedforward":
        del layers["controller.recurrent_proj"]
    found: dict[str, tuple[int, ...]] = {"source_embedding.weight": (vocabulary, EMBEDDING)}
    for name, shape in layers.items():
        found |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    square = (slot_width, slot_width)
    own: dict[str, dict[str, tuple[int, ...]]] = {
        "additive": {"query_proj.weight": square, "key_proj.weight": square, "v.weight": (1, slot_width)},
        "cosine": {"strength": ()},
        "general": {"key_proj.weight": square},
        "distance": {"scale": ()},
        "bilinear": {"query_proj.weight": (8, slot_width), "key_proj.weight": (8, slot_width)},
        "trilinear": {f"{part}_proj.weight": (1, slot_width) for part in ("query", "key", "product")},
    }
    return found | {f"attention.score.{name}": shape for name, shape in own.get(score, {}).items()}


def read(memory: Array, weights: Array) -> Array:
    """r = Σ_n w(n) M(n), eq. 2: (M,)."""
    found = np.zeros(memory.shape[1])
    for n in range(len(memory)):
        for m in range(memory.shape[1]):
            found[m] += weights[n] * memory[n, m]
    return found


def write(memory: Array, weights: Array, erase: Array, add: Array) -> Array:
    """The memory (N,M) after heads with weights (H,N), erase (H,M) and add (H,M): first all erase, then all add."""
    after = memory.copy()
    for w, e in zip(weights, erase, strict=True):  # eq. 3
        for n in range(len(memory)):
            for m in range(memory.shape[1]):
                after[n, m] *= 1 - w[n] * e[m]
    for w, a in zip(weights, add, strict=True):  # eq. 4
        for n in range(len(memory)):
            for m in range(memory.shape[1]):
                after[n, m] += w[n] * a[m]
    return after


def content(
    score: str, own: dict[str, Array], key: Array, strength: float, memory: Array, normalise: Normalise = softmax
) -> Array:
    """w^c(n) = exp(β K(k, M(n))) / Σ_m exp(β K(k, M(m))), eq. 5: (N,); or with another normaliser."""
    logits = score_logits(score, own, key[None, None], memory[None])[0, 0]
    return normalise(strength * logits, range(len(memory)))


def interpolate(by_content: Array, last: Array, gate: float) -> Array:
    """w^g(n) = g w^c(n) + (1 − g) w_{t−1}(n), eq. 7."""
    return np.array([gate * c + (1 - gate) * w for c, w in zip(by_content, last, strict=True)])


def shift(weights: Array, amounts: Array) -> Array:
    """w̃(n) = Σ_m w^g(m) s(n − m), all indices modulo N, eq. 8; amounts are s(−R) … s(R)."""
    size, reach = len(weights), (len(amounts) - 1) // 2
    s = np.zeros(size)
    for j in range(-reach, reach + 1):
        s[j % size] += amounts[j + reach]
    return np.array([sum(weights[m] * s[(n - m) % size] for m in range(size)) for n in range(size)])


def sharpen(weights: Array, power: float) -> Array:
    """w(n) = w̃(n)^γ / Σ_m w̃(m)^γ, eq. 9."""
    total = sum(w**power for w in weights)
    return np.array([w**power / total for w in weights])


def address(
    score: str, own: dict[str, Array], numbers: Array, memory: Array, last: Array, normalise: Normalise = softmax
) -> Array:
    """The weights (N,) of one head that gets these numbers: k (M,), β, g, γ, s (2R+1,), each still to be brought
    into the range that the paper asks for."""
    width = memory.shape[1]
    key = np.tanh(numbers[:width])
    beta, g, gamma = (float(number) for number in numbers[width : width + 3])
    strength, gate, power = softplus(beta), sigmoid(g), 1 + softplus(gamma)
    amounts = softmax(numbers[width + 3 :], range(len(numbers) - width - 3))
    mixed = interpolate(content(score, own, key, strength, memory, normalise), last, gate)
    return sharpen(shift(mixed, amounts), power)


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


class Now(NamedTuple):
    """The machine after a step: its memory (N,M), the weights of its reading and writing heads (H,N), what was read
    (H·M,), the controller's output and cell (D,), and the logits (V,) that it would give."""

    memory: Array
    reading: Array
    writing: Array
    read: Array
    output: Array
    cell: Array
    logits: Array


def start(slots: int, slot_width: int, heads: int) -> Now:
    """All heads at slot 0 of a constant memory, and nothing read."""
    at_slot_0 = np.zeros((heads, slots))
    at_slot_0[:, 0] = 1
    blank = np.full((slots, slot_width), 0.000001)
    nothing, unknown = np.zeros(heads * slot_width), np.zeros(0)
    return Now(blank, at_slot_0, at_slot_0.copy(), nothing, np.zeros(WIDTH), np.zeros(WIDTH), unknown)


def step(state: dict[str, Array], score: str, kind: str, last: Now, word: Array, normalise: Normalise = softmax) -> Now:
    """One step with a word (E,) as input: the controller, the addresses, the writing, and then the reading."""
    output, cell = control(state, kind, last, word)
    heads = len(last.reading)
    own = {k.removeprefix("attention.score."): v for k, v in state.items() if k.startswith("attention.score.")}
    numbers = layer(state, "address_proj", output).reshape(2 * heads, -1)
    before = [*last.reading, *last.writing]
    after = [address(score, own, numbers[h], last.memory, before[h], normalise) for h in range(2 * heads)]
    reading, writing = np.array(after[:heads]), np.array(after[heads:])
    erase = 1 / (1 + np.exp(-layer(state, "erase_proj", output))).reshape(heads, -1)
    add = np.tanh(layer(state, "add_proj", output)).reshape(heads, -1)
    memory = write(last.memory, writing, erase, add)
    found = np.concatenate([read(memory, w) for w in reading])
    logits = layer(state, "readout", np.concatenate([output, found]))
    return Now(memory, reading, writing, found, output, cell, logits)


def control(state: dict[str, Array], kind: str, last: Now, word: Array) -> tuple[Array, Array]:
    """The controller's output and cell (D,) from a word and what was read a step ago."""
    a = layer(state, "controller.input_proj", np.concatenate([word, last.read]))
    if kind == "feedforward":
        return np.tanh(a), last.cell
    return advance(kind, a, layer(state, "controller.recurrent_proj", last.output), last.output, last.cell)


def layer(state: dict[str, Array], name: str, x: Array) -> Array:
    return state[f"{name}.weight"] @ x + state[f"{name}.bias"]


def run(
    model: NTM, score: str, source: list[int], steps: int, normalise: Normalise = softmax, **options: Any
) -> tuple[list[Now], Array]:
    """The machine after each of the S source words and the T steps of its answer, and the alignment (T,S)."""
    given = SIZES | options
    state = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    now, trace = start(given["slots"], given["slot_width"], given["heads"]), []
    for word in source:
        now = step(state, score, given["controller"], now, state["source_embedding.weight"][word], normalise)
        trace.append(now)
    for _ in range(steps):
        now = step(state, score, given["controller"], now, np.zeros(EMBEDDING), normalise)
        trace.append(now)
    return trace, overlap(trace[len(source) :], trace[: len(source)])


def overlap(answer: list[Now], asked: list[Now]) -> Array:
    """A_{t,i} = Σ_n read_t(n) write_i(n): the mean over reading and writing heads."""
    found = np.zeros((len(answer), len(asked)))
    for t, reader in enumerate(answer):
        for i, writer in enumerate(asked):
            for r in reader.reading:
                for w in writer.writing:
                    pairs = len(reader.reading) * len(writer.writing)
                    found[t, i] += sum(x * y for x, y in zip(r, w, strict=True)) / pairs
    return found
