"""The Transformer: an encoder and a decoder with multi-head attention, for any score."""

from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from attnbench.masking import valid_positions
from attnbench.models.base import MakeAttention, Output, Parts, Seq2Seq
from attnbench.models.multihead import Heads, MultiHead
from attnbench.models.positions import distance_bias, sinusoids
from attnbench.registry import model


class TransformerMemory(NamedTuple):
    """The encoded source.

    Attributes:
        sources: its keys and values, prepared for the cross-attention of each decoder layer.
        mask: (B,1,S), True on words; None if there is no padding.
    """

    sources: tuple[Heads, ...]
    mask: Tensor | None


# The keys and values of the previous steps, for the self-attention of each decoder layer; None before the first step.
Caches = tuple[Heads | None, ...]


@model("transformer")
class Transformer(Seq2Seq):
    """Transformer encoder-decoder, with the chosen score in every attention head.

    Formula: x ← x + MultiHead(norm(x)); x ← x + W_2 relu(W_1 norm(x)); p(y_t) = softmax(W_o norm(x_t))
    Source: Vaswani et al. 2017 (arXiv 1706.03762); layer normalisation first: Xiong et al. 2020 (arXiv 2002.04745)

    The encoder and the decoder have `layers` layers each; every attention (encoder self-attention, causal decoder
    self-attention, cross-attention) has `heads` heads. Layer normalisation is applied before each sublayer, because
    training then needs no warm-up. The feed-forward layer has `hidden` units (default: 4 times the width). The
    alignment is the cross-attention of the last layer, averaged over its heads.

    The option `positions` selects the position encoding:
    - `sinusoidal`, `learned`: added to the word embeddings. `learned` has `max_positions` positions; later ones use the
      last of them.
    - `rotary`, `alibi`: applied in the encoder's and the decoder's self-attention.
    - `none`: only the score `location` can then distinguish a source from its permutations.
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
        self.position_table = table  # one table for the source and one for the target
        hidden, rotary = hidden or 4 * width, positions == "rotary"
        shape = width, heads, hidden, attention, rotary
        self.encoder = Parts[Layer](Layer(*shape, over="source") for _ in range(layers))
        self.decoder = Parts[DecoderLayer](DecoderLayer(*shape) for _ in range(layers))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.readout = nn.Linear(width, target_vocabulary)

    def encode(self, source: Tensor, lengths: Tensor | None) -> tuple[TransformerMemory, Caches]:
        """Returns the memory, and an empty cache for each decoder layer."""
        states, mask = self._embed(self.source_embedding, source, 0), None
        valid = valid_positions(lengths, source.shape[1])
        if valid is not None:
            mask = valid.unsqueeze(1)
            # 0 · NaN is NaN: weights of 0 alone would not keep NaN or ∞ at padded positions out of the sums.
            states = states.masked_fill(~mask.mT, 0)
        bias = self._bias(0, source.shape[1], source.shape[1], states)
        for layer in self.encoder:
            states = layer.apply_self_attention(states, layer.prepare_self_attention(states, 0), mask, bias, 0)
            states = layer.apply_feed_forward(states)
        states = self.encoder_norm(states)
        sources = tuple(layer.cross_attention.prepare(states) for layer in self.decoder)
        return TransformerMemory(sources, mask), (None,) * len(self.decoder)

    def teacher_forced(self, memory: TransformerMemory, state: Caches, previous: Tensor) -> Output:
        """Decodes all steps at once with the gold words as input, with a causal mask."""
        _, logits, weights = self._decode(memory, state, previous, 0)
        return Output(logits, weights.mean(1), weights)

    def step(
        self, memory: TransformerMemory, state: Caches, previous: Tensor, index: int
    ) -> tuple[Caches, Tensor, Tensor]:
        """Decodes one step: returns the extended caches, the logits (B,V) and the weights (B,S)."""
        state, logits, weights = self._decode(memory, state, previous.unsqueeze(1), index)
        return state, logits.squeeze(1), weights.mean(1).squeeze(1)

    def _decode(
        self, memory: TransformerMemory, caches: Caches, previous: Tensor, start: int
    ) -> tuple[Caches, Tensor, Tensor]:
        """Decodes the steps from `start` on; returns the caches, the logits (B,T,V) and the weights (B,H,T,S).

        Args:
            memory: the encoded source.
            caches: keys and values of the steps before `start`.
            previous: (B,T), the previous target word of each step.
            start: index of the first of the T steps.
        """
        states = self._embed(self.target_embedding, previous, start)
        length = start + previous.shape[1]
        steps = torch.arange(start, length, device=previous.device).unsqueeze(1)
        causal = torch.arange(length, device=previous.device) <= steps  # (T, start+T)
        bias = self._bias(start, previous.shape[1], length, states)
        extended, weights = [], states
        for layer, cache, source in zip(self.decoder, caches, memory.sources, strict=True):
            past = layer.prepare_self_attention(states, start)
            past = past if cache is None else cache.followed_by(past)
            # A single query may use all keys in the cache, so step-by-step decoding needs no mask.
            states = layer.apply_self_attention(states, past, causal if previous.shape[1] > 1 else None, bias, start)
            states, weights = layer.apply_cross_attention(states, source, memory.mask)
            states = layer.apply_feed_forward(states)
            extended.append(past)
        return tuple(extended), self.readout(self.decoder_norm(states)), weights

    def _embed(self, embedding: nn.Embedding, words: Tensor, start: int) -> Tensor:
        """Returns the embeddings (B,T,D) of words (B,T), the first of which is at position `start`.

        `sinusoidal` and `learned` position embeddings are added here.
        """
        states = embedding(words)
        if self.positions == "sinusoidal":
            return states + sinusoids(start, words.shape[1], self.width, states)
        if self.position_table is None:
            return states
        table = self.position_table[0 if embedding is self.source_embedding else 1]
        known = torch.arange(start, start + words.shape[1], device=words.device).clamp(max=len(table) - 1)
        return states + table[known]

    def _bias(self, start: int, length: int, keys: int, like: Tensor) -> Tensor | None:
        """Returns the ALiBi bias (H,T,S), or None with any other position encoding."""
        return distance_bias(self.heads, start, length, keys, like) if self.positions == "alibi" else None


class Layer(nn.Module):
    """A Transformer layer: self-attention and a feed-forward layer, each with a residual connection.

    Args:
        width: D, a multiple of `heads`.
        heads: H.
        hidden: number of units of the feed-forward layer.
        attention: builds the attention of each head.
        rotary: whether self-attention uses rotary position embeddings.
        over: the sequence that self-attention attends to.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        attention: MakeAttention,
        rotary: bool,
        over: Literal["source", "target"],
    ) -> None:
        super().__init__()
        self.self_attention_norm = nn.LayerNorm(width)
        self.self_attention = MultiHead(width, heads, attention, rotary, over)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def prepare_self_attention(self, states: Tensor, start: int) -> Heads:
        """Returns the keys and values of states (B,T,D), the first of which is at position `start`."""
        return self.self_attention.prepare(self.self_attention_norm(states), start)

    def apply_self_attention(
        self, states: Tensor, keys: Heads, mask: Tensor | None, bias: Tensor | None, start: int
    ) -> Tensor:
        """Applies self-attention to states (B,T,D), the first of which is at position `start`.

        Args:
            states: (B,T,D).
            keys: the prepared keys and values, including those of previous steps.
            mask: broadcasts to (B,T,S), True where a position may be used; None if all positions may be used.
            bias: (H,T,S), added to the logits; None for no bias.
            start: position of the first query.
        """
        return states + self.self_attention.read(self.self_attention_norm(states), keys, mask, bias, start)[0]

    def apply_feed_forward(self, states: Tensor) -> Tensor:
        """Applies the feed-forward layer to states (B,T,D), independently at each position."""
        return states + self.feed_forward(self.feed_forward_norm(states))


class DecoderLayer(Layer):
    """A Transformer layer with an additional cross-attention to the source."""

    def __init__(self, width: int, heads: int, hidden: int, attention: MakeAttention, rotary: bool) -> None:
        super().__init__(width, heads, hidden, attention, rotary, over="target")
        self.cross_attention_norm = nn.LayerNorm(width)
        self.cross_attention = MultiHead(width, heads, attention)

    def apply_cross_attention(self, states: Tensor, source: Heads, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Applies cross-attention to states (B,T,D); returns the new states and the weights (B,H,T,S).

        Rotary embeddings and the ALiBi bias are not applied here: they encode distances within one sequence.
        """
        context, weights = self.cross_attention.read(self.cross_attention_norm(states), source, mask)
        return states + context, weights
