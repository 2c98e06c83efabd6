"""Global, soft attention: every valid position."""

from torch import Tensor, nn

from attnbench.registry import scope
from attnbench.scopes.masking import masked_softmax


@scope("global")
class Global(nn.Module):
    """Spreads the weight over all valid positions ("soft" attention).

    Formula: α_t = softmax(e_t) over i < L_b
    Source: Bahdanau, Cho & Bengio 2015, eq. 6; Xu et al. 2015, §4.2; Luong, Pham & Manning 2015, §3.1
    """

    def forward(self, logits: Tensor, mask: Tensor | None, query: Tensor, lengths: Tensor, step: int) -> Tensor:
        """Weights (B,T,S). See `Attention` for the arguments, which are the same for every scope."""
        del query, lengths, step
        return masked_softmax(logits, mask)
