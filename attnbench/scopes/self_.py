"""Self-attention: queries and keys from the same sequence."""

from torch import Tensor, nn

from attnbench.masking import log_weights_of
from attnbench.normalisers.softmax import Softmax
from attnbench.registry import scope


@scope("self")
class SelfAttention(nn.Module):
    """Self-attention over the positions that the mask of the model allows.

    Formula: α_t = normaliser(e_t) over the allowed positions, by default the softmax
    Source: Cheng, Dong & Lapata 2016, §3.1 (arXiv 1601.06733); Vaswani et al. 2017, §3.2.3 (arXiv 1706.03762)

    Queries and keys come from the same sequence. Depending on the model and the layer, a query may use the whole
    source or only the positions before it.
    """

    def __init__(self, normaliser: nn.Module | None = None) -> None:
        super().__init__()
        self.normaliser = Softmax() if normaliser is None else normaliser

    def forward(self, logits: Tensor, mask: Tensor | None, query: Tensor, lengths: Tensor, step: int) -> Tensor:
        """Returns the weights (B,T,S); the mask broadcasts to (B,T,S), so it may differ between queries."""
        del query, lengths, step
        return self.normaliser(logits, mask)

    def log_weights(self, logits: Tensor, mask: Tensor | None, query: Tensor, lengths: Tensor, step: int) -> Tensor:
        """Returns log α (B,T,S), −∞ at excluded positions; the arguments are those of `forward`."""
        del query, lengths, step
        return log_weights_of(self.normaliser, logits, mask)
