"""No attention: the fixed-length bottleneck."""

import torch
from torch import Tensor, nn

from attnbench.registry import scope


@scope("none")
class NoAttention(nn.Module):
    """Gives every step the final encoder state, whatever the query; no score is used.

    Formula: c_t = [→h_{L−1}; ←h_0] for all t
    Source: Sutskever, Vinyals & Le 2014, §2 (arXiv 1409.3215)
    """

    def context(self, values: Tensor, lengths: Tensor) -> Tensor:
        """The fixed context (B,1,D) of values (B,S,D), whose first half is the forward direction's."""
        half = values.shape[-1] // 2
        last = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, half)
        return torch.cat([values[..., :half].gather(-2, last), values[..., :1, half:]], dim=-1)
