"""Global attention: all valid positions."""

from torch import Tensor, nn

from attnbench.masking import log_weights_of
from attnbench.normalisers.softmax import Softmax
from attnbench.registry import scope


@scope("global")
class Global(nn.Module):
    """Soft attention over all valid positions.

    Formula: α_t = normaliser(e_t) over i < L_b, by default the softmax
    Source: Bahdanau, Cho & Bengio 2015, eq. 6 (arXiv 1409.0473); Xu et al. 2015, §4.2 (arXiv 1502.03044); Luong, Pham &
        Manning 2015, §3.1 (arXiv 1508.04025)

    L_b is the length of source b.
    """

    def __init__(self, normaliser: nn.Module | None = None) -> None:
        super().__init__()
        self.normaliser = Softmax() if normaliser is None else normaliser

    def forward(self, logits: Tensor, mask: Tensor | None, query: Tensor, lengths: Tensor, step: int) -> Tensor:
        """Returns the weights (B,T,S). The arguments are the same for every scope; `Attention` describes them."""
        del query, lengths, step
        return self.normaliser(logits, mask)

    def log_weights(self, logits: Tensor, mask: Tensor | None, query: Tensor, lengths: Tensor, step: int) -> Tensor:
        """Returns log α (B,T,S), −∞ at excluded positions; the arguments are those of `forward`."""
        del query, lengths, step
        return log_weights_of(self.normaliser, logits, mask)
