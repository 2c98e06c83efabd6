"""The Transformer: an encoder and a decoder of multi-head attention, any score in every head."""

from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from attnbench.models.base import MakeAttention, Output, Parts, Seq2Seq
from attnbench.models.multihead import Heads, MultiHead
from attnbench.models.positions import distance_bias, sinusoids
from attnbench.registry import model
from attnbench.scopes.masking import valid_positions


class Memory(NamedTuple):
    """What every step of decoding reads: the source as each decoder layer's heads want it, and its mask (B,1,S)."""

    sources: tuple[Heads, ...]
    mask: Tensor | None


Caches = tuple[Heads | None, ...]  # what each decoder layer has of the steps so far


@model("transformer")
class Transformer(Seq2Seq):
    """Encoder self-attention, causal decoder self-attention and cross-attention, of `heads` heads in `layers` layers.

    Formula: x ← x + MultiHead(norm(x)), x ← x + W_2 relu(W_1 norm(x)), p(y_t) = softmax(W_o norm(x_t))
    Source: Vaswani et al. 2017 (arXiv 1706.03762), the norm before each part (Xiong et al. 2020, arXiv 2002.04745)

    The norm comes first so that no warm-up is needed. `positions`: `sinusoidal` and `learned` (up to `max_positions`;
    what lies beyond takes the last one) are added to the embedded words; `rotary` and `alibi` act in the two
    self-attentions; with `none` no score but location can tell an input from its permutation. The inner layer of W_1
    and W_2 has `hidden` units, 4 times the width unless set. The alignment is the last layer's cross-attention, the
    mean of its heads.
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        attention: MakeAttention,
        width: PositiveInt = 64,
        heads: PositiveInt = 4,
        layers: PositiveInt = 2,
        positions: Literal["sinusoidal", "learned", "rotary", "alibi", "none"] = "sinusoidal",
        hidden: PositiveInt | None = None,
        max_positions: Annotated[int, Field(gt=0, le=100_000)] = 256,
    ) -> None:
        super().__init__()
        self.width, self.heads, self.positions = width, heads, positions
        self.alignment_heads = heads
        self.source_embedding = nn.Embedding(source_vocabulary, width)
        self.target_embedding = nn.Embedding(target_vocabulary, width)
        table = nn.Parameter(torch.randn(2, max_positions, width)) if positions == "learned" else None
        self.position_table = table  # of the source and of the target
        hidden, rotary = hidden or 4 * width, positions == "rotary"
        shape = width, heads, hidden, attention, rotary
        self.encoder = Parts[Layer](Layer(*shape) for _ in range(layers))
        self.decoder = Parts[DecoderLayer](DecoderLayer(*shape) for _ in range(layers))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.readout = nn.Linear(width, target_vocabulary)

    def encode(self, source: Tensor, lengths: Tensor | None) -> tuple[Memory, Caches]:
        """The memory, and the empty cache of each decoder layer."""
        states, mask = self._embed(self.source_embedding, source, 0), None
        valid = valid_positions(lengths, source.shape[1])
        if valid is not None:
            mask = valid.unsqueeze(1)
            # 0 · NaN is NaN: a weight of 0 alone would not keep padding out of sums.
            states = states.masked_fill(~mask.mT, 0)
        bias = self._bias(0, source.shape[1], source.shape[1], states)
        for layer in self.encoder:
            states = layer.look_around(states, layer.own.prepare(layer.own_norm(states)), mask, bias, 0)
            states = layer.think(states)
        states = self.encoder_norm(states)
        sources = tuple(layer.cross.prepare(states) for layer in self.decoder)
        return Memory(sources, mask), (None,) * len(self.decoder)

    def forward(self, source: Tensor, lengths: Tensor | None, previous: Tensor) -> Output:
        """The pass with the gold words as input, all steps at once."""
        memory, caches = self.encode(source, lengths)
        _, words, weights = self._decode(memory, caches, previous, 0)
        return Output(words, weights.mean(1), weights)

    def step(self, memory: Memory, state: Caches, previous: Tensor, index: int) -> tuple[Caches, Tensor, Tensor]:
        """One step of decoding: the caches with its keys and values, the logits (B,V), the weights (B,S)."""
        state, words, weights = self._decode(memory, state, previous.unsqueeze(1), index)
        return state, words.squeeze(1), weights.mean(1).squeeze(1)

    def _decode(self, memory: Memory, caches: Caches, previous: Tensor, start: int) -> tuple[Caches, Tensor, Tensor]:
        """Steps start, start+1, … after the words (B,T): the caches, logits (B,T,V), weights (B,H,T,S)."""
        states = self._embed(self.target_embedding, previous, start)
        length = start + previous.shape[1]
        steps = torch.arange(start, length, device=previous.device).unsqueeze(1)
        causal = torch.arange(length, device=previous.device) <= steps  # (T, start+T)
        bias = self._bias(start, previous.shape[1], length, states)
        longer, weights = [], states
        for layer, cache, source in zip(self.decoder, caches, memory.sources, strict=True):
            own = layer.own.prepare(layer.own_norm(states), start)
            own = own if cache is None else cache.followed_by(own)
            states = layer.look_around(states, own, causal if previous.shape[1] > 1 else None, bias, start)
            states, weights = layer.look_across(states, source, memory.mask)
            states = layer.think(states)
            longer.append(own)
        return tuple(longer), self.readout(self.decoder_norm(states)), weights

    def _embed(self, embedding: nn.Embedding, words: Tensor, start: int) -> Tensor:
        """Words (B,T) as vectors (B,T,D), with what they are told of their positions from `start` on."""
        states = embedding(words)
        if self.positions == "sinusoidal":
            return states + sinusoids(start, words.shape[1], self.width, states)
        if self.position_table is None:
            return states
        table = self.position_table[0 if embedding is self.source_embedding else 1]
        known = torch.arange(start, start + words.shape[1], device=words.device).clamp(max=len(table) - 1)
        return states + table[known]

    def _bias(self, start: int, length: int, keys: int, like: Tensor) -> Tensor | None:
        return distance_bias(self.heads, start, length, keys, like) if self.positions == "alibi" else None


class Layer(nn.Module):
    """Self-attention and an inner layer; each is added to what comes in."""

    def __init__(self, width: int, heads: int, hidden: int, attention: MakeAttention, rotary: bool) -> None:
        super().__init__()
        self.own_norm, self.own = nn.LayerNorm(width), MultiHead(width, heads, attention, rotary)
        self.inner_norm = nn.LayerNorm(width)
        self.inner = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def look_around(self, states: Tensor, own: Heads, mask: Tensor | None, bias: Tensor | None, start: int) -> Tensor:
        """Self-attention of states (B,T,D), the first at position `start`, over what `own` offers."""
        return states + self.own.read(self.own_norm(states), own, mask, bias, start)[0]

    def think(self, states: Tensor) -> Tensor:
        """The inner layer, each position by itself."""
        return states + self.inner(self.inner_norm(states))


class DecoderLayer(Layer):
    """A layer that also reads the source."""

    def __init__(self, width: int, heads: int, hidden: int, attention: MakeAttention, rotary: bool) -> None:
        super().__init__(width, heads, hidden, attention, rotary)
        self.cross_norm, self.cross = nn.LayerNorm(width), MultiHead(width, heads, attention)

    def look_across(self, states: Tensor, source: Heads, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Cross-attention of states (B,T,D) to the source; also its weights (B,H,T,S)."""
        read, weights = self.cross.read(self.cross_norm(states), source, mask)
        return states + read, weights
