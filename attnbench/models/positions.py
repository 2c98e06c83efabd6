"""Where a word stands, as the Transformer is told: added to its vector, turned into it, or as a bias of attention."""

import math

import torch
from torch import Tensor


def sinusoids(start: int, length: int, width: int, like: Tensor) -> Tensor:
    """Sinusoidal positions (length,D) from `start` on: sin(p·ω_j) and cos(p·ω_j) side by side, ω_j = 10000^(−2j/D).

    Source: Vaswani et al. 2017, §3.5 (arXiv 1706.03762).
    """
    angles = _angles(start, length, width, like)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]


def rotate(vectors: Tensor, start: int) -> Tensor:
    """Vectors (…,T,D) turned by their positions: each pair (2j, 2j+1) by the angle p·ω_j, the first T at `start`.

    The dot product of two such vectors depends on the distance of their positions alone.
    Source: Su et al. 2021, eq. 34 (arXiv 2104.09864).
    """
    angles = _angles(start, vectors.shape[-2], vectors.shape[-1], vectors)
    cos, sin = angles.cos(), angles.sin()
    even, odd = vectors.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)


def distance_bias(heads: int, start: int, length: int, keys: int, like: Tensor) -> Tensor:
    """ALiBi's bias (H,T,S) = −m_h·|t − i| of `length` queries from `start` on against `keys` keys from 0 on.

    m_h = 2^(−8h/H) for h = 1 … H. Source: Press, Smith & Lewis 2022, §3 (arXiv 2108.12409); the encoder, which looks
    both ways, takes the absolute distance.
    """
    steps = torch.arange(start, start + length, device=like.device).unsqueeze(1)
    distance = (steps - torch.arange(keys, device=like.device)).abs().to(like.dtype)
    slopes = torch.tensor([2 ** (-8 * (head + 1) / heads) for head in range(heads)], dtype=like.dtype)
    return -slopes.to(like.device).view(-1, 1, 1) * distance


def _angles(start: int, length: int, width: int, like: Tensor) -> Tensor:
    """p·ω_j (length, D/2), D rounded up to an even number."""
    positions = torch.arange(start, start + length, dtype=like.dtype, device=like.device).unsqueeze(1)
    pairs = torch.arange(0, width, 2, dtype=like.dtype, device=like.device)
    return positions * (pairs * (-math.log(10000) / width)).exp()
