"""Self-attention: queries and keys from the same sequence."""

from torch import Tensor, nn

from attnbench.registry import scope
from attnbench.scopes.masking import masked_softmax


@scope("self")
class SelfAttention(nn.Module):
    """Spreads the weight over all valid positions of the sequence that the query itself stands in.

    Formula: α_t = softmax(e_t) over the positions that the model lets query t see
    Source: Cheng, Dong & Lapata 2016, §3.1 (arXiv 1601.06733); Vaswani et al. 2017, §3.2.3 (arXiv 1706.03762)

    The model says by its mask what a query may see: all of the source, or only its own past.
    """

    def forward(self, logits: Tensor, mask: Tensor | None, query: Tensor, lengths: Tensor, step: int) -> Tensor:
        """Weights (B,T,S); the mask (B,T,S) may differ from query to query."""
        del query, lengths, step
        return masked_softmax(logits, mask)
