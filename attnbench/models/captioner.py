"""Show, attend and tell: a convolutional encoder of images, and a recurrent decoder (semantics.md §11)."""

from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from attnbench.models.base import MakeAttention, Output, Parts
from attnbench.models.recurrent_decoder import RecurrentDecoder, RecurrentMemory, RecurrentState
from attnbench.registry import model
from attnbench.tasks.base import PATCH

POSITION_SCALE = 0.3  # standard deviation of the initial embeddings of rows and columns


@model("captioner")
class Captioner(RecurrentDecoder):
    """Convolutional encoder of images and RNN decoder with attention over their patches.

    Formula: a_i = norm(W relu(CNN(image)_i + row_i + column_i)); s_{−1} = tanh(W_s mean(a)); then as the model rnn
    Source: Xu et al. 2015, "Show, Attend and Tell", §3.1 (arXiv 1502.03044)

    Three layers of 4 × 4 convolutions with stride 2 give an annotation vector a_i (D) per patch of 8 × 8 pixels, which
    depends on the 22 × 22 pixels around the middle of the patch. Under the scope `none`, the context of every step is
    the mean annotation.

    Options:
    - `channels`: those of the first convolution; the second one has twice as many.
    - `coverage_penalty` λ: adds λ Σ_i (1 − Σ_t α_{t,i})² per sentence to the loss, eq. 14, so that all patches get the
      same attention in sum.
    - `query`, `input_feeding`, `cell`: as those of the model rnn.

    Raises:
        AttnbenchError: if `input_feeding` is used with `query: previous`.
    """

    reads_images = True

    def __init__(
        self,
        target_vocabulary: int,
        image_size: tuple[int, int],
        attention: MakeAttention,
        width: PositiveInt = 64,
        embedding: PositiveInt = 32,
        channels: PositiveInt = 16,
        cell: Literal["gru", "lstm"] = "gru",
        query: Literal["previous", "current"] = "previous",
        input_feeding: bool = False,
        coverage_penalty: NonNegativeFloat = 0.0,
    ) -> None:
        super().__init__(width, cell, query, input_feeding)
        self.coverage_penalty = coverage_penalty
        self.target_embedding = nn.Embedding(target_vocabulary, embedding)
        self.encoder = PatchEncoder(image_size, channels, width)
        self.build_decoder(target_vocabulary, embedding, attention, width)

    def encode(self, source: Tensor, lengths: Tensor | None) -> tuple[RecurrentMemory, RecurrentState]:
        """Returns the memory and the state before the first step, for images (B,H,W)."""
        annotations = self.encoder(source)
        mean = annotations.mean(-2)
        # The scope none has no weights: it reads the mean, wherever it looks.
        values = mean.unsqueeze(-2).expand_as(annotations) if self.attention.score is None else annotations
        return self.started(annotations, values, mean, lengths)

    def objective(self, output: Output, log_likelihood: Tensor, lengths: Tensor | None, target_mask: Tensor) -> Tensor:
        """Returns the training loss, a scalar: that of the model rnn and, per target word, the coverage penalty."""
        loss = super().objective(output, log_likelihood, lengths, target_mask)
        if not self.coverage_penalty:
            return loss
        attention = (output.weights * target_mask.unsqueeze(-1)).sum(-2)  # (B,S), over all words of a sentence
        return loss + self.coverage_penalty * (1 - attention).square().sum() / target_mask.sum()


class PatchEncoder(nn.Module):
    """One annotation vector per patch of an image.

    The positions are added before the last layer, so that the mean of the annotations depends on which patch has what,
    and the decoder that starts from it can plan its way.

    Args:
        size: height and width of the images in pixels, multiples of PATCH.
        channels: of the first convolution.
        width: D.
    """

    def __init__(self, size: tuple[int, int], channels: int, width: int) -> None:
        super().__init__()
        sizes = ((1, channels), (channels, 2 * channels), (2 * channels, width))
        self.layers: Parts[nn.Conv2d] = Parts(nn.Conv2d(*each, kernel_size=4, stride=2, padding=1) for each in sizes)
        for layer in self.layers:
            # He et al. 2015 (arXiv 1502.01852): torch's own initial weights let the signal fade from layer to layer.
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        rows, columns = (side // PATCH for side in size)
        self.rows = nn.Parameter(POSITION_SCALE * torch.randn(rows, 1, width))
        self.columns = nn.Parameter(POSITION_SCALE * torch.randn(columns, width))
        self.last = nn.Linear(width, width)
        # Without it, a digit in one of 25 patches is lost in the first contexts, which are nearly the mean.
        self.norm = nn.LayerNorm(width)

    def forward(self, images: Tensor) -> Tensor:
        """Returns the annotations (B,S,D) of images (B,H,W); the patches are in the order row by row."""
        first, second, third = self.layers
        found = functional.relu(first(images.unsqueeze(-3)))
        found = third(functional.relu(second(found))).movedim(-3, -1)  # (B,rows,columns,D)
        return self.norm(self.last(functional.relu(found + self.rows + self.columns))).flatten(-3, -2)
