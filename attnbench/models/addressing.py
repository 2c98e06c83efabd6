"""How the heads of a neural Turing machine find slots, write them and read them: one function per equation.

N slots of M numbers, H heads. Source: Graves, Wayne & Danihelka 2014, §3 (arXiv 1410.5401).
"""

import torch
from torch import Tensor


def interpolate(content: Tensor, last: Tensor, gate: Tensor) -> Tensor:
    """w^g = g·w^c + (1 − g)·w_{t−1}, eq. 7: weights (B,H,N) by content, those of the last step, gate g (B,H,1)."""
    return last + gate * (content - last)


def shift(weights: Tensor, amounts: Tensor) -> Tensor:
    """w̃(n) = Σ_j w(n − j)·s(j), eq. 8, circular: j = 1 moves the focus from slot n to slot n + 1.

    Args:
        weights: w (B,H,N).
        amounts: s (B,H,2R+1), how much of each shift j = −R … R; they sum to 1.
    """
    reach = amounts.shape[-1] // 2
    moved = [weights.roll(j, dims=-1) * amounts[..., j + reach, None] for j in range(-reach, reach + 1)]
    return torch.stack(moved).sum(0)


def sharpen(weights: Tensor, power: Tensor) -> Tensor:
    """w(n)^γ / Σ_m w(m)^γ, eq. 9: weights (B,H,N), power γ ≥ 1 (B,H,1)."""
    # Divided by the largest, which cancels, no power underflows in all slots at once.
    raised = (weights / weights.amax(-1, keepdim=True).detach()).pow(power)
    return raised / raised.sum(-1, keepdim=True)


def write(memory: Tensor, weights: Tensor, erase: Tensor, add: Tensor) -> Tensor:
    """M(n) ← M(n) ⊙ Π_h (1 − w_h(n)·e_h) + Σ_h w_h(n)·a_h, eq. 3 and 4.

    Args:
        memory: M (B,N,M).
        weights: w (B,H,N).
        erase: e (B,H,M), in 0..1.
        add: a (B,H,M).
    """
    kept = memory
    for weight, part in zip(weights.unbind(-2), erase.unbind(-2), strict=True):
        kept = kept - kept * (weight.unsqueeze(-1) * part.unsqueeze(-2))
    return kept + weights.mT @ add


def read(memory: Tensor, weights: Tensor) -> Tensor:
    """r_h = Σ_n w_h(n)·M(n), eq. 2: (B,H,M) from memory (B,N,M) and weights (B,H,N)."""
    return weights @ memory
