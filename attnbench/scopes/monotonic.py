"""Monotonic attention: from one step to the next, the position moves forward only."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from attnbench.noise import Noise
from attnbench.registry import scope


@scope("monotonic")
class Monotonic(nn.Module):
    """Scans the source from the last position on and stops with probability p: it moves forward only.

    Formula: p_{t,i} = σ(e_{t,i} + r + noise); α_{t,i} = p_{t,i} Σ_{k≤i} α_{t−1,k} Π_{l=k}^{i−1} (1 − p_{t,l})
    Source: Raffel et al. 2017, eq. 9 and 12–14 (arXiv 1704.00784)

    α is the expected position of a scan that begins at the last position, with α_{−1} = 1 at position 0. The parameter
    is `offset` = r (), initially −1; the noise N(0, 1) is added in training only. In evaluation p is 0 or 1 (1 where
    e + r > 0), so that a single position has all weight. A scan that reaches the end of the source has no position: the
    row then sums to less than 1, and so do all later ones. No normaliser is used.
    """

    def __init__(self) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(-1.0))
        self.noise = Noise()

    def start(self, values: Tensor) -> Tensor:
        """Returns α_{−1} (B,S), for values (B,S,D): all weight at position 0."""
        first = torch.arange(values.shape[1], device=values.device) == 0
        return first.to(values.dtype).expand(values.shape[:2])

    def forward(
        self, logits: Tensor, mask: Tensor | None, query: Tensor, lengths: Tensor, step: int, last: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the weights (B,1,S) of a single query, and α_t (B,S) for the next step.

        Args:
            logits: (B,1,S).
            mask: as for every scope (see `Attention`), as are the next three.
            query: not used.
            lengths: not used.
            step: the index of the step; each step has its own noise.
            last: α_{t−1} (B,S).
        """
        del query, lengths
        stop = (logits + self.offset).squeeze(-2)  # (B,S)
        if self.training:
            if step == 0:
                self.noise.begin()
            stop = stop + self.noise.normal(stop, step)
            probability, passing = stop.sigmoid(), (-stop).sigmoid()  # 1 − σ(x) = σ(−x), without cancellation
        else:
            probability, passing = (stop > 0).to(stop.dtype), (stop <= 0).to(stop.dtype)
        if mask is not None:
            probability = probability.masked_fill(~mask.squeeze(-2), 0)
        weights = probability * arriving(last, passing)
        return weights.unsqueeze(-2), weights


def arriving(last: Tensor, passing: Tensor) -> Tensor:
    """Returns q_i = Σ_{k≤i} last_k Π_{l=k}^{i−1} passing_l (…,S), the probability that the scan arrives at i.

    Args:
        last: α_{t−1} (…,S), where the scan begins.
        passing: 1 − p (…,S), the probability that a scan which is at a position passes it.
    """
    # q_i = passing_{i−1} q_{i−1} + last_i, a chain of affine functions. They are composed in pairs, then in fours and
    # so on, which takes log₂ S operations. Nothing is divided: the products of (1 − p) underflow for long sources.
    factors, sums = functional.pad(passing[..., :-1], (1, 0)), last
    distance = 1
    while distance < last.shape[-1]:
        # Before the first position there is nothing: 0 is padded in.
        sums = sums + factors * functional.pad(sums[..., :-distance], (distance, 0))
        factors = factors * functional.pad(factors[..., :-distance], (distance, 0))
        distance *= 2
    return sums
