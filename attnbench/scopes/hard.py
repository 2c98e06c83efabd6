"""Hard attention: one position per step."""

from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from attnbench.registry import scope
from attnbench.scopes.masking import masked_softmax


@scope("hard")
class Hard(nn.Module):
    """Looks at one position per step: drawn from α in training, the likeliest in evaluation.

    Formula: c_t = h_i with i ~ α_t; ∂L/∂W = ∂log p(y|i)/∂W + λ_r (R − b) ∂log p(i)/∂W + λ_e ∂H(α)/∂W
    Source: Xu et al. 2015, eq. 11–13 and §4.1 (arXiv 1502.03044); gumbel: Jang, Gu & Poole 2017 (arXiv 1611.01144);
        straight_through: Bengio, Léonard & Courville 2013 (arXiv 1308.3432)

    `estimator` says how the gradient passes the draw:
    - `reinforce`: the formula above; R = log p(y | drawn positions), b its moving average, every other minibatch soft;
    - `straight_through`: forward the draw, backward α;
    - `gumbel`: forward the draw, backward softmax((log α + Gumbel noise) / `temperature`);
    - `exact`: no draw, the likelihood Σ_i α_i p(y | i) itself, and the expected context for the state that moves on.
    """

    baseline: Tensor
    minibatch: Tensor

    def __init__(
        self,
        estimator: Literal["reinforce", "straight_through", "gumbel", "exact"] = "reinforce",
        reinforce_weight: NonNegativeFloat = 1.0,
        entropy_weight: NonNegativeFloat = 0.002,
        temperature: PositiveFloat = 1.0,
    ) -> None:
        super().__init__()
        self.estimator = estimator
        self.reinforce_weight = reinforce_weight
        self.entropy_weight = entropy_weight
        self.temperature = temperature
        # Buffers, so that every stacked replica has its own.
        self.register_buffer("baseline", torch.zeros(()))
        self.register_buffer("minibatch", torch.zeros((), dtype=torch.long))

    @property
    def marginalises(self) -> bool:
        """Whether the model is to sum its likelihood over the positions, each with its weight."""
        return self.training and self.estimator == "exact"

    def forward(self, logits: Tensor, mask: Tensor | None, query: Tensor, lengths: Tensor, step: int) -> Tensor:
        """Weights (B,T,S): one 1 per row, but for soft minibatches and the estimator `exact` in training."""
        del query, lengths, step
        soft = masked_softmax(logits, mask)
        if not self.training:
            return one_hot(soft, soft)
        if self.estimator == "exact":
            return soft
        noisy = torch.where(soft > 0, _log(soft) + gumbel_noise(soft), -torch.inf)
        drawn = one_hot(noisy, soft)
        if self.estimator == "reinforce":
            return torch.where(self._is_soft(), soft, drawn)
        if self.estimator == "gumbel":
            soft = masked_softmax(noisy / self.temperature, soft > 0)
        return drawn + (soft - soft.detach())  # the bracket is exactly 0: the weights are one-hot

    def _is_soft(self) -> Tensor:
        return self.minibatch % 2 == 0

    def objective(
        self, log_likelihood: Tensor, logits: Tensor, weights: Tensor, mask: Tensor | None, target_mask: Tensor
    ) -> Tensor:
        """The loss (), per target token, of a minibatch.

        Args:
            log_likelihood: (B,T) of the target words, given the weights that were used.
            logits: (B,T,S) before the softmax.
            weights: (B,T,S) that were used.
            mask: as for `forward`.
            target_mask: (B,T), True on target words.
        """
        likelihood = (log_likelihood * target_mask).sum(-1)  # (B,) log p(y | positions)
        if self.estimator != "reinforce" or not self.training:
            return -likelihood.sum() / target_mask.sum()
        distribution = masked_softmax(logits, mask)
        log_distribution = _log(distribution)
        log_position = ((weights.detach() * log_distribution).sum(-1) * target_mask).sum(-1)  # (B,)
        entropy = -((distribution * log_distribution).sum(-1) * target_mask).sum()
        reward = likelihood.detach()
        soft = self._is_soft()
        surprise = torch.where(soft, 0, reward - self.baseline)
        gain = likelihood.sum() + self.reinforce_weight * (surprise * log_position).sum()
        # The first minibatch, a soft one, gives the average its start; then it follows what draws earn.
        start = torch.where(self.minibatch == 0, reward.mean(), self.baseline)
        self.baseline.copy_(torch.where(soft, start, 0.9 * self.baseline + 0.1 * reward.mean()))
        self.minibatch.add_(1)
        return -(gain + self.entropy_weight * entropy) / target_mask.sum()


def one_hot(preference: Tensor, weights: Tensor) -> Tensor:
    """A 1 at the largest preference of each row (…,S); a row without any weight stays zero."""
    best = preference.argmax(-1, keepdim=True)
    positions = torch.arange(weights.shape[-1], device=weights.device)
    return ((positions == best) & (weights.sum(-1, keepdim=True) > 0)).to(weights.dtype)


def gumbel_noise(like: Tensor) -> Tensor:
    """Standard Gumbel noise: the position with the largest log α + noise is a draw from α."""
    uniform = torch.rand_like(like).clamp(min=torch.finfo(like.dtype).tiny)
    return -(-uniform.log()).log()


def _log(weights: Tensor) -> Tensor:
    """The logarithm, with 0 where the weight is 0 (0 · log 0 = 0), and no infinite gradient there."""
    return torch.where(weights > 0, weights, 1).log()
