"""Attentions that are right: those of PyTorch, of attnbench, of x-transformers, and with normalisers of entmax."""

import warnings

import torch
from entmax import entmax15, sparsemax
from torch import nn

import attnbench

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it calls torch.jit.script, which is deprecated
    from x_transformers.x_transformers import Attention as XTransformersAttention


class Scored(nn.Module):
    """A score of attnbench with the softmax."""

    def __init__(self, score, width=32):
        super().__init__()
        self.width = width
        self.attention = attnbench.Attention(score, width=width, max_source_length=200)

    def forward(self, query, key, value, mask=None):
        source = self.attention.prepare(key, value, None)
        if mask is not None:
            mask = mask if mask.ndim == 3 else mask[:, None]
            kept = mask.any(1).unsqueeze(-1)  # as `prepare` does with lengths
            source = self.attention.prepare(key.masked_fill(~kept, 0), value.masked_fill(~kept, 0), None)
            source = source._replace(mask=mask)
        return self.attention.read(query, source).context


class Sparse(nn.Module):
    """Dot-product attention with a normaliser of the package entmax."""

    def __init__(self, normaliser, width=32):
        super().__init__()
        self.width, self.normaliser = width, normaliser
        self.query_proj, self.key_proj = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)

    def forward(self, query, key, value, mask=None):
        logits = self.query_proj(query) @ self.key_proj(key).mT / self.width**0.5
        if mask is None:
            return self.normaliser(logits, dim=-1) @ value
        mask = mask if mask.ndim == 3 else mask[:, None]
        logits = logits.masked_fill(~mask, torch.finfo(logits.dtype).min / 4)
        return (self.normaliser(logits, dim=-1) * mask) @ value


def x_transformers(causal=False, flash=False):
    """The attention of x-transformers, of which 32 are the width and 4 × 8 the heads."""
    return XTransformersAttention(32, dim_head=8, heads=4, causal=causal, flash=flash)


# By name: what builds it, and how it is to be tested.
KNOWN_GOOD = {
    "torch.nn.MultiheadAttention": (lambda: nn.MultiheadAttention(32, 4, batch_first=True), {}),
    "torch.nn.MultiheadAttention, causal": (lambda: nn.MultiheadAttention(32, 4), {"causal": True}),
    "scaled_dot_product_attention": (
        lambda: nn.functional.scaled_dot_product_attention,
        {"score": "scaled_dot"},
    ),
    "scaled_dot_product_attention, causal": (
        lambda: nn.functional.scaled_dot_product_attention,
        {"score": "scaled_dot", "causal": True},
    ),
    **{
        f"attnbench, {score}": (
            lambda score=score: Scored(score),
            {"positions": "absolute"} if score == "location" else {},
        )
        for score in ("cosine", "additive", "location", "general", "dot", "scaled_dot")
    },
    "x-transformers": (x_transformers, {}),
    "x-transformers, flash": (lambda: x_transformers(flash=True), {}),
    "x-transformers, causal": (lambda: x_transformers(causal=True), {"causal": True}),
    "entmax, sparsemax": (lambda: Sparse(sparsemax), {}),
    "entmax, entmax15": (lambda: Sparse(entmax15), {}),
}
