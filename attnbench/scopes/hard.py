"""Hard attention: a single position per step."""

from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from attnbench.masking import log_weights_of, masked_softmax
from attnbench.noise import Noise
from attnbench.normalisers.softmax import Softmax
from attnbench.registry import scope


@scope("hard")
class Hard(nn.Module):
    """One position per step: sampled from α in training, argmax in evaluation.

    Formula: c_t = h_i with i ~ α_t = normaliser(e_t); ∂L/∂W = ∂log p(y|i)/∂W + λ_r (R − b) ∂log p(i)/∂W + λ_e ∂H(α)/∂W
    Source: Xu et al. 2015, eq. 11–13 and §4.1 (arXiv 1502.03044); gumbel: Jang, Gu & Poole 2017 (arXiv 1611.01144);
        straight_through: Bengio, Léonard & Courville 2013 (arXiv 1308.3432)

    The option `estimator` selects how the gradient is estimated in training:
    - `reinforce`: the formula above, with reward R = log p(y | sampled positions) and baseline b, the moving average of
      R. Every second minibatch uses soft attention instead. λ_r is `reinforce_weight`, λ_e is `entropy_weight`.
    - `straight_through`: the sample in the forward pass, the gradient of α in the backward pass.
    - `gumbel`: the sample in the forward pass, the gradient of softmax((log α + Gumbel noise) / `temperature`) in the
      backward pass.
    - `exact`: no sampling. The loss is −log Σ_i α_{t,i} p(y_t | s_t, h_i), and the decoder state is updated with the
      expected context.
    """

    # Class-level annotations, because mypy cannot infer the type of a registered buffer.
    baseline: Tensor
    minibatch: Tensor

    def __init__(
        self,
        normaliser: nn.Module | None = None,
        estimator: Literal["reinforce", "straight_through", "gumbel", "exact"] = "reinforce",
        reinforce_weight: NonNegativeFloat = 1.0,
        entropy_weight: NonNegativeFloat = 0.002,
        temperature: PositiveFloat = 1.0,
    ) -> None:
        super().__init__()
        self.normaliser = Softmax() if normaliser is None else normaliser
        self.estimator = estimator
        self.reinforce_weight = reinforce_weight
        self.entropy_weight = entropy_weight
        self.temperature = temperature
        # Buffers and not attributes, so that each stacked replica has its own baseline.
        self.register_buffer("baseline", torch.zeros(()))
        self.register_buffer("minibatch", torch.zeros((), dtype=torch.long))
        self.noise = Noise()

    @property
    def marginalises(self) -> bool:
        """Whether the model must marginalise its likelihood over the positions, weighted by α."""
        return self.training and self.estimator == "exact"

    def forward(self, logits: Tensor, mask: Tensor | None, query: Tensor, lengths: Tensor, step: int) -> Tensor:
        """Returns the weights (B,T,S): one-hot rows, except in soft minibatches and with `exact` in training."""
        del query, lengths
        soft = self.normaliser(logits, mask)
        if not self.training:
            return one_hot(soft, soft)
        if self.estimator == "exact":
            return soft
        if step == 0:
            self.noise.begin()
        # Gumbel-max: the argmax of log α + noise is a sample from α. The estimator `gumbel` uses the same noise again.
        noisy = torch.where(soft > 0, _log(soft) + self.noise.gumbel(soft, step), -torch.inf)
        drawn = one_hot(noisy, soft)
        if self.estimator == "reinforce":
            return torch.where(self._is_soft(), soft, drawn)
        if self.estimator == "gumbel":
            soft = masked_softmax(noisy / self.temperature, soft > 0)
        # The parentheses make the difference exactly 0, so the weights are one-hot, with the gradient of `soft`.
        return drawn + (soft - soft.detach())

    def log_weights(self, logits: Tensor, mask: Tensor | None, query: Tensor, lengths: Tensor, step: int) -> Tensor:
        """Returns log α (B,T,S), −∞ where α is 0; the arguments are those of `forward`."""
        del query, lengths, step
        return log_weights_of(self.normaliser, logits, mask)

    def _is_soft(self) -> Tensor:
        # Xu et al. choose soft attention with probability .5; alternating gives exactly half of the minibatches.
        # A tensor and not a bool, because under vmap Python cannot branch on the value of a buffer.
        return self.minibatch % 2 == 0

    def objective(
        self, log_likelihood: Tensor, logits: Tensor, weights: Tensor, mask: Tensor | None, target_mask: Tensor
    ) -> Tensor:
        """Returns the loss of a minibatch, a scalar in nats per target token; updates the baseline.

        With `reinforce` in training it is a surrogate, which has the gradient of the formula but not its value.

        Args:
            log_likelihood: (B,T) of the target tokens, given `weights`.
            logits: (B,T,S) of the attention.
            weights: (B,T,S), as `forward` returned them.
            mask: (B,1,S), or None if every source position is valid.
            target_mask: (B,T), True on target tokens.
        """
        likelihood = (log_likelihood * target_mask).sum(-1)  # (B,) log p(y | positions)
        if self.estimator != "reinforce" or not self.training:
            return -likelihood.sum() / target_mask.sum()
        # α is computed again, because in a sampled minibatch `weights` holds the one-hot samples.
        distribution = self.normaliser(logits, mask)
        log_distribution = _log(distribution)
        log_position = ((weights.detach() * log_distribution).sum(-1) * target_mask).sum(-1)  # (B,)
        entropy = -((distribution * log_distribution).sum(-1) * target_mask).sum()
        reward = likelihood.detach()
        soft = self._is_soft()
        # A soft minibatch has no samples, so it has no REINFORCE term.
        surprise = torch.where(soft, 0, reward - self.baseline)
        gain = likelihood.sum() + self.reinforce_weight * (surprise * log_position).sum()
        # The first minibatch is soft and initialises the moving average, so that it does not start at 0. After that
        # only sampled minibatches update it, because the baseline estimates the reward of samples.
        start = torch.where(self.minibatch == 0, reward.mean(), self.baseline)
        self.baseline.copy_(torch.where(soft, start, 0.9 * self.baseline + 0.1 * reward.mean()))
        self.minibatch.add_(1)
        return -(gain + self.entropy_weight * entropy) / target_mask.sum()


def one_hot(preference: Tensor, weights: Tensor) -> Tensor:
    """Returns one-hot rows (…,S) at the argmax of `preference` (…,S); a row of `weights` that is all 0 gives all 0."""
    # In a row without valid positions argmax returns 0, which may be padding: the condition on the sum clears it.
    best = preference.argmax(-1, keepdim=True)
    positions = torch.arange(weights.shape[-1], device=weights.device)
    return ((positions == best) & (weights.sum(-1, keepdim=True) > 0)).to(weights.dtype)


def _log(weights: Tensor) -> Tensor:
    """Returns log α, and 0 where α is 0 (0 · log 0 = 0), without an infinite gradient there."""
    return torch.where(weights > 0, weights, 1).log()
