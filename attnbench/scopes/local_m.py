"""Local attention with monotonic alignment: the window moves by one position per step."""

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from attnbench.masking import log_weights_of
from attnbench.normalisers.softmax import Softmax
from attnbench.registry import scope


@scope("local-m")
class LocalMonotonic(nn.Module):
    """Soft attention in a window of W = `window` positions on either side of t.

    Formula: α_t = normaliser(e_t) over |i − p_t| ≤ W, with p_t = min(t, L_b − 1)
    Source: Luong, Pham & Manning 2015, §3.2, "local-m" (arXiv 1508.04025)

    L_b is the length of source b. Positions outside the window are excluded before the normaliser.
    """

    def __init__(self, normaliser: nn.Module | None = None, window: PositiveInt = 10) -> None:
        super().__init__()
        self.normaliser = Softmax() if normaliser is None else normaliser
        self.window = window

    def forward(self, logits: Tensor, mask: Tensor | None, query: Tensor, lengths: Tensor, step: int) -> Tensor:
        """Returns the weights (B,T,S); see `Attention` for the arguments."""
        del query
        return self.normaliser(logits, self._window_mask(logits, mask, lengths, step))

    def log_weights(self, logits: Tensor, mask: Tensor | None, query: Tensor, lengths: Tensor, step: int) -> Tensor:
        """Returns log α (B,T,S), −∞ at excluded positions; the arguments are those of `forward`."""
        del query
        return log_weights_of(self.normaliser, logits, self._window_mask(logits, mask, lengths, step))

    def _window_mask(self, logits: Tensor, mask: Tensor | None, lengths: Tensor, step: int) -> Tensor:
        """Returns the mask (B,T,S) of the valid positions in the window."""
        steps = torch.arange(step, step + logits.shape[-2], device=logits.device)
        # The length of each source, not the padded one. A target longer than its source keeps the last window.
        centre = torch.minimum(steps, lengths.unsqueeze(-1) - 1).unsqueeze(-1)  # (B,T,1)
        positions = torch.arange(logits.shape[-1], device=logits.device)
        near = (positions - centre).abs() <= self.window
        return near if mask is None else near & mask
