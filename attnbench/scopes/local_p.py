"""Local attention with predictive alignment: the centre of the window is computed from the query."""

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from attnbench.masking import log_weights_of
from attnbench.normalisers.softmax import Softmax
from attnbench.registry import scope


@scope("local-p")
class LocalPredictive(nn.Module):
    """Soft attention in a window around a position predicted from the query.

    Formula: α_t = normaliser(e_t) over |i − ⌊p_t⌋| ≤ W, times exp(−(i−p_t)²/(2σ²)), with σ = W/2 and
        p_t = (L_b − 1) · sigmoid(v_pᵀ tanh(W_p s))
    Source: Luong, Pham & Manning 2015, eq. 9–10 (arXiv 1508.04025)

    W is the option `window` and L_b the length of source b. The parameters are `centre_proj.weight` W_p (D,D) and
    `centre_v.weight` v_pᵀ (1,D). The weights are not renormalised after the Gaussian, so with the softmax a row sums to
    at most 1. The gradient reaches p_t only through the Gaussian, because the edge of the window is not differentiable.
    """

    def __init__(self, width: int, normaliser: nn.Module | None = None, window: PositiveInt = 10) -> None:
        super().__init__()
        self.normaliser = Softmax() if normaliser is None else normaliser
        self.window = window
        self.deviation = window / 2
        self.centre_proj = nn.Linear(width, width, bias=False)
        self.centre_v = nn.Linear(width, 1, bias=False)

    def forward(self, logits: Tensor, mask: Tensor | None, query: Tensor, lengths: Tensor, step: int) -> Tensor:
        """Returns the weights (B,T,S); see `Attention` for the arguments."""
        del step
        near, exponent = self._window(logits, mask, query, lengths)
        weights = self.normaliser(logits, near)
        return weights * exponent.exp().to(weights.dtype)

    def log_weights(self, logits: Tensor, mask: Tensor | None, query: Tensor, lengths: Tensor, step: int) -> Tensor:
        """Returns log α (B,T,S), −∞ at excluded positions; the arguments are those of `forward`."""
        del step
        near, exponent = self._window(logits, mask, query, lengths)
        log_weights = log_weights_of(self.normaliser, logits, near)
        return log_weights + exponent.to(log_weights.dtype)

    def _window(self, logits: Tensor, mask: Tensor | None, query: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the mask (B,T,S) of the valid positions in the window, and the exponent (B,T,S) of the Gaussian."""
        # L_b − 1 and not the paper's S: positions count from 0 here, and S would include padding.
        last = (lengths - 1).view(-1, 1, 1)
        share = self.centre_v(self.centre_proj(query).tanh()).sigmoid()
        # bfloat16 represents integers exactly only up to 256, so positions are computed in float32 at least.
        centre = last * share.to(torch.promote_types(share.dtype, torch.float32))  # (B,T,1)
        positions = torch.arange(logits.shape[-1], device=logits.device)
        near = (positions - centre.floor()).abs() <= self.window
        exponent = -((positions - centre) ** 2) / (2 * self.deviation**2)
        return near if mask is None else near & mask, exponent
