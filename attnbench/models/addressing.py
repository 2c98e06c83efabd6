"""Addressing, writing and reading of the memory of a neural Turing machine, one function per equation.

The memory has N slots of width M; there are H heads. Source: Graves, Wayne & Danihelka 2014, §3 (arXiv 1410.5401).
"""

import torch
from torch import Tensor


def interpolate(content: Tensor, last: Tensor, gate: Tensor) -> Tensor:
    """Interpolates content weights with the previous weights: w^g = g·w^c + (1 − g)·w_{t−1}, eq. 7.

    Args:
        content: w^c (B,H,N).
        last: w_{t−1} (B,H,N).
        gate: g (B,H,1), in 0..1.
    """
    return last + gate * (content - last)


def shift(weights: Tensor, amounts: Tensor) -> Tensor:
    """Shifts the weights circularly: w̃(n) = Σ_j w(n − j)·s(j), eq. 8.

    Args:
        weights: w (B,H,N).
        amounts: s (B,H,2R+1), the weight of each shift j = −R … R; they sum to 1.
    """
    reach = amounts.shape[-1] // 2
    # roll by +1 moves the weight of slot n to slot n + 1, as j = 1 must: published code has this sign wrong.
    moved = [weights.roll(j, dims=-1) * amounts[..., j + reach, None] for j in range(-reach, reach + 1)]
    return torch.stack(moved).sum(0)


def sharpen(weights: Tensor, power: Tensor) -> Tensor:
    """Sharpens the weights: w(n)^γ / Σ_m w(m)^γ, eq. 9.

    Args:
        weights: w (B,H,N).
        power: γ ≥ 1 (B,H,1).
    """
    # Without the division by the largest weight, which cancels, a large γ could make all slots underflow to 0.
    raised = (weights / weights.amax(-1, keepdim=True).detach()).pow(power)
    return raised / raised.sum(-1, keepdim=True)


def write(memory: Tensor, weights: Tensor, erase: Tensor, add: Tensor) -> Tensor:
    """Erases and writes: M(n) ← M(n) ⊙ Π_h (1 − w_h(n)·e_h) + Σ_h w_h(n)·a_h, eq. 3 and 4.

    Args:
        memory: M (B,N,M).
        weights: w (B,H,N).
        erase: e (B,H,M), in 0..1.
        add: a (B,H,M).
    """
    kept = memory
    # All heads erase before any head adds, as in the paper: the order of the heads then makes no difference.
    for weight, part in zip(weights.unbind(-2), erase.unbind(-2), strict=True):
        kept = kept - kept * (weight.unsqueeze(-1) * part.unsqueeze(-2))
    return kept + weights.mT @ add


def read(memory: Tensor, weights: Tensor) -> Tensor:
    """Reads r_h = Σ_n w_h(n)·M(n), eq. 2, (B,H,M) from the memory (B,N,M) with weights (B,H,N)."""
    return weights @ memory
