"""Position encodings of the Transformer: sinusoidal and rotary embeddings and the ALiBi bias."""

import math

import torch
from torch import Tensor


def sinusoids(start: int, length: int, width: int, like: Tensor) -> Tensor:
    """Returns sinusoidal embeddings (length,D) of the positions from `start` on.

    Columns 2j and 2j + 1 are sin(p·ω_j) and cos(p·ω_j), with ω_j = 10000^(−2j/D).
    Source: Vaswani et al. 2017, §3.5 (arXiv 1706.03762).

    Args:
        start: the first position.
        length: the number of positions.
        width: D; if it is odd, the last cosine is left out.
        like: a tensor of the wanted dtype and device.
    """
    angles = _angles(start, length, width, like)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]


def rotate(vectors: Tensor, start: int) -> Tensor:
    """Applies rotary position embeddings to vectors (…,T,D), D even, the first of which is at position `start`.

    Each pair of components (2j, 2j + 1) is rotated by the angle p·ω_j, with ω_j = 10000^(−2j/D). The dot product of two
    rotated vectors depends on their positions only through the distance.
    Source: Su et al. 2021, eq. 34 (arXiv 2104.09864).
    """
    angles = _angles(start, vectors.shape[-2], vectors.shape[-1], vectors)
    cos, sin = angles.cos(), angles.sin()
    even, odd = vectors.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)


def distance_bias(heads: int, start: int, length: int, keys: int, like: Tensor) -> Tensor:
    """Returns the ALiBi bias (H,T,S) = −m_h·|t − i|, with m_h = 2^(−8h/H) for h = 1 … H.

    Source: Press, Smith & Lewis 2022, §3 (arXiv 2108.12409).

    Args:
        heads: H.
        start: position of the first query.
        length: T, the number of queries.
        keys: S, the number of keys; the first is at position 0.
        like: a tensor of the wanted dtype and device.
    """
    # The paper covers causal attention only, with i ≤ t. The encoder is bidirectional and needs the absolute distance.
    steps = torch.arange(start, start + length, device=like.device).unsqueeze(1)
    distance = (steps - torch.arange(keys, device=like.device)).abs().to(like.dtype)
    slopes = torch.exp2(-8 / heads * torch.arange(1, heads + 1, dtype=like.dtype, device=like.device))
    return -slopes.view(-1, 1, 1) * distance


def _angles(start: int, length: int, width: int, like: Tensor) -> Tensor:
    """Returns the angles p·ω_j (length, D/2), with D rounded up to an even number."""
    positions = torch.arange(start, start + length, dtype=like.dtype, device=like.device).unsqueeze(1)
    pairs = torch.arange(0, width, 2, dtype=like.dtype, device=like.device)
    return positions * (pairs * (-math.log(10000) / width)).exp()
