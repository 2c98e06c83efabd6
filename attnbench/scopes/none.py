"""No attention: a context of fixed size for all steps."""

import torch
from torch import Tensor, nn

from attnbench.registry import scope


@scope("none")
class NoAttention(nn.Module):
    """No attention: the context of every step is the final encoder state.

    Formula: c_t = [→h_{L−1}; ←h_0] for all t
    Source: Sutskever, Vinyals & Le 2014, §2 (arXiv 1409.3215)

    L is the length of the source. No score is used.
    """

    def context(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Returns the context (B,1,D) of values (B,S,D), the first half of which is the forward direction."""
        half = values.shape[-1] // 2
        # An empty source has no last position. It reads position 0, where `Attention.prepare` has set the values to 0.
        last = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, half)
        return torch.cat([values[..., :half].gather(-2, last), values[..., :1, half:]], dim=-1)
